"""Inputs that lie, and outputs that would do harm: one sentence, in time, and nothing is changed."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType

import pytest
from counting import count_calls
from synthetic import BASE, DATA, Sym, elf_host, elf_object, put, undefined
from tools import need, run

from stubgen.capture import record
from stubgen.cli import main
from stubgen.common.files import write_output
from stubgen.common.view import uleb128
from stubgen.elf import constants as e
from stubgen.elf.reader import ElfFile, Symbols
from stubgen.elf.records import DYN, EHDR, PHDR, SHDR, VERDEF, VERNAUX, VERNEED
from stubgen.errors import MalformedInput, UsageError
from stubgen.image.archive import MAGIC, THIN_MAGIC, members
from stubgen.image.elf import ElfImage

MAIN = BASE + 0x100
HOST = elf_host([Sym("main", MAIN), Sym("f", MAIN + 0x40)])
PATCH = elf_object([undefined("f")])
ROOT = Path(__file__).parent.parent
ALONE = {"PYTHONPATH": str(ROOT), "STUBGEN_CACHE_DIR": ""}
"""The environment of a command that finds nothing else in it."""


@pytest.fixture(autouse=True)
def in_time() -> Iterator[None]:
    """End a test whose code does not: what these tests are about used to run for years."""

    def late(_signal: int, _frame: FrameType | None) -> None:
        raise AssertionError("this takes too long")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(30)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


# archives


def member(name: bytes, size: bytes, content: bytes = b"") -> bytes:
    """One member of an archive, with the size that its header claims."""
    return name.ljust(16) + b"0".ljust(12) + b"0".ljust(6) * 2 + b"644".ljust(8) + size.ljust(10) + b"`\n" + content


ARCHIVES = {
    "negative size": (MAGIC + member(b"a.o/", b"-60"), "a size at 0x8 is not a number"),
    "size with a sign": (MAGIC + member(b"a.o/", b"+4", b"abcd"), "a size at 0x8 is not a number"),
    "size with an underscore": (MAGIC + member(b"a.o/", b"1_0", bytes(10)), "a size at 0x8 is not a number"),
    "negative name": (MAGIC + member(b"#1/-60", b"4", b"abcd"), "is not a number"),
    "name at a superscript": (MAGIC + member(b"/\xb2", b"0"), ""),
    "NUL in a thin member's name": (THIN_MAGIC + member(b"a\0b.o/", b"4"), "a member's name has a NUL byte in it"),
}


@pytest.mark.parametrize(("content", "sentence"), ARCHIVES.values(), ids=list(ARCHIVES))
def test_hostile_archives(content: bytes, sentence: str) -> None:
    """A size below zero led back to its own header, and the build stood still without a word."""
    if not sentence:
        assert len(list(members(content, "x.a"))) == 1
        return
    with pytest.raises(MalformedInput, match=sentence):
        list(members(content, "x.a"))


# ELF


def with_dynamic(records: bytes, *entries: tuple[int, int]) -> bytes:
    """A host with a dynamic table of *entries*, and *records* at virtual address 0x100000."""
    content = bytearray(HOST) + bytes(-len(HOST) % 8)
    header = list(EHDR.struct.unpack_from(content))
    segments = content[header[5] : header[5] + header[10] * PHDR.size]
    start = len(content)
    table = b"".join(DYN.struct.pack(*entry) for entry in (*entries, (e.DT_NULL, 0)))
    content += records + table
    size = len(records) + len(table)
    segments += PHDR.struct.pack(e.PT_LOAD, e.PF_R, start, 0x100000, 0x100000, size, size, 1)
    at = start + len(records)
    segments += PHDR.struct.pack(e.PT_DYNAMIC, e.PF_R, at, 0x100000 + len(records), 0, len(table), len(table), 8)
    header[5], header[10] = len(content), len(segments) // PHDR.size
    EHDR.struct.pack_into(content, 0, *header)
    return bytes(content + segments)


ENDLESS = 1 << 60
NEEDS, DEFINITIONS = (e.DT_VERNEED, 0x100000), (e.DT_VERDEF, 0x100000)
ONE_ENTRY = VERNAUX.struct.pack(0, 0, 2, 0, 0)


def test_version_lists_end_where_they_say() -> None:
    """A count of versions that no file could hold kept the host from ever being opened."""
    raw = VERNEED.struct.pack(1, 65535, 0, VERNEED.size, 0) + ONE_ENTRY
    needs = ElfFile(with_dynamic(raw, NEEDS, (e.DT_VERNEEDNUM, ENDLESS)), "host").dynamic
    assert needs is not None
    assert needs.version_needs == {2: ("", "")}
    raw = VERDEF.struct.pack(1, 0, 3, 1, 0, VERDEF.size, 0) + bytes(8)
    definitions = ElfFile(with_dynamic(raw, DEFINITIONS, (e.DT_VERDEFNUM, ENDLESS)), "host").dynamic
    assert definitions is not None
    assert definitions.version_definitions == {3: ""}


def test_version_lists_that_overlap_are_malformed() -> None:
    """Lists that share their records multiply: a file of a megabyte would take days."""
    count = 1 << 16
    shared = struct.pack("<HHIII", 1, 65535, 0, 0, 16) * (count - 1) + bytes(16)
    with pytest.raises(MalformedInput, match="a version need's entry overlaps others"):
        _ = ElfFile(with_dynamic(shared, NEEDS, (e.DT_VERNEEDNUM, ENDLESS)), "host").dynamic


def retyped(changes: dict[int, tuple[int, dict[int, int]]]) -> bytes:
    """A host in which each section of a type has become one of another, with other header fields."""
    content = bytearray(elf_host([Sym("main", MAIN), Sym("f", MAIN + 0x40)], features=1))
    header = EHDR.struct.unpack_from(content)
    for number in range(header[12]):
        at = header[6] + SHDR.size * number
        fields = list(SHDR.struct.unpack_from(content, at))
        if fields[1] in changes:
            fields[1], others = changes[fields[1]]
            for field, value in others.items():
                fields[field] = value
            SHDR.struct.pack_into(content, at, *fields)
    return bytes(content)


def symbol_table_of(content: bytes) -> int:
    """Section index of the symbol table."""
    section = ElfFile(content, "host").section_of_type(e.SHT_SYMTAB)
    assert section is not None
    return section.number


SIZE, LINK = 5, 6  # fields of SHDR
ODD_TABLES = {
    "versions": (
        retyped({e.SHT_SYMTAB: (e.SHT_DYNSYM, {}), e.SHT_NOTE: (e.SHT_GNU_VERSYM, {SIZE: 7})}),
        "its symbol versions are not a whole number",
    ),
    "section indexes": (
        retyped({e.SHT_NOTE: (e.SHT_SYMTAB_SHNDX, {SIZE: 31, LINK: symbol_table_of(retyped({}))})}),
        ".symtab_shndx is not a whole number",
    ),
}


@pytest.mark.parametrize(("content", "sentence"), ODD_TABLES.values(), ids=list(ODD_TABLES))
def test_odd_tables(
    tmp_path: Path, content: bytes, sentence: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table that was cut in the middle of an entry was a traceback."""
    monkeypatch.chdir(tmp_path)
    put(tmp_path, "host", content)
    put(tmp_path, "patch.o", PATCH)
    assert main(["build", "--host", "host", "--slide", "0", "patch.o", "-o", "stub.o"]) == 3
    assert sentence in capsys.readouterr().err


