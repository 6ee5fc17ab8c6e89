"""The slide and every reason to refuse one."""

from __future__ import annotations

from pathlib import Path

import pytest
import synthetic
from synthetic import BASE, Sym, elf_host, macho_host, put

from stubgen.elf import constants as e
from stubgen.errors import AnchorRefusal, UsageError
from stubgen.host import Host, open_host
from stubgen.host.slide import anchor_name, slide_from_anchor, slide_from_value

MAIN = BASE + 0x100


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host with ``main`` and a helper."""
    return open_host(put(tmp_path, "host", elf_host([Sym("main", MAIN), Sym("helper", BASE + 0x200)])))


def test_slide_is_runtime_minus_static(host: Host) -> None:
    """The one subtraction that everything stands on."""
    slide = slide_from_anchor(host, 0x5500000000 + MAIN)
    assert (slide.value, slide.anchor, slide.static_address) == (0x5500000000, "main", MAIN)


@pytest.mark.parametrize("tag", [0x00, 0xB4, 0xFF])
def test_a_tagged_pointer_gives_the_same_slide(host: Host, tag: int) -> None:
    """Android tags heap and function pointers in the top byte; that must not become part of an address."""
    assert slide_from_anchor(host, tag << 56 | 0x7B40000000 + MAIN).value == 0x7B40000000


REFUSED = {
    "zero": (0, "is 0: the process did not report it"),
    "below": (MAIN - 0x10, "below"),
    "unaligned": (0x5500000000 + MAIN + 4, "slide 0x5500000004, which is not a multiple of the page size"),
    "another symbol's": (0x5500000000 + BASE + 0x200, "not a multiple of the page size"),
    "beyond user space": ((1 << 52) + MAIN, r"beyond user space \(2\^48\)"),
}


@pytest.mark.parametrize(("reference", "sentence"), REFUSED.values(), ids=list(REFUSED))
def test_what_cannot_be_right_is_refused(host: Host, reference: int, sentence: str) -> None:
    """A wrong anchor is the most common silent failure: the patch applies and nothing changes."""
    with pytest.raises(AnchorRefusal, match=sentence):
        slide_from_anchor(host, reference)


def test_only_the_tag_is_zero(host: Host) -> None:
    """An address that is nothing but a tag is below every symbol."""
    with pytest.raises(AnchorRefusal, match="below"):
        slide_from_anchor(host, 0xB4 << 56)


def test_whiskers_anchor_comes_before_main(tmp_path: Path) -> None:
    """A host that has both reports Whisker's; taking ``main`` would give a wrong slide."""
    host = open_host(put(tmp_path, "host", elf_host([Sym("main", MAIN), Sym("whisker_aslr_anchor", MAIN + 0x10)])))
    assert slide_from_anchor(host, 0x1000 + MAIN + 0x10).anchor == "whisker_aslr_anchor"


def test_macho_anchor_has_its_underscore(tmp_path: Path) -> None:
    """C's ``main`` is ``_main`` in Mach-O; users say neither."""
    host = open_host(put(tmp_path, "host", macho_host({"_main": 0x100})))
    assert slide_from_anchor(host, 0x104000100).value == 0x104000000


def test_macho_pages_are_16_kib(tmp_path: Path) -> None:
    """A slide of 4 KiB cannot happen on Apple's ARM64 and means a wrong anchor."""
    host = open_host(put(tmp_path, "host", macho_host({"_main": 0x100})))
    with pytest.raises(AnchorRefusal, match="page size"):
        slide_from_anchor(host, 0x1000 + 0x100)


def test_a_forgotten_underscore_is_named(tmp_path: Path) -> None:
    """People who type ``--anchor main`` for Mach-O should read what to type instead."""
    host = open_host(put(tmp_path, "host", macho_host({"_main": 0x100})))
    with pytest.raises(AnchorRefusal, match="did you mean _main"):
        slide_from_anchor(host, 0x104000100, "main")


