"""A host exports its anchor because its link was captured so, with every linker, and its patches have tables."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from live.live import LiveHost, capture_executable, capturing, compiling, stubgen
from live.test_macho import SLIDE
from tools import PROGRAMS, SYSROOT, linker_folder, need, run, rustc, zig

from stubgen.capture import Capture, newest_capture
from stubgen.capture.outputs import host_identity_of_file
from stubgen.image.opening import open_image

HOST = """
#include <stdio.h>
__attribute__((noinline)) int price(int x) { return x + 1; }
int checkout(int x) { return price(x); }
int main(void) { printf("anchor %p\\n", (void *)&main); return checkout(1) == 0; }
"""
BARE = """
__attribute__((noinline)) int price(int x) { return x + 1; }
int checkout(int x) { return price(x); }
int main(void) { return checkout(1); }
"""
PATCH = "int price(int); int checkout(int x) { return 2 * price(x); }"
ELF_SLIDE = 0x5500000000

DRIVERS = {
    "bfd": ("aarch64-linux-gnu-gcc", "-fuse-ld=bfd", "-pie"),
    "gold": ("aarch64-linux-gnu-gcc", "-fuse-ld=gold", "-pie"),
    "lld": ("aarch64-linux-gnu-gcc", "-fuse-ld=lld", "-pie"),
    "mold": ("aarch64-linux-gnu-gcc", "-fuse-ld=mold", "-pie"),
    "not position-independent": ("aarch64-linux-gnu-gcc", "-fuse-ld=bfd", "-no-pie", "-Wl,--gc-sections"),
    "clang": ("clang-19", "--target=aarch64-linux-gnu", "-fuse-ld=lld", "-pie", "-Wl,--gc-sections"),
    "zig": ("zig", "-target", "aarch64-linux-gnu", "-pie"),
}


def environment(folder: Path, real: str) -> dict[str, str]:
    """What a build is run in whose programs shall export main."""
    return {**capturing(folder / "captured", real), "STUBGEN_EXPORT_ANCHOR": "main"}


def objects(folder: Path, *compiler: str, host: str = HOST) -> None:
    """The objects of a host and of its patch."""
    for name, source in (("host", host), ("patch", PATCH)):
        (folder / f"{name}.c").write_text(source)
        run([*compiler, "-O1", "-fPIC", "-c", f"{name}.c", "-o", f"{name}.o"], cwd=folder)


def captured_link(folder: Path, real: str, *words: object) -> Capture:
    """The host, linked under capture; the record."""
    command = [str(capture_executable(folder)), *map(str, words), "host.o", "-o", "host"]
    run(command, cwd=folder, env=environment(folder, real))
    return newest_capture(folder / "captured", "host")


def table(folder: Path, anchor: int, name: str = "main", patch: str = "patch.o") -> dict[str, object]:
    """The jump table of a patch of the host, as subsecond has it."""
    done = stubgen(
        *("link", "--host", folder / "host", "--captured", folder / "captured", "--aslr-reference", hex(anchor)),
        *("--anchor", name, "--jump-table", folder / "table.json", "-o", folder / "patch.so", folder / patch),
    )
    assert done.returncode == 0, done.stderr
    document: dict[str, object] = json.loads((folder / "table.json").read_text())
    return document


def static_address(host: Path, name: str) -> int:
    """Where *host* has *name*."""
    found = open_image(host.read_bytes(), "host").find([name.encode()])
    return next(candidate.address for candidate in found[name.encode()])


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_driver_links_a_program_that_exports_it(driver: str, tmp_path: Path) -> None:
    """Without it dlsym finds no anchor, the process reports 0, and every table is refused after the build is done."""
    program, *words = DRIVERS[driver]
    if driver == "gold":
        need("aarch64-linux-gnu-ld.gold")
    objects(tmp_path, str(need("aarch64-linux-gnu-gcc")))
    real = " ".join([*zig(), "cc"]) if program == "zig" else str(need(program))
    folder = [] if program == "zig" else ["-B", linker_folder(tmp_path / "linkers")]
    capture = captured_link(tmp_path, real, *folder, *words)
    assert capture.status == 0
    assert list(capture.added) == (["-rdynamic"] if driver == "zig" else ["-Wl,--export-dynamic-symbol=main"])
    assert b"main" in open_image((tmp_path / "host").read_bytes(), "host").exports()
    assert driver == "zig" or b"price" not in open_image((tmp_path / "host").read_bytes(), "host").exports()
    anchor = static_address(tmp_path / "host", "main")
    slide = 0 if "-no-pie" in words else ELF_SLIDE
    if driver != "zig":  # whose glibc is not that of the machine
        command = [str(need("qemu-aarch64")), "-L", str(SYSROOT), str(tmp_path / "host")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert re.fullmatch(r"anchor 0x[0-9a-f]+\n", done.stdout)
        anchor = int(done.stdout.split()[1], 16)
        slide = 0
    assert table(tmp_path, anchor + slide)["aslr_reference"] == static_address(tmp_path / "host", "main")
    plan = ("plan", "--captured", tmp_path / "captured", "--host", tmp_path / "host", "--object", "p.o", "-o", "p.so")
    assert "for the host to export its anchor" in stubgen(*plan, "--explain").stdout
    assert capture.added[-1] not in stubgen(*plan).stdout.splitlines()


@pytest.mark.parametrize("linker", ["aarch64-linux-gnu-ld", "aarch64-linux-gnu-ld.gold", "ld.lld-19", "mold"])
def test_a_linker_by_itself(linker: str, tmp_path: Path) -> None:
    """Kernels of build systems run the linker without a driver, which then takes no -Wl."""
    objects(tmp_path, str(need("aarch64-linux-gnu-gcc")), host=BARE)
    capture = captured_link(tmp_path, str(need(linker)), "-pie", "-e", "main", "--dynamic-linker=/lib/ld")
    assert list(capture.added) == ["--export-dynamic-symbol=main"]
    assert b"main" in open_image((tmp_path / "host").read_bytes(), "host").exports()


@pytest.mark.parametrize("linker", ["bfd", "gold", "lld", "mold"])
def test_what_a_version_script_hides(linker: str, tmp_path: Path) -> None:
    """Mold alone exports it all the same; with the others the script has to name it, and the refusal comes in time."""
    if linker == "gold":
        need("aarch64-linux-gnu-ld.gold")
    objects(tmp_path, str(need("aarch64-linux-gnu-gcc")))
    (tmp_path / "hides.map").write_text("{ global: checkout; local: *; };\n")
    words = ["-B", linker_folder(tmp_path / "linkers"), f"-fuse-ld={linker}", "-pie", "-Wl,--version-script=hides.map"]
    captured_link(tmp_path, str(need("aarch64-linux-gnu-gcc")), *words)
    exports = open_image((tmp_path / "host").read_bytes(), "host").exports()
    assert (b"main" in exports) == (linker == "mold")


MACHO = {
    "lld": ([], ()),
    "lld with a list": (["-exported_symbols_list", "list"], ("-exported_symbol", "_main")),
    "lld dead-stripped": (["-dead_strip", "-exported_symbol", "_checkout"], ("-exported_symbol", "_main")),
    "zig": ([], ()),
}


@pytest.mark.parametrize("name", MACHO)
def test_a_macho_program(name: str, tmp_path: Path) -> None:
    """Apple's linkers export all that is visible, and an option for one symbol would hide everything else."""
    options, added = MACHO[name]
    (tmp_path / "list").write_text("_checkout\n")
    if name == "zig":
        real, words = " ".join([*zig(), "cc"]), ["-target", "aarch64-macos"]
        objects(tmp_path, *zig(), "cc", *words, host=BARE)
    else:
        real = str(need("ld64.lld-19"))
        words = ["-arch", "arm64", "-platform_version", "macos", "13.0", "13.0", "-execute"]
        objects(tmp_path, str(need("clang-19")), "--target=arm64-apple-macos13.0", host=BARE)
    capture = captured_link(tmp_path, real, *words, *options)
    assert capture.added == added
    assert {b"_main", b"_checkout"} <= open_image((tmp_path / "host").read_bytes(), "host").exports()
    anchor = static_address(tmp_path / "host", "_main")
    assert table(tmp_path, anchor + SLIDE, "_main")["aslr_reference"] == anchor


