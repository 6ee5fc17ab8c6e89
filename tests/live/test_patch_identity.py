"""The note in each patch that says whose it is: through every linker, strip and the loader, and held against hosts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from live.live import capture_executable, capturing, stubgen
from live.test_macho import SLIDE, Toolchain, lld, toolchain
from tools import SYSROOT, linker_folder, need, run, zig

from stubgen import (
    HostIdentity,
    PatchIdentity,
    PreviousPatch,
    Source,
    StubBuilder,
    __version__,
    check_patch,
    link_patch,
    newest_capture,
    read_identity,
)
from stubgen.capture import Capture
from stubgen.errors import MalformedInput, PatchRefusal, UsageError
from stubgen.image.identity import BUILD_ID, CODE_DIGEST, UUID
from stubgen.image.opening import open_image

HOST = """
__attribute__((noinline)) int price(int x) { return x + ADDED; }
int checkout(int x) { return price(x); }
int main(void) { return checkout(1); }
"""
PATCH = "int price(int); int checkout(int x) { return 2 * price(x); }"
ELF_SLIDE = 0x5500000000
SESSION = bytes(range(16))

LINKERS = {"bfd": (), "gold": ("aarch64-linux-gnu-ld.gold",), "lld": (), "mold": (), "zig": ()}
OPTIONS = ("-Wl,--build-id=sha1", "-Wl,--build-id=none", "-Wl,--gc-sections,-s")


def elf_program(folder: Path, linker: str, *options: str, added: int = 1) -> tuple[Path, Path]:
    """A host that *linker* linked under capture, and the object of a patch."""
    need(*LINKERS[linker])
    gcc = str(need("aarch64-linux-gnu-gcc"))
    for name, source in (("host", HOST), ("patch", PATCH)):
        (folder / f"{name}.c").write_text(source)
        run([gcc, "-c", "-O1", "-fPIC", f"-DADDED={added}", f"{name}.c", "-o", f"{name}.o"], cwd=folder)
    host, real = folder / "host", gcc
    words = ["-B", linker_folder(folder / "linkers"), f"-fuse-ld={linker}", "-pie", *options]
    if linker == "zig":
        real = " ".join([*zig(), "cc", "-target", "aarch64-linux-gnu"])
        words = ["-pie", *options]
    words = [str(word).replace(",-s", "") for word in words]  # that is about the patch: the host needs its symbols
    run(
        [str(capture_executable(folder)), *words, "host.o", "-o", "host"],
        cwd=folder,
        env=capturing(folder / "captured", real),
    )
    if "-Wl,--gc-sections,-s" in options:
        record = next((folder / "captured").glob("*.json"))
        record.write_text(record.read_text().replace("--gc-sections", "--gc-sections,-s"))
    return host, folder / "patch.o"


def elf_patch(folder: Path, output: str = "patch.so", **options: object) -> Path:
    """The patch of :func:`elf_program`."""
    builder = StubBuilder(folder / "host", cache=False)
    captured = newest_capture(folder / "captured", "host")
    wanted = {"slide": ELF_SLIDE, "exports": ["checkout"], **options}
    link_patch(builder, captured, [folder / "patch.o"], folder / output, **wanted)  # type: ignore[arg-type]
    return folder / output


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("linker", LINKERS)
def test_the_note_outlasts_elf_linkers(linker: str, options: str, tmp_path: Path) -> None:
    """A note that a linker collects lets a runtime refuse every patch, or believe any."""
    host, _ = elf_program(tmp_path, linker, options)
    patch = elf_patch(tmp_path, session_id=SESSION, generation=7)
    identity = read_identity(patch)
    build_id = open_image(host.read_bytes(), "host").build_id
    kind, value = (BUILD_ID, build_id) if build_id else (CODE_DIGEST, identity.host.value if identity else b"")
    assert len(value) >= 16
    assert (kind == BUILD_ID) or "sha1" not in options
    assert (kind == CODE_DIGEST) or "none" not in options
    assert identity == PatchIdentity(ELF_SLIDE, HostIdentity(kind, value), 7, SESSION, __version__)
    notes = run([need("readelf"), "-nW", patch])
    assert re.search(r"stubgen\s+0x0*[0-9a-f]+", notes), notes
    segments = run([need("readelf"), "-lW", patch])
    assert ".note.stubgen" in segments.partition("Segment Sections")[2]
    for strip in ("-s", "--strip-unneeded", "-g"):
        run([need("llvm-strip-19"), strip, "-o", tmp_path / "stripped.so", patch])
        assert read_identity(tmp_path / "stripped.so") == identity
    run(["aarch64-linux-gnu-strip", "-s", "-o", tmp_path / "stripped.so", patch])
    assert read_identity(tmp_path / "stripped.so") == identity


@pytest.mark.parametrize("linker", LINKERS)
def test_the_note_needs_no_stub_object_to_be_known(linker: str, tmp_path: Path) -> None:
    """`jumptable` and `check` with a patch's objects alone: the note must not pass for bytes that nobody brought."""
    host, object_file = elf_program(tmp_path, linker)
    checked = check_patch(elf_patch(tmp_path), host, objects=[object_file])
    assert checked.account is not None
    (note,) = [section for section in checked.account.sections if section.name == ".note.stubgen"]
    assert [share.origin.source for share in note.shares] == [Source.STUB]
    assert not [finding for finding in checked.findings if not finding.ok]


