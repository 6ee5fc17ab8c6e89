"""The check phase: whether the linked patch would load and do what it should.

"It linked" is not success: the link leaves unresolved symbols alone, so a typo becomes a failed ``dlopen`` on
the device, and a wrong slide becomes a jump into nowhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath

from stubgen.common.arguments import StrPath, name_list, path_list
from stubgen.common.files import read_input
from stubgen.common.text import as_bytes, as_text, counted
from stubgen.errors import InputError, PatchRefusal, UsageError
from stubgen.host import Host, open_host
from stubgen.host.slide import Slide
from stubgen.image import Candidate, FileType, Image, Kind, Reference
from stubgen.image.opening import open_image
from stubgen.options import addresses
from stubgen.stub.facts import LibraryFacts
from stubgen.stub.find import Stub, find_stubs
from stubgen.stub.slots import parse_symbol, slots_of
from stubgen.symbols.versions import split_pin


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    check: str
    ok: bool
    message: str
    names: tuple[str, ...] = ()
    """Symbols that the message is about, where something speaks against them."""


@dataclass(frozen=True, slots=True)
class Checked:
    """The answer about one patch."""

    patch: str
    findings: tuple[Finding, ...]
    stubs: tuple[Stub, ...]
    slide: int | None  # the one that all stubs agree on; None without stubs

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against the patch."""
        return all(finding.ok for finding in self.findings)


def check_patch(
    patch: StrPath,
    host: StrPath | Host,
    *,
    slide: Slide | None = None,
    exports: Sequence[str] = (),
    libraries: Sequence[StrPath] = (),
    overrides: Mapping[str, int] | None = None,
    pinned: Sequence[str] = (),
    facts: LibraryFacts | None = None,
) -> Checked:
    """Hold a linked patch against its host.

    Args:
        patch: the linked shared library.
        host: the program that it will be loaded into.
        slide: the slide that its stubs were built for; without it the stubs are held against each other.
        exports: names that the builder will look up in the patch.
        libraries: shared libraries that will be loaded and may supply what the patch leaves undefined.
        overrides: name -> runtime address of the function that replaced the host's, from earlier patches.
        pinned: what the patch leaves to the loader with a version that it pins, as ``name@version``.
        facts: what is known about Capstone from earlier commands.

    Raises:
        InputError: a file is not what it must be.
        UsageError: an argument is not what it must be.
    """
    if not isinstance(slide, Slide | None):
        raise UsageError(f"slide is {slide!r}; give a Slide, which slide_from_anchor and slide_from_value make")
    wanted, beside = name_list("exports", exports), path_list("libraries", libraries)
    replaced = addresses("overrides", overrides)
    opened = host if isinstance(host, Host) else open_host(host)
    name = os.fspath(patch)
    image = open_image(read_input(patch), name)
    if image.file_type in (FileType.OBJECT, FileType.EXECUTABLE):
        kind = "a relocatable object" if image.file_type is FileType.OBJECT else "an executable"
        raise InputError(f"{name}: is {kind}; check takes the linked patch, a shared library")
    if image.format != opened.image.format:
        raise InputError(f"{name}: is of another format ({image.format}) than the host ({opened.image.format})")
    supplied = set[bytes]()
    for library in beside:
        supplied |= open_image(read_input(library), library).exports()
    by_name = {as_bytes(name): at for name, at in replaced.items()}
    question = _Question(opened, image, slide, wanted, supplied, by_name, name_list("pinned", pinned), facts)
    findings = tuple(finding for check in CHECKS for finding in check(question))
    return Checked(name, findings, question.stubs, question.slide_of_stubs)


def refuse_findings(checked: Checked) -> None:
    """Raise when something speaks against the patch.

    Raises:
        PatchRefusal: its message has a line for each finding that does, and it holds all as ``findings``.
    """
    bad = [finding for finding in checked.findings if not finding.ok]
    if bad:
        lines = [f"  {finding.check}: {finding.message}" for finding in bad]
        raise PatchRefusal("\n".join([f"{checked.patch}: the linked patch is not sound", *lines]), checked.findings)


