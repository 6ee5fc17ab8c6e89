"""Turns arguments into options with their operands, losing nothing.

A driver hands the pieces of ``-Wl,a,b`` and the operands of ``-Xlinker`` to the linker in order, with its own
inputs between them, so one linker option may be spread over several arguments: ``-Wl,-soname -Wl,libx.so``,
``-Xlinker -rpath -Xlinker /x``, ``-Wl,-syslibroot /sdk``. The unit here is therefore the *word*: a whole
argument, or one piece of a ``-Wl,`` list. Every word belongs to exactly one :class:`Item`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum

from stubgen.common.row import Row
from stubgen.linkplan.options import Grammar, Option, Role


class Shape(IntEnum):
    """How an argument carries its words."""

    WHOLE = 0
    """The argument is one word."""
    LIST = 1
    """``-Wl,`` and words between commas."""
    PREFIX = 2
    """``-Xlinker``: no word of its own; the next argument is a word of the linker's."""
    PREFIXED = 3
    """The argument after ``-Xlinker``, or ``--for-linker=WORD``."""


class Item(Row):
    """One option with its operands, or one input."""

    option: Option | None
    """None: an input, or an option that no table names."""
    words: list[int]
    """Indices of its words, in order."""
    values: list[str]
    """Its operands; for an input, the input itself."""
    linker: bool
    """True: the linker's own, not the driver's."""
    incomplete: bool
    """True: the command ended before its last operand."""


class Tokens(Row):
    """An argument list, taken apart."""

    arguments: Sequence[str]
    shapes: list[Shape]
    first_word: list[int]
    """Argument -> index of its first word; one more entry than arguments."""
    words: list[str]
    items: list[Item]
    owner: list[int]
    """Word -> index of its item."""

    def step(self, position: int) -> tuple[int, range]:
        """From the argument at *position*: (the next step's argument, the words that this step carries).

        ``-Xlinker`` and the argument after it are one step; every other argument is one by itself.
        """
        end = position + 2 if self.shapes[position] is Shape.PREFIX else position + 1
        return end, range(self.first_word[position], self.first_word[end])


LIST_PREFIX = "-Wl,"

_WHOLE = Shape.WHOLE
_NEW = tuple.__new__  # of a row that is made for nearly every argument: half the time of calling the class


def tokenize(arguments: Sequence[str], driver: Grammar | None, linker: Grammar) -> Tokens:
    """Take *arguments* apart; *driver* is None for a command that runs the linker itself."""
    state = _State(arguments, linker)
    if driver is None:
        for argument in arguments:
            state.argument(Shape.WHOLE)
            state.linker_word(argument)
    else:
        _tokenize_driver(state, driver)
    return state.finish()


def _tokenize_driver(state: _State, driver: Grammar) -> None:
    """The loop over a driver's arguments."""
    arguments = state.arguments
    forward_list, forward_next = Role.FORWARD_LIST, Role.FORWARD_NEXT  # an enum's members are slow to look up
    position = 0
    count = len(arguments)
    while position < count:
        argument = arguments[position]
        position += 1
        if argument[:1] != "-" or argument == "-":
            if state.open_operands:  # inputs reach the linker in order, so this one ends an open option
                state.argument(Shape.WHOLE)
                state.linker_word(argument)
            else:
                state.alone(argument, None, [argument])
            continue
        option, value, following = driver.match(argument)
        role = option.role if option is not None else None
        if role is forward_list:
            state.argument(Shape.LIST)
            for piece in argument[len(LIST_PREFIX) :].split(","):
                state.linker_word(piece)
        elif role is forward_next and value is not None:
            state.argument(Shape.PREFIXED)
            state.linker_word(value)
        elif role is forward_next and position < count:
            state.argument(Shape.PREFIX)
            state.argument(Shape.PREFIXED)
            state.linker_word(arguments[position])
            position += 1
        elif not following:
            state.alone(argument, option, [] if value is None else [value])
        else:
            if option is not None and option.form.optional and position < count and is_option(arguments[position]):
                following = 0
            operands = arguments[position : position + following]
            state.with_operands(argument, option, value, operands, incomplete=len(operands) < following)
            position += len(operands)


def is_option(argument: str) -> bool:
    """Say whether *argument* starts an option; a lone ``-`` is standard input."""
    return len(argument) > 1 and argument[0] == "-"


