"""The symbols of an ELF file, one after another. Twin of ``listing.macho``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

from stubgen.elf import constants as c
from stubgen.elf.reader import Symbols
from stubgen.image.elf import ElfImage, is_mapping_symbol, names_nothing
from stubgen.listing.symbols import Listed, Traits
from stubgen.symbols.versions import split_version

_BINDINGS = {c.STB_LOCAL: "local", c.STB_GLOBAL: "global", c.STB_WEAK: "weak", c.STB_GNU_UNIQUE: "unique"}
_VISIBILITIES = {
    c.STV_DEFAULT: "default",
    c.STV_INTERNAL: "internal",
    c.STV_HIDDEN: "hidden",
    c.STV_PROTECTED: "protected",
}
_UNDEFINED = {c.STT_FUNC: "function", c.STT_OBJECT: "data", c.STT_TLS: "thread-local", c.STT_GNU_IFUNC: "ifunc"}
"""What a reference says of what it means; most say nothing."""
_VISIBILITY = bytes(other & 3 for other in range(256))
"""``st_other`` -> the visibility in it."""
_DOLLAR = ord("$")
_NOWHERE = -1
"""In the place of an address, for what is not defined."""


def symbols(image: ElfImage) -> Iterator[Listed]:
    """Every symbol that has a name for somebody: no sections, files and marks of code and data.

    The full table comes first, and then what only the dynamic one has.
    """
    full, dynamic = image.file.symbols, _Dynamic(image)
    if full is not None:
        yield from _listed(image, full, dynamic)
    if dynamic.table is not None:
        yield from _listed(image, dynamic.table, dynamic, known=full is not None)


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
            (self.table.name(index), self.table.st_value[index]): self.version(index)
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

    def version(self, index: int) -> tuple[str, bool]:
        """Version of symbol *index*, which is defined, and whether it is the default one."""
        return self._defined[index] if index < len(self._defined) else ("", True)

    @cached_property
    def _defined(self) -> Sequence[tuple[str, bool]]:
        numbers: Sequence[int] = () if self.table is None else self.table.versions
        dynamic = self.image.file.dynamic
        if dynamic is None:
            return ()
        definitions = dynamic.version_definitions
        told = {n: (definitions.get(n & ~c.VERSYM_HIDDEN, ""), not n & c.VERSYM_HIDDEN) for n in set(numbers)}
        return [told[number] for number in numbers]

    def need(self, index: int) -> tuple[str, str]:
        """Version of symbol *index*, which is not defined, and the library that has it."""
        versions = () if self.table is None else self.table.versions
        dynamic = self.image.file.dynamic
        if index >= len(versions) or dynamic is None:
            return "", ""
        library, version = dynamic.version_needs.get(versions[index] & ~c.VERSYM_HIDDEN, ("", ""))
        return version, library


def _listed(image: ElfImage, table: Symbols, dynamic: _Dynamic, *, known: bool = False) -> Iterator[Listed]:
    """The symbols of *table*; where the full one has been *known* before, those that it did not have."""
    traits: dict[tuple[int, int, int], Traits] = {}
    file, seen = b"", dynamic.seen
    own = table is dynamic.table  # where each symbol has its own version
    keys = zip(table.st_info, table.st_other.translate(_VISIBILITY), table.st_shndx, strict=True)
    columns = (table.names(), keys, table.st_value, table.st_size)
    for index, (spelling, key, value, size) in enumerate(zip(*columns, strict=True)):
        common = traits.get(key)
        if common is None:
            st_type = key[0] & 0xF
            if st_type == c.STT_FILE:
                file = spelling
            if not index or not spelling or names_nothing(st_type, spelling):
                continue
            common = _traits(image, table, index, key)
            if key[2] != table.absolute:
                traits[key] = common
        elif not spelling or (spelling[0] == _DOLLAR and is_mapping_symbol(spelling)):
            continue
        local = key[0] >> 4 == c.STB_LOCAL
        name, version, default = split_version(spelling) if b"@" in spelling else (spelling, "", True)
        if not common.defined:
            if known and (name, _NOWHERE) in seen:
                continue
            seen.add((name, _NOWHERE))
            needed, library = dynamic.need(index) if own else dynamic.needs.get(name, ("", ""))
            yield Listed(name, None, size or None, common, version or needed, True, False, b"", library)
            continue
        exported = not local and ((own and name is spelling) or (name, value) in dynamic.versions)
        if exported:
            if known and (name, value) in seen:
                continue
            if not own:
                seen.add((name, value))
            if not version:
                version, default = dynamic.version(index) if own else dynamic.versions[name, value]
        nowhere = common.kind == "common"
        yield Listed(name, None if nowhere else value, size, common, version, default, exported, file if local else b"")


def _traits(image: ElfImage, table: Symbols, index: int, key: tuple[int, int, int]) -> Traits:
    """What symbol *index* has in common with others of its *key*: type and binding, visibility, section."""
    info, other, shndx = key
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