@dataclass
class _Question:
    """One patch, one host, and what several checks want to know of them."""

    host: Host
    patch: Image
    slide: Slide | None
    exports: tuple[str, ...]
    supplied: set[bytes]
    overrides: dict[bytes, int]
    pinned: tuple[str, ...]
    facts: LibraryFacts | None

    @cached_property
    def stubs(self) -> tuple[Stub, ...]:
        return tuple(find_stubs(self.patch, self.facts))

    @cached_property
    def in_host(self) -> Mapping[bytes, list[Candidate]]:
        wanted = {split_pin(stub.name)[0] for stub in self.stubs}
        wanted.update(item.name for item in self.patch.imports())
        wanted.update(split_pin(parse_symbol(symbol)[0])[0] for symbol, _ in slots_of(self.patch))
        return self.host.find(wanted)

    @cached_property
    def slide_of_stubs(self) -> int | None:
        """The slide that most stubs agree on."""
        votes: dict[int, int] = {}
        for stub in self.stubs:
            for address in self.addresses(stub.name) if self.override(stub.name) is None else ():
                votes[stub.target - address] = votes.get(stub.target - address, 0) + 1
        return max(votes, key=lambda value: votes[value]) if votes else None

    def candidates(self, spelling: bytes) -> list[Candidate]:
        """The host's symbols that *spelling* can mean: ``foo@V1`` means that version alone."""
        name, version = split_pin(spelling)
        found = self.in_host.get(name, [])
        if not version:
            return found
        from stubgen.resolve.candidates import meaning

        return meaning(Reference(spelling, name, version, False), found).candidates

    def addresses(self, spelling: bytes) -> list[int]:
        """Static addresses of the host's own definitions of *spelling*."""
        return [c.address for c in self.candidates(spelling) if c.kind is not Kind.IMPORT]

    def override(self, spelling: bytes) -> int | None:
        """Where an earlier patch put the function that *spelling* means; None if none replaced it."""
        return self.overrides.get(split_pin(spelling)[0])

    def left_to_loader(self, name: bytes) -> bool:
        """Whether *name* has no stub on purpose: the host imports it, or only the loader knows where it is."""
        by_name = (Kind.IFUNC, Kind.THREAD_LOCAL)  # only the loader knows where these are
        return any(c.kind is Kind.IMPORT or (c.kind in by_name and c.exported) for c in self.in_host.get(name, []))


def _back_edge(question: _Question) -> Iterator[Finding]:
    image = question.host.image
    names = {PurePath(question.host.path).name}
    if image.install_name:
        names |= {image.install_name, PurePath(image.install_name).name}
    for library in question.patch.needed_libraries:
        if library in names or PurePath(library).name in names:
            yield Finding("back-edge", False, f"it loads the host itself: it needs {library}; drop that from the link")
            return
    libraries = ", ".join(question.patch.needed_libraries)
    yield Finding("back-edge", True, f"it needs {libraries}, not the host" if libraries else "it needs no library")


def _own_name(question: _Question) -> Iterator[Finding]:
    own, host = question.patch.install_name, question.host.image.install_name
    if own and own == host:
        message = f"its soname is the host's, {own}: the loader would return the host instead of the patch"
        yield Finding("own name", False, message)
    else:
        yield Finding("own name", True, f"its name, {own}, is not the host's" if own else "it has no name of its own")


def _undefined(question: _Question) -> Iterator[Finding]:
    sound = True
    total = 0
    for item in question.patch.imports():
        total += 1
        name = as_text(item.name)
        if item.library is not None or question.left_to_loader(item.name) or item.name in question.supplied:
            continue
        if question.addresses(item.name):
            sound = False
            message = f"{name} is left to the loader although the host defines it: its stub is not in the link"
            yield Finding("undefined", False, message, (name,))
        elif not item.weak:
            sound = False
            message = f"{name} is in no library that the patch names or the host loads: dlopen would fail"
            yield Finding("undefined", False, message, (name,))
    imported = {item.name for item in question.patch.imports()}
    for spelling in question.pinned:  # mold 1.10 makes address 0 of such a name, and says nothing
        if split_pin(as_bytes(spelling))[0] not in imported:
            sound = False
            message = (
                f"{spelling} is not left to the loader: the linker lost it, and a call to it would go to address 0"
            )
            yield Finding("undefined", False, message, (spelling,))
    if sound:
        message = f"what is left undefined ({counted(total, 'symbol')}) has a supplier or is weak"
        yield Finding("undefined", True, message if total else "nothing is left undefined")


