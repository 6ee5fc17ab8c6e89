"""Which file a local symbol is from: the file symbol before it, however far away."""

from __future__ import annotations

from synthetic import Sym, elf_object

from stubgen.elf import constants as c
from stubgen.elf.reader import ElfFile


def test_the_file_symbol_before_a_local_names_its_file() -> None:
    """A static of another file that has the same name must not be taken for the patch's."""

    def local(name: str, kind: int = c.STT_OBJECT) -> Sym:
        section = c.SHN_ABS if kind == c.STT_FILE else 2
        return Sym(name, 0, kind, c.STB_LOCAL, section)

    symbols = [
        *(local(f"early{number}") for number in range(5000)),
        local("a.c", c.STT_FILE),
        *(local(f"a{number}") for number in range(9000)),
        local("b.c", c.STT_FILE),
        local("b"),
    ]
    table = ElfFile(elf_object(symbols), "object").symbols
    assert table is not None
    files = {table.name(index): table.file_of(index) for index in (9, 4999, 5000, 5002, 5003, 9000, 14001, 14003)}
    assert files == {
        b"early8": b"",
        b"early4998": b"",
        b"early4999": b"",
        b"a0": b"a.c",
        b"a1": b"a.c",
        b"a3998": b"a.c",
        b"a8999": b"a.c",
        b"b": b"b.c",
    }
    assert table.file_of(4000) == b""
