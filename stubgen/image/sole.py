"""The functions of a linked image that are the only symbol of their name, found by columns of its symbol table."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Collection, Sequence
from itertools import compress, count

from stubgen.common.row import Row


class SoleFunctions(Row):
    """Name -> virtual address, each name one that no other symbol of the image has."""

    seen: dict[bytes, int]  # what all files of the image can refer to
    local: dict[bytes, int]  # what one file alone can


NONE = SoleFunctions({}, {})


def sole_functions(
    names: Sequence[bytes],
    wanted: Collection[bytes],
    values: array[int],
    is_symbol: Sequence[int],
    seen: Sequence[int],
    local: Sequence[int],
) -> SoleFunctions:
    """Those of the symbols *names* that are wanted and have their name to themselves.

    Args:
        names: of all symbols of the only table with such names.
        wanted: names.
        values: each symbol's virtual address.
        is_symbol: true for each entry that counts as a symbol.
        seen: true for each function that all files can refer to.
        local: true for each that one file alone can.
    """
    hits = list(compress(count(), map(wanted.__contains__, names)))
    hits = list(compress(hits, map(is_symbol.__getitem__, hits)))
    places = dict(zip(map(names.__getitem__, hits), hits, strict=True))
    if len(places) < len(hits):
        holders = Counter(map(names.__getitem__, hits))
        places = {name: index for name, index in places.items() if holders[name] == 1}
    return SoleFunctions(
        {name: values[index] for name, index in places.items() if seen[index]},
        {name: values[index] for name, index in places.items() if local[index]},
    )
