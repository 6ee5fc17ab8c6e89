"""Which file describes what an earlier patch defines: the patch itself, or on Mach-O one of its objects.

Mach-O linkers leave debug information in the objects, and a link may leave it out: then an earlier patch's objects are
read, where the session has them and as they were linked.
"""

from __future__ import annotations

from collections.abc import Iterable
from weakref import WeakKeyDictionary

from stubgen.common.files import read_input
from stubgen.errors import InputError
from stubgen.image import Candidate, Image, Kind
from stubgen.resolve.objects import open_objects

TYPE_CHECKING = False
if TYPE_CHECKING:
    from stubgen.host.previous import EarlierPatch


def described(patch: EarlierPatch, candidate: Candidate) -> tuple[Image, int]:
    """The file whose debug information tells of *candidate*, which *patch* defines, and its address there."""
    if not patch.image.debug_info.units:
        found = [(image, place) for image in objects_of(patch) for place in _places(image, candidate)]
        if len(found) == 1 or (found and not candidate.local):
            return found[0]
    return patch.image, candidate.address


def _places(image: Image, candidate: Candidate) -> list[int]:
    """Where an object's debug information has what it defines as *candidate*."""
    if not candidate.local and candidate.name not in image.definitions():
        return []
    if candidate.kind in (Kind.FUNCTION, Kind.IFUNC):
        return [image.place_of(each) for each in image.functions() if each.name == candidate.name]
    return [each.place for each in image.variables() if each.name == candidate.name]


_OPENED: WeakKeyDictionary[EarlierPatch, list[Image]] = WeakKeyDictionary()
"""Earlier patch -> the objects that still tell of it."""


def objects_of(patch: EarlierPatch) -> list[Image]:
    """The objects that *patch* was linked from, of those files that are as they were then."""
    found = _OPENED.get(patch)
    if found is None:
        found = _OPENED[patch] = as_linked(patch.objects)
    return found


def as_linked(objects: Iterable[tuple[str, str]]) -> list[Image]:
    """The *objects*, path and SHA-256 of each, of those files that are as they were when somebody wrote that down."""
    import hashlib

    found: list[Image] = []
    seen = set()
    for path, digest in objects:
        try:
            if digest not in seen and hashlib.sha256(read_input(path)).hexdigest() == digest:
                found += open_objects(path).images
                seen.add(digest)
        except InputError:
            continue  # gone: nothing says
    return found
