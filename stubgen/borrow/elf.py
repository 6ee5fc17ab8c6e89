"""An ELF archive member held against the host: which of its sections the host has, and an object of what it lacks.

A linker places an input section as a whole. So a section of which the host has one symbol lies there around that
symbol, every other symbol of it at the same distance, and its bytes are the member's but for relocated fields. What
counts from such a section is a place in the host then, also where no symbol names it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property

from stubgen.borrow.elf_places import ElfPlaces, fields_of
from stubgen.borrow.object import Piece, PieceSymbol, write_object
from stubgen.borrow.unwind import Frame, frames, join_frames
from stubgen.common.row import Row
from stubgen.common.text import as_bytes, as_text
from stubgen.elf import constants as c
from stubgen.elf import relocations as r
from stubgen.elf.reader import ElfFile, Section, Symbols
from stubgen.elf.relocations import Relocations
from stubgen.errors import MalformedInput, UnsupportedInput
from stubgen.host import Host
from stubgen.image import Candidate, Kind, Reference
from stubgen.image.elf import OF_LTO, ElfImage
from stubgen.resolve.candidates import meaning
from stubgen.resolve.unanswered import MANGLED, may_be_static
from stubgen.symbols.placed import placed_name
from stubgen.symbols.rust import is_rust_name

CHUNK = 4096
"""Bytes of a host's section that are named together: an ``adrp`` and what follows it mean one page of the section."""

FIELD_SIZES = {
    r.R_AARCH64_ABS64: 8,
    r.R_AARCH64_PREL64: 8,
    r.R_AARCH64_GOTREL64: 8,
    r.R_AARCH64_ABS16: 2,
    r.R_AARCH64_PREL16: 2,
}
"""Relocation -> bytes that a linker changes there; every other one changes a word of 4."""

BRANCHES = frozenset(
    {r.R_AARCH64_CALL26, r.R_AARCH64_JUMP26, r.R_AARCH64_PLT32, r.R_AARCH64_CONDBR19, r.R_AARCH64_TSTBR14}
)
CONSTRUCTORS = (".init_array", ".preinit_array", ".ctors")
DESTRUCTORS = (".fini_array", ".dtors")
"""Names of sections whose pointers the loader calls; each may go on with a period and a priority."""
ALWAYS = (".note.GNU-stack", ".note.gnu.property")
"""Sections that say something of the whole object."""
OWN = (".gcc_except_table",)
"""Names of read-only sections that count from the code they belong to, so that each image has its own."""


class HostSymbol(Row):
    """A defined symbol of the host's full table."""

    place: int  # in the table
    value: int
    size: int  # bytes
    kind: int  # STT_*
    local: bool
    hidden: bool  # no static one is
    static: bool  # local, and surely so in its object too


