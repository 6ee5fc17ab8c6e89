"""The account: each definition and section of a linked patch with its origin, and what the host has of the name."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from types import ModuleType
from typing import NamedTuple

from stubgen.common.files import RealPaths
from stubgen.common.row import Row
from stubgen.common.text import as_text
from stubgen.image import Candidate, Image, Kind
from stubgen.image.identity import ELF_SECTION, MACHO_SECTION
from stubgen.linkplan.every_image import EveryImage, of_every_image
from stubgen.origin import sources
from stubgen.origin.link_map import SYNTHESIZED, Piece, read_link_map
from stubgen.origin.sources import LINKER, Origin, Source
from stubgen.origin.symbols import Constructor, Symbol
from stubgen.stub.slots import SLOT_PREFIX
from stubgen.symbols.versions import known_name


class _File(Row):
    name: str  # what people call it: checkout.o, where the linker read its bound copy
    path: str  # what the linker read
    source: Source  # OBJECT, BORROWED or STUB
    image: Image
    original: Image | None = None  # of a bound copy, where it is known and has other code


class LinkInput(_File):
    """One file that our own command gave to the linker."""

    @cached_property
    def symbols(self) -> Sequence[Symbol]:
        """What it defines."""
        return tuple(symbols_of(self.image))

    @property
    def origin(self) -> Origin:
        """The origin of what it defines; a member's name has its archive in front."""
        if self.name.endswith(")"):
            file, _, member = self.name[:-1].rpartition("(")
            return Origin(self.source, file, member)
        return Origin(self.source, self.name)


class Inputs(Row):
    """What is known of the link that made a patch."""

    files: tuple[LinkInput, ...] = ()
    """The stub object and every object of the patch; empty where the caller does not say."""
    link_map: str | None = None
    """The text of the linker's map file."""
    directory: str = ""
    """Where the linker ran: the map's relative names begin there."""
    archives: tuple[str, ...] = ()
    """Without a map: the archives that the linker searched."""


class Definition(NamedTuple):
    """One definition of the patch."""

    symbol: Symbol
    """The symbol, with its address and size in the patch."""
    origin: Origin
    """The input that it comes from."""
    host: tuple[Candidate, ...]
    """What the host has of that name."""

    @property
    def name(self) -> bytes:
        """The symbol's name as people wrote it."""
        return known_name(self.symbol.name)


class Share(Row):
    """What of a section comes from one origin."""

    origin: Origin
    size: int  # bytes; where only symbols tell, theirs alone


class SectionAccount(Row):
    """One section of the patch that is in memory."""

    name: str
    address: int  # virtual address
    size: int  # bytes
    shares: tuple[Share, ...]  # the largest first


class Initializer(Row):
    """A function that runs when the patch is loaded."""

    constructor: Constructor
    name: bytes  # empty where the symbol table has none
    origin: Origin


class Account(Row):
    """Where everything in a patch comes from."""

    definitions: tuple[Definition, ...]
    """Every definition of the patch."""
    sections: tuple[SectionAccount, ...]
    """Every section that is in memory, with how much of it comes from which input."""
    initializers: tuple[Initializer, ...]
    """What runs when the patch is loaded or unloaded."""
    inputs: Inputs
    """What is known of the link."""
    mapped: bool
    """The linker's map file says it; else the inputs' symbols do, and the tables of what linkers define."""
    named: bool
    """The patch has its full symbol table."""


def symbols_of(image: Image) -> Iterator[Symbol]:
    """Every definition of an object or a linked image."""
    yield from _reader(image).symbols(image)


def names_of(symbols: Iterable[Symbol]) -> set[bytes]:
    """The names that the account of a patch with *symbols* asks the host for."""
    return {known_name(symbol.name).partition(b"@")[0] for symbol in symbols}


