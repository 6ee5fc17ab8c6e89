"""The command line: finds the command, runs it, prints its outcome and turns errors into exit statuses.

Only the module of the command that was asked for is imported: people run this on every save.
"""

from __future__ import annotations

import gc
import importlib
import io
import os
import sys
from collections.abc import Collection, Mapping, Sequence

from stubgen import __version__
from stubgen.commands import COMMANDS, SCHEMA, Outcome
from stubgen.common.row import Row
from stubgen.common.text import harmless
from stubgen.errors import OutputFailure, StubgenError, SymbolRefusal, UsageError
from stubgen.plain_parsing import PlainParser
from stubgen.terminal.screen import Screen, screen_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any, NoReturn

    from stubgen.progress import Watch
    from stubgen.terminal.sheet import Sheet

PROGRAM = "hotpatch-stubgen"
_WITHOUT_NAMES = frozenset({"capture", "captures", "cache", "serve"})
"""Commands that print no symbols, mangled or not."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is its answer.

    0 done; 1 the answer is no; 2 the command line is wrong; 3 an input cannot be read or is malformed;
    4 the linker or a compiler failed; 5 the machine cannot: a full disk, a broken library.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    form = _Form("--json" in own, "--mangled" in own)
    command = next((word for word in arguments if word in COMMANDS), "")
    try:
        if command not in _WRITING:
            return _answered(command, arguments, form)
        from stubgen.common.cancellation import tidy_at_signals

        with tidy_at_signals():
            return _answered(command, arguments, form)
    except KeyboardInterrupt as error:
        if "stubgen.common.files" in sys.modules:
            from stubgen.common.files import discard_outputs

            discard_outputs()
        return 128 + int(getattr(error, "number", 2))  # as the shell has it: 2 is Ctrl-C


_WRITING = frozenset({"build", "link", "patch", "recompile", "jumptable", "check", "session"})
"""The commands that a signal may find with files beside their places."""


def _answered(command: str, arguments: Sequence[str], form: _Form) -> int:
    """Run *command* and deliver what it answers; the exit status."""
    try:
        namespace = _parsed(arguments)
        command = namespace.command
        outcome = _executed(command, namespace)
    except StubgenError as error:
        document: dict[str, object] = {"error": {"kind": type(error).__name__, "message": str(error)}}
        if isinstance(error, SymbolRefusal):
            from stubgen.commands.options import failure_document

            document = failure_document(error)
        outcome = Outcome(
            document=document,
            text="",
            status=error.exit_status,
            complaint=f"error: {error}",
        )
    except (OSError, MemoryError) as error:
        from stubgen.common.files import system_failure

        failure = system_failure(error)
        if failure is None:
            raise
        told = {"kind": type(failure).__name__, "message": str(failure)}
        outcome = Outcome({"error": told}, "", failure.exit_status, f"error: {failure}")
    except SystemExit as end:  # --help and --version have printed
        return _put("", int(end.code or 0))
    status = _deliver(command, outcome, form)
    if "stubgen.common.cache" in sys.modules:
        from stubgen.common.cache import untold_refusal

        _complain(untold_refusal())
    if "stubgen.host.index" in sys.modules:
        from stubgen.host.index import build_missing

        build_missing()
    return status


def _executed(command: str, arguments: argparse.Namespace) -> Outcome:
    """What *command* answers; meanwhile people see what it is doing, and afterwards how long that took."""
    module = _module_of(command)
    outcome: Outcome
    if command in UNWATCHED:
        outcome = module.execute(arguments)
        return outcome
    watch = _watch(command, arguments)
    try:
        outcome = module.execute(arguments)
    finally:
        if watch is not None:
            _complain(watch.end())
    return outcome._replace(text="", complaint="") if arguments.quiet and not outcome.status else outcome


UNWATCHED = ("capture", "serve")
"""The commands that are another program for their caller, with its streams."""


def _watch(command: str, arguments: argparse.Namespace) -> Watch | None:
    """Who looks on while *command* runs: for ``--verbose``, or a terminal's user who waits."""
    patient = arguments.quiet or sys.stderr is None or not sys.stderr.isatty()
    if not arguments.verbose and patient:
        return None
    from stubgen.progress import Line, Times

    return Times() if arguments.verbose else Line(command)


def _module_of(command: str) -> Any:
    """The module that implements *command*; ``serve`` runs the others, so it stands above them."""
    return importlib.import_module(f"stubgen.{_ELSEWHERE.get(command, f'commands.{command}')}")


_ELSEWHERE = {"serve": "serve.command", "completion": "completion"}
"""The commands that stand above the others: one runs them, one knows all their options."""


def run() -> NoReturn:
    """The program: :func:`main`, and then an end without tidying up, which takes as long as a small patch.

    Nothing is lost by it: standard output is flushed where it is printed to, and standard error at each line's end.
    Nor are cycles looked for on the way: a million verdicts hold none.
    """
    from stubgen.common.files import lease_mapped

    gc.disable()
    lease_mapped()
    os._exit(main())


class _Form(Row):
    """How an answer is printed."""

    as_json: bool = False
    mangled: bool = False  # names stay as the files have them


def _deliver(command: str, outcome: Outcome, form: _Form) -> int:
    """Print *outcome*, and put its files in their places where that could be done; the exit status."""
    if outcome.outputs is None:
        return _print(command, outcome, form)
    from stubgen.common.cancellation import tidy_at_signals

    try:
        with tidy_at_signals(), outcome.outputs:
            status = _print(command, outcome, form)
            if status == outcome.status:
                outcome.outputs.commit()
    except StubgenError as error:
        _complain(f"error: {error}", form)
        return error.exit_status
    finally:
        outcome.outputs.discard()
    return status


