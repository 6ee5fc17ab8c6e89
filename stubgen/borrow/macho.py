"""A Mach-O archive member held against the host: which of its atoms the host has, and an object of what it lacks.

Twin of ``borrow.elf``. Linkers place each atom on its own, so each is judged on its own. Code of what is taken reaches
the host's variables, which no ``adrp`` reaches, through constants that lie behind that code in the same atom.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import cached_property

from stubgen.borrow.atoms import Atom, Atoms, Use
from stubgen.borrow.macho_object import Field, Name, Piece, Placed, Referent, new_name, write_atoms
from stubgen.borrow.macho_unwind import Entry, compact_entries, frame_entries, needs_frame
from stubgen.borrow.presence import (
    CONSTRUCTORS,
    DESTRUCTORS,
    HostSymbols,
    Presence,
    is_descriptor,
    is_metadata,
)
from stubgen.common.aarch64 import DESTINATION, LITERAL, LITERAL_REACH, PAGE, PAGE_MASK, WORD, with_offset
from stubgen.common.row import Row
from stubgen.common.text import as_text
from stubgen.errors import MalformedInput
from stubgen.image import Candidate, Kind
from stubgen.image.macho import MachOImage
from stubgen.macho import constants as c
from stubgen.macho import relocations as r
from stubgen.macho.reader import BuildVersion
from stubgen.macho.relocations import r_word
from stubgen.symbols.placed import LITERAL_PREFIX, placed_name

POINTER = r_word(0, pcrel=False, length=3, extern=True, kind=r.ARM64_RELOC_UNSIGNED)
HALF = r_word(0, pcrel=False, length=2, extern=True, kind=r.ARM64_RELOC_UNSIGNED)
POINTERS = "__DATA,__stubgen_ptrs"
"""The section of :meth:`_Writer._pointer`."""
DISTANCE = "how far the host's is from the patch is not known before it is loaded"
REFUSED_SECTIONS = {
    c.S_INIT_FUNC_OFFSETS: "it tells by offsets which functions are to be run at its start",
    c.S_THREAD_LOCAL_INIT_FUNCTION_POINTERS: "it has functions that are run for each thread",
}
"""Types of sections that no member can be taken with -> why."""


class Target(Row):
    """What a reference of a member means."""

    referent: Referent
    address: int | None = None
    """Static virtual address in the host, where that is certain."""
    moved: int = 0
    """Bytes from what is named to what was named."""


class Member:
    """One archive member under a look.

    Args:
        image: the member.
        title: how it is called in names and reports: ``libfoo.a(foo.o)``.
        host: the host's symbols.
        defined: names that the patch's own objects define: they come before the member's, as the host's do.

    Raises:
        InputError: it has no symbols, or its relocations are broken or in a form that is not handled.
    """

    def __init__(self, image: MachOImage, title: str, host: HostSymbols, defined: Collection[bytes]) -> None:
        self.image = image
        self.title = title
        self.host = host
        self.defined = defined
        self.wanted: list[bytes] = []
        """The names for which it is taken."""
        self.stepped_back: dict[bytes, None] = {}
        """The names that it defines and the host, or the patch, has."""
        self.located: dict[bytes, Candidate] = {}
        """Spelling of a new undefined symbol -> where in the host that is."""
        self.refusals: dict[str, None] = {}
        self.other_build = ""
        """What it defines and the host has otherwise."""
        self.atoms = Atoms(image.file, title)
        self.symbols = self.atoms.symbols
        self.presence = Presence(self.atoms, title, host)
        self.reached: dict[int, None] = {}
        self.undefined: dict[bytes, bool] = {}
        """Names that what is taken refers to and does not define -> whether every use is weak."""
        self.kept_outside: dict[int, None] = {}
        """Symbols in no section, commons and absolute values, that are taken."""
        self.targets: dict[Use, Target] = {}
        """What each reference of what is taken means."""

    # what is taken

    def want(self, name: bytes) -> None:
        """Take what defines *name*, and what that needs."""
        first = not self.wanted
        self.wanted.append(name)
        if first:
            self._refuse_other_build()
            self._take_what_runs()
        for index, n_type in enumerate(self.symbols.n_type):
            if n_type & c.N_STAB or not n_type & c.N_EXT or self.symbols.name(index) != name:
                continue
            atom = self.atoms.of_symbol(index)
            if atom is None:
                self._take_outside(index)
            elif atom.number in self.presence.shifts:
                self.refuse(as_text(name), "the host has it without its name: link the host without -x")
            else:
                self._reach(atom)

    def _take_outside(self, index: int) -> None:
        where = self.symbols.n_type[index] & c.N_TYPE
        if where == c.N_INDR:
            self.refuse(as_text(self.symbols.name(index)), "it is another name of a symbol elsewhere (N_INDR)")
        elif where == c.N_ABS or self._is_common(index):
            self.kept_outside.setdefault(index)

    def _is_common(self, index: int) -> bool:
        n_type = self.symbols.n_type[index]
        return n_type & c.N_TYPE == c.N_UNDF and bool(n_type & c.N_EXT and self.symbols.n_value[index])

    def _refuse_other_build(self) -> None:
        """Refuse a member of which the host has something else: nothing in it can be trusted to fit."""
        if self.presence.foreign:
            self.other_build = self.presence.foreign
            self.refuse(
                self.other_build,
                "the host's is another one: the archive was built anew since the host was linked, or the host has its "
                "own; relink the host",
            )
        for section in self.image.file.sections:
            reason = REFUSED_SECTIONS.get(section.header.flags & c.SECTION_TYPE)
            if reason is not None and section.header.size:
                self.refuse(section.name, reason)

    def _take_what_runs(self) -> None:
        """Take what the loader and the runtimes find by themselves; none of a member that the host has.

        The host's linker keeps every constructor and every class of a member that it takes, so there they ran when the
        host started.
        """
        present = self.presence.is_in_host
        for constructor in self.presence.constructors:
            if constructor.ran is not present:
                self.refuse(
                    self.presence.label(constructor.function, constructor.function.start),
                    "it is run when the member is loaded, and it is not certain whether the host has run it",
                )
        if present:
            return
        for atom in self.atoms.all:
            kept = atom.section.header.flags & c.S_ATTR_NO_DEAD_STRIP
            named = any(self.symbols.n_desc[index] & c.N_NO_DEAD_STRIP for index in atom.symbols)
            runs = kept or named or atom.kind in CONSTRUCTORS or atom.kind in DESTRUCTORS
            if atom.size and runs and not (is_metadata(atom) and self._steps_back(atom)):
                self._reach(atom)

    def _steps_back(self, atom: Atom) -> bool:
        """Whether the host has what *atom* defines by name, as it has a protocol that many files use."""
        return any(self.gives_way(index) for index in atom.symbols)

    def refuse(self, what: str, reason: str) -> None:
        """Note why the member cannot be borrowed."""
        self.refusals.setdefault(f"{self.title}: {what}: {reason}")

    def _reach(self, first: Atom) -> None:
        """Take *first* and all that it refers to and the host lacks."""
        waiting = [first]
        while waiting:
            atom = waiting.pop()
            if atom.number in self.reached:
                continue
            self.reached[atom.number] = None
            reason = self.presence.why_unsure(atom)
            if reason:
                self.refuse(self.presence.label(atom, atom.start), reason)
            if is_metadata(atom):
                waiting += self._image_info
            waiting += self._follow(self.atoms.uses(atom))
            for entry in (*self.compact.get(atom.number, ()), *self.frames_of(atom)):
                waiting += self._follow(entry.uses)

    @cached_property
    def _image_info(self) -> list[Atom]:
        """What says for which runtime the Objective-C classes are."""
        return [atom for atom in self.atoms.all if atom.section.name.endswith(",__objc_imageinfo")]

    @cached_property
    def compact(self) -> dict[int, list[Entry]]:
        """Number of an atom -> its compact unwind entries."""
        return compact_entries(self.atoms)

    @cached_property
    def _frames(self) -> dict[int, list[Entry]]:
        return frame_entries(self.atoms)

    def frames_of(self, atom: Atom) -> list[Entry]:
        """The entries of *atom* in ``__eh_frame``, where its compact ones are not enough."""
        compact = self.compact.get(atom.number, [])
        if not atom.is_code or (compact and not any(map(needs_frame, compact))):
            return []
        return self._frames.get(atom.number, [])

    def _follow(self, uses: Iterable[Use]) -> Iterator[Atom]:
        """Decide what *uses* mean; the atoms that have to come along."""
        for use in uses:
            meant = self.atoms.meant(use)
            if use not in self.targets:
                self.targets[use] = self._target(use, meant)
            if meant is not None and not self.targets[use].referent.name and self.targets[use].address is None:
                yield meant

    def _target(self, use: Use, meant: Atom | None) -> Target:
        if meant is None:
            return self._outside(use.symbol)
        named = use.symbol >= 0 and self.presence.is_global(use.symbol)
        shift = self.presence.shifts.get(meant.number)
        if named and self._is_answered(use.symbol):
            return self._step_back(use.symbol)
        if shift is not None:
            return self._in_host(use, meant, shift, named=named)
        if named and use.symbol in self.presence.elsewhere and not self.host.definitions(self.symbols.name(use.symbol)):
            return self._locate(meant, use.target, self.presence.elsewhere[use.symbol])
        if named and self.gives_way(use.symbol):
            return self._step_back(use.symbol)
        for index in meant.symbols if not named else ():
            if self.presence.is_global(index) and self.gives_way(index):
                self.refuse(
                    as_text(self.symbols.name(index)),
                    "the host has another one of that name, and the member reaches its own by place",
                )
        return Target(Referent(symbol=use.symbol) if use.symbol >= 0 else Referent(atom=meant.number))

    def _outside(self, index: int) -> Target:
        """What symbol *index*, which is in no section here, means."""
        n_type, name = self.symbols.n_type[index], self.symbols.name(index)
        if self._is_common(index) or n_type & c.N_TYPE == c.N_ABS:
            if n_type & c.N_EXT and self.gives_way(index):
                return self._step_back(index)
            if self._is_common(index) and not self.host.names_functions:
                self.refuse(as_text(name), "the host's symbol table does not name all symbols: link it without -x")
            self.kept_outside.setdefault(index)
            return Target(Referent(symbol=index))
        if n_type & c.N_TYPE == c.N_INDR:
            self.refuse(as_text(name), "it is another name of a symbol elsewhere (N_INDR)")
        return self._by_name(name, weak=bool(self.symbols.n_desc[index] & c.N_WEAK_REF))

    def _is_answered(self, index: int) -> bool:
        """Whether the patch itself, or a library of the host, has what global symbol *index* defines."""
        name = self.symbols.name(index)
        return name in self.defined or self.host.imports(name)

    def gives_way(self, index: int) -> bool:
        """Whether the member's global definition *index* gives way to the host's, or the patch's, of that name."""
        if not self.presence.is_global(index):
            return False
        return self._is_answered(index) or bool(self.host.definitions(self.symbols.name(index)))

    def _by_name(self, name: bytes, *, weak: bool = False) -> Target:
        if not name:
            raise MalformedInput(f"{self.title}: a relocation is of a symbol that has neither a name nor a place")
        self.undefined[name] = self.undefined.get(name, True) and weak
        return Target(Referent(name=name))

    def _step_back(self, index: int) -> Target:
        name = self.symbols.name(index)
        self.stepped_back.setdefault(name)
        return self._by_name(name)

    def _in_host(self, use: Use, meant: Atom, shift: int, *, named: bool) -> Target:
        """What counts from an atom that the host has *shift* bytes further on."""
        for index in meant.symbols:
            if not self.symbols.name(index).startswith(b"ltmp"):
                self.stepped_back.setdefault(self.symbols.name(index))
        address = use.target + shift
        if named:
            known = self.host.definitions(self.symbols.name(use.symbol))
            if {found.address for found in known} == {address}:
                return self._by_name(self.symbols.name(use.symbol))._replace(address=address)
        return self._locate(meant, use.target, address)

    def _locate(self, meant: Atom, target: int, address: int) -> Target:
        """A new undefined name for what is *address* in the host, and *target* in the member."""
        kind = Kind.FUNCTION if meant.is_code else Kind.THREAD_LOCAL if is_descriptor(meant) else Kind.DATA
        label = f"{self.title}:{self.presence.label(meant, target)}"
        name = placed_name(label, address, thread_local=kind is Kind.THREAD_LOCAL)
        section = self.host.file.section_at(address)
        title = meant.section.name if section is None else section.name
        self.located[name] = Candidate(name, address, kind, True, 0, title, exported=False)
        return self._by_name(name)._replace(address=address)

    # what is written

    @cached_property
    def kept(self) -> frozenset[bytes]:
        """The global names that the object of what is taken defines."""
        taken = [index for number in self.reached for index in self.atoms.all[number].symbols]
        return frozenset(
            self.symbols.name(index)
            for index in (*taken, *self.kept_outside)
            if self.presence.is_global(index) and not self.gives_way(index)
        )

    def content(self, near: Collection[bytes], several: Collection[bytes]) -> bytes:
        """An object of what is taken, with what the host has undefined in it.

        Args:
            near: names that objects of the patch define.
            several: those of them that several borrowed members define.
        """
        return _Writer(self, near, several).write()


