"""The functions of a linked image that are the only symbol of their name, found by columns of its symbol table."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import repeat

from stubgen.common.row import Row


class SoleFunctions(Row):
    """Number of a wanted name -> virtual address, each name one that no other symbol of the image has."""

    seen: dict[int, int]  # what all files of the image can refer to
    local: dict[int, int]  # what one file alone can


NONE = SoleFunctions({}, {})


def sole_functions(
    names: Sequence[bytes],
    wanted: Mapping[bytes, int],
    elsewhere: Collection[bytes],
    values: array[int],
    is_symbol: Sequence[int],
    seen: Sequence[int],
    local: Sequence[int],
) -> SoleFunctions:
    """Those of the symbols *names* that are wanted and have their name to themselves.

    Args:
        names: of all symbols of a table.
        wanted: name -> its number.
        elsewhere: names that other symbols have too, which are in no such table.
        values: each symbol's virtual address.
        is_symbol: true for each entry that counts as a symbol.
        seen: true for each function that all files can refer to.
        local: true for each that one file alone can.
    """
    numbers = list(map(wanted.get, names, repeat(-1)))
    hits = [index for index, number in enumerate(numbers) if number >= 0 and is_symbol[index]]
    places = dict(zip(map(numbers.__getitem__, hits), hits, strict=True))
    if len(places) < len(hits):
        holders = Counter(map(numbers.__getitem__, hits))
        places = {number: index for number, index in places.items() if holders[number] == 1}
    for name in elsewhere:
        places.pop(wanted.get(name, -1), None)
    return SoleFunctions(
        {number: values[index] for number, index in places.items() if seen[index]},
        {number: values[index] for number, index in places.items() if local[index]},
    )
