"""Links the next generation of a process: a patch that knows the earlier ones, and a table that is complete."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Mapping, Sequence
from typing import Unpack

from stubgen.build import StubBuilder
from stubgen.capture import Capture
from stubgen.common.arguments import StrPath, instance, number, optional, path_list
from stubgen.common.files import Outputs, read_input
from stubgen.common.placeholders import DIGEST, DIGITS, GENERATION, expand
from stubgen.common.row import Row
from stubgen.common.text import as_bytes, as_text
from stubgen.errors import InputError, PatchRefusal, UsageError
from stubgen.generations.opening import Begun, SessionOptions, begin, now, stage_session
from stubgen.generations.redirections import (
    in_process,
    register,
    targets_after,
    targets_of,
)
from stubgen.generations.relinking import KeptObject
from stubgen.generations.state import Fate, Generation, PatchSession, Place, Unit
from stubgen.generations.tables import complete_table, forwarders_of, with_led
from stubgen.generations.telling import stage_telling
from stubgen.host.mappings import refuse_misplaced
from stubgen.host.slide import slide_from_anchor
from stubgen.image.opening import open_image
from stubgen.jumptable import JumpTable, TableOptions
from stubgen.link import Linked, stage_patch
from stubgen.options import BtiPolicy, read_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from stubgen.keywords import Options


class LinkedGeneration(Row):
    """A patch of a session, linked and checked."""

    linked: Linked
    """Its ``jump_table`` is complete."""
    session: PatchSession
    """The session with this patch in it."""
    number: int
    """The patch's number in it, from 1."""
    relinked: tuple[str, ...]
    """Objects of earlier generations that are in it too."""
    afresh: tuple[str, ...]
    """Variables that earlier generations had, and that it starts afresh."""
    no_longer: tuple[str, ...]
    """Functions that an earlier generation replaced, and that are the host's again because no object has them."""


def begin_generation(
    outputs: Outputs,
    wanted: SessionOptions,
    builder: StubBuilder,
    objects: Sequence[StrPath],
    aslr_reference: int | None,
    options: Options,
    kept: Mapping[str, KeptObject] | None = None,
) -> Begun:
    """Open the session for a patch of *objects*; what :func:`stage_generation` takes.

    *kept* says of some of them where they will be later.

    Raises:
        UsageError: the options say what the session knows better.
        StubgenError: as :func:`~stubgen.generations.opening.begin` does.
    """
    instance(SessionOptions, "SessionOptions()", "session", wanted)
    read = read_options("link_generation", {**options, "bind": True})
    if read.previous or read.overrides:
        raise UsageError("the session knows the earlier patches: leave out --previous and --override")
    if aslr_reference is None or read.slide is not None:
        raise UsageError("a session is told by its process's anchor: give --aslr-reference, and no --slide")
    slide = slide_from_anchor(builder.host, number("aslr_reference", aslr_reference), read.anchor)
    given = path_list("objects", objects)
    pid = optional(number, "pid", wanted.pid)
    refuse_misplaced(builder.host, slide, pid)
    checked = wanted._replace(loaded=optional(number, "loaded", wanted.loaded), pid=pid)
    return begin(outputs, checked, builder.host, slide, given, kept=kept or {}, keep_state=read.keep_state)


