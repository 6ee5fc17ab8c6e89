"""Hosts and patch objects of any size, made byte by byte and kept in the scratch folder between runs.

They are linked programs as a loader would take them: segments, code for every function, a full symbol table in
which a twentieth is not a function. Nothing of the project writes them, so that they stay the same when its writers
change.
"""

from __future__ import annotations

import random
import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from benches.names import mangled, places

SLIDE = 0x55_0000_0000
"""The slide that every measured command is given."""

_PAGE = 0x4000
_RET = bytes.fromhex("c0035fd6")
_FILE_EVERY = 64  # local functions for each file symbol (ELF)
_DATA_EVERY = 32  # functions for each datum
_MACHO_BASE = 0x1_0000_0000
_VERSION = 2  # of the files; raise it when they change, or old ones are used


@dataclass(frozen=True)
class Host:
    """A host and an object that needs some of its functions."""

    format: str
    functions: int
    needed: int
    path: Path
    patch: Path
    symbols: int  # in the host's table


def host(scratch: Path, format_name: str, functions: int, needed: int) -> Host:
    """The files for a host with *functions* functions and a patch that needs *needed* of them."""
    folder = scratch / "hosts"
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{format_name}-{functions}-v{_VERSION}"
    path, patch = folder / f"{stem}.host", folder / f"{stem}-{needed}.o"
    if not path.exists():
        _keep(path, {"elf": elf_host, "macho": macho_host}[format_name](functions))
    if not patch.exists():
        _keep(patch, patch_object(format_name, needed_names(format_name, functions, needed)))
    return Host(format_name, functions, needed, path, patch, _symbols(format_name, functions))


def needed_names(format_name: str, functions: int, needed: int) -> list[bytes]:
    """Which of the host's functions the patch needs: picked with a fixed seed, or all."""
    names = mangled(functions, underscore=format_name == "macho")
    return random.Random(needed).sample(names, needed) if needed < functions else names


def patch_object(format_name: str, names: Sequence[bytes]) -> bytes:
    """A relocatable object whose one function calls each of *names*."""
    return {"elf": elf_patch, "macho": macho_patch}[format_name](names)


def tables_size(path: Path) -> int:
    """Bytes of the symbol table and its strings in the host at *path*: what no reader of all names can do without."""
    content = path.read_bytes()
    if content.startswith(_IDENT[:4]):
        (table_at,) = struct.unpack_from("<Q", content, 40)
        size, count = struct.unpack_from("<HH", content, 58)
        sections = [_SHDR.unpack_from(content, table_at + size * number) for number in range(count)]
        symtab = next(section for section in sections if section[1] == _SYMTAB)
        return int(symtab[5] + sections[symtab[6]][5])
    commands, at = struct.unpack_from("<I", content, 16)[0], _HEADER.size
    for _ in range(commands):
        kind, size = struct.unpack_from("<II", content, at)
        if kind == _LC_SYMTAB:
            _, symbols, _, strings = struct.unpack_from("<4I", content, at + 8)
            return int(_NLIST_SIZE * symbols + strings)
        at += size
    raise ValueError(f"{path.name} has no symbol table")


def _keep(path: Path, content: bytes) -> None:
    whole = path.with_suffix(".part")
    whole.write_bytes(content)
    whole.replace(path)