DEAD_STRIPPED = ("-dead_strip", "-x")


@pytest.mark.parametrize("name", ["lld-uuid", "zig"])
def test_the_note_of_a_macho_patch_needs_none_either(name: str, tmp_path: Path) -> None:
    """Likewise in its section of ``__TEXT``."""
    tools = toolchain("zig") if name == "zig" else lld("arm64-apple-macos13.0", ["macos", "13.0", "13.0"])
    patch = macho_patch(tmp_path, tools, [])
    checked = check_patch(patch, tmp_path / "host", objects=[tmp_path / "patch.o"])
    assert checked.account is not None
    (note,) = [section for section in checked.account.sections if section.name == "__TEXT,__stubgen_id"]
    assert [share.origin.source for share in note.shares] == [Source.STUB]
    assert not [finding for finding in checked.findings if not finding.ok]


@pytest.mark.parametrize("name", ["lld", "lld-uuid", "zig"])
def test_the_note_outlasts_macho_linkers(name: str, tmp_path: Path) -> None:
    """-dead_strip takes every section that nobody refers to, but for what says that it shall stay."""
    tools = toolchain("zig") if name == "zig" else lld("arm64-apple-macos13.0", ["macos", "13.0", "13.0"])
    options = ["-Wl,-dead_strip", "-Wl,-x"] if name == "zig" else list(DEAD_STRIPPED)
    options += ["-no_uuid"] if name == "lld" else []
    patch = macho_patch(tmp_path, tools, options)
    identity = read_identity(patch)
    host = open_image((tmp_path / "host").read_bytes(), "host")
    assert identity is not None
    assert identity.host.kind == (CODE_DIGEST if name == "lld" else UUID)
    assert identity.host.value == (host.build_id or identity.host.value)
    assert (identity.slide, identity.session, identity.generation) == (SLIDE, SESSION, 3)
    assert identity.tool == __version__
    sections = run([need("llvm-objdump-19"), "--section-headers", patch])
    assert re.search(r"__stubgen_id\s", sections), sections
    run([need("llvm-strip-19"), "-x", "-o", tmp_path / "stripped.dylib", patch])
    assert read_identity(tmp_path / "stripped.dylib") == identity


def macho_patch(folder: Path, tools: Toolchain, options: list[str], **kept: Path) -> Path:
    """A host and a patch of it, linked with *options*."""
    for name, source in (("main", HOST), ("patch", PATCH)):
        (folder / f"{name}.c").write_text(source)
        run([*tools.compile, "-O1", "-DADDED=1", "-c", f"{name}.c", "-o", f"{name}.o"], cwd=folder)
    keep = [option for option in options if not option.endswith("-x")]
    run([*tools.link, *keep, "-o", "host", "main.o"], cwd=folder)
    captured = Capture([*tools.link, *options, "-o", "host", "main.o"], folder, {}, output="host")
    builder, patch = StubBuilder(folder / "host", cache=False), folder / "patch.dylib"
    identity = {"session_id": SESSION, "generation": 3}
    link_patch(builder, captured, [folder / "patch.o"], patch, slide=SLIDE, exports=["_checkout"], **identity, **kept)  # type: ignore[arg-type]
    return patch


READER = """
#include <dlfcn.h>
#include <stdio.h>
static int show(struct dl_phdr_info *library, size_t size, void *data) {
    struct stubgen_identity identity;
    const uint8_t *host = strstr(library->dlpi_name, data) ? stubgen_note(library, &identity) : 0;
    if (host == 0) return 0;
    printf("%#lx %u %s ", (unsigned long)identity.slide, identity.generation, identity.tool);
    for (int i = 0; i < 16; i++) printf("%02x", identity.session[i]);
    printf(" %u ", identity.host_kind);
    for (unsigned i = 0; i < identity.host_size; i++) printf("%02x", host[i]);
    printf("\\n");
    return 1;
}
int main(int count, char **words) {
    void *library = dlopen(words[1], RTLD_NOW);
    if (library == 0) { puts(dlerror()); return 1; }
    return !dl_iterate_phdr(show, words[1]);
}
"""


