"""Why a symbol has its verdict: what of the host it could mean, where the patch refers to it, and by which rule.

The rules are those of ``resolve``: this module asks them again for one symbol, and says nothing of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from enum import Enum

from stubgen.common.arguments import StrPath, instance, name_list, path_list
from stubgen.common.row import Row
from stubgen.common.text import as_bytes, as_text
from stubgen.errors import SymbolRefusal
from stubgen.host import Host
from stubgen.image import Candidate, Image, Kind, Reference
from stubgen.listing.symbols import Listed, Use
from stubgen.resolve.candidates import counterparts_of, first_choice, meaning, not_meant
from stubgen.resolve.needed import Needed
from stubgen.resolve.resolution import Resolution
from stubgen.resolve.verdicts import (
    CONSEQUENCES,
    LEFT_OUT,
    SHARED_CONSEQUENCES,
    Consequence,
    Decision,
    SharedVariable,
    Verdict,
)
from stubgen.symbols.versions import base_name


class Standing(Enum):
    """What became of one symbol of the host."""

    CHOSEN = "chosen"
    REFUSED = "meant, and refused"
    UNDECIDED = "one of several"
    PASSED_OVER = "not meant"
    NOT_ASKED = "not asked"


class Considered(Row):
    """A symbol of the host's that the name may mean."""

    candidate: Candidate
    standing: Standing
    reason: str


class Place(Row):
    """Where an object of the patch defines the symbol, or refers to it."""

    object: str
    use: Use | None  # of a reference
    definition: Listed | None = None


class Explanation(Row):
    """All that is known of one symbol."""

    name: str
    verdict: str
    reason: str
    consequence: Consequence
    decision: Decision | None
    shared: SharedVariable | None
    considered: tuple[Considered, ...]
    uses: tuple[Place, ...]
    definitions: tuple[Place, ...]
    against: tuple[str, ...]
    """Of a variable of both: every rule that speaks against the host's, the deciding one first."""

    @property
    def is_problem(self) -> bool:
        """Whether the patch cannot work like this."""
        return self.decision is not None and self.decision.is_problem


OWN = Consequence(
    "what its own object defines; the host goes on using the host's until a runtime redirects calls to it",
    ("the host's, if no object of the patch defined it",),
)
"""Of what the patch defines and the host may have too."""


def explain_symbols(
    resolution: Resolution, host: Host, names: Sequence[str], linked: Sequence[StrPath] = ()
) -> list[Explanation]:
    """Each of *names*, as a linker or as people spell it.

    Args:
        resolution: the verdicts.
        host: what they were found in.
        names: symbols of the patch's objects.
        linked: the objects that the host's link named.

    Raises:
        SymbolRefusal: no object of the patch refers to one of them, or defines it.
        UsageError: an argument is not what it must be.
    """
    instance(Resolution, "StubBuilder.judge", "resolution", resolution)
    instance(Host, "open_host", "host", host)
    names, linked = name_list("names", names), path_list("linked", linked)
    decisions = {as_bytes(decision.name): decision for decision in resolution.decisions()}
    spellings = [spelling for name in names for spelling in _spellings(name, resolution, decisions.keys())]
    return [_explained(spelling, resolution, host, decisions.get(spelling), linked) for spelling in spellings]


def _spellings(name: str, resolution: Resolution, judged: Collection[bytes]) -> list[bytes]:
    """The symbols that *name* may stand for: itself, with a version, with Mach-O's underscore, demangled."""
    own = {*judged, *(variable.name for variable in resolution.needed.variables)}
    own.update(definition for image in resolution.needed.images for definition in _defined_names(image))
    wanted = as_bytes(name)
    found = [each for each in sorted(own) if wanted in (each, each.partition(b"@")[0])]
    if not found and resolution.needed.format == "macho":
        found = [each for each in own if each == b"_" + wanted]
    if not found:
        from stubgen.terminal.names import demangled

        found = [as_bytes(each) for each, shown in demangled({as_text(each) for each in own}).items() if shown == name]
    if not found:
        from stubgen.symbols.similar import close_names

        close = close_names(wanted, own)
        told = f"; close names: {', '.join(close)}" if close else ""
        raise SymbolRefusal(f"{name}: no object of the patch refers to it or defines it{told}")
    return found


def _defined_names(image: Image) -> Iterator[bytes]:
    yield from image.definitions()
    yield from (function.name for function in image.functions())


