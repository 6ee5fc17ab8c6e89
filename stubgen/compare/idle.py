"""Which of a patch's names nothing comes to: neither data nor functions that may run refer to them, by whatever way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from stubgen.compare import object_parts
from stubgen.compare.parts import Part, Sort
from stubgen.host import Host
from stubgen.image import Image
from stubgen.image.elf import ElfImage
from stubgen.resolve.needed import Needed


def idle_names(needed: Needed, host: Host) -> set[bytes]:
    """What neither data comes to nor functions that the host has too or that are exported; none if it cannot be told.

    Raises:
        MalformedInput: an object is broken.
    """
    objects = object_parts(needed.images)
    parts = [part for each in objects for part in each.all()]
    homes = {name: part for part in parts for name in part.names}
    if any(map(_runs_by_itself, needed.images)):
        return set()
    live = {name for name, pool in host.find(homes.keys()).items() if pool} | needed.roots
    crowded = _crowded(parts)
    waiting = [part for part in parts if (part.object, part.section) in crowded or _is_live(part, live)]
    seen, reached = set(waiting), set[bytes]()
    while waiting:
        part = waiting.pop()
        uses = objects[part.object].uses(part)
        if uses is None:
            return set()
        for target in (use.target for use in uses):
            other = target.part or homes.get(target.name)
            reached.update((target.name,) if other is None else other.names)
            if other is not None and other not in seen:
                seen.add(other)
                waiting.append(other)
    return homes.keys() - reached - live


def _is_live(part: Part, live: set[bytes]) -> bool:
    return part.sort is not Sort.FUNCTION or not part.names or not live.isdisjoint(part.names)


def _crowded(parts: Iterable[Part]) -> set[tuple[int, int]]:
    """Object and section of what has several functions: assemblers fill in the calls among these, without a trace."""
    held = Counter((part.object, part.section) for part in parts if part.sort is Sort.FUNCTION)
    return {place for place, count in held.items() if count > 1}


def _runs_by_itself(image: Image) -> bool:
    """Whether functions of an object may run that nothing refers to: at the load, or at its end."""
    ends = isinstance(image, ElfImage) and any(s.name.startswith((".fini", ".dtors")) for s in image.file.sections)
    return ends or image.reach is None or bool(image.reach.initialisers())