RUST = """
#[inline(never)] fn price(x: i32) -> i32 { x + 1 }
unsafe extern "C" { fn dlsym(library: *mut (), name: *const std::ffi::c_char) -> *mut (); }
fn main() {
    println!("anchor {:p}", unsafe { dlsym(std::ptr::null_mut(), c"main".as_ptr()) });
    assert_eq!(price(1), 2);
}
"""


@pytest.mark.parametrize("linker", ["bfd", "lld", "mold"])
@pytest.mark.parametrize("profile", ["-Copt-level=0", "-Copt-level=3 -Clink-dead-code"])
def test_a_rust_program(linker: str, profile: str, tmp_path: Path) -> None:
    """Rustc hides main from the loader, whatever the profile, and its users know no linker's options."""
    (tmp_path / "host.rs").write_text(RUST)
    arguments = [
        f"-Clink-arg={word}" for word in ("-B", str(linker_folder(tmp_path / "linkers")), f"-fuse-ld={linker}")
    ]
    command = [*rustc(), "--edition", "2024", *profile.split(), f"-Clinker={capture_executable(tmp_path)}", *arguments]
    gcc = str(need("aarch64-linux-gnu-gcc"))
    run([*command, "host.rs", "-o", "host"], cwd=tmp_path, env=environment(tmp_path, gcc))
    capture = newest_capture(tmp_path / "captured", "host")
    assert capture.added == ("-Wl,--export-dynamic-symbol=main",)
    assert b"main" in open_image((tmp_path / "host").read_bytes(), "host").exports()
    done = run([str(need("qemu-aarch64")), "-L", str(SYSROOT), str(tmp_path / "host")])
    (tmp_path / "patch.c").write_text("long own(long x) { return x; }")
    run([gcc, "-O1", "-fPIC", "-c", "patch.c", "-o", "patch.o"], cwd=tmp_path)
    found = table(tmp_path, int(done.split()[1], 16))
    assert found["aslr_reference"] == static_address(tmp_path / "host", "main")