def _print(command: str, outcome: Outcome, form: _Form) -> int:
    """Print *outcome*: data to standard output, and then words about it to standard error, which may be gone."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal's encoding lacks
    if outcome.exact and not form.as_json and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")  # as arguments came in
    text = ""
    if form.as_json:
        import json

        document = {"schema": SCHEMA, "command": command, "status": outcome.status, **outcome.document}
        text = json.dumps(document, indent=None if _is_long(document) else 2) + "\n"
    elif outcome.text:
        text = _exactly(outcome.text) if outcome.exact else _laid_out(outcome.text, screen_of(sys.stdout), form)
        text = text if text.endswith("\n") else text + "\n"
    status = _put(text, outcome.status)
    _complain(outcome.complaint, form)
    return status


LONG = 10_000
"""Entries of a list from which a document is one line: what indents is Python code, and takes four times as long."""


def _is_long(document: Mapping[str, object]) -> bool:
    return any(isinstance(value, list) and len(value) > LONG for value in document.values())


def _exactly(text: str | Sheet) -> str:
    """*text* for another program; what a terminal would obey is shown there all the same."""
    assert isinstance(text, str)  # noqa: S101  # no command lays out what another program reads
    return harmless(text) if screen_of(sys.stdout).width is not None else text


def _laid_out(text: str | Sheet, screen: Screen, form: _Form) -> str:
    """*text* for people."""
    from stubgen.terminal.sheet import render

    return render(text, screen, mangled=form.mangled)


def _put(text: str, status: int) -> int:
    """Print *text* and what is still buffered; *status*, or another one where that is impossible."""
    try:
        if text:
            sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough
        _give_up_standard_output()
    except (OSError, AttributeError) as error:  # a full disk; no standard output at all, which Python makes None
        _give_up_standard_output()
        if not text and sys.stdout is None:  # nothing was to be printed
            return status
        why = error.strerror if isinstance(error, OSError) else "it is closed"
        _complain(f"error: standard output cannot be written: {why}")
        return OutputFailure.exit_status
    return status


def _complain(text: str, form: _Form = _Form()) -> None:  # noqa: B008  # a row cannot be changed
    """Tell people, where they listen."""
    lines = "\n".join([f"{PROGRAM}: {line}" for line in harmless(text).splitlines()])
    try:
        if lines:
            sys.stderr.write(f"{_laid_out(lines, screen_of(sys.stderr), form)}\n")
    except (OSError, ValueError, AttributeError):  # full, closed, or None
        pass


def _give_up_standard_output() -> None:
    """Let what is still buffered go nowhere: Python would try again at its end, and print a traceback."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


ENVIRONMENT = {
    "STUBGEN_CACHE_DIR": "the folder of the cache instead of the user's; empty: none",
    "STUBGEN_CAPTURE_DIR": "hotpatch-stubgen-linker: the folder for the records",
    "STUBGEN_REAL_LINKER": "hotpatch-stubgen-linker: what it stands in front of, with arguments if need be",
    "STUBGEN_EXPORT_ANCHOR": "hotpatch-stubgen-linker: a symbol that programs shall export, for the runtime",
    "COLUMNS": "how wide a terminal is, for help and answers",
    "NO_COLOR, CLICOLOR, CLICOLOR_FORCE": "colours: never, by 0 not on terminals, always",
}
"""Variable -> what it does, for ``--help``."""


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """What *arguments* say.

    Raises:
        UsageError: they are wrong.
        SystemExit: they ask for help, or the version, which is printed.
    """
    command = arguments[0] if arguments else ""
    if command in COMMANDS:
        plain: Any = PlainParser()
        _configure(plain, command)
        namespace = plain.parse(arguments[1:])
        if namespace is not None:
            namespace.command = command
            return namespace  # type: ignore[no-any-return]  # commands ask for its attributes alone
    return _parser(arguments).parse_args(arguments)


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """The parser, with the options of the named command only."""
    named = next((word for word in arguments if not word.startswith("-")), None)
    if named is not None and named not in COMMANDS:
        from stubgen.parsing import did_you_mean

        raise UsageError(f"there is no command {named}{did_you_mean(named, COMMANDS)} (try '{PROGRAM} --help')")
    return _parser_of(COMMANDS, ()) if named is None else _parser_of({named: COMMANDS[named]}, (named,))


def full_parser() -> argparse.ArgumentParser:
    """The parser with every option of every command, for completions and documentation."""
    return _parser_of(COMMANDS, COMMANDS)


def _parser_of(offered: Mapping[str, str], configured: Collection[str]) -> argparse.ArgumentParser:
    """A parser of the commands *offered*; those that are *configured* have their options."""
    from stubgen.parsing import Parser, described

    parser = Parser(
        prog=PROGRAM,
        description="Makes a hot patch's calls land: ARM64 trampoline objects and link plans.",
        epilog=described(ENVIRONMENT),
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, prog=PROGRAM)
    for name, summary in offered.items():
        sub = commands.add_parser(name, help=summary, description=summary)
        if name in configured:
            _configure(sub, name)
    return parser


def _configure(parser: argparse.ArgumentParser, name: str) -> None:
    """Declare the options of the command called *name*, and those that all have."""
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    if name not in UNWATCHED:
        how_much = parser.add_mutually_exclusive_group()
        how_much.add_argument("--quiet", action="store_true", help="print nothing, unless something is wrong")
        how_much.add_argument("--verbose", action="store_true", help="say how long each phase took")
    if name not in _WITHOUT_NAMES:
        parser.add_argument("--mangled", action="store_true", help="print symbols as the files have them")
    _module_of(name).configure_parser(parser)
