"""Statics of C functions that GCC numbers (``count.0``): debug information, or what uses them, tells which is which.

GCC counts through a file, so one more in front gives ``count.0`` another meaning. Debug information names the function
that has it, and its name there; what it says of both sides counts. Else a function that uses one ``count`` in patch and
host uses the same one. Where a function uses several of a name, where its uses do not agree with
another function's, or where one that uses any is not in the host under its name (it may be inlined there), nothing is
told. LLVM calls the parts alike that it makes of a file's array or structure: there ``table.1`` is the second part that
is still used, another one after an edit, and a function that uses one of them in patch and host may use two.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from stubgen.image import Candidate, Image, Kind, Variable
from stubgen.image.dwarf_places import function_statics
from stubgen.resolve.storage import moves

_FEW = 8
"""Names up to which each is looked for by itself, in a table's bytes: those searches take less than a pass."""
_NUMBERED = rb"(?P<base>[A-Za-z_$][\w$]*)\.\d+"


def base_of(name: bytes) -> bytes:
    """``count`` of ``count.0``; empty for other names."""
    match = re.fullmatch(_NUMBERED, name)
    return b"" if match is None else match["base"]


def counterparts(host: Image, variables: Sequence[Variable]) -> dict[bytes, Candidate]:
    """Names of *variables*, statics of functions in the patch's objects, and which of the host's each is."""
    numbered = [v for v in variables if v.local and v.writable and not v.thread_local and base_of(v.name)]
    numbered = [each for each in numbered if not each.defined_in.image.may_be_by_llvm]
    if not numbered or host.format != "elf":
        return {}
    found: dict[bytes, Candidate] = {}
    theirs = _statics(host, {base_of(variable.name) for variable in numbered})
    by_object: dict[int, list[Variable]] = {}
    for variable in numbered:
        by_object.setdefault(id(variable.defined_in.image), []).append(variable)
    for own in by_object.values():
        found |= _Uses(host, own, theirs).agreed()
    return found


def _statics(host: Image, bases: set[bytes]) -> list[Candidate]:
    """The host's that are called like one of *bases*, but for the number."""
    markers = [base + b"." for base in bases]
    found = {}
    for number, table in enumerate(host.symbol_tables):
        indexes: Iterable[int] = table.find_indexes((), markers) if len(markers) <= _FEW else range(len(table))
        for each in host.candidates(number, indexes, lambda name: base_of(name) in bases):
            if each.kind is Kind.DATA and each.local and each.size:
                found[each.address] = each
    return [found[address] for address in sorted(found)]


class _Uses:
    """Who uses which statics, in one object of the patch and in the host."""

    def __init__(self, host: Image, own: Sequence[Variable], theirs: Sequence[Candidate]) -> None:
        self.host = host
        self.own = own
        self.theirs = [each for each in theirs if each.file == own[0].file]
        self.image = own[0].defined_in.image

    def agreed(self) -> dict[bytes, Candidate]:
        """Those that are told, by name."""
        described = self._described()
        taken = {each.address for each in described.values()}
        return {name: each for name, each in self._used().items() if each.address not in taken} | described

    def _described(self) -> dict[bytes, Candidate]:
        """Those that debug information tells, of the patch's object and of the host's units of its source."""
        own = {variable.place: variable.name for variable in self.own}
        debug, theirs = self.image.debug_info, {each.address: each for each in self.theirs}
        found: dict[bytes, Candidate] = {}
        for path in {unit.path for unit in debug.units} if theirs else ():
            known = self.host.debug_info
            there = function_statics(known, path) if any(unit.path == path for unit in known.units) else {}
            for key, place in function_statics(debug, path).items() if there else ():
                name, counterpart = own.get(place, b""), theirs.get(there.get(key, -1))
                if counterpart is not None and base_of(name) == base_of(counterpart.name) == key[1]:
                    found[name] = counterpart
        return found

    def _used(self) -> dict[bytes, Candidate]:
        """Those that the functions tell which use them."""
        users = self._own_users()
        known = self._their_users({function for functions in users.values() for function in functions})
        found: dict[bytes, Candidate] = {}
        families: dict[bytes, dict[bytes, set[bytes]]] = {}
        for name, functions in users.items():
            families.setdefault(base_of(name), {})[name] = functions
        statics: dict[bytes, dict[int, Candidate]] = {}
        for each in self.theirs:
            statics.setdefault(base_of(each.name), {})[each.address] = each
        for base, family in families.items():
            if all(function in known for functions in family.values() for function in functions):
                found |= _agreed_of(family, statics.get(base, {}), known)
        return found

    def _own_users(self) -> dict[bytes, set[bytes]]:
        """The patch's statics -> the functions of its object that refer to them."""
        reach, users = self.image.reach, dict[bytes, set[bytes]]()
        if reach is None:
            return users
        pieces = {reach.piece_at(variable.place): variable.name for variable in self.own}
        if len(pieces) < len(self.own):  # several in one section: nothing tells them apart
            return users
        for piece, function in reach.functions().items():
            for target in reach.targets(piece):
                if isinstance(target, int) and target in pieces:
                    users.setdefault(pieces[target], set()).add(_plain(function))
        return users

    def _their_users(self, functions: set[bytes]) -> dict[bytes, set[int]]:
        """Those of *functions* that the host has once -> the addresses of the statics that they use."""
        found: dict[bytes, set[int]] = {}
        starts = [each.address for each in self.theirs]  # ascending
        for name, found_there in self.host.find(functions).items():
            pool = [each for each in found_there if not each.local or each.file == self.own[0].file]
            same = {each.address: each for each in pool if each.kind is Kind.FUNCTION}
            if len(same) != 1 or name not in functions:
                continue
            ((start, function),) = same.items()
            moved = {address for address, _ in moves(self.host, start, function.size)}
            nearest = [self.theirs[at - 1] for address in moved if (at := bisect_right(starts, address))]
            used = {each.address: each.address + each.size for each in nearest}
            found[name] = {begin for begin, end in used.items() if any(begin <= address < end for address in moved)}
        return found


def _agreed_of(
    family: Mapping[bytes, set[bytes]], statics: Mapping[int, Candidate], known: Mapping[bytes, set[int]]
) -> dict[bytes, Candidate]:
    """Of one base name: each of the patch's with the one of the host's *statics* that its functions use there."""
    users = Counter(function for functions in family.values() for function in functions)
    meant: dict[bytes, set[int]] = {}
    for name, functions in family.items():
        uses = [known[function] & statics.keys() for function in functions]
        alone = all(users[function] == 1 for function in functions)
        if alone and uses and all(len(each) == 1 for each in uses):
            meant[name] = set().union(*uses)
    claimed = Counter(address for addresses in meant.values() for address in addresses)
    return {
        name: statics[next(iter(addresses))]
        for name, addresses in meant.items()
        if len(addresses) == 1 and claimed[next(iter(addresses))] == 1
    }


def _plain(function: bytes) -> bytes:
    """A function's name without what GCC appends to its parts and clones."""
    return function.partition(b".")[0]
