"""What became of every captured argument, worked out from what became of every option."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from stubgen.linkplan.response import Expansion, ResponseFile
from stubgen.linkplan.tokens import Shape, Tokens, render

Verdict = tuple[bool, str]
"""(stays, why)."""


class Action(Enum):
    """What became of some arguments."""

    KEPT = "kept"
    DROPPED = "dropped"
    REPLACED = "replaced"
    ADDED = "added"


class Edit(NamedTuple):
    """What became of some consecutive arguments, and why.

    All ``before`` in order are the captured command; all ``after`` in order are the planned one.
    """

    action: Action
    before: tuple[str, ...]
    """The captured arguments; empty when added."""
    after: tuple[str, ...]
    """The planned arguments; empty when dropped."""
    why: str
    """Empty: no rule names it."""


def edits_of(tokens: Tokens, verdicts: Sequence[Verdict], expansion: Expansion, start: int) -> list[Edit]:
    """What became of every captured argument behind the program, in order."""
    owner, items, first_word = tokens.owner, tokens.items, tokens.first_word
    after = render(tokens, [verdicts[index][0] for index in owner])
    file_of = expansion.file_of[start:]
    arguments, shapes = tokens.arguments, tokens.shapes
    whole, kept, dropped = Shape.WHOLE, Action.KEPT, Action.DROPPED  # an enum's members are slow to look up
    edits: list[Edit] = []
    position = 0
    count = len(arguments)
    while position < count:
        file = file_of[position]
        index = owner[first_word[position]]
        if file >= 0:
            end = position
            while end < count and file_of[end] == file:
                end += 1
            edits.append(_response_edit(expansion.files[file], tokens, after, verdicts, position, end))
        elif shapes[position] is whole and len(items[index].words) == 1:  # nearly every argument
            end = position + 1
            stays, why = verdicts[index]
            argument = (arguments[position],)
            edits.append(Edit(kept, argument, argument, why) if stays else Edit(dropped, argument, (), why))
        else:
            end = _end_of_item(tokens, position)
            edits.append(_edit(tokens, after, verdicts, position, end))
        position = end
    return edits


def _end_of_item(tokens: Tokens, position: int) -> int:
    """The argument after the last one that belongs wholly to the item at argument *position*."""
    owners = _owners(tokens, position)
    end = position + 2 if tokens.shapes[position] is Shape.PREFIX else position + 1
    if len(owners) != 1:
        return end
    last = tokens.items[next(iter(owners))].words[-1]
    while end < len(tokens.arguments) and tokens.first_word[end] <= last and _owners(tokens, end) == owners:
        end += 2 if tokens.shapes[end] is Shape.PREFIX else 1
    return end


def _owners(tokens: Tokens, position: int) -> set[int]:
    """Items that own words of the argument at *position* (of the one after it, for ``-Xlinker``)."""
    if tokens.shapes[position] is Shape.PREFIX:
        position += 1
    return set(tokens.owner[tokens.first_word[position] : tokens.first_word[position + 1]])


def _edit(
    tokens: Tokens,
    after: Sequence[tuple[str, ...]],
    verdicts: Sequence[Verdict],
    position: int,
    end: int,
) -> Edit:
    """The edit of arguments *position* to *end*."""
    before = tuple(tokens.arguments[position:end])
    result = tuple(argument for rest in after[position:end] for argument in rest)
    owners = tokens.owner[tokens.first_word[position] : tokens.first_word[end]]
    stays = result == before
    reasons = dict.fromkeys(verdicts[owner][1] for owner in owners if verdicts[owner][0] is stays)
    action = Action.KEPT if stays else Action.REPLACED if result else Action.DROPPED
    return Edit(action, before, result, "; ".join(reason for reason in reasons if reason))


def _response_edit(
    file: ResponseFile,
    tokens: Tokens,
    after: Sequence[tuple[str, ...]],
    verdicts: Sequence[Verdict],
    position: int,
    end: int,
) -> Edit:
    """The edit of a response file whose arguments are *position* to *end*."""
    before = tuple(tokens.arguments[position:end])
    result = tuple(argument for rest in after[position:end] for argument in rest)
    if result == before and not file.copied:
        return Edit(Action.KEPT, (file.text,), (file.text,), "a response file with nothing to change")
    reasons = dict.fromkeys(
        why
        for owner in tokens.owner[tokens.first_word[position] : tokens.first_word[end]]
        for stays, why in (verdicts[owner],)
        if why and not stays
    )
    if not result:
        return Edit(Action.DROPPED, (file.text,), (), "; ".join(reasons) or "an empty response file")
    why = f"{len(before) - len(result)} of its {len(before)} arguments go: " + "; ".join(reasons)
    if result == before:
        why = "the file may be gone when the patch is linked; these are its arguments"
    return Edit(Action.REPLACED, (file.text,), result, why)
