"""The reach phase: what in the host still leads to functions that a patch replaces.

A runtime that redirects by a table changes what looks the table up. A direct call, an address in the host's data, and a
copy that the compiler inlined lead to the old code as before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

from stubgen.common import aarch64
from stubgen.common.row import Row
from stubgen.common.text import as_bytes, as_text
from stubgen.compare import host_places
from stubgen.compare.parts import HostPlaces, Imported
from stubgen.errors import SymbolRefusal
from stubgen.host import Host
from stubgen.image import Image, Kind
from stubgen.image.dwarf import occurrences
from stubgen.reach.code import Accesses, Hit, branches
from stubgen.reach.labels import Labels, Place
from stubgen.replaced import Replaced
from stubgen.symbols.versions import is_part

_FUNCTIONS = (Kind.FUNCTION, Kind.IFUNC)
_FEW = 8  # functions of which each one's clones are searched for by its name
_VENEERS = (b"Thunk_", b"_veneer", b"thunk")
"""What lld, GNU ld and mold put into the names of theirs; one within reach is a single ``b``."""


class Caller(Row):
    """An instruction of the host that goes to the function."""

    place: Place
    instruction: str  # bl, b, b.cond, cbz, ...
    through: int | None  # static address of the PLT's entry, the stub or the veneer that it goes to first


class Taken(Row):
    """An instruction of the host that makes the function's address, or loads it."""

    place: Place
    slot: int | None  # static address of the pointer that it loads; None: the address is computed


class Inlined(Row):
    """A function of the host with copies of this one."""

    function: str
    address: int | None  # static; None where it lies in several pieces
    copies: int
    file: str  # path of its source file


class Reached(Row):
    """A function of the host, and who reaches it."""

    name: str
    """The function."""
    addresses: tuple[int, ...]
    """Where the host has it: static addresses; none where every use is inlined."""
    callers: tuple[Caller, ...]
    """Branches to it, by address."""
    pointers: tuple[Place, ...]
    """Words of the host's data that will hold its address."""
    taken: tuple[Taken, ...]
    """Instructions that make its address, or load it."""
    inlined: tuple[Inlined, ...]
    """Functions with copies of its code."""
    clones: tuple[tuple[str, int], ...]
    """Copies that compilers specialised, ``NAME.constprop.0``: name and static address."""


class Reach(Row):
    """Who still reaches the host's old code."""

    functions: tuple[Reached, ...]
    """One for each function that was asked for."""
    has_debug_information: bool
    """Whether the host says what is inlined; otherwise nobody knows."""


class _Sought(Row):
    name: bytes
    addresses: tuple[int, ...]


def find_reach(host: Host, functions: Replaced | Iterable[str]) -> Reach:
    """What in *host* still leads to *functions*: those that a patch replaces for sure, or some by name.

    Raises:
        SymbolRefusal: the host has no function of a name, not even an inlined one.
        MalformedInput: the host is broken.
    """
    if isinstance(functions, Replaced):
        sought = [_Sought(as_bytes(f.name), tuple(c.static_address for c in f.copies)) for f in functions.functions]
    else:
        names = [name for text in functions for name in _spelled(host, text)]
        sought = [_by_name(host, name) for name in dict.fromkeys(names)]
    image = host.image
    inlined = _inlined(image, sought)
    unknown = [as_text(one.name) for one in sought if not one.addresses and not inlined.get(one.name)]
    if unknown:
        raise SymbolRefusal(f"{host.path}: has no function called {', '.join(unknown)}, and no inlined copy of one")
    return Reach(tuple(_Scan(image, sought, inlined).rows()), bool(image.debug_info.units))


def _spelled(host: Host, text: str) -> list[str]:
    """The symbols that demangle to *text*, also without the parameters that it lacks; itself where there is none.

    Constructors have several symbols of one name.
    """
    if "::" not in text and "(" not in text:
        return [text]
    from stubgen.terminal.names import demangled

    parts = {as_bytes(part) for part in re.findall(r"\w+", text)}
    known = demangled({as_text(name) for name in host.image.names_with(parts)})
    found = [
        name
        for name, shown in known.items()
        if shown == text or (shown.startswith(f"{text}(") and "." not in name)  # clones have one behind the name
    ]
    return sorted(found) or [text]


def _by_name(host: Host, text: str) -> _Sought:
    """The host's functions called *text*; Mach-O's underscore may be left out."""
    names = [as_bytes(text), *([b"_" + as_bytes(text)] if host.image.format == "macho" else [])]
    found = host.find(names)
    for name in names:
        addresses = sorted({c.address for c in found.get(name, ()) if c.kind in _FUNCTIONS})
        if addresses:
            return _Sought(name, tuple(addresses))
    return _Sought(names[0], ())


