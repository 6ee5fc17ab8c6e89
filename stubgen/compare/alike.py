"""Whether several objects define a name alike, so that it makes no difference whose definition a linker takes."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

from stubgen.common.row import Row
from stubgen.common.text import as_text, counted
from stubgen.compare import object_parts
from stubgen.compare.parts import ObjectParts, Part, Sort, Target
from stubgen.errors import SymbolRefusal
from stubgen.image import Image
from stubgen.resolve.needed import Needed


class _Pair(Row):
    """A part of one object, and the one of the other that it is held against."""

    one: Part
    other: Part


def refuse_untold_defaults(needed: Needed) -> None:
    """Refuse weak defaults of several objects of which nothing says whose counts, unless they are all alike.

    Raises:
        SymbolRefusal: its message has a line for each.
    """
    lines = []
    for name, numbers in needed.untold.items():
        images = list(itemgetter(*numbers)(needed.images))
        if not are_alike(images, name):
            files = " and ".join(image.name for image in images)
            lines.append(
                f"{as_text(name)}: {files} define it, each otherwise; the one counts whose object the host's link has "
                f"first, and nothing says which that is: compile host and patch with -g, or leave it to one of them"
            )
    if lines:
        raise SymbolRefusal(
            "\n  ".join([f"{counted(len(lines), 'weak default')} of the patch may be any of several", *lines])
        )


def are_alike(images: Sequence[Image], name: bytes) -> bool:
    """Whether all *images* define *name* by the same bytes, and what their fields refer to is the same.

    What other files see is the same if its name is; what they do not, if its content is.
    """
    objects = object_parts(images)
    found = [[part for part in each.all() if name in part.names] for each in objects]
    if not all(len(parts) == 1 for parts in found):
        return False
    (first,), *others = found
    return all(_are_same(objects, _Pair(first, other)) for (other,) in others)


def _are_same(objects: Sequence[ObjectParts], root: _Pair) -> bool:
    seen: set[_Pair] = set()
    waiting = [root]
    while waiting:
        pair = waiting.pop()
        if pair in seen:
            continue
        seen.add(pair)
        needs = _needs(objects, pair)
        if needs is None:
            return False
        waiting += needs
    return True


def _needs(objects: Sequence[ObjectParts], pair: _Pair) -> list[_Pair] | None:
    """What else has to be the same, for the two of *pair* to be; None if they are not."""
    one, other = pair
    of_one, of_other = objects[one.object], objects[other.object]
    uses, others = of_one.uses(one), of_other.uses(other)
    tables, other_tables = list(of_one.attached(one)), list(of_other.attached(other))
    if (one.sort, one.size) != (other.sort, other.size) or of_one.content(one) != of_other.content(other):
        return None
    if uses is None or others is None or len(uses) != len(others) or len(tables) != len(other_tables):
        return None
    needs = [_Pair(*both) for both in zip(tables, other_tables, strict=True)]
    for use, its in zip(uses, others, strict=True):
        if (use.at, use.form, use.base) != (its.at, its.form, its.base) or use.target.offset != its.target.offset:
            return None
        named = _name(use.target), _name(its.target)
        if named[0] != named[1]:
            return None
        if not named[0]:
            if use.target.part is None or its.target.part is None or _has_neighbours(use.target):
                return None
            needs.append(_Pair(use.target.part, its.target.part))
    return needs


def _name(target: Target) -> bytes:
    """What other files call it; empty where they do not see it."""
    part = target.part
    if part is None:
        return target.name
    return b"" if part.local or not part.names else min(part.names)


def _has_neighbours(target: Target) -> bool:
    """Whether what is beside a variable or constant of one file may be reached from it, or whether each has its own."""
    part = target.part
    return part is not None and (
        part.sort in (Sort.VARIABLE, Sort.THREAD_LOCAL) or (target.by_section and bool(part.names))
    )