def _symbols(format_name: str, functions: int) -> int:
    local = _local(functions)
    marks = 2 * (-(-local // _FILE_EVERY)) + 1 if format_name == "elf" else 0
    return functions + functions // _DATA_EVERY + marks


def _local(functions: int) -> int:
    """How many of the functions are local: three in five."""
    return functions * 3 // 5


def _strings(names: Sequence[bytes], first: bytes) -> tuple[bytes, list[int]]:
    """A string table that begins with *first*, and where each name lies in it."""
    starts = list(accumulate((len(name) + 1 for name in names), initial=len(first)))[:-1]
    return first + b"\0".join(names) + b"\0", starts


def _up(value: int, align: int) -> int:
    return -(-value // align) * align


# ELF: gABI chapters 4 and 5

_EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
_PHDR = struct.Struct("<IIQQQQQQ")
_SHDR = struct.Struct("<IIQQQQIIQQ")
_IDENT = b"\x7fELF\x02\x01\x01" + bytes(9)
_AARCH64 = 183
_PROGBITS, _SYMTAB, _STRTAB, _RELA, _NOTE = 1, 2, 3, 4, 7
_LOCAL, _GLOBAL = 0, 1 << 4
_NOTYPE, _OBJECT, _FUNC, _FILE = 0, 1, 2, 4
_ABSOLUTE = 0xFFF1


def elf_host(functions: int) -> bytes:
    """A position-independent program of glibc's."""
    interpreter = b"/lib/ld-linux-aarch64.so.1\0"
    note = struct.pack("<III", 4, 20, 3) + b"GNU\0" + random.Random(functions).randbytes(20)
    text_at = _PAGE
    addresses, sizes = places(functions, text_at)
    text_size = addresses[-1] + sizes[-1] - text_at
    data_count = functions // _DATA_EVERY
    data_at = _up(text_at + text_size, _PAGE)
    interpreter_at = _EHDR.size + 6 * _PHDR.size
    note_at = _up(interpreter_at + len(interpreter), 8)

    table = _ElfTable()
    names, local = mangled(functions), _local(functions)
    for start in range(0, local, _FILE_EVERY):
        stop = min(start + _FILE_EVERY, local)
        table.add([b"app.%d.rcgu.o" % (start // _FILE_EVERY)], _LOCAL | _FILE, _ABSOLUTE, [0], [0])
        table.add([b"$x"], _LOCAL | _NOTYPE, 3, addresses[start : start + 1], [0])
        table.add(names[start:stop], _LOCAL | _FUNC, 3, addresses[start:stop], sizes[start:stop])
    locals_end = len(table.names) + 1
    table.add(names[local:], _GLOBAL | _FUNC, 3, addresses[local:], sizes[local:])
    data = range(data_at, data_at + 8 * data_count, 8)
    table.add(mangled(data_count, start=functions), _GLOBAL | _OBJECT, 4, data, [8] * data_count)
    symtab, strtab = table.pack()
    symtab_at = _up(data_at + 8 * data_count, 8)
    titles = [b".interp", b".note.gnu.build-id", b".text", b".data", b".symtab", b".strtab", b".shstrtab"]
    shstrtab, title_at = _strings(titles, b"\0")
    strtab_at = symtab_at + len(symtab)
    shstrtab_at = strtab_at + len(strtab)
    headers_at = _up(shstrtab_at + len(shstrtab), 8)
    rows = [
        (_PROGBITS, 2, interpreter_at, interpreter_at, len(interpreter), 0, 0, 1, 0),
        (_NOTE, 2, note_at, note_at, len(note), 0, 0, 4, 0),
        (_PROGBITS, 6, text_at, text_at, text_size, 0, 0, 4, 0),
        (_PROGBITS, 3, data_at, data_at, 8 * data_count, 0, 0, 8, 0),
        (_SYMTAB, 0, 0, symtab_at, len(symtab), 6, locals_end, 8, 24),
        (_STRTAB, 0, 0, strtab_at, len(strtab), 0, 0, 1, 0),
        (_STRTAB, 0, 0, shstrtab_at, len(shstrtab), 0, 0, 1, 0),
    ]
    segments = [
        (6, 4, _EHDR.size, _EHDR.size, _EHDR.size, 6 * _PHDR.size, 6 * _PHDR.size, 8),  # PT_PHDR
        (3, 4, interpreter_at, interpreter_at, interpreter_at, len(interpreter), len(interpreter), 1),  # PT_INTERP
        (1, 5, 0, 0, 0, text_at + text_size, text_at + text_size, _PAGE),  # PT_LOAD, code
        (1, 6, data_at, data_at, data_at, 8 * data_count, 8 * data_count, _PAGE),  # PT_LOAD, data
        (4, 4, note_at, note_at, note_at, len(note), len(note), 4),  # PT_NOTE
        (0x6474E551, 6, 0, 0, 0, 0, 0, 16),  # PT_GNU_STACK
    ]
    content = bytearray(headers_at)
    _EHDR.pack_into(
        content, 0, _IDENT, 3, _AARCH64, 1, text_at, _EHDR.size, headers_at, 0, _EHDR.size, _PHDR.size, 6, 64, 8, 7
    )
    content[_EHDR.size : interpreter_at] = b"".join(_PHDR.pack(*segment) for segment in segments)
    for at, piece in (
        (interpreter_at, interpreter),
        (note_at, note),
        (text_at, _RET * (text_size // 4)),
        (symtab_at, symtab),
        (strtab_at, strtab),
        (shstrtab_at, shstrtab),
    ):
        content[at : at + len(piece)] = piece
    sections = [_SHDR.pack(at, *row) for at, row in zip(title_at, rows, strict=True)]
    return bytes(content + bytes(_SHDR.size) + b"".join(sections))


def elf_patch(names: Sequence[bytes]) -> bytes:
    """An object with ``patched_function``, which calls each name once."""
    code = bytes.fromhex("00000094") * len(names) + _RET
    relocations = array("Q", bytes(24 * len(names)))  # r_offset, r_info, r_addend
    relocations[0::3] = array("Q", range(0, 4 * len(names), 4))
    relocations[1::3] = array("Q", [index << 32 | 283 for index in range(2, len(names) + 2)])  # R_AARCH64_CALL26
    table = _ElfTable()
    table.add([b"patched_function"], _GLOBAL | _FUNC, 1, [0], [len(code)])
    table.add(names, _GLOBAL | _NOTYPE, 0, [0] * len(names), [0] * len(names))
    symtab, strtab = table.pack()
    titles = [b".text", b".rela.text", b".note.GNU-stack", b".symtab", b".strtab", b".shstrtab"]
    shstrtab, title_at = _strings(titles, b"\0")
    content = bytearray(_EHDR.size)
    rows = [bytes(_SHDR.size)]
    for title, kind, flags, piece, link, info, align, entry in (
        (0, _PROGBITS, 6, code, 0, 0, 4, 0),
        (1, _RELA, 0x40, relocations.tobytes(), 4, 1, 8, 24),
        (2, _PROGBITS, 0, b"", 0, 0, 1, 0),
        (3, _SYMTAB, 0, symtab, 5, 1, 8, 24),
        (4, _STRTAB, 0, strtab, 0, 0, 1, 0),
        (5, _STRTAB, 0, shstrtab, 0, 0, 1, 0),
    ):
        content += bytes(-len(content) % 8)
        rows.append(_SHDR.pack(title_at[title], kind, flags, 0, len(content), len(piece), link, info, align, entry))
        content += piece
    content += bytes(-len(content) % 8)
    _EHDR.pack_into(content, 0, _IDENT, 1, _AARCH64, 1, 0, 0, len(content), 0, _EHDR.size, 0, 0, 64, 7, 6)
    return bytes(content + b"".join(rows))


class _ElfTable:
    """Symbols in the order in which they are added; the null symbol is there already."""

    def __init__(self) -> None:
        self.names: list[bytes] = []
        self._upper: list[int] = []  # st_info and st_shndx, where word 0 has them
        self._values = array("Q")
        self._sizes = array("Q")

    def add(self, names: Sequence[bytes], info: int, section: int, values: Sequence[int], sizes: Sequence[int]) -> None:
        self.names += names
        self._upper += [info << 32 | section << 48] * len(names)
        self._values.extend(values)
        self._sizes.extend(sizes)

    def pack(self) -> tuple[bytes, bytes]:
        """``.symtab`` and ``.strtab``."""
        strings, starts = _strings(self.names, b"\0")
        words = array("Q", bytes(24 * len(self.names)))
        words[0::3] = array("Q", [upper | start for upper, start in zip(self._upper, starts, strict=True)])
        words[1::3] = self._values
        words[2::3] = self._sizes
        return bytes(24) + words.tobytes(), strings


# Mach-O: <mach-o/loader.h>, <mach-o/nlist.h>

_HEADER = struct.Struct("<8I")
_SEGMENT = struct.Struct("<II16sQQQQIIII")
_SECTION = struct.Struct("<16s16sQQ8I")
_LC_SYMTAB = 0x02
_NLIST_SIZE = 16  # bytes of an nlist_64
_CODE = 0x8000_0400  # S_ATTR_PURE_INSTRUCTIONS | S_ATTR_SOME_INSTRUCTIONS


def macho_host(functions: int) -> bytes:
    """A macOS library."""
    addresses, sizes = places(functions, _MACHO_BASE + _PAGE)
    text_size = addresses[-1] + sizes[-1] - _MACHO_BASE - _PAGE
    data_count = functions // _DATA_EVERY
    data_at = _up(_PAGE + text_size, _PAGE)
    linkedit_at = _up(data_at + 8 * data_count, _PAGE)
    names, local = mangled(functions, underscore=True), _local(functions)
    data_names = mangled(data_count, start=functions, underscore=True)
    data = range(_MACHO_BASE + data_at, _MACHO_BASE + data_at + 8 * data_count, 8)
    strings, starts = _strings([*names, *data_names], b" \0")
    symbols = _nlist(
        starts,
        [0x0E | 1 << 8] * local + [0x0F | 1 << 8] * (functions - local) + [0x0F | 2 << 8] * data_count,
        [*addresses, *data],
    )
    strings_at = linkedit_at + len(symbols)
    total = functions + data_count
    end = strings_at + len(strings)
    name = b"@rpath/libapp.dylib\0".ljust(24, b"\0")
    commands = [
        _SEGMENT.pack(0x19, 72 + 80, b"__TEXT", _MACHO_BASE, data_at, 0, data_at, 5, 5, 1, 0)
        + _SECTION.pack(b"__text", b"__TEXT", _MACHO_BASE + _PAGE, text_size, _PAGE, 2, 0, 0, _CODE, 0, 0, 0),
        _SEGMENT.pack(
            0x19, 72 + 80, b"__DATA", _MACHO_BASE + data_at, linkedit_at - data_at, data_at, linkedit_at - data_at,
            3, 3, 1, 0,
        )
        + _SECTION.pack(b"__data", b"__DATA", _MACHO_BASE + data_at, 8 * data_count, data_at, 3, 0, 0, 0, 0, 0, 0),
        _SEGMENT.pack(
            0x19, 72, b"__LINKEDIT", _MACHO_BASE + linkedit_at, _up(end - linkedit_at, _PAGE), linkedit_at,
            end - linkedit_at, 1, 1, 0, 0,
        ),
        struct.pack("<6I", 0x0D, 24 + len(name), 24, 1, 0x10000, 0x10000) + name,  # LC_ID_DYLIB
        struct.pack("<II", 0x1B, 24) + random.Random(functions).randbytes(16),  # LC_UUID
        struct.pack("<6I", 0x32, 24, 1, 0x000D0000, 0x000D0000, 0),  # LC_BUILD_VERSION
        struct.pack("<6I", _LC_SYMTAB, 24, linkedit_at, total, strings_at, len(strings)),  # LC_SYMTAB
        struct.pack("<20I", 0x0B, 80, 0, local, local, total - local, total, 0, *(0,) * 12),  # LC_DYSYMTAB
    ]  # fmt: skip
    size = sum(map(len, commands))
    content = bytearray(end)
    head = _HEADER.pack(0xFEEDFACF, 0x0100000C, 0, 6, len(commands), size, 0x00100085, 0) + b"".join(commands)
    for at, piece in (
        (0, head),
        (_PAGE, _RET * (text_size // 4)),
        (linkedit_at, symbols),
        (strings_at, strings),
    ):
        content[at : at + len(piece)] = piece
    return bytes(content)


def macho_patch(names: Sequence[bytes]) -> bytes:
    """An object with ``_patched_function``, which calls each name once."""
    code = bytes.fromhex("00000094") * len(names) + _RET
    code += bytes(-len(code) % 8)
    info = 1 << 24 | 2 << 25 | 1 << 27 | 2 << 28  # pc-relative, 4 bytes, external, ARM64_RELOC_BRANCH26
    relocations = array("Q", [4 * number | (number + 1 | info) << 32 for number in range(len(names))])
    strings, starts = _strings([b"_patched_function", *names], b"\0")
    symbols = _nlist(starts, [0x0F | 1 << 8] + [0x01] * len(names), [0] * (len(names) + 1))
    code_at = _HEADER.size + 72 + 80 + 24 + 24 + 80
    relocations_at = _up(code_at + len(code), 8)
    symbols_at = relocations_at + 8 * len(names)
    total = len(names) + 1
    strings_at = symbols_at + len(symbols)
    commands = [
        _SEGMENT.pack(0x19, 72 + 80, b"", 0, len(code), code_at, len(code), 7, 7, 1, 0)
        + _SECTION.pack(b"__text", b"__TEXT", 0, len(code), code_at, 2, relocations_at, len(names), _CODE, 0, 0, 0),
        struct.pack("<6I", 0x32, 24, 1, 0x000D0000, 0x000D0000, 0),
        struct.pack("<6I", _LC_SYMTAB, 24, symbols_at, total, strings_at, len(strings)),
        struct.pack("<20I", 0x0B, 80, 0, 0, 0, 1, 1, total - 1, *(0,) * 12),
    ]
    head = _HEADER.pack(0xFEEDFACF, 0x0100000C, 0, 1, len(commands), sum(map(len, commands)), 0x2000, 0)
    content = bytearray(head + b"".join(commands) + code)
    content += bytes(relocations_at - len(content))
    return bytes(content + relocations.tobytes() + symbols + strings)


def _nlist(starts: Sequence[int], kinds: Sequence[int], values: Sequence[int]) -> bytes:
    """``nlist_64`` records; *kinds* is n_type | n_sect << 8."""
    words = array("Q", bytes(16 * len(starts)))
    words[0::2] = array("Q", [start | kind << 32 for start, kind in zip(starts, kinds, strict=True)])
    words[1::2] = array("Q", values)
    return words.tobytes()
