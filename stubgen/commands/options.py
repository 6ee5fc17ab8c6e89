"""Options and answers that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from stubgen.common.aarch64 import ADDRESS_LIMIT, UNTAGGED
from stubgen.common.arguments import StrPath
from stubgen.common.files import keep_apart, read_input
from stubgen.common.text import as_bytes, as_text, counted
from stubgen.errors import MalformedInput, StubgenError, SymbolRefusal, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from stubgen.common.files import Outputs
    from stubgen.host.previous import PreviousPatch
    from stubgen.host.slide import Slide
    from stubgen.image.identity import HostIdentity, PatchIdentity
    from stubgen.keywords import Options
    from stubgen.policies import Policy
    from stubgen.registers import Reliance
    from stubgen.replaced import Replaced, Replacement
    from stubgen.resolve.needed import Borrowed, Needed
    from stubgen.resolve.resolution import Resolution
    from stubgen.resolve.rulings import PolicyChange
    from stubgen.resolve.verdicts import Decision, SharedVariable


LISTED: dict[str, Callable[[Resolution], Iterable[Decision]]] = {
    "all": lambda resolution: resolution.decisions(),
    "others": lambda resolution: resolution.others,
    "none": lambda resolution: (),
}
"""What ``--decisions`` takes -> the verdicts that are listed."""


def address(text: str) -> int:
    """An address on the command line: decimal, or hexadecimal with ``0x``.

    Raises:
        UsageError: it is neither, or does not fit 64 bits.
    """
    try:
        value = int(text, 16) if text.lower().startswith("0x") else int(text, 10)
    except ValueError as error:
        raise UsageError(f"'{text}' is not an address: give a decimal or 0x-hexadecimal number") from error
    if not 0 <= value < 1 << 64:
        raise UsageError(f"address {text} does not fit 64 bits")
    return value


def add_build_options(parser: argparse.ArgumentParser, *, objects: bool = True) -> None:
    """The options of ``build``, ``link`` and ``patch`` that say what stubs are for; ``patch`` makes *objects*."""
    parser.add_argument("--host", required=True, metavar="FILE", help="the running program's file")
    add_symbols_option(parser)
    parser.add_argument(
        "--aslr-reference", type=address, metavar="ADDR", help="the anchor's runtime address, from the process"
    )
    parser.add_argument("--anchor", metavar="NAME", help="the anchor's symbol (default: whisker_aslr_anchor, main)")
    parser.add_argument(
        "--slide", type=address, metavar="N", help="the slide itself, in bytes, instead of an anchor's address"
    )
    parser.add_argument("--build-id", metavar="HEX", help="the build id or UUID that the process reports")
    add_cache_option(parser)
    parser.add_argument(
        "--data",
        choices=("auto", "absolute", "none"),
        default="auto",
        help="host data without bound copies: absolute symbols where they are right (auto), always, or never",
    )
    parser.add_argument(
        "--tls",
        choices=("auto", "loader"),
        default="auto",
        help="thread-locals of a host that is a shared library: by its own TLS descriptors (auto), or left to the "
        "loader where the host exports them",
    )
    parser.add_argument(
        "--keep-state",
        action="store_true",
        help="use the host's writable variables where patch and host both define them (needs bound copies)",
    )
    parser.add_argument(
        "--allow-static",
        action="store_true",
        help="call static functions of a host that LLVM compiled although nothing shows that they kept their arguments",
    )
    parser.add_argument(
        "--override",
        action="append",
        default=[],
        metavar="MAP@BASE",
        help="call an earlier patch, loaded at BASE, where it replaced the host's functions (link --override-map)",
    )
    add_previous_option(parser)
    parser.add_argument("--whole-archive", action="store_true", help="take every member of the patch's archives")
    parser.add_argument(
        "--archive",
        action="append",
        default=[],
        metavar="FILE",
        help="an archive of the host's link: bound copies take from it what the host lacks",
    )
    parser.add_argument(
        "--bti", choices=("auto", "on", "off"), default="auto", help="begin each stub with a BTI landing pad"
    )
    parser.add_argument(
        "--library", action="append", default=[], metavar="FILE", help="a shared library that the patch links"
    )
    parser.add_argument(
        "--export",
        action="append",
        default=[],
        metavar="SYM",
        help="a name that dlsym must find in the patch; archives are searched for it",
    )
    parser.add_argument(
        "--wrap",
        action="append",
        default=[],
        metavar="SYM",
        help="the patch's link has --wrap=SYM (link finds it in the captured command)",
    )
    parser.add_argument(
        "--policy",
        action="append",
        default=[],
        metavar="POLICY",
        help="rules of your own: an installed policy's name, module:Class or file.py:Class, with =ARGUMENT if need be",
    )
    parser.add_argument(
        "--report", metavar="FILE", help="write every verdict of a patch that was made: as JSON, or FILE.html as a page"
    )
    if objects:
        parser.add_argument("objects", nargs="+", metavar="OBJ", help="the patch's objects and archives (.o .a .rlib)")


def add_decisions_option(parser: argparse.ArgumentParser) -> None:
    """``--decisions``, for the commands whose answer lists what became of each symbol."""
    parser.add_argument(
        "--decisions",
        choices=tuple(LISTED),
        default="all",
        help="which verdicts a sound patch's JSON answer lists: all, those other than trampoline, or none",
    )


def add_explain_option(parser: argparse.ArgumentParser) -> None:
    """``--explain`` of the commands that judge symbols."""
    parser.add_argument(
        "--explain", action="store_true", help="say what became of every symbol, and all about those that are refused"
    )


def add_previous_option(parser: argparse.ArgumentParser) -> None:
    """``--previous``, for the commands that have to do with a patched process."""
    parser.add_argument(
        "--previous",
        action="append",
        default=[],
        metavar="PATCH@ADDR",
        help="a patch that the process loaded before, and its load address, or PATCH@NAME=ADDR with a symbol's; its "
        "functions, variables and state count as the host's do; repeat it, the oldest first",
    )


def add_symbols_option(parser: argparse.ArgumentParser) -> None:
    """``--symbols``, for the commands that open a host."""
    parser.add_argument(
        "--symbols",
        metavar="FILE",
        help="a stripped host's debug file or dSYM, of the same build (default: where debuggers look for it)",
    )


def add_cache_option(parser: argparse.ArgumentParser) -> None:
    """``--no-cache``, for the commands that open a host."""
    parser.add_argument(
        "--no-cache",
        dest="cache",
        action="store_false",
        help="keep nothing between commands: no index of names, nothing about Keystone and Capstone (see cache)",
    )


def judge_options(arguments: argparse.Namespace) -> Options:
    """What :func:`add_build_options` and ``--export`` say, for the library."""
    return {
        "anchor": arguments.anchor,
        "slide": arguments.slide,
        "data": arguments.data,
        "libraries": arguments.library,
        "tls": arguments.tls,
        "keep_state": arguments.keep_state,
        "allow_static": arguments.allow_static,
        "overrides": overrides(arguments.override),
        "previous": previous_patches(arguments.previous),
        "whole_archive": arguments.whole_archive,
        "archives": arguments.archive,
        "exports": arguments.export,
        "wrapped": arguments.wrap,
        "policies": policies(arguments.policy),
    }


def keep_outputs_apart(
    arguments: argparse.Namespace, inputs: Iterable[StrPath] = (), copies: Iterable[StrPath] = (), **others: str | None
) -> None:
    """Refuse outputs, and bound *copies*, that would overwrite the host, an object, another of *inputs*, or each other.

    Raises:
        UsageError: they would.
    """
    outputs = {"-o": arguments.output, "--report": arguments.report}
    outputs |= {f"--{name.replace('_', '-')}": path for name, path in others.items()}
    maps = [argument.rpartition("@")[0] for argument in (*arguments.override, *arguments.previous)]
    extra = getattr(arguments, "extra", [])
    named = [
        arguments.host,
        *arguments.objects,
        *arguments.library,
        *arguments.archive,
        *extra,
        *filter(None, [arguments.symbols, *maps]),
    ]
    keep_apart(outputs, [*named, *inputs], copies)


def overrides(arguments: Iterable[str]) -> dict[str, int]:
    """The functions that earlier patches replaced: name -> runtime address; later patches win.

    Args:
        arguments: ``MAP@BASE`` each; the base's top byte is dropped, as an anchor's is.

    Raises:
        UsageError: an argument has no base address, or one that cannot be right.
        MalformedInput: a file is not an override map.
    """
    found: dict[str, int] = {}
    for argument in arguments:
        path, _, base = argument.rpartition("@")
        if not path:
            raise UsageError(f"--override {argument}: give the map and where that patch is loaded, as MAP@0x7f12340000")
        start = address(base) & UNTAGGED
        if start % 4096:
            raise UsageError(
                f"--override {argument}: no library is loaded at {base}: a base is a whole number of pages"
            )
        found |= {name: start + offset for name, offset in _override_map(path, start).items()}
    return found


def previous_patches(arguments: Iterable[str]) -> list[PreviousPatch]:
    """Earlier patches, ``PATCH@ADDR`` or ``PATCH@NAME=ADDR`` each.

    Raises:
        UsageError: an argument has no address.
    """
    if not arguments:
        return []
    from stubgen.host.previous import PreviousPatch

    found = []
    for argument in arguments:
        path, _, where = argument.rpartition("@")
        symbol, _, runtime = where.rpartition("=")
        if not path:
            raise UsageError(
                f"--previous {argument}: give the patch and where it is loaded, as PATCH@0x7f12340000, or with the "
                f"address of one of its symbols, as PATCH@NAME=0x7f12340680"
            )
        found.append(PreviousPatch(path, address(runtime), symbol or None))
    return found


def policies(arguments: Iterable[str]) -> list[Policy]:
    """The builder's policies, each made anew.

    Raises:
        UsageError: there is no such policy, or it cannot be made.
    """
    if not arguments:
        return []
    from stubgen.policies import load_policy

    return [load_policy(argument) for argument in arguments]


def policy_documents(changes: Iterable[PolicyChange]) -> list[dict[str, object]]:
    """What policies changed, for ``--json``, ``--report`` and ``--map``."""
    return [
        {
            "policy": c.policy,
            "what": c.what,
            "name": c.name or None,
            "before": c.before,
            "after": c.after,
            "reason": c.reason,
        }
        for c in changes
    ]


def policy_lines(changes: Iterable[PolicyChange]) -> list[str]:
    """The same for a person."""
    return [
        f"  policy {c.policy}: {c.name or 'the link'}: {c.before or 'nothing'} -> {c.after or 'nothing'}"
        for c in changes
    ]


def _override_map(path: str, start: int) -> dict[str, int]:
    """What ``link --override-map`` wrote into *path*, for a patch at *start*: name -> static address in the patch."""
    import json

    try:
        functions: dict[str, int] = json.loads(bytes(read_input(path)))["functions"]
        odd = [name for name, offset in functions.items() if type(offset) is not int]
        as_bytes("".join(functions))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise MalformedInput(f"{path}: is not an override map, as link --override-map writes it") from error
    if odd:
        raise MalformedInput(f"{path}: is not an override map: the address of {odd[0]} is not a whole number")
    for name, offset in functions.items():
        if offset < 0 or start + offset >= ADDRESS_LIMIT:
            raise MalformedInput(f"{path}: {name} at {offset:#x} in a patch at {start:#x} is outside user space (2^48)")
    return functions


def borrowed_documents(needed: Needed) -> list[dict[str, object]]:
    """The members of archives that became objects of the patch, for ``--json`` and ``--report``."""
    return [
        {
            "member": member.name,
            "path": member.path,
            "wanted": list(member.wanted),
            "stepped_back": list(member.stepped_back),
        }
        for member in needed.borrowed
    ]


def borrowed_lines(needed: Needed) -> list[str]:
    """The same for a person, and which weak defaults gave way to the host's definitions."""
    of_archive: dict[str, list[Borrowed]] = {}
    for member in needed.borrowed:
        of_archive.setdefault(member.name.partition("(")[0], []).append(member)
    lines = []
    for archive, members in of_archive.items():
        if len(members) > _ALIKE:
            named = few([member.name.partition("(")[2].rstrip(")") for member in members])
            lines.append(f"  borrowed {len(members)} members of {archive}: {named}")
        else:
            lines += [f"  borrowed {member.name} for {few(member.wanted)}" for member in members]
    gave_way = sorted(map(as_text, needed.gave_way))
    return [*lines, f"  the host's, not the patch's weak default: {few(gave_way)}"] if gave_way else lines