def test_a_cargo_build(tmp_path: Path) -> None:
    """A build links build scripts, proc macros and libraries besides: none of those may fail, or change."""
    cargo, driver = need("cargo", "aarch64-linux-gnu-gcc")
    compiler, _, sysroot, *_ = rustc()
    package = tmp_path / "package"
    (package / "src").mkdir(parents=True)
    (package / "Cargo.toml").write_text(
        '[package]\nname = "host"\nversion = "0.1.0"\nedition = "2024"\n'
        '[lib]\nname = "shared"\ncrate-type = ["cdylib"]\npath = "src/lib.rs"\n[workspace]\n'
    )
    (package / "src/main.rs").write_text(RUST)
    (package / "src/lib.rs").write_text('#[unsafe(no_mangle)] pub extern "C" fn api() -> i32 { 1 }\n')
    target = "AARCH64_UNKNOWN_LINUX_GNU"
    variables = {
        **environment(tmp_path, str(driver)),
        "RUSTC": compiler,
        f"CARGO_TARGET_{target}_LINKER": str(capture_executable(tmp_path)),
        f"CARGO_TARGET_{target}_RUSTFLAGS": f"--sysroot {sysroot}",
        "CARGO_TARGET_DIR": str(tmp_path / "target"),
    }
    variables.pop("RUSTUP_TOOLCHAIN", None)
    run([cargo, "build", "--offline", "--target", "aarch64-unknown-linux-gnu"], cwd=package, env=variables)
    built = tmp_path / "target/aarch64-unknown-linux-gnu/debug"
    assert b"main" in open_image((built / "host").read_bytes(), "host").exports()
    assert newest_capture(tmp_path / "captured", "host").added
    assert newest_capture(tmp_path / "captured", "libshared.so").added == ()
    assert b"api" in open_image((built / "libshared.so").read_bytes(), "lib").exports()