def _explained(
    spelling: bytes, resolution: Resolution, host: Host, decision: Decision | None, linked: Sequence[str]
) -> Explanation:
    needed = resolution.needed
    reference = needed.references.of(spelling)
    plain = spelling if reference is None else reference.name
    found = host.find({plain}).get(plain, [])
    shared = next((v for v in resolution.shared_variables if v.name == as_text(spelling)), None)
    against: tuple[str, ...] = ()
    if decision is not None and reference is not None:
        verdict, reason, consequence = decision.verdict.value, decision.reason, CONSEQUENCES[decision.verdict]
        consequence = LEFT_OUT if decision.verdict is Verdict.MISSING and plain in needed.left_out else consequence
        considered = _of_reference(reference, found, decision)
    elif shared is not None:
        verdict = "the host's variable" if shared.forwarded else "the patch's own variable"
        consequence = SHARED_CONSEQUENCES[shared.forwarded]
        against, considered = _of_variable(spelling, needed, host, found, shared, linked)
        reason = shared.reason_not_kept or _why_shared(shared, bound=resolution.bound_targets is not None)
    else:
        verdict, reason, consequence = "the patch's own", "an object of the patch defines it", OWN
        considered = [Considered(each, Standing.NOT_ASKED, "the patch's own answers the patch") for each in found]
    users = [needed.images[number] for number in needed.users(spelling)]
    definitions = tuple(_definitions(needed.images, plain)) if decision is None else ()
    definers = [image for image in needed.images if image.name in {place.object for place in definitions}]
    seen = list({image.name: image for image in [*users, *definers]}.values())
    uses = tuple(Place(image.name, use) for image in seen for use in _uses(image, spelling))
    return Explanation(
        as_text(spelling),
        verdict,
        reason,
        consequence,
        decision,
        shared,
        tuple(considered),
        uses,
        definitions,
        against,
    )


def _why_shared(shared: SharedVariable, *, bound: bool) -> str:
    """Why a variable of both is whose it is, where no rule says it."""
    if shared.forwarded:
        return "nothing speaks against it"
    if not shared.writable:
        return "it is a constant, of which the patch's own will do"
    return (
        "--keep-state was not given" if bound else "without bound copies (link, --bound-dir) nothing reaches the host's"
    )


_BEFORE = "the host's symbols are not asked"


def _of_reference(reference: Reference, found: Sequence[Candidate], decision: Decision) -> list[Considered]:
    """The host's symbols of the name of a reference, by the steps of ``resolve.candidates``."""
    pool = meaning(reference, found).candidates
    dropped = [Considered(each, Standing.PASSED_OVER, reason) for each, reason in not_meant(reference, found)]
    if not pool or decision.patch or decision.policy or not _is_about(decision, pool):
        return [Considered(each, Standing.NOT_ASKED, f"{_BEFORE}: {decision.reason}") for each in found]
    if decision.verdict is Verdict.AMBIGUOUS:
        return [*(Considered(each, Standing.UNDECIDED, decision.reason) for each in pool), *dropped]
    first = first_choice(pool)
    standing = Standing.REFUSED if decision.is_problem else Standing.CHOSEN
    others = [Considered(each, Standing.CHOSEN, _SAME_PLACE) for each in pool if each is not first]
    return [Considered(first, standing, decision.reason), *others, *dropped]


_SAME_PLACE = "another symbol of the same place"


def _is_about(decision: Decision, pool: Sequence[Candidate]) -> bool:
    """Whether the host's symbols decided, and not a library, an earlier patch or the linker."""
    if decision.verdict is Verdict.LINKER or decision.verdict is Verdict.MISSING:
        return False
    if decision.verdict is Verdict.LOADER:
        return any(each.kind in (Kind.IMPORT, Kind.IFUNC, Kind.THREAD_LOCAL) for each in pool)
    return True


def _of_variable(
    name: bytes,
    needed: Needed,
    host: Host,
    found: Sequence[Candidate],
    shared: SharedVariable,
    linked: Sequence[str],
) -> tuple[tuple[str, ...], list[Considered]]:
    """What speaks against the host's variable, and which symbols of the host's were held against the patch's."""
    from stubgen.resolve.keep_state import Pair, reasons_not_kept
    from stubgen.resolve.same_file import Files

    variables = [variable for variable in needed.variables if variable.name == name]
    kind = Kind.THREAD_LOCAL if variables[0].thread_local else Kind.DATA
    same = [each for each in found if base_name(each.name) == base_name(name) and each.kind is kind]
    pool = counterparts_of(variables[0], same) if same else []
    against: list[str] = []
    if pool and not shared.patch:
        against = reasons_not_kept(Pair(variables, pool, Files.of_needed(host.image, needed, linked)))
    considered = []
    for each in found:
        if each in pool:
            standing = Standing.CHOSEN if shared.forwarded and not shared.patch else Standing.REFUSED
            considered.append(Considered(each, standing, shared.reason_not_kept or "it is the patch's variable"))
        else:
            other = "it is of another file" if each.kind is kind else f"it is no {kind.value}"
            considered.append(Considered(each, Standing.PASSED_OVER, other))
    return tuple(dict.fromkeys(against)) if not shared.forwarded else (), considered


def _definitions(images: Sequence[Image], name: bytes) -> Iterator[Place]:
    """Where objects of the patch define *name*."""
    for image in images:
        for symbol in _symbols(image):
            if symbol.name == name and symbol.traits.defined:
                yield Place(image.name, None, symbol)


def _symbols(image: Image) -> list[Listed]:
    from stubgen.listing.files import symbols_of

    return symbols_of(image)


def _uses(image: Image, name: bytes) -> Iterator[Use]:
    """The places of *image* that mean *name*."""
    if image.format == "elf":
        from stubgen.image.elf import ElfImage
        from stubgen.listing import uses_elf

        assert isinstance(image, ElfImage)  # noqa: S101  # by its format
        return uses_elf.uses(image, name)
    from stubgen.image.macho import MachOImage
    from stubgen.listing import uses_macho

    assert isinstance(image, MachOImage)  # noqa: S101  # there is no third format
    return uses_macho.uses(image, name)
