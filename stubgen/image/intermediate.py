"""Which names an object defines whose code the linker makes: GCC's and LLVM's for link-time optimisation.

GCC's ``.gnu.lto_.symtab`` is what its linker plugin reads (gcc/lto-streamer-out.cc, ``write_symbol``): name and COMDAT
group, each up to a zero byte, kind, visibility, 8 bytes of size and 4 of a slot. Each function's code has a section
that is called for it. LLVM's bitcode (LLVM Bitcode File Format) has a table for linkers in SYMTAB_BLOCK, and its names
in STRTAB_BLOCK; what is in the table says llvm/Object/IRSymtab.h. For Apple's systems a header stands in front of all
(Bitcode Wrapper Format); with ``-ffat-lto-objects`` it is in a section, ``.llvm.lto``, of an object that has code too.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator

from stubgen.common.files import read_input
from stubgen.common.row import Row
from stubgen.common.view import View
from stubgen.elf.constants import SHN_XINDEX
from stubgen.elf.reader import ElfFile
from stubgen.elf.records import EHDR, SHDR
from stubgen.errors import InputError, MalformedInput
from stubgen.image.archive import is_archive, members
from stubgen.image.opening import arm64_slice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_BITCODE = b"BC\xc0\xde"
_WRAPPER = b"\xde\xc0\x17\x0b"
_WRAPPED_AT = 8  # behind it and a version: offset and size in bytes of the bitcode
_ELF = b"\x7fELF"
_E_SHOFF, _E_SHSTRNDX = 40, 62  # byte offsets in Elf64_Ehdr
_SH_OFFSET, _SH_SIZE, _SH_LINK = 24, 32, 40  # byte offsets in Elf64_Shdr
_FOR_GCC = b".gnu.lto_"
"""How the sections begin in which GCC leaves what the linker has it compile."""
_FOR_LLVM = ".llvm.lto"
_SYMTAB = ".gnu.lto_.symtab."
_FUNCTION = r"\.gnu\.lto_(?!\.)(.+)\.\d+\.[0-9a-f]+"
_GCC_DEFINED = frozenset({0, 1, 4})  # plugin-api.h, enum ld_plugin_symbol_kind: LDPK_DEF, LDPK_WEAKDEF, LDPK_COMMON
_GCC_WEAK = 1  # LDPK_WEAKDEF
_GCC_UNDEFINED = frozenset({2, 3})  # LDPK_UNDEF, LDPK_WEAKUNDEF
_GCC_BEHIND_NAMES = 14  # bytes

_WRAPPER_WIDTH, _ENTER, _DEFINE = 2, 1, 2  # bits of an abbreviation at the top; ENTER_SUBBLOCK, DEFINE_ABBREV
_STRTAB_BLOCK, _SYMTAB_BLOCK = 23, 25  # llvm/Bitcode/LLVMBitCodes.h
_FIXED, _VBR, _BLOB = 1, 2, 5  # encodings of an abbreviation's operands
_LONGEST = 64  # bits
_VERSIONS = range(1, 4)  # of the table, storage::Header::Version
_SYMBOL = 24  # bytes of a storage::Symbol
_SYMBOLS_AT, _SOURCE_AT = 28, 52  # byte offsets in storage::Header
_UNDEFINED, _WEAK, _GLOBAL, _NOT_FOR_LINKERS = 1 << 3, 1 << 4, 1 << 10, 1 << 11  # storage::Symbol::FlagBits


class IntermediateNames(Row):
    """The names in one such object."""

    seen: frozenset[bytes]
    """What it defines for other files."""
    weak: frozenset[bytes]
    """Those of them that give way to another file's."""
    static: frozenset[bytes]
    """What is its own; of GCC's functions alone."""
    source: bytes
    """What it was compiled from, as the compiler was told; empty where the object does not say."""
    used: frozenset[bytes]
    """What it refers to and does not define."""


