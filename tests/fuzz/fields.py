"""Every field of a sound file, and what a liar would write into it.

The fuzzer tries some of these by chance. Here each field of each record is set to each value, one at a time, and it is
all the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from stubgen.common.record import Record

T = TypeVar("T")
Others = Callable[[int], Iterable[int]]
"""What a field's value may become, beside the edges that every field has."""


class Place(NamedTuple):
    """A field of a sound file."""

    record: str
    """The record's name, or that of what has no record."""
    field: str
    of: str
    """Whose it is: a section, a load command."""
    at: int
    """Byte offset in the file."""
    size: int
    """Bytes."""
    others: tuple[int, ...] = ()
    big: bool = False
    """Most significant byte first."""
    texts: tuple[bytes, ...] = ()
    """Of a field of text, what it may become."""

    def changes(self, content: bytes, *, few: bool = False) -> Iterator[tuple[str, bytes]]:
        """*content* with each other value, and what was done; with *few*, none that is near to another."""
        for text in self.texts:
            told = f"{self.record}.{self.field} of {self.of} becomes {text!r}"
            yield told, content[: self.at] + text[: self.size].ljust(self.size) + content[self.at + self.size :]
        if self.texts:
            return
        order = "big" if self.big else "little"
        old = int.from_bytes(content[self.at : self.at + self.size], order)  # type: ignore[arg-type]  # one of the two
        most = (1 << 8 * self.size) - 1
        edges: tuple[int, ...] = (0, old + 1, most // 2, most)
        if not few:
            edges = (*edges, 1, old - 1, most // 2 + 1)
        if not few and self.size > 1:
            edges = (*edges, 2, 2 * old, most - 1, len(content))
        for value in dict.fromkeys(value & most for value in (*edges, *self.others)):
            if value != old:
                written = value.to_bytes(self.size, order)  # type: ignore[arg-type]  # likewise
                told = f"{self.record}.{self.field} of {self.of} at {self.at:#x}: {old:#x} becomes {value:#x}"
                yield told, content[: self.at] + written + content[self.at + self.size :]


def record_places(
    record: Record[Any], at: int, of: str, content: bytes, others: Mapping[str, Others], *, big: bool = False
) -> Iterator[Place]:
    """The fields of the record at byte *at*; *others* is what those of a name may become."""
    for field, value in zip(record.fields, record.read(content, at), strict=True):
        other = tuple(others[field.name](value)) if field.name in others else ()
        yield Place(record.row.__name__, field.name, of, at + field.offset, min(field.size, 8), other, big)


def octet_places(name: str, of: str, at: int, size: int, most: int) -> Iterator[Place]:
    """The first *most* bytes of what is no table of records: one by one, and as words of 32 bits."""
    for number in range(min(size, most)):
        yield Place(name, "U8", of, at + number, 1)
        if not number % 4 and number + 4 <= size:
            yield Place(name, "U32", of, at + number, 4)


def each_kind(rows: Sequence[T], kind: Callable[[T], Hashable]) -> list[tuple[int, T]]:
    """The first and the last row of a table, and the first of each kind, with their numbers."""
    first = {kind(row): number for number, row in reversed([*enumerate(rows)])}
    return [(number, rows[number]) for number in sorted({*first.values(), *([len(rows) - 1] if rows else [])})]


def bits(width: int) -> Others:
    """Each bit turned."""
    return lambda old: [old ^ 1 << bit for bit in range(width)]


def each_of(values: Iterable[int]) -> Others:
    """Each of what is known."""
    known = tuple(values)
    return lambda old: known


def index_below(count: int) -> Others:
    """Each index of a table of *count*, or some of a long one, and those behind it."""
    return lambda old: (*range(0, count, count // 10 + 1), count - 1, count, count + 1)