class HostSymbols:
    """The host's symbols by name, looked up once for each name."""

    def __init__(self, host: Host) -> None:
        assert isinstance(host.image, ElfImage)  # noqa: S101  # borrow() pairs them
        self.image = host.image
        self.places = ElfPlaces(host.image.file)
        self._known: dict[bytes, list[HostSymbol]] = {}
        self._locals: dict[int, frozenset[tuple[bytes, int]]] = {}
        self._has: set[bytes] = set()
        self._local: set[bytes] = set()
        self._imports: set[bytes] = set()

    @cached_property
    def table(self) -> Symbols | None:
        """Where to look: the full table, else what the loader sees."""
        return self.image.file.symbols or self.image.file.dynamic_symbols

    @cached_property
    def keeps_locals(self) -> bool:
        """Whether the linker kept local symbols: with ``-x`` all three drop the files' names with them."""
        return self.table is not None and any(self.table.name(index) for index in self._file_places)

    def learn(self, names: Collection[bytes]) -> None:
        """Look *names* up, all in one pass."""
        wanted = {name for name in names if name not in self._known}
        table = self.table
        if not wanted or table is None:
            return
        found: dict[bytes, list[HostSymbol]] = {name: [] for name in wanted}
        number = 0
        for name, candidates in self.image.find(wanted).items():
            pool = meaning(Reference(name, name, "", weak=False), candidates).candidates
            if pool:
                self._has.add(name)
            if may_be_static(pool) and not name.startswith(MANGLED["elf"]):
                self._local.add(name)
            if any(candidate.kind is Kind.IMPORT for candidate in candidates):
                self._imports.add(name)
        places = self.image.indexed(number, wanted)
        for place in table.find_indexes(wanted, ()) if places is None else places:
            symbol = table.entry(place)
            kind = symbol.st_info & 0xF
            if symbol.st_shndx == c.SHN_UNDEF or kind in (c.STT_SECTION, c.STT_FILE):
                continue
            name = table.strings.at(symbol.st_name)
            if name in found:
                local, hidden = symbol.st_info >> 4 == c.STB_LOCAL, bool(symbol.st_other & 3)
                static = local and self.image.is_static(table, place, symbol)
                found[name].append(HostSymbol(place, symbol.st_value, symbol.st_size, kind, local, hidden, static))
        self._known.update(found)

    def find(self, name: bytes) -> list[HostSymbol]:
        """The host's symbols of that name."""
        if name not in self._known:
            self.learn([name])
        return self._known.get(name, [])

    def has(self, name: bytes) -> bool:
        """Whether the host defines *name*, or imports it: then a library of its has it."""
        self.find(name)
        return name in self._has

    def may_be_static(self, name: bytes) -> bool:
        """Whether it has no other than local symbols of *name*, which may be static ones of other files."""
        self.find(name)
        return name in self._local

    def may_be_of(self, name: bytes, image: ElfImage) -> bool:
        """Whether a local symbol *name* may be what object *image* defines for others: the linker made it local."""
        files = file_names(image)
        return any(
            not known.static and (not files or self.file_of(known) in (*OF_LTO, *files)) for known in self.find(name)
        )

    def imports(self, name: bytes) -> bool:
        """Whether a library of the host has it."""
        self.find(name)
        return name in self._imports

    @cached_property
    def _file_places(self) -> list[int]:
        """Where the file symbols are, ascending: each begins the local symbols of one object."""
        table = self.table
        kind = c.STB_LOCAL << 4 | c.STT_FILE
        return [] if table is None else [index for index, info in enumerate(table.st_info) if info == kind]

    def object_of(self, symbol: HostSymbol) -> int:
        """Which object a local symbol is from: equal for those of one; -1 where the table does not say."""
        place = bisect_right(self._file_places, symbol.place) - 1
        return place if place >= 0 else -1

    def locals_of(self, number: int) -> frozenset[tuple[bytes, int]]:
        """Name and size of the local functions and variables of object *number*.

        lld and mold put an object's global symbols that became local behind these. So what follows a hidden symbol is
        no static one of this object; it may be from the next, which names no file: libgcc.a's and assembly do not.
        """
        known = self._locals.get(number)
        if known is None:
            places = [*self._file_places, len(self.table or ())]
            table, found = self.table, set()
            if table is not None and number >= 0:
                for index in range(places[number] + 1, places[number + 1]):
                    info = table.st_info[index]
                    if info >> 4 != c.STB_LOCAL:
                        break
                    name = table.name(index)
                    if table.entry(index).st_other & 3:
                        break
                    if info & 0xF in (c.STT_FUNC, c.STT_OBJECT, c.STT_TLS) and not name.startswith((b".L", b"$")):
                        found.add((name, table.st_size[index]))
            known = self._locals[number] = frozenset(found)
        return known

    def file_of(self, symbol: HostSymbol) -> bytes:
        """The source file of a local symbol; empty where the table does not say."""
        return b"" if self.table is None else self.table.file_of(symbol.place)


class Fate(Row):
    """What the host has of one section of a member."""

    base: int | None = None
    """The host has it as a whole: what to add to an offset in it to get a symbol value in the host."""
    firmly: bool = False
    """That is sure of this very member: not by weak symbols alone, which any object may have brought."""
    unsure: str = ""
    """Why it cannot be told whether, or where, the host has it."""
    foreign: bool = False
    """The host has one of that name from elsewhere, or from another build of the member."""