def stage_generation(
    outputs: Outputs,
    begun: Begun,
    builder: StubBuilder,
    captured: Capture,
    objects: Sequence[StrPath],
    output: StrPath,
    aslr_reference: int,
    *,
    bti: BtiPolicy | str = BtiPolicy.AUTO,
    extra: Sequence[StrPath] = (),
    stub: StrPath | None = None,
    bound_dir: StrPath | None = None,
    jump_table: TableOptions | None = None,
    **options: Unpack[Options],
) -> LinkedGeneration:
    """As :func:`~stubgen.link.stage_patch`, for a session that was begun with *outputs*.

    The session file is among them. Names of outputs may have ``{generation}`` and ``{digest}`` in them.

    Raises:
        PatchRefusal: an earlier generation has the patch's path.
        StubgenError: as :func:`~stubgen.link.stage_patch` does.
    """
    session, wanted = begun.session, jump_table or TableOptions()
    early = {GENERATION: str(begun.number), DIGEST: "0" * DIGITS}
    refuse_known_path(begun, expand(os.fspath(output), early), expand(wanted.library, early))
    options["previous"] = list(begun.previous)
    options["keep_state"] = session.keep_state
    led = [
        address
        for function, target in begun.targets.items()
        for address in session.functions[function].host
        if target.generation
    ]
    unchanged = {(each.patch, place.address) for each in begun.holding for place in each.places if not place.redirected}
    linked = stage_patch(
        outputs,
        builder,
        captured,
        [*objects, *(unit.path for unit in begun.relinked)],
        output,
        aslr_reference,
        bti=bti,
        extra=extra,
        stub=stub,
        bound_dir=bound_dir,
        jump_table=wanted._replace(led=led, unchanged=unchanged),
        placeholders={GENERATION: str(begun.number)},
        forwarded=begun.forwarded,
        session_id=bytes.fromhex(session.identity),
        generation=begun.number,
        **options,
    )
    table = linked.jump_table
    assert table is not None  # noqa: S101  # it was asked for
    refuse_known_path(begun, linked.output, table.library)
    if session.relink_earlier:
        linked = _with_losses(linked, session)
    in_table = {entry.old for entry in table.entries}
    is_redirected = {
        (item.object, item.name): any(copy.static_address in in_table for copy in item.copies)
        for item in linked.replaced.functions
    }
    numbers = [generation.number for generation in begun.holding]
    in_earlier = [(each, found) for each, (_, found) in zip(numbers, linked.replaced_in_previous, strict=True)]
    registered = register(session, linked.replaced, in_earlier, is_redirected)
    session = registered.session
    own = targets_of(begun.number, registered.places)
    # Asked anew: functions have other numbers where two turned out to be one.
    before = {} if session.relink_earlier else targets_after(session, begun.number)
    targets = {**before, **own}
    complete = complete_table(begun, session, targets, linked, table, direct_calls=wanted.direct_calls)
    linked, complete = with_led(linked, complete)
    variables = _own_variables(linked)
    generation = new_generation(begun, linked, table, captured, begun.units, registered.places, variables)
    generation = generation._replace(forwarders=forwarders_of(begun, session, targets, linked))
    afresh = set(variables) & {name for each in begun.session.generations for name in each.variables}
    led_before = {function for function, target in begun.targets.items() if target.generation}
    lost = led_before - own.keys() if session.relink_earlier else ()
    session = session._replace(generations=(*session.generations, generation))
    stage_session(outputs, begun.path, session)
    if not session.relink_earlier:  # else no patch is a host of a later one
        stage_telling(outputs, begun.path, open_image(table.content, table.library), objects, begun.units)
    return LinkedGeneration(
        with_table(linked, complete),
        session,
        begun.number,
        tuple(unit.path for unit in begun.relinked),
        tuple(sorted(afresh)) if begun.session.relink_earlier else (),
        tuple(sorted(begun.session.functions[function].name for function in lost)),
    )


def link_generation(
    session: SessionOptions,
    builder: StubBuilder,
    captured: Capture,
    objects: Sequence[StrPath],
    output: StrPath,
    aslr_reference: int,
    *,
    bti: BtiPolicy | str = BtiPolicy.AUTO,
    extra: Sequence[StrPath] = (),
    stub: StrPath | None = None,
    bound_dir: StrPath | None = None,
    jump_table: TableOptions | None = None,
    **options: Unpack[Options],
) -> LinkedGeneration:
    """Link the next patch of a process, as :func:`~stubgen.link.link_patch` links one, and write the session file.

    Args:
        session: the session file, and what became of the patch before.
        builder: the host, opened.
        captured: the link of the host, as the capture recorded it.
        objects: the patch's objects and archives.
        output: the patch to write; ``{generation}`` and ``{digest}`` give each a path of its own.
        aslr_reference: the anchor's runtime address.
        bti: as :meth:`~stubgen.build.StubBuilder.build` has it.
        extra: further inputs for the link, before the objects.
        stub: where to keep the stub object.
        bound_dir: where to keep the bound copies.
        jump_table: how the table is made.
        options: see :class:`~stubgen.options.Options`, without ``previous``, ``overrides`` and ``slide``.

    Raises:
        StubgenError: as :func:`~stubgen.link.link_patch` does.
        BuildIdRefusal: the host was rebuilt since the session began.
        AnchorRefusal: the process is another one.
        PatchRefusal: nobody said what became of the patch before, or another command has the session.
    """
    with Outputs() as outputs:
        begun = begin_generation(outputs, session, builder, objects, aslr_reference, options)
        generation = stage_generation(
            outputs,
            begun,
            builder,
            captured,
            objects,
            output,
            aslr_reference,
            bti=bti,
            extra=extra,
            stub=stub,
            bound_dir=bound_dir,
            jump_table=jump_table,
            **options,
        )
        outputs.commit()
    return generation


