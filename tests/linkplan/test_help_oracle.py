"""The option tables against the programs' own lists of options: each is in a table, and each role says its fate.

An option that no table names stays, whatever it does: to the host's symbols, to its files, to how it is loaded. So a
linker's new option must be looked at, and gets its row, before this test is content.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from functools import cache

import pytest
from tools import need

from stubgen.linkplan import decisions, driver_options, gnu_options, ld64_options, refusals
from stubgen.linkplan.options import Grammar, Role

GNU, LD64, DRIVER = gnu_options.grammar(), ld64_options.grammar(), driver_options.grammar()

LINKERS = {  # not the GNU ld for x86-64, which lists what it takes for Windows as well
    "aarch64-linux-gnu-ld": GNU,
    "aarch64-linux-gnu-ld.gold": GNU,
    "ld.lld-19": GNU,
    "mold": GNU,
    "ld64.lld-19": LD64,
}

KEPT_ROLES = {
    Role.PLAIN,
    Role.TARGET,
    Role.SEARCH,
    Role.FINAL,
    Role.FORWARD_LIST,
    Role.FORWARD_NEXT,
    Role.OUTPUT_FORMAT,
    Role.COMPILE,
    Role.NO_LINK,
}
"""Roles that no rule drops: what is to be the patch's as it was the host's, or is refused."""


@cache
def shown(tool: str, option: str = "--help") -> str:
    """What *tool* says of its options."""
    done = subprocess.run([str(need(tool)), option], check=False, capture_output=True, text=True, errors="replace")
    return done.stdout + done.stderr


def listed(text: str) -> Iterator[str]:
    """The options of a list, each in every spelling that it shows."""
    for line in text.splitlines():
        found = re.match(r"\s{1,4}(-.*)", line)
        if found is None:
            continue
        for spelling in re.split(r",\s*(?=-)", re.split(r"\s{2,}|\t", found[1])[0]):
            name = re.match(r"-[^\s=<,]*", spelling)
            assert name is not None
            word = name[0].removesuffix("[")
            if word == "--[no-]fix-cortex-a8" or word.startswith("--[no-]"):
                yield from (f"--{word[7:]}", f"--no-{word[7:]}")
            elif word not in ("-", "-(", "-)"):
                yield word


@pytest.mark.parametrize("tool", LINKERS)
def test_every_option_of_a_linker_is_in_the_table(tool: str) -> None:
    """A linker's option that nobody looked at may name the host's symbols, or write the host's files."""
    known = {option.name.lstrip("-") for option in LINKERS[tool].options()}
    names = list(listed(shown(tool)))
    unknown = sorted({name for name in names if name.lstrip("-") not in known and LINKERS[tool].match(name)[0] is None})
    assert unknown == []
    assert len(names) > 100


@pytest.mark.parametrize("tool", ["aarch64-linux-gnu-ld", "x86_64-linux-gnu-ld", "aarch64-linux-gnu-ld.gold", "mold"])
def test_every_keyword_of_z_is_known(tool: str) -> None:
    """An operand of -z may ask the loader for anything: an executable stack, to be loaded first, never to go."""
    words = {word for word in re.findall(r"^\s+-z ([\w-]+)", shown(tool), re.MULTILINE) if word[-1] != "-"}
    assert len(words) > 20
    assert words - gnu_options.KEYWORDS.keys() - gnu_options.KEPT_KEYWORDS == set()


def test_every_role_has_a_fate() -> None:
    """An option of a role that nothing decides would stay by mistake."""
    decided = decisions.DROPPED.keys() | decisions.DECISIONS.keys() | refusals.RULES.keys() | {Role.START_UP}
    assert set(Role) - decided == KEPT_ROLES - refusals.RULES.keys()
    assert all(decisions.DROPPED.values())


def test_every_option_of_a_driver_with_an_operand_is_in_the_table() -> None:
    """An operand that the table does not know is an input that the plan drops, or worse an object that it keeps."""
    separate = re.findall(r"^\s{2}(-[\w-]+) <\w", shown("clang-19", "--help-hidden"), re.MULTILINE)
    assert len(separate) > 50
    assert sorted({name for name in separate if DRIVER.match(name)[0] is None}) == []


def test_the_list_is_read_as_it_is_printed() -> None:
    """If the list were not understood, nothing would be missing from it."""
    text = """
  -e ADDRESS, --entry ADDRESS Set start address
  --build-id[=STYLE]          Generate build ID note
  --[no-]fix-arm1176          Disable
      not an option
"""
    assert list(listed(text)) == ["-e", "--entry", "--build-id", "--fix-arm1176", "--no-fix-arm1176"]
    assert Grammar("none", ()).match("--build-id")[0] is None
