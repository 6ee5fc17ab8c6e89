"""What has the link of a host export its anchor, so that a runtime finds it by name in the process."""

from __future__ import annotations

import re
from collections.abc import Iterator

from stubgen.common.row import Row
from stubgen.errors import UsageError
from stubgen.linkplan.additions import through_driver
from stubgen.linkplan.options import Role
from stubgen.linkplan.request import CapturedCommand
from stubgen.linkplan.tokens import Item, tokenize
from stubgen.linkplan.toolchain import CommandLine, Dialect, Family, read_command


class Exporting(Row):
    """What a link needs in order to export the anchor."""

    words: tuple[str, ...]  # to append to its command
    reason: str = ""  # why there are none


NO_PROGRAM = {
    Role.SHARED: "the link makes a shared library, which exports it where it is visible",
    Role.RELOCATABLE: "the link makes an object",
    Role.COMPILE: "the command links nothing",
    Role.NO_LINK: "the command links nothing",
    Role.STATIC: "the link makes a static program, which loads no patch",
}
"""Role of an option -> why its link gets no anchor."""
BUNDLE = "the link makes a bundle, which exports it where it is visible"
ALL_EXPORTED = "the program exports all that is visible"
ALREADY = "the command exports it already"
HIDDEN = "the command keeps symbols from being exported by name (-unexported_symbol), which linkers do not combine"
UNKNOWN_FAMILY = "nothing is known of its linker's exports"

EXPORTING_ALL = frozenset({"--export-dynamic", "-E", "-rdynamic", "-export_dynamic"})
EXPORT_LISTS = frozenset({"-exported_symbol", "-exported_symbols_list"})
"""ld64: with one of these a program exports what they name, and without all that is visible."""


def export_anchor(captured: CapturedCommand, anchor: str) -> Exporting:
    """What makes the program that *captured* links export *anchor*, a name as C has it.

    Raises:
        UsageError: *anchor* is no symbol's name, or the command names no linker.
        PlanRefusal: hot-patching cannot work for what the command links.
        InputError: a response file cannot be read.
    """
    if not re.fullmatch(r"[\w$.]+", anchor, re.ASCII):
        raise UsageError(f"the anchor to export is {anchor!r}; give one symbol's name, such as main")
    line = read_command(captured)
    toolchain = line.toolchain
    if toolchain.family not in (Family.GNU, Family.LD64):
        return Exporting((), UNKNOWN_FAMILY)
    items = _items(line)
    roles = [item.option.role for item in items if item.option]
    reason = next((NO_PROGRAM[role] for role in roles if role in NO_PROGRAM), "")
    if not reason:
        reason = _apple_reason(items, anchor) if toolchain.family is Family.LD64 else _gnu_reason(items, anchor)
    if reason:
        return Exporting((), reason)
    if toolchain.family is Family.LD64:
        words = ["-exported_symbol", _apple_name(anchor)]
    elif toolchain.dialect is Dialect.ZIG and toolchain.driver:
        return Exporting(("-rdynamic",))  # its driver has no option for one symbol
    else:
        words = [f"--export-dynamic-symbol={anchor}"]
    return Exporting(tuple(through_driver(words, toolchain.dialect) if toolchain.driver else words))


def _items(line: CommandLine) -> list[Item]:
    toolchain = line.toolchain
    driver = toolchain.driver_grammar() if toolchain.driver else None
    return tokenize(line.arguments, driver, toolchain.linker_grammar()).items


def _apple_name(anchor: str) -> str:
    return anchor if anchor.startswith("_") else f"_{anchor}"


def _options(items: list[Item]) -> Iterator[tuple[str, list[str]]]:
    for item in items:
        if item.option is not None:
            yield item.option.name, item.values


def _apple_reason(items: list[Item], anchor: str) -> str:
    """ld64: a program exports every visible symbol, unless a list says which."""
    exported = [values for name, values in _options(items) if name == "-exported_symbol"]
    names = {name for name, _ in _options(items)}
    if "-bundle" in names:
        return BUNDLE
    if [_apple_name(anchor)] in exported:
        return ALREADY
    if any(item.option and item.option.role is Role.NO_EXPORT for item in items) or "-unexported_symbols_list" in names:
        return HIDDEN
    return "" if names & EXPORT_LISTS else ALL_EXPORTED


def _gnu_reason(items: list[Item], anchor: str) -> str:
    """GNU-style linkers: a program exports nothing unless it is asked to."""
    if any(name == "--export-dynamic-symbol" and values == [anchor] for name, values in _options(items)):
        return ALREADY
    return ALL_EXPORTED if EXPORTING_ALL & {name for name, _ in _options(items)} else ""
