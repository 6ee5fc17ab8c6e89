"""``serve``: the commands for a program that asks for them one after another, over standard input and output."""

from __future__ import annotations

import gc
import os
import sys

from stubgen.commands import Outcome
from stubgen.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

COLLECT_AFTER = 100_000  # objects; a request makes thousands, and nearly all go as it ends, being in no cycle


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``serve``."""
    parser.description = "JSON-RPC 2.0 with LSP's frames on standard input and output; see docs/protocol.md."
    parser.add_argument("--workers", type=_count, default=4, metavar="N", help="requests that run at a time (4)")
    parser.add_argument("--hosts", type=_count, default=4, metavar="N", help="hosts that are kept open (4)")


def execute(arguments: argparse.Namespace) -> Outcome:
    """Serve until the client has no more."""
    if arguments.json:
        raise UsageError("serve answers in JSON anyway, in frames on standard output: drop --json")
    from stubgen.common.files import stop_mapping
    from stubgen.serve.server import Server
    from stubgen.session import Session

    gc.enable()  # the command line goes without, because it is over before there is anything to collect
    gc.set_threshold(COLLECT_AFTER)
    stop_mapping()
    incoming, outgoing = _take_standard_streams()
    return Outcome({}, "", Server(incoming, outgoing, Session(hosts=arguments.hosts), workers=arguments.workers).run())


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 0 < int(text) <= 64:
        import argparse

        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 1 to 64")
    return int(text)


def _take_standard_streams() -> tuple[int, int]:
    """Standard input and output for the server alone.

    In their places are left /dev/null and standard error, so that a library or a program that prints does not print
    between two frames, and none eats a request.
    """
    if sys.stdin is None or sys.stdout is None:  # closed when Python began; the descriptor may be another file by now
        raise UsageError("serve needs standard input and standard output, and one of them is closed")
    incoming, outgoing = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2 if sys.stderr is not None else nothing, 1)
    return incoming, outgoing
