"""What is in a file, in one vocabulary for both formats: what the phases see instead of ELF and Mach-O."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from functools import cached_property
from itertools import compress
from operator import not_

from stubgen.common.row import Row
from stubgen.symbols.versions import base_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from stubgen.common.strings import NameTable
    from stubgen.image.dwarf import DebugInfo
    from stubgen.image.inlined import InlinedInto
    from stubgen.image.sole import SoleFunctions
    from stubgen.image.static_code import StaticCode
    from stubgen.macho.reader import BuildVersion


class Kind(Enum):
    """What a symbol is, as far as a caller is concerned."""

    FUNCTION = "function"
    DATA = "data"
    THREAD_LOCAL = "thread-local"
    IFUNC = "ifunc"
    IMPORT = "import"
    ABSOLUTE = "absolute"


class FileType(Enum):
    """What a file is for: e_type in ELF, filetype in Mach-O."""

    OBJECT = "object"
    EXECUTABLE = "executable"
    LIBRARY = "shared library"
    BUNDLE = "bundle"


class Candidate(Row):
    """One symbol that may be what a name means."""

    name: bytes  # without its version, with its ThinLTO suffix
    address: int  # static virtual address; 0 for an import
    kind: Kind
    local: bool  # not visible outside its translation unit
    size: int  # bytes; 0 where the format does not say
    section: str
    version: str = ""  # ELF symbol version
    default: bool = True  # of several versions, the one that an unversioned reference means
    exported: bool = False  # the dynamic loader can find it by name
    file: bytes = b""  # the source file of a local symbol, where the table says
    writable: bool = True  # not in memory that holds constants
    weak: bool = False  # its table says that another definition would win over it
    hidden: bool = False  # ELF: a global symbol that the linker made local; one file's own symbols are not
    replaceable: bool = False  # a library exports it and lets another image's definition take its place
    tag: int = 0  # the top byte of every pointer to it, in place: HWASan tags variables


class NamedObject(Row):
    """An object that a linked image names for debuggers."""

    path: str  # ``libfoo.a(foo.o)`` of an archive's member
    modified: int  # when it was last changed, in seconds since 1970; 0 where the linker does not say


class Code(Row):
    """A run of instructions."""

    section: int  # number or ordinal; 0 where section headers are stripped
    address: int  # virtual address of the first byte; in an ELF object, 0
    content: memoryview


class FunctionSymbol(Row):
    """Where a named function begins."""

    name: bytes
    section: int  # as in Code
    address: int  # virtual address; in an ELF object, byte offset into the section
    weak: bool
    hidden: bool  # ELF: hidden visibility; Mach-O: private extern


class Import(Row):
    """A name that a linked image leaves to the dynamic loader."""

    name: bytes
    weak: bool
    library: str | None  # the library that the linker found it in, where the image says so


class DefiningObject:
    """What an object says that all its variables have in common."""

    def __init__(self, image: Image, symbols: NameTable, prefix: bytes) -> None:
        self.image = image
        self.symbols = symbols
        self.prefix = prefix  # what the format puts before each of a language's names: Mach-O an underscore

    @cached_property
    def names(self) -> frozenset[bytes]:
        """The names of all its symbols, as the compiler spells them, without the format's prefix."""
        return frozenset(name.removeprefix(self.prefix) for name in self.symbols.names())


class Variable(Row):
    """A variable that an object defines."""

    name: bytes
    size: int  # bytes; 0 where the format does not say
    minimum_size: int  # bytes that it surely has, where the format does not say how many
    alignment: int  # bytes: its code may rely on an address that is a multiple
    writable: bool
    thread_local: bool
    local: bool
    hidden: bool  # global in its object, and local in what is linked from it
    file: bytes  # the source file, where the table or, in Mach-O, debug information says
    has_several_names: bool  # another variable's symbol is at the same address
    is_part_of_another: bool  # Mach-O: it lies inside a larger variable (N_ALT_ENTRY)
    is_kept_apart: bool  # it can be told from its neighbours; Mach-O: by MH_SUBSECTIONS_VIA_SYMBOLS
    defined_in: DefiningObject
    place: int = 0  # where its object's debug information says that it is