def test_a_number_without_end_is_malformed() -> None:
    """A million continuation bytes make a number that takes minutes to add up."""
    with pytest.raises(MalformedInput, match="hold a number of more than 64 bits"):
        uleb128(b"\x80" * 1_000_000 + b"\0", 0, "x: the opcodes")
    assert uleb128(b"\xff" * 9 + b"\x01", 0, "x") == ((1 << 64) - 1, 10)
    assert uleb128(b"\x80" * 9 + b"\x7f", 0, "x")[1] == 10  # a negative operand, skipped as one


def test_many_local_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """A generated table of thirty thousand statics took a minute on every save: each looked through all before it."""
    infos, looked_through = Symbols._infos, 0

    def counted(table: Symbols, start: int, stop: int) -> bytes:
        nonlocal looked_through
        looked_through += stop - start
        return infos(table, start, stop)

    monkeypatch.setattr(Symbols, "_infos", counted)
    file = Sym("big.c", 0, e.STT_FILE, e.STB_LOCAL, e.SHN_ABS)
    calls = []
    for count in (5_000, 10_000):
        statics = [Sym(f"v{n}", 8 * n + 8, e.STT_OBJECT, e.STB_LOCAL, DATA) for n in range(count)]
        image = ElfImage(elf_object([file, *statics]), "big.o")
        looked_through = 0

        def judge(image: ElfImage = image, statics: list[Sym] = statics) -> None:
            assert {variable.file for variable in image.variables()} == {b"big.c"}
            found = image.find({static.name.encode() for static in statics})
            assert {candidate.file for candidates in found.values() for candidate in candidates} == {b"big.c"}

        calls.append(count_calls(judge))
        assert looked_through < 4 * count
    assert calls[1] < 2.5 * calls[0]


