"""Other readers of the two formats, each in a fresh child: lists every symbol of a file, name and address.

Run as ``python -m benches.peers.readers NAME FILE``; prints ``list SECONDS`` (imports excluded) and ``symbols COUNT``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from itertools import chain


def pyelftools(path: str) -> Callable[[], int]:
    """The full table, else the dynamic one."""
    from elftools.elf.elffile import ELFFile
    from elftools.elf.sections import SymbolTableSection

    def read() -> int:
        with open(path, "rb") as file:
            elf = ELFFile(file)
            table = elf.get_section_by_name(".symtab") or elf.get_section_by_name(".dynsym")
            assert isinstance(table, SymbolTableSection)
            return sum(1 for symbol in table.iter_symbols() if symbol["st_value"] >= 0 and symbol.name is not None)

    return read


def macholib(path: str) -> Callable[[], int]:
    """``LC_SYMTAB``'s entries."""
    from macholib.MachO import MachO
    from macholib.SymbolTable import SymbolTable

    def read() -> int:
        table = SymbolTable(MachO(path))
        return sum(1 for entry, name in table.nlists if entry.n_value >= 0 and name is not None)

    return read


def lief(path: str) -> Callable[[], int]:
    """Every symbol."""
    import lief

    def read() -> int:
        binary = lief.parse(path)
        assert isinstance(binary, lief.ELF.Binary | lief.MachO.Binary)
        if isinstance(binary, lief.ELF.Binary):
            tables = chain(binary.symtab_symbols, binary.dynamic_symbols)
            return sum(1 for symbol in tables if symbol.value >= 0 and symbol.name is not None)
        return sum(1 for symbol in binary.symbols if symbol.value >= 0 and symbol.name is not None)

    return read


READERS = {"pyelftools": pyelftools, "macholib": macholib, "lief": lief}


def main(name: str, path: str) -> None:
    """Time one reader."""
    read = READERS[name](path)
    started = time.perf_counter()
    count = read()
    print(f"list {time.perf_counter() - started:.9f}")
    print(f"symbols {count}")


if __name__ == "__main__":
    main(*sys.argv[1:])