THREAD_LOCAL_START = b"$tlv$init"
"""What Mach-O compilers put behind a thread-local's name for its template, the value with which it begins."""
PLACE_SHIFT = 40
"""ELF: bits below the section's index in a variable's ``place``, more than any section has bytes."""
COMMONS = 1 << 62
"""Mach-O: where the ``place`` of variables begins that lie in no section of their object."""


def common_place(index: int) -> int:
    """Where debug information is taken to say that a common is, the symbol *index*, which lies nowhere yet.

    What stands for its place, its alignment (ELF) or its size (Mach-O), is that of other variables as well.
    """
    return index << 16


class Reach(ABC):
    """What of an object refers to what else, piece by piece; a piece is a number."""

    @property
    def undivided(self) -> bool:
        """Whether each piece counts as referring to all that any does: nothing tells who refers to what."""
        return False

    @abstractmethod
    def initialisers(self) -> list[tuple[int, bytes]]:
        """The pieces that run when what is linked from it is loaded, and their names."""

    @abstractmethod
    def functions(self) -> Mapping[int, bytes]:
        """The pieces that have a name and may be functions."""

    @abstractmethod
    def targets(self, piece: int) -> Collection[int | bytes]:
        """What *piece* refers to: pieces of this object, and names, which others may define."""

    @abstractmethod
    def piece_at(self, place: int) -> int:
        """The piece that a variable's ``place`` is in."""

    @abstractmethod
    def definition(self, name: bytes) -> int | None:
        """The piece that is called *name* by other objects, if it is here."""


class Pointer(Row):
    """A word of an object's constant that the linker makes an address."""

    name: bytes  # the symbol whose address it is; empty: of a place that no variable covers
    addend: int  # bytes from there
    own: bool  # the object defines that symbol


class Content(Row):
    """What is in a constant that an object defines."""

    name: bytes
    raw: bytes  # its pointers are not meant
    pointers: Mapping[int, Pointer]  # byte offset in it -> what it points to
    opaque: bool  # it has more that the linker fills in, or no bytes in the file


class Word(Row):
    """What the loader makes of an 8-byte word of a linked image."""

    name: bytes  # the symbol that it looks up; empty: the image's own address, or a plain value
    value: int  # bytes added to that symbol's address; without one a static virtual address, or the value


class Found(Row):
    """What the loader found for a name that a library defines and looks up all the same."""

    word: int | None  # virtual address of the word that holds its address since the library was loaded; None: none does
    entry: int | None  # virtual address of the library's PLT entry, or Mach-O stub, for it


class Pointed(Row):
    """What an entry points to."""

    name: bytes  # the symbol there; empty: a string
    addend: int  # bytes from it
    text: bytes  # the string, with its zero byte


class Entry(Row):
    """A variable in a section of an object that programs walk as a table."""

    name: bytes  # empty: bytes that no symbol names
    size: int
    local: bool
    file: bytes  # the source file of a local one
    content: Sequence[int | None]  # its bytes; None where a relocation changes one
    pointers: Mapping[int, Pointed]  # byte offset in it -> what the word there points to, where that is told


class Reference(Row):
    """One name that an object uses and does not define."""

    spelling: bytes  # as the object has it; the stub must be spelled the same
    name: bytes  # without the version
    version: str  # ELF: the version that the object pins with .symver
    weak: bool


class References:
    """What an object, or all of a patch's, use and do not define: as columns, and a row each for who walks through.

    Nearly every reference is a strong one of a name without a version.

    Args:
        spellings: as the objects have them.
        weak: those of which every use is weak.
        otherwise: spelling -> name and version, where there is a version.
    """

    def __init__(
        self,
        spellings: Sequence[bytes] = (),
        weak: frozenset[bytes] = frozenset(),
        otherwise: Mapping[bytes, tuple[bytes, str]] | None = None,
    ) -> None:
        self.spellings = spellings
        self.weak = weak
        self.otherwise = otherwise or {}

    def __len__(self) -> int:
        return len(self.spellings)

    def __iter__(self) -> Iterator[Reference]:
        return map(self._row, self.spellings)

    def __getitem__(self, index: int) -> Reference:
        return self._row(self.spellings[index])

    def of(self, spelling: bytes) -> Reference | None:
        """The one that is spelled so."""
        return self._row(spelling) if spelling in self.spellings else None

    def _row(self, spelling: bytes) -> Reference:
        name, version = self.otherwise.get(spelling, (spelling, ""))
        return Reference(spelling, name, version, spelling in self.weak)

    @cached_property
    def names(self) -> Sequence[bytes]:
        """Without versions; the very column of spellings where none has one."""
        known = self.otherwise
        return [known[each][0] if each in known else each for each in self.spellings] if known else self.spellings


