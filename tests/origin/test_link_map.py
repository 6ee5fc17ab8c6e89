"""Map files as linkers write them, those too that cannot be run here."""

from __future__ import annotations

import pytest

from stubgen.origin.link_map import Piece, read_link_map

ALLOCATED = {".text", ".bss", ".tbss", ".data"}

GNU = """Elementos de archivo incluidos para satisfacer la referencia

./libfoo.a(foo.o)             p.o (foo_get)

Secciones de entrada descartadas

 .text          0x0000000000000000        0x0 p.o
 .comment       0x0000000000000000       0x20 /tmp/a b/p.o

Guion del enlazador y mapa de memoria

LOAD p.o

.text           0x0000000000000fc0      0x100
 *(.text.unlikely .text.*_unlikely)
 .text          0x0000000000000fc0       0x14 /tmp/a b/p.o
                0x0000000000000fc0                patch_main
 *fill*         0x0000000000000fd4        0xc 1f2003d5
 .text._ZNSt6vectorIiSaIiEED2Ev
                0x0000000000000fe0       0x2c ./libfoo.a(foo.o)
                0x0000000000000fe0                std::vector<int, std::allocator<int> >::~vector()
 .text          0x000000000000100c       0x10 linker stubs
 .text          0x000000000000101c       0x10
  .text         0x000000000000101c       0x10 p.o
 (.text)        0x000000000000101c       0x10 p.o
                [!provide]                        PROVIDE (etext = .)

.eh_frame       0x0000000000001508      0x228
 .eh_frame      0x0000000000001580       0xa0 p.o
                                         0xb0 (size before relaxing)

.bss            0x00000000000200e0       0x50
 COMMON         0x0000000000020100        0x4 p.o
                0x0000000000020100                com

.comment        0x0000000000000000       0x20
 .comment       0x0000000000000000       0x20 p.o
"""

LLD = """             VMA              LMA     Size Align Out     In      Symbol
           111c0            111c0      460    16 .text
           111c0            111c0       14     4         /tmp/a b/p.o:(.text)
           111c0            111c0        0     1                 $x
           111d4            111d4       10     4         ./libfoo.a(foo.o):(.text)
           111e4            111e4       10     4         <internal>:(.text.thunk)
           111e4            111e4        8     1                 operator:(int)
           111e4            111e4        8     1         etext:(4) = .
               0                0       20     1 .comment
               0                0       20     1         <internal>:(.comment)
"""

MOLD = """               VMA       Size Align Out     In      Symbol
           0x11330         60    16 .text
           0x11330         20     4         /tmp/a b/p.o:(.text)
           0x11330          0     0                 patch_main
           0x11344         16     4         libfoo.a(foo.o):(.text.f(int))
"""

LD64 = """# Path: patch.dylib
# Arch: arm64
# Object files:
[  0] linker synthesized
[  1] /tmp/a b/p.o
[  2] /tmp/libfoo.a[3](foo.o)
[ 10] /SDKs/usr/lib/libSystem.tbd
# Sections:
# Address\tSize    \tSegment\tSection
0x00000408\t0x00000058\t__TEXT\t__text
# Symbols:
# Address\tSize    \tFile  Name
0x00000408\t0x00000014\t[  1] _patch_main
0x0000041C\t0x00000040\t[  2] -[Foo bar]
0x0000045C\t0x00000004\t[  0] compact unwind info
# Dead Stripped Symbols:
#        \tSize    \tFile  Name
<<dead>> \t0x00000040\t[  1] _gone
"""


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        (
            GNU,
            [
                Piece(".bss", 0x20100, 4, "p.o", ""),
                Piece(".text", 0xFC0, 0x14, "/tmp/a b/p.o", ""),
                Piece(".text", 0xFE0, 0x2C, "./libfoo.a", "foo.o"),
                Piece(".text", 0x100C, 0x10, "linker stubs", ""),
            ],
        ),
        (
            LLD,
            [
                Piece(".text", 0x111C0, 0x14, "/tmp/a b/p.o", ""),
                Piece(".text", 0x111D4, 0x10, "./libfoo.a", "foo.o"),
                Piece(".text", 0x111E4, 0x10, "<internal>", ""),
            ],
        ),
        (
            MOLD,
            [
                Piece(".text", 0x11330, 20, "/tmp/a b/p.o", ""),
                Piece(".text", 0x11344, 16, "libfoo.a", "foo.o"),
            ],
        ),
        (
            LD64,
            [
                Piece("", 0x408, 0x14, "/tmp/a b/p.o", ""),
                Piece("", 0x41C, 0x40, "/tmp/libfoo.a", "foo.o"),
                Piece("", 0x45C, 4, "linker synthesized", ""),
            ],
        ),
        ("", []),
        ("nothing that a linker wrote\n", []),
    ],
    ids=["GNU ld, in Spanish", "lld", "mold", "Apple's ld", "empty", "another file"],
)
def test_what_each_linker_says(text: str, pieces: list[Piece]) -> None:
    """A line that is misread gives a function to another file: a second copy passes, or a good patch is refused."""
    assert read_link_map(text, ALLOCATED) == pieces