@pytest.mark.parametrize("linker", ["bfd", "lld", "mold"])
def test_the_documented_c_reads_it_in_a_process(linker: str, tmp_path: Path) -> None:
    """A runtime that follows the documentation must find the note, wherever the linker put it."""
    host, _ = elf_program(tmp_path, linker, "-Wl,--build-id=sha1")
    patch = elf_patch(tmp_path, session_id=SESSION, generation=9)
    text = (Path(__file__).parents[2] / "docs" / "identity.md").read_text()
    (tmp_path / "reader.c").write_text(text.partition("```c\n")[2].partition("```")[0] + READER)
    run([need("aarch64-linux-gnu-gcc"), "-O1", "reader.c", "-o", "reader"], cwd=tmp_path)
    said = run([need("qemu-aarch64"), "-L", SYSROOT, tmp_path / "reader", patch]).split()
    build_id = open_image(host.read_bytes(), "host").build_id
    assert build_id is not None
    assert said == [hex(ELF_SLIDE), "9", __version__, SESSION.hex(), "1", build_id.hex()]


@pytest.mark.parametrize("build_id", ["sha1", "none"])
def test_a_patch_of_another_build_is_refused(build_id: str, tmp_path: Path) -> None:
    """The addresses of a rebuilt host may fit by chance: its build does not."""
    elf_program(tmp_path, "bfd", f"-Wl,--build-id={build_id}")
    patch = elf_patch(tmp_path)
    assert "identity" in stubgen("check", "--host", tmp_path / "host", patch).stdout
    run(["aarch64-linux-gnu-strip", "-g", tmp_path / "host"])  # the same build, and the same code
    done = stubgen("check", "--host", tmp_path / "host", "--slide", hex(ELF_SLIDE), patch)
    assert done.returncode == 0, done.stdout
    elf_program(tmp_path, "bfd", f"-Wl,--build-id={build_id}", added=2)
    done = stubgen("check", "--host", tmp_path / "host", patch)
    assert done.returncode == 1
    assert "NO  identity" in done.stdout
    assert "it was linked for another build of the host (" in done.stdout
    table = ("-o", tmp_path / "table.json", "--object", tmp_path / "patch.o")
    done = stubgen("jumptable", "--host", tmp_path / "host", *table, patch)
    assert done.returncode == 1
    assert "identity: it was linked for another build of the host (" in done.stderr
    previous = ("--previous", f"{patch}@0x7f00000000", "--slide", hex(ELF_SLIDE))
    done = stubgen("build", "--host", tmp_path / "host", *previous, "-o", tmp_path / "stub.o", tmp_path / "patch.o")
    assert done.returncode == 1
    assert "is no earlier patch of this process: it was linked for another build of the host (" in done.stderr


def test_a_patch_of_another_process_is_refused(tmp_path: Path) -> None:
    """A patch without stubs fits every slide by its addresses; the pointers in its data do not."""
    elf_program(tmp_path, "bfd")
    patch = elf_patch(tmp_path)
    done = stubgen("check", "--host", tmp_path / "host", "--slide", hex(ELF_SLIDE + 0x10000), patch)
    assert done.returncode == 1
    assert "it was linked for slide 0x5500000000, and the process has its host at slide 0x5500010000" in done.stdout


def test_a_patch_of_another_session_is_refused(tmp_path: Path) -> None:
    """A state file of another process that runs the same build would name patches that this one never loaded."""
    elf_program(tmp_path, "bfd")
    first = elf_patch(tmp_path, "first.so", session_id=SESSION, generation=1)
    previous = [PreviousPatch(first, 0x7F00000000)]
    with pytest.raises(PatchRefusal, match=r"first\.so: is a patch of another session, 000102030405.*; this one is 09"):
        elf_patch(tmp_path, "second.so", session_id=b"\x09" * 16, generation=2, previous=previous)
    second = elf_patch(tmp_path, "second.so", session_id=SESSION, generation=2, previous=previous)
    identity = read_identity(second)
    assert identity is not None
    assert (identity.session, identity.generation) == (SESSION, 2)
    for wrong in (b"short", "text" * 4):
        with pytest.raises(UsageError, match="a session is told from others by 16 bytes"):
            elf_patch(tmp_path, "third.so", session_id=wrong)
    with pytest.raises(UsageError, match="generation"):
        elf_patch(tmp_path, "third.so", generation="1")


