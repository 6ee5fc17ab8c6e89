"""Which atoms of a Mach-O archive member the host has, and where.

A strong global name, or a method's, says where its atom lies, if the bytes there are the member's but for relocated
fields. From there the host's own fields lead on: what such an atom refers to lies where the host's copy of it says.
A linker that strips dead code keeps what such references reach and nothing else. So what none of them reaches is not
in the host, whatever is called like it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection
from functools import cached_property

from stubgen.borrow.atoms import Atom, Atoms, Use
from stubgen.borrow.places import Field, FieldKind, Places
from stubgen.common.row import Row
from stubgen.common.text import as_text
from stubgen.host import Host
from stubgen.image import Candidate, Kind, Reference
from stubgen.image.macho import MachOImage
from stubgen.macho import constants as c
from stubgen.macho import relocations as r
from stubgen.macho.reader import MachOFile
from stubgen.resolve.candidates import meaning
from stubgen.resolve.unanswered import may_be_static

OWN_SECTIONS = frozenset(
    {
        *("__gcc_except_tab", "__cfstring", "__ustring", "__objc_imageinfo"),
        *("__objc_selrefs", "__objc_classrefs", "__objc_superrefs", "__objc_protorefs", "__objc_msgrefs"),
        *("__objc_methname", "__objc_classname", "__objc_methtype"),
    }
)
"""Sections of which each image has its own: tables beside code, references that a runtime fills in, literals."""
METADATA = "__objc_"
"""How the others are called that tell the Objective-C runtime of classes; linkers may write them anew."""
CONSTRUCTORS = frozenset({c.S_MOD_INIT_FUNC_POINTERS})
DESTRUCTORS = frozenset({c.S_MOD_TERM_FUNC_POINTERS})
POINTER_LENGTH = 3  # log2 bytes
METHOD = (b"-[", b"+[")
"""How the local symbols of Objective-C methods begin, each of which a program has once."""


FIELDS = {
    r.ARM64_RELOC_PAGE21: FieldKind.PAGE,
    r.ARM64_RELOC_PAGEOFF12: FieldKind.OFFSET,
    r.ARM64_RELOC_GOT_LOAD_PAGE21: FieldKind.POINTERS_PAGE,
    r.ARM64_RELOC_GOT_LOAD_PAGEOFF12: FieldKind.POINTERS_OFFSET,
    r.ARM64_RELOC_TLVP_LOAD_PAGE21: FieldKind.POINTERS_PAGE,
    r.ARM64_RELOC_TLVP_LOAD_PAGEOFF12: FieldKind.POINTERS_OFFSET,
    r.ARM64_RELOC_BRANCH26: FieldKind.BRANCH,
    r.ARM64_RELOC_UNSIGNED: FieldKind.POINTER,
}
"""Relocation -> what its field is for, where that says an address."""
_POINTER_SECTIONS = frozenset({c.S_NON_LAZY_SYMBOL_POINTERS, c.S_THREAD_LOCAL_VARIABLE_POINTERS})


class MachOPlaces(Places):
    """Of a Mach-O host."""

    def __init__(self, file: MachOFile) -> None:
        self.file = file

    def memory_at(self, address: int, size: int) -> bytes | None:
        return self.file.memory_at(address, size)

    def pointer_at(self, address: int) -> int | None:
        return self.file.pointer_at(address)

    def is_among_pointers(self, address: int) -> bool:
        section = self.file.section_at(address)
        return section is not None and section.header.flags & c.SECTION_TYPE in _POINTER_SECTIONS


def field_of(use: Use) -> Field | None:
    """The field of *use*, where that says an address."""
    kind = FIELDS.get(use.kind)
    if kind is None or use.subtracted >= 0 or (kind is FieldKind.POINTER and use.length != POINTER_LENGTH):
        return None
    return Field(use.address, kind, use.symbol, use.addend, use.access)


class HostSymbols:
    """The host's symbols by name, looked up once for each name."""

    def __init__(self, host: Host) -> None:
        assert isinstance(host.image, MachOImage)  # noqa: S101  # borrow() pairs them
        self.image = host.image
        self.file = host.image.file
        self.places = MachOPlaces(self.file)
        self._known: dict[bytes, list[Candidate]] = {}
        self._has: set[bytes] = set()
        self._imports: set[bytes] = set()
        self._local: set[bytes] = set()

    def learn(self, names: Collection[bytes]) -> None:
        """Look *names* up, all in one pass."""
        wanted = {name for name in names if name not in self._known}
        if not wanted:
            return
        self._known.update((name, []) for name in wanted)
        for name, candidates in self.image.find(wanted).items():
            pool = meaning(Reference(name, name, "", weak=False), candidates).candidates
            if pool:
                self._has.add(name)
            if may_be_static(pool):
                self._local.add(name)
            for candidate in candidates:
                if candidate.kind is Kind.IMPORT:
                    self._imports.add(name)
                elif candidate.name == name:
                    self._known[name].append(candidate)

    def find(self, name: bytes) -> list[Candidate]:
        """The host's definitions of exactly that name."""
        if name not in self._known:
            self.learn([name])
        return self._known[name]

    def definitions(self, name: bytes) -> list[Candidate]:
        """Those of them that other objects of the host could mean."""
        return [known for known in self.find(name) if not known.local]

    def has(self, name: bytes) -> bool:
        """Whether the host defines *name*, or imports it: then a library of its has it."""
        self.find(name)
        return name in self._has

    def may_be_static(self, name: bytes) -> bool:
        """Whether it has no other than local symbols of *name*, which may be static ones of other files."""
        self.find(name)
        return name in self._local

    def imports(self, name: bytes) -> bool:
        """Whether a library of the host has it."""
        self.find(name)
        return name in self._imports

    @cached_property
    def keeps_locals(self) -> bool:
        """Whether the linker kept local symbols, as far as there is one: with ``-x`` it drops private externs too."""
        table = self.file.symbols
        return table is not None and any(
            not n_type & (c.N_STAB | c.N_EXT) and n_type & c.N_TYPE == c.N_SECT for n_type in table.n_type
        )

    @cached_property
    def names_functions(self) -> bool:
        """Whether each function has a symbol, so that nothing can refer to a static variable unseen."""
        if self.keeps_locals:
            return True
        starts, table = self.file.function_starts(), self.file.symbols
        return bool(starts and table is not None and starts <= set(table.n_value))  # zig's linker writes none

    @cached_property
    def initialisers(self) -> frozenset[int]:
        """Virtual addresses of the functions that dyld calls when it loads the host."""
        found: set[int] = set()
        for section in self.file.sections:
            kind, header = section.header.flags & c.SECTION_TYPE, section.header
            if kind == c.S_MOD_INIT_FUNC_POINTERS:
                end = header.addr + len(self.file.content(section))  # of what is in the file, whatever it is said to be
                pointers = map(self.file.pointer_at, range(header.addr, end - 7, 8))
                found.update(pointer for pointer in pointers if pointer is not None)
            elif kind == c.S_INIT_FUNC_OFFSETS:
                raw = bytes(self.file.content(section))
                words = (raw[at : at + 4] for at in range(0, len(raw) - 3, 4))
                found.update(self.file.base_address + int.from_bytes(word, "little") for word in words)
        return frozenset(found)


