"""The symbols of an ELF file, one after another. Twin of ``listing.macho``."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from functools import cached_property

from stubgen.common.columns import field_column
from stubgen.elf import constants as c
from stubgen.elf.reader import Symbols
from stubgen.elf.records import SYM
from stubgen.image.elf import ElfImage, is_mapping_symbol
from stubgen.listing.symbols import Listed, ListedFields, Traits, listed
from stubgen.symbols.versions import split_version

_LOCAL = "local"
_BINDINGS = {c.STB_LOCAL: _LOCAL, c.STB_GLOBAL: "global", c.STB_WEAK: "weak", c.STB_GNU_UNIQUE: "unique"}
_VISIBILITIES = {
    c.STV_DEFAULT: "default",
    c.STV_INTERNAL: "internal",
    c.STV_HIDDEN: "hidden",
    c.STV_PROTECTED: "protected",
}
_UNDEFINED = {c.STT_FUNC: "function", c.STT_OBJECT: "data", c.STT_TLS: "thread-local", c.STT_GNU_IFUNC: "ifunc"}
"""What a reference says of what it means; most say nothing."""
_DOLLAR = ord("$")
_NOWHERE = -1
"""In the place of an address, for what is not defined."""


def symbols(image: ElfImage) -> list[Listed]:
    """Every symbol that has a name for somebody: no sections, files and marks of code and data.

    The full table comes first, and then what only the dynamic one has.
    """
    full, dynamic = image.file.symbols, _Dynamic(image)
    rows = list(_rows(image, full, dynamic)) if full is not None else []
    if dynamic.table is not None:
        rows += _rows(image, dynamic.table, dynamic, known=full is not None)
    return listed(rows)


class _Dynamic:
    """What the dynamic table knows of symbols that the full one has too."""

    def __init__(self, image: ElfImage) -> None:
        self.image = image
        self.table = None if image.is_debug_file else image.file.dynamic_symbols  # of which it has no content
        self.seen: set[tuple[bytes, int]] = set()

    @cached_property
    def versions(self) -> dict[tuple[bytes, int], tuple[str, bool]]:
        """Name and address of what the loader finds -> its version, and whether that is the default one."""
        return {
            (self.table.name(index), self.table.st_value[index]): self.defined[index]
            for index in self._indexes(defined=True)
            if self.table is not None and self.table.st_info[index] >> 4 != c.STB_LOCAL
        }

    @cached_property
    def needs(self) -> dict[bytes, tuple[str, str]]:
        """Name of what the loader looks for -> its version, and the library that has it."""
        found = {}
        for index in self._indexes(defined=False):
            if self.table is not None:
                found[self.table.name(index)] = self.need(index)
        return found

    def _indexes(self, *, defined: bool) -> list[int]:
        shndx = () if self.table is None else self.table.st_shndx
        return [index for index, number in enumerate(shndx) if (number != c.SHN_UNDEF) is defined and index]

    @cached_property
    def defined(self) -> Sequence[tuple[str, bool]]:
        """Version of each symbol, if it is defined, and whether it is the default one."""
        if self.table is None:
            return ()
        numbers, dynamic = self.table.versions, self.image.file.dynamic
        if dynamic is None:
            return [("", True)] * len(self.table)
        definitions = dynamic.version_definitions
        told = {n: (definitions.get(n & ~c.VERSYM_HIDDEN, ""), not n & c.VERSYM_HIDDEN) for n in set(numbers)}
        return [told[number] for number in numbers] + [("", True)] * (len(self.table) - len(numbers))

    def need(self, index: int) -> tuple[str, str]:
        """Version of symbol *index*, which is not defined, and the library that has it."""
        versions = () if self.table is None else self.table.versions
        dynamic = self.image.file.dynamic
        if index >= len(versions) or dynamic is None:
            return "", ""
        library, version = dynamic.version_needs.get(versions[index] & ~c.VERSYM_HIDDEN, ("", ""))
        return version, library


def _rows(image: ElfImage, table: Symbols, dynamic: _Dynamic, *, known: bool = False) -> Iterator[ListedFields]:
    """The symbols of *table*; where the full one has been *known* before, those that it did not have."""
    shared: dict[Hashable, tuple[Traits, bool, bool, bool]] = {}
    file, seen, kinds = b"", dynamic.seen, table.st_info
    own = table is dynamic.table  # where each symbol has its own version
    marked = b"@" in table.strings.content
    versions = dynamic.versions if marked or not own else {}
    own_versions = dynamic.defined if own else ()
    columns = (table.names(), _keys(table), table.st_value, table.st_size)
    for index, (spelling, key, value, size) in enumerate(zip(*columns, strict=True)):
        if not spelling or (spelling[0] == _DOLLAR and is_mapping_symbol(spelling)):
            file = spelling if kinds[index] & 0xF == c.STT_FILE else file
            continue
        told = shared.get(key)
        if told is None:
            st_type = kinds[index] & 0xF
            file = spelling if st_type == c.STT_FILE else file
            if not index or st_type in (c.STT_SECTION, c.STT_FILE):
                continue
            told = _shared(image, table, index)
            if table.st_shndx[index] != table.absolute:
                shared[key] = told
        common, defined, local, nowhere = told
        name, version, default = split_version(spelling) if marked and b"@" in spelling else (spelling, "", True)
        if not defined:
            if known and (name, _NOWHERE) in seen:
                continue
            seen.add((name, _NOWHERE))
            needed, library = dynamic.need(index) if own else dynamic.needs.get(name, ("", ""))
            yield name, None, size or None, common, version or needed, True, False, b"", library
            continue
        if local:
            yield name, None if nowhere else value, size, common, version, default, False, file, ""
            continue
        exported = (own and name is spelling) or (name, value) in versions
        if exported:
            if known and (name, value) in seen:
                continue
            if not own:
                seen.add((name, value))
            if not version:
                version, default = own_versions[index] if own else versions[name, value]
        yield name, None if nowhere else value, size, common, version, default, exported, b"", ""


def _keys(table: Symbols) -> Iterable[Hashable]:
    """What tells apart which symbols have their traits in common: type and binding, visibility, section."""
    if len(table.extended):
        return zip(table.st_info, table.st_other, table.st_shndx, strict=True)
    return field_column("I", table.raw, SYM.size, SYM.offset("st_info"))  # the three, side by side


def _shared(image: ElfImage, table: Symbols, index: int) -> tuple[Traits, bool, bool, bool]:
    """What symbol *index* has in common with others; whether they are defined, local, and have no place yet."""
    traits = _traits(image, table, index)
    return traits, traits.defined, traits.binding == _LOCAL, traits.kind == "common"


def _traits(image: ElfImage, table: Symbols, index: int) -> Traits:
    """Those of symbol *index*."""
    info, other, shndx = table.st_info[index], table.st_other[index] & 3, table.st_shndx[index]
    st_type, binding, visibility = info & 0xF, _BINDINGS.get(info >> 4, "other"), _VISIBILITIES[other]
    if shndx == c.SHN_UNDEF:
        return Traits(_UNDEFINED.get(st_type, "undefined"), binding, visibility, "", 0, False)
    if shndx == table.common:
        return Traits("common", binding, visibility, "", 0, True)
    by_place = shndx == table.absolute or st_type == c.STT_NOTYPE
    kind = image.kind_of(table, table.entry(index)) if by_place else image.kinds.get(st_type)
    number = shndx if shndx < len(image.file.sections) else 0
    section = image.file.sections[number].name if number else ""
    return Traits("other" if kind is None else kind.value, binding, visibility, section, number, True)