def test_missing_anchor_names_what_was_sought(tmp_path: Path) -> None:
    """The user must learn which names were tried."""
    host = open_host(put(tmp_path, "host", elf_host([Sym("other", MAIN)])))
    with pytest.raises(AnchorRefusal, match="no anchor called whisker_aslr_anchor or main"):
        slide_from_anchor(host, 0x1000 + MAIN)


def test_imported_anchor_is_none(tmp_path: Path) -> None:
    """An anchor that the host merely imports has no address in it."""
    host = open_host(put(tmp_path, "host", elf_host([Sym("main", 0, section=e.SHN_UNDEF), Sym("f", MAIN)])))
    with pytest.raises(AnchorRefusal, match="no anchor"):
        slide_from_anchor(host, 0x1000 + MAIN)


def test_two_definitions_are_refused_and_listed(tmp_path: Path) -> None:
    """Of two anchors of one name, either may be the one that was reported."""
    symbols = [Sym("main", MAIN, bind=e.STB_LOCAL), Sym("main", MAIN + 0x40)]
    host = open_host(put(tmp_path, "host", elf_host(symbols)))
    with pytest.raises(AnchorRefusal, match=f"2 definitions, at {MAIN:#x}, {MAIN + 0x40:#x}"):
        slide_from_anchor(host, 0x1000 + MAIN)


def test_one_address_twice_is_one_definition(tmp_path: Path) -> None:
    """``.symtab`` and ``.dynsym`` list the same function; that is no ambiguity."""
    symbols = [Sym("main", MAIN, bind=e.STB_LOCAL), Sym("main", MAIN)]
    host = open_host(put(tmp_path, "host", elf_host(symbols)))
    assert slide_from_anchor(host, 0x1000 + MAIN).value == 0x1000


def test_thread_local_anchor_is_refused(tmp_path: Path) -> None:
    """A thread-local's value is an offset, not an address."""
    host = open_host(put(tmp_path, "host", elf_host([Sym("tls", 8, e.STT_TLS, section=3), Sym("f", MAIN)])))
    with pytest.raises(AnchorRefusal, match="thread-local: it does not slide"):
        slide_from_anchor(host, 0x1008, "tls")


def test_fixed_program_does_not_slide(tmp_path: Path) -> None:
    """A program linked at a fixed address runs there; any other slide is a wrong anchor."""
    host = open_host(put(tmp_path, "host", elf_host([Sym("main", MAIN)], e_type=e.ET_EXEC)))
    assert slide_from_anchor(host, MAIN).value == 0
    with pytest.raises(AnchorRefusal, match="not position-independent"):
        slide_from_anchor(host, 0x1000 + MAIN)


def test_given_slide_is_held_to_the_same_rules(host: Host) -> None:
    """``--slide`` skips the anchor, not the sense."""
    assert slide_from_value(host, 0x3000).value == 0x3000
    with pytest.raises(AnchorRefusal, match="page size"):
        slide_from_value(host, 0x3004)
    with pytest.raises(UsageError, match="only move programs up"):
        slide_from_value(host, -0x1000)


@pytest.mark.parametrize(("value", "fits"), [((1 << 48) - 0x1000, True), (1 << 48, False), ((1 << 48) + 0x1000, False)])
def test_user_space_ends_at_2_to_the_48(host: Host, value: int, fits: bool) -> None:
    """The first address beyond has a bit that the stub's moves and the kernel do not."""
    if fits:
        assert slide_from_value(host, value) == (value, None, 0, value)
        return
    with pytest.raises(AnchorRefusal, match="beyond user space"):
        slide_from_value(host, value)


def test_no_slide_is_a_slide(host: Host) -> None:
    """A program that the loader left where it was linked."""
    assert slide_from_value(host, 0).value == 0
    assert slide_from_anchor(host, MAIN).value == 0


