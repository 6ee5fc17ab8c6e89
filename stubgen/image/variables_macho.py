"""The variables that a Mach-O object defines, and what is in its constants. Twin of ``image.variables_elf``."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property

from stubgen.image import COMMONS, Content, DefiningObject, Image, Variable, alignment_at, common_place
from stubgen.macho import constants as c
from stubgen.macho.reader import IN_SECTION, MachOFile, Symbols
from stubgen.macho.relocations import ARM64_RELOC_UNSIGNED, r_word

VARIABLE_TYPES = frozenset({c.S_REGULAR, c.S_ZEROFILL, c.S_GB_ZEROFILL, c.S_THREAD_LOCAL_VARIABLES})
"""Types of sections that hold variables; the others hold pointers to functions, literals and the like."""
_CONSTANTS = frozenset({"__DATA,__const", "__TEXT,__const"})
"""Sections of an object that hold constants; those of the first have pointers in them."""
TABLES = tuple(
    f"__DATA,__{name}" for name in ("objc_", "cfstring", "interpose", "llvm_", "asan_", "sancov_", "swift", "auth_")
)
"""How sections are called that have no type of their own, and whose content a runtime collects image by image."""
_NO_VARIABLES = (b"ltmp", b"l_", *c.OBJECTIVE_C)
"""How names begin that are no variables': the first two are the assembler's and the compiler's."""
_SYMBOL_NUMBER = 0xFFFFFF
"""The bits of a relocation's second word that number its symbol or section."""
_POINTER, _EXTERN_POINTER = (
    r_word(0, pcrel=False, length=3, extern=extern, kind=ARM64_RELOC_UNSIGNED) for extern in (False, True)
)
"""That word less the number, of an address of a section's, and of a symbol's."""
_TYPE_NAME = b"__ZTS"  # Itanium C++ ABI 5.1.4.1: a type's name, which ends with a NUL


