"""``session``: the patches of one process: shows them, notes where they were loaded, leads back to an earlier one."""

from __future__ import annotations

from pathlib import Path

from stubgen.commands import Outcome
from stubgen.commands.jumptable import (
    DIRECT_CALLS,
    add_table_options,
    left_out_lines,
    relying_lines,
    table_document,
    table_options,
)
from stubgen.commands.options import add_cache_option, address
from stubgen.commands.sessions import generation_document, generation_lines, with_names
from stubgen.common.cancellation import tidy_at_signals
from stubgen.common.files import Outputs, keep_apart
from stubgen.common.placeholders import DIGITS
from stubgen.errors import UsageError
from stubgen.session import Session
from stubgen.terminal.sheet import Sheet, Table, Text

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from stubgen.capture import Capture
    from stubgen.generations.state import Generation, PatchSession

ACTIONS = ("show", "loaded", "not-loaded", "undo")


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("file", metavar="FILE", help="the session's file")
    parser.add_argument(
        "action",
        nargs="?",
        choices=ACTIONS,
        default="show",
        help="show: list the patches; loaded [N] ADDR: where the process has the anchor of patch N, by default the "
        "newest; not-loaded [N]: it does not have that; undo: link a patch that leads back (default: show)",
    )
    parser.add_argument("values", nargs="*", default=[], metavar="N", help="of loaded and not-loaded: see there")
    parser.add_argument("--to", type=address, metavar="N", help="undo: the patch to go back to (default: 0, the host)")
    parser.add_argument("--host", metavar="FILE", help="undo: the program's file (default: as the session has it)")
    parser.add_argument(
        "--captured", metavar="PATH", help="undo: the record of the host's link (default: the newest patch's)"
    )
    add_cache_option(parser)
    parser.add_argument("--jump-table", metavar="FILE", help="undo: write the table that leads back")
    add_table_options(parser)
    parser.add_argument("--stub", metavar="FILE", help="undo: keep the stub object")
    parser.add_argument("-o", "--output", metavar="OUT", help="undo: the patch to write; {generation} and {digest}")


def execute(arguments: argparse.Namespace, session: Session | None = None) -> Outcome:
    """Show the session, or change it."""
    if arguments.action == "undo":
        return _undo(arguments, session)
    if arguments.output or arguments.jump_table or arguments.stub or arguments.to is not None:
        raise UsageError(f"-o, --jump-table, --stub and --to are of undo: {arguments.action} writes no patch")
    if arguments.action == "show":
        from stubgen.generations.state import read_session

        if arguments.values:
            raise UsageError(f"{arguments.values[0]}: show takes nothing besides the file")
        known = read_session(arguments.file)
        return Outcome(_document(known), _sheet(known))
    return _mark(arguments)


def _mark(arguments: argparse.Namespace) -> Outcome:
    """Note what became of a patch."""
    from stubgen.generations.lock import lock_session
    from stubgen.generations.opening import mark_loaded, mark_not_loaded, stage_session
    from stubgen.generations.state import read_session

    values = [address(value) for value in arguments.values]
    wanted = 1 if arguments.action == "loaded" else 0
    if not wanted <= len(values) <= wanted + 1:
        raise UsageError(f"{arguments.action} takes {'[N] ADDR' if wanted else '[N]'}")
    number = values[0] if len(values) > wanted else None
    outputs = Outputs()
    with outputs:
        known = read_session(arguments.file)
        outputs.until_done(lock_session(arguments.file))
        known = read_session(arguments.file)
        if wanted:
            known = mark_loaded(arguments.file, known, values[-1], number)
        else:
            known = mark_not_loaded(arguments.file, known, number)
        stage_session(outputs, arguments.file, known)
    return Outcome(_document(known), _sheet(known), outputs=outputs)