def few(names: Sequence[str]) -> str:
    """The first of *names*, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def replaced_document(replaced: Replaced, relying: Iterable[Reliance], place: str) -> dict[str, object]:
    """What the patch replaces, and who relies on registers of that; *place* is what the host's copies are called."""
    return {
        "replaced": [_replacement_document(item, place) for item in replaced.functions],
        "undecided": [{**_replacement_document(item, place), "reason": item.reason} for item in replaced.undecided],
        "relying_callers": relying_documents(relying),
    }


def relying_documents(relying: Iterable[Reliance]) -> list[dict[str, object]]:
    """Callers that rely on registers."""
    return [{**one._asdict(), "registers": list(one.registers)} for one in relying]


def _replacement_document(item: Replacement, place: str) -> dict[str, object]:
    return {
        "name": item.name,
        "object": item.object,
        "local": item.local,
        "address": item.address,
        place: [
            {"static_address": copy.static_address, "runtime_address": copy.runtime_address, "names": list(copy.names)}
            for copy in item.copies
        ],
    }


def shared_variable_documents(variables: Iterable[SharedVariable]) -> list[dict[str, object]]:
    """The variables that patch and host both define, for ``--json`` and ``--report``."""
    return [
        {
            "name": variable.name,
            "size": variable.size,
            "writable": variable.writable,
            "forwarded": variable.forwarded,
            "obstacle": variable.reason_not_kept,
            "lost": variable.lost or None,
            "patch": variable.patch or None,
            "initial_value_changed": variable.initial_value_changed,
            "type_compared": variable.type_compared,
        }
        for variable in variables
    ]