def test_inspect_shows_it(tmp_path: Path) -> None:
    """Whoever finds a patch wants to know whose it is, without the host's file."""
    elf_program(tmp_path, "lld", "-Wl,--build-id=0xfeed")
    patch = elf_patch(tmp_path, session_id=SESSION, generation=4)
    words = f"build id feed at slide 0x5500000000, generation 4 of session {SESSION.hex()}, by stubgen {__version__}"
    assert words in stubgen("inspect", patch).stdout
    assert json.loads(stubgen("inspect", "--json", patch).stdout)["identity"] == {
        "host": {"kind": "build id", "value": "feed"},
        "slide": ELF_SLIDE,
        "session": SESSION.hex(),
        "generation": 4,
        "tool": __version__,
    }


def test_a_linker_that_drops_it_is_told_of(tmp_path: Path) -> None:
    """A linker script may discard notes; who relies on them has to know before the patch is refused elsewhere."""
    elf_program(tmp_path, "bfd")
    patch = elf_patch(tmp_path, stub=tmp_path / "stub.o")
    bare = tmp_path / "bare.so"
    run([need("llvm-objcopy-19"), "--remove-section=.note.stubgen", patch, bare])
    assert read_identity(bare) is None
    checked = check_patch(bare, tmp_path / "host", stub=tmp_path / "stub.o", objects=[tmp_path / "patch.o"])
    notes = [finding.message for finding in checked.findings if finding.check == "identity"]
    assert notes == ["the linker dropped its identity note: a runtime that looks for one will refuse the patch"]
    alone = check_patch(bare, tmp_path / "host")
    assert not [finding for finding in alone.findings if finding.check == "identity"]


@pytest.mark.parametrize(("session", "generation"), [(b"\x09" * 16, 1), (SESSION, 2)])
def test_another_links_output_is_refused(session: bytes, generation: int, tmp_path: Path) -> None:
    """A cache in front of the linker may hand over an earlier library: a runtime takes it for that patch or refuses."""
    elf_program(tmp_path, "bfd")
    elf_patch(tmp_path, "old.so", session_id=SESSION, generation=1)
    elf_patch(tmp_path, session_id=session, generation=generation, stub=tmp_path / "stub.o")
    checked = check_patch(
        tmp_path / "old.so", tmp_path / "host", stub=tmp_path / "stub.o", objects=[tmp_path / "patch.o"]
    )
    wrong = [finding.message for finding in checked.findings if not finding.ok]
    assert wrong == ["its identity note is not the stub object's: the linker handed over another link's output"]


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (0, 2, "has layout 2, and this version reads layout 1"),
        (48, 9, "says nothing sound"),
        (52, 999, "nothing sound"),
    ],
)
def test_a_broken_note(at: int, value: int, message: str, tmp_path: Path) -> None:
    """What cannot be read must not pass for a patch without a note."""
    elf_program(tmp_path, "bfd", "-Wl,--build-id=sha1")
    patch = elf_patch(tmp_path)
    content = bytearray(patch.read_bytes())
    start = content.index(b"stubgen\0") + 8 + at
    content[start : start + 4] = value.to_bytes(4, "little")
    patch.write_bytes(content)
    with pytest.raises(MalformedInput, match=message):
        read_identity(patch)


@pytest.mark.parametrize("linker", LINKERS)
def test_nothing_collects_the_note(linker: str, tmp_path: Path) -> None:
    """Nobody refers to it, and who links a patch without a plan collects what nobody refers to."""
    elf_program(tmp_path, linker)
    elf_patch(tmp_path, stub=tmp_path / "stub.o")
    command = [str(need("aarch64-linux-gnu-gcc")), "-B", str(linker_folder(tmp_path / "linkers")), f"-fuse-ld={linker}"]
    if linker == "zig":
        command = [*zig(), "cc", "-target", "aarch64-linux-gnu"]
    assert read_identity(tmp_path / "stub.o") is not None
    run([*command, "-shared", "-Wl,--gc-sections", "-s", "stub.o", "patch.o", "-o", "own.so"], cwd=tmp_path)
    assert read_identity(tmp_path / "own.so") == read_identity(tmp_path / "stub.o")


@pytest.mark.parametrize("name", ["lld", "zig"])
def test_nothing_strips_the_note_as_dead(name: str, tmp_path: Path) -> None:
    """The same of Mach-O, where -dead_strip is what everybody's release builds have."""
    tools = toolchain(name)
    macho_patch(tmp_path, tools, [], stub=tmp_path / "stub.o")
    words = ["-dynamiclib", "-Wl,-dead_strip", "-Wl,-x"] if name == "zig" else ["-dylib", "-dead_strip", "-x"]
    assert read_identity(tmp_path / "stub.o") is not None
    linker = [word for word in tools.link if word != "-execute"]
    run([*linker, *words, "stub.o", "patch.o", "-o", "own.dylib"], cwd=tmp_path)
    assert read_identity(tmp_path / "own.dylib") == read_identity(tmp_path / "stub.o")
