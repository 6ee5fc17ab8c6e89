"""Whether an earlier patch has what a patch refers to as the patch's object declares it, by debug information.

GCC describes the functions and variables of other files that a file uses, clang from ``-O1`` on the functions that it
calls. Where one side says nothing, nothing speaks against it, as with C's ``f()``, which says nothing of parameters.

Mach-O linkers leave debug information in the objects, and a link may leave it out: then an earlier patch's objects are
read, where the session has them and as they were linked.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

from stubgen.common.files import read_input
from stubgen.errors import InputError
from stubgen.image import Image, Kind, Reference
from stubgen.resolve.needed import Needed, open_objects
from stubgen.resolve.previous import Earlier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from stubgen.host.previous import EarlierPatch


def why_declared_otherwise(needed: Needed, reference: Reference, earlier: Earlier) -> str:
    """How an object that uses *reference* declares it otherwise than the *earlier* patch has it; empty: it does not."""
    if earlier.candidate.kind not in (Kind.FUNCTION, Kind.DATA):
        return ""
    for number in needed.users(reference.spelling):
        user = needed.images[number]
        told = _difference(user, reference.name, earlier)
        if told:
            return (
                f"{user.name} declares it otherwise than the earlier patch {earlier.patch.path} has it: {told}; "
                f"compile the file that defines it again and give its object to this patch too"
            )
    return ""


def _difference(user: Image, name: bytes, earlier: Earlier) -> str:
    from stubgen.image.dwarf_declarations import declared_function, declared_variable
    from stubgen.image.dwarf_differences import difference, signature_difference
    from stubgen.image.dwarf_types import signature_of, type_of_variable

    symbol = name[1:] if user.format == "macho" else name
    image, address = _defined(name, earlier)
    debug, other = user.debug_info, image.debug_info
    if earlier.candidate.kind is Kind.FUNCTION:
        own, theirs, compare = declared_function(debug, symbol), signature_of(other, address), signature_difference
    else:
        own, theirs, compare = declared_variable(debug, symbol), type_of_variable(other, address), difference
    return "" if own is None or theirs is None else compare(own, theirs, "the earlier patch")


def _defined(name: bytes, earlier: Earlier) -> tuple[Image, int]:
    """The file whose debug information tells of the *earlier* patch's definition, and its address there."""
    if not earlier.patch.image.debug_info.units:
        for image in _objects_of(earlier.patch):
            place = _place(image, name, earlier.candidate.kind)
            if place is not None:
                return image, place
    return earlier.patch.image, earlier.candidate.address


def _place(image: Image, name: bytes, kind: Kind) -> int | None:
    """Where an object's debug information has what it defines as *name* for other files; None: it does not."""
    if name not in image.definitions():
        return None
    if kind is Kind.FUNCTION:
        places = (image.place_of(each) for each in image.functions() if each.name == name)
    else:
        places = (each.place for each in image.variables() if each.name == name)
    return next(places, None)


_OPENED: WeakKeyDictionary[EarlierPatch, list[Image]] = WeakKeyDictionary()
"""Earlier patch -> the objects that still tell of it."""


def _objects_of(patch: EarlierPatch) -> list[Image]:
    """The objects that *patch* was linked from, of those files that are as they were then."""
    found = _OPENED.get(patch)
    if found is None:
        import hashlib

        found = _OPENED[patch] = []
        seen = set()
        for path, digest in patch.objects:
            try:
                if digest not in seen and hashlib.sha256(read_input(path)).hexdigest() == digest:
                    found += open_objects(path).images
                    seen.add(digest)
            except InputError:
                continue  # gone: nothing says
    return found