def intermediate_names(content: memoryview, name: str) -> IntermediateNames | None:
    """What the object in *content* defines; None for objects of other kinds, and for what this reader does not know.

    Raises:
        MalformedInput: it is broken.
    """
    if content[:4] == _WRAPPER:
        view = View(content, name)
        content = view.bytes(_number(view, _WRAPPED_AT), _number(view, _WRAPPED_AT + 4), "the bitcode in it")
    if content[:4] == _BITCODE:
        return _of_bitcode(content, name)
    return _of_gcc(content, name) if content[:4] == _ELF else None


def is_compiled_at_link(data: Any) -> bool:
    """Whether the object in *data* holds code that the linker compiles: of ELF the names of its sections say so.

    Hosts are linked from thousands of objects, so this reads no more than it has to.
    """
    magic = bytes(data[:4])
    if magic != _ELF:
        return magic in (_BITCODE, _WRAPPER)
    if len(data) < EHDR.size:
        return False
    headers = int.from_bytes(data[_E_SHOFF : _E_SHOFF + 8], "little")
    number = int.from_bytes(data[_E_SHSTRNDX : _E_SHSTRNDX + 2], "little")
    if number == SHN_XINDEX:
        number = int.from_bytes(data[headers + _SH_LINK : headers + _SH_LINK + 4], "little")
    header = headers + SHDR.size * number
    start, size = (int.from_bytes(data[header + at : header + at + 8], "little") for at in (_SH_OFFSET, _SH_SIZE))
    names = bytes(data[start : start + size])
    return _FOR_GCC in names or _FOR_LLVM.encode() in names


def names_in_objects(paths: Iterable[str]) -> dict[str, IntermediateNames | None]:
    """Path -> the names in each object that the linker compiled; None: the object is gone, or of no use."""
    found: dict[str, IntermediateNames | None] = {}
    for path in paths:
        try:
            data = read_input(path)
            names = intermediate_names(memoryview(data), path) if is_compiled_at_link(data) else None
        except InputError:
            found[path] = None
            continue
        if names is not None:
            found[path] = names
    return found


def names_in_members(paths: Iterable[str]) -> dict[str, IntermediateNames | None]:
    """Title -> the names in each member of the archives at *paths* that the linker compiled, if it took the member.

    Path -> None for an archive that is gone, or of no use.
    """
    found: dict[str, IntermediateNames | None] = {}
    for path in paths:
        try:
            data = arm64_slice(read_input(path), path)
            for member in members(data, path) if is_archive(data) else ():
                title = f"{os.path.basename(path)}({member.name})"
                names = intermediate_names(member.content, title) if is_compiled_at_link(member.content) else None
                if names is not None:
                    found[title] = names
        except InputError:
            found[path] = None
    return found


def _of_gcc(content: memoryview, name: str) -> IntermediateNames | None:
    file = ElfFile(content, name)
    tables = [section for section in file.sections if section.name.startswith(_SYMTAB)]
    if not tables:
        section = file.section(_FOR_LLVM)
        return None if section is None else _of_bitcode(file.content(section), name)
    kinds = {name: kind for section in tables for name, kind in _gcc_symbols(bytes(file.content(section)))}
    seen = frozenset(name for name, kind in kinds.items() if kind in _GCC_DEFINED)
    weak = frozenset(name for name, kind in kinds.items() if kind == _GCC_WEAK)
    named = (re.fullmatch(_FUNCTION, section.name) for section in file.sections)
    functions = {match[1].encode("utf-8", "surrogateescape") for match in named if match}
    used = frozenset(name for name, kind in kinds.items() if kind in _GCC_UNDEFINED)
    return IntermediateNames(seen, weak, frozenset(functions - seen), b"", used)


def _gcc_symbols(table: bytes) -> Iterator[tuple[bytes, int]]:
    """Name and kind of each."""
    position = 0
    while position < len(table):
        ends = table.find(b"\0", position)
        kind = table.find(b"\0", ends + 1) + 1
        if ends < 0 or not kind or kind + _GCC_BEHIND_NAMES > len(table):
            raise MalformedInput(".gnu.lto_.symtab: is cut off")
        yield table[position:ends], table[kind]
        position = kind + _GCC_BEHIND_NAMES


