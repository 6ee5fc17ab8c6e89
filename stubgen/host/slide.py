"""The slide: how far the loader moved the host, from one symbol's runtime address.

::

    slide           = aslr_reference - anchor's static address
    runtime address = static address + slide

A wrong anchor is the most common silent failure of hot-patching, so whatever cannot be right is refused.
"""

from __future__ import annotations

from collections.abc import Sequence

from stubgen.common.aarch64 import ADDRESS_LIMIT, UNTAGGED
from stubgen.common.arguments import a_name, instance, number, optional
from stubgen.common.row import Row
from stubgen.common.text import as_bytes, as_text
from stubgen.errors import AnchorRefusal, UsageError
from stubgen.host import Host
from stubgen.host.symbols import HINT
from stubgen.image import Candidate, Kind

DEFAULT_ANCHORS = ("whisker_aslr_anchor", "main")
"""Tried in this order: Whisker's anchor, then Dioxus's; Mach-O spells them with a leading underscore."""


OTHERS = ": the address belongs to another symbol, or to another build of the host, which --build-id tells"


class Slide(Row):
    """The distance between the host's static and runtime addresses, and where it comes from."""

    value: int
    """Runtime address less static address, in bytes."""
    anchor: str | None
    """The symbol that it was told by; None where the slide itself was given."""
    static_address: int
    """The anchor's, in the file."""
    runtime_address: int
    """The anchor's, in the process, untagged."""


def slide_from_anchor(host: Host, aslr_reference: int, anchor: str | None = None) -> Slide:
    """The slide that puts the anchor at *aslr_reference*.

    Args:
        host: the program.
        aslr_reference: the anchor's runtime address as the process reports it; its top byte is dropped.
        anchor: the anchor's name as the symbol table spells it; by default the first of
            ``DEFAULT_ANCHORS`` that the host defines.

    Raises:
        AnchorRefusal: the anchor is missing or ambiguous, or the slide cannot be right.
        UsageError: an argument is not what it must be.
    """
    instance(Host, "open_host", "host", host)
    runtime = number("aslr_reference", aslr_reference) & UNTAGGED
    if aslr_reference == 0:
        raise AnchorRefusal("the anchor's runtime address is 0: the process did not report it")
    candidate = _find_anchor(host, optional(a_name, "anchor", anchor))
    name = as_text(candidate.name)
    if runtime < candidate.address:
        raise AnchorRefusal(
            f"{host.path}: anchor {name} is at {candidate.address:#x} in the file, but {runtime:#x} was reported "
            f"for it, which is below: another symbol's address, or another build of the host, which --build-id tells"
        )
    what = f"anchor {name} at {runtime:#x} gives slide {runtime - candidate.address:#x}"
    value = _checked(host, runtime - candidate.address, what, anchored=True)
    if host.image.position_independent and value + host.image.first_address < host.image.page_size:
        raise AnchorRefusal(
            f"{host.path}: anchor {name} is at {runtime:#x} in the file; give where the process has it, as it reports"
        )
    return Slide(value, name, candidate.address, runtime)


def slide_from_value(host: Host, value: int) -> Slide:
    """A slide that the caller knows.

    Raises:
        AnchorRefusal: it cannot be right.
        UsageError: it is negative, or an argument is not what it must be.
    """
    instance(Host, "open_host", "host", host)
    if number("slide", value) < 0:
        raise UsageError(f"the slide is {value}; loaders only move programs up")
    return Slide(_checked(host, value, f"the given slide is {value:#x}", anchored=False), None, 0, value)


def _checked(host: Host, value: int, what: str, *, anchored: bool) -> int:
    image = host.image
    if value % image.page_size:
        cause = OTHERS if anchored else ""
        raise AnchorRefusal(
            f"{host.path}: {what}, which is not a multiple of the page size ({image.page_size:#x}){cause}"
        )
    if value and not image.position_independent:
        raise AnchorRefusal(
            f"{host.path}: {what}, but this program is not position-independent and always runs at its static addresses"
        )
    if value >= ADDRESS_LIMIT:
        raise AnchorRefusal(f"{host.path}: {what}, beyond user space (2^48)")
    return value


def anchor_name(host: Host, anchor: str | None = None) -> str:
    """The anchor's name as the host's symbol table spells it; *anchor* as :func:`slide_from_anchor` takes it.

    Raises:
        AnchorRefusal: the anchor is missing or ambiguous.
    """
    return as_text(_find_anchor(host, anchor).name)


def _find_anchor(host: Host, anchor: str | None) -> Candidate:
    """The symbol called *anchor*, or the first of the usual ones that the host defines."""
    prefix = "_" if host.image.format == "macho" else ""
    names = [prefix + name for name in DEFAULT_ANCHORS] if anchor is None else [anchor]
    found = host.find([as_bytes(name) for name in names])
    for name in names:
        spelling = as_bytes(name)
        defined = [c for c in found.get(spelling, []) if c.name == spelling and c.kind is not Kind.IMPORT]
        if defined:
            return _the_one(host, name, defined)
    raise AnchorRefusal(f"{host.path}: defines no anchor called {' or '.join(names)}{_hint(host, anchor, prefix)}")


def _the_one(host: Host, name: str, defined: Sequence[Candidate]) -> Candidate:
    """The definition of anchor *name*, if all of *defined* are at one address, which slides."""
    addresses = sorted({candidate.address for candidate in defined})
    if len(addresses) > 1:
        listed = ", ".join(f"{address:#x}" for address in addresses)
        raise AnchorRefusal(f"{host.path}: anchor {name} has {len(addresses)} definitions, at {listed}")
    if defined[0].kind in (Kind.THREAD_LOCAL, Kind.ABSOLUTE):
        raise AnchorRefusal(f"{host.path}: anchor {name} is {defined[0].kind.value}: it does not slide")
    return defined[0]


def _hint(host: Host, anchor: str | None, prefix: str) -> str:
    """What may be wrong where the host defines no *anchor*: its spelling, or the file."""
    hint = ""
    if anchor is not None and prefix and not anchor.startswith(prefix):
        hint = f"; did you mean {prefix}{anchor}?"
    elif anchor is not None:
        from stubgen.symbols.similar import close_names

        close = close_names(as_bytes(anchor), host.image.names())
        hint = f"; close names: {', '.join(close)}" if close else ""
    elif host.image.has_full_symbols:
        hint = "; name with --anchor the symbol whose address the process reports"
    if not host.image.has_full_symbols:
        hint += f"; its full symbol table is stripped: {HINT}"
    return hint
