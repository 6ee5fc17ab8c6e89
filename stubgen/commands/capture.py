"""``capture``: runs a linker and records its command."""

from __future__ import annotations

import os
from collections.abc import Sequence

from stubgen.commands import Outcome
from stubgen.common.cancellation import attend, tidy_at_signals
from stubgen.errors import LinkerFailed, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from stubgen.linkplan.anchor import Exporting

_STDERR = 2


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``capture``."""
    parser.usage = "%(prog)s --dir DIR -- LINKER ARG..."
    parser.add_argument("--dir", required=True, dest="directory", metavar="DIR", help="the folder for the records")
    parser.add_argument(
        "--export-anchor",
        metavar="NAME",
        help="have the program export this symbol, such as main, for a runtime to find",
    )
    parser.add_argument("argv", nargs="*", metavar="ARG", help="the linker and its arguments, after --")


def execute(arguments: argparse.Namespace) -> Outcome:
    """Record, then run the linker: its streams are ours, and its failure is ours too.

    With ``--json`` standard output is the document's, and what the linker prints there goes to standard error.
    """
    from stubgen.capture import finish, output_of, warn_if_unrecorded

    if not arguments.argv:
        raise UsageError("give the linker and its arguments after --")
    exporting = _exporting(arguments)
    recorded = warn_if_unrecorded(arguments.argv, arguments.directory, exporting)

    def run(command: Sequence[str]) -> int:
        return attend(command, _STDERR if arguments.json else None)

    try:
        with tidy_at_signals():
            status = finish(arguments.argv, exporting, recorded, run)
    except OSError as error:
        raise LinkerFailed(f"{arguments.argv[0]}: cannot be run: {error.strerror}") from error
    record = recorded.path if recorded else None
    if status:
        raise LinkerFailed(f"{arguments.argv[0]}: ended with status {status}; its command is in {record}")
    added = list(exporting.words) if exporting else []
    document = {"record": record, "output": output_of(arguments.argv), "added": added}
    if record is None:
        return Outcome(document, "", 1, "error: linked, but not recorded")
    notes = (
        [f"{arguments.export_anchor} is given no option: {exporting.reason}"] if exporting and exporting.reason else []
    )
    return Outcome(document, "", complaint="\n".join([*notes, f"recorded in {record}"]))


def _exporting(arguments: argparse.Namespace) -> Exporting | None:
    """What the link needs in order to export the anchor that was asked for.

    Raises:
        StubgenError: nobody can tell; the message says why.
    """
    if arguments.export_anchor is None:
        return None
    from stubgen.linkplan.anchor import export_anchor
    from stubgen.linkplan.request import CapturedCommand

    return export_anchor(CapturedCommand(arguments.argv, os.getcwd()), arguments.export_anchor)