def make_account(
    image: Image,
    inputs: Inputs,
    in_host: Mapping[bytes, Sequence[Candidate]],
    stubs: Collection[int],
    symbols: Sequence[Symbol] | None = None,
) -> Account:
    """The account of a linked patch.

    Args:
        image: the patch.
        inputs: what is known of its link.
        in_host: name -> what the host has of it.
        stubs: the virtual addresses at which a trampoline was decoded.
        symbols: what *image* defines, where somebody has read it.
    """
    found = tuple(symbols_of(image)) if symbols is None else symbols
    sections = list(_reader(image).sections(image))
    pieces = [] if inputs.link_map is None else read_link_map(inputs.link_map, {section[0] for section in sections})
    names, merged = {name for name, *_ in sections}, {section[0] for section in sections if section[3]}
    ledger = _Ledger(image, inputs, pieces, frozenset(stubs), names, merged)
    definitions = []
    for symbol in found:
        name = known_name(symbol.name).partition(b"@")[0]
        definitions.append(Definition(symbol, ledger.origin(symbol), tuple(in_host.get(name, ()))))
    initializers = tuple(ledger.initializers(definitions))
    by_section: defaultdict[str, Counter[Origin]] = defaultdict(Counter)
    seen = set[int]()
    for definition in definitions:
        symbol = definition.symbol
        by_section[symbol.section][definition.origin] += symbol.size * (symbol.address not in seen)
        seen.add(symbol.address)
    for item in initializers:  # an array of pointers has no symbols
        for name, address, size, _ in sections:
            if address <= item.constructor.place < address + size:
                by_section[name][item.origin] += 0
    accounts = tuple(
        SectionAccount(name, address, size, ledger.shares(name, size, by_section.get(name, Counter())))
        for name, address, size, _ in sections
    )
    return Account(
        tuple(definitions),
        accounts,
        initializers,
        inputs,
        bool(pieces),
        image.has_full_symbols,
    )


def _reader(image: Image) -> ModuleType:
    """The module that reads *image*'s format."""
    if image.format == "elf":
        from stubgen.origin import elf

        return elf
    from stubgen.origin import macho

    return macho


_CODE = (Kind.FUNCTION, Kind.IFUNC)


class _Known(Row):
    """A definition in one of the inputs."""

    input: LinkInput
    symbol: Symbol


class _Opened(Row):
    """What the account of one patch is made from."""

    image: Image
    inputs: Inputs
    pieces: Sequence[Piece]
    stubs: frozenset[int]
    sections: Collection[str]  # their names
    merged: Collection[str]  # those whose content the linker merges


