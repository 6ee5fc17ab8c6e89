"""What of a patch's code runs: what a jump table leads to, and all that this leads to in the patch.

Recompiled objects have the code of whole files. What the table leaves out runs where new code calls it, points to it,
or hands on what points to it; else the host's goes on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from stubgen.common.text import as_bytes
from stubgen.compare import object_parts
from stubgen.compare.parts import ObjectParts, Part, Sort
from stubgen.image import Image
from stubgen.symbols.versions import is_part

_WRAPPER, _WRAPPED = b"__wrap_", b"__real_"
"""What ``--wrap`` puts before the names of a function that stands for another one, and of that one."""


def never_led_to(
    own: Sequence[tuple[str, Image]],
    others: Sequence[Image],
    led: Collection[tuple[str, str]],
    exported: Collection[bytes],
) -> dict[bytes, int]:
    """The functions of *own* that cannot run: name -> bytes.

    Parts that compilers took out of functions are not among them, nor is what has the name of something that may run.
    Where an object has a field that cannot be read back, there are none.

    Args:
        own: name and image of each of the patch's objects, as the compiler wrote it.
        others: the rest of its objects, all of which may run.
        led: object and name of each function to which callers are led.
        exported: names that a loader finds in the patch.

    Raises:
        MalformedInput: an object is broken.
    """
    parts = object_parts([*(image for _, image in own), *others])
    titles = [title for title, _ in own]
    start = [*_roots(parts, titles, led, exported)]
    if led and not any(part.sort is Sort.FUNCTION for part in start):
        return {}  # its objects are others
    reached = _closure(start, parts)
    if reached is None:
        return {}
    ran = {name for part in reached for name in part.names}
    idle = [part for each in parts[: len(own)] for part in each.functions() if part not in reached]
    return {name: part.size for part in idle for name in part.names if name not in ran and not is_part(name)}


def _roots(
    parts: Sequence[ObjectParts],
    titles: Sequence[str],
    led: Collection[tuple[str, str]],
    exported: Collection[bytes],
) -> Iterator[Part]:
    wanted: dict[str, set[bytes]] = {}
    for title, name in led:
        wanted.setdefault(title, set()).add(as_bytes(name))
    for number, each in enumerate(parts):
        yield from each.unreferenced()
        names = wanted.get(titles[number], set()) if number < len(titles) else None
        for part in each.all():
            if names is None or not (names.isdisjoint(part.names) and _none_in(part.names, exported)):
                yield part


def _none_in(names: Iterable[bytes], exported: Collection[bytes]) -> bool:
    return not any(name in exported for name in names)


def _closure(start: Iterable[Part], parts: Sequence[ObjectParts]) -> set[Part] | None:
    """*start* and what that leads to; None where one of them has a field that cannot be read back."""
    homes: dict[bytes, list[Part]] = {}
    for each in parts:
        for part in each.all():
            for name in part.names if not part.local else ():
                homes.setdefault(name, []).append(part)
    reached, waiting = set[Part](), list(start)
    while waiting:
        part = waiting.pop()
        if part in reached:
            continue
        reached.add(part)
        targets = _targets(part, parts[part.object], homes)
        if targets is None:
            return None
        waiting += targets
    return reached


def _targets(part: Part, each: ObjectParts, homes: Mapping[bytes, Sequence[Part]]) -> list[Part] | None:
    uses = each.uses(part)
    if uses is None:
        return None
    found = [*each.attached(part)]
    for use in uses:
        target, name = use.target.part, use.target.name
        if target is None:
            found += homes.get(name, ())
            found += homes.get(_WRAPPER + name, ())
            found += homes.get(name.removeprefix(_WRAPPED), ())
            descriptor = each.descriptor(name)
            found += [descriptor] if descriptor else []
            continue
        found.append(target)
        if use.target.by_section and target.sort is not Sort.FUNCTION:
            found += each.neighbours(target)
    return found
