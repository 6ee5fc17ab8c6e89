"""The verdicts of the overwhelmingly common case, as a column: one function of the host's has the name, and that is it.

What speaks for anything else (another symbol of the name, a version, the loader, a linker, an earlier patch, a policy,
a static function that may have lost arguments, an address where no function can be) leaves the name to the rules.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import chain, count

from stubgen.common.aarch64 import ADDRESS_LIMIT, WORD
from stubgen.host import Host
from stubgen.host.slide import Slide
from stubgen.resolve.linker_names import may_be_linkers
from stubgen.resolve.needed import Needed
from stubgen.resolve.unanswered import MANGLED


def plain_functions(
    needed: Needed, host: Host, slide: Slide, ruled: Collection[bytes], *, allow_static: bool = False
) -> Mapping[int, int]:
    """Index in the references -> runtime address, of those that are a call of the host's one function of that name.

    *ruled* are names of which something else than the host's symbols decides; with *allow_static* static functions of
    LLVM's are called unless debug information speaks against it.
    """
    image, spellings = host.image, needed.references.spellings
    if needed.previous or image.branch_targets_guarded:
        return {}
    wanted = dict(zip(spellings, count()))
    others = (ruled, needed.located, needed.suppliers, needed.doubts, needed.gave_way, needed.references.otherwise)
    for name in chain(*others, may_be_linkers(needed.format, wanted)):
        wanted.pop(name, None)
    found = image.sole_functions(wanted)
    distance, ranges = slide.value, image.executable_ranges()
    plain = _placed(found.seen, distance, ranges)
    unmarked = allow_static and not (needed.told or image.debug_section("debug_info") or image.names_objects)
    if found.local and (unmarked or not image.compiled_by_llvm):
        mangled = MANGLED[needed.format]
        local = {index: address for index, address in found.local.items() if spellings[index].startswith(mangled)}
        plain.update(_placed(local, distance, ranges))
    return plain


def _placed(found: Mapping[int, int], distance: int, ranges: list[tuple[int, int]]) -> dict[int, int]:
    """Runtime addresses of those that lie where a function can be."""
    placed: dict[int, int] = {}
    for start, end in ranges:
        last = min(end, ADDRESS_LIMIT - distance)
        placed |= {
            index: address + distance
            for index, address in found.items()
            if start <= address < last and not address % WORD and address
        }
    return placed