def shared_variable_notes(variables: Iterable[SharedVariable]) -> list[str]:
    """A line about the variables that start afresh in the patch, or go on as they were before, for each reason."""
    from stubgen.resolve.verdicts import OWN_CONSTANT  # whoever has variables has loaded it

    told = [variable for variable in variables if variable.name not in STATELESS]
    own = [
        variable
        for variable in told
        if not variable.forwarded and (variable.writable or variable.reason_not_kept not in ("", OWN_CONSTANT))
    ]
    older = [
        (f"goes on as {variable.patch or 'the host'} has it, as it was before: {variable.lost}", variable.name)
        for variable in told
        if variable.lost
    ]
    causes: dict[tuple[str, bool], list[SharedVariable]] = {}
    names = {variable.name for variable in own}
    for variable in own:
        if not _is_told_with_another(variable.name, names):
            cause = variable.reason_not_kept or "--keep-state may use the host's"
            causes.setdefault((cause, variable.only_in_host), []).append(variable)
    return [*(_own_note(cause, alike) for (cause, _), alike in causes.items()), *_joined_notes(older)]


def _own_note(cause: str, alike: Sequence[SharedVariable]) -> str:
    """The line about variables of which the patch has its own, or none."""
    names = [variable.name for variable in alike]
    if alike[0].only_in_host:
        return f"note: {each_of(names)}: {cause}"
    if len(alike) > _ALIKE:
        return f"note: {len(alike)} variables of the patch's own start afresh: {cause}: {few(names)}"
    size = alike[0].size if len(alike) == 1 else 0
    of = f" of {counted(size, 'byte')}" if size else ""
    return f"note: {each_of(names)}: the patch has its own copy{of}, which starts afresh: {cause}"