class _Writer:
    """Writes the object of one member."""

    def __init__(self, member: Member, near: Collection[bytes], several: Collection[bytes]) -> None:
        self.member, self.near, self.several = member, near, several
        self.atoms, self.symbols = member.atoms, member.symbols
        self.pieces: dict[str, Piece] = {}
        self.placed: dict[int, Placed] = {}
        self.names: dict[int, Name] = {}
        self.labels: list[Name] = []
        self.used: dict[bytes, None] = {}
        self._heads: dict[int, int] = {}  # start of a common information entry -> where it was put
        self._frames = Referent()  # the start of __eh_frame
        self._pointers: dict[bytes, Referent] = {}

    def write(self) -> bytes:
        """The object."""
        taken = [self.atoms.all[number] for number in sorted(self.member.reached)]
        for atom in taken:
            self._put(atom)
        for atom in taken:
            for entry in self.member.compact.get(atom.number, ()):
                self._put_compact(entry)
            for entry in self.member.frames_of(atom):
                self._put_frame(entry)
        for index in self.member.kept_outside:
            n_type = self.symbols.n_type[index] | (c.N_PEXT if self.symbols.n_type[index] & c.N_EXT else 0)
            value = self.symbols.n_value[index]
            self.names[index] = Name(self.symbols.name(index), n_type, self.symbols.n_desc[index], None, value)
        version = self.member.image.build_version or self.member.host.image.build_version or BuildVersion(0, 0, 0)
        flags = self.atoms.file.header.flags & c.MH_SUBSECTIONS_VIA_SYMBOLS
        undefined = {name: weak for name, weak in self.member.undefined.items() if name in self.used}
        pieces = list(self.pieces.values())
        return write_atoms(pieces, self.placed, self.names, self.labels, undefined, version, flags, self.member.title)

    def _piece(self, atom: Atom) -> Piece:
        header, title = atom.section.header, atom.section.name
        if title not in self.pieces:
            segname, _, sectname = title.partition(",")
            self.pieces[title] = Piece(segname, sectname, header.flags, header.align)
        return self.pieces[title]

    def _put(self, atom: Atom) -> None:
        piece = self._piece(atom)
        zero = atom.kind in c.ZEROFILL_TYPES
        content = bytearray() if zero else bytearray(self.atoms.content(atom))  # of zeroes there may be any number
        fields = [] if zero else list(self._fields(atom, content))
        place = Placed(piece, piece.add(bytes(content), like=atom.start, zeros=atom.size if zero else None))
        self.placed[atom.number] = place
        piece.fields += [field._replace(address=field.address + place.offset) for field in fields]
        for index in atom.symbols:
            gone = self.member.gives_way(index)
            weak = self.symbols.name(index) in self.several
            self.names[index] = new_name(self.symbols, index, atom, place, stays_weak=weak, gone=gone)
        self.labels += [
            label._replace(piece=piece, value=label.value + place.offset)
            for label in self._literals.pop(atom.number, ())
        ]

    @cached_property
    def _literals(self) -> dict[int, list[Name]]:
        """Number of an atom that was not put yet -> labels of the constants behind its code, by offset in it."""
        return {}

    def _referent(self, target: Target) -> Referent:
        if target.referent.name:
            self.used.setdefault(target.referent.name)
        return target.referent

    def _is_far(self, target: Target) -> bool:
        """Whether what is meant will not be in the patch."""
        name = target.referent.name
        return bool(name) and name not in self.near

    def _fields(self, atom: Atom, content: bytearray) -> Iterator[Field]:
        """The relocations of *atom*, by offset in its *content*, which is changed where the host is meant."""
        constants: dict[tuple[bytes, int], int] = {}
        uses = [(use, self.member.targets[use]) for use in self.atoms.uses(atom)]
        starts = _page_addends(uses)
        for use, target in uses:
            offset = use.address - atom.start
            if use.subtracted >= 0:
                yield from self._difference(use, target, offset, content)
            elif use.kind == r.ARM64_RELOC_POINTER_TO_GOT and self._is_hosts_data(target):
                content[offset : offset + WORD] = (-offset % (1 << 32)).to_bytes(WORD, "little")
                here = Referent(atom=atom.number)
                yield Field(offset, r.ARM64_RELOC_UNSIGNED, HALF, self._pointer(target), subtracted=here)
            elif self._is_far(target) and use.kind in (r.ARM64_RELOC_PAGE21, r.ARM64_RELOC_PAGEOFF12):
                start = starts.get(use.symbol, 0)
                word = int.from_bytes(content[offset : offset + WORD], "little")
                if use.kind == r.ARM64_RELOC_PAGE21:
                    key = target.referent.name, start
                    constants.setdefault(key, (len(content) + 3) // 4 * 4 + 8 * len(constants))
                    new: int | None = LITERAL | (constants[key] - offset) // 4 << 5 | word & DESTINATION
                    new = new if word & PAGE_MASK == PAGE and constants[key] - offset < LITERAL_REACH else None
                else:
                    new = with_offset(word, use.addend - start)
                if new is None:
                    self._refuse(use, target, "code reaches it as if it were near, in a way that cannot be changed")
                else:
                    content[offset : offset + WORD] = new.to_bytes(4, "little")
            else:
                yield self._field(use, target, offset, content)
        yield from self._constants(atom, content, constants)

    def _is_hosts_data(self, target: Target) -> bool:
        known = self.member.host.definitions(target.referent.name) if self._is_far(target) else []
        return any(found.kind is Kind.DATA for found in known) and not self.member.host.imports(target.referent.name)

    def _pointer(self, target: Target) -> Referent:
        """A pointer of the patch's to what the host has: stands for a GOT entry, which linkers make of names alone."""
        name = target.referent.name
        if name not in self._pointers:
            piece = self.pieces.setdefault(POINTERS, Piece("__DATA", "__stubgen_ptrs", c.S_REGULAR, 3))
            offset = piece.add(bytes(8))
            piece.fields.append(Field(offset, r.ARM64_RELOC_UNSIGNED, POINTER, self._referent(target)))
            self._pointers[name] = Referent(atom=-2 - len(self.labels))
            self.labels.append(Name(b"l_stubgen.pointer." + name, c.N_SECT, 0, piece, offset))
        return self._pointers[name]

    def _constants(self, atom: Atom, content: bytearray, constants: dict[tuple[bytes, int], int]) -> Iterator[Field]:
        """Put addresses of the host's behind the code; who binds the object fills them in."""
        if constants:
            content.extend(bytes(-len(content) % 4))
        for (name, addend), offset in constants.items():
            content += (addend % (1 << 64)).to_bytes(8, "little")
            title = LITERAL_PREFIX + name + (b"%+d" % addend if addend else b"")
            self._literals.setdefault(atom.number, []).append(Name(title, c.N_SECT, c.N_ALT_ENTRY, None, offset))
            self.used.setdefault(name)
            yield Field(offset, r.ARM64_RELOC_UNSIGNED, POINTER, Referent(name=name))

    def _field(self, use: Use, target: Target, offset: int, content: bytearray) -> Field:
        referent = self._referent(target)
        if use.kind == r.ARM64_RELOC_UNSIGNED:
            size = 1 << use.length
            content[offset : offset + size] = (use.addend % (1 << 8 * size)).to_bytes(size, "little")
            return Field(offset, use.kind, use.word, referent)
        return Field(offset, use.kind, use.word, referent, use.addend)

    def _difference(self, use: Use, target: Target, offset: int, content: bytearray) -> Iterator[Field]:
        """A distance between two places: between two of the patch's the linker fills it in."""
        home = self.atoms.of_symbol(use.subtracted)
        if self._is_far(target) or home is None or home.number not in self.member.reached:
            self._refuse(use, target, DISTANCE)
        else:
            field = self._field(use, target, offset, content)
            yield field._replace(addend=0, subtracted=Referent(symbol=use.subtracted))

    def _refuse(self, use: Use, target: Target, reason: str) -> None:
        kind = r.NAMES.get(use.kind, f"relocation {use.kind}")
        where = next(s for s in self.atoms.file.sections if 0 <= use.address - s.header.addr < s.header.size)
        place = f"{where.name}+{use.address - where.header.addr:#x}"
        name = target.referent.name or self.symbols.name(max(use.symbol, 0))
        self.member.refuse(place, f"{kind} against {as_text(name)}: {reason}")

    def _put_compact(self, entry: Entry) -> None:
        flags = c.S_ATTR_DEBUG
        piece = self.pieces.setdefault("__LD,__compact_unwind", Piece("__LD", "__compact_unwind", flags, 3))
        content = bytearray(entry.content)
        fields = [self._field(use, self.member.targets[use], use.address - entry.start, content) for use in entry.uses]
        offset = piece.add(bytes(content))
        piece.fields += [field._replace(address=field.address + offset) for field in fields]

    def _put_frame(self, entry: Entry) -> None:
        section = self.atoms.file.section("__TEXT,__eh_frame")
        assert section is not None  # noqa: S101  # the entry is from there
        if section.name not in self.pieces:
            piece = Piece("__TEXT", "__eh_frame", section.header.flags, section.header.align)
            self.pieces[section.name] = piece
            self._frames = Referent(atom=-2 - len(self.labels))
            self.labels.append(Name(b"l_stubgen.frames", c.N_SECT, 0, piece, 0))
        piece = self.pieces[section.name]
        start, end = entry.head
        raw = bytes(self.atoms.file.content(section))
        if start not in self._heads:
            self._heads[start] = self._put_part(
                piece, raw[start - section.header.addr : end - section.header.addr], start, entry
            )
        offset = self._put_part(piece, entry.content, entry.start, entry)
        back = (offset + 4 - self._heads[start]).to_bytes(4, "little")
        piece.content[offset + 4 : offset + 8] = back

    def _put_part(self, piece: Piece, raw: bytes, start: int, entry: Entry) -> int:
        """Put the bytes *raw* of ``__eh_frame``, which lie at *start* in the source; their offset."""
        content, offset = bytearray(raw), len(piece.content)
        section = self.atoms.file.section("__TEXT,__eh_frame")
        base = 0 if section is None else section.header.addr
        for use in entry.uses:
            at = use.address - start
            if not 0 <= at < len(raw):
                continue
            field = self._field(use, self.member.targets[use], at, content)
            if use.subtracted >= 0:  # counted from a symbol of the section: now from its start
                size = 1 << use.length
                moved = (
                    use.addend + (use.address - base) - (offset + at) - (self.symbols.n_value[use.subtracted] - base)
                )
                content[at : at + size] = (moved % (1 << 8 * size)).to_bytes(size, "little")
                field = field._replace(subtracted=self._frames)
            piece.fields.append(field._replace(address=offset + at))
        piece.content += content
        return offset


def _page_addends(uses: Iterable[tuple[Use, Target]]) -> dict[int, int]:
    """Symbol -> the addend of its page, where all pages of it have the same one; of others 0 is meant."""
    found: dict[int, set[int]] = {}
    for use, _ in uses:
        if use.kind == r.ARM64_RELOC_PAGE21:
            found.setdefault(use.symbol, set()).add(use.addend)
    return {symbol: next(iter(addends)) for symbol, addends in found.items() if len(addends) == 1}
