"""Wrong inputs at the command line: one clear sentence, the right exit status, and no file left behind."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from synthetic import BASE, Sym, elf_host, elf_object, macho_host, macho_object, put, undefined

import stubgen
from stubgen.cli import main
from stubgen.elf import constants as e
from stubgen.elf.records import EHDR

MAIN = BASE + 0x100
HOST = elf_host([Sym("main", MAIN), Sym("f", MAIN + 0x40)])
MACHO_HOST = macho_host({"_main": 16, "_f": 32})
PATCH = elf_object([undefined("f")])


def changed(content: bytes, offset: int, new: bytes) -> bytes:
    """*content* with *new* at byte *offset*."""
    return content[:offset] + new + content[offset + len(new) :]


def stripped(content: bytes) -> bytes:
    """An ELF file whose section table holds no symbol table."""
    header = EHDR.struct.unpack_from(content)
    raw = bytearray(content)
    for number in range(header[12]):
        place = header[6] + 64 * number + 4
        if raw[place : place + 4] == struct.pack("<I", e.SHT_SYMTAB):
            raw[place : place + 4] = struct.pack("<I", e.SHT_PROGBITS)
    return bytes(raw)


def fat(*slices: tuple[int, int, bytes]) -> bytes:
    """A universal file of (cputype, cpusubtype, content)."""
    table, body, offset = b"", b"", 4096
    for cpu, sub, content in slices:
        table += struct.pack(">IIIII", cpu, sub, offset + len(body), len(content), 12)
        body += content + bytes(-len(content) % 4096)
    header = struct.pack(">II", 0xCAFEBABE, len(slices)) + table
    return header + bytes(4096 - len(header)) + body


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process: exit status, standard output, standard error."""

    def execute(*words: str) -> tuple[int, str, str]:
        status = main(list(words))
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return execute


HOSTS = {
    "empty": (b"", "is empty"),
    "text": (b"#!/bin/sh\nexit 0\n", "is neither an ELF nor a Mach-O file"),
    "three bytes": (b"\x7fEL", "is neither an ELF nor a Mach-O file"),
    "x86-64": (changed(HOST, 18, struct.pack("<H", e.EM_X86_64)), "is an ELF file for x86-64; only ARM64"),
    "RISC-V": (changed(HOST, 18, struct.pack("<H", e.EM_RISCV)), "is an ELF file for RISC-V"),
    "unknown machine": (changed(HOST, 18, struct.pack("<H", 999)), "for machine 999"),
    "big-endian": (changed(HOST, e.EI_DATA, b"\2"), "is a big-endian ELF file"),
    "32-bit": (changed(HOST, e.EI_CLASS, b"\1"), "is a 32-bit ELF file"),
    "no class": (changed(HOST, e.EI_CLASS, b"\7"), "class or byte order is not one that exists"),
    "core dump": (changed(HOST, 16, struct.pack("<H", e.ET_CORE)), "is a core dump, neither a program nor"),
    "an object": (elf_object([Sym("main", 0)]), "is a relocatable object; the host must be a linked program"),
    "a Mach-O object": (macho_object({"_main": 0}), "is a relocatable object; the host must be"),
    "an archive": (b"!<arch>\n", "is an archive, not a linked program"),
    "Windows": (b"MZ" + bytes(100), "is a Windows program; Windows is not handled"),
    "WebAssembly": (b"\0asm" + bytes(100), "is WebAssembly"),
    "bitcode": (b"BC\xc0\xde" + bytes(100), "is LLVM bitcode"),
    "stripped": (stripped(HOST), "is stripped: it has no symbols; give the unstripped file of the same build"),
    "header cut": (HOST[:40], "the ELF header needs bytes 0x0 to 0x40, but the file ends at 0x28"),
    "identification cut": (HOST[:10], "the ELF identification needs bytes"),
    "section table cut": (changed(HOST, 40, struct.pack("<Q", len(HOST) - 70)), "the section header table needs bytes"),
    "symbol table beyond the end": (changed(HOST, 40, struct.pack("<Q", 1 << 40)), "section header 0 needs bytes"),
    "segment table beyond the end": (changed(HOST, 32, struct.pack("<Q", 1 << 40)), "program header table needs"),
    "odd section entries": (changed(HOST, 58, struct.pack("<H", 40)), "e_shentsize is 40, not 64"),
    "odd segment entries": (changed(HOST, 54, struct.pack("<H", 40)), "e_phentsize is 40, not 56"),
    "section names nowhere": (changed(HOST, 62, struct.pack("<H", 99)), "e_shstrndx is 99, but there are"),
    "x86-64 Mach-O": (changed(MACHO_HOST, 4, struct.pack("<I", 0x01000007)), "is a Mach-O file for x86-64"),
    "arm64e": (changed(MACHO_HOST, 8, struct.pack("<I", 2)), "is arm64e, whose function pointers are signed"),
    "32-bit Mach-O": (changed(MACHO_HOST, 0, b"\xce\xfa\xed\xfe"), "is a 32-bit Mach-O file"),
    "big-endian Mach-O": (changed(MACHO_HOST, 0, b"\xfe\xed\xfa\xcf"), "is a big-endian Mach-O file"),
    "dSYM": (changed(MACHO_HOST, 12, struct.pack("<I", 10)), "is a debug file, without the program's code and data"),
    "Mach-O header cut": (MACHO_HOST[:20], "the Mach-O header needs bytes"),
    "load commands cut": (MACHO_HOST[:60], "the load commands needs bytes"),
    "a load command of no size": (changed(MACHO_HOST, 36, bytes(4)), "load command 0 is 0 bytes, beyond sizeofcmds"),
    "universal archive": (fat((0x0100000C, 0, b"!<arch>\n")), "is an archive, not a linked program or library"),
    "universal without ARM64": (fat((0x01000007, 3, MACHO_HOST)), "without an ARM64 slice (it holds x86-64)"),
    "universal cut": (fat((0x0100000C, 0, MACHO_HOST))[:4000], "the ARM64 slice needs bytes"),
    "universal of nothing": (fat(), "without an ARM64 slice (it holds nothing)"),
}


