"""Which program a command runs, and which grammar its arguments follow."""

from __future__ import annotations

import shlex

import pytest

from stubgen.errors import UsageError
from stubgen.linkplan import Action, LinkerOs, build_link_plan
from stubgen.linkplan.toolchain import Dialect, Family, family_of, find_toolchain


@pytest.mark.parametrize(
    ("program", "family"),
    [
        ("cc", Family.DRIVER),
        ("/usr/bin/x86_64-linux-gnu-gcc-12", Family.DRIVER),
        ("g++-11.2", Family.DRIVER),
        ("clang++-19", Family.DRIVER),
        ("aarch64-linux-android24-clang++", Family.DRIVER),
        (r"C:\ndk\toolchains\llvm\bin\clang++.exe", Family.DRIVER),
        ("aarch64-linux-android21-clang.cmd", Family.DRIVER),
        ("ccache-apple-clang++", Family.DRIVER),
        ("external/local_config_cc/cc_wrapper.sh", Family.DRIVER),
        ("wrapped_clang", Family.DRIVER),
        ("zigcc-aarch64-unknown-linux-gnu-3b2c.sh", Family.DRIVER),
        ("aarch64-linux-gnu-gfortran", Family.DRIVER),
        ("swiftc", Family.DRIVER),
        ("/usr/libexec/gcc/x86_64-linux-gnu/13/collect2", Family.GNU),
        ("aarch64-linux-gnu-ld.gold", Family.GNU),
        ("ld.lld-19", Family.GNU),
        ("ld.lld.exe", Family.GNU),
        ("mold", Family.GNU),
        ("ld64.lld-19", Family.LD64),
        ("arm64-apple-darwin22-ld", Family.ANY_LD),
        ("aarch64-linux-gnu-ld", Family.ANY_LD),
        ("rust-lld", Family.FLAVOR),
        ("lld-link.exe", Family.MSVC),
        ("link.exe", Family.MSVC),
        ("wasm-ld-19", Family.WASM),
        ("make", None),
        ("builder", None),
        ("c++filt", None),
        ("old", None),
        ("", None),
    ],
)
def test_program_names(program: str, family: Family | None) -> None:
    """Cross-compilers, versions, wrappers and Windows endings hide the name that counts."""
    assert family_of(program) is family


@pytest.mark.parametrize(
    ("command", "family", "driver"),
    [
        ("clang -target aarch64-linux-gnu", Family.GNU, True),
        ("clang --target=arm64-apple-macos12", Family.LD64, True),
        ("clang --target=aarch64-linux-android24", Family.GNU, True),
        ("cc -arch arm64", Family.LD64, True),
        ("cc -fuse-ld=bfd", Family.GNU, True),
        ("cc -fuse-ld=/usr/bin/ld.gold", Family.GNU, True),
        ("cc --ld-path=/opt/bin/ld64.lld-19", Family.LD64, True),
        ("clang -target arm64-apple-macos12 -fuse-ld=lld", Family.LD64, True),
        ("cc -Wl,-soname,x", Family.GNU, True),
        ("cc -Wl,-dead_strip", Family.LD64, True),
        ("cc -isysroot /X/MacOSX.platform/Developer/SDKs/MacOSX.sdk", Family.LD64, True),
        ("cc -mmacosx-version-min=11.0 x.o", Family.LD64, True),
        ("cc -L/r/lib/rustlib/x86_64-apple-darwin/lib -l System", Family.LD64, True),
        ("aarch64-linux-android24-clang x.o", Family.GNU, True),
        ("x86_64-apple-darwin20-clang x.o", Family.LD64, True),
        ("ld -dylib -arch arm64", Family.LD64, False),
        ("ld -z now", Family.GNU, False),
        ("/X/XcodeDefault.xctoolchain/usr/bin/ld x.o", Family.LD64, False),
        ("rust-lld -flavor gnu -arch", Family.GNU, False),
        ("lld -flavor darwin", Family.LD64, False),
        ("rust-lld -flavor link", Family.MSVC, False),
        ("zig cc -target aarch64-macos", Family.LD64, True),
        ("zig ld.lld x.o", Family.GNU, False),
    ],
)
def test_the_grammar_comes_from_the_arguments(command: str, family: Family, driver: bool) -> None:
    """``cc`` and ``ld`` exist on every system; read by the wrong table, half the options would be inputs."""
    toolchain = find_toolchain(shlex.split(command))
    assert (toolchain.family, toolchain.driver) == (family, driver)


