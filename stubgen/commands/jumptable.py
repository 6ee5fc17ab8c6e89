"""``jumptable``: where in a linked patch a runtime finds the functions that took the place of the host's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from stubgen.check import check_patch, refuse_findings
from stubgen.commands import Outcome
from stubgen.commands.options import add_cache_option, address, relying_documents
from stubgen.common.files import Outputs, keep_apart, read_input
from stubgen.common.text import counted
from stubgen.errors import UsageError
from stubgen.host.slide import anchor_name
from stubgen.image.opening import open_image
from stubgen.jumptable import WHY_THEY_RELY, JumpTable, TableOptions, make_jump_table, reliance_text
from stubgen.jumptable.formats import FORMATS, encode_jump_table
from stubgen.origin.sources import Source
from stubgen.replaced import replaced_by
from stubgen.session import Session
from stubgen.stub.slots import parse_symbol, slots_of
from stubgen.without_code import went_on_without

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from stubgen.compare.changes import FunctionChange
    from stubgen.registers import Reliance


MOST_NAMES = 6
"""Functions that changed, or are left out for one reason, are named up to so many; ``--json`` has all."""
DIRECT_CALLS = ", or, if your runtime leads them there, give --direct-calls"
"""What helps where a table is written."""


def add_table_options(parser: argparse.ArgumentParser) -> None:
    """The options that say which table is wanted and how it is written."""
    parser.add_argument(
        "--table-format", choices=FORMATS, default="subsecond", help="whose jump table (default: subsecond)"
    )
    parser.add_argument(
        "--lib", default="", metavar="PATH", help="jump table: where the patch is on the target (default: the file)"
    )
    parser.add_argument(
        "--all",
        action="store_true",
        help="jump table: functions that did not change, and lead to none that did, are in it too",
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="jump table: refuse where nobody can tell which of the host's functions one replaces",
    )
    parser.add_argument(
        "--direct-calls",
        action="store_true",
        help="jump table: the runtime leads direct calls to the new functions too, as it overwrites where the old ones "
        "begin: leave out those whose callers GCC compiled for the registers of the old one, and static ones whose "
        "arguments LLVM may have changed",
    )
    parser.add_argument(
        "--pid",
        type=address,
        metavar="N",
        help="the process: jump table for devserver, session; where it is here, the anchor is held against it",
    )


def table_options(arguments: argparse.Namespace) -> TableOptions:
    """The same for the library.

    Raises:
        UsageError: --pid beside a format that has no place for it.
    """
    of_session = getattr(arguments, "session", None) is not None  # which is one process's
    if arguments.pid is not None and arguments.table_format != "devserver" and not of_session:
        raise UsageError(f"--pid says nothing in the format {arguments.table_format}; devserver has it")
    wanted = TableOptions(arguments.lib, arguments.all, arguments.strict, direct_calls=arguments.direct_calls)
    return wanted._replace(as_built=getattr(arguments, "as_built", ()))  # of patch, which compiles


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("patch", metavar="PATCH", help="the linked patch")
    parser.add_argument("--host", required=True, metavar="FILE", help="the program that it was linked for")
    add_cache_option(parser)
    parser.add_argument("--anchor", metavar="NAME", help="the anchor's symbol (default: whisker_aslr_anchor, main)")
    parser.add_argument(
        "--object",
        action="append",
        default=[],
        required=True,
        metavar="OBJ",
        help="an object of the patch, as the compiler wrote it: its functions are the patch's own",
    )
    parser.add_argument("--stub", metavar="FILE", help="the stub object that it was linked with")
    parser.add_argument("--link-map", metavar="FILE", help="the map file that its linker wrote")
    add_table_options(parser)
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="the table to write")


def execute(arguments: argparse.Namespace, session: Session | None = None) -> Outcome:
    """Write the jump table of a patch that exists."""
    wanted = table_options(arguments)
    given = [arguments.patch, arguments.host, *arguments.object]
    keep_apart({"-o": arguments.output}, [*given, *filter(None, (arguments.stub, arguments.link_map))])
    session = session or Session(mapped=True)
    host = session.host(arguments.host, cache=arguments.cache)
    checked = check_patch(
        arguments.patch,
        host,
        objects=arguments.object,
        stub=arguments.stub,
        link_map=arguments.link_map,
        facts=session.facts(cache=arguments.cache),
    )
    refuse_findings(checked)
    assert checked.account is not None  # noqa: S101  # check_patch() makes one of every patch
    replaced = replaced_by(checked.account, host, checked.slide or 0)
    objects = [(item.name, item.image) for item in checked.account.inputs.files if item.source is Source.OBJECT]
    for _, each in objects:
        each.companions = [image for _, image in objects]
    content = read_input(arguments.patch)
    image = open_image(content, arguments.patch)
    kept = {parse_symbol(symbol)[0] for symbol, _ in slots_of(image)}
    table = make_jump_table(image, host, replaced, objects, anchor_name(host, arguments.anchor), wanted, kept)
    table = table._replace(content=bytes(content))
    outputs = Outputs()
    with outputs:
        outputs.add(arguments.output, encode_jump_table(table, arguments.table_format, arguments.pid))
    text = "\n".join([f"{arguments.output}: {counted(len(table.entries), 'pair')}", *table_lines(table)])
    return Outcome({"output": arguments.output, **table_document(table)}, text, outputs=outputs)


INITIALISERS = ("_GLOBAL__sub_I_", "__GLOBAL__sub_I_", "_GLOBAL__sub_D_")
"""How names of functions begin that set up a C++ file's variables. Nobody wrote them, the loader alone calls them, and
GCC names them by another function of the file with ``-fPIC``: one of each file would count as added."""

EMPTY = ": the table is empty and leads no call to the patch"
"""A touched file, an edited comment: the patch is sound, and who sees exit status 0 would wait for its effect."""


def table_document(table: JumpTable) -> dict[str, object]:
    """A jump table and what changed, for ``--json``."""
    return {
        "anchor": table.anchor,
        "anchor_in_patch": table.patch_anchor,
        "jump_table": [
            {"name": entry.name, "object": entry.object, "old": entry.old, "new": entry.new} for entry in table.entries
        ],
        "changes": [_change_document(row) for row in table.changes],
        "left_out": [{"name": item.name, "object": item.object, "reason": item.reason} for item in table.undecided],
        "relying_callers": relying_documents(table.relying),
    }


def _change_document(row: FunctionChange) -> dict[str, object]:
    return {
        "names": list(row.names),
        "object": row.object,
        "change": row.change.value,
        "reason": row.reason,
        "leads_to_change": row.leads_to_change,
    }


def table_lines(table: JumpTable) -> list[str]:
    """The same for a person."""
    from stubgen.compare.changes import Change

    made = [row for row in table.changed(Change.ADDED) if row.names[0].startswith(INITIALISERS)]
    counts = Counter(row.change.value for row in table.changes if row not in made)
    told = {change: f"{count} {change}" for change, count in sorted(counts.items())}
    if Change.CHANGED.value in told:
        told[Change.CHANGED.value] += f" ({_first([row.names[0] for row in table.changed(Change.CHANGED)])})"
    lines = [f"  functions: {', '.join(told.values()) or 'none'}{'' if table.entries else EMPTY}"]
    gone = [f"{', '.join(row.names)} ({row.object})" for row in table.changes if row.change is Change.REMOVED]
    lines += [f"  removed: {', '.join(gone)}"] if gone else []
    lines += led_by_kept_lines(row for row in table.changes if row.pointed_to_by)
    lines += left_out_lines(table)
    in_table = {entry.old: entry.name for entry in table.entries}
    return lines + relying_lines(in_table, table.relying, DIRECT_CALLS)


def led_by_kept_lines(changes: Iterable[FunctionChange]) -> list[str]:
    """A line for each changed function to whose old self a variable leads that is kept as the host's."""
    return [
        f"  {', '.join(row.pointed_to_by)}: kept as the host's, leads to the host's {row.names[0]} ({row.object})"
        for row in changes
    ]


