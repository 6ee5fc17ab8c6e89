"""Where the variables of a source file lie in a linked image, and of which a function is, by its debug information.

Link-time optimisation renames what several files call alike (GCC ``calls.lto_priv.0``, LLVM ``calls.1`` and
``calls.llvm.1234``); debug information goes on calling it what people wrote. GCC says in a unit of its own where a
variable or function lies, and refers to the unit of the source file for the rest.
"""

from __future__ import annotations

import posixpath

from stubgen.common.text import as_bytes
from stubgen.image.dwarf import LOCATION, NAME, ORIGIN, VARIABLE, DebugInfo, Unit
from stubgen.image.dwarf_entries import FAULTS, REF_ADDR, Entry
from stubgen.image.dwarf_types import DECLARATION, TypeEntries, entries_of

_EXTERNAL = 0x3F  # DWARF 5, 7.5.4, DW_AT_external
_ARTIFICIAL = b"<artificial>"
"""What GCC calls the file of a unit that link-time optimisation made of several."""


def places_of(debug: DebugInfo, path: bytes) -> dict[bytes, set[int]]:
    """Name -> addresses of the variables outside functions that the source file at *path* has.

    Empty where the image was linked from no object of that file, or from several. A unit without functions that have an
    address is no object's: ThinLTO makes one where it takes a function into another file.
    """
    units = [unit for unit in debug.called(posixpath.basename(path)) if unit.path == path]
    found: dict[bytes, set[int]] = {}
    if len(units) > 1 and sum(bool(debug.functions(unit)) for unit in units) != 1:
        return found
    for unit in (*units, *_artificial(debug)) if units else ():
        for address, (entries, offset) in _placed(debug, unit).items():
            if entries.unit in units and entries.is_of_file(offset):
                name = entries.text(entries.entries[offset])
                found.setdefault(as_bytes(name), set()).add(address)
    return found


def is_of_source(debug: DebugInfo, address: int, path: bytes, *, function: bool) -> bool | None:
    """Whether what lies at *address* is from the source file at *path*; None where nothing is known of that file."""
    units = [unit for unit in debug.called(posixpath.basename(path)) if unit.path == path]
    if not units:
        return None
    if function:
        return any(address in debug.functions(unit) for unit in units)
    return any(address in addresses for addresses in places_of(debug, path).values())


def unplaced_in(debug: DebugInfo) -> set[bytes]:
    """The variables outside functions and namespaces that an object defines and that are nowhere in it.

    The compiler put the value of each in the place of its uses.
    """
    found: set[bytes] = set()
    for unit in debug.units:
        entries = entries_of(debug, unit)
        if entries is None:
            continue
        try:
            for offset in entries.entries.tagged(VARIABLE, having=NAME, lacking=LOCATION):
                if DECLARATION not in entries.entries[offset].values and entries.is_of_file(offset):
                    found.add(as_bytes(entries.text(entries.entries[offset])))
        except FAULTS:
            continue
    return found


def described_in(debug: DebugInfo, *, functions: bool, path: bytes = b"") -> set[bytes]:
    """The names of the variables outside functions that debug information describes, or of those inside.

    Of *path* those alone that the units of that source file describe.
    """
    found: set[bytes] = set()
    for unit in debug.units:
        if path and unit.path != path:
            continue
        entries = entries_of(debug, unit)
        if entries is None:
            continue
        try:
            for offset in entries.entries.tagged(VARIABLE, having=NAME):
                if entries.is_in_function(offset) is functions:
                    found.add(as_bytes(entries.text(entries.entries[offset])))
        except FAULTS:
            continue
    return found


def function_statics(debug: DebugInfo, path: bytes) -> dict[tuple[bytes, bytes], int]:
    """Function and name -> address of its static variable of that name, as the units of the C source *path* say.

    Nothing is said of a function with two variables
    of a name, static or not, or of two functions with one.
    """
    found: dict[tuple[bytes, bytes], set[int | None]] = {}
    for unit in debug.units:
        entries = entries_of(debug, unit) if unit.path == path else None
        if entries is None:
            continue
        try:
            placed = {offset: address for offset, address, _ in entries.placed()}
            for function, offset in entries.functions_variables():
                key = as_bytes(function), as_bytes(entries.text(entries.entries[offset]))
                others = found.setdefault(key, set())
                others.add(None if others else placed.get(offset))
        except FAULTS:
            continue
    return {key: one for key, places in found.items() for one in places if one is not None and len(places) == 1}


def function_of_optimised(debug: DebugInfo, address: int) -> tuple[Unit, bool] | None:
    """The source file's unit of the function at *address*, where GCC's link-time optimisation placed it.

    Returns:
        It, and whether other files saw the function; None where nothing says.
    """
    for unit in _artificial(debug):
        entries = entries_of(debug, unit)
        try:
            offset = -1 if entries is None else entries.functions_at.get(address, -1)
            named = None if entries is None or offset < 0 else _named(debug, entries, offset)
        except FAULTS:
            continue
        if named is not None and named[0].unit != unit:
            home, place = named
            return home.unit, _EXTERNAL in home.entries[place].values
    return None


def _artificial(debug: DebugInfo) -> list[Unit]:
    return [unit for unit in debug.units if posixpath.basename(unit.path) == _ARTIFICIAL]


def _placed(debug: DebugInfo, unit: Unit) -> dict[int, tuple[TypeEntries, int]]:
    """Address -> the entry of each variable that *unit* places: its unit's entries, and where it is in them."""
    entries = entries_of(debug, unit)
    if entries is None:
        return {}
    try:
        return {address: found for entry, address, _ in entries.placed() if (found := _named(debug, entries, entry))}
    except FAULTS:
        return {}


def _named(debug: DebugInfo, entries: TypeEntries, offset: int) -> tuple[TypeEntries, int] | None:
    """Where the name of the variable at *offset* is: there, or in another unit."""
    entry: Entry = entries.entries[offset]
    form, raw = entry.values.get(ORIGIN, (0, b""))
    if form != REF_ADDR:
        return entries, offset
    at = int.from_bytes(raw, "little")
    home = next((unit for unit in debug.units if unit.start <= at < unit.end), None)
    named = entries_of(debug, home) if home is not None else None
    if home is None or named is None or at - home.start not in named.entries:
        return None
    return named, at - home.start