@pytest.mark.parametrize(("content", "sentence"), HOSTS.values(), ids=list(HOSTS))
def test_wrong_hosts(tmp_path: Path, run: Run, content: bytes, sentence: str) -> None:
    """Whoever gives the wrong file reads what it is, on one line, and finds no half-written output."""
    host, patch, output = put(tmp_path, "host", content), put(tmp_path, "patch.o", PATCH), tmp_path / "stub.o"
    status, out, err = run("build", "--host", host, "--slide", "0", patch, "-o", str(output))
    assert (status, out) == (3, "")
    assert sentence in err
    assert host in err
    assert len(err.splitlines()) == 1
    assert not output.exists()


@pytest.mark.parametrize("content", [HOST, MACHO_HOST], ids=["elf", "macho"])
def test_a_host_cut_anywhere_never_crashes(tmp_path: Path, run: Run, content: bytes) -> None:
    """A download that stopped half-way: an answer with status 3, or what is there suffices; never a traceback."""
    patch = put(tmp_path, "patch.o", PATCH if content is HOST else macho_object(needed=["_f"]))
    statuses = set()
    for size in [*range(0, 1400, 7), *range(1400, len(content), 997)]:
        host = put(tmp_path, "host", content[:size])
        status, _, err = run("build", "--host", host, "--slide", "0", patch, "-o", str(tmp_path / "stub.o"))
        assert len(err.splitlines()) <= 3
        statuses.add(status)
    assert statuses <= {0, 1, 3}
    assert 3 in statuses


ELSEWHERE = {
    "missing": ("nowhere", "no such file"),
    "a directory": (".", "is a directory, not a file"),
}


@pytest.mark.parametrize(("path", "sentence"), ELSEWHERE.values(), ids=list(ELSEWHERE))
@pytest.mark.parametrize("role", ["host", "object"])
def test_wrong_paths(tmp_path: Path, run: Run, path: str, sentence: str, role: str) -> None:
    """The most common mistake of all."""
    good, wrong = put(tmp_path, "good", HOST if role == "object" else PATCH), str(tmp_path / path)
    host, patch = (wrong, good) if role == "host" else (good, wrong)
    status, out, err = run("build", "--host", host, "--slide", "0", patch, "-o", str(tmp_path / "stub.o"))
    assert (status, out) == (3, "")
    assert sentence in err


