"""Patches that the process loaded before: hosts beside the program, each at its own address."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property

from stubgen.common.aarch64 import ADDRESS_LIMIT, UNTAGGED
from stubgen.common.arguments import StrPath
from stubgen.common.row import Row
from stubgen.common.text import as_bytes, as_text
from stubgen.errors import AnchorRefusal, InputError, PatchRefusal
from stubgen.host import Host
from stubgen.image import Candidate, FileType, Image, Kind
from stubgen.image.identity import PatchIdentity
from stubgen.symbols.forwarded import forwarded_address
from stubgen.symbols.placed import placed
from stubgen.symbols.versions import base_name, split_pin


class PreviousPatch(Row):
    """An earlier patch, and where the process has it."""

    path: StrPath
    """The patch, as it was linked."""
    address: int
    """Where in the process: of :attr:`symbol`, or of the file's first byte."""
    symbol: str | None = None
    """What is at that address; None: the file's first byte (``dladdr``'s ``dli_fbase``, Mach-O's ``mach_header``)."""
    variables: Sequence[str] | None = None
    """The variables that it began itself; None: its code tells."""
    objects: Sequence[tuple[str, str]] = ()
    """Path and SHA-256, hexadecimal, of what it was linked from: a Mach-O linker leaves debug information there."""


class OpenedPatch(Row):
    """What is in an earlier patch's file."""

    image: Image
    stubs: Mapping[int, tuple[bytes, int]]  # virtual address of a stub -> the name it stands for, where it branches to
    slots: frozenset[bytes]
    """Names whose address its code reads from a constant: another's, also of what it defines too (--keep-state).

    Without ThinLTO's numbers, which differ from patch to patch.
    """
    identity: PatchIdentity | None = None  # what its note says