class _State:
    """The tokens so far, and the linker option that still waits for operands."""

    def __init__(self, arguments: Sequence[str], linker: Grammar) -> None:
        self.arguments = arguments
        self._match = linker.match
        self._shapes: list[Shape] = []
        self._first_word: list[int] = []
        self._words: list[str] = []
        self._items: list[Item] = []
        self._owner: list[int] = []
        self._open: Item | None = None
        self.open_operands = 0
        """Operands that the open linker option still waits for."""

    def argument(self, shape: Shape) -> None:
        """Begin the next argument."""
        self._shapes.append(shape)
        self._first_word.append(len(self._words))

    def word(self, text: str) -> int:
        """Add a word to the current argument; the caller gives it an item."""
        self._words.append(text)
        self._owner.append(-1)
        return len(self._words) - 1

    def alone(self, argument: str, option: Option | None, values: list[str]) -> None:
        """Add an argument of the driver that is one word and one item: nearly every one."""
        word = len(self._words)
        self._shapes.append(_WHOLE)
        self._first_word.append(word)
        self._words.append(argument)
        self._owner.append(len(self._items))
        self._items.append(_NEW(Item, (option, [word], values, False, False)))

    def with_operands(
        self, argument: str, option: Option | None, value: str | None, operands: Sequence[str], *, incomplete: bool
    ) -> None:
        """Add an option of the driver with the arguments after it that are its *operands*; *value* it holds itself."""
        words = []
        for text in (argument, *operands):
            self.argument(Shape.WHOLE)
            words.append(self.word(text))
        self.item(option, words, [*([] if value is None else [value]), *operands], linker=False, incomplete=incomplete)

    def item(
        self, option: Option | None, words: list[int], values: list[str], *, linker: bool, incomplete: bool = False
    ) -> Item:
        """Add an item that owns *words*."""
        index = len(self._items)
        item = Item(option, words, values, linker, incomplete)
        self._items.append(item)
        for word in words:
            self._owner[word] = index
        return item

    def linker_word(self, text: str) -> None:
        """Add a word that the linker sees: an operand of the open option, or the start of something new."""
        word = self.word(text)
        if self._open is not None:
            option = self._open.option
            if not (option is not None and option.form.optional and is_option(text)):
                self._owner[word] = self._owner[self._open.words[0]]
                self._open.words.append(word)
                self._open.values.append(text)
                self._wait(self._open, self.open_operands - 1)
                return
            self._wait(None, 0)
        if not is_option(text):
            self.item(None, [word], [text], linker=True)
            return
        option, value, following = self._match(text)
        item = self.item(option, [word], [] if value is None else [value], linker=True)
        self._wait(item, following)

    def _wait(self, item: Item | None, operands: int) -> None:
        self.open_operands = operands
        self._open = item if operands else None

    def finish(self) -> Tokens:
        """The tokens; an option that still waits is incomplete."""
        if self._open is not None:
            index = self._owner[self._open.words[0]]
            self._items[index] = self._open._replace(incomplete=True)
        self._first_word.append(len(self._words))
        return Tokens(self.arguments, self._shapes, self._first_word, self._words, self._items, self._owner)


def render(tokens: Tokens, kept: Sequence[bool], instead: Mapping[int, str] | None = None) -> list[tuple[str, ...]]:
    """What becomes of every argument when only the words with a true entry in *kept* stay.

    An argument of which everything stays comes back as the very string it was. *instead* has other texts for words.
    """
    if instead:
        return _render_replaced(tokens, kept, instead)
    result: list[tuple[str, ...]] = []
    first_word = tokens.first_word
    for position, (argument, shape) in enumerate(zip(tokens.arguments, tokens.shapes, strict=True)):
        start = first_word[position]
        if shape is _WHOLE:
            result.append((argument,) if kept[start] else ())
            continue
        end = first_word[position + 1]
        if shape is Shape.PREFIX:
            start, end = end, first_word[position + 2]
        if all(kept[start:end]):
            result.append((argument,))
        elif shape is Shape.LIST and any(kept[start:end]):
            rest = ",".join(tokens.words[word] for word in range(start, end) if kept[word])
            result.append((LIST_PREFIX + rest,))
        else:
            result.append(())
    return result


def _render_replaced(tokens: Tokens, kept: Sequence[bool], instead: Mapping[int, str]) -> list[tuple[str, ...]]:
    """:func:`render` where words have other texts: as if the command line had held those."""
    words = [instead.get(word, text) for word, text in enumerate(tokens.words)]
    arguments = list(tokens.arguments)
    for position, shape in enumerate(tokens.shapes):
        first, end = tokens.first_word[position], tokens.first_word[position + 1]
        if any(word in instead for word in range(first, end)):
            arguments[position] = LIST_PREFIX + ",".join(words[first:end]) if shape is Shape.LIST else words[first]
    return render(tokens._replace(arguments=arguments, words=words), kept, {})