def _undo(arguments: argparse.Namespace, session: Session | None) -> Outcome:
    """Link a patch that leads back."""
    from stubgen.build import StubBuilder
    from stubgen.commands.check import check_table
    from stubgen.generations.opening import SessionOptions
    from stubgen.generations.state import read_session
    from stubgen.generations.undoing import stage_undo
    from stubgen.jumptable.formats import encode_jump_table

    if arguments.values:
        raise UsageError(f"{arguments.values[0]}: undo takes --to N")
    if not arguments.output or not arguments.jump_table:
        raise UsageError("undo links a patch and writes the table that leads back: give -o OUT and --jump-table FILE")
    arguments.session = arguments.file
    wanted = table_options(arguments)
    known = read_session(arguments.file)
    builder = StubBuilder(arguments.host or known.host.path, cache=arguments.cache, session=session)
    captured = _captured(arguments, known)
    outputs = Outputs()
    with outputs, tidy_at_signals():
        taken = [builder.host.path, arguments.file, *captured.files(), *(each.patch for each in known.generations)]
        early = with_names(arguments, str(len(known.generations) + 1))
        keep_apart({"-o": early.output, "--jump-table": early.jump_table, "--stub": early.stub}, taken)
        generation = stage_undo(
            outputs,
            SessionOptions(arguments.file, pid=arguments.pid),
            builder,
            captured,
            arguments.output,
            known.anchor.runtime_address,
            anchor=known.anchor.name,
            to=arguments.to or 0,
            stub=arguments.stub,
            jump_table=wanted,
        )
        linked = generation.linked
        arguments = with_names(arguments, str(generation.number), linked.digest[:DIGITS])
        assert linked.jump_table is not None  # noqa: S101  # an undo has one
        content = encode_jump_table(linked.jump_table, arguments.table_format, generation.session.pid)
        outputs.add(arguments.jump_table, content)
    document = {"output": str(linked.output), **generation_document(generation), **table_document(linked.jump_table)}
    title = f"{linked.output}: {linked.size} bytes, leads back to {_title(arguments.to or 0)}"
    in_table = {entry.old: entry.name for entry in linked.jump_table.entries}
    relying = relying_lines(in_table, linked.jump_table.relying, DIRECT_CALLS)
    text = "\n".join([title, *generation_lines(generation), *left_out_lines(linked.jump_table), *relying])
    return Outcome(document, [Text(text), check_table(linked.checked)], outputs=outputs)


def _captured(arguments: argparse.Namespace, known: PatchSession) -> Capture:
    from stubgen.capture import Capture, newest_capture

    recorded = next((each.captured for each in reversed(known.generations) if each.captured), None)
    path = Path(arguments.captured or recorded or "")
    if arguments.captured is None and recorded is None:
        raise UsageError("the session does not know the record of the host's link: give --captured")
    return newest_capture(path, Path(known.host.path).name) if path.is_dir() else Capture.load(path)


def _title(number: int) -> str:
    return f"generation {number}" if number else "the host"


def _document(known: PatchSession) -> dict[str, object]:
    """The session for ``--json``; its functions by name, and each patch's with them."""
    return {
        "session": known.identity,
        "host": known.host._asdict(),
        "anchor": known.anchor._asdict(),
        "slide": known.slide,
        "pid": known.pid,
        "relink_earlier": known.relink_earlier,
        "keep_state": known.keep_state,
        "generations": [_generation_document(known, generation) for generation in known.generations],
    }


def _generation_document(known: PatchSession, generation: Generation) -> dict[str, object]:
    slide = generation.slide
    return {
        "generation": generation.number,
        "patch": generation.patch,
        "library": generation.library,
        "digest": generation.digest,
        "time": generation.time,
        "state": generation.fate.value,
        "anchor": None if slide is None else generation.anchor + slide,
        "slide": slide,
        "undo_to": generation.undo_to,
        "complete": generation.complete,
        "objects": [unit.path for unit in generation.units],
        "variables": list(generation.variables),
        "functions": [
            {
                "name": known.functions[place.function].name,
                "host": list(known.functions[place.function].host),
                "address": place.address,
                "redirected": place.redirected,
                "replaces": [
                    earlier.number
                    for earlier in known.generations[: generation.number - 1]
                    if any(other.function == place.function for other in earlier.places)
                ],
            }
            for place in generation.places
        ],
    }


def _sheet(known: PatchSession) -> Sheet:
    """The same for a person."""
    process = "" if known.pid is None else f", process {known.pid}"
    rows = []
    for generation in known.generations:
        place = "" if generation.slide is None else f"{generation.anchor + generation.slide:#x}"
        led = sum(place.redirected for place in generation.places)
        what = f"{led}" if generation.undo_to is None else f"back to {_title(generation.undo_to)}"
        rows.append((str(generation.number), generation.fate.value, place, what, generation.patch))
    anchor = f"{known.anchor.name} at {known.anchor.runtime_address:#x}"
    title = f"{known.host.path} ({known.host.identity}), {anchor}{process}"
    return [Text(title), Table(rows, ("patch", "state", "its anchor", "functions", "file"))]
