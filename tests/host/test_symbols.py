"""Hosts whose symbols are in another file: found, told from another build's, and used like the host's own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from live.live import LiveHost
from live.test_bound_elf import ANSWER, STATE, Program, compile_c, link_host
from live.test_macho import toolchain
from live.test_state_macho import compile_patch
from tools import PROGRAMS, need, run

from stubgen.build import StubBuilder
from stubgen.errors import BuildIdRefusal, InputError, SymbolRefusal
from stubgen.host import open_host, symbols
from stubgen.link import link_patch
from stubgen.resolve.resolution import Resolution
from stubgen.resolve.verdicts import Verdict

SLIDE = 0x5500000000

EXTRACTORS = {"objcopy": "aarch64-linux-gnu-objcopy", "llvm-objcopy": "llvm-objcopy-19"}
"""What makes a debug file."""


def debug_file(host: Path, tool: str = "objcopy") -> Path:
    """The host's debug file; it is stripped itself afterwards."""
    path = host.with_suffix(".debug")
    need("aarch64-linux-gnu-as")
    run([EXTRACTORS[tool], "--only-keep-debug", host, path])
    run([EXTRACTORS[tool], "--strip-all", host])
    return path


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """A host with debug information."""
    return link_host(tmp_path, "gnu", "-Wl,--build-id", compile_options=("-g",))


@pytest.fixture
def patch(tmp_path: Path) -> Path:
    """A patch that uses all kinds of things of it."""
    return compile_c(PROGRAMS / "bound_patch.c", tmp_path / "patch.o")


def judged(host: Path, patch: Path, **options: object) -> Resolution:
    """The verdicts on what *patch* needs."""
    return StubBuilder(host, **options).judge([patch], slide=SLIDE, bind=True, keep_state=True)  # type: ignore[arg-type]


def verdicts(resolution: Resolution) -> list[object]:
    """All that is said of each symbol."""
    return [*resolution.decisions(), *resolution.shared_variables]


