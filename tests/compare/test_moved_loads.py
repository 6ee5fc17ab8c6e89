"""What GNU ld, gold and lld make of a load behind an ``adrp`` that ends a page: erratum 843419 of the Cortex-A53."""

from __future__ import annotations

from pathlib import Path

import pytest
from tools import need, run

from stubgen.compare import host_places, object_parts
from stubgen.compare.equality import Equality
from stubgen.compare.fields import Form, is_back, veneer_of
from stubgen.image.opening import open_image

SOURCE = """
	.macro page name
	.text
	.balign 4096
	.skip 4096 - 8
	.globl \\name
	.type \\name, %function
\\name:
	.endm
	page counted
	adrp x1, VARIABLE
	str x0, [sp, #-16]
	ldr w0, [x1, :lo12:VARIABLE]
	ret
	.size counted, .-counted
	page stored
	adrp x1, VARIABLE
	ldr x2, [x0]
	add x2, x2, #1
	str w2, [x1, :lo12:VARIABLE]
	ret
	.size stored, .-stored
	page loaded
	adrp x1, :got:VARIABLE
	ldr x2, [x0]
	ldr x1, [x1, :got_lo12:VARIABLE]
	ldr w0, [x1]
	ret
	.size loaded, .-loaded
	.globl _start
_start:
	ret
	.bss
	.balign 4096
	.macro variable name
	.globl \\name
	.type \\name, %object
	.size \\name, 4
\\name: .skip 4
	.endm
	.skip 24
	variable counter
	variable beside
	.skip 3 * 4096
	variable far
"""
FIXED = "--fix-cortex-a53-843419"
LINKS = {
    "GNU ld": ["aarch64-linux-gnu-ld", "-pie", FIXED],
    "GNU ld, veneers": ["aarch64-linux-gnu-ld", "-pie", f"{FIXED}=adrp"],
    "GNU ld, fixed addresses": ["aarch64-linux-gnu-ld", FIXED],
    "gold": ["aarch64-linux-gnu-ld.gold", "-pie", FIXED],
    "lld": ["ld.lld-19", "-pie", FIXED],
}
"""Linkers, and how each is told; ``aarch64-linux-gnu-gcc`` of Debian and Ubuntu tells GNU ld so by itself."""


def _using(folder: Path, variable: str) -> dict[str, str]:
    """What of the host differs from an object that uses *variable*, for each function."""
    (folder / "edited.s").write_text(SOURCE.replace("VARIABLE", variable))
    run([need("aarch64-linux-gnu-as"), "edited.s", "-o", "edited.o"], cwd=folder)
    return _differences(folder)


def _differences(folder: Path) -> dict[str, str]:
    """What of the host differs from the edited object, for each function."""
    parts = object_parts([open_image(folder / "edited.o")])
    places = host_places(open_image(folder / "host"))
    places.learn({name for each in parts for name in each.names()})
    equality = Equality(parts, places)
    return {
        name.decode(): equality.difference(part, places.addresses(name)[0][0])
        for part in parts[0].functions()
        for name in part.names
        if name != b"_start"
    }


@pytest.mark.parametrize("name", LINKS)
def test_functions_at_the_end_of_a_page_are_unchanged(name: str, tmp_path: Path) -> None:
    """Some functions of each large program of GCC's counted as changed in every patch of their file."""
    (tmp_path / "host.s").write_text(SOURCE.replace("VARIABLE", "counter"))
    run([need("aarch64-linux-gnu-as"), "host.s", "-o", "host.o"], cwd=tmp_path)
    run([need(LINKS[name][0]), *LINKS[name][1:], "host.o", "-o", "host"], cwd=tmp_path)
    listing = run([need("aarch64-linux-gnu-objdump"), "-d", "--no-show-raw-insn", "host"], cwd=tmp_path)
    assert sum(each in listing for each in ("\tadr\t", "\tb\t")), "the linker got around nothing"
    assert set(_using(tmp_path, "counter").values()) == {""}
    assert all(_using(tmp_path, "beside").values()), "another variable of the page"
    assert all(_using(tmp_path, "far").values()), "another page"


RELAXED = """
	.text
	.globl address
	.type address, %function
address:
	INSTRUCTIONS
	ret
	.size address, .-address
	.globl _start
_start:
	ret
	.bss
	.balign 4096
	.macro variable name
	.globl \\name
	.type \\name, %object
	.size \\name, 4
\\name: .skip 4
	.endm
	variable aligned
	variable beside
"""


@pytest.mark.parametrize(("variable", "equal"), [("aligned", True), ("beside", False)])
def test_an_address_that_begins_a_page_is_a_whole_one(tmp_path: Path, variable: str, equal: bool) -> None:
    """What linkers make of ``adrp`` and ``add`` where the target is near; another of the page counted as it."""
    page = f"adrp x0, {variable}\n\tadd x0, x0, :lo12:{variable}"
    for name, instructions in (("host", "adr x0, aligned\n\tnop"), ("edited", page)):
        (tmp_path / f"{name}.s").write_text(RELAXED.replace("INSTRUCTIONS", instructions))
        run([need("aarch64-linux-gnu-as"), f"{name}.s", "-o", f"{name}.o"], cwd=tmp_path)
    run([need("aarch64-linux-gnu-ld"), "host.o", "-o", "host"], cwd=tmp_path)
    difference = _differences(tmp_path)["address"]
    assert difference == ("" if equal else "refers to beside elsewhere")


LOAD, BRANCH, BACK = 0xB9400020, 0x14000400, 0x17FFFC00


def test_a_branch_is_a_veneers_only_where_it_leads_back() -> None:
    """A tail call in a load's place is an edit."""
    assert veneer_of(Form.LOW12, BRANCH, 0x1000) == 0x2000
    assert veneer_of(Form.LOW12, LOAD, 0x1000) is None
    assert veneer_of(Form.BRANCH26, BRANCH, 0x1000) is None, "a branch in both"
    assert is_back(BACK, 0x2004, 0x1000)
    assert not is_back(BACK + 1, 0x2004, 0x1000)
    assert not is_back(LOAD, 0x2004, 0x1000)
