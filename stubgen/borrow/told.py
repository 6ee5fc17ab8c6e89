"""What the objects of the host's link say of its static functions' arguments, where the host itself says nothing.

A linker that strips (``-S``, ``--strip-debug``) leaves neither DWARF nor the objects' names.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from stubgen.borrow.homes import Homes
from stubgen.errors import InputError
from stubgen.host import Host
from stubgen.image import Candidate, Kind
from stubgen.image.dwarf import Subprogram
from stubgen.image.static_arguments import Functions, described, said_by


def told_by_link(host: Host, names: Collection[bytes], homes: Homes) -> dict[int, Subprogram]:
    """Virtual address -> what is told of the host's static function there, for those of *names* that it has."""
    static = [each for pool in host.find(names).values() for each in pool if _is_static(each)]
    wanted = {each.name for each in static}
    objects = list(_described(homes, wanted)) if wanted else []
    told = ((each.address, said_by(objects, host.image, each.name, each.address)) for each in static)
    return {address: said for address, said in told if said is not None}


def _is_static(candidate: Candidate) -> bool:
    return candidate.kind is Kind.FUNCTION and candidate.local and not candidate.hidden


def _described(homes: Homes, names: Collection[bytes]) -> Iterator[Functions]:
    for image in homes.mentioning(names):
        try:
            yield described(image, names)
        except InputError:  # a broken one
            continue