def test_each_variable_has_its_own_file() -> None:
    """Two files' statics of one name are told apart by the file symbol before them, and by no other."""
    symbols = [Sym("early", 8, e.STT_OBJECT, e.STB_LOCAL, DATA)]
    for number, name in enumerate(("a.c", "b.c"), 1):
        symbols.append(Sym(name, 0, e.STT_FILE, e.STB_LOCAL, e.SHN_ABS))
        symbols += [Sym(f"{v}{number}", 16 * number, e.STT_OBJECT, e.STB_LOCAL, DATA) for v in "xy"]
    found = {v.name: v.file for v in ElfImage(elf_object(symbols), "x.o").variables()}
    assert found == {b"early": b"", b"x1": b"a.c", b"y1": b"a.c", b"x2": b"b.c", b"y2": b"b.c"}


def test_names_that_begin_like_mapping_symbols() -> None:
    """C allows a dollar: a function called ``$destroy`` was "not in the host"."""
    names = ["$destroy", "$x", "$d", "$x.1", "$d.foo", "$xy", "$"]
    image = ElfImage(elf_host([Sym("main", MAIN), *(Sym(name, MAIN + 0x40) for name in names)]), "host")
    assert set(image.find({name.encode() for name in names})) == {b"$destroy", b"$xy", b"$"}


# override maps

MAPS = {
    "infinite": ('{"functions": {"f": Infinity}}', "0x1000", 3, "the address of f is not a whole number"),
    "a fraction": ('{"functions": {"f": 1.5}}', "0x1000", 3, "the address of f is not a whole number"),
    "true": ('{"functions": {"f": true}}', "0x1000", 3, "the address of f is not a whole number"),
    "a text": ('{"functions": {"f": "1"}}', "0x1000", 3, "the address of f is not a whole number"),
    "deep": ('{"functions":' + "[" * 200_000, "0x1000", 3, "is not an override map, as link --override-map writes it"),
    "negative": ('{"functions": {"f": -1}}', "0x1000", 3, "is outside user space"),
    "huge": ('{"functions": {"f": ' + "9" * 30 + "}}", "0x1000", 3, "is outside user space"),
    "huge number": ('{"functions": {"f": ' + "9" * 6000 + "}}", "0x1000", 3, "is not an override map"),
    "a name that no file has": ('{"functions": {"\\ud800": 1}}', "0x1000", 3, "is not an override map"),
    "base in a page": ('{"functions": {"f": 1}}', "0x1001", 2, "a base is a whole number of pages"),
    "base is no address": ('{"functions": {"f": 1}}', "here", 2, "'here' is not an address"),
}


