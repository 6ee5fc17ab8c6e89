"""``completion``: what a shell completes, made from the parsers by shtab."""

from __future__ import annotations

from stubgen.commands import Outcome
from stubgen.errors import BrokenLibrary

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

SHELLS = ("bash", "zsh", "fish")

FILES = frozenset(["FILE", "HOST", "MAP@BASE", "OBJ", "OUT", "PATCH", "PATCH@ADDR", "PATH", "PROGRAM", "SOURCE"])
"""Metavariables of options and operands that take files."""

FOLDERS = frozenset({"DIR"})


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``completion``."""
    parser.epilog = (
        "bash: hotpatch-stubgen completion bash > ~/.local/share/bash-completion/completions/hotpatch-stubgen"
    )
    parser.add_argument("shell", choices=SHELLS, help="the shell that shall read it")


def execute(arguments: argparse.Namespace) -> Outcome:
    """Print the script.

    Raises:
        BrokenLibrary: shtab is not installed.
    """
    try:
        import shtab
    except ImportError as error:
        raise BrokenLibrary(
            "shtab makes completions, and is not installed: pip install 'hotpatch-stubgen[completion]'"
        ) from error
    from stubgen.cli import full_parser

    parser = full_parser()
    _say_what_is_a_file(parser, shtab)
    script = shtab.complete(parser, arguments.shell)
    return Outcome({"shell": arguments.shell, "script": script}, script, exact=True)


def _say_what_is_a_file(parser: argparse.ArgumentParser, shtab: object) -> None:
    """Tell shtab, by an attribute of each action, which take files."""
    import argparse

    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                _say_what_is_a_file(each, shtab)
        elif action.metavar in FILES or action.metavar in FOLDERS:
            wanted = "FILE" if action.metavar in FILES else "DIRECTORY"
            action.complete = getattr(shtab, wanted)  # type: ignore[attr-defined]  # shtab's own way
