"""The source file that an object's debug information names: DWARF's first entry, and nothing more of it.

Mach-O objects say nowhere else what they were compiled from. Where anything is not as expected, nothing is known.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable

from stubgen.common.strings import string_at
from stubgen.common.view import uleb128
from stubgen.errors import MalformedInput

_COMPILE_UNIT = 0x11  # DWARF 5, 7.5.3, DW_TAG_compile_unit
_NAME, _FOLDER, _OFFSETS = 0x03, 0x1B, 0x72  # 7.5.4, DW_AT_name, DW_AT_comp_dir, DW_AT_str_offsets_base
_UNIT = 0x01  # 7.5.1, DW_UT_compile

_FIXED = {0x01: 8, 0x05: 2, 0x06: 4, 0x07: 8, 0x0B: 1, 0x0C: 1, 0x10: 4, 0x11: 1, 0x12: 2, 0x13: 4, 0x14: 8} | {
    0x0E: 4,
    0x17: 4,
    0x19: 0,
    0x1E: 16,
    0x1F: 4,
    0x20: 8,
    0x21: 0,
    0x25: 1,
    0x26: 2,
    0x27: 3,
    0x28: 4,
    0x29: 1,
    0x2A: 2,
    0x2B: 3,
    0x2C: 4,
}
"""7.5.6: DW_FORM_* -> bytes of the value, in 32-bit DWARF with 8-byte addresses."""
_NUMBERS = frozenset({0x0D, 0x0F, 0x15, 0x1A, 0x1B, 0x22, 0x23})
"""Forms whose value is one LEB128 number."""
_BLOCKS = {0x03: 2, 0x04: 4, 0x0A: 1}
"""Forms whose value is as many bytes as a number of so many bytes in front of it says."""
_STRING, _BLOCK, _EXPRESSION = 0x08, 0x09, 0x18
_STRP, _STRX, _LINE_STRP, _IMPLICIT = 0x0E, 0x1A, 0x1F, 0x21
_INDEXED = frozenset({_STRX, 0x25, 0x26, 0x27, 0x28})

Sections = Callable[[str], bytes]
"""The bytes of the section that DWARF calls so, without ``.`` or ``__``; empty if there is none."""


def source_file(sections: Sections) -> bytes:
    """Path of the one source file that an object was compiled from; empty where its DWARF does not say."""
    try:
        return _source_file(sections)
    except (MalformedInput, IndexError, ValueError, _Unknown):
        return b""


class _Unknown(Exception):
    """Something that this reader does not know; what it is about stays unknown."""


def _source_file(sections: Sections) -> bytes:
    info = sections("debug_info")
    length, version = int.from_bytes(info[:4], "little"), int.from_bytes(info[4:6], "little")
    if length + 4 != len(info) or not 2 <= version <= 5:  # several units, or 64-bit DWARF
        return b""
    if version == 5:
        if info[6] != _UNIT:
            return b""
        position, abbreviations = 12, int.from_bytes(info[8:12], "little")
    else:
        position, abbreviations = 11, int.from_bytes(info[6:10], "little")
    code, position = uleb128(info, position, "debug_info")
    values: dict[int, tuple[int, bytes]] = {}
    for attribute, form in _attributes(sections("debug_abbrev"), abbreviations, code):
        raw, position = _value(info, position, form)
        values[attribute] = form, raw
    base = int.from_bytes(values.get(_OFFSETS, (0, b"\x08"))[1], "little")
    name, folder = (_text(sections, *values.get(attribute, (_STRING, b"")), base) for attribute in (_NAME, _FOLDER))
    return full_path(folder, name) if name else b""


def full_path(folder: bytes, name: bytes) -> bytes:
    """*name*, seen from *folder* if it is relative."""
    return posixpath.normpath(posixpath.join(folder, name))


def _attributes(raw: bytes, position: int, wanted: int) -> list[tuple[int, int]]:
    """Attribute and form of each of the values that an entry of abbreviation *wanted* has."""
    where = "debug_abbrev"
    while True:
        code, position = uleb128(raw, position, where)
        tag, position = uleb128(raw, position, where)
        position += 1  # whether it has children
        pairs = []
        while True:
            attribute, position = uleb128(raw, position, where)
            form, position = uleb128(raw, position, where)
            if form == _IMPLICIT:
                _, position = uleb128(raw, position, where)
            if not attribute and not form:
                break
            pairs.append((attribute, form))
        if code == wanted:
            if tag != _COMPILE_UNIT:
                raise _Unknown
            return pairs


def _value(raw: bytes, position: int, form: int) -> tuple[bytes, int]:
    """The bytes of a value, and where the next one starts; of a number its LEB128 is decoded."""
    if form in _NUMBERS:
        number, end = uleb128(raw, position, "debug_info")
        return number.to_bytes(8, "little"), end
    if form == _STRING:
        end = raw.index(b"\0", position) + 1
        return raw[position:end], end
    if form in (_BLOCK, _EXPRESSION):
        size, position = uleb128(raw, position, "debug_info")
    elif form in _BLOCKS:
        width = _BLOCKS[form]
        size, position = int.from_bytes(raw[position : position + width], "little"), position + width
    elif form in _FIXED:
        size = _FIXED[form]
    else:
        raise _Unknown
    if position + size > len(raw):
        raise _Unknown
    return raw[position : position + size], position + size


def _text(sections: Sections, form: int, raw: bytes, base: int) -> bytes:
    """What a string attribute says."""
    if form == _STRING:
        return raw.rstrip(b"\0")
    number = int.from_bytes(raw, "little")
    if form == _LINE_STRP:
        return string_at(sections("debug_line_str"), number)
    if form in _INDEXED:
        at = base + 4 * number
        number = int.from_bytes(sections("debug_str_offs")[at : at + 4], "little")
    elif form != _STRP:
        raise _Unknown
    return string_at(sections("debug_str"), number)