@pytest.mark.parametrize("e_type", [e.ET_DYN, e.ET_EXEC])
def test_the_files_own_address_of_the_anchor_is_no_processs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, e_type: int
) -> None:
    """Who gives what ``nm`` shows had slide 0: a sound patch, each trampoline of which leads to the first page."""
    monkeypatch.setattr(synthetic, "BASE", 0)
    host = open_host(put(tmp_path, "host", elf_host([Sym("main", 0x100)], e_type=e_type)))
    if e_type == e.ET_EXEC:
        assert slide_from_anchor(host, 0x100).value == 0
        return
    with pytest.raises(AnchorRefusal, match="main is at 0x100 in the file; give where the process has it"):
        slide_from_anchor(host, 0x100)
    assert slide_from_anchor(host, 0x1100).value == 0x1000
    assert slide_from_value(host, 0).value == 0


@pytest.mark.parametrize("anchor", [None, "main"])
def test_the_anchors_name_is_told(host: Host, anchor: str | None) -> None:
    """The link exports it, so that the next patch's slide is known."""
    assert anchor_name(host, anchor) == "main"
    with pytest.raises(AnchorRefusal, match=r"no anchor called mains; close names: main"):
        anchor_name(host, "mains")


def test_only_a_wrong_anchor_is_blamed_on_the_anchor(host: Host) -> None:
    """Who gives the slide has no anchor that could be wrong."""
    with pytest.raises(AnchorRefusal, match=r"page size \(0x1000\): the address belongs to another symbol"):
        slide_from_anchor(host, 0x1004 + MAIN)
    with pytest.raises(AnchorRefusal, match=r"page size \(0x1000\)$"):
        slide_from_value(host, 0x1004)


def test_an_absolute_anchor_is_refused(tmp_path: Path) -> None:
    """A constant of the link is where it was after the host has moved: the slide would be off by all of it."""
    host = open_host(put(tmp_path, "host", elf_host([Sym("size", MAIN, e.STT_NOTYPE, section=e.SHN_ABS)])))
    with pytest.raises(AnchorRefusal, match=r"anchor size is absolute.*: it does not slide"):
        slide_from_anchor(host, 0x1000 + MAIN, "size")


def test_an_anchor_is_called_what_it_is_called(tmp_path: Path) -> None:
    """ThinLTO's ``f.llvm.17`` may be any file's ``f``; the process reports the address of what is called ``f``."""
    host = open_host(put(tmp_path, "host", elf_host([Sym("main.llvm.17", MAIN), Sym("f", MAIN + 0x40)])))
    assert {candidate.name for candidate in host.find([b"main"])[b"main"]} == {b"main.llvm.17"}
    with pytest.raises(AnchorRefusal, match="no anchor called whisker_aslr_anchor or main"):
        slide_from_anchor(host, 0x1000 + MAIN)
    assert slide_from_anchor(host, 0x1000 + MAIN, "main.llvm.17").value == 0x1000


def test_a_missing_anchor_is_blamed_on_nothing_else(tmp_path: Path) -> None:
    """A host with all its symbols is not stripped, and a name that has its underscore needs no other."""
    elf = open_host(put(tmp_path, "elf", elf_host([Sym("other", MAIN)])))
    macho = open_host(put(tmp_path, "macho", macho_host({"_start": 0x100})))
    with pytest.raises(
        AnchorRefusal,
        match=r"no anchor called whisker_aslr_anchor or main; name with --anchor the symbol.* reports$",
    ):
        anchor_name(elf)
    with pytest.raises(
        AnchorRefusal, match=r"no anchor called _whisker_aslr_anchor or _main; name with --anchor the symbol"
    ):
        anchor_name(macho)
    with pytest.raises(AnchorRefusal, match=r"no anchor called qqqqqqqq$"):
        anchor_name(elf, "qqqqqqqq")
    with pytest.raises(AnchorRefusal, match=r"no anchor called _starts; close names: _start$"):
        anchor_name(macho, "_starts")


def test_what_is_no_host_is_said(host: Host) -> None:
    """A path in place of an opened host would end in an AttributeError somewhere below."""
    for wrong in (host.path, None):
        with pytest.raises(UsageError, match="host"):
            slide_from_anchor(wrong, MAIN)  # type: ignore[arg-type]  # which is what is tested
        with pytest.raises(UsageError, match="host"):
            slide_from_value(wrong, 0)  # type: ignore[arg-type]  # which is what is tested