ARGUMENTS = {
    "address is a word": (["--aslr-reference", "main"], 2, "'main' is not an address: give a decimal or 0x"),
    "address is negative": (["--slide=-4096"], 2, "address -4096 does not fit 64 bits"),
    "address too large": (["--slide", "0x10000000000000000"], 2, "does not fit 64 bits"),
    "neither address nor slide": ([], 2, "give either the anchor's runtime address"),
    "both": (["--slide", "0", "--aslr-reference", "0x10100"], 2, "give either"),
    "anchor beside a slide": (["--slide", "0", "--anchor", "main"], 2, "says nothing beside a given slide"),
    "unknown option": (["--sliide", "0"], 2, "there is no option --sliide: did you mean --slide?"),
    "unaligned slide": (["--slide", "0x1004"], 1, "not a multiple of the page size"),
    "unaligned anchor": (["--aslr-reference", str(0x5500000004 + MAIN)], 1, "not a multiple of the page size"),
    "anchor is zero": (["--aslr-reference", "0"], 1, "the process did not report it"),
    "anchor missing": (["--aslr-reference", "0x10100", "--anchor", "nix"], 1, "defines no anchor called nix"),
    "build id differs": (["--slide", "0", "--build-id", "00ff"], 1, "has no build id"),
    "build id is no hex": (["--slide", "0", "--build-id", "xyz"], 2, "is not hexadecimal"),
}


@pytest.mark.parametrize(("words", "expected", "sentence"), ARGUMENTS.values(), ids=list(ARGUMENTS))
def test_wrong_arguments(tmp_path: Path, run: Run, words: list[str], expected: int, sentence: str) -> None:
    """2 for a wrong command line, 1 for an answer of no."""
    host, patch, output = put(tmp_path, "host", HOST), put(tmp_path, "patch.o", PATCH), tmp_path / "stub.o"
    status, out, err = run("build", "--host", host, patch, "-o", str(output), *words)
    assert (status, out) == (expected, "")
    assert sentence in err
    assert not output.exists()


MISTAKES = {
    "command": (["biuld"], "there is no command biuld: did you mean build?"),
    "no command like it": (["xyzzy"], "there is no command xyzzy (try"),
    "option of the program": (["--verison"], "there is no option --verison: did you mean --version?"),
    "required option": (["build", "--hots", "x"], "there is no option --hots: did you mean --host?"),
    "with its value": (["build", "--hots=x"], "there is no option --hots: did you mean --host?"),
    "of capture, not of the linker": (["capture", "--dri", "d", "--", "cc", "--dri"], "did you mean --dir?"),
    "two that are close": (["link", "--exptra", "f"], "did you mean --extra or --export?"),
}


@pytest.mark.parametrize(("words", "sentence"), MISTAKES.values(), ids=list(MISTAKES))
def test_misspelt_words(run: Run, words: list[str], sentence: str) -> None:
    """A page of usage, or a complaint about another option that is missing, hides a single wrong letter."""
    status, out, err = run(*words)
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert sentence in err


def test_objects_on_both_sides_of_options(tmp_path: Path, run: Run) -> None:
    """Compilers and linkers take them so; a command that lost one would make half a patch."""
    functions = [Sym(name, MAIN + 64 * number) for number, name in enumerate(["main", "f", "g", "h"])]
    rest = ["--host", put(tmp_path, "host", elf_host(functions)), "-o", str(tmp_path / "stub.o")]
    f, g, h = (put(tmp_path, f"{name}.o", elf_object([undefined(name)])) for name in "fgh")
    for words in (
        [f, "--slide", "0", g, "--bti", "off", h, *rest],
        [*rest, "--slide", "0", f, "--bti", "off", g, "--", h],
    ):
        status, _, err = run("build", *words)
        assert (status, err) == (0, "")
        stubs = stubgen.find_stubs(stubgen.open_image(tmp_path / "stub.o"))
        assert {stub.name for stub in stubs} == {b"f", b"g", b"h"}


