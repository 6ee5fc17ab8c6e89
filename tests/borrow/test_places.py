"""What a host's relocated fields say is where llvm-nm has the symbols, in every form that linkers give those fields."""

from __future__ import annotations

from pathlib import Path

import pytest
from live.members_macho import make
from tools import need, run

from stubgen.borrow.atoms import Atoms
from stubgen.borrow.presence import MachOPlaces, field_of
from stubgen.macho.reader import MachOFile

SOURCE = """
static int local; static long wide[4]; int global = 3; extern int other[8]; extern int far_away; int shared(int);
static _Thread_local int depth; static __attribute__((noinline)) int inner(int x) { return local += x; }
const char text[] = "text"; int *pointer = &local; int (*function)(int) = inner; static double real = 1.5;
int reads(int i) { return local + wide[i] + other[3] + far_away; }
void writes(int x) { local = x; wide[1] = x; other[2] = x; global = x; real = x; }
const void *takes(int i) { const void *all[] = {&local, wide + 2, other + 5, text, inner, &far_away}; return all[i]; }
int calls(int x) { return inner(x) + shared(x) + depth++; }
double floats(void) { return real; }
"""
MAIN = """
int other[8], far_away, reads(int), calls(int); void writes(int); const void *takes(int); double floats(void);
__attribute__((noinline)) int shared(int x) { return x * other[x]; }
int main(void) { writes(reads(1)); return calls(2) + (takes(1) != 0) + (int)floats(); }
"""


def addresses(path: Path) -> dict[bytes, int]:
    """Name -> virtual address, by llvm-nm."""
    lines = run([need("llvm-nm-19"), "--defined-only", path]).splitlines()
    return {words[2].encode(): int(words[0], 16) for line in lines if len(words := line.split()) == 3}


@pytest.mark.parametrize("linker", ["lld", "lld-opcodes", "zig"])
@pytest.mark.parametrize("flags", ["-O0", "-O2", "-O2 -mcmodel=large", "-O2 -fno-direct-access-external-data"])
def test_fields_lead_to_the_symbols(tmp_path: Path, linker: str, flags: str) -> None:
    """A place that is read wrongly is another variable's: the patch would count in it."""
    program = make(tmp_path, {"main.c": MAIN, "foo.c": SOURCE}, {}, "main.o foo.o", linker=linker, flags=flags)
    file = MachOFile((tmp_path / "foo.o").read_bytes(), "foo.o")
    atoms, places = Atoms(file, "foo.o"), MachOPlaces(MachOFile(program.path.read_bytes(), "host"))
    there = addresses(program.path)
    checked = set()
    for atom in atoms.all:
        names = [name for index in atom.symbols if (name := atoms.symbols.name(index)) in there]
        if not names or b"$tlv$init" in names[0] or names[0] == b"_depth":
            continue
        shift = there[names[0]] - atom.start
        uses = [use for use in atoms.uses(atom) if use.symbol >= 0 and atoms.symbols.name(use.symbol) in there]
        fields = [field for use in uses if (field := field_of(use)) is not None]
        for (symbol, _), found in places.meant(fields, shift, atoms.earlier_pages).items():
            name = atoms.symbols.name(symbol)
            assert found == there[name], (names[0], name)
            checked.add(name)
    assert {b"_local", b"_wide", b"_other", b"_far_away", b"_shared", b"_depth", b"_real"} <= checked
    assert b"_inner" in checked
