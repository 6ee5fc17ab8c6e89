"""Reads the map files that linkers write: which file each range of addresses of the linked image comes from.

They are made for people, so nothing is taken from them but lines that have an address, a size and an input; of what
they say in words nothing matters, since GNU ld says it in the user's language.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from stubgen.common.row import Row
from stubgen.common.text import text_lines


class Piece(Row):
    """A run of bytes that a linker took from one input."""

    section: str  # the output section; empty where the map does not say
    address: int  # virtual address
    size: int  # bytes
    file: str  # as the linker was given it; an archive without its member
    member: str


SYNTHESIZED = frozenset({"<internal>", "linker stubs", "linker synthesized", "linker-generated", "** fill"})
"""What linkers call themselves where the name of an input would stand."""

_GNU_PLACE = re.compile(r"[ \t]0x(?P<address>[0-9a-f]+)[ \t]+0x(?P<size>[0-9a-f]+)(?:[ \t]+(?P<input>\S.*))?$")
_LLD = r"^ *(?P<address>[0-9a-f]+) +[0-9a-f]+ +(?P<size>[0-9a-f]+) +\d+ (?P<indent> *)(?P<rest>\S.*)$"
_MOLD = r"^ *0x(?P<address>[0-9a-f]+) +(?P<size>\d+) +\d+ (?P<indent> *)(?P<rest>\S.*)$"
_LD64_FILE = r"^\[ *(?P<number>\d+)\] (?P<path>.*)$"
_LD64_SYMBOL = r"^0x(?P<address>[0-9A-Fa-f]+)\s+0x(?P<size>[0-9A-Fa-f]+)\s+\[ *(?P<number>\d+)\] "
_MEMBER = r"(?P<file>.+?)(?:\[\d+\])?\((?P<member>[^()]*)\)"  # Apple's ld counts members: liba.a[2](a.o)


def read_link_map(text: str, allocated: Collection[str]) -> list[Piece]:
    """The pieces that a map file names, by address; empty for a file of no known form.

    Args:
        text: the map file.
        allocated: the sections that are in memory when the image is loaded; others have addresses of their own.
    """
    heading = text.partition("\n")[0].split()[:3]
    if text.startswith("# Path:"):
        pieces = _read_ld64(text)
    elif heading == ["VMA", "LMA", "Size"]:
        pieces = _read_columns(text, _LLD, 16, allocated)
    elif heading == ["VMA", "Size", "Align"]:
        pieces = _read_columns(text, _MOLD, 10, allocated)
    else:
        pieces = _read_gnu(text, allocated)
    return sorted(pieces)


def _read_gnu(text: str, allocated: Collection[str]) -> Iterator[Piece]:
    """GNU ld and gold: an output section begins its line, the inputs in it are indented by one.

    A long name stands on a line of its own, before the one that says where it is.
    """
    section, before = "", ""
    for line in text.split("\n"):
        place = _GNU_PLACE.search(line) if "0x" in line else None
        if place is None:
            before = line
            continue
        own = line[: place.start()]
        name, before = own if own.strip() else before, ""
        indented = name.startswith(" ")
        name = name[indented:].rstrip(" \t")
        if not name or name[0].isspace() or name[0] == "(":
            continue
        if not indented:
            section = name
        elif section in allocated and place["input"] and name != "*fill*":
            yield _piece(section, int(place["address"], 16), int(place["size"], 16), place["input"])


def _read_columns(text: str, pattern: str, base: int, allocated: Collection[str]) -> Iterator[Piece]:
    """Lld and mold: output section, input and symbol are indented by 0, 8 and 16."""
    section, row = "", re.compile(pattern)
    for line in text_lines(text):
        match = row.match(line)
        if match is None:
            continue
        if not match["indent"]:
            section = match["rest"]
        elif section in allocated and len(match["indent"]) == 8 and match["rest"].endswith(")"):
            file, mark, _ = match["rest"].rpartition(":(")
            if mark:
                yield _piece(section, int(match["address"], 16), int(match["size"], base), file)


def _read_ld64(text: str) -> Iterator[Piece]:
    """Apple's ld and ld64.lld: files by number, then symbols."""
    files: dict[str, str] = {}
    file_row, symbol_row = re.compile(_LD64_FILE), re.compile(_LD64_SYMBOL)
    for line in text_lines(text):
        if line.startswith("# Dead Stripped"):
            return
        file = file_row.match(line)
        symbol = symbol_row.match(line)
        if file is not None:
            files[file["number"]] = file["path"]
        elif symbol is not None and symbol["number"] in files:
            yield _piece("", int(symbol["address"], 16), int(symbol["size"], 16), files[symbol["number"]])


def _piece(section: str, address: int, size: int, name: str) -> Piece:
    member = re.fullmatch(_MEMBER, name) if name.endswith(")") else None
    if member is None:
        return Piece(section, address, size, name, "")
    return Piece(section, address, size, member["file"], member["member"])