def _stubs(question: _Question) -> Iterator[Finding]:
    expected = question.slide.value if question.slide else question.slide_of_stubs
    sound = True
    for stub in question.stubs:
        name = as_text(stub.name) or f"the stub at {stub.address:#x}"
        addresses = question.addresses(stub.name)
        if not stub.name:
            continue  # the symbol table is stripped: nothing says where it should go
        override = question.override(stub.name)
        if override is not None:
            if stub.target != override:
                sound = False
                wanted = f"{override:#x}, where an earlier patch replaced it"
                yield Finding("stubs", False, f"{name} branches to {stub.target:#x}, not to {wanted}", (name,))
        elif not addresses:
            sound = False
            yield Finding("stubs", False, f"{name} is a stub, but the host has no symbol of that name", (name,))
        elif expected is None or stub.target - expected not in addresses:
            sound = False
            wanted = ", ".join(f"{address + (expected or 0):#x}" for address in addresses)
            message = f"{name} branches to {stub.target:#x}, but the host's is at {wanted}"
            yield Finding("stubs", False, message, (name,))
    if expected is not None and expected % question.host.image.page_size:
        sound = False
        message = f"they agree on slide {expected:#x}, which is not a multiple of the page size"
        yield Finding("stubs", False, message)
    if sound:
        at = f", all for slide {expected:#x}" if question.stubs and expected is not None else ""
        yield Finding("stubs", True, f"{counted(len(question.stubs), 'stub')} found and decoded{at}")


def _slots(question: _Question) -> Iterator[Finding]:
    slide = question.slide.value if question.slide else question.slide_of_stubs
    sound, total = True, 0
    for symbol, address in slots_of(question.patch):
        total += 1
        name, addend, descriptor = parse_symbol(symbol)
        raw = question.patch.read_at(address, 16 if descriptor else 8, "a slot")
        value = int.from_bytes(raw[-8:], "little") - addend
        expected = set()
        for candidate in question.candidates(name):
            offset = question.host.image.thread_offset(candidate.address)
            if candidate.kind is Kind.THREAD_LOCAL and offset is not None:
                expected.add(offset)
            elif slide is not None:
                expected.add(candidate.address + (0 if candidate.kind is Kind.ABSOLUTE else slide))
        if slide is not None and question.override(name) is None and value not in expected:
            sound = False
            title = as_text(name)
            wanted = ", ".join(f"{place:#x}" for place in sorted(expected)) or "nowhere: the host has no such symbol"
            message = f"{title} is read at {value:#x}, but the host's is at {wanted}"
            yield Finding("slots", False, message, (title,))
    if sound and total:
        yield Finding("slots", True, f"{counted(total, 'slot')} found, each with what the host has there")


def _looked_up(question: _Question) -> Iterator[Finding]:
    stubbed = sorted({stub.name for stub in question.stubs if stub.name} & question.patch.looked_up())
    for name in stubbed:
        message = f"{as_text(name)} is looked up by the loader although it has a stub"
        yield Finding("lookups", False, message, (as_text(name),))
    if not stubbed:
        yield Finding("lookups", True, "the loader looks no stub up")


def _exports(question: _Question) -> Iterator[Finding]:
    if not question.exports:
        return
    missing = [name for name in question.exports if as_bytes(name) not in question.patch.exports()]
    for name in missing:
        yield Finding("exports", False, f"{name} cannot be found by dlsym: the patch does not export it", (name,))
    if not missing:
        yield Finding("exports", True, f"{', '.join(question.exports)} can be found by dlsym")


def _branch_protection(question: _Question) -> Iterator[Finding]:
    if question.patch.format != "elf" or not any(stub.bti for stub in question.stubs):
        return
    from stubgen.elf.constants import GNU_PROPERTY_AARCH64_FEATURE_1_BTI as BTI

    if question.patch.features & BTI:
        yield Finding("bti", True, "the patch keeps the BTI property")
    elif question.host.image.features & BTI:
        message = "the host has BTI, but the linked patch lost it: some input lacks the property"
        yield Finding("bti", False, message)
    else:
        yield Finding("bti", True, "the stubs have landing pads; the host does not ask for BTI")


def _text_relocations(question: _Question) -> Iterator[Finding]:
    if question.patch.has_text_relocations:
        message = "it has DT_TEXTREL: loaders refuse to write to code; compile the patch with -fPIC"
        yield Finding("text relocations", False, message)


CHECKS: tuple[Callable[[_Question], Iterator[Finding]], ...] = (
    _back_edge,
    _own_name,
    _undefined,
    _stubs,
    _slots,
    _looked_up,
    _exports,
    _branch_protection,
    _text_relocations,
)
"""Every check, in the order of the report."""
