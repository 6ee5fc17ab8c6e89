"""What DWARF says of the functions and variables that a file declares, and that another one defines."""

from __future__ import annotations

import posixpath

from stubgen.common.text import as_text
from stubgen.image.dwarf import PARAMETER, SUBPROGRAM, VARIABLE, DebugInfo
from stubgen.image.dwarf_entries import FAULTS, UNIT
from stubgen.image.dwarf_types import TypeEntries, VariableType, entries_of

_LINKAGE, _PROTOTYPED, _DECLARATION = 0x6E, 0x27, 0x3C  # DWARF 5, 7.5.4, DW_AT_*


def declared_function(debug: DebugInfo, symbol: bytes) -> VariableType | None:
    """What has the parameters of the function that an object's file declares; None where nothing says.

    Without parameters and without ``DW_AT_prototyped`` it is C's ``f()``, which says nothing of them.
    """
    found = _declared(debug, symbol, SUBPROGRAM)
    if found is None:
        return None
    entries, offset = found
    says = _PROTOTYPED in entries.entries[offset].values or bool(entries.parts(offset, [PARAMETER]))
    return found if says else None


def declared_variable(debug: DebugInfo, symbol: bytes) -> VariableType | None:
    """The type of the variable that an object's file declares; None where nothing says."""
    found = _declared(debug, symbol, VARIABLE)
    if found is None:
        return None
    entries, offset = found
    return entries, entries.target(entries.entries[offset])


def _declared(debug: DebugInfo, symbol: bytes, tag: int) -> VariableType | None:
    """Where the one declaration with *tag* is; None for none, and for several."""
    path, label = debug.source_file, as_text(symbol)
    found: list[VariableType] = []
    for unit in debug.called(posixpath.basename(path)):
        entries = entries_of(debug, unit) if unit.path == path else None
        try:
            found += [(entries, each) for each in _called(entries, label, tag)] if entries else []
        except FAULTS:
            return None
    return found[0] if len(found) == 1 else None


def _called(entries: TypeEntries, label: str, tag: int) -> list[int]:
    around = entries.entries.parents(tag)
    found = []
    for offset in entries.entries.tagged(tag, having=_DECLARATION):
        entry = entries.entries[offset]
        linkage = entries.text(entry, _LINKAGE)
        parent = entries.entries.get(around.get(offset, -1))
        if linkage == label or (
            not linkage and entries.text(entry) == label and parent is not None and parent.tag == UNIT
        ):
            found.append(offset)
    return found
