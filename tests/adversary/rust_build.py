"""How a crate is built: rustc's options, chosen by the seed; its objects; what a host has of the library."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path
from random import Random

from adversary.model import Program
from adversary.rust_source import CRATE, root_text, rust_text
from adversary.toolchains import HERE, SESSIONS, Build, scratch
from tools import need, run, rustc

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

SYSTEM = ("-Wl,-Bdynamic", "-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl", "-lc", "-nodefaultlibs")


def choose(random: Random) -> Build:
    """A build by chance."""
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
    return Build("rust", "rustc", tuple(options), (), linker, tuple(link), random.choice(SESSIONS), debug)


def compile_crate(build: Build, folder: Path, program: Program) -> list[Path]:
    """Write the crate and compile it; its objects, one for each codegen unit."""
    for file in program.files:
        (folder / f"{file.name}.rs").write_text(rust_text(program, file.name))
    (folder / "lib.rs").write_text(root_text(program))
    shutil.rmtree(folder / UNITS, ignore_errors=True)
    words = [*rustc(), "--edition=2024", f"--crate-name={CRATE}", *build.options, "--emit=obj", "--out-dir", UNITS]
    run([*words, "lib.rs"], cwd=folder)
    return sorted((folder / UNITS).glob("*.rcgu.o")) or [folder / UNITS / f"{CRATE}.o"]


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
