"""What is read without argparse is what argparse reads, and whatever is odd is argparse's to answer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stubgen import cli
from stubgen.commands import COMMANDS
from stubgen.errors import UsageError
from stubgen.plain_parsing import PlainParser

ROOT = Path(__file__).parents[1]

WELL_FORMED = [
    "build --host h --slide 0x10 -o s.o a.o b.o",
    "build --host=h --aslr-reference 16 a.o -o s.o b.o --json --library l.so --library=m.so c.o",
    "build --host h --slide 1 --no-cache --data none --bti off --keep-state --bound-dir d -o s.o a.o --quiet",
    "link --host h --captured c --aslr-reference 0x5500000000 --export f -o p.so a.o",
    "patch --host h --captured c --aslr-reference 0x5500000000 --changed a.c -o p.so",
    "plan --object a.o b.o --object c.o --export f -o p.so --host h --explain -- cc -o x b.o -- -c --json",
    "plan --captured d --output-name n --object a.o -o p.so --shell --verbose",
    "check p.so --host h --aslr-reference 4096",
    "inspect p.so",
    "inspect p.so q.so --json --symbol f*",
    "verify stub.o --json",
    "capture --dir d -- cc main.o -o main",
    "captures d --json",
    "cache",
    "serve",
]
"""What people and build tools type."""


def plainly(line: list[str]) -> dict[str, object] | None:
    """What the plain parser makes of *line*."""
    parser = PlainParser()
    cli._configure(parser, line[0])  # type: ignore[arg-type]
    found = parser.parse(line[1:])
    return None if found is None else {**vars(found), "command": line[0]}


def by_argparse(line: list[str]) -> dict[str, object] | None:
    """What argparse makes of it; None for a mistake, or help."""
    try:
        return vars(cli._parser(line).parse_args(line))
    except (UsageError, SystemExit):
        return None


@pytest.mark.parametrize("line", WELL_FORMED)
def test_what_people_type_needs_no_argparse(line: str) -> None:
    """The import of argparse was paid at every save."""
    words = line.split(" ")
    assert by_argparse(words) is not None
    assert plainly(words) == by_argparse(words)


def words_of(command: str) -> st.SearchStrategy[list[str]]:
    """Command lines for *command*, most of them with something wrong."""
    (commands,) = (action for action in cli._parser([command])._actions if action.dest == "command")
    assert commands.choices is not None
    options = [name for action in commands.choices[command]._actions for name in action.option_strings]  # type: ignore[call-overload]
    odd = ["--", "-", "", "@", "-1", "-x", "--jso", "a b", "--no such", "-of", "-o=f", "é", "--host=", "--json=1"]
    value = st.sampled_from(["a.o", "b.o", "0x1000", "4096", "auto", "on", "none", "name", "show", "macos", *odd])
    named = st.sampled_from(options)
    required = ["--host", "h", "-o", "out", "--dir", "d", "--slide", "4096", "--object", "x.o", "--captured", "c"]
    some = st.lists(st.sampled_from([required[at : at + 2] for at in range(0, len(required), 2)]), max_size=5)
    pair = st.tuples(named, value).map(list) | st.builds("{}={}".format, named, value).map(lambda word: [word])
    others = st.lists(pair | named.map(lambda word: [word]) | value.map(lambda word: [word]), max_size=6)
    return st.tuples(some, others).map(lambda parts: [command, *(word for part in parts for p in part for word in p)])


@pytest.mark.parametrize("command", COMMANDS)
def test_it_reads_what_argparse_reads_or_nothing(command: str) -> None:
    """A patch linked with an option that was dropped, or read otherwise, is another patch."""

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(words_of(command))
    def agree(line: list[str]) -> None:
        found = plainly(line)
        assert found is None or found == by_argparse(line)

    agree()


def test_a_command_line_without_a_mistake_loads_no_argparse() -> None:
    """With it come gettext and locale, which nothing else here needs, in each command of each save."""
    program = (
        "import sys; from stubgen.cli import main; main(['captures', 'nowhere']);"
        "sys.exit(len({'argparse', 'gettext', 'locale'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", program],
        check=False,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