@pytest.mark.parametrize(("content", "base", "status", "sentence"), MAPS.values(), ids=list(MAPS))
def test_hostile_override_maps(
    tmp_path: Path, content: str, base: str, status: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A map that was edited, or is another file altogether: a branch to a place that does not exist, or a traceback."""
    files = [put(tmp_path, "host", HOST), put(tmp_path, "patch.o", PATCH), put(tmp_path, "map", content.encode())]
    words = ["build", "--host", files[0], "--slide", "0", files[1], "-o", str(tmp_path / "stub.o")]
    assert main([*words, "--override", f"{files[2]}@{base}"]) == status
    error = capsys.readouterr().err
    assert sentence in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "stub.o").exists()


def test_a_tagged_base(tmp_path: Path) -> None:
    """Android tags pointers in the top byte, and a base printed from one is still the patch's base."""
    files = [put(tmp_path, "host", HOST), put(tmp_path, "patch.o", PATCH)]
    table = put(tmp_path, "map", b'{"schema": 1, "functions": {"f": 1600}}')
    report = tmp_path / "report.json"
    words = ["build", "--host", files[0], "--slide", "0", files[1], "-o", str(tmp_path / "stub.o")]
    assert main([*words, "--override", f"{table}@0xb400007f12340000", "--report", str(report)]) == 0
    (decision,) = json.loads(report.read_text())["decisions"]
    assert decision["runtime_address"] == 0x7F12340000 + 1600


# outputs

Snapshot = Callable[[], dict[str, bytes]]


@pytest.fixture
def snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Snapshot:
    """A working folder with a host, a patch and a link to the host; what it holds."""
    monkeypatch.chdir(tmp_path)
    for name, content in (("host", HOST), ("patch.o", PATCH), ("lib.so", HOST), ("map", b'{"functions": {}}')):
        put(tmp_path, name, content)
    (tmp_path / "folder").mkdir()
    (tmp_path / "alias").symlink_to("host")
    return lambda: {path.name: path.read_bytes() if path.is_file() else b"" for path in tmp_path.iterdir()}


BUILD = ["build", "--host", "host", "--slide", "0", "patch.o"]
LINK = ["link", "--captured", "captured", "--host", "host", "--slide", "0", "patch.o"]
OVERWRITES = {
    "build -o host": ([*BUILD, "-o", "host"], "-o host would overwrite the input host"),
    "build -o object": ([*BUILD, "-o", "patch.o"], "-o patch.o would overwrite the input patch.o"),
    "build -o object, spelled otherwise": ([*BUILD, "-o", "folder/../patch.o"], "would overwrite the input patch.o"),
    "build -o link to the host": ([*BUILD, "-o", "alias"], "-o alias would overwrite the input host"),
    "build -o library": ([*BUILD, "--library", "lib.so", "-o", "lib.so"], "would overwrite the input lib.so"),
    "build -o folder": ([*BUILD, "-o", "folder"], "folder: is a directory; name a file for -o to write"),
    "build -o in no folder": ([*BUILD, "-o", "no/stub.o"], "no/stub.o: cannot be written: the folder"),
    "build --report object": ([*BUILD, "-o", "s.o", "--report", "patch.o"], "--report patch.o would overwrite"),
    "build --report output": ([*BUILD, "-o", "s.o", "--report", "s.o"], "would overwrite what -o writes"),
    "build -o map": ([*BUILD, "--override", "map@0x1000", "-o", "map"], "-o map would overwrite the input map"),
    "build -o earlier patch": (
        [*BUILD, "--previous", "map@0x1000", "-o", "map"],
        "-o map would overwrite the input map",
    ),
    "link -o host": ([*LINK, "-o", "host"], "-o host would overwrite the input host"),
    "link -o object": ([*LINK, "-o", "patch.o"], "-o patch.o would overwrite the input patch.o"),
    "link -o .": ([*LINK, "-o", "."], ".: is a directory; name a file for -o to write"),
    "link --stub host": ([*LINK, "-o", "p.so", "--stub", "host"], "--stub host would overwrite the input host"),
    "link --stub output": ([*LINK, "-o", "p.so", "--stub", "p.so"], "--stub p.so would overwrite what -o writes"),
    "link --override-map host": (
        [*LINK, "-o", "p.so", "--override-map", "host"],
        "--override-map host would overwrite",
    ),
    "link -o extra": ([*LINK, "--extra", "lib.so", "-o", "lib.so"], "would overwrite the input lib.so"),
}


@pytest.mark.parametrize(("words", "sentence"), OVERWRITES.values(), ids=list(OVERWRITES))
def test_outputs_never_overwrite_inputs(
    snapshot: Snapshot, words: Sequence[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A slip of completion in the shell must not cost the host that runs on the device: it cannot be built again."""
    before = snapshot()
    assert main(list(words)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert sentence in captured.err
    assert len(captured.err.splitlines()) == 1
    assert snapshot() == before


@pytest.mark.parametrize("there", [True, False])
def test_an_output_through_a_link_keeps_the_link(snapshot: Snapshot, there: bool) -> None:
    """A build folder that lives elsewhere, behind links, keeps its shape."""
    real, link = Path("folder", "stub.o"), Path("stub.o")
    if there:
        real.write_bytes(b"the last one")
    link.symlink_to(real)
    assert main([*BUILD, "-o", "stub.o"]) == 0
    assert link.is_symlink()
    assert not real.is_symlink()
    assert real.read_bytes().startswith(b"\x7fELF")
    assert os.listdir("folder") == ["stub.o"]
    assert snapshot()["host"] == HOST


def test_an_open_file_is_written_not_replaced(tmp_path: Path) -> None:
    """``-o /dev/stdout > stub.o`` must not put a file in the place of a device's name."""
    with (tmp_path / "out").open("wb") as file:
        write_output(f"/dev/fd/{file.fileno()}", b"content")
    assert (tmp_path / "out").read_bytes() == b"content"


def into_a_full_disk(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What the command answers when its standard output is a file on a full disk."""
    with open("/dev/full", "w") as full:
        return subprocess.run(
            [sys.executable, "-m", "stubgen", *arguments],
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=ALONE,
        )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
def test_a_full_disk_under_standard_output(snapshot: Snapshot, options: list[str]) -> None:
    """A log file on a full disk: a sentence and a status, so that nobody takes the cut-off output for the answer."""
    snapshot()
    assert main([*BUILD, "-o", "stub.o"]) == 0
    done = into_a_full_disk("inspect", "stub.o", *options)
    assert done.returncode == 5
    assert done.stderr == "hotpatch-stubgen: error: standard output cannot be written: No space left on device\n"


def test_a_closed_standard_output(snapshot: Snapshot) -> None:
    """A daemon that starts builders without standard output learns that the answer went nowhere."""
    snapshot()
    command = [sys.executable, "-m", "stubgen", *BUILD, "-o", "stub.o"]
    script = ["/bin/sh", "-c", 'exec "$@" >&-', "sh", *command]
    done = subprocess.run(script, check=False, capture_output=True, text=True, env=ALONE)
    assert done.returncode == 5
    assert done.stderr == "hotpatch-stubgen: error: standard output cannot be written: it is closed\n"


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-"])
@pytest.mark.parametrize(
    ("arguments", "status"), [([*BUILD, "-o", "stub.o", "--json"], 0), (["build", "--json"], 2)], ids=["built", "usage"]
)
def test_nobody_listens_to_standard_error(
    snapshot: Snapshot, redirection: str, arguments: list[str], status: int
) -> None:
    """The answer is the document and the status: words about it that cannot be written must not take them away."""
    if redirection == "2>/dev/full" and not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    snapshot()
    command = [sys.executable, "-m", "stubgen", *arguments]
    script = ["/bin/sh", "-c", f'exec "$@" {redirection}', "sh", *command]
    done = subprocess.run(script, check=False, stdout=subprocess.PIPE, env=ALONE)
    assert done.returncode == status
    assert json.loads(done.stdout)["status"] == status


@pytest.mark.parametrize("options", [["--help"], ["--version"], ["build", "--help"]])
def test_help_that_cannot_be_printed(options: list[str]) -> None:
    """A script that asks for the version and gets nothing must see that something is wrong."""
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    done = into_a_full_disk(*options)
    assert done.returncode == 5
    assert done.stderr == "hotpatch-stubgen: error: standard output cannot be written: No space left on device\n"


def test_inputs_without_an_end(snapshot: Snapshot, tmp_path: Path) -> None:
    """A named pipe that nobody writes to, or /dev/zero, would hold a command, or all memory, for ever."""
    snapshot()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, kind in ((str(pipe), "a named pipe"), ("/dev/zero", "a device")):
        for command in (
            ["verify", path],
            ["inspect", path],
            ["plan", "--captured", path, "--object", "a.o", "-o", "b"],
        ):
            done = subprocess.run(
                [sys.executable, "-m", "stubgen", *command],
                check=False,
                capture_output=True,
                text=True,
                timeout=120,
                env=ALONE,
            )
            assert (done.returncode, done.stderr) == (3, f"hotpatch-stubgen: error: {path}: is {kind}, not a file\n")


def test_an_inherited_pipe_is_read(snapshot: Snapshot) -> None:
    """``<(...)`` of a shell and ``/dev/stdin`` have an end: they are files like others."""
    snapshot()
    assert main([*BUILD, "-o", "stub.o"]) == 0
    with open("stub.o", "rb") as content:
        command = [sys.executable, "-m", "stubgen", "verify", "/dev/stdin"]
        cat = subprocess.Popen(["cat"], stdin=content, stdout=subprocess.PIPE)
        done = subprocess.run(
            command,
            check=False,
            stdin=cat.stdout,
            capture_output=True,
            text=True,
            env=ALONE,
        )
        assert cat.stdout is not None
        cat.stdout.close()
        cat.wait()
    assert (done.returncode, done.stderr) == (0, "")
    assert "sound" in done.stdout


def test_an_empty_file_name(snapshot: Snapshot, capsys: pytest.CaptureFixture[str]) -> None:
    """A variable that a script forgot to set must be told from a folder."""
    snapshot()
    assert main(["inspect", ""]) == 3
    assert capsys.readouterr().err == "hotpatch-stubgen: error: an empty file name was given\n"


@pytest.mark.parametrize("options", [["-flto"], ["-flto", "-ffat-lto-objects"]], ids=["slim", "fat"])
def test_an_lto_object_of_gcc(tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Its symbols say nothing (slim), or the linker compiles it anew and what was bound is lost (fat)."""
    compiler = str(need("aarch64-linux-gnu-gcc"))
    source, patch, host = (tmp_path / name for name in ("patch.c", "patch.o", "host"))
    source.write_text("int helper(void); int changed(void) { return helper(); }\n")
    run([compiler, "-fPIC", "-c", *options, source, "-o", patch])
    source.write_text("int helper(void) { return 1; } int main(void) { return 0; }\n")
    run([compiler, source, "-o", host])
    stub = tmp_path / "stub.o"
    assert main(["build", "--host", str(host), "--slide", "0x5500000000", "-o", str(stub), str(patch)]) == 3
    complaint = capsys.readouterr().err
    assert f"{patch}: holds GCC's intermediate code (an LTO object)" in complaint
    assert "recompile it without -flto" in complaint
    assert not stub.exists()


def test_a_pipe_as_output(tmp_path: Path) -> None:
    """A pipe with a reader is a place to write to; one without would hold the command, or a server, for ever."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(UsageError, match="is a named pipe that nobody reads"):
        write_output(pipe, b"content")
    content = bytes(range(256)) * 4096  # more than a pipe holds
    with (tmp_path / "out").open("wb") as out:
        reader = subprocess.Popen(["cat", pipe], stdout=out)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            write_output(pipe, content)
            break
        except UsageError:  # cat has not opened it yet
            time.sleep(0.02)
    assert reader.wait() == 0
    assert (tmp_path / "out").read_bytes() == content


ESCAPE = "\x1b]0;owned\x07\x9b31m\r"
SHOWN = r"\x1b]0;owned\x07\x9b31m\x0d"


@pytest.mark.parametrize("place", ["symbol", "file", "linker", "plan", "explanation"])
def test_terminal_escapes_are_shown_and_not_obeyed(
    place: str, snapshot: Snapshot, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A library from elsewhere, or a linker's message about it, could retitle the terminal, or type into it."""
    snapshot()
    if place == "symbol":
        put(tmp_path, "odd.o", elf_object([undefined(f"f{ESCAPE}")]))
        assert main(["build", "--host", "host", "--slide", "0", "odd.o", "-o", "stub.o"]) == 1
    elif place == "file":
        assert main(["inspect", f"no{ESCAPE}"]) == 3
    elif place == "linker":
        linker = tmp_path / "ld"
        linker.write_text(f"#!/bin/sh\nprintf '{ESCAPE}x\\n'\nexit 1\n", "utf-8")
        linker.chmod(0o755)
        record([str(linker), "-o", "host", "main.o"], tmp_path / "captured")
        assert main([*LINK, "-o", "p.so"]) == 4
    else:
        how = ["--explain"] if place == "explanation" else []
        words = ["plan", *how, "--object", "a.o", "-o", f"p{ESCAPE}.so", "--", "cc", "-o", "x", f"-l{ESCAPE}", "b.o"]
        assert main(words) == 0
    captured = capsys.readouterr()
    said = captured.out + captured.err
    if place == "plan":  # for another program
        assert f"-l{ESCAPE}" in said
    else:
        assert SHOWN in said
        assert not set(said) & set("\x1b\x07\x9b\r")


LEASED = """
import os, subprocess, sys, time
from stubgen.common import files
files.lease_mapped()
held = files.read_input("large")
cutter = subprocess.Popen([sys.executable, "-c", "import os; os.truncate('large', 0)"])
time.sleep(0.5)
print(type(held).__name__, bytes(held[-4:]))
del held
print(cutter.wait(), os.path.getsize("large"))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has leases")
@pytest.mark.parametrize("written", [False, True], ids=["at rest", "open for writing"])
def test_a_file_that_is_cut_short_does_not_end_the_command(tmp_path: Path, written: bool) -> None:
    """A linker that writes the host anew while a patch is built: the command ended by SIGBUS, without a word."""
    (tmp_path / "large").write_bytes(bytes(1 << 20) + b"last")
    program = f"keep = open('large', 'ab')\n{LEASED}" if written else LEASED
    environment = {**ALONE, "PATH": os.environ["PATH"]}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path, env=environment)
    kind = "bytes" if written else "mmap"
    assert (done.returncode, done.stdout) == (0, f"{kind} b'last'\n0 0\n"), done.stderr
