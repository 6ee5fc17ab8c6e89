"""One file per command, each with ``configure_parser()`` and ``execute()``.

A command parses, calls the library and returns an :class:`Outcome`; only ``stubgen.cli`` prints.
"""

from __future__ import annotations

from collections.abc import Mapping

from stubgen.common.row import Row

TYPE_CHECKING = False
if TYPE_CHECKING:
    from stubgen.common.files import Outputs
    from stubgen.terminal.sheet import Sheet

SCHEMA = 1
"""Version of every ``--json`` document; a field that changes its meaning raises it."""

COMMANDS = {
    "build": "write stub.o: one trampoline for every host function that the patch refers to",
    "plan": "edit the host's captured linker command into the one that links the patch",
    "link": "build, plan, run the linker and check the patch",
    "recompile": "compile what changed again, as the build did, into objects for a patch",
    "patch": "recompile and link in one",
    "explain": "say why a symbol of the patch becomes what it becomes, and what else it could be",
    "jumptable": "write where a runtime finds the functions that a linked patch replaces",
    "reach": "say what in a host still leads to functions that a patch replaces",
    "session": "show or change what a process's session file says of its patches; lead back to an earlier one",
    "check": "say whether a linked patch would load and do what it should",
    "inspect": "list what is in a patch, a stub object, a program, a library, an object or an archive",
    "verify": "decode every stub of a stub object and check the object's structure",
    "capture": "run a linker and record its command",
    "captures": "list the recorded linker commands",
    "cache": "show, fill or clear what is kept between commands: indexes of large hosts' names, facts about libraries",
    "completion": "print what bash, zsh or fish completes",
    "serve": "run these for another program, with hosts kept open between requests",
}
"""Command name -> one line for ``--help``; the module of that name implements it, beside this file or in ``serve/``."""


class Outcome(Row):
    """What a command answers."""

    document: Mapping[str, object]
    """The ``--json`` document, without ``schema``, ``command`` and ``status``."""
    text: str | Sheet
    """The same for a person, on standard output: blocks, or paragraphs."""
    status: int = 0
    """Exit status: see ``stubgen.cli.main``."""
    complaint: str = ""
    """Sentences for standard error, one a line."""
    kind: str = ""
    """Where ``status`` is not 0: the class in ``stubgen.errors`` that the answer is an instance of."""
    exact: bool = False
    """``text`` is for another program: file names that are not UTF-8 keep their bytes."""
    outputs: Outputs | None = None
    """The files that appear once the answer is out."""
