"""The bind phase: copies of the patch's objects that reach what only an address can reach.

A call reaches the host through a trampoline. Everything else that names a host symbol, a load through the GOT,
a pointer in the patch's own data, a thread-local, is rewritten in a *bound copy* of the object: the instruction
stays, the relocation turns to an 8-byte constant (a *slot*) in the stub object, or the value is written in place
and the relocation goes. It asks nothing of the linker, where absolute symbols go wrong in half of them: GNU ld
turns a hidden SHN_ABS GOT entry into R_AARCH64_RELATIVE, and the Mach-O linkers relax the load to PC-relative.
An address taken in a bound copy is the host's own, so function pointers compare equal.

The rules, one row a relocation code, are tables in ``bind.elf`` and ``bind.macho``. What no row covers is
refused by its number; nothing is guessed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence

from stubgen.bind.held import Held, hold_against
from stubgen.common.files import Outputs, cannot_be_written, fitting
from stubgen.common.row import Row
from stubgen.common.text import as_bytes, counted
from stubgen.errors import SymbolRefusal
from stubgen.image import Image, Kind
from stubgen.resolve.resolution import Resolution
from stubgen.resolve.verdicts import SlotKind, Target
from stubgen.stub.slots import Binder, BoundObject, Slot


class Bound(Row):
    """Every object of the patch, bound, and the slots that they need."""

    objects: tuple[BoundObject, ...]
    slots: tuple[Slot, ...]
    own_constants: frozenset[bytes] = frozenset()
    """Constants that the host has alike, of which the patch uses its own all the same."""


def bind(resolution: Resolution) -> Bound:
    """Bound copies of the objects that *resolution*, judged for them, is about.

    Raises:
        SymbolRefusal: a reference cannot be expressed; a line for each names object, section, offset,
            relocation and symbol, and what would help.
        InputError: an object's relocations are broken or in an unknown form.
    """
    functions = {
        spelling: Target(Kind.FUNCTION, SlotKind.ADDRESS, address)
        for spelling, address in zip(resolution.stubs.spellings, resolution.stubs.addresses, strict=True)
    }
    targets = {**functions, **(resolution.bound_targets or {})}
    own: set[bytes] = set()
    macho = (image for image in resolution.needed.images if image.format == "macho")
    weak = frozenset(function.name for image in macho for function in image.functions() if function.weak)
    while True:  # a constant is the host's wherever the patch uses it, or nowhere: its address has to be one
        left = {name: target for name, target in targets.items() if name not in own} if own else targets
        binder = Binder(left, resolution.needed.meanings, resolution.needed.roots, weak)
        objects = tuple(_bind_object(image, binder) for image in resolution.needed.images)
        if not binder.own_constants:
            break
        own |= binder.own_constants
    if binder.refusals:
        lines = [f"{counted(len(binder.refusals), 'reference')} cannot be bound"]
        raise SymbolRefusal("\n".join([*lines, *(f"  {refusal}" for refusal in binder.refusals)]))
    _mark_kept(resolution, targets, binder)
    read = (
        hold_against(image, item.content) if item.changed else Held(image, wrote_code=False)
        for image, item in zip(resolution.needed.images, objects, strict=True)
    )
    objects = tuple(item._replace(**held._asdict()) for item, held in zip(objects, read, strict=True))
    return Bound(objects, tuple(binder.slots.values()), frozenset(own))


def _mark_kept(resolution: Resolution, targets: Mapping[bytes, Target], binder: Binder) -> None:
    """Have a slot for each kept variable, also where no code uses it: it tells later patches whose that is."""
    has = {slot.name for slot in binder.slots.values()}
    for variable in resolution.shared_variables:
        name = as_bytes(variable.name)
        if variable.writable and variable.forwarded and name not in has and name in targets:
            binder.slot(name, targets[name], targets[name].slot_kind, 0)


def bound_paths(names: Iterable[str], folder: str | os.PathLike[str]) -> list[str]:
    """The bound copies in *folder* of the objects called *names*, in link order."""
    paths = []
    for number, name in enumerate(names):
        base = re.sub(r"[^\w.+-]", "_", os.path.basename(name).rstrip(")"))
        stem, dot, ending = base.rpartition(".")
        start = fitting(stem, len(os.fsencode(f"{number:03d}-{dot}{ending}"))) if dot else fitting(base, 4)
        paths.append(os.path.join(folder, f"{number:03d}-{start}{dot}{ending if dot else ''}"))
    return paths


def write_bound(bound: Bound, folder: str | os.PathLike[str]) -> list[tuple[str, str]]:
    """Write every bound copy into *folder*, which is made: the caller's own, and gone where this is cut short.

    Returns:
        (input, an archive's member as ``archive(member)``; its copy) for each, in link order.

    Raises:
        UsageError: the folder may not be written.
        OutputFailure: the disk is full, or failed.
    """
    paths = bound_paths([item.name for item in bound.objects], folder)
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise cannot_be_written(folder, error) from error
    for item, path in zip(bound.objects, paths, strict=True):
        try:
            with open(path, "wb") as file:
                file.write(item.content)
        except OSError as error:
            raise cannot_be_written(path, error) from error
    return _copies(bound, paths)


def stage_bound(
    bound: Bound, folder: str | os.PathLike[str], outputs: Outputs, *, like: Sequence[str] | None = None
) -> list[tuple[str, str]]:
    """As :func:`write_bound`, but the copies are among the *outputs*, and the folder may be anybody's.

    *like*: files of which each copy has the time of modification; None: now.
    """
    outputs.add_folder(folder)
    paths = bound_paths([item.name for item in bound.objects], folder)
    for number, (item, path) in enumerate(zip(bound.objects, paths, strict=True)):
        outputs.add(path, item.content, modified=os.stat(like[number]).st_mtime_ns if like else None)
    return _copies(bound, paths)


def _copies(bound: Bound, paths: Sequence[str]) -> list[tuple[str, str]]:
    """Name and path of each copy."""
    return [(item.name, path) for item, path in zip(bound.objects, paths, strict=True)]


def _bind_object(image: Image, binder: Binder) -> BoundObject:
    if image.format == "elf":
        from stubgen.bind.elf import bind_object
    else:
        from stubgen.bind.macho import bind_object
    return bind_object(image, binder)
