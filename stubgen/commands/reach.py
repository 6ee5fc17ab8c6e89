"""``reach``: what in a host still leads to the code that a patch replaced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from stubgen.check import check_patch
from stubgen.commands import Outcome
from stubgen.commands.options import add_cache_option, add_symbols_option
from stubgen.common.text import counted
from stubgen.errors import UsageError
from stubgen.reach import Reach, Reached, find_reach
from stubgen.reach.labels import Place
from stubgen.replaced import replaced_by
from stubgen.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

_NAMED = 6  # of many, how many a line names; --json has all


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "functions", nargs="*", metavar="NAME", help="a function of the host, as its symbol table has it or demangled"
    )
    parser.add_argument("--host", required=True, metavar="FILE", help="the program")
    add_symbols_option(parser)
    add_cache_option(parser)
    parser.add_argument(
        "--patch", metavar="FILE", help="a linked patch: those of its functions that replace the host's"
    )
    parser.add_argument(
        "--object",
        action="append",
        default=[],
        metavar="OBJ",
        help="an object of the patch, as the compiler wrote it: its functions are the patch's own",
    )
    parser.add_argument("--stub", metavar="FILE", help="the stub object that it was linked with")
    parser.add_argument("--link-map", metavar="FILE", help="the map file that its linker wrote")


def execute(arguments: argparse.Namespace, session: Session | None = None) -> Outcome:
    """Say who reaches the old code."""
    if bool(arguments.functions) == (arguments.patch is not None):
        raise UsageError(
            "name functions of the host, or give a linked patch with --patch and its objects with --object"
        )
    if (arguments.patch is None) == bool(arguments.object):
        raise UsageError("--patch and --object go together: the patch, and each of its objects")
    session = session or Session(mapped=True)
    host = session.host(arguments.host, symbols=arguments.symbols, cache=arguments.cache)
    if arguments.patch is None:
        found = find_reach(host, arguments.functions)
    else:
        checked = check_patch(
            arguments.patch,
            host,
            objects=arguments.object,
            stub=arguments.stub,
            link_map=arguments.link_map,
            facts=session.facts(cache=arguments.cache),
        )
        assert checked.account is not None  # noqa: S101  # check_patch() makes one of every patch
        found = find_reach(host, replaced_by(checked.account, host, checked.slide or 0))
    return Outcome(reach_document(found), "\n".join([f"{host.path}:", *reach_lines(found)]))


def reach_document(reach: Reach) -> dict[str, object]:
    """Who reaches the old code, for ``--json``."""
    return {
        "debug_information": reach.has_debug_information,
        "reach": [_function_document(one) for one in reach.functions],
    }


def _function_document(one: Reached) -> dict[str, object]:
    return {
        "name": one.name,
        "addresses": list(one.addresses),
        "callers": [
            {**_place_document(row.place, "function"), "instruction": row.instruction, "through": row.through}
            for row in one.callers
        ],
        "pointers": [_place_document(place, "symbol") for place in one.pointers],
        "taken": [{**_place_document(row.place, "function"), "slot": row.slot} for row in one.taken],
        "inlined": [
            {"function": row.function, "address": row.address, "copies": row.copies, "file": row.file}
            for row in one.inlined
        ],
        "clones": [{"name": name, "address": address} for name, address in one.clones],
    }


def _place_document(place: Place, symbol: str) -> dict[str, object]:
    name = place.name if place.symbol else None
    return {"section": place.section, symbol: name, "offset": place.offset, "address": place.address}


def reach_lines(reach: Reach) -> list[str]:
    """The same for a person."""
    lines: list[str] = []
    for one in reach.functions:
        lines.append(f"  {one.name} ({', '.join(f'{address:#x}' for address in one.addresses) or 'inlined alone'})")
        direct = [row.place.name for row in one.callers if row.through is None]
        through = [row.place.name for row in one.callers if row.through is not None]
        rows = (
            ("called by", direct),
            ("called through a PLT, a stub or a veneer by", through),
            ("address in", [f"{place.name}+{place.offset:#x}" for place in one.pointers]),
            ("address taken by", [row.place.name for row in one.taken]),
            ("inlined into", [row.function for row in one.inlined for _ in range(row.copies)]),
            ("specialised as", [name for name, _ in one.clones]),
        )
        told = [_line(title, names) for title, names in rows if names]
        lines += told or ["    nothing in its file leads there"]
    if not reach.has_debug_information:
        lines.append(
            "  no debug information: what is inlined is not known (compile the host with -g; --symbols takes its dSYM)"
        )
    return lines


def _line(title: str, names: Sequence[str]) -> str:
    """*names*, each once with how often it occurs."""
    counts = Counter(names)
    shown = [name if count == 1 else f"{name} ({count} times)" for name, count in counts.items()]
    more = [f"and {counted(len(shown) - _NAMED, 'other')}"] if len(shown) > _NAMED else []
    return f"    {title} {', '.join([*shown[:_NAMED], *more])}"