def test_what_arguments_leave_open_the_caller_settles() -> None:
    """A plain ``cc x.o`` says nothing; the builder knows what its host is."""
    assert find_toolchain(["cc", "x.o"], os=LinkerOs.MACOS).family is Family.LD64
    assert find_toolchain(["cc", "x.o"], os=LinkerOs.LINUX).family is Family.GNU


@pytest.mark.parametrize(
    ("command", "planned"),
    [
        ("ccache clang -lm", "ccache clang -lm"),
        ("ccache /usr/bin/aarch64-linux-gnu-g++-12 -lm", "ccache /usr/bin/aarch64-linux-gnu-g++-12 -lm"),
        ("xcrun -sdk macosx clang -lm", "xcrun -sdk macosx clang -lm"),
        ("env A=1 clang -lm", "env A=1 clang -lm"),
        ("env - PATH=/bin CC=/usr/bin/gcc clang -lm", "env - PATH=/bin CC=/usr/bin/gcc clang -lm"),
        ("TOOL_VERSION=1 B=2 clang -lm", "env TOOL_VERSION=1 B=2 clang -lm"),
        ("zig cc -lm", "zig cc -lm"),
        ("python3 -m ziglang cc -lm", "python3 -m ziglang cc -lm"),
        ("cargo-zigbuild zig cc -- -lm", "cargo-zigbuild zig cc -- -lm"),
        ("hotpatch-stubgen-linker clang -lm", "clang -lm"),
        ("time clang -lm", "clang -lm"),
        ("linker_driver.py -Wcrl,strippath,/x/strip clang++ -lm", "clang++ -lm"),
        ("python3 gcc_solink_wrapper.py --output=./x.so -- clang++ -lm", "clang++ -lm"),
        ("cce_omp_offload_linker --arch gfx -- /x/ld.lld -lm", "/x/ld.lld -lm"),
        ("rust-lld -flavor gnu -lm", "rust-lld -flavor gnu -lm"),
    ],
)
def test_wrappers(command: str, planned: str) -> None:
    """What only starts the compiler stays; what touches the full build's outputs goes."""
    plan = build_link_plan(shlex.split(command), objects=["p.o"], output="p.so", os=LinkerOs.LINUX)
    captured = [word for edit in plan.edits if edit.action is not Action.ADDED for word in edit.after]
    if "env" in planned and "env" not in command:
        captured.insert(0, "env")
    assert shlex.join(captured) == planned
    assert shlex.join(plan.args).startswith(planned)
    assert plan.args[: plan.fixed][-1] not in ("-lm", "-shared")


def test_a_compiler_that_no_table_names() -> None:
    """Vendors rename compilers faster than tables grow; options say what the name does not."""
    plan = build_link_plan(["newcc", "-o", "cc", "x.o", "-lm"], objects=["p.o"], output="p.so", os=LinkerOs.LINUX)
    assert plan.args[:4] == ("newcc", "p.o", "-lm", "-shared")


def test_dialects() -> None:
    """Zig and Swift take other options than gcc and clang for the same things."""
    assert find_toolchain(["zig", "cc"]).dialect is Dialect.ZIG
    assert find_toolchain(["zigcc-aarch64-unknown-linux-gnu-3b2c.sh"]).dialect is Dialect.ZIG
    assert find_toolchain(["swiftc", "-target", "x86_64-unknown-linux-gnu"]).dialect is Dialect.SWIFT
    assert find_toolchain(["clang"]).dialect is Dialect.COMMON


@pytest.mark.parametrize(
    "command", ["make all", "A=1", "ccache", "rust-lld -flavor nope", "zig", "zig build-exe x.zig -lc"]
)
def test_no_linker_is_one_sentence(command: str) -> None:
    """The wrong line of a build log."""
    with pytest.raises(UsageError):
        find_toolchain(shlex.split(command))