def _joined_notes(told: Iterable[tuple[str, str]]) -> list[str]:
    """A line for each text of *told*, which has also the name of what it is about."""
    by_text: dict[str, list[str]] = {}
    for text, name in told:
        by_text.setdefault(text, []).append(name)
    return [f"note: {each_of(names)}: {text}" for text, names in by_text.items()]


def each_of(names: Sequence[str]) -> str:
    """The subject of a sentence that is true of each of *names*."""
    return f"each of {', '.join(names)}" if len(names) > 1 else names[0]


def _is_told_with_another(name: str, names: Collection[str]) -> bool:
    """Whether the variable *name* is nothing but a part of another C++ variable, which is among *names*.

    That is what says whether it is initialised, or what its reference is bound to (Itanium C++ ABI 5.1.4.3, 5.1.4.6).
    """
    if name.lstrip("_") == TLS_GUARD:
        return len(names) > 1
    start, found, rest = name.partition("_ZG")
    if not found or start not in ("", "_") or rest[:1] not in ("V", "R"):
        return False
    kind, rest = rest[0], rest[1:]
    spellings = [rest] if kind == "V" else [rest[:end] for end in range(1, len(rest))]
    plain = [spelling.lstrip("0123456789") for spelling in spellings if spelling[:1].isdigit()]
    wanted = {*(f"{start}_Z{spelling}" for spelling in spellings), *(f"{start}{each}" for each in plain)}
    return not wanted.isdisjoint(names)


TLS_GUARD = "tls_guard"
"""What GCC and clang call the flag by which a thread initialises all thread-locals of a file, less underscores."""

