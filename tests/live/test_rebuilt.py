"""A host that was linked again since its link was captured is noticed, by its build id or by its code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from live.live import capture_executable, capturing, stubgen
from live.test_macho import SLIDE, Toolchain, lld, toolchain
from live.test_patch_identity import ELF_SLIDE, HOST, LINKERS, PATCH, elf_program
from tools import need, run

from stubgen.capture import newest_capture
from stubgen.capture.outputs import host_identity_of_file, identity_of_file
from stubgen.image.identity import identity_of
from stubgen.image.opening import open_image


def linked(folder: Path, *options: str, slide: int = ELF_SLIDE, export: str = "checkout") -> tuple[int, str]:
    """Exit status and complaint of a link of the patch."""
    done = stubgen(
        *("link", "--host", folder / "host", "--captured", folder / "captured", "--slide", hex(slide)),
        *("--export", export, *options, "-o", folder / "patch.so", folder / "patch.o"),
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("build_id", ["sha1", "none"])
@pytest.mark.parametrize("linker", LINKERS)
def test_an_elf_host_that_was_linked_again(linker: str, build_id: str, tmp_path: Path) -> None:
    """The captured command may be of a debug build and the host of a release: the patch is linked as no host was."""
    option = f"-Wl,--build-id={build_id}"
    elf_program(tmp_path, linker, option)
    capture = newest_capture(tmp_path / "captured", "host")
    assert capture.status == 0
    assert capture.identity == identity_of(open_image((tmp_path / "host").read_bytes(), "host"))
    assert capture.identity is not None
    assert capture.identity.kind == {"sha1": 1, "none": 3}[build_id]
    for tool, *words in (
        ("llvm-strip-19", "-g"),
        ("aarch64-linux-gnu-strip", "--strip-debug"),
        ("aarch64-linux-gnu-objcopy", "--add-section=.extra=patch.c", "--set-section-flags=.extra=readonly,code"),
        ("llvm-objcopy-19", "--add-section=.further=patch.c", "--compress-debug-sections=zlib"),
    ):
        run([str(need(tool)), *words, "host"], cwd=tmp_path)
        assert linked(tmp_path) == (0, ""), tool
    for strip in ("llvm-strip-19", "aarch64-linux-gnu-strip"):
        run([str(need(strip)), "-s", "-o", tmp_path / "stripped", tmp_path / "host"])
        assert host_identity_of_file(tmp_path / "stripped") == capture.identity
    (record,) = (tmp_path / "captured").glob("*.json")
    old = record.read_text()
    elf_program(tmp_path, linker, option, added=2)
    (new,) = set((tmp_path / "captured").glob("*.json")) - {record}
    assert linked(tmp_path) == (0, "")  # it was captured again
    new.unlink()
    status, complaint = linked(tmp_path)
    assert status == 1
    assert f"host: is {'build id' if build_id == 'sha1' else 'code digest'} " in complaint
    assert ": capture the link of this build too, or add --allow-rebuilt if" in complaint
    plan = ("plan", "--captured", tmp_path / "captured", "--host", tmp_path / "host", "-o", "p.so", "--object", "a.o")
    done = stubgen(*plan)
    assert (done.returncode, "and the captured link wrote" in done.stderr) == (1, True)
    assert stubgen(*plan, "--allow-rebuilt").returncode == 0
    assert linked(tmp_path, "--allow-rebuilt") == (0, "")
    record.write_text(json.dumps({k: v for k, v in json.loads(old).items() if k not in ("status", "identity")}))
    assert linked(tmp_path) == (0, "")  # as an older version recorded it


@pytest.mark.parametrize("name", ["lld", "lld-uuid", "zig"])
def test_a_macho_host_that_was_linked_again(name: str, tmp_path: Path) -> None:
    """The same of Mach-O, where LC_UUID tells, or the code."""
    tools = toolchain("zig") if name == "zig" else lld("arm64-apple-macos13.0", ["macos", "13.0", "13.0"])
    options = ["-no_uuid"] if name == "lld" else []
    macho_program(tmp_path, tools, options)
    capture = newest_capture(tmp_path / "captured", "host")
    assert capture.identity == identity_of(open_image((tmp_path / "host").read_bytes(), "host"))
    assert capture.identity is not None
    assert capture.identity.kind == (3 if name == "lld" else 2)
    for words in (("-S",), ("-x",)):
        run([str(need("llvm-strip-19")), *words, "-o", "stripped", "host"], cwd=tmp_path)
        assert host_identity_of_file(tmp_path / "stripped") == capture.identity
    kept = {"slide": SLIDE, "export": "_checkout"}
    assert linked(tmp_path, **kept) == (0, "")  # type: ignore[arg-type]
    macho_program(tmp_path, tools, options, added=2)
    for path in sorted((tmp_path / "captured").glob("*.json"))[1:]:
        path.unlink()
    status, complaint = linked(tmp_path, **kept)  # type: ignore[arg-type]
    assert (status, "and the captured link wrote" in complaint) == (1, True)


def macho_program(folder: Path, tools: Toolchain, options: list[str], added: int = 1) -> None:
    """A host, linked under capture, and the object of a patch."""
    for name, source in (("main", HOST), ("patch", PATCH)):
        (folder / f"{name}.c").write_text(source)
        run([*tools.compile, "-O1", f"-DADDED={added}", "-c", f"{name}.c", "-o", f"{name}.o"], cwd=folder)
    real, *words = map(str, tools.link)
    if len(words) > 2 and words[0] == "-m":  # python -m ziglang
        real, words = " ".join([real, *words]), []
    command = [str(capture_executable(folder)), *words, *options, "-o", "host", "main.o"]
    run(command, cwd=folder, env=capturing(folder / "captured", real))


def test_the_record_of_this_very_build_is_taken(tmp_path: Path) -> None:
    """debug/app and release/app have one name; the newest record is that of whichever was built last."""
    for folder in ("debug", "release"):
        (tmp_path / folder).mkdir()
        elf_program(tmp_path / folder, "bfd", f"-Wl,--defsym={folder}=1", added=len(folder))
        for path in (tmp_path / folder / "captured").glob("*.json"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    for folder in ("debug", "release"):
        identity = host_identity_of_file(tmp_path / folder / "host")
        assert f"-Wl,--defsym={folder}=1" in newest_capture(tmp_path, "host", identity).argv
    assert "-Wl,--defsym=release=1" in newest_capture(tmp_path, "host").argv


@pytest.mark.parametrize(
    "content", [b"", b"\x7fELF", b"\x7fELF\2\1" + b"\xff" * 200, b"\xcf\xfa\xed\xfe" + b"\xff" * 90]
)
def test_an_output_that_cannot_be_read_tells_nothing(content: bytes, tmp_path: Path) -> None:
    """A broken output, or none, is the linker's business; the record must be finished all the same."""
    (tmp_path / "out").write_bytes(content)
    assert identity_of_file(tmp_path / "out") is None
    assert identity_of_file(tmp_path / "none") is None
    assert identity_of_file(tmp_path) is None