class MachOVariables:
    """Those of one object.

    Args:
        image: the object.
        file: its content.
        symbols: the symbols that say where something ends, as none says how large it is.
    """

    def __init__(self, image: Image, file: MachOFile, symbols: Symbols | None) -> None:
        self._image = image
        self._file = file
        self._symbols = symbols

    def all(self) -> Iterator[Variable]:
        """See :meth:`stubgen.image.Image.variables`."""
        table = self._file.symbols
        if table is None:
            return
        next(table.names(), None)  # raises where any name lies beyond the string table
        defining = DefiningObject(self._image, table, b"_")
        file = self._image.source_file
        kept_apart = bool(self._file.header.flags & c.MH_SUBSECTIONS_VIA_SYMBOLS)
        indexes = list(self._variable_indexes(table))
        symbols_at = Counter((table.n_sect[index], table.n_value[index]) for index in indexes)
        for index in indexes:
            n_type, name = table.n_type[index], table.name(index)
            n_sect = table.ordinal(index)
            thread_local = self._is_thread_local(n_sect)
            in_section = bool(n_sect) and not thread_local  # of a thread-local, the symbol is its descriptor
            yield Variable(
                name=name,
                size=0,
                minimum_size=(self._minimum_thread_size if thread_local else self._minimum_size)(table, index),
                alignment=1 if thread_local else self._alignment(table, index),
                writable=not n_sect or self._file.sections[n_sect - 1].name not in _CONSTANTS,
                thread_local=thread_local,
                local=not n_type & (c.N_EXT | c.N_PEXT),
                hidden=bool(n_type & c.N_PEXT),
                file=file,
                has_several_names=in_section and symbols_at[n_sect, table.n_value[index]] > 1,
                is_part_of_another=in_section and bool(table.n_desc[index] & c.N_ALT_ENTRY),
                is_kept_apart=kept_apart or not in_section,
                defined_in=defining,
                place=table.n_value[index] if n_sect else COMMONS + common_place(index),
            )

    @cached_property
    def _object_templates(self) -> dict[int, tuple[int, int]]:
        """Address of an object's thread-local descriptor -> the ordinal and the address of its template.

        The descriptor's relocation says so; a symbol of the template, which compilers give it, may be stripped.
        """
        table, found = self._file.symbols, dict[int, tuple[int, int]]()
        for section, relocations in self._file.relocations():
            if not self._is_thread_local(section.ordinal):
                continue
            content = self._file.content(section)
            for offset, word in zip(relocations.r_address, relocations.r_word, strict=True):
                ordinal = word & _SYMBOL_NUMBER
                if offset % c.TLV_DESCRIPTOR != c.TLV_OFFSET or word - ordinal not in (_POINTER, _EXTERN_POINTER):
                    continue
                target = int.from_bytes(content[offset : offset + 8], "little")
                if word - ordinal == _EXTERN_POINTER:
                    if table is None:
                        continue
                    ordinal, target = table.ordinal(ordinal), target + table.entry(ordinal).n_value
                if 0 < ordinal <= len(self._file.sections):
                    found[section.header.addr + offset - c.TLV_OFFSET] = ordinal, target
        return found

    def _is_thread_local(self, n_sect: int) -> bool:
        """Whether what lies in section *n_sect* (0: a common) are descriptors of thread-locals."""
        return 0 < n_sect <= len(self._file.sections) and (
            self._file.sections[n_sect - 1].header.flags & c.SECTION_TYPE == c.S_THREAD_LOCAL_VARIABLES
        )

    def _variable_indexes(self, table: Symbols) -> Iterator[int]:
        """Index of every symbol that is somebody's variable."""
        for index in table.with_commons(IN_SECTION):
            n_sect = table.n_sect[index]
            if table.n_type[index] & c.N_TYPE == c.N_UNDF:  # a common
                yield index
            elif 0 < n_sect <= len(self._file.sections):
                section = self._file.sections[n_sect - 1]
                kind = section.header.flags & c.SECTION_TYPE
                variable = section.name.startswith(("__DATA,", "__TEXT,__const")) and kind in VARIABLE_TYPES
                tables = section.name.startswith(TABLES)
                if variable and not tables and not table.name(index).startswith(_NO_VARIABLES):
                    yield index

    def _minimum_size(self, table: Symbols, index: int) -> int:
        """Bytes that an object's variable surely has: up to what comes next, less what may have aligned that."""
        n_sect, start = table.ordinal(index), table.n_value[index]
        return self._minimum_size_at(n_sect, start) if n_sect else start  # a common's size

    def _minimum_thread_size(self, table: Symbols, index: int) -> int:
        """Likewise of a thread-local whose descriptor is symbol *index*."""
        template = self._object_templates.get(table.n_value[index])
        return 0 if template is None else self._minimum_size_at(*template)

    def _minimum_size_at(self, n_sect: int, start: int) -> int:
        """Likewise of what begins at *start* in section *n_sect*."""
        header = self._file.sections[n_sect - 1].header
        end = self.next_symbol(start)
        if end is None or not header.addr <= start < header.addr + header.size:
            return 0
        if end >= header.addr + header.size:
            return int(header.addr + header.size - start)
        return max(end - start - min(end & -end, 1 << min(header.align, c.MAX_SECTION_ALIGN)) + 1, 0)

    def _alignment(self, table: Symbols, index: int) -> int:
        """What an object's code may rely on: a type is aligned to at most its size, which ends at what comes next."""
        n_sect, start = table.ordinal(index), table.n_value[index]
        if not n_sect:
            return 1 << (table.n_desc[index] >> c.COMMON_ALIGN_SHIFT & 0xF)
        header, end = self._file.sections[n_sect - 1].header, self.next_symbol(start)
        most = 1 << max((end or start) - start, 1).bit_length() - 1
        return min(most, alignment_at(start - header.addr, 0, 1 << min(header.align, c.MAX_SECTION_ALIGN)))

    def next_symbol(self, address: int) -> int | None:
        """The address of the first symbol behind *address*."""
        position = bisect_right(self._symbol_addresses, address)
        return self._symbol_addresses[position] if position < len(self._symbol_addresses) else None

    @cached_property
    def _symbol_addresses(self) -> list[int]:
        """Ascending: the addresses of all defined symbols and of thread-locals' templates, and the ends of sections."""
        table = self._symbols
        addresses = {section.header.addr + section.header.size for section in self._file.sections}
        addresses.update(template for _, template in self._object_templates.values())
        if table is not None:
            addresses.update(
                n_value
                for n_type, n_value in zip(table.n_type, table.n_value, strict=True)
                if not n_type & c.N_STAB and n_type & c.N_TYPE == c.N_SECT
            )
        return sorted(addresses)

    def contents(self, names: Collection[bytes]) -> Iterator[Content]:
        """See :meth:`stubgen.image.Image.contents`.

        As far as what comes next, with what may align that; a string that has to end is taken up to there.
        """
        table = self._file.symbols
        if table is None:
            return
        for index in self._variable_indexes(table):
            name, n_sect, start = table.name(index), table.ordinal(index), table.n_value[index]
            section = self._file.sections[n_sect - 1] if n_sect else None
            if name not in names or section is None or section.name not in _CONSTANTS:
                continue
            first = start - section.header.addr
            end = (self.next_symbol(start) or start) - section.header.addr
            opaque = any(first <= at < end for at in self._relocated_places.get(n_sect, ()))
            raw = bytes(self._file.content(section)[first:end])
            if name.startswith(_TYPE_NAME):
                raw = raw[: raw.find(0) + 1]
            yield Content(name, raw, {}, opaque or not raw)

    def holds_labels(self, variable: Variable) -> bool:
        """See :meth:`stubgen.image.Image.holds_labels`."""
        end = self.next_symbol(variable.place)
        last = variable.place + 8 if end is None else end
        first = bisect_left(self._label_places, variable.place)
        return first < len(self._label_places) and self._label_places[first] < last

    @cached_property
    def _label_places(self) -> list[int]:
        """The addresses in an object's data of pointers into code where no symbol is, ascending.

        Labels have no symbol: the pointer names their section, or a symbol in front of them and a distance.
        """
        table, found = self._file.symbols, list[int]()
        code = [(code.address, code.address + len(code.content)) for code in self._image.code()]
        starts = {function.address for function in self._image.functions()}
        for section, relocations in self._file.relocations():
            content = self._file.content(section)
            if not section.name.startswith("__DATA"):
                continue
            for offset, word in zip(relocations.r_address, relocations.r_word, strict=True):
                index = word & _SYMBOL_NUMBER
                if word - index not in (_POINTER, _EXTERN_POINTER) or not 0 <= offset <= len(content) - 8:
                    continue
                target = int.from_bytes(content[offset : offset + 8], "little")
                if word - index == _EXTERN_POINTER:
                    if table is None or index >= len(table) or table.n_type[index] & c.N_TYPE != c.N_SECT:
                        continue
                    target += table.n_value[index]
                if target not in starts and any(first <= target < last for first, last in code):
                    found.append(section.header.addr + offset)
        return sorted(found)

    @cached_property
    def _relocated_places(self) -> dict[int, Sequence[int]]:
        """Section of an object -> the byte offsets in it of relocations."""
        return {section.ordinal: table.r_address for section, table in self._file.relocations()}
