"""Whether a static function of the host still takes the arguments that its source says.

LLVM drops arguments and results that the callers of a static function make superfluous, and passes what a pointer leads
to instead of the pointer; the function keeps its name. The patch passes what the source says. What other files see,
hidden functions included, keeps its convention; GCC gives what it changes another name (``.isra.0``, ``.constprop.0``).
"""

from __future__ import annotations

from stubgen.image import Candidate, Image, names_llvm

TYPE_CHECKING = False
if TYPE_CHECKING:
    from stubgen.image.dwarf import Subprogram

MARKING = ((rb"clang version (\d+)", 16), (rb"rustc version 1\.(\d+)", 70))
"""Compilers that mark functions of which they dropped something (DW_CC_nocall) -> the first version that does."""

DROPPED = (
    "the host's debug information says that its compiler dropped arguments or results of this static function, which "
    "keeps its name (DW_CC_nocall): make it visible outside its unit, or compile the host without optimisation"
)
UNKNOWN = (
    "it is a static function of a host that LLVM compiled, which drops arguments that a static function's callers make "
    "superfluous, and no debug information shows that this one kept them: make it visible outside its unit, compile "
    "the host with -O0 -g, or allow it with --allow-static"
)
UNKNOWN_WITHOUT_DSYM = UNKNOWN.replace("-O0 -g", "-O0 -g and keep its objects or its dSYM")
"""The same where the linker leaves debug information in the objects; behind it stands why those do not help."""


def reason_not_to_call(
    candidate: Candidate, host: Image, *, allow_static: bool, static: bool = False, told: Subprogram | None = None
) -> str:
    """Why the patch should not call the host's function *candidate* with the arguments of its source; empty if it may.

    The proof that it may is debug information in which each parameter has one place in memory: code that nobody
    optimised is described so. A function that LLVM marks is refused whatever is allowed. Where the linker may have made
    global functions local, only such a mark speaks against one, unless it is known to be *static*. Where the host's
    own debug information says nothing, that of the objects counts which a Mach-O host names, or what those of the
    host's link have *told*.
    """
    if not candidate.local or candidate.hidden or not host.compiled_by_llvm:
        return ""
    said, why = _said(candidate, host)
    said = said or told
    if said is not None and said.no_call:
        return DROPPED
    if said is not None and (not names_llvm(said.producer) or (said.in_memory and _marks(said.producer))):
        return ""
    if allow_static or (host.hides_globals and not static):
        return ""
    if said is not None:
        return UNKNOWN
    unknown = UNKNOWN if host.format == "elf" else UNKNOWN_WITHOUT_DSYM
    return "; ".join(filter(None, (unknown, why, host.passed_over)))


def _said(candidate: Candidate, host: Image) -> tuple[Subprogram | None, str]:
    """What the host's debug information says of *candidate*, or its objects'; or why that is nothing."""
    from stubgen.image.dwarf_units import subprogram

    said = subprogram(host.debug_info, candidate.address)
    if said is not None or host.format == "elf":
        return said, ""
    from stubgen.image.static_arguments import said_by_named

    return said_by_named(host, candidate)


def _marks(producer: bytes) -> bool:
    """Whether *producer* would have marked a function of which it dropped something."""
    import re

    found = ((re.search(pattern, producer), first) for pattern, first in MARKING)
    return any(match is not None and int(match[1]) >= first for match, first in found)
