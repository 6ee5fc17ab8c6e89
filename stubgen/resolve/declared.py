"""Whether an earlier patch has what a patch refers to as the patch's object declares it, by debug information.

GCC describes the functions and variables of other files that a file uses, clang from ``-O1`` on the functions that it
calls. Where one side says nothing, nothing speaks against it, as with C's ``f()``, which says nothing of parameters.
"""

from __future__ import annotations

from collections.abc import Callable

from stubgen.image import Image, Kind, Reference
from stubgen.resolve.described import described
from stubgen.resolve.needed import Needed
from stubgen.resolve.previous import Earlier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from stubgen.image.dwarf_types import VariableType


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
    image, address = described(earlier.patch, earlier.candidate)
    debug, other = user.debug_info, image.debug_info
    compare: Callable[[VariableType, VariableType, str], str]
    if earlier.candidate.kind is Kind.FUNCTION:
        own, theirs, compare = declared_function(debug, symbol), signature_of(other, address), signature_difference
    else:
        own, theirs, compare = declared_variable(debug, symbol), type_of_variable(other, address), difference
    return "" if own is None or theirs is None else compare(own, theirs, "the earlier patch")