def refuse_known_path(begun: Begun, output: StrPath, library: str) -> None:
    """Refuse a path that the process has seen: loaders return the library that they have for it.

    Args:
        begun: the session.
        output: the patch, here.
        library: the patch, on the target; empty where it is the same.

    Raises:
        PatchRefusal: an earlier generation has it.
        UsageError: it is the session file's.
    """
    path = os.path.realpath(output)
    if path == os.path.realpath(begun.path):
        raise UsageError(f"{path}: is the session's file: give the patch another path")
    for generation in begun.session.generations:
        if path == generation.patch or library == generation.library:
            which = path if path == generation.patch else library
            raise PatchRefusal(
                f"{which}: is the path of generation {generation.number}, and a loader returns the library that it has "
                f"for a path: give each patch its own, as -o 'patch-{{generation}}.so' and --lib with {{generation}} do"
            )


def new_generation(
    begun: Begun,
    linked: Linked,
    table: JumpTable,
    captured: Capture,
    units: Sequence[Unit] = (),
    places: Sequence[Place] = (),
    variables: Sequence[str] = (),
    undo_to: int | None = None,
) -> Generation:
    """What the session knows of the patch that was just linked."""
    path = os.path.realpath(linked.output)
    return Generation(
        begun.number,
        path,
        table.library,
        linked.digest,
        now(),
        Fate.LINKED,
        table.patch_anchor,
        open_image(table.content, path).first_address,
        None,
        undo_to,
        begun.session.relink_earlier,
        "" if captured.path is None else os.path.abspath(captured.path),
        tuple(units),
        tuple(places),
        (),
        tuple(variables),
    )


def _own_variables(linked: Linked) -> list[str]:
    """The writable variables that the patch starts afresh, by name."""
    resolution = linked.built.resolution
    kept = {variable.name for variable in resolution.shared_variables if variable.forwarded}
    names = [
        variable.name.decode("utf-8", "surrogateescape")
        for variable in resolution.needed.variables
        if variable.writable or variable.thread_local
    ]
    return [name for name in dict.fromkeys(names) if name not in kept]


def _with_losses(linked: Linked, session: PatchSession) -> Linked:
    """*linked*, and what earlier generations began of the variables that go on as the host has them.

    With ``--relink-earlier`` no earlier patch is a host, and the host has what was there before the first. The newest
    one has all objects that count, and what it is without was deleted.
    """
    owners: dict[str, str] = {}
    earlier = in_process(session)
    for generation in reversed(earlier):
        for name in generation.variables:
            owners.setdefault(name, generation.patch)
        if generation.complete:
            break
    resolution = linked.built.resolution
    kept = {as_bytes(row.name) for row in resolution.shared_variables if row.forwarded and row.writable}
    lost = {name: f"what {patch} has in its own is lost" for name, patch in owners.items()}
    if earlier and not kept <= {as_bytes(name) for name in owners}:
        lost = {**_deleted(linked, earlier[-1], kept), **lost}
    shared = tuple(
        variable._replace(lost=lost[variable.name])
        if variable.forwarded and variable.writable and variable.name in lost
        else variable
        for variable in resolution.shared_variables
    )
    return linked._replace(built=linked.built._replace(resolution=resolution._replace(shared_variables=shared)))


def _deleted(linked: Linked, generation: Generation, kept: Collection[bytes]) -> dict[str, str]:
    """Those of the variables *kept* that the patch of *generation* has the file of, and not the variable; and that."""
    from stubgen.resolve.deleted import is_surely_without
    from stubgen.resolve.described import as_linked
    from stubgen.stub.slots import SLOT_PREFIX

    try:
        content = read_input(generation.patch)
    except InputError:  # it is no host of this patch, and need not be there
        return {}
    if hashlib.sha256(content).hexdigest() != generation.digest:
        return {}
    patch = open_image(content, generation.patch)
    objects = as_linked((unit.path, unit.digest) for unit in generation.units if unit.path)
    there = patch.find({*kept, *(SLOT_PREFIX + name for name in kept)})
    host = linked.built.host.image
    found = {}
    for variable in linked.built.resolution.needed.variables:
        name, file = variable.name, variable.file
        if name not in kept or there.get(name) or there.get(SLOT_PREFIX + name) or not patch.files_called(file):
            continue
        if is_surely_without(patch, objects, variable, host.files_called(file)):
            found[as_text(name)] = f"{generation.patch} is without it"
    return found


def with_table(linked: Linked, table: JumpTable) -> Linked:
    """*linked* with another jump table."""
    return linked._replace(jump_table=table)