class _Scan:
    """One pass over a host for several functions."""

    def __init__(self, image: Image, sought: Sequence[_Sought], inlined: Mapping[bytes, Sequence[Inlined]]) -> None:
        self.image = image
        self.sought = sought
        self.inlined = inlined
        self.places: HostPlaces = host_places(image)
        self.labels = Labels(image)
        self.functions = {address for one in sought for address in one.addresses}
        names = image.names_at(self.functions)
        self.named = {name: address for address in sorted(self.functions) for name in names.get(address, ())}
        """What a loader looks up by one of their names may be another image's, and is theirs if none is."""
        self.pointers = self._find_pointers()
        self.entries: dict[int, int] = {}  # PLT entry, stub or veneer -> the function that it leads to
        self.callers: dict[int, list[Hit]] = {}
        self.taken: dict[int, list[tuple[Hit, int | None]]] = {}
        self._read_code()

    def _find_pointers(self) -> dict[int, int]:
        """Virtual address of each pointer to one of the functions -> which."""
        found = {}
        for place, held in self.places.holders(self.functions, self.named.keys()):
            found[place] = self.named[held] if isinstance(held, bytes) else held
        return found

    def _read_code(self) -> None:
        code = list(self.image.code())
        accesses = Accesses(self.functions, self.pointers)
        for section in code:
            for hit in accesses.find(section, self.labels.function_bounds):
                self._note_address(hit, hit.address - aarch64.WORD)
        seen: set[int] = set()
        waiting = {*self.functions, *self.pointers, *self.entries}
        while waiting:
            for section in code:
                for hit in branches(section, waiting):
                    if hit.calls:
                        self._note_call(hit)
                    else:
                        self._note_address(hit, hit.address)
            seen |= waiting
            waiting = self.entries.keys() - seen

    def _note_address(self, hit: Hit, start: int) -> None:
        """Note what makes an address; code at *start* that does nothing but go there is an entry."""
        behind = self.places.behind(start)
        function = self.named.get(behind.name) if isinstance(behind, Imported) else behind
        if function in self.functions and start not in self.functions:
            self._note_entry(start, function)
        elif hit.target not in self.entries:
            target = self.pointers.get(hit.target, hit.target)
            self.taken.setdefault(target, []).append((hit, hit.target if hit.target in self.pointers else None))

    def _note_entry(self, start: int, function: int) -> None:
        self.entries[start] = function
        before = self.places.read(start - aarch64.WORD, aarch64.WORD)
        if before is not None and bytes(before) in aarch64.LANDING_PADS:
            self.entries[start - aarch64.WORD] = function

    def _note_call(self, hit: Hit) -> None:
        if hit.target in self.pointers:
            return
        function = self.entries.get(hit.target, hit.target)
        first, last = self.labels.function_bounds(function)
        if hit.instruction != "bl" and first <= hit.address < last:
            return  # a loop
        if hit.instruction == "b" and self._is_veneer(self.labels.at(hit.address)):
            self.entries[hit.address] = function
        else:
            self.callers.setdefault(function, []).append(hit)

    @staticmethod
    def _is_veneer(place: Place) -> bool:
        return not place.offset and any(part in place.symbol for part in _VENEERS)

    def rows(self) -> Iterator[Reached]:
        """What was found, function by function."""
        held: dict[int, list[int]] = {}
        for place, function in self.pointers.items():
            held.setdefault(function, []).append(place)
        for one in self.sought:
            callers = sorted(hit for address in one.addresses for hit in self.callers.get(address, ()))
            taken = sorted(pair for address in one.addresses for pair in self.taken.get(address, ()))
            places = sorted(place for address in set(one.addresses) for place in held.get(address, ()))
            yield Reached(
                as_text(one.name),
                one.addresses,
                tuple(self._caller(hit) for hit in callers),
                tuple(self.labels.at(place) for place in places),
                tuple(Taken(self.labels.at(hit.address), slot) for hit, slot in taken),
                tuple(self.inlined.get(one.name, ())),
                tuple(self.clones.get(one.name, ())),
            )

    def _caller(self, hit: Hit) -> Caller:
        through = hit.target if hit.target in self.entries else None
        return Caller(self.labels.at(hit.address), hit.instruction, through)

    @cached_property
    def clones(self) -> dict[bytes, list[tuple[str, int]]]:
        """The specialised copies of each function: GCC and LLVM put what they did behind a period."""
        sought = {one.name for one in self.sought}
        parts = [name + b"." for name in sought] if len(sought) <= _FEW else [b"."]
        owners: dict[bytes, list[bytes]] = {}
        for name in self.image.names_with(parts):
            if not is_part(name) and b".llvm." not in name:
                before = [name[:period] for period in occurrences(name, b".")]
                owners[name] = [start for start in before if start in sought]
        names = {name for name, owned in owners.items() if owned}
        found: dict[bytes, list[tuple[str, int]]] = {}
        for name, candidates in self.image.find(names).items() if names else ():
            for address in sorted({c.address for c in candidates if c.kind in _FUNCTIONS} - self.functions):
                for owner in owners[name]:
                    found.setdefault(owner, []).append((as_text(name), address))
        return found


def _inlined(image: Image, sought: Sequence[_Sought]) -> dict[bytes, list[Inlined]]:
    """Where each of *sought* is inlined, as far as debug information says."""
    found = image.inlined_copies({one.name: set(one.addresses) for one in sought})
    return {
        one.name: [
            Inlined(as_text(into.function), into.address, into.copies, as_text(into.file))
            for into in found.get(one.name, ())
        ]
        for one in sought
    }