STATELESS = ("_ZStL8__ioinit", "__ZStL8__ioinit")
"""Writable and without a value: ``<iostream>`` gives each file an ``std::ios_base::Init`` ([ios::Init]), an empty class
of which the library counts the objects. A note on it with each patch of each such file would hide the others."""

KEPT_VALUE = (
    "begins with another value in the patch, which the running process does not get: it keeps the one that it has"
)
OWN_VALUE = "is another value in the patch; code outside the patch reads the host's"


def changed_value_notes(variables: Iterable[SharedVariable]) -> list[str]:
    """A line about the variables, and one about the constants, whose edited value has no effect, or not everywhere."""
    return _joined_notes(
        (KEPT_VALUE if variable.writable else OWN_VALUE, variable.name)
        for variable in variables
        if variable.initial_value_changed
    )


COMPARED = (
    "the patch compares its address, or hands it to a function that does; the address is not the host's or an earlier "
    "patch's, so what those registered by their own is not found"
)


def compared_notes(names: Sequence[str]) -> list[str]:
    """A line about those whose addresses the patch's code compares, or hands to a function that does."""
    if not names:
        return []
    return [f"note: {'each of ' if len(names) > 1 else ''}{few(names)}: {COMPARED}"]


_ALIKE = 3
"""Lines of one kind up to which each is printed."""


def slide_document(slide: Slide) -> dict[str, object]:
    """The slide for ``--json``."""
    return {
        "slide": slide.value,
        "anchor": slide.anchor,
        "anchor_static_address": slide.static_address if slide.anchor else None,
        "anchor_runtime_address": slide.runtime_address if slide.anchor else None,
    }


def host_document(identity: HostIdentity) -> dict[str, object]:
    """What tells a build of a host from others, for ``--json``."""
    return {"kind": identity.kind_name, "value": identity.value.hex()}


def identity_document(identity: PatchIdentity) -> dict[str, object]:
    """What a patch's note says, for ``--json``."""
    return {
        "host": host_document(identity.host),
        "slide": identity.slide,
        "session": identity.session.hex() if any(identity.session) else None,
        "generation": identity.generation,
        "tool": identity.tool,
    }


def identity_line(identity: PatchIdentity) -> str:
    """The same for a person."""
    of = f", generation {identity.generation} of session {identity.session.hex()}" if any(identity.session) else ""
    return f"  for {identity.host} at slide {identity.slide:#x}{of}, by stubgen {identity.tool}"


def decision_documents(decisions: Iterable[Decision]) -> list[dict[str, object]]:
    """Verdicts for ``--json`` and ``--report``."""
    return [
        {
            "name": decision.name,
            "verdict": decision.verdict.value,
            "reason": decision.reason,
            "static_address": decision.static_address,
            "runtime_address": decision.runtime_address,
            "candidates": list(decision.candidates),
            "used_by": list(decision.used_by),
            "patch": decision.patch or None,
            "policy": decision.policy or None,
        }
        for decision in decisions
    ]


def failure_document(error: StubgenError) -> dict[str, object]:
    """The document of a command that *error* ended, with the verdicts that speak against a patch.

    The message has one line for many of them.
    """
    document: dict[str, object] = {"error": {"kind": type(error).__name__, "message": str(error)}}
    if isinstance(error, SymbolRefusal) and error.decisions:
        document["decisions"] = decision_documents(error.decisions)
    return document


def listed_decisions(resolution: Resolution, listed: str) -> list[dict[str, object]]:
    """The verdicts of *resolution* that ``--decisions`` asks for, a key of :data:`LISTED`."""
    return decision_documents(LISTED[listed](resolution))


def verdict_counts(resolution: Resolution) -> dict[str, int]:
    """How many needed symbols have each verdict, whichever of them are listed."""
    trampolines = len(resolution.stubs.spellings)
    counts = {"trampoline": trampolines} if trampolines else {}
    for decision in resolution.others:
        verdict = decision.verdict.value
        counts[verdict] = counts.get(verdict, 0) + 1
    return counts


def is_page(path: str | None) -> bool:
    """Whether the ``--report`` at *path* is to be a page for people."""
    return path is not None and path.lower().endswith((".html", ".htm"))


def write_report(path: str | None, document: object, outputs: Outputs) -> None:
    """Let *document* be among the *outputs*, as JSON, where ``--report`` asks for it."""
    if path is not None:
        import json

        outputs.add(path, (json.dumps(document, indent=2) + "\n").encode())