class _Ledger(_Opened):
    """Answers for one patch where something comes from."""

    @cached_property
    def _origins(self) -> dict[tuple[str, str], Origin]:
        return {}

    @cached_property
    def member_sections(self) -> dict[Origin, set[str]]:
        """Member of an archive -> the sections that its definitions are in."""
        return {}

    @cached_property
    def taken(self) -> dict[Origin, None]:
        """The members of the archives that are in the patch."""
        return {}

    @cached_property
    def by_section(self) -> dict[str, tuple[list[int], list[Piece]]]:
        """Output section -> the addresses at which its pieces begin, ascending, and the pieces."""
        held: dict[str, list[Piece]] = {}
        for piece in self.pieces:
            if piece.size:
                held.setdefault(piece.section, []).append(piece)
        return {name: ([piece.address for piece in found], found) for name, found in held.items()}

    @cached_property
    def by_path(self) -> dict[str, LinkInput]:
        return {self._real_paths.of(item.path): item for item in self.inputs.files}

    @cached_property
    def _real_paths(self) -> RealPaths:
        return RealPaths()

    @cached_property
    def by_name(self) -> dict[bytes, list[_Known]]:
        """Name -> the definitions of it in the inputs."""
        found: dict[bytes, list[_Known]] = {}
        for item in self.inputs.files:
            for symbol in item.symbols:
                found.setdefault(symbol.name, []).append(_Known(item, symbol))
        return found

    def origin(self, symbol: Symbol) -> Origin:
        """Where *symbol* of the patch comes from."""
        if sources.is_linker_section(symbol.section):
            return LINKER
        if symbol.address in self.stubs and symbol.kind is Kind.FUNCTION:
            return self._stub()
        if symbol.name.startswith(SLOT_PREFIX):
            return self._stub()
        if self._is_linkers_mark(symbol):
            return self._at(symbol, Source.START_UP) or LINKER
        piece = self.piece(symbol.section, symbol.address)
        if piece is not None:
            origin = self.of_piece(piece)
            if origin != LINKER:
                return self._folded(symbol, origin) or origin
        return self._by_name(symbol) or self._by_tables(symbol, inside=piece is not None)

    def _is_linkers_mark(self, symbol: Symbol) -> bool:
        """Whether *symbol* marks a place by a name of the linker's, where the next piece may be anybody's.

        A function called ``end`` or a variable called ``__start_time`` has a size, or no section of its name.
        """
        if symbol.size or symbol.static or symbol.name in self.by_name or not sources.is_linker_name(symbol.name):
            return False
        encapsulated = symbol.name.startswith((b"__start_", b"__stop_"))
        if encapsulated and as_text(symbol.name).split("_", 3)[3] not in self.sections:
            return False
        return symbol.kind is not Kind.FUNCTION or self.image.format != "elf"

    def _at(self, symbol: Symbol, source: Source) -> Origin | None:
        """The origin of what lies where *symbol* does, if it is of that kind."""
        piece = self.piece(symbol.section, symbol.address)
        origin = None if piece is None else self.of_piece(piece)
        return origin if origin is not None and origin.source is source else None

    def _stub(self) -> Origin:
        stub = next((item for item in self.inputs.files if item.source is Source.STUB), None)
        return stub.origin if stub else Origin(Source.STUB)

    def piece(self, section: str, address: int) -> Piece | None:
        """The piece of *section* at virtual *address*, if the map has one."""
        starts, found = self.by_section.get(section) or self.by_section.get("") or ([], [])
        place = bisect_right(starts, address) - 1
        if place >= 0 and address < found[place].address + found[place].size:
            return found[place]
        return None

    def of_piece(self, piece: Piece) -> Origin:
        """The origin that *piece* names."""
        key = (piece.file, piece.member)
        origin = self._origins.get(key)
        if origin is None:
            origin = self._origins[key] = self._of_file(*key)
        return origin

    def _of_file(self, file: str, member: str) -> Origin:
        item = self.by_path.get(self._real_paths.of(os.path.join(self.inputs.directory, file)))
        if item is not None:
            return item.origin._replace(member=member) if member else item.origin
        if file in SYNTHESIZED:
            return LINKER
        row = of_every_image(file)
        if row is not None:
            return Origin(Source.START_UP if row.kind is EveryImage.START_UP else Source.RUNTIME, file, member)
        return Origin(Source.MEMBER if member else Source.OTHER, file, member)

    def _folded(self, symbol: Symbol, origin: Origin) -> Origin | None:
        """The input that defines *symbol* where *origin*, whose bytes lie there, does not: --icf makes one of two.

        Of what is weak and lies in what is no input, nobody can tell that it was an input's.
        """
        if symbol.kind not in _CODE or symbol.name not in self.by_name:
            return None
        if symbol.static:
            if symbol.name not in self._static_origins:
                self._static_origins[symbol.name] = self._origins_of_statics(symbol.name)
            alike = self._static_origins[symbol.name][symbol]
            return alike.pop() if len(alike) > 1 else alike[0]
        known = self._definitions(symbol)
        origins = [item.input.origin for item in known]
        if origin in origins:
            return None
        if origin not in self._input_origins:
            origins = [item.input.origin for item in known if not item.symbol.weak]
        return origins[0] if origins else None

    @cached_property
    def _static_origins(self) -> dict[bytes, dict[Symbol, list[Origin | None]]]:
        """Name -> each static function that is called so, and the origins of all that are just like it."""
        return {}

    def _origins_of_statics(self, name: bytes) -> dict[Symbol, list[Origin | None]]:
        """The origins of all the patch's static functions *name*, each another one; None: whosever bytes lie there.

        One is the input's whose bytes lie there. What is left over was folded into those, or into another function,
        and is told by its instructions; where they do not tell, it is of no known origin.
        """
        found: dict[Symbol, list[Origin | None]] = {}
        known: dict[bytes, list[_Known]] = {}  # by source file
        folded: dict[int, list[Symbol]] = {}  # virtual address -> those that are not of the input whose bytes lie there
        claimed: set[Origin | None] = set()
        for symbol in self._statics[name]:
            piece = self.piece(symbol.section, symbol.address)
            origin = None if piece is None else self.of_piece(piece)
            if symbol.file not in known:
                known[symbol.file] = self._definitions(symbol)
            if origin in claimed or origin not in [item.input.origin for item in known[symbol.file]]:
                folded.setdefault(symbol.address, []).append(symbol)
            else:
                claimed.add(origin)
                found.setdefault(symbol, []).append(origin)
        choices = {
            address: {
                item.input.origin: None
                for symbol in symbols
                for item in known[symbol.file]
                if item.input.origin not in claimed and self._same_code(item, symbol)
            }
            for address, symbols in folded.items()
        }
        chances = Counter(origin for each in choices.values() for origin in each)
        for address, symbols in folded.items():
            origins: list[Origin | None] = list(choices[address])
            if len(origins) > len(symbols) or any(chances[each] > 1 for each in choices[address]):
                origins = [Origin(Source.UNKNOWN)] * len(symbols)
            origins += [None] * (len(symbols) - len(origins))
            for symbol, origin in zip(symbols, origins, strict=True):
                found.setdefault(symbol, []).append(origin)
        return found

    @cached_property
    def _statics(self) -> dict[bytes, list[Symbol]]:
        """Name -> the patch's static functions that are called so."""
        found: dict[bytes, list[Symbol]] = {}
        for symbol in symbols_of(self.image):
            if symbol.static and symbol.kind in _CODE:
                found.setdefault(symbol.name, []).append(symbol)
        return found

    @cached_property
    def _input_origins(self) -> frozenset[Origin]:
        return frozenset(item.origin for item in self.inputs.files)

    def _definitions(self, symbol: Symbol) -> list[_Known]:
        """Those of the inputs that *symbol* may be; none of the stub object's, which lies elsewhere."""
        known = [item for item in self.by_name.get(symbol.name, ()) if item.input.source is not Source.STUB]
        if not symbol.static:
            return [item for item in known if not item.symbol.static]
        return [item for item in known if item.symbol.static and item.symbol.file in (symbol.file, b"")] or [
            item for item in known if item.symbol.static and not symbol.file
        ]

    def _by_name(self, symbol: Symbol) -> Origin | None:
        """The input that defines *symbol*, by its name and, where that does not settle it, by its instructions."""
        for item in self._definitions(symbol):
            if self.pieces or not item.symbol.weak or self._same_code(item, symbol):
                return item.input.origin
        return None

    def _same_code(self, known: _Known, symbol: Symbol) -> bool:
        """Whether the instructions of a weak definition are those at *symbol*; what the linker writes to aside."""
        target = _reader(self.image).target(known.input.image, known.symbol)
        if target is None:
            return True  # data; a variable that is weak in two files is one
        if symbol.size and symbol.size != len(target.content):
            return False
        linked = bytes(self.image.read_at(symbol.address, len(target.content), as_text(symbol.name)))
        return all(
            linked[at : at + 4] == target.content[at : at + 4]
            or at in target.changed
            or linked[at + 3] >> 2 == _BRANCH  # a veneer around an erratum of the processor
            for at in range(0, len(linked), 4)
        )

    def _by_tables(self, symbol: Symbol, *, inside: bool) -> Origin:
        """What *symbol* is where neither the map nor the inputs say."""
        if inside or (self.pieces and symbol.section in self.merged):
            return LINKER  # the map says so; or mold merged the inputs' sections
        if sources.is_linker_name(symbol.name):
            return LINKER
        if symbol.file in sources.START_UP_FILES or sources.is_start_up_name(symbol.name):
            return Origin(Source.START_UP)
        if symbol.file in sources.RUNTIME_FILES or sources.is_runtime_name(symbol.name):
            return Origin(Source.RUNTIME)
        if not self.inputs.files:
            return Origin(Source.UNTOLD)
        return self._in_archives(symbol) or Origin(Source.UNKNOWN)

    def _in_archives(self, symbol: Symbol) -> Origin | None:
        """The archive's member that defines *symbol*; of two, what the linker came upon first."""
        origin = self.archived.get((symbol.name, symbol.file if symbol.static else None))
        if origin is not None:
            self.taken[origin] = None
        return origin

    @cached_property
    def archived(self) -> dict[tuple[bytes, bytes | None], Origin]:
        """Name, for a local symbol also its file, -> the member of the archives that defines it."""
        from stubgen.common.files import read_input
        from stubgen.image.archive import members
        from stubgen.image.opening import has_object_magic, open_image

        found: dict[tuple[bytes, bytes | None], Origin] = {}
        for path in self.inputs.archives:
            for member in members(read_input(path), path):
                if has_object_magic(member.content):
                    origin = self._of_file(path, member.name)
                    image = open_image(member.content, f"{path}({member.name})")
                    self.member_sections[origin] = set(_reader(image).object_sections(image))
                    for symbol in symbols_of(image):
                        found.setdefault((symbol.name, symbol.file if symbol.static else None), origin)
        return found

    def shares(self, name: str, size: int, by_symbols: Counter[Origin]) -> tuple[Share, ...]:
        """What of section *name* comes from where."""
        if sources.is_linker_section(name):
            return (Share(LINKER, size),)
        if name in (ELF_SECTION, MACHO_SECTION):  # nobody else has such a note
            return (Share(self._stub(), size),)
        held = self.by_section.get(name)
        total: Counter[Origin] = Counter()
        if held is not None:
            for piece in held[1]:
                total[self.of_piece(piece)] += piece.size
        elif not by_symbols and name in self.merged and self.pieces:
            total[LINKER] += size
        else:
            total.update(by_symbols)
        if not total:
            total.update(dict.fromkeys(self._with_section(name), 0))
        if not total:
            total[Origin(Source.UNKNOWN if self.inputs.files else Source.UNTOLD)] += size
        return tuple(Share(*item) for item in total.most_common())

    def _with_section(self, name: str) -> Iterable[Origin]:
        """The inputs that have a section from which linkers make *name*.

        ELF: ``.rodata.str`` of ``.rodata.str1.8``. Mach-O: ``__DATA_CONST`` has what was ``__DATA``'s.
        """
        segment, comma, title = name.partition(",")
        wanted = title if comma else segment
        for item in self.inputs.files:
            own = _reader(item.image).object_sections(item.image)
            if any(section.rpartition(",")[2].startswith(wanted) for section in own):
                yield item.origin
        for origin in self.taken:
            if any(section.rpartition(",")[2].startswith(wanted) for section in self.member_sections.get(origin, ())):
                yield origin

    def initializers(self, definitions: Sequence[Definition]) -> Iterable[Initializer]:
        """What runs when the patch is loaded."""
        by_address = {d.symbol.address: d for d in definitions if d.symbol.kind is Kind.FUNCTION}
        bounds = list(_reader(self.image).sections(self.image))
        for constructor in _reader(self.image).constructors(self.image):
            definition = by_address.get(constructor.address)
            section = next((name for name, start, size, _ in bounds if start <= constructor.address < start + size), "")
            piece = self.piece(section, constructor.address)
            unknown = Origin(Source.UNKNOWN if self.inputs.files else Source.UNTOLD)
            origin = definition.origin if definition else self.of_piece(piece) if piece else unknown
            yield Initializer(constructor, definition.name if definition else b"", origin)


_BRANCH = 0b000101
"""The upper six bits of B, Arm's architecture reference manual."""