def test_a_living_process_finds_its_anchor(tmp_path: Path) -> None:
    """The whole of it: the command line's option, a program that asks dlsym for its anchor, and a patch in it."""
    gcc = str(need("aarch64-linux-gnu-gcc"))
    for name in ("host", "patch"):
        source = PROGRAMS / f"{name}.c"
        run([gcc, "-c", "-O1", "-fPIC", source, "-o", tmp_path / f"{name}.o"])
    link = [gcc, "-pie", tmp_path / "host.o", "-o", tmp_path / "host"]
    done = stubgen("capture", "--dir", tmp_path / "captured", "--export-anchor", "main", "--json", "--", *link)
    assert json.loads(done.stdout)["added"] == ["-Wl,--export-dynamic-symbol=main"]
    with LiveHost(tmp_path / "host") as live:
        assert table(tmp_path, live.anchor)["aslr_reference"] == static_address(tmp_path / "host", "main")
        assert live.patch(tmp_path / "patch.so")
        live.end()
    static = [gcc, "-static", tmp_path / "host.o", "-o", tmp_path / "fixed"]
    done = stubgen("capture", "--dir", tmp_path / "captured", "--export-anchor", "main", "--", *static)
    assert done.returncode == 0
    assert "main is given no option: the link makes a static program, which loads no patch" in done.stderr
    for wrong, status in (("ma*n", 2), ("", 2)):
        words = ("capture", "--dir", tmp_path / "captured", "--export-anchor", wrong, "--", *link)
        assert stubgen(*words).returncode == status


@pytest.mark.parametrize("fails", ["always", "with the option"])
def test_a_linker_that_does_not_take_the_option(fails: str, tmp_path: Path) -> None:
    """A linker from before the option must not break the build, and one that fails anyway fails as it did."""
    test = "exit 3" if fails == "always" else 'case "$*" in *export*) exit 3;; esac; echo > app'
    linker = tmp_path / "ld.bfd"
    linker.write_text(f"#!/bin/sh\necho linked >> log\n{test}\n")
    linker.chmod(0o755)
    command = [str(capture_executable(tmp_path)), "a.o", "-o", "app"]
    variables = environment(tmp_path, str(linker))
    done = subprocess.run(command, cwd=tmp_path, env=variables, check=False, capture_output=True, text=True)
    assert done.returncode == (3 if fails == "always" else 0)
    assert done.stderr.count("warning: the link fails with --export-dynamic-symbol=main, and is done again") == 1
    assert (tmp_path / "log").read_text() == "linked\n" * 2
    (record,) = (tmp_path / "captured").glob("*.json")
    capture = Capture.load(record)
    assert (capture.argv, capture.added) == ([str(linker), "a.o", "-o", "app"], ())
    assert capture.status == done.returncode
    assert json.loads(record.read_text())["not_exported"] == "the linker fails with --export-dynamic-symbol=main"


def test_a_link_through_the_compiler_executable(tmp_path: Path) -> None:
    """One CC may do both: what it links is captured, exports the anchor and is known by its build as well."""
    gcc = str(need("aarch64-linux-gnu-gcc"))
    objects(tmp_path, gcc)
    command = [compiling(tmp_path), gcc, "-pie", "host.o", "-o", "host"]
    run(command, cwd=tmp_path, env=environment(tmp_path, gcc))
    capture = newest_capture(tmp_path / "captured", "host")
    assert (capture.status, capture.added) == (0, ("-Wl,--export-dynamic-symbol=main",))
    assert capture.identity == host_identity_of_file(tmp_path / "host")
    assert b"main" in open_image((tmp_path / "host").read_bytes(), "host").exports()


def test_a_name_that_is_none_does_not_stop_the_build(tmp_path: Path) -> None:
    """A build's variables come from files that people edit."""
    objects(tmp_path, str(need("aarch64-linux-gnu-gcc")))
    variables = {**environment(tmp_path, str(need("aarch64-linux-gnu-gcc"))), "STUBGEN_EXPORT_ANCHOR": "main,x"}
    command = [str(capture_executable(tmp_path)), "host.o", "-o", "host"]
    done = subprocess.run(command, cwd=tmp_path, env=variables, check=False, capture_output=True, text=True)
    assert done.returncode == 0
    assert "warning: main,x is not exported for a runtime: the anchor to export is 'main,x'" in done.stderr
    assert newest_capture(tmp_path / "captured", "host").status == 0
