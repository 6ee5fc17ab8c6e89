"""What shells complete, asked of real shells."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tools import need, need_module, run

from stubgen.cli import full_parser, main
from stubgen.commands import COMMANDS
from stubgen.completion import FILES, FOLDERS, SHELLS

ASK = """
source {script}
COMP_WORDS=({words})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
$(complete -p hotpatch-stubgen | sed 's/.*-F \\([^ ]*\\).*/\\1/')
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The script for bash, in a folder with an object."""
    need_module("shtab", "shtab")
    assert main(["completion", "bash"]) == 0
    path = tmp_path / "completion.bash"
    path.write_text(capsys.readouterr().out)
    (tmp_path / "checkout.o").touch()
    return path


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("hotpatch-stubgen insp", {"inspect"}),
        ("hotpatch-stubgen link --keep-", {"--keep-state", "--keep-temps"}),
        ("hotpatch-stubgen build --data ''", {"auto", "absolute", "none"}),
        ("hotpatch-stubgen link --host ch", {"checkout.o"}),
    ],
)
def test_bash_completes(script: Path, words: str, offered: set[str]) -> None:
    """Commands, options, values and files; a script that bash cannot read completes nothing without a word."""
    ask = ASK.format(script=script, words=words)
    done = subprocess.run(["bash", "-c", ask], check=True, capture_output=True, text=True, cwd=script.parent)
    assert set(done.stdout.split()) >= offered


def test_the_man_page(tmp_path: Path) -> None:
    """Man shows a page with a broken macro as if a part of it had never been written."""
    need_module("argparse_manpage", "argparse-manpage")
    page = tmp_path / "page.1"
    command = [sys.executable, "-c", "from argparse_manpage.cli import main; main()", "--module", "stubgen.cli"]
    command += ["--function", "full_parser", "--prog", "hotpatch-stubgen", "--manual-section", "1", "--output", page]
    run(command, cwd=Path(__file__).parent.parent)
    text = page.read_text()
    assert not [name for name in COMMANDS if name not in text]
    assert not run([need("mandoc"), "-T", "lint", "-W", "error", page])


@pytest.mark.parametrize("shell", SHELLS)
def test_shells_can_read_it(shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each script is sound for its shell."""
    need_module("shtab", "shtab")
    need(shell)
    assert main(["completion", shell]) == 0
    path = tmp_path / "script"
    path.write_text(capsys.readouterr().out)
    assert not subprocess.run([shell, "-n", path], check=True, capture_output=True, text=True).stderr


def test_what_takes_a_file_is_told() -> None:
    """A new option with a metavariable of its own would complete nothing."""
    others = {"ACTION", "ADDR", "ARG", "COMMAND", "GLOB", "HEX", "KIND", "N", "NAME", "POLICY", "SYM", "SYMBOL"}
    (commands,) = (action for action in full_parser()._actions if action.dest == "command")
    assert set(commands.choices or ()) == set(COMMANDS)
    found = {a.metavar for sub in commands.choices.values() for a in sub._actions if isinstance(a.metavar, str)}  # type: ignore[union-attr, attr-defined]
    assert found - others == FILES | FOLDERS
