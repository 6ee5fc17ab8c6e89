"""``capture``: runs a linker and records its command."""

from __future__ import annotations

import argparse

from stubgen.commands import Outcome
from stubgen.common.cancellation import attend, tidy_at_signals
from stubgen.errors import LinkerFailed, UsageError

_STDERR = 2


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``capture``."""
    parser.usage = "%(prog)s --dir DIR -- LINKER ARG..."
    parser.add_argument("--dir", required=True, dest="directory", metavar="DIR", help="the folder for the records")
    parser.add_argument("argv", nargs="*", metavar="ARG", help="the linker and its arguments, after --")


def execute(arguments: argparse.Namespace) -> Outcome:
    """Record, then run the linker: its streams are ours, and its failure is ours too.

    With ``--json`` standard output is the document's, and what the linker prints there goes to standard error.
    """
    from stubgen.capture import complete, output_of, warn_if_unrecorded

    if not arguments.argv:
        raise UsageError("give the linker and its arguments after --")
    record = warn_if_unrecorded(arguments.argv, arguments.directory)
    try:
        with tidy_at_signals():
            status = attend(arguments.argv, _STDERR if arguments.json else None)
    except OSError as error:
        raise LinkerFailed(f"{arguments.argv[0]}: cannot be run: {error.strerror}") from error
    if record is not None:
        complete(record, status)
    if status:
        raise LinkerFailed(f"{arguments.argv[0]}: ended with status {status}; its command is in {record}")
    document = {"record": record, "output": output_of(arguments.argv)}
    if record is None:
        return Outcome(document, "", 1, "error: linked, but not recorded")
    return Outcome(document, "", complaint=f"recorded in {record}")
