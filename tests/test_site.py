"""The documentation: its examples run, what it quotes is said, it names all there is, and Sphinx builds it."""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from tools import need_module
from walkthrough import blocks, reader

import stubgen
from stubgen import cli, errors
from stubgen.commands import COMMANDS

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
RUN = [page for page in PAGES if any(block.info in ("console", "python") for block in blocks(page.read_text()))]
CONTINUES = re.compile(r"^% continues (\S+)$", re.MULTILINE)


def title(page: Path) -> str:
    """The page's path, as a test's name."""
    return page.relative_to(DOCS).as_posix()


@pytest.mark.parametrize("page", RUN, ids=title)
def test_examples_run_and_print_what_the_page_says(page: Path, tmp_path: Path) -> None:
    """A reader who types what a page says and sees something else stops reading."""
    at_work = reader(tmp_path)
    before = CONTINUES.search(page.read_text())
    if before:
        at_work.follow(page.parent / before[1])
    assert at_work.follow(page)


@cache
def sentences() -> tuple[str, ...]:
    """Every text in stubgen's code, with an ellipsis for what is put in."""
    nodes = (node for path in (ROOT / "stubgen").rglob("*.py") for node in ast.walk(ast.parse(path.read_text())))
    return tuple(text for text in map(_text, nodes) if text)


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) or "…" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def quoted(page: str) -> Iterator[str]:
    """The tool's words in the tables of *page* whose head says that they are there."""
    for table in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
        head, _, *rows = table.splitlines()
        titles = [cell.strip() for cell in head.strip("|").split("|")]
        for column in [number for number, name in enumerate(titles) if name in ("words", "finding", "the note says")]:
            for row in rows:
                yield from re.findall(r"`([^`]+)`(?! \()", row.strip("|").split(" | ")[column])


def test_troubleshooting_quotes_what_the_tool_says() -> None:
    """People search for the words that they see; a sentence that was reworded is not found."""
    page = (DOCS / "troubleshooting.md").read_text()
    words = list(quoted(page))
    assert len(words) > 60
    for phrase in words:
        pattern = re.compile(".*".join(map(re.escape, phrase.split("…"))), re.DOTALL)
        assert any(pattern.search(text) for text in sentences()), phrase


def test_every_public_name_has_its_place() -> None:
    """A name of the library without a page is found by nobody who does not read the code."""
    pages = [(DOCS / "reference" / name).read_text() for name in ("python.md", "errors.md")]
    shown = set(re.findall(r"^\.\. auto\w+:: (\w+)$", "\n".join(pages), re.MULTILINE))
    assert shown == set(stubgen.__all__) - {"__version__"}


def test_every_public_name_says_what_it_is() -> None:
    """``help(stubgen)`` and the reference are made of docstrings."""
    for name in set(stubgen.__all__) - {"__version__"}:
        said = getattr(stubgen, name).__doc__ or ""
        assert said.strip(), name
        assert not said.startswith(f"{name}("), name  # what NamedTuple and dataclasses write by themselves


def test_every_error_and_exit_status_is_told() -> None:
    """Scripts go by the exit status; an error without a row is caught by accident."""
    page = (DOCS / "reference/errors.md").read_text()
    classes = [found for _, found in inspect.getmembers(errors, inspect.isclass) if found.__module__ == errors.__name__]
    assert {found.__name__ for found in classes} <= set(stubgen.__all__)
    for found in classes:
        assert f".. autoexception:: {found.__name__}\n" in page
        assert f"| {found.exit_status} |" in page


def test_every_environment_variable_is_told() -> None:
    """A variable that is read and told nowhere changes what a command does for no reason that anybody sees."""
    page = (DOCS / "reference/environment.md").read_text()
    code = "\n".join(path.read_text() for path in (ROOT / "stubgen").rglob("*.py"))
    read = set(re.findall(r"environ(?:\.get\(|\[)\"(\w+)\"", code)) - {"PYTHONPATH"}  # for a child of ours
    read |= {name for text in sentences() for name in re.findall(r"\A(STUBGEN_\w+|LIBCAP\w+_PATH)\Z", text)}
    assert len(read) > 10
    assert not [name for name in read if f"`{name}`" not in page]


def options_of(command: str) -> list[str]:
    """Every option of *command*, and the names of its operands."""
    (commands,) = (a for a in cli._parser([command])._actions if isinstance(a, argparse._SubParsersAction))
    actions = commands.choices[command]._actions
    assert all(action.help for action in actions), [action.dest for action in actions if not action.help]
    return [option for action in actions for option in action.option_strings]


def test_the_site_builds(tmp_path: Path) -> None:
    """A reference that leads nowhere, a page in no table of contents or a docstring that Sphinx cannot read."""
    need_module("sphinx", "hotpatch-stubgen[docs]")
    need_module("furo", "hotpatch-stubgen[docs]")
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet", str(DOCS), str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "index.html").exists()
    assert (tmp_path / "schemas/link.schema.json").exists()
    commands = (tmp_path / "reference/commands.html").read_text()
    for command in COMMANDS:
        missing = [
            option for option in options_of(command) if f'id="hotpatch-stubgen-{command}-{option}"' not in commands
        ]
        assert not missing, f"{command}: {missing}"
