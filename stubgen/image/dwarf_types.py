"""What DWARF says of the types of variables and functions, and where a unit has it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from weakref import WeakKeyDictionary

from stubgen.common.text import as_text
from stubgen.image.dwarf import (
    LOCATION,
    NAME,
    ORIGIN,
    SPECIFICATION,
    TRANSPARENT,
    VARIABLE,
    DebugInfo,
    Entries,
    Unit,
    read_text,
)
from stubgen.image.dwarf_entries import BLOCK, BLOCKS, EXPRESSION, FAULTS, UNIT, Entry
from stubgen.image.dwarf_units import units_with

CLASS, STRUCTURE, UNION = 0x02, 0x13, 0x17  # DWARF 5, 7.5.3, DW_TAG_*
TYPES_AROUND = (CLASS, STRUCTURE, UNION, 0x39)
"""What has a name and may have types in it; the last is a namespace."""
_FUNCTION, _BLOCK = 0x2E, 0x0B  # DW_TAG_subprogram, lexical_block
_CODE = frozenset((_FUNCTION, _BLOCK, 0x1D))
"""With DW_TAG_inlined_subroutine."""
DECLARATION, LINKAGE = 0x3C, 0x6E  # 7.5.4, DW_AT_*
_STATIC_CXX = re.compile(rb"_ZL(\d+)(.*)")  # Itanium C++ ABI 5.1.2: outside of namespaces
DEEPEST = 64  # types in types that are followed


class TypeEntries(Entries):
    """All entries of one unit, with what types are made of."""

    @cached_property
    def alike(self) -> WeakKeyDictionary[TypeEntries, set[tuple[int, int]]]:
        """Another unit's entries -> where a type is here and where one is there that lies alike in memory."""
        return WeakKeyDictionary()

    @cached_property
    def _around(self) -> dict[int, int]:
        """Offset of a variable -> that of what it is in."""
        return self.entries.parents(VARIABLE)

    @cached_property
    def around_types(self) -> dict[int, int]:
        """Offset of a class, structure, union or namespace -> that of what it is in."""
        return {inner: outer for tag in TYPES_AROUND for inner, outer in self.entries.parents(tag).items()}

    @cached_property
    def described(self) -> dict[str, list[int]]:
        """Name -> offset of each class, structure and union that is more than declared."""
        found: dict[str, list[int]] = {}
        for offset in self.entries.tagged(CLASS, STRUCTURE, UNION, lacking=DECLARATION):
            found.setdefault(self.text(self.entries[offset]), []).append(offset)
        return found

    @cached_property
    def variable_types(self) -> dict[int, int]:
        """Address of a variable -> offset of what says its type."""
        return {address: offset for offset, address, _ in self.placed()}

    @cached_property
    def functions_at(self) -> dict[int, int]:
        """Address at which a function begins -> offset of what says its type."""
        return {address: offset for offset, address in self.starts()}

    def type_at(self, address: int) -> int:
        """Offset of the type of the variable at *address*; -1 for none."""
        offset = self.variable_types.get(address, -1)
        return -1 if offset < 0 else self._type(self.entries[offset])

    def signature_at(self, address: int) -> int:
        """Offset of what has the parameters of the function that begins at *address*; -1 for none."""
        offset = self.functions_at.get(address, -1)
        origin = -1 if offset < 0 else self._target(self.entries[offset], ORIGIN)
        return origin if origin in self.entries else offset

    def types_of_unplaced(self, symbol: bytes) -> set[int]:
        """Where the types are of the variables of that symbol of which no address is said.

        GCC gives C++'s static variables no linkage name: those of a namespace are not found by it then.
        """
        simple = _STATIC_CXX.fullmatch(symbol)
        name = simple[2][: int(simple[1])] if simple else symbol
        labels = (as_text(symbol), _in_source(as_text(name)))
        offsets = {offset for label in labels for offset in self._called.get(label, ())}
        offsets.update(offset for label in labels for offset in self._declared_as.get(label, ()))
        found = ((offset, self.entries[offset]) for offset in offsets)
        return {
            self._type(entry)
            for offset, entry in found
            if DECLARATION not in entry.values and self._is_unplaced(entry)
            if self._is_called(offset, entry, as_text(symbol), as_text(name))
        }

    @cached_property
    def _called(self) -> dict[str, list[int]]:
        """Name, or linkage name -> offset of each variable that has it itself."""
        found: dict[tuple[int, bytes], list[int]] = {}
        for attribute in (NAME, LINKAGE):
            for offset, form, raw in self.entries.values(VARIABLE, attribute):
                found.setdefault((form, raw), []).append(offset)
        called: dict[str, list[int]] = {}
        for (form, raw), offsets in found.items():
            called.setdefault(as_text(read_text(self.section, form, raw, self.unit.strings)), []).extend(offsets)
        return called

    @cached_property
    def _declared_as(self) -> dict[str, list[int]]:
        """Linkage name, or else name of what is declared elsewhere -> offset of each variable that refers to that."""
        called: dict[str, list[int]] = {}
        for offset in self.entries.tagged(VARIABLE, having=SPECIFICATION):
            declared = self._declaration(self.entries[offset])
            called.setdefault(self.text(declared, LINKAGE) or self.text(declared), []).append(offset)
        return called

    def _declaration(self, entry: Entry) -> Entry:
        return self.entries.get(self._target(entry, SPECIFICATION)) or entry

    def _is_unplaced(self, entry: Entry) -> bool:
        form, location = entry.values.get(LOCATION, (0, b""))
        return form in (0, EXPRESSION, BLOCK, *BLOCKS) and self.place(location) is None

    def _is_called(self, offset: int, entry: Entry, symbol: str, name: str) -> bool:
        declared = self._declaration(entry)
        linkage = self.text(declared, LINKAGE)
        if linkage:
            return linkage == symbol
        if self.text(declared) != _in_source(name):
            return False
        return self.is_of_file(offset) is not ("." in name)

    def is_of_file(self, offset: int) -> bool:
        """Whether the variable at *offset* is in no function and no namespace."""
        around = self.entries.get(self._around.get(offset, -1))
        return around is not None and around.tag == UNIT

    def is_in_function(self, offset: int) -> bool:
        """Whether the variable at *offset* is a function's, static or not."""
        around = self.entries.get(self._around.get(offset, -1))
        return around is not None and around.tag in _CODE

    @cached_property
    def _around_blocks(self) -> dict[int, int]:
        """The same, of a block within a function."""
        return self.entries.parents(_BLOCK)

    def functions_variables(self) -> Iterator[tuple[str, int]]:
        """The function that has the variable at an offset, and that offset; of what was inlined where its source is."""
        for offset in self.entries.tagged(VARIABLE, having=NAME):
            around = self._around.get(offset, -1)
            while around in self._around_blocks:
                around = self._around_blocks[around]
            function = self.entries.get(around)
            if function is not None and function.tag == _FUNCTION:
                yield self.text(function), offset

    def parts(self, offset: int, tags: Sequence[int]) -> list[Entry]:
        """What the type at *offset* is made of."""
        return [self.entries[part] for part in self.entries.children(offset, tags)]

    def text(self, entry: Entry, attribute: int = NAME) -> str:
        """The name of *entry*."""
        if attribute not in entry.values:
            return ""
        form, raw = entry.values[attribute]
        return as_text(read_text(self.section, form, raw, entry.strings))

    def stripped(self, offset: int) -> int:
        """The type at *offset* without typedefs and qualifiers; -1 for ``void`` and what is not known."""
        for _ in range(DEEPEST):
            entry = self.entries.get(offset)
            if entry is None:
                return -1
            if entry.tag not in TRANSPARENT:
                return offset
            offset = self.target(entry)
        return -1

    def target(self, entry: Entry) -> int:
        """Offset of the type that *entry* is made with, or its declaration; -1 for none."""
        return self._type(entry)


