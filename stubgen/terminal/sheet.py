"""Text laid out for where it is printed: paragraphs, tables and long lists.

On a terminal lines are wrapped, or cut where a list has one line an entry; anywhere else they stay whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain

from stubgen.common.row import Row
from stubgen.common.text import harmless
from stubgen.terminal.screen import Screen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

DIM, BOLD, RED, GREEN, YELLOW, CYAN = "2", "1", "31", "32", "33", "36"
"""SGR parameters (ECMA-48)."""

_GAP = "  "
_LEAST = 24  # columns that the last column of a table has at least: else it goes below the others
_BELOW = 4  # columns by which it is indented there
_SECTION = 20  # columns of a section's name; compilers put functions' names into it
_WIDE = 120  # columns
_WIDEST = 96  # columns to which others are filled up; a longer cell moves what is behind it


class Names:
    """How the names in an answer are shown."""

    def __init__(self, text: str, *, mangled: bool) -> None:
        self._known: Mapping[str, str] = {}
        if not mangled and ("_Z" in text or "_R" in text):
            from stubgen.terminal.names import demangled_in

            self._known = demangled_in(text)

    def shown(self, text: str) -> str:
        """*text* as people read it, without what a terminal would obey."""
        if not self._known:
            return harmless(text)
        return harmless(self.replaced(text))

    def replaced(self, text: str) -> str:
        """*text* with its names as people write them, whatever a terminal makes of it."""
        if not self._known or ("_Z" not in text and "_R" not in text):
            return text
        from stubgen.terminal.names import replaced

        return replaced(text, self._known)

    def all_replaced(self, texts: Sequence[str]) -> Sequence[str]:
        """:meth:`replaced` for each of *texts*."""
        known = self._known
        return [known.get(text) or self.replaced(text) for text in texts] if known else texts


if TYPE_CHECKING:

    class Block(Protocol):
        """A part of an answer."""

        def raw(self, screen: Screen) -> Iterable[str]:
            """Its text before it is laid out: whatever may hold names."""

        def lines(self, screen: Screen, names: Names) -> Iterator[str]:
            """Its lines; one may hold several, with line ends between them."""


class Text:
    """Paragraphs, one a line; *colour* is an SGR parameter."""

    def __init__(self, text: str, colour: str = "") -> None:
        self.text = text
        self.colour = colour

    def raw(self, screen: Screen) -> Iterable[str]:
        return (self.text,)

    def lines(self, screen: Screen, names: Names) -> Iterator[str]:
        for line in names.shown(self.text).split("\n"):
            for part in wrapped(line, screen.width):
                yield coloured(part, self.colour, screen)


class Retold:
    """Another block, with *told* said in the place of its texts: one that is shorter, as a rule."""

    def __init__(self, block: Block, told: Callable[[str], str]) -> None:
        self._block = block
        self._told = told

    def raw(self, screen: Screen) -> Iterable[str]:
        return [self._told(text) for text in self._block.raw(screen)]

    def lines(self, screen: Screen, names: Names) -> Iterator[str]:
        return map(self._told, self._block.lines(screen, names))


class Table:
    """Rows with aligned columns; what is too long for the terminal is wrapped in the last one.

    Args:
        rows: cells; each row has as many.
        titles: likewise, or none.
        colours: an SGR parameter for each row, or none.
        right: the columns whose cells are aligned to the right.
        cut: the last column is cut in its middle instead of wrapped.
        squeezed: a column that is cut in its middle: on a terminal it takes six tenths, or four of a narrow one.
        indent: columns before the first one.
    """

    def __init__(
        self,
        rows: Sequence[Sequence[str]],
        titles: Sequence[str] = (),
        *,
        colours: Sequence[str] = (),
        right: Iterable[int] = (),
        cut: bool = False,
        squeezed: int | None = None,
        indent: int = 0,
    ) -> None:
        self.rows = rows
        self.titles = titles
        self.colours = colours
        self.right = frozenset(right)
        self.cut = cut
        self.squeezed = squeezed
        self.indent = indent

    def raw(self, screen: Screen) -> Iterable[str]:
        return (cell for row in self.rows for cell in row)

    def lines(self, screen: Screen, names: Names) -> Iterator[str]:
        if not self.rows:
            return
        rows = [[names.shown(cell) for cell in row] for row in self.rows]
        if self.squeezed is not None and screen.width is not None:
            room = max(screen.width * (6 if screen.width >= _WIDE else 4) // 10, _LEAST)
            rows = [[cut(cell, room) if n == self.squeezed else cell for n, cell in enumerate(row)] for row in rows]
        every = [list(self.titles), *rows] if self.titles else rows
        widths = [min(max(len(row[number]) for row in every), _WIDEST) for number in range(len(every[0]) - 1)]
        if self.titles:
            yield from (coloured(line, BOLD, screen) for line in self._row(every[0], widths, screen))
        colours = self.colours or [""] * len(rows)
        for row, colour in zip(rows, colours, strict=True):
            yield from (coloured(line, colour, screen) for line in self._row(row, widths, screen))

    def _row(self, row: Sequence[str], widths: Sequence[int], screen: Screen) -> Iterator[str]:
        cells = [
            cell.rjust(width) if number in self.right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=False))
        ]
        before = " " * self.indent + "".join([cell + _GAP for cell in cells])
        room = None if screen.width is None else screen.width - len(before)
        if room is None or len(row[-1]) <= room:
            yield (before + row[-1]).rstrip()
        elif self.cut and room >= _LEAST:
            yield before + cut(row[-1], room)
        elif room >= _LEAST:
            first, *others = wrapped(row[-1], room, hanging=0)
            yield before + first
            yield from (" " * len(before) + other for other in others)
        else:
            yield before.rstrip()
            below = " " * (self.indent + _BELOW)
            yield from wrapped(below + row[-1], screen.width, hanging=0)


class Columns(Row):
    """The rows of :class:`Entries`, and the line above them, as columns of equal length."""

    titles: tuple[str, str, str]  # above the first three columns
    before: Sequence[str]  # aligned by who makes it
    section: Sequence[str]
    name: Sequence[str]
    note: Sequence[str]  # behind the name, where there is room


class Entries:
    """A list with a line for each of a million entries: each is laid out by itself, and on a terminal cut to one line.

    Args:
        make: makes the rows, of which there is one at least, where they are printed.
        count: how many there will be.
        what: the kind of rows.
        most: rows up to which a terminal gets them; None for no limit.
        hint: what to do on a terminal to get more.
    """

    def __init__(self, make: Callable[[], Columns], count: int, what: str, *, most: int | None, hint: str) -> None:
        self._make = make
        self.count = count
        self.what = what
        self.most = most
        self.hint = hint

    @cached_property
    def made(self) -> Columns:
        """The rows."""
        return self._make()

    def _is_withheld(self, screen: Screen) -> bool:
        return screen.width is not None and self.most is not None and self.count > self.most

    def raw(self, screen: Screen) -> Iterable[str]:
        return () if self._is_withheld(screen) else self.made.name

    def lines(self, screen: Screen, names: Names) -> Iterator[str]:
        if self._is_withheld(screen):
            yield from wrapped(f"  {self.count:,} {self.what}: {self.hint}", screen.width)
            return
        titles, befores, parts, spellings, notes = self.made
        before, section, name = titles
        sections = set(parts)
        width = min(max(map(len, sections)), _SECTION)
        first = max(map(len, befores))
        yield coloured(
            f"{before:<{first}}  {section:<{width}}  {name}" if width else f"{before:<{first}}  {name}", BOLD, screen
        )
        gap = "  " if width else ""
        if screen.width is None and not screen.coloured:
            between = {section: names.replaced(f"  {section:<{width}}{gap}") for section in sections}
            behind = {note: f"{names.replaced(note)}\n" for note in set(notes)}
            told = names.all_replaced(spellings)
            lines = zip(befores, map(between.__getitem__, parts), told, map(behind.__getitem__, notes), strict=True)
            yield harmless("".join(chain.from_iterable(lines))[:-1])
            return
        for before, part, name, note in zip(befores, parts, spellings, notes, strict=True):
            room = None if screen.width is None else screen.width - first - width - 4
            section = part if room is None else cut(part, width)
            shown, more = names.shown(name), harmless(note)
            shown += more if room is None or len(shown) + len(more) <= room else ""
            start = f"{before}  {harmless(section):<{width}}{gap}"
            yield start + (shown if room is None else cut(shown, max(room, _LEAST)))


Sheet = Sequence["Block"]


def render(content: str | Sheet, screen: Screen, *, mangled: bool = False) -> str:
    """*content* as it is printed to *screen*.

    Args:
        content: blocks, or paragraphs.
        screen: where it will be read.
        mangled: names stay as the files have them.
    """
    blocks = blocks_of(content)
    raw = "" if mangled else "\n".join([text for block in blocks for text in block.raw(screen)])
    names = Names(raw, mangled=mangled)
    return "\n".join([line for block in blocks for line in block.lines(screen, names)])


def blocks_of(content: str | Sheet) -> Sheet:
    """*content* as blocks."""
    return [Text(content)] if isinstance(content, str) else content


def plain(content: str | Sheet) -> str:
    """*content* as a program reads it: whole lines, names as the files have them."""
    return render(content, Screen(), mangled=True)


def coloured(line: str, colour: str, screen: Screen) -> str:
    """*line* in *colour*, an SGR parameter, where the screen takes colours."""
    return f"\x1b[{colour}m{line}\x1b[0m" if colour and line and screen.coloured else line


def wrapped(line: str, width: int | None, *, hanging: int = 2) -> list[str]:
    """*line* in lines of at most *width* columns, those after the first indented like it and by *hanging* more.

    A word that is longer stays whole: a path that is cut cannot be opened.
    """
    if width is None or len(line) <= width:
        return [line]
    from textwrap import wrap

    indent = line[: len(line) - len(line.lstrip(" "))]
    return wrap(
        line.strip(),
        max(width, _LEAST),
        initial_indent=indent,
        subsequent_indent=indent + " " * hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )


def cut(text: str, width: int) -> str:
    """*text* in at most *width* columns, its middle left out."""
    if len(text) <= width:
        return text
    head = width // 3
    return f"{text[:head]}...{text[head + 3 - width :]}"