@pytest.mark.parametrize("tool", EXTRACTORS)
@pytest.mark.parametrize("way", ["named", "unstripped file", "debug link", "hidden folder", "build id"])
def test_a_stripped_host_is_as_good_as_the_whole_one(
    program: Program, patch: Path, way: str, tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Release builds are stripped, and what runs is the stripped file: its symbols are elsewhere."""
    monkeypatch.setattr(symbols, "DEBUG_FOLDER", str(tmp_path / "debug"))
    whole = Path(shutil.copy(program.path, tmp_path / "whole"))
    expected = verdicts(judged(whole, patch))
    debug, options = debug_file(program.path, tool), {}
    with pytest.raises(SymbolRefusal, match=r"its full symbol table is stripped: --symbols"):
        StubBuilder(program.path).build([patch], slide=SLIDE, bind=True)
    if way in ("named", "unstripped file"):
        options["symbols"] = debug if way == "named" else whole
    elif way == "build id":
        digits = (open_host(whole).image.build_id or b"").hex()
        place = tmp_path / "debug" / ".build-id" / digits[:2] / f"{digits[2:]}.debug"
        place.parent.mkdir(parents=True)
        debug.rename(place)
    else:
        run([EXTRACTORS[tool], f"--add-gnu-debuglink={debug}", program.path])
        if way == "hidden folder":
            (tmp_path / ".debug").mkdir()
            debug.rename(tmp_path / ".debug" / debug.name)
    assert verdicts(judged(program.path, patch, **options)) == expected


def test_a_stripped_host_is_patched(program: Program, patch: Path, tmp_path: Path) -> None:
    """The address of every static function and variable comes from the other file, everything else from the host's."""
    debug = debug_file(program.path)
    with LiveHost(program.path) as live:
        builder = StubBuilder(program.path, symbols=debug)
        linked = link_patch(
            *(builder, program.captured, [patch], tmp_path / "patch.so", live.anchor), exports=["patch_main"]
        )
        assert linked.checked.ok
        assert live.patch(tmp_path / "patch.so") == ANSWER
        assert live.tell("state") == STATE
        live.end()


def test_another_builds_symbols_are_refused(program: Program, tmp_path: Path) -> None:
    """Addresses of another build lead into the middle of other functions."""
    debug = debug_file(program.path)
    (tmp_path / "other").mkdir()
    other = link_host(tmp_path / "other", "lld", "-Wl,--build-id")
    with pytest.raises(BuildIdRefusal, match=r"host\.debug: is of build \w+, and \S+ is build"):
        open_host(other.path, symbols=debug)
    with pytest.raises(InputError, match=r"is a debug file, without the program's code and data: .* with --symbols"):
        open_host(debug)


def test_without_a_build_id_the_content_must_be_what_the_link_says(tmp_path: Path) -> None:
    """A file of the right name may be last week's."""
    program = link_host(tmp_path, "gnu", "-Wl,--build-id=none")
    debug = debug_file(program.path)
    with pytest.raises(BuildIdRefusal, match="nothing says that it is of the same build as"):
        open_host(program.path, symbols=debug)
    run([EXTRACTORS["objcopy"], f"--add-gnu-debuglink={debug}", program.path])
    assert open_host(program.path).find([b"unit_count"])
    debug.write_bytes(debug.read_bytes() + b"\0")
    assert not open_host(program.path).find([b"unit_count"])


def test_the_index_is_of_both_files(
    program: Program, patch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index of a stripped host's few symbols must not hide those of its debug file, nor the other way round."""
    from stubgen.host import index

    monkeypatch.setenv("STUBGEN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(index, "SMALLEST", 1)
    monkeypatch.setattr(index, "SETTLED", 0.0)
    whole = Path(shutil.copy(program.path, tmp_path / "whole"))
    expected = verdicts(judged(whole, patch))
    debug = debug_file(program.path)
    assert index.build_index(program.path) != index.build_index(program.path, debug)
    opened = open_host(program.path, symbols=debug)
    assert opened.image.index is not None
    assert verdicts(judged(program.path, patch, symbols=debug)) == expected
    assert open_host(program.path).image.index is not None
    assert not open_host(program.path).find([b"unit_count"])


MACHO_HOST = """
__attribute__((noinline)) static int helper(int x) { static int calls = 3; return x * 3 + calls++; }
static volatile int count = 41; int visible(int x) { return helper(x) + count; }
int main(void) { return visible(3); }
"""


def places(resolution: Resolution) -> list[object]:
    """What each symbol becomes, and where it is; a dSYM does not say which files local symbols are from."""
    return [(d.name, d.verdict, d.static_address, d.runtime_address) for d in resolution.decisions()]


def test_a_dsym_is_found_and_told_from_another(tmp_path: Path) -> None:
    """What is shipped on macOS is stripped: static functions and variables are in the dSYM alone."""
    tools = toolchain("lld")
    compiled = compile_patch(tmp_path, tools, MACHO_HOST, "-g", "-O0").rename(tmp_path / "host-object.o")
    host = tmp_path / "host"
    run([*tools.link, "-o", host, compiled.name], cwd=tmp_path)
    run([need("dsymutil-19"), host])
    patch = tools.object(
        tmp_path,
        "patch",
        "extern volatile int count; int helper(int), visible(int); int p(void) { return helper(count); }",
    )
    bundle = tmp_path / "host.dSYM"
    expected = places(judged(host, patch, symbols=bundle))  # it is looked for where the host is stripped
    assert [verdict for _, verdict, _, _ in expected] == [Verdict.TRAMPOLINE, Verdict.SLOT]
    whole = Path(shutil.copy(host, tmp_path / "whole"))
    run([need("llvm-strip-19"), "--discard-all", "--strip-debug", host])
    hidden = bundle.rename(tmp_path / "kept.dSYM")
    if places(judged(host, patch)) == expected:
        run([need("llvm-strip-19"), "--strip-all", host])
    with pytest.raises(SymbolRefusal, match="_helper"):
        StubBuilder(host).build([patch], slide=SLIDE, bind=True)
    assert places(judged(host, patch, symbols=hidden)) == expected
    hidden.rename(bundle)
    assert places(judged(host, patch)) == expected
    with pytest.raises(InputError, match="is a debug file"):
        open_host(bundle / "Contents" / "Resources" / "DWARF" / "host")
    (tmp_path / "other").mkdir()
    other = tools.object(tmp_path / "other", "host-object", MACHO_HOST.replace("41", "42"))
    run([*tools.link, "-o", "host", other.name], cwd=tmp_path / "other")
    with pytest.raises(BuildIdRefusal, match="is of build"):
        open_host(tmp_path / "other" / "host", symbols=bundle)
    assert open_host(whole, symbols=bundle).find([b"_helper"])