INDEX_PAYS = 8
"""Symbols a wanted name from which an index is faster than a search of them all."""


def names_llvm(text: bytes) -> bool:
    """Whether *text*, in which compilers left their names, names one that LLVM is part of."""
    return any(name in text for name in (b"clang version", b"rustc version", b"LLVM version"))


def alignment_at(offset: int, size: int, section: int) -> int:
    """The alignment in bytes that code may rely on for a variable of *size* bytes, at *offset* of a section.

    Its type's divides all three: where it lies, its size and how *section* is aligned. Which one it is, no object
    says of a variable that shares its section; one that was asked for beyond the type's goes unseen.
    """
    bits = offset | size | section
    return bits & -bits


if TYPE_CHECKING:

    class NameIndex(Protocol):
        """Knows where names are without a pass over the table."""

        def find_indexes(self, number: int, wanted: Collection[bytes]) -> Iterator[int] | None:
            """Index, in symbol table *number*, of each symbol whose base name may be one of *wanted*'s, ascending.

            None where it knows no more, because its file is damaged.
            """

        def find_sole(self, wanted: Collection[bytes]) -> dict[bytes, int] | None:
            """Name -> index, in the first table, of the one symbol in all tables that may have it as its base name.

            None likewise. *wanted* are base names.
            """


def weak_alone(spellings: Sequence[bytes], weak: Iterable[int]) -> frozenset[bytes]:
    """Those of *spellings* of which every use is *weak*, of which there is one a spelling."""
    flags = bytes(weak)
    if 1 not in flags:
        return frozenset()
    return frozenset(compress(spellings, flags)).difference(compress(spellings, map(not_, flags)))


def _behind(content: bytes, parts: Iterable[bytes], names: tuple[bytes, ...]) -> set[bytes]:
    """Each of *names* with what of *parts* is behind it anywhere in *content*."""
    found = set[bytes]()
    for part in parts:
        at = content.find(part)
        while at >= 0:
            if content.endswith(names, 0, at):
                found.update(name + part for name in names if content.endswith(name, 0, at))
            at = content.find(part, at + 1)
    return found