def _in_source(name: str) -> str:
    """What the source calls a variable: of a function's, ``name.0`` of GCC and ``function.name`` of clang, the name."""
    words = [word for word in name.split(".") if not word.isdigit()]
    return words[-1] if "." in name else name


VariableType = tuple[TypeEntries, int]
"""The entries of a unit, and where in it a type is."""


def type_of_variable(debug: DebugInfo, address: int) -> VariableType | None:
    """The type of the variable at *address*; None where nothing says."""
    return _found_at(debug, address, TypeEntries.type_at)


def type_of_thread_local(debug: DebugInfo, symbol: bytes, path: bytes) -> VariableType | None:
    """The type of a thread-local of the file at *path*; None where nothing says, or several things.

    No address leads to it: neither GCC nor clang says in AArch64's ELF files where a thread-local lies.
    """
    found = []
    for unit in debug.called(posixpath.basename(path)):
        entries = entries_of(debug, unit) if unit.path == path else None
        types = entries.types_of_unplaced(symbol) if entries else ()
        found += [(entries, each) for each in types if entries and each >= 0]  # GCC's -g1 tells names and no types
    return found[0] if len(found) == 1 else None


def signature_of(debug: DebugInfo, address: int) -> VariableType | None:
    """What has the parameters of the function that begins at *address*; None where nothing says."""
    return _found_at(debug, address, TypeEntries.signature_at)


def _entries(_: DebugInfo) -> dict[int, TypeEntries | None]:
    """Where a unit begins -> its entries; None where those cannot be read."""
    return {}


def _found_at(debug: DebugInfo, address: int, place_of: Callable[[TypeEntries, int], int]) -> VariableType | None:
    for unit in units_with(debug, address):
        entries = entries_of(debug, unit)
        place = -1 if entries is None else place_of(entries, address)
        if entries is not None and place >= 0:
            return entries, place
    return None


def entries_of(debug: DebugInfo, unit: Unit) -> TypeEntries | None:
    """What *unit* says; None where it cannot be read."""
    read = debug.made(_entries)
    if unit.start not in read:
        try:
            read[unit.start] = TypeEntries(debug, unit)
        except FAULTS:
            read[unit.start] = None
    return read[unit.start]