class EarlierPatch:
    """An earlier patch, opened.

    Args:
        path: its file.
        opened: what is in it.
        slide: runtime address less address in the file, in bytes.
        own: the variables that it began itself, if anybody wrote that down.
        objects: path and SHA-256 of each file that it was linked from, if anybody wrote that down.
    """

    def __init__(
        self,
        path: str,
        opened: OpenedPatch,
        slide: int,
        own: Collection[str] | None = None,
        objects: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.path = path
        self.objects = objects
        self.image = opened.image
        self.slide = slide
        self.identity = opened.identity
        self._opened = opened
        self._found: dict[bytes, list[Candidate]] = {}
        self.knows_own = own is not None
        self._own = None if own is None else frozenset(base_name(as_bytes(name)) for name in own)

    def learn(self, names: Collection[bytes]) -> None:
        """Look *names* up in one pass over its symbols."""
        from stubgen.symbols.rust import is_rust_name

        new = {name for name in names if name not in self._found}
        found = self.image.find(new) if new else {}
        stubs = self._opened.stubs
        for name in new:
            pool = found.get(name, ())
            same = [c for c in pool if c.name == name or is_rust_name(name)]  # ThinLTO renames what rustc made unique
            kept = [c for c in same if c.kind is not Kind.IMPORT and c.address not in stubs]
            self._found[name] = list({(c.address, c.kind, c.local): c for c in kept}.values())  # some have two tables

    def find(self, name: bytes) -> list[Candidate]:
        """What it defines under *name*, local symbols too; its stubs are the host's functions, and none of its own."""
        self.learn((name,))
        return self._found[name]

    def uses_anothers(self, name: bytes) -> bool:
        """Whether its code uses another's variable called *name*, whatever it defines itself.

        What a borrowed member uses of its file's has that name too, unless the patch has one itself, of another file.
        """
        base = base_name(name)
        return base in self._opened.slots or (base in self._placed and not self.find(name))

    @cached_property
    def _placed(self) -> frozenset[bytes]:
        """What borrowed members call the variables that their code reads from constants: ``foo.o:count#0x2007c``."""
        return frozenset(name.rpartition(b"#")[0].rpartition(b":")[2] for name in self._opened.slots if placed(name))

    def may_have_begun(self, name: bytes) -> bool:
        """Whether nothing says that its code uses another's variable called *name*.

        A global one that it keeps and does not refer to leaves no trace in its code, and is the other's all the same;
        patches of earlier versions have no slot for it either.
        """
        return not self.uses_anothers(name) and (self._own is None or base_name(name) in self._own)

    def surely_began(self, name: bytes) -> bool:
        """Whether it began a variable of its own called *name*, by what was written down or by what else it has."""
        return self.may_have_begun(name) and (self._own is not None or not self.keeps_state)

    @cached_property
    def keeps_state(self) -> bool:
        """Whether it was surely linked with ``--keep-state``: its code uses another's of a variable that it defines."""
        found = self.image.find(set(self._opened.slots)) if self._opened.slots else {}
        state = (Kind.DATA, Kind.THREAD_LOCAL)
        return any(each.kind in state and each.writable for pool in found.values() for each in pool)

    def holds(self, address: int) -> bool:
        """Whether its code is at runtime *address*."""
        return any(start <= address - self.slide < end for start, end in self.image.executable_ranges())


def open_earlier(
    patch: PreviousPatch, opened: OpenedPatch, host: Host, slide: int, before: Sequence[EarlierPatch]
) -> EarlierPatch:
    """An earlier patch of *host*, which is at *slide*; *before* are those that were loaded before it.

    Raises:
        InputError: the file is no linked library of the host's format, or its symbol table is stripped.
        AnchorRefusal: its address cannot be right.
        PatchRefusal: it was linked for another process or another host.
    """
    image = opened.image
    path = image.name
    if image.file_type not in (FileType.LIBRARY, FileType.BUNDLE):
        raise InputError(
            f"{path}: is of another kind ({image.file_type.value}); an earlier patch is a linked shared library"
        )
    if image.format != host.image.format:
        raise InputError(f"{path}: is of another format ({image.format}) than the host ({host.image.format})")
    if not image.has_full_symbols or any(not name for name, _ in opened.stubs.values()):
        raise InputError(
            f"{path}: its symbol table is stripped, so that nothing tells its own functions from its stubs: give the "
            f"patch as it was linked"
        )
    earlier = EarlierPatch(path, opened, _slide(patch, image, opened), patch.variables, patch.objects)
    if any(other.slide == earlier.slide for other in before):
        raise AnchorRefusal(f"{path}: another earlier patch is said to be at the same address, {patch.address:#x}")
    _refuse_another_hosts(earlier, opened, host, slide, before)
    return earlier


def _slide(patch: PreviousPatch, image: Image, opened: OpenedPatch) -> int:
    """How far the loader moved the patch."""
    address, what = patch.address & UNTAGGED, "its first byte"
    static = image.first_address
    if patch.symbol is not None:
        name = as_bytes(patch.symbol)
        what = patch.symbol
        own = [c for c in image.find((name,)).get(name, ()) if c.name == name and c.kind is not Kind.IMPORT]
        places = {c.address for c in own if c.address not in opened.stubs and c.kind is not Kind.THREAD_LOCAL}
        if len(places) != 1:
            raise AnchorRefusal(f"{image.name}: defines {len(places)} symbols called {what}, whose address was given")
        static = places.pop()
    slide = address - static
    if slide <= 0 or slide % image.page_size or address >= ADDRESS_LIMIT:
        raise AnchorRefusal(
            f"{image.name}: {what} cannot be at {patch.address:#x}: a library lies a whole number of pages of "
            f"{image.page_size:#x} bytes above its addresses in the file"
        )
    return slide


def _refuse_another_hosts(
    earlier: EarlierPatch, opened: OpenedPatch, host: Host, slide: int, before: Sequence[EarlierPatch]
) -> None:
    """Hold a patch's note and stubs, which say for which process it was linked, against this one."""
    contradiction = earlier.identity.contradiction(host.identity, slide) if earlier.identity else None
    if contradiction is not None:
        raise PatchRefusal(f"{earlier.path}: is no earlier patch of this process: it {contradiction}")
    found = host.find({split_pin(name)[0] for name, _ in opened.stubs.values()})
    for name, target in opened.stubs.values():
        if forwarded_address(name) == target:
            continue
        places = [place + slide for c in found.get(split_pin(name)[0], ()) for place in _branched_to(host, c)]
        there = placed(name)  # what an archive's member, which came along, calls by no name of the host's
        places += [] if there is None else [there.value + slide]
        if target not in places and not any(other.holds(target) for other in before):
            where = ", ".join(f"{place:#x}" for place in places) or "nowhere"
            raise PatchRefusal(
                f"{earlier.path}: is no earlier patch of this process: its stub of {as_text(name)} branches to "
                f"{target:#x}, and the host's is at {where}; it was linked for another process or another build, or "
                f"a patch that was loaded before it is not given"
            )


def _branched_to(host: Host, candidate: Candidate) -> Iterator[int]:
    """The virtual addresses at which a stub may branch to a function of the host's.

    To a library's that another image may have as well it goes by the library's PLT entry or stub.
    """
    yield candidate.address
    entry = host.image.found_by_loader(candidate).entry if candidate.replaceable else None
    if entry is not None:
        yield entry