class Image(ABC):
    """A parsed file of either format."""

    format: str
    """``elf`` or ``macho``."""
    page_size: int
    """Bytes; every slide is a multiple of it."""
    features = 0
    """ELF: GNU_PROPERTY_AARCH64_FEATURE_1_* bits."""
    build_version: BuildVersion | None = None
    """Mach-O: platform and minimum OS."""
    libc = ""
    """ELF: "glibc", "musl", "android", or "" where nothing tells."""

    def __init__(self, name: str) -> None:
        self.name = name

    companions: Sequence[Image] = ()
    """The objects that are linked with an object: a type that it only declares may be described in one of them."""

    intermediate_code = False
    """ELF: whether an object holds GCC's code for link-time optimisation, alone or beside the machine's."""

    @property
    @abstractmethod
    def file_type(self) -> FileType:
        """What the file is for."""

    @property
    @abstractmethod
    def build_id(self) -> bytes | None:
        """``.note.gnu.build-id`` or LC_UUID."""

    @property
    @abstractmethod
    def code_digest(self) -> bytes | None:
        """What tells a linked image from other builds where it has no build id; None if nothing does."""

    @abstractmethod
    def notes_of(self, owner: bytes, kind: int, section: str) -> list[memoryview]:
        """The content of each note of that *owner* and *kind*; Mach-O has a *section* of its own for each."""

    @property
    @abstractmethod
    def install_name(self) -> str | None:
        """DT_SONAME or LC_ID_DYLIB."""

    @property
    @abstractmethod
    def needed_libraries(self) -> tuple[str, ...]:
        """DT_NEEDED or LC_LOAD_DYLIB and its kin."""

    @property
    @abstractmethod
    def position_independent(self) -> bool:
        """Whether the loader may slide it."""

    @property
    @abstractmethod
    def has_symbols(self) -> bool:
        """Whether there is any symbol table to look in."""

    @property
    @abstractmethod
    def has_full_symbols(self) -> bool:
        """Whether the symbol table is there that also names static functions."""

    index: NameIndex | None = None
    """Where names are, if somebody looked before."""

    passed_over = ""
    """Why what lies where debuggers look for its debug information is not used; empty where nothing lies there."""

    @property
    @abstractmethod
    def symbol_tables(self) -> Sequence[NameTable]:
        """The symbol tables to look in, the full one first."""

    @abstractmethod
    def candidates(self, number: int, indexes: Iterable[int], keep: Callable[[bytes], bool]) -> Iterator[Candidate]:
        """What the symbols at *indexes* of symbol table *number* are, where they are something to refer to.

        Only those whose name, without its version, *keep* wants.
        """

    def find(self, names: Collection[bytes]) -> dict[bytes, list[Candidate]]:
        """What each of *names* may mean, in the file's order.

        A symbol of exactly that name, a version (``name@V``) aside; where there is none, one that differs from it
        in nothing but LLVM's ThinLTO suffix.
        """
        found: dict[bytes, list[Candidate]] = {}
        wanted = frozenset(names)
        if not wanted:
            return found
        for candidate in self._search(wanted, (b"@",), wanted.__contains__):
            found.setdefault(candidate.name, []).append(candidate)
        bases: dict[bytes, list[bytes]] = {}
        for name in sorted(wanted - found.keys()):
            bases.setdefault(base_name(name), []).append(name)
        if bases:
            for candidate in self._search(bases.keys(), (b"@", b".llvm."), lambda name: base_name(name) in bases):
                for name in bases[base_name(candidate.name)]:
                    found.setdefault(name, []).append(candidate)
        return found

    def _search(
        self, names: Collection[bytes], markers: Sequence[bytes], keep: Callable[[bytes], bool]
    ) -> Iterator[Candidate]:
        """The symbols with one of *names* that *keep* wants, and likewise those with a marker in their name."""
        for number, table in enumerate(self.symbol_tables):
            indexes = self.indexed(number, names) if len(names) * INDEX_PAYS < len(table) else None
            yield from self.candidates(number, table.find_indexes(names, markers) if indexes is None else indexes, keep)

    def indexed(self, number: int, names: Collection[bytes]) -> Iterator[int] | None:
        """What the index says of *names*; None where there is none, or it is damaged and no longer used."""
        index = self.index
        indexes = None if index is None else index.find_indexes(number, names)
        if indexes is None:
            self.index = None
        return indexes

    def sole_functions(self, wanted: Mapping[bytes, int]) -> SoleFunctions:
        """The functions of a linked image called one of *wanted* that lie in a section and that no loader looks up.

        Only those of whose name there is no other symbol in any table, whatever it is; by the index less those of
        whose base name there is another. *wanted* gives each name the number that it has in the answer.
        """
        index, tables = self.index, self.symbol_tables
        if index is not None and len(wanted) * INDEX_PAYS < len(tables[0]):
            places = index.find_sole([name for name in wanted if b"@" not in name and b".llvm." not in name])
            if places is not None:
                return self.functions_among(places, wanted)
            self.index = None
        return self.sole_functions_by_columns(wanted)

    @abstractmethod
    def sole_functions_by_columns(self, wanted: Mapping[bytes, int]) -> SoleFunctions:
        """:meth:`sole_functions`, from the columns of the whole table."""

    @abstractmethod
    def functions_among(self, places: Mapping[bytes, int], wanted: Mapping[bytes, int]) -> SoleFunctions:
        """:meth:`sole_functions`, of symbols of the first table: name -> index.

        Those that have another name are left out.
        """

    @abstractmethod
    def names(self) -> Iterator[bytes]:
        """The names of all symbols."""

    def names_with(self, parts: Collection[bytes], behind: Collection[bytes] = ()) -> list[bytes]:
        """The names, of those, that have one of *parts* in them, if it is *behind* one of others, if there are some."""
        if not self.symbol_tables or not all(parts):
            return list(self.names())
        table = self.symbol_tables[0]
        if behind:
            parts = _behind(table.strings.content, parts, tuple(behind))
            if not parts:  # as nearly always: the table of symbols needs no look
                return []
        return [table.name(index) for index in table.find_indexes((), tuple(parts))]

    @abstractmethod
    def references(self) -> References:
        """What an object uses and does not define, in the file's order; what is there twice, twice."""

    def branches_to(self, spelling: bytes) -> bool:
        """ELF: whether an object branches to symbol *spelling*, which it does not define."""
        return False

    @abstractmethod
    def definitions(self) -> Iterator[bytes]:
        """The names that an object defines for other objects."""

    @property
    @abstractmethod
    def source_file(self) -> bytes:
        """The one source file of an object, as its symbol table or, in Mach-O, its debug information has it."""

    @abstractmethod
    def weak_definitions(self) -> Iterator[bytes]:
        """Those of them that give way to another file's: ``__attribute__((weak))``, but no inline functions."""

    @abstractmethod
    def variables(self) -> Iterator[Variable]:
        """The named variables that an object defines, local ones too.

        Raises:
            MalformedInput: the name of any symbol lies beyond the string table.
        """

    @abstractmethod
    def holds_labels(self, variable: Variable) -> bool:
        """Whether a variable of this object holds addresses within functions (``&&label``)."""

    @abstractmethod
    def contents(self, names: Collection[bytes]) -> Iterator[Content]:
        """What is in the constants called one of *names* that an object defines."""

    @abstractmethod
    def word_at(self, address: int) -> Word | None:
        """What the loader makes of the word at virtual *address* of a linked image; None where that is not read."""

    @abstractmethod
    def imports(self) -> Iterator[Import]:
        """What a linked image leaves to the dynamic loader."""

    @abstractmethod
    def exports(self) -> set[bytes]:
        """The names under which the dynamic loader can find something in a linked image."""

    @abstractmethod
    def looked_up(self) -> set[bytes]:
        """The names that the dynamic loader looks up when it loads a linked image."""

    @property
    @abstractmethod
    def is_debug_file(self) -> bool:
        """Whether it has a program's symbols and debug information, and not its code and data."""

    @property
    @abstractmethod
    def lost_local_symbols(self) -> bool:
        """Whether a linked image names no static variable or function: ``strip`` or the linker's ``-x`` took them.

        Or it has none.
        """

    @property
    @abstractmethod
    def has_nameless_functions(self) -> bool:
        """Whether a linked image has functions, likewise, that its symbols do not name."""

    @property
    @abstractmethod
    def debug_link(self) -> tuple[str, int] | None:
        """ELF: what ``.gnu_debuglink`` says of the file that has the symbols: its name, and its content's CRC-32."""

    @abstractmethod
    def use_symbols(self, other: Image, *, names: bool = True) -> None:
        """Look *names* up, and read debug information, in *other*, a file of the same build.

        Raises:
            InputError: its sections are other ones.
        """

    @property
    @abstractmethod
    def has_debug_info(self) -> bool:
        """Whether it holds DWARF, or uses a file that does."""

    @property
    def names_objects(self) -> bool:
        """Mach-O: whether a linked image names objects that it was linked from."""
        return False

    def objects_of(self, candidate: Candidate) -> Sequence[NamedObject]:
        """The objects from which a linked image says that it has a function; nothing where it does not say."""
        del candidate
        return ()

    @property
    @abstractmethod
    def compiled_by_llvm(self) -> bool:
        """Whether LLVM, clang's and rustc's, may have made code of a linked image."""

    @property
    @abstractmethod
    def compiled_by_gcc(self) -> bool:
        """Whether GCC may have made code of it."""

    @cached_property
    def debug_info(self) -> DebugInfo:
        """What its DWARF says; nothing where it has none."""
        from stubgen.image.dwarf import DebugInfo

        return DebugInfo(self.debug_section, lambda: [image.debug_info for image in self.companions])

    def inlined_copies(self, wanted: Mapping[bytes, Collection[int]]) -> dict[bytes, list[InlinedInto]]:
        """Where a linked image has functions inlined, of which its debug information says so.

        Args:
            wanted: name of a symbol -> the virtual addresses where the function begins; none, where all is inlined.
        """
        from stubgen.image.inlined import InlinedCopies
        from stubgen.symbols.cxx import is_external_cxx_name
        from stubgen.symbols.rust import is_rust_name

        prefix = b"_" if self.format == "macho" else b""
        plain = {name.removeprefix(prefix): places for name, places in wanted.items()}
        copies = InlinedCopies(self.debug_section, self.debug_info.units)
        found = copies.find(plain, lambda name: is_rust_name(name) or is_external_cxx_name(name))
        return {name: found[name.removeprefix(prefix)] for name in wanted if found.get(name.removeprefix(prefix))}

    @property
    def optimised_by_gcc(self) -> bool:
        """Whether GCC optimised a linked ELF image at its link, as far as that tells."""
        return False

    def functions_without_code(self, names: Iterable[bytes]) -> set[bytes]:
        """Those of *names* that other files saw in the source of a linked image, by debug information, without code.

        Of an image that GCC optimised at its link: else it folds a function with another one of its file
        (``-fipa-icf``), whose code both have, and ``--gc-sections`` takes that.
        """
        if not self.optimised_by_gcc:
            return set()
        from stubgen.image.inlined import InlinedCopies

        prefix = b"_" if self.format == "macho" else b""
        plain = {name.removeprefix(prefix): name for name in names}
        copies = InlinedCopies(self.debug_section, self.debug_info.units)
        return {plain[name] for name in copies.without_code(plain)}

    @abstractmethod
    def debug_section(self, name: str) -> bytes:
        """The section that DWARF calls *name*, without ``.`` or ``__``, relocated; empty if there is none.

        In an object an address is what its variables have as ``place``.
        """

    @property
    @abstractmethod
    def reach(self) -> Reach | None:
        """What of an object refers to what else; None where it has no symbols."""

    @property
    @abstractmethod
    def may_be_by_llvm(self) -> bool:
        """Whether LLVM may have made some of its code."""

    @abstractmethod
    def is_zero_filled(self, candidate: Candidate) -> bool:
        """Whether a datum of a linked image is all zeroes when it is loaded, and has no bytes in the file."""

    def files_called(self, name: bytes) -> int:
        """How many of the objects that an image was linked from name this source file, as :class:`Candidate` does."""
        return 0

    def section_span(self, name: str) -> tuple[int, int] | None:
        """First and one-past-last address of the section called *name*, if there is one that is loaded."""
        return None

    def segment_span(self, name: str) -> tuple[int, int] | None:
        """Likewise of a Mach-O segment; without a name, of what begins with the file's header."""
        return None

    def entries_of(self, section: str) -> Iterator[Entry]:
        """What an object has in *section*, in order; in Mach-O, where symbols have no sizes, bytes without a name."""
        if self.section_span(section) is not None:
            yield Entry(b"", 0, local=False, file=b"", content=(), pointers={})

    @property
    def hides_globals(self) -> bool:
        """Whether the linker may have made global symbols local in such a way that they look like static ones."""
        return False

    @abstractmethod
    def replaceable(self) -> set[bytes]:
        """The names of what a linked image defines and all the same lets the loader look up, and use, elsewhere."""

    @abstractmethod
    def found_by_loader(self, candidate: Candidate) -> Found:
        """Where a library keeps what the loader found for a name that it defines itself, as *candidate*."""

    @property
    def branch_targets_guarded(self) -> bool:
        """Whether an indirect branch to an instruction that is no landing pad faults (BTI)."""
        return False

    def got_address(self, place: int) -> int | None:
        """Mach-O: the virtual address that the GOT's word at virtual *place* holds; None where that is none of it."""
        return None

    def maximum_size(self, address: int) -> int | None:
        """Bytes that the variable at virtual *address* can have at most, where the format does not say how many."""
        return None

    def thread_template(self, descriptor: int) -> tuple[int, int] | None:
        """Mach-O: what a thread-local begins with in each thread.

        Args:
            descriptor: the virtual address of what code reaches it through.

        Returns:
            The virtual address, and how many bytes it can have at most; None where that is no descriptor.
        """
        return None

    def thread_offset(self, value: int) -> int | None:
        """ELF executables: distance in bytes from the thread pointer to the thread-local of symbol value *value*."""
        return None

    def thread_descriptor(self, candidate: Candidate) -> tuple[int, int] | None:
        """ELF libraries: what reaches the thread-local *candidate* in a process, without help from the loader.

        Returns:
            The virtual address of a TLS descriptor that the file's own code asks, and the distance in bytes from its
            variable; None where there is no such.
        """
        return None

    def local_exec_accesses(self) -> Iterator[str]:
        """Where the code of an ELF object counts from the thread pointer, which is right in the main program alone."""
        return iter(())

    @property
    def has_text_relocations(self) -> bool:
        """Whether the dynamic loader would have to write to code."""
        return False

    @abstractmethod
    def code(self) -> Iterator[Code]:
        """Every executable section, or segment where sections are stripped."""

    @abstractmethod
    def functions(self) -> Iterator[FunctionSymbol]:
        """Every symbol of a function; in Mach-O, every defined symbol."""

    def place_of(self, function: FunctionSymbol) -> int:
        """Where debug information has *function*: its address, in an ELF object as a variable's ``place``."""
        in_section = self.format == "elf" and self.file_type is FileType.OBJECT
        return function.address + (function.section << PLACE_SHIFT if in_section else 0)

    @abstractmethod
    def static_code(self) -> Iterator[StaticCode]:
        """The static functions of an object."""

    @abstractmethod
    def names_at(self, addresses: Collection[int]) -> dict[int, set[bytes]]:
        """The names of the functions of a linked image that begin at each of *addresses*."""

    @abstractmethod
    def functions_of(self, path: bytes) -> list[Candidate]:
        """What a linked image has of the one object that was compiled from *path*, functions and other code.

        Nothing where its debug information does not say, or names several objects of that file.
        """

    @abstractmethod
    def variables_of(self, file: bytes, path: bytes) -> list[Candidate]:
        """The variables that a linked image has of one source file.

        Args:
            file: the file, as symbol tables have it: ELF a base name, Mach-O a path.
            path: its path, as debug information has it.
        """

    @abstractmethod
    def is_of_source(self, candidate: Candidate, path: bytes) -> bool | None:
        """Whether a variable or function of a linked image that all its files see is from the source file at *path*.

        None where its debug information does not know the file.
        """

    @abstractmethod
    def variables_at(self, addresses: Collection[int]) -> list[Candidate]:
        """The variables of a linked image that begin at one of *addresses*."""

    @abstractmethod
    def static_variables(self, keep: Callable[[bytes], bool], sections: Collection[str]) -> list[Candidate]:
        """The data in *sections* that one file alone of a linked image sees, if *keep* wants the name.

        In Mach-O thread-locals too.
        """

    def in_its_file(self, candidate: Candidate) -> Candidate:
        """*candidate*, a symbol of a linked image, with its file; Mach-O reads all debugger's entries for it."""
        return candidate

    @abstractmethod
    def named(self, prefix: bytes) -> Iterator[tuple[bytes, int]]:
        """Name and virtual address of every defined symbol of a linked image whose name begins with *prefix*."""

    @property
    @abstractmethod
    def first_address(self) -> int:
        """Virtual address, in a linked image, of the page with the file's first byte: what ``dladdr`` tells of it."""

    @abstractmethod
    def file_offset(self, address: int) -> int | None:
        """Byte offset in the file of virtual *address* of a linked image; None where it is not in the file."""

    @abstractmethod
    def executable_ranges(self) -> list[tuple[int, int]]:
        """First and one-past-last virtual address of each executable segment."""

    @abstractmethod
    def read_at(self, address: int, size: int, what: str) -> memoryview:
        """*size* bytes at virtual *address*."""