def _of_bitcode(content: memoryview, name: str) -> IntermediateNames | None:
    blobs = dict(_Bits(content, name).blobs())
    if _SYMTAB_BLOCK not in blobs or _STRTAB_BLOCK not in blobs:
        return None
    table, strings = View(blobs[_SYMTAB_BLOCK], name), View(blobs[_STRTAB_BLOCK], name)
    if _number(table, 0) not in _VERSIONS:
        return None
    first, count = _number(table, _SYMBOLS_AT), _number(table, _SYMBOLS_AT + 4)
    table.bytes(first, count * _SYMBOL, "its symbols")
    seen, weak, static, used = set[bytes](), set[bytes](), set[bytes](), set[bytes]()
    for at in range(first, first + count * _SYMBOL, _SYMBOL):
        flags = _number(table, at + _SYMBOL - 4)
        if flags & _NOT_FOR_LINKERS:
            continue
        text = _text(table, at, strings)
        if flags & _UNDEFINED:
            used.add(text)
            continue
        (seen if flags & _GLOBAL else static).add(text)
        if flags & _WEAK:
            weak.add(text)
    source = _text(table, _SOURCE_AT, strings)
    return IntermediateNames(frozenset(seen), frozenset(weak), frozenset(static), source, frozenset(used))


def _number(table: View, at: int) -> int:
    return int.from_bytes(table.bytes(at, 4, "its table for linkers"), "little")


def _text(table: View, at: int, strings: View) -> bytes:
    """The name whose place and length in bytes are at byte *at*."""
    return bytes(strings.bytes(_number(table, at), _number(table, at + 4), "a name"))


class _Bits:
    """A stream of bits, the lowest of each byte first."""

    def __init__(self, content: memoryview, name: str) -> None:
        self.view = View(content, name)
        self.position = 0  # in bits

    def read(self, width: int) -> int:
        """A number of *width* bits."""
        start, end = self.position // 8, (self.position + width + 7) // 8
        octets = self.view.bytes(start, end - start, "the bitcode")
        value = int.from_bytes(octets, "little") >> self.position % 8
        self.position += width
        return value & ((1 << width) - 1)

    def vbr(self, width: int) -> int:
        """A number in chunks of *width* bits, whose highest bit says that another one follows."""
        value = shift = 0
        more = 1 << (width - 1)
        while shift < _LONGEST:
            chunk = self.read(width)
            value |= (chunk & (more - 1)) << shift
            if not chunk & more:
                return value
            shift += width - 1
        raise MalformedInput(f"{self.view.name}: the bitcode holds a number of more than {_LONGEST} bits")

    def align(self) -> None:
        """Go to the next multiple of 32 bits."""
        self.position += -self.position % 32

    def blobs(self) -> Iterator[tuple[int, memoryview]]:
        """The blocks for linkers, and the bytes in each."""
        self.position = 8 * len(_BITCODE)
        while self.position + 32 <= 8 * len(self.view) and self.read(_WRAPPER_WIDTH) == _ENTER:
            block, width = self.vbr(8), self.vbr(4)
            self.align()
            words = self.read(32)
            end = self.position + 32 * words
            if block in (_STRTAB_BLOCK, _SYMTAB_BLOCK):
                blob = self._blob(width)
                if blob is not None:
                    yield block, blob
            self.position = end

    def _blob(self, width: int) -> memoryview | None:
        """The bytes of a block that has a single record, of one abbreviation, of a code and a blob."""
        if not width or self.read(width) != _DEFINE:
            return None
        if [self._operand() for _ in range(self.vbr(5))][1:] != [_BLOB]:
            return None
        self.read(width)
        size = self.vbr(6)
        self.align()
        return self.view.bytes(self.position // 8, size, "a block for linkers")

    def _operand(self) -> int:
        """The encoding of an abbreviation's operand; 0 for a literal, whose value is in the abbreviation."""
        if self.read(1):
            self.vbr(8)
            return 0
        encoding = self.read(3)
        if encoding in (_FIXED, _VBR):
            self.vbr(5)
        return encoding