def test_response_files(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Builders with hundreds of objects write them to a file; names with spaces are quoted there, files may nest."""
    monkeypatch.chdir(tmp_path)
    put(tmp_path, "host", HOST)
    put(tmp_path, "a patch.o", PATCH)
    Path("inner").write_text("'a patch.o'")
    Path("outer").write_text("--slide 0x1000\n@inner\n")
    status, out, _ = run("build", "--host", "host", "@outer", "-o", "stub.o")
    assert status == 0
    assert "slide 0x1000" in out


RESPONSES = {
    "missing": ("@nowhere", "", 3, "nowhere: no such file"),
    "of itself": ("@loop", "@loop", 2, "name each other without end"),
    "quotation": ("@loop", "'x", 2, "a quotation mark in it has no partner"),
}


@pytest.mark.parametrize(("word", "content", "expected", "sentence"), RESPONSES.values(), ids=list(RESPONSES))
def test_wrong_response_files(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, word: str, content: str, expected: int, sentence: str
) -> None:
    """One that is not there must not become an object of that name."""
    monkeypatch.chdir(tmp_path)
    Path("loop").write_text(content)
    status, out, err = run("build", "--host", put(tmp_path, "host", HOST), "--slide", "0", word, "-o", "stub.o")
    assert (status, out) == (expected, "")
    assert sentence in err


@pytest.mark.parametrize("again", ["patch.o", "./patch.o", "link.o"])
def test_an_object_given_twice(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, again: str) -> None:
    """The linker would complain of each of its definitions, in files that the user has never seen."""
    monkeypatch.chdir(tmp_path)
    put(tmp_path, "patch.o", PATCH)
    Path("link.o").symlink_to("patch.o")
    words = ["build", "--host", put(tmp_path, "host", HOST), "--slide", "0", "patch.o", again, "-o", "stub.o"]
    status, out, err = run(*words)
    assert (status, out) == (2, "")
    assert f"{again}: is given twice" in err


@pytest.mark.parametrize(("name", "language"), [("a.c", "C"), ("a.cpp", "C++"), ("a.rs", "Rust"), ("a.S", "assembly")])
def test_a_source_file_for_an_object(tmp_path: Path, run: Run, name: str, language: str) -> None:
    """Compilers take sources and objects alike."""
    source = put(tmp_path, name, b"int f(void);\n")
    status, _, err = run("build", "--host", put(tmp_path, "host", HOST), "--slide", "0", source, "-o", "stub.o")
    assert status == 3
    assert f"{name}: is {language} source: compile it first" in err


def test_ambiguous_anchor(tmp_path: Path, run: Run) -> None:
    """Two symbols called ``main`` are listed, not chosen from."""
    host = put(tmp_path, "host", elf_host([Sym("main", MAIN, bind=e.STB_LOCAL), Sym("main", MAIN + 0x20)]))
    patch = put(tmp_path, "patch.o", PATCH)
    status, _, err = run("build", "--host", host, "--aslr-reference", "0x20100", patch, "-o", str(tmp_path / "stub.o"))
    assert status == 1
    assert "2 definitions, at 0x10100, 0x10120" in err


def test_an_unwritable_output_is_said(tmp_path: Path, run: Run) -> None:
    """A folder that is not there, and a folder where a file should be."""
    host, patch = put(tmp_path, "host", HOST), put(tmp_path, "patch.o", PATCH)
    for output, sentence in ((tmp_path / "no" / "stub.o", "cannot be written"), (tmp_path, "is a directory")):
        status, _, err = run("build", "--host", host, "--slide", "0", patch, "-o", str(output))
        assert status == 2
        assert sentence in err


def test_refused_symbols_leave_the_old_output_alone(tmp_path: Path, run: Run) -> None:
    """A failed build must not destroy the stub object of the one before."""
    host, patch = put(tmp_path, "host", HOST), put(tmp_path, "patch.o", elf_object([undefined("gone")]))
    output = Path(put(tmp_path, "stub.o", b"the last good one"))
    status, _, err = run("build", "--host", host, "--slide", "0", patch, "-o", str(output))
    assert status == 1
    assert "gone: missing" in err
    assert output.read_bytes() == b"the last good one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["host", "patch.o", "stub.o"]


@pytest.mark.parametrize("command", ["verify", "inspect"])
def test_one_file_commands_say_what_is_wrong(tmp_path: Path, run: Run, command: str) -> None:
    """The same sentences, whichever command reads the file."""
    status, out, err = run(command, put(tmp_path, "x", b"hello"))
    assert (status, out) == (3, "")
    assert "is neither an ELF nor a Mach-O file" in err


def test_json_carries_the_error(tmp_path: Path, run: Run) -> None:
    """A builder that reads JSON gets a document also when the answer is an error."""
    missing, output = str(tmp_path / "no"), str(tmp_path / "stub.o")
    status, out, err = run("build", "--json", "--host", missing, "--slide", "0", "x.o", "-o", output)
    document = json.loads(out)
    assert status == document["status"] == 3
    assert document["schema"] == 1
    assert document["error"]["kind"] == "UnreadableInput"
    assert document["error"]["message"] in err
