"""How a crate is built: rustc's options, chosen by the seed; its objects; what a host has of the library."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from functools import cache
from pathlib import Path
from random import Random

from adversary.model import Program
from adversary.rust_crates import CRATE, LIBRARY, root_text
from adversary.rust_source import rust_text
from adversary.toolchains import HERE, LINKERS, SESSIONS, Build, linkers, scratch
from live.live import capture_executable, capturing
from tools import need, run, rustc

from stubgen.capture import record_compile

UNITS = "units"
"""The folder of a crate's objects."""

GUARD = """#![no_main]
#[unsafe(no_mangle)] pub extern "C" fn computed(value: u64) -> u64 { std::hint::black_box(value) }
#[unsafe(no_mangle)] pub extern "C" fn guarded(called: extern "C-unwind" fn(u64) -> u64, argument: u64) -> u64 {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| called(argument))) {
        Ok(value) => value,
        Err(thrown) => *thrown.downcast::<u64>().unwrap(),
    }
}
"""
"""What calls an entry of the program, and stops its panics."""
RECORDED_GUARD = f"mod guard {{\n{GUARD.partition(chr(10))[2]}}}\n"
"""The same as a module of the program's crate."""

SYSTEM = ("-Wl,-Bdynamic", "-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl", "-lc", "-nodefaultlibs")


def choose(random: Random, how: str) -> Build:
    """A build by chance; *how* is "patch" where it is recorded."""
    debug = random.randrange(100) < 80
    options = [f"-Copt-level={random.choice(('0', '1', '2', '3', '3', 's'))}", f"-Cdebuginfo={2 if debug else 0}"]
    options.append(f"-Ccodegen-units={random.choice((1, 1, 2, 4, 16))}")
    options.append(f"--crate-type={random.choice(('rlib', 'bin'))}")
    if random.randrange(2):
        options.append("-Csymbol-mangling-version=v0")
    if random.randrange(4) == 0:
        options.append("-Cpanic=abort")
    if random.randrange(4):
        options.append("-Cllvm-args=-enable-global-merge=false")
    linker = random.choice(("bfd", "lld", "lld", "mold", "mold", "gold"))
    link = ["-Wl,--gc-sections"] if random.randrange(3) else []
    if linker in ("lld", "mold") and random.randrange(12) == 0:
        link.append("-Wl,--icf=all")
    way = random.choice(("newer", "named")) if how == "patch" else "library"
    return Build("rust", "rustc", tuple(options), (), linker, tuple(link), random.choice(SESSIONS), debug, way)


def write_crates(folder: Path, program: Program, files: Collection[str], guard: str = "") -> list[str]:
    """Write modules and the roots of their crates; the names of the crates, a library first."""
    for file in files:
        (folder / f"{file}.rs").write_text(rust_text(program, file))
    crates = [LIBRARY, CRATE] if program.library else [CRATE]
    for crate in crates:
        text = root_text(program, crate) + (guard if crate == CRATE else "")
        root = folder / f"{crate}.rs"
        if not root.exists() or root.read_text() != text:
            root.write_text(text)
    return crates


def compile_crates(build: Build, folder: Path, program: Program) -> list[Path]:
    """Write the crates and compile them; their objects, one for each codegen unit."""
    crates = write_crates(folder, program, [file.name for file in program.files])
    shutil.rmtree(folder / UNITS, ignore_errors=True)
    for crate in crates:
        words = [*_compiling(build, crate), "--out-dir", UNITS, "--emit=obj,metadata"]
        words += ["--extern", f"{LIBRARY}={UNITS}/lib{LIBRARY}.rmeta"] if crate == CRATE and len(crates) > 1 else []
        run([*words, f"{crate}.rs"], cwd=folder)
    units = folder / UNITS
    return [path for each in crates for path in sorted(units.glob(f"{each}.*.rcgu.o")) or [units / f"{each}.o"]]


def _compiling(build: Build, crate: str) -> list[str]:
    """The command that compiles a crate, up to its inputs and outputs."""
    options = [each for each in build.options if crate == CRATE or not each.startswith("--crate-type")]
    kind = ["--crate-type=rlib"] if crate == LIBRARY else []
    return [*rustc(), "--edition=2024", f"--crate-name={crate}", *kind, *options]


def build_recorded(build: Build, folder: Path, program: Program, entries: Path) -> None:
    """Compile the crates and link the program with rustc, as cargo does, and record all of it."""
    crates = write_crates(folder, program, [file.name for file in program.files], RECORDED_GUARD)
    run([str(need("llvm-ar-19")), "rcs", "libruntime.a", str(runtime_objects()[0]), str(entries)], cwd=folder)
    gcc = str(need("aarch64-linux-gnu-gcc"))
    linking = ["-fuse-ld=" + LINKERS[build.linker], f"-B{linkers()}", "-Wl,--export-dynamic-symbol=main"]
    for crate in crates:
        words = [each for each in _compiling(build, crate) if not each.startswith("--crate-type=bin")]
        if crate == LIBRARY:
            words += ["--emit=dep-info,metadata,link", "--out-dir", "."]
        else:
            words = [each for each in words if not each.startswith("--crate-type=")]
            words += ["--crate-type=bin", "--emit=dep-info,link", "-o", "host", "-L", "native=."]
            words += ["-l", "static:+whole-archive=runtime", f"-Clinker={capture_executable(folder)}"]
            words += [f"-Clink-arg={word}" for word in (*linking, *build.link_options)]
            words += ["--extern", f"{LIBRARY}=lib{LIBRARY}.rlib"] if len(crates) > 1 else []
        words.append(f"{crate}.rs")
        record_compile(words, folder / "captured", directory=str(folder), environment={})
        run(words, cwd=folder, env=capturing(folder / "captured", gcc))


@cache
def runtime_objects() -> tuple[Path, ...]:
    """The runtime, what calls entries, and the allocator's shim, compiled once."""
    source, runtime = scratch() / "guard.rs", scratch() / "runtime.rust.o"
    source.write_text(GUARD)
    words = [*rustc(), "--edition=2024", "-Ccodegen-units=1", "-Copt-level=1", "-Csave-temps", "-Clinker=true"]
    run([*words, source.name, "-o", "guard"], cwd=scratch())
    gcc = str(need("aarch64-linux-gnu-gcc"))
    run([gcc, "-O1", "-fPIC", "-fno-builtin", "-c", str(HERE / "runtime.c"), "-o", str(runtime)])
    return (runtime, *sorted(scratch().glob("guard.*.rcgu.o")))


@cache
def libraries() -> tuple[str, ...]:
    """What a Rust program is linked with, as rustc says it."""
    words = [*rustc(), "--edition=2024", "-Clinker=true", "--print=link-args", "guard.rs", "-o", "printed"]
    runtime_objects()
    said = run(words, cwd=scratch()).replace('"', " ").split()
    return ("-Wl,-Bstatic", *(word for word in said if word.endswith(".rlib")), *SYSTEM)