class Target(Row):
    """What a relocation of a member means."""

    section: int  # of the member; 0: elsewhere
    symbol: int  # of the member
    name: bytes  # undefined in what is written; empty: the symbol itself
    addend: int


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

    def __init__(self, image: ElfImage, title: str, host: HostSymbols, defined: Collection[bytes]) -> None:
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
        self.file: ElfFile = self.image.file
        symbols = self.file.symbols
        if symbols is None:
            raise MalformedInput(f"{self.title}: has no symbol table")
        self.symbols: Symbols = symbols
        self.reached: dict[int, None] = {}
        self.undefined: dict[bytes, bool] = {}
        """Names that what is taken refers to and does not define -> whether every use is weak."""
        self._targets: dict[tuple[int, int], Target] = {}
        self._fates: dict[int, Fate] = {}
        self.host.learn([*{name for named in self._named.values() for _, name in named}, *self._commons])

    # what is in it

    @cached_property
    def tables(self) -> dict[int, Relocations]:
        """Section -> its relocations."""
        found = {}
        for section in self.file.sections:
            header = section.header
            target = header.sh_info
            if header.sh_type in (c.SHT_REL, c.SHT_CREL) and target < len(self.file.sections):
                if self.file.sections[target].header.sh_flags & c.SHF_ALLOC:
                    raise UnsupportedInput(f"{self.title}: {section.name} is not Elf64_Rela, the one form handled")
            elif header.sh_type == c.SHT_RELA:
                if not 0 < target < len(self.file.sections):
                    raise MalformedInput(f"{self.title}: {section.name} belongs to no section")
                if not self._is_allocated(target):  # debug information, which is left behind
                    continue
                found[target] = self.file.relocation_table(section)
        return found

    @cached_property
    def _named(self) -> dict[int, list[tuple[int, bytes]]]:
        """Section -> (index, name) of the symbols in it that a linker passes on."""
        found: dict[int, list[tuple[int, bytes]]] = {}
        for index, shndx in enumerate(self.symbols.st_shndx):
            if 0 < shndx < len(self.file.sections) and self.symbols.st_info[index] & 0xF not in (
                c.STT_SECTION,
                c.STT_FILE,
            ):
                name = self.symbols.name(index)
                if name and not name.startswith((b".L", b"$")):
                    found.setdefault(shndx, []).append((index, name))
        return found

    @cached_property
    def _commons(self) -> list[bytes]:
        table = self.symbols
        return [table.name(index) for index, shndx in enumerate(table.st_shndx) if shndx == table.common]

    @cached_property
    def _groups(self) -> dict[int, tuple[int, bytes]]:
        """Section -> the group that it is in: (number of the group's section, signature)."""
        found = {}
        for group, held in self.file.comdat_groups():
            signature = self._signature(group.header.sh_info)
            found.update(dict.fromkeys(held, (group.number, signature)))
        return found

    def _signature(self, symbol: int) -> bytes:
        name = self.symbols.name(symbol)
        shndx = self.symbols.st_shndx[symbol]
        return name or (as_bytes(self.file.sections[shndx].name) if shndx < len(self.file.sections) else b"")

    # what the host has of it

    def fate(self, number: int) -> Fate:
        """What the host has of section *number*."""
        known = self._fates.get(number)
        if known is None:
            known = self._fates[number] = self._judge(self.file.sections[number])
        return known

    @cached_property
    def is_in_host(self) -> bool:
        """Whether the host was linked from this very member, as a whole or in part."""
        return any(self.fate(number).firmly for number in self._named if self._is_allocated(number))

    def _is_allocated(self, number: int) -> bool:
        return bool(self.file.sections[number].header.sh_flags & c.SHF_ALLOC)

    def _judge(self, section: Section) -> Fate:
        header, named = section.header, self._named.get(section.number, [])
        constant = _is_constant(section)
        if section.name.startswith(OWN) or any(name.startswith(b"DW.ref.") for _, name in named):
            return Fate()
        if not named or (header.sh_flags & SHF_MERGE and constant):
            return Fate()
        if section.number in self._told:
            return Fate(base=self._told[section.number], firmly=True)
        return self._judge_names(section, named)

    def _judge_names(self, section: Section, named: Sequence[tuple[int, bytes]]) -> Fate:
        """What the names of the symbols in *section* say of it."""
        places = {index: self._places(index, name) for index, name in named}
        present = {index: set(bases) for index, bases in places.items() if bases}
        if not present:
            return Fate(unsure=self._why_unseen(section))
        return self._judge_places(
            section, present, whole=all(places[index] or self._may_be_unnamed(index) for index in places)
        )

    @cached_property
    def _told(self) -> dict[int, int]:
        """Section -> where the host has it, as its own code says that is surely of this member.

        A symbol that no other object sees means the member's own section, whatever else is called like it.
        """
        found: dict[int, int] = {}
        waiting = []
        for number, named in self._named.items():
            if any(self._is_strong(index) for index, _ in named) and self._is_code(number):
                fate = self._judge_names(self.file.sections[number], named)
                if fate.base is not None and fate.firmly:
                    waiting.append((number, fate.base))
        seen = {number for number, _ in waiting}
        while waiting:
            for number, base in self._told_by(*waiting.pop()):
                section = self.file.sections[number]
                if number not in found and self._has_content(section, base):
                    found[number] = base
                    if number not in seen and self._is_code(number):
                        seen.add(number)
                        waiting.append((number, base))
        return found

    def _is_code(self, number: int) -> bool:
        return bool(self.file.sections[number].header.sh_flags & c.SHF_EXECINSTR)

    def _told_by(self, number: int, base: int) -> Iterator[tuple[int, int]]:
        """Sections that the code in section *number* reaches by local symbols, and where the host has them."""
        table = self.tables.get(number)
        said = self.host.places.meant(fields_of(table), base) if table is not None else {}
        for (symbol, _), address in said.items():
            shndx = self.symbols.st_shndx[symbol]
            if address is None or not self._is_local(symbol) or not 0 < shndx < len(self.file.sections):
                continue
            if not self.file.sections[shndx].header.sh_flags & c.SHF_TLS:
                yield shndx, address - self.symbols.st_value[symbol]

    def _may_be_unnamed(self, index: int) -> bool:
        """Whether the host's table may lack the member's symbol *index* although what it names is there."""
        return self._is_local(index) and not self.host.keeps_locals

    def _judge_places(self, section: Section, present: Mapping[int, set[int]], *, whole: bool) -> Fate:
        """What the host has of a section of which it has symbols.

        Args:
            section: a section of the member.
            present: its symbols that the host has -> where each may put the section.
            whole: the host has all of its symbols.
        """
        telling = [index for index in present if self._is_telling(index)]
        firm = [bases for index, bases in present.items() if self._is_local(index) or self._is_strong(index)]
        common = set.intersection(*(firm or present.values())) if whole else set()
        bases = {base for base in common if self._has_content(section, base)}
        if len(bases) == 1:
            if telling or not all(map(self._is_local, present)) or self._is_vouched_for:
                return Fate(base=bases.pop(), firmly=bool(telling))
        elif telling:
            return Fate(
                unsure=f"the host's {as_text(self.symbols.name(telling[0]))} is another one: {self.title} was built "
                f"anew since the host was linked, or the host has its own; relink the host",
                foreign=not is_rust_name(self.symbols.name(telling[0])),
            )
        if _is_constant(section) or not self._has_entrance or not any(map(self._is_local, present)):
            return Fate()  # a second copy of a constant does no harm, and global names say themselves what they mean
        return Fate(unsure="another file may have one just like it, and nothing says whose it is")

    @cached_property
    def _has_entrance(self) -> bool:
        """Whether anything can have kept a section of it in the host: a global symbol, or the section itself."""
        return any(
            section.header.sh_flags & SHF_GNU_RETAIN or section.name.startswith((*CONSTRUCTORS, *DESTRUCTORS))
            for section in self.file.sections
        ) or any(
            not self._is_local(index) and self._same(index, name)
            for named in self._named.values()
            for index, name in named
        )

    def _is_telling(self, index: int) -> bool:
        """Whether no other object of a program can have symbol *index*: rustc's names, and strong global ones."""
        if self._is_local(index):
            return is_rust_name(self.symbols.name(index))
        return self._is_strong(index)

    @cached_property
    def _is_vouched_for(self) -> bool:
        """Whether the host has a section of the member that can be no other object's."""
        return any(
            any(self._is_telling(index) and not self._is_local(index) for index, _ in named)
            and self._is_allocated(number)
            and self.fate(number).firmly
            for number, named in self._named.items()
        )

    def _is_local(self, index: int) -> bool:
        return self.symbols.st_info[index] >> 4 == c.STB_LOCAL

    def _is_strong(self, index: int) -> bool:
        return self.symbols.st_info[index] >> 4 == c.STB_GLOBAL and self.symbols.st_shndx[index] not in self._groups

    def _places(self, index: int, name: bytes) -> list[int]:
        """Where the member's symbol *index* may put its section in the host: bases."""
        value = self.symbols.st_value[index]
        return sorted({found.value - value for found in self._same(index, name)})

    def _same(self, index: int, name: bytes) -> list[HostSymbol]:
        """The host's symbols that may be the member's symbol *index*.

        A linker makes global symbols local where they are hidden or not exported: GNU ld puts them behind the
        file symbol without a name, lld and mold among those of their file. What is local in another file is not it.
        """
        symbol = self.symbols.entry(index)
        thread_local = symbol.st_info & 0xF == c.STT_TLS
        found = [known for known in self.host.find(name) if (known.kind == c.STT_TLS) is thread_local]
        if self._is_local(index):
            return [known for known in found if known.local and self._is_from_here(known, index)]
        seen = [known for known in found if not known.local]
        if seen or name.startswith((b"_Z", b"_R")) or not self._files:  # assembly names no file
            return seen or [known for known in found if not known.static]
        return [
            known
            for known in found
            if known.hidden or (not known.static and self.host.file_of(known) in (b"", *self._files))
        ]

    def _namesakes(self, index: int, name: bytes) -> list[HostSymbol]:
        """The host's local symbols of that name, from a file of the name that the member's symbol *index* is from."""
        file = self.symbols.file_of(index)
        return [known for known in self.host.find(name) if known.local and self.host.file_of(known) in (b"", file)]

    def _is_from_here(self, known: HostSymbol, index: int) -> bool:
        """Whether the host's local symbol *known* may be the member's *index*, by its size and the object around it."""
        if known.size != self.symbols.st_size[index]:
            return False
        number = self.host.object_of(known)
        if number < 0 or not self._files:
            return True
        return self.host.file_of(known) in (b"", self.symbols.file_of(index)) and (
            self.host.file_of(known) == b"" or self.host.locals_of(number) <= self._sized
        )

    @cached_property
    def _files(self) -> frozenset[bytes]:
        return file_names(self.image)

    @cached_property
    def _sized(self) -> frozenset[tuple[bytes, int]]:
        """Name and size of every symbol of the member."""
        return frozenset((name, self.symbols.st_size[index]) for named in self._named.values() for index, name in named)

    def _has_content(self, section: Section, base: int) -> bool:
        """Whether the host has the section's bytes at *base*, but for the fields that a linker fills in."""
        header = section.header
        if header.sh_flags & c.SHF_TLS:
            return base >= 0
        if base % max(header.sh_addralign, 1):
            return False
        if header.sh_type == c.SHT_NOBITS or not header.sh_size:
            return True
        theirs = self.host.image.file
        offset = theirs.offset_of(base)
        if offset is None or offset + header.sh_size > len(theirs.view):
            return False
        mine = bytearray(self.file.content(section))
        there = bytearray(theirs.view.bytes(offset, header.sh_size, "a section of the host"))
        table = self.tables.get(section.number)
        if table is not None:
            for at, kind in zip(table.r_offset, table.kind, strict=True):
                size = FIELD_SIZES.get(kind, 4)
                mine[at : at + size] = there[at : at + size]
        return mine == there

    def _why_unseen(self, section: Section) -> str:
        """Why it is not sure that the host lacks *section*, none of whose symbols it has; empty if it is."""
        named = self._named[section.number]
        if _is_constant(section):
            return ""
        if not self.host.keeps_locals:
            return (
                f"the host's symbol table does not name local symbols, so nobody can tell whether the host has the "
                f"variable {as_text(named[0][1])}: link the host without -x and --discard-all, and do not strip it"
            )
        for index, name in named:
            if self._is_local(index) and self._has_entrance and self._namesakes(index, name):
                return f"the host's {as_text(name)} of that file is another one, in size or in what is beside it"
        return ""

    def steps_back(self, index: int) -> bool:
        """Whether the member's definition *index* gives way to the host's, or the patch's, of that name."""
        if self._is_local(index):
            return False
        name = self.symbols.name(index)
        if name.startswith(b"DW.ref."):
            return False
        return name in self.defined or self.host.imports(name) or bool(self._same(index, name))

    # what is taken

    def want(self, name: bytes) -> None:
        """Take what defines *name*, and what that needs."""
        first = not self.wanted
        self.wanted.append(name)
        if first:
            self._refuse_other_build()
            self._take_constructors()
        for index, shndx in enumerate(self.symbols.st_shndx):
            if shndx and not self._is_local(index) and self.symbols.name(index) == name:
                if 0 < shndx < len(self.file.sections):
                    self._reach(shndx)
                else:
                    self.kept_outside.setdefault(index)

    @cached_property
    def kept_outside(self) -> dict[int, None]:
        """Symbols in no section, commons and absolute values, that are taken."""
        return {}

    def _refuse_other_build(self) -> None:
        """Refuse a member of which the host has something else: nothing in it can be trusted to fit."""
        for number, named in self._named.items():
            if self._is_allocated(number) and self.fate(number).foreign:
                self.other_build = as_text(named[0][1])
                self.refuse(self.other_build, self.fate(number).unsure)
                return

    def _take_constructors(self) -> None:
        """Take the constructors, which run when the patch is loaded; none of a member that the host has.

        The host's linker keeps every constructor of a member that it takes, so there they ran when the host started.
        """
        for section in self.file.sections:
            if not section.name.startswith((*CONSTRUCTORS, *DESTRUCTORS)) or not self._is_allocated(section.number):
                continue
            if not self.is_in_host:
                self._reach(section.number)
                continue
            table = self.tables.get(section.number)
            for symbol, addend in zip(table.symbol, table.r_addend, strict=True) if table else ():
                target = self.symbols.st_shndx[symbol]
                known = target < len(self.file.sections) and target and self.fate(target).base is not None
                if not known and not (target == c.SHN_UNDEF and self.host.find(self.symbols.name(symbol))):
                    what = self._label(target, self.symbols.st_value[symbol] + addend)
                    self.refuse(
                        what,
                        "it is run when the member is loaded, the host has the member, and it is not certain that the "
                        "host has run it",
                    )

    def refuse(self, what: str, reason: str) -> None:
        """Note why the member cannot be borrowed."""
        self.refusals.setdefault(f"{self.title}: {what}: {reason}")

    def _reach(self, number: int) -> None:
        """Take section *number* and all that it refers to and the host lacks."""
        waiting = [number]
        while waiting:
            number = waiting.pop()
            if number in self.reached:
                continue
            self.reached[number] = None
            table = self.tables.get(number)
            if table is not None:
                waiting += self._follow(number, range(len(table)))
            for frame in self._frames_of.get(number, ()):
                code = self.tables[frame.section]
                begins = Target(0, code.symbol[frame.code], b"", code.r_addend[frame.code])
                self._targets[frame.section, frame.code] = begins
                waiting += self._follow(frame.section, frame.relocations)

    @cached_property
    def _frames(self) -> list[Frame]:
        return [
            frame
            for section in self.file.sections
            if section.name == ".eh_frame" and section.header.sh_size
            for frame in frames(self.file.content(section), section.number, self.tables.get(section.number), self.title)
        ]

    @cached_property
    def _frames_of(self) -> dict[int, list[Frame]]:
        """Section of code -> its unwind entries."""
        found: dict[int, list[Frame]] = {}
        for frame in self._frames:
            table = self.tables[frame.section]
            found.setdefault(self.symbols.st_shndx[table.symbol[frame.code]], []).append(frame)
        return found

    def _follow(self, number: int, indexes: Iterable[int]) -> Iterator[int]:
        """Decide what the relocations *indexes* of section *number* mean; the sections that have to come along."""
        table = self.tables[number]
        for index in indexes:
            symbol = table.symbol[index]
            if (number, index) in self._targets or not symbol:
                continue
            target = self._target(table.kind[index], symbol, table.r_addend[index])
            self._targets[number, index] = target
            if target.section:
                yield target.section

    def _target(self, kind: int, symbol: int, addend: int) -> Target:
        shndx = self.symbols.st_shndx[symbol]
        if shndx == c.SHN_UNDEF:
            weak = self.symbols.st_info[symbol] >> 4 == c.STB_WEAK
            return self._by_name(symbol, addend, weak=weak)
        if shndx >= len(self.file.sections):  # a common or an absolute value
            if self.steps_back(symbol):
                return self._step_back(symbol, addend)
            self._refuse_doubtful(symbol)
            self.kept_outside.setdefault(symbol)
            return Target(0, symbol, b"", addend)
        fate = self.fate(shndx)
        offset = self.symbols.st_value[symbol] + addend
        if fate.base is not None:
            return self._in_host(kind, symbol, shndx, fate.base, addend)
        if fate.unsure:
            self.refuse(self._label(shndx, offset), fate.unsure)
        elif self.steps_back(symbol):
            return self._step_back(symbol, addend)
        else:
            self._refuse_unnamed(shndx, symbol, offset)
            self._refuse_doubtful(symbol)
        return Target(shndx, symbol, b"", addend)

    def _refuse_unnamed(self, number: int, symbol: int, offset: int) -> None:
        """Refuse what reaches state without a name, or what has stepped back under another name."""
        section = self.file.sections[number]
        if not self._named.get(number) and not _is_constant(section) and self.is_in_host:
            self.refuse(section.name, "it holds variables without names, which the host has too, nobody can tell where")
        if self._is_label(symbol):
            for index, name in self._named.get(number, ()):
                start, size = self.symbols.st_value[index], self.symbols.st_size[index]
                if start <= offset < start + max(size, 1) and self.steps_back(index):
                    self.refuse(
                        as_text(name), "the host has another one of that name, and the member reaches its own by place"
                    )

    def _refuse_doubtful(self, symbol: int) -> None:
        """Refuse a definition of which nobody can tell whether another object's took its place in the host.

        Of two strong definitions the host's linker would have complained.
        """
        name = self.symbols.name(symbol)
        if self._is_local(symbol) or name.startswith(b"DW.ref.") or not self.host.image.hides_globals:
            return
        common = self.symbols.st_shndx[symbol] == self.symbols.common
        if self._is_strong(symbol) and not common and self.is_in_host:
            return
        for known in self.host.find(name):
            self.refuse(
                as_text(name),
                f"the host has a function or variable of that name from {as_text(self.host.file_of(known))}, and its "
                f"linker made global names local: nobody can tell whether it took the place of this one; link the "
                f"host with -rdynamic, or with GNU ld or lld and without a version script",
            )

    def _is_label(self, symbol: int) -> bool:
        return self._is_local(symbol) and (
            self.symbols.st_info[symbol] & 0xF == c.STT_SECTION or self.symbols.name(symbol).startswith((b".L", b"$"))
        )

    def _by_name(self, symbol: int, addend: int, *, weak: bool = False) -> Target:
        name = self.symbols.name(symbol)
        if not name:
            raise MalformedInput(f"{self.title}: a relocation is of a symbol that has neither a name nor a place")
        self.undefined[name] = self.undefined.get(name, True) and weak
        return Target(0, symbol, name, addend)

    def _step_back(self, symbol: int, addend: int) -> Target:
        self.stepped_back.setdefault(self.symbols.name(symbol))
        return self._by_name(symbol, addend)

    def _in_host(self, kind: int, symbol: int, shndx: int, base: int, addend: int) -> Target:
        """What counts from a section that the host has at *base*."""
        offset = self.symbols.st_value[symbol] + addend
        section = self.file.sections[shndx]
        for _, name in self._named[shndx]:
            self.stepped_back.setdefault(name)
        if self._is_meant_by_name(symbol, base, addend):
            return self._by_name(symbol, addend)
        if section.header.sh_flags & c.SHF_TLS:
            return self._locate(shndx, offset, base, Kind.THREAD_LOCAL, 0)
        if section.header.sh_flags & c.SHF_EXECINSTR:
            function = self._function_at(shndx, offset)
            if self.symbols.st_info[symbol] & 0xF == c.STT_GNU_IFUNC:  # its resolver has a name at the same place
                function = Kind.IFUNC
            if kind in BRANCHES or function is not None:
                return self._locate(shndx, offset, base, function or Kind.FUNCTION, 0)
            return self._locate(shndx, offset, base, Kind.DATA, 0)
        start = offset // CHUNK * CHUNK
        return self._locate(shndx, start, base, Kind.DATA, offset - start)

    def _is_meant_by_name(self, symbol: int, base: int, addend: int) -> bool:
        """Whether a reference to *symbol*, whose section lies at *base* in the host, is one to whatever has its name.

        A weak definition may have given way to another object's although its section is there.
        """
        if self._is_local(symbol):
            return False
        name = self.symbols.name(symbol)
        here, known = base + self.symbols.st_value[symbol], {found.value for found in self._same(symbol, name)}
        return name in self.defined or here not in known or (known == {here} and not addend)

    def _function_at(self, shndx: int, offset: int) -> Kind | None:
        for index, _ in self._named[shndx]:
            if self.symbols.st_value[index] == offset:
                kind = self.symbols.st_info[index] & 0xF
                if kind in (c.STT_FUNC, c.STT_GNU_IFUNC, c.STT_NOTYPE):
                    return Kind.IFUNC if kind == c.STT_GNU_IFUNC else Kind.FUNCTION
        return None

    def _locate(self, shndx: int, offset: int, base: int, kind: Kind, addend: int) -> Target:
        """A new undefined name for byte *offset* of a section that the host has at *base*."""
        address = base + offset
        thread_local = kind is Kind.THREAD_LOCAL
        name = placed_name(f"{self.title}:{self._label(shndx, offset)}", address, thread_local=thread_local)
        known = Candidate(name, address, kind, True, 0, self.file.sections[shndx].name, exported=False)
        self.located[name] = known
        self.undefined[name] = False
        return Target(0, 0, name, addend)

    def _label(self, shndx: int, offset: int) -> str:
        """What lies at byte *offset* of section *shndx*, for people: a symbol, or section and offset."""
        there = [
            (self.symbols.st_info[index] & 0xF != c.STT_GNU_IFUNC, self._is_local(index), name)
            for index, name in self._named.get(shndx, ())
            if self.symbols.st_value[index] == offset
        ]
        if there:
            return as_text(min(there)[-1])  # an ifunc's resolver has a name at the same place
        section = self.file.sections[shndx].name if shndx < len(self.file.sections) else "?"
        return f"{section}+{offset:#x}"

    # what is written

    @property
    def kept(self) -> Collection[bytes]:
        """The global names that the object of what is taken defines; relocations tell none of them from others."""
        return ()

    def content(self, near: Collection[bytes] = (), several: Collection[bytes] = ()) -> bytes:
        """An object of what is taken, with what the host has undefined in it."""
        sections = sorted(self.reached)
        pieces = [self._piece(number) for number in sections]
        always = [s.number for s in self.file.sections if s.name in ALWAYS and s.number not in self.reached]
        pieces += [self._piece(number) for number in always]
        live = [frame for number in sections for frame in self._frames_of.get(number, ())]
        if live:
            pieces += join_frames(live, self.file, self.tables, self._relocation)
        symbols = [
            PieceSymbol(index, self.symbols.name(index), self.symbols.entry(index))
            for index, shndx in enumerate(self.symbols.st_shndx)
            if self._is_kept(index, shndx)
        ]
        return write_object(self.file, pieces, symbols, self.undefined, self._groups)

    def _is_kept(self, index: int, shndx: int) -> bool:
        if shndx >= len(self.file.sections):
            file = self.symbols.st_info[index] & 0xF == c.STT_FILE
            return file or index in self.kept_outside
        return shndx in self.reached and (self._is_local(index) or not self.steps_back(index))

    def _piece(self, number: int) -> Piece:
        section = self.file.sections[number]
        table = self.tables.get(number)
        relocations = [self._relocation(number, index) for index in range(len(table))] if table else []
        return Piece(number, section.name, section.header, self.file.content(section), relocations)

    def _relocation(self, number: int, index: int) -> tuple[int, int, int, bytes, int]:
        """(offset, kind, the member's symbol, name where it is undefined, addend) of a relocation."""
        table = self.tables[number]
        target = self._targets.get((number, index))
        at, kind = table.r_offset[index], table.kind[index]
        if target is None:
            return at, kind, 0, b"", table.r_addend[index]
        return at, kind, target.symbol, target.name, target.addend


SHF_MERGE = 0x10
SHF_GNU_RETAIN = 0x200000


def file_names(image: ElfImage) -> frozenset[bytes]:
    """The source files that an object's symbol table names; assembly has none."""
    table, kind = image.file.symbols, c.STB_LOCAL << 4 | c.STT_FILE
    infos = () if table is None else table.st_info
    return frozenset(table.name(index) for index, info in enumerate(infos) if table is not None and info == kind)


def _is_constant(section: Section) -> bool:
    """Whether nothing writes to *section* once the loader is done with it."""
    return not section.header.sh_flags & c.SHF_WRITE or section.name.startswith(".data.rel.ro")