class Constructor(Row):
    """A function of the member's that dyld calls when it loads the image."""

    function: Atom
    ran: bool
    """The host calls it too."""


class Presence:
    """What the host has of one member.

    Args:
        atoms: the member.
        title: how it is called: ``libfoo.a(foo.o)``.
        host: the host's symbols.
    """

    def __init__(self, atoms: Atoms, title: str, host: HostSymbols) -> None:
        self.atoms, self.title, self.host = atoms, title, host
        self.symbols = atoms.symbols
        self.shifts: dict[int, int] = {}
        """Number of an atom that the host has -> how far from its address in the object, in bytes."""
        self.elsewhere: dict[int, int] = {}
        """Global symbol -> virtual address of the definition that the host uses instead."""
        self.unread: dict[int, None] = {}
        """Numbers of atoms that the host's code refers to in fields that do not say where."""
        self.doubtful: dict[int, None] = {}
        """Numbers of atoms that only weak functions refer to: the host's may be another object's."""
        self.foreign = ""
        """A name of which the host has something else, so that nothing of the member can be trusted to fit."""
        self._waiting: list[Atom] = []
        self._hinted = sorted({address for _, addresses in atoms.file.hints() for address in addresses})
        names = {self.symbols.name(index) for atom in atoms.all for index in atom.symbols}
        host.learn(names)
        self._settle()

    def _settle(self) -> None:
        for atom in self.atoms.all:
            if not is_own(atom):
                for index in atom.symbols:
                    self._begin(atom, index)
        self.constructors = tuple(self._find_constructors())
        while self._waiting:
            self._follow(self._waiting.pop())
        self._follow_weak()

    @property
    def is_in_host(self) -> bool:
        """Whether the host was linked from this very member, as a whole or in part."""
        return bool(self.shifts)

    def is_global(self, index: int) -> bool:
        """Whether other objects see symbol *index*."""
        return bool(self.symbols.n_type[index] & c.N_EXT)

    def is_weak(self, index: int) -> bool:
        """Whether symbol *index* gives way to another definition, or takes the place of others."""
        return self.is_global(index) and bool(self.symbols.n_desc[index] & c.N_WEAK_DEF)

    def _begin(self, atom: Atom, index: int) -> None:
        """Place *atom* if its symbol *index* can be no other object's."""
        name = self.symbols.name(index)
        if self.is_global(index) and not self.is_weak(index):
            known = self.host.definitions(name)
        elif name.startswith(METHOD):
            known = self.host.find(name)
        else:
            return
        shifts = {found.address - self.symbols.n_value[index] for found in known}
        fitting = [shift for shift in shifts if self.has_content(atom, shift)]
        if len(fitting) == 1:
            self._place(atom, fitting[0])
        elif known and not fitting and not is_metadata(atom):
            self.foreign = self.foreign or as_text(name)

    def _place(self, atom: Atom, shift: int) -> None:
        if atom.number not in self.shifts:
            self.shifts[atom.number] = shift
            self._waiting.append(atom)

    def has_content(self, atom: Atom, shift: int) -> bool:
        """Whether the host has the bytes of *atom*, but for what a linker fills in, *shift* bytes further on."""
        address = atom.start + shift
        section = self.host.file.section_at(address)
        if section is None:
            return not atom.size and not atom.is_code
        kind, flags = section.header.flags & c.SECTION_TYPE, section.header.flags
        code = bool(flags & (c.S_ATTR_PURE_INSTRUCTIONS | c.S_ATTR_SOME_INSTRUCTIONS))
        if code is not atom.is_code or (kind == c.S_THREAD_LOCAL_VARIABLES) is not is_descriptor(atom):
            return False
        if address + atom.size > section.header.addr + section.header.size:
            return False
        if kind in c.ZEROFILL_TYPES and atom.kind in c.ZEROFILL_TYPES:  # any number of zeroes, of which none is written
            return True
        if atom.size > len(self.atoms.file.view) + len(self.host.file.view):
            return False
        if kind in c.ZEROFILL_TYPES:
            there = bytearray(atom.size)
        else:
            there = bytearray(self.host.file.memory_at(address, atom.size) or b"")
        mine = bytearray(self.atoms.content(atom))
        fields = [(use.address - atom.start, 1 << use.length) for use in self.atoms.uses(atom)]
        hinted = self._hinted[bisect_left(self._hinted, atom.start) : bisect_left(self._hinted, atom.end)]
        fields += [(at - atom.start, 4) for at in hinted]
        for at, size in fields:
            mine[at : at + size] = there[at : at + size]
        return mine == there

    def _follow(self, atom: Atom) -> None:
        """Learn from the host's copy of *atom* where that has what the atom refers to."""
        if is_descriptor(atom):  # dyld fills it in
            return
        weak = any(map(self.is_weak, atom.symbols))
        uses = [(use, meant) for use in self.atoms.uses(atom) if (meant := self.atoms.meant(use)) is not None]
        fields = [field for use, _ in uses if (field := field_of(use)) is not None]
        said = self.host.places.meant(fields, self.shifts[atom.number], self.atoms.earlier_pages)
        for use, meant in uses:
            if is_own(meant):
                continue
            address = said.get((use.symbol, use.addend))
            named = use.symbol >= 0 and self.is_global(use.symbol)
            if weak and not named:
                self.doubtful[meant.number] = None
            elif address is None:
                self.unread[meant.number] = None
            else:
                self._learn(meant, use, address - use.target, named=named)

    def _learn(self, atom: Atom, use: Use, shift: int, *, named: bool) -> None:
        """Note that what *use* means, *atom* or what took its place, is *shift* bytes further on in the host."""
        if self.shifts.get(atom.number, shift) == shift and self.has_content(atom, shift):
            self._place(atom, shift)
        elif named:
            self.elsewhere[use.symbol] = use.target + shift
        elif is_constant(atom) or is_metadata(atom):
            self.unread[atom.number] = None
        else:
            self.foreign = self.foreign or self.label(atom, use.target)

    def _find_constructors(self) -> list[Constructor]:
        found = []
        for atom in self.atoms.all:
            if atom.kind not in CONSTRUCTORS:
                continue
            for use in self.atoms.uses(atom):
                function = self.atoms.meant(use)
                if function is not None:
                    found.append(Constructor(function, self._has_run(function, use.target + use.addend)))
        return found

    def _has_run(self, function: Atom, start: int) -> bool:
        """Whether dyld calls the function at *start* in the host as well."""
        shifts = [at - start for at in self.host.initialisers if self.has_content(function, at - start)]
        if self.host.keeps_locals:
            named = {known.address for i in function.symbols for known in self.host.find(self.symbols.name(i))}
            shifts = [shift for shift in shifts if start + shift in named]
        if len(shifts) == 1 and (self.host.keeps_locals or self.is_in_host):
            self._place(function, shifts[0])
        return bool(shifts)

    def _follow_weak(self) -> None:
        """Note what is reached, by names of this object alone, from weak definitions that may be the host's."""
        waiting = [atom for atom in self.atoms.all if self._may_be_hosts(atom)]
        waiting += [self.atoms.all[number] for number in self.doubtful]
        seen = {atom.number for atom in waiting}
        while waiting:
            for use in self.atoms.uses(waiting.pop()):
                meant = self.atoms.meant(use)
                named = use.symbol >= 0 and self.is_global(use.symbol)
                if meant is not None and not named and meant.number not in seen and meant.number not in self.shifts:
                    seen.add(meant.number)
                    self.doubtful[meant.number] = None
                    waiting.append(meant)

    def _may_be_hosts(self, atom: Atom) -> bool:
        return any(
            self.has_content(atom, known.address - self.symbols.n_value[index])
            for index in atom.symbols
            if self.is_weak(index)
            for known in self.host.definitions(self.symbols.name(index))
        )

    def why_unsure(self, atom: Atom) -> str:
        """Why nobody can tell whether, or where, the host has *atom*, which has state; empty if it has not."""
        if atom.number in self.shifts or is_own(atom) or (is_constant(atom) and not is_metadata(atom)):
            return ""
        kept = any(self.symbols.n_desc[index] & c.N_NO_DEAD_STRIP for index in atom.symbols)
        private = any(self.symbols.n_type[index] & c.N_PEXT for index in atom.symbols)
        reasons = (
            (is_metadata(atom) and self.is_in_host, "the host has its Objective-C classes, and nobody can tell where"),
            (is_metadata(atom), ""),
            (atom.number in self.unread, "the host has it, and its code does not say where"),
            (
                atom.number in self.doubtful,
                "an inline function of the host's refers to one of that name, and nobody can tell from which object "
                "the linker took that function",
            ),
            (
                not (self.host.keeps_locals if private else self.host.names_functions),
                "the host's symbol table does not name local symbols, so nobody can tell whether the host has it: "
                "link the host without -x, and do not strip it",
            ),
            (
                self.is_in_host and (kept or bool(atom.section.header.flags & c.S_ATTR_NO_DEAD_STRIP)),
                "the host keeps it although nothing refers to it there, and nobody can tell where",
            ),
        )
        return next((reason for applies, reason in reasons if applies), "")

    def label(self, atom: Atom, address: int) -> str:
        """What lies at *address*, for people: a symbol, or section and offset."""
        for index in reversed(atom.symbols):
            if self.symbols.n_value[index] == address and not self.symbols.name(index).startswith(b"ltmp"):
                return as_text(self.symbols.name(index))
        return f"{atom.section.name}+{address - atom.section.header.addr:#x}"


def is_own(atom: Atom) -> bool:
    """Whether each image has its own *atom*."""
    return atom.kind in c.LITERAL_TYPES or atom.section.name.partition(",")[2] in OWN_SECTIONS


def is_metadata(atom: Atom) -> bool:
    """Whether the Objective-C runtime reads *atom*."""
    return atom.section.name.partition(",")[2].startswith(METADATA)


def is_descriptor(atom: Atom) -> bool:
    """Whether *atom* is what stands for a thread-local."""
    return atom.kind == c.S_THREAD_LOCAL_VARIABLES


def is_constant(atom: Atom) -> bool:
    """Whether nothing writes to *atom* once the loader is done with it."""
    segment, _, name = atom.section.name.partition(",")
    return atom.is_code or segment in ("__TEXT", "__DATA_CONST", "__LLVM") or name == "__const"