def left_out_lines(table: JumpTable) -> list[str]:
    """What a table has not, and why: a line for each reason, which of an edited type hundreds of functions have.

    What was edited itself comes first.
    """
    from stubgen.compare.changes import Change

    unchanged = {(name, row.object) for row in table.changes if row.change is Change.UNCHANGED for name in row.names}
    names: dict[str, list[str]] = {}
    used = [item for item in table.undecided if item.users]
    users = sorted({user for item in used for user in item.users})
    for item in sorted(table.undecided, key=lambda item: (item.name, item.object) in unchanged):
        of = "" if item.object.endswith(CODEGEN_UNIT) else f" ({item.object})"
        reason = went_on_without(users, several=True) if item.users and len(used) > 1 else item.reason
        names.setdefault(reason, []).append(f"{item.name}{of}")
    return [f"  left out: {_first(listed)}: {reason}" for reason, listed in names.items()]


CODEGEN_UNIT = ".rcgu.o"
"""How rustc's objects are called behind 50 letters that say nothing: the name of a function has its crate."""


def _first(names: Sequence[str]) -> str:
    """The first of *names*, and how many more there are."""
    more = f" and {len(names) - MOST_NAMES} more" if names[MOST_NAMES:] else ""
    return f"{', '.join(names[:MOST_NAMES])}{more}"


def relying_lines(names: Mapping[int, str], relying: Iterable[Reliance], advice: str = "") -> list[str]:
    """Which functions no direct call may be led to, of those at the addresses in *names*."""
    told = [f"{names[one.old]} ({reliance_text(one)})" for one in relying if one.old in names]
    if not told:
        return []
    return [f"  direct calls must not be led to {_first(told)}: {WHY_THEY_RELY}{advice}"]
