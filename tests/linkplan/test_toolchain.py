"""Which program a command runs, and which grammar its arguments follow."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from stubgen.errors import PlanRefusal, UsageError
from stubgen.linkplan import Action, CapturedCommand, LinkerOs, build_link_plan
from stubgen.linkplan.toolchain import (
    _PLATFORMS,
    FOREIGN_OPTIONS,
    FOREIGN_PATHS,
    FOREIGN_PROGRAMS,
    FOREIGN_TARGETS,
    GPU_TARGETS,
    Dialect,
    Family,
    family_of,
    find_toolchain,
    read_command,
)


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
        ("clang++.bat", Family.DRIVER),
        ("tools/cc_wrapper", Family.DRIVER),
        ("cc-wrapper", Family.DRIVER),
        ("zigcxx-aarch64-unknown-linux-gnu-3b2c.sh", Family.DRIVER),
        ("gcc-x-12", None),
        ("gcc-12x", None),
        ("gccx", None),
        ("foxld", None),
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
        ("cc -Wl,-x,-dead_strip", Family.LD64, True),
        ("cc -Wl,-x,--as-needed,-dead_strip", Family.GNU, True),
        ("cc -fuse-ld=nothing -Wl,-z,now", Family.GNU, True),
        ("rust-lld x.o darwin -z now", Family.GNU, False),
        ("lld -z now", Family.GNU, False),
        ("lld -flavor", Family.GNU, False),
        ("lld", Family.GNU, False),
        ("rust-lld --flavor DARWIN", Family.LD64, False),
        ("lld -dead_strip", Family.LD64, False),
    ],
)
def test_the_grammar_comes_from_the_arguments(command: str, family: Family, driver: bool) -> None:
    """``cc`` and ``ld`` exist on every system; read by the wrong table, half the options would be inputs."""
    toolchain = find_toolchain(shlex.split(command), os=LinkerOs.LINUX)
    assert (toolchain.family, toolchain.driver) == (family, driver)


@pytest.mark.parametrize("system", ["darwin", "linux"])
def test_what_arguments_leave_open_the_caller_settles(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain ``cc x.o`` says nothing; the builder knows what its host is, and else it is this system's."""
    monkeypatch.setattr("sys.platform", system)
    assert find_toolchain(["cc", "x.o"], os=LinkerOs.MACOS).family is Family.LD64
    assert find_toolchain(["cc", "x.o"], os=LinkerOs.LINUX).family is Family.GNU
    here = Family.LD64 if system == "darwin" else Family.GNU
    assert find_toolchain(["cc", "x.o"]).family is here
    assert find_toolchain(["cc", "x.o", "-fuse-ld=nothing"]).family is here
    assert read_command(CapturedCommand(["cc", "x.o"]), os=LinkerOs.MACOS).toolchain.family is Family.LD64


@pytest.mark.parametrize(
    ("command", "target"),
    [
        ("clang -target arm64-apple-macos12 x.o", "arm64-apple-macos12"),
        ("clang --target=arm64-apple-macos12 x.o", "arm64-apple-macos12"),
        ("clang --target arm64-apple-macos12 x.o", "arm64-apple-macos12"),
        ("clang x.o --target=aarch64-linux-gnu", "aarch64-linux-gnu"),
        ("ld -platform_version macos 12 12 x.o", "apple-macos"),
        ("ld -platform_version 1 12 12 x.o", "apple-macos"),
        ("ld -platform_version 12 12 12 x.o", "apple-xros-simulator"),
        ("clang x.o -target", ""),
        ("aarch64-linux-gnu-gcc x.o", "aarch64-linux-gnu"),
        ("/x/aarch64-linux-android24-clang++ x.o", "aarch64-linux-android24"),
        ("my-gcc x.o", ""),
        ("gcc x.o", ""),
        ("cc -L/r/lib/rustlib/aarch64-unknown-linux-gnu/lib x.o", "aarch64-unknown-linux-gnu"),
        (r"cc -LC:\r\lib\rustlib\aarch64-unknown-linux-gnu\lib x.o", "aarch64-unknown-linux-gnu"),
        ("PATH=/r/lib/rustlib/x86_64-apple-darwin/bin cc x.o", ""),
        ("xcrun -sdk iphonesimulator clang x.o", "apple-ios-simulator"),
    ],
)
def test_the_target_as_far_as_it_is_said(command: str, target: str) -> None:
    """The target decides what can be patched at all, and for which linker the plan is."""
    assert find_toolchain(shlex.split(command.replace("\\", "\\\\")), os=LinkerOs.LINUX).target == target


@pytest.mark.parametrize(
    ("command", "program", "cxx"),
    [
        ("ccache clang++-19 x.o", "clang++-19", True),
        ("gcc x.o", "gcc", False),
        ("cargo-zigbuild zig c++ -- x.o", "c++", True),
        ("cargo-zigbuild zig cc -- x.o", "cc", False),
        ("zigcxx-aarch64-linux-gnu-1.sh x.o", "zigcxx-aarch64-linux-gnu-1", True),
        ("zigcc-aarch64-linux-gnu-1.sh x.o", "zigcc-aarch64-linux-gnu-1", False),
        ("python3 linker_driver.py -Wcrl,driver,clang++ x.o", "clang++", True),
        ("/opt/bin/mpicxx x.o", "mpicxx", True),
        ("icpx-2024 x.o", "icpx-2024", True),
        ("rust-lld -flavor gnu x.o", "rust-lld", False),
        ("new++ -o a x.o", "new++", True),
    ],
)
def test_which_drivers_link_the_cxx_library(command: str, program: str, cxx: bool) -> None:
    """Zig's is an archive, which the host has in it: a patch's link would look into it again."""
    toolchain = find_toolchain(shlex.split(command), os=LinkerOs.LINUX)
    assert (toolchain.program, toolchain.cxx) == (program, cxx)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        *((f"cc x.o {option}", f"the linker of {system};") for option, system in FOREIGN_OPTIONS.items()),
        *((f"{folder}ld x.o", f"the linker of {system};") for folder, system in FOREIGN_PATHS.items()),
        *((f"clang --target=x{part}- x.o", f"the linker of {system};") for part, system in FOREIGN_TARGETS.items()),
        *((f"{start}ld x.o", f"the linker of {system};") for start, system in FOREIGN_PROGRAMS.items()),
        *((f"clang --target=x{part} x.o", "GPU device code") for part in GPU_TARGETS),
        ("link -buildmode=exe x.o", "Go's own package format"),
        ("link -extld gcc x.o", "Go's own package format"),
        ("/go/pkg/tool/linux_arm64/link x.o", "Go's own package format"),
        ("arm-none-eabi-gcc x.o", "arm-none-eabi: links a static program"),
        ("xtensa-gcc -o a x.o", "xtensa-gcc: links a static program"),
        ("clang --target=ARM-none-eabi x.o", "ARM-none-eabi: links a static program"),
        ("@gone.rsp", "@gone.rsp: the response file holds the whole command"),
        ("cc @gone.rsp @lost.rsp", "@gone.rsp: the response file holds the whole command"),
    ],
)
def test_what_no_patch_can_be_loaded_into(command: str, reason: str, tmp_path: Path) -> None:
    """A plan would link with whatever the system calls ``ld``, for a system whose loader nobody has seen."""
    with pytest.raises(PlanRefusal, match=re.escape(reason)):
        read_command(CapturedCommand(command.split(), directory=tmp_path))


def test_one_response_file_that_is_gone_is_not_all(tmp_path: Path) -> None:
    """What the others say is known, and the plan says what is missing."""
    line = read_command(CapturedCommand(["cc", "@gone.rsp", "x.o"], directory=tmp_path))
    assert line.arguments == ["@gone.rsp", "x.o"]
    assert read_command(CapturedCommand(["cc"])).arguments == []
    assert read_command(CapturedCommand(["ccache", "@gone.rsp", "cc"])).arguments == []


def test_microsofts_linkers_quote_in_their_own_way(tmp_path: Path) -> None:
    """There a backslash is a letter of a path."""
    (tmp_path / "a.rsp").write_text('C:\\o\\x.obj "a b.obj"')
    (tmp_path / "kept").write_text("C:\\o\\y.obj")
    for program, words in (
        ("lld-link.exe", ["C:\\o\\x.obj", "a b.obj", "C:\\o\\y.obj"]),
        ("gcc", ["C:ox.obj", "a b.obj", "C:oy.obj"]),
    ):
        captured = CapturedCommand(
            [program, "@a.rsp", "@b.rsp"], directory=tmp_path, response_files={"b.rsp": str(tmp_path / "kept")}
        )
        assert read_command(captured, os=LinkerOs.OTHER).arguments == words


@pytest.mark.parametrize(("number", "system"), _PLATFORMS.items())
def test_platforms_of_load_commands(number: str, system: str) -> None:
    """Phones map no writable page as executable, and simulators are programs of the Mac."""
    command = ["ld", "-platform_version", number, "12", "12", "x.o"]
    if "simulator" in system or system in ("macos", "ios-macabi"):
        assert find_toolchain(command).target == f"apple-{system}"
    else:
        with pytest.raises(PlanRefusal, match=f"apple-{system}: an iOS device"):
            find_toolchain(command)


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
        ("A=1 zig cc -lm", "env A=1 zig cc -lm"),
        ("A=1 python3 -m ziglang cc -lm", "env A=1 python3 -m ziglang cc -lm"),
        ("env A=1 ccache zig c++ -lm", "env A=1 ccache zig c++ -lm"),
        ("py -m ziglang c++ -lm", "py -m ziglang c++ -lm"),
        ("python3 linker_driver.py -Wcrl,driver,clang++ -lm", "clang++ -lm"),
        ("python3.11 -B linker_driver.py -Wcrl,driver,clang++ -lm", "clang++ -lm"),
        (
            "env PYTHON=/bin/python3 ccache linker_driver.py -Wcrl,driver,clang++ -lm",
            "env PYTHON=/bin/python3 ccache clang++ -lm",
        ),
        ("sh ./libtool --tag=CC --mode=link gcc -lm", "gcc -lm"),
        ("aarch64-linux-gnu-libtool --tag=CC --mode=link gcc -lm", "gcc -lm"),
        ("nice -n 19 clang -lm", "nice -n 19 clang -lm"),
        ("launcher clang -lm", "launcher clang -lm"),
        ("launcher a.cfg A=1 clang -lm", "launcher a.cfg A=1 clang -lm"),
        ("launcher --log x -- clang -lm", "clang -lm"),
        ("launcher -- clang -lm", "clang -lm"),
        ("ccache -ld clang -lm", "ccache -ld clang -lm"),
        ("python3.11 -u wrapper.py clang -lm", "python3.11 -u wrapper.py clang -lm"),
        ("a-b=1 clang -lm", "a-b=1 clang -lm"),
    ],
)
def test_wrappers(command: str, planned: str) -> None:
    """What only starts the compiler stays; what touches the full build's outputs goes."""
    plan = build_link_plan(shlex.split(command), objects=["p.o"], output="p.so", os=LinkerOs.LINUX)
    captured = [word for edit in plan.edits if edit.action is not Action.ADDED for word in edit.after]
    assert all(edit.why for edit in find_toolchain(shlex.split(command), os=LinkerOs.LINUX).edits)
    if "env" in planned and "env" not in command:
        captured.insert(0, "env")
    assert shlex.join(captured) == planned
    assert shlex.join(plan.args).startswith(planned)
    assert plan.args[: plan.fixed][-1] not in ("-lm", "-shared")


def test_a_compiler_that_no_table_names() -> None:
    """Vendors rename compilers faster than tables grow; options say what the name does not."""
    plan = build_link_plan(["newcc", "-o", "cc", "x.o", "-lm"], objects=["p.o"], output="p.so", os=LinkerOs.LINUX)
    assert plan.args[:4] == ("newcc", "p.o", "-lm", "-shared")
    for options in ("-o a x.o", "-Wl,-x x.o", "-Xlinker -x x.o", "-lm x.o", "-L. x.o", "x.o -lm", "x.o -o a", "-lm"):
        assert find_toolchain(["newcc", *options.split()], os=LinkerOs.LINUX).arguments == 1


def test_dialects() -> None:
    """Zig and Swift take other options than gcc and clang for the same things."""
    assert find_toolchain(["zig", "cc"]).dialect is Dialect.ZIG
    assert find_toolchain(["zigcc-aarch64-unknown-linux-gnu-3b2c.sh"]).dialect is Dialect.ZIG
    assert find_toolchain(["swiftc", "-target", "x86_64-unknown-linux-gnu"]).dialect is Dialect.SWIFT
    assert find_toolchain(["clang"]).dialect is Dialect.COMMON


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("make all", "make: is not a linker or compiler driver; it runs the build"),
        ("A=1", "the captured command names no linker"),
        ("", "the captured command is empty"),
        ("ccache", "ccache: runs no linker or compiler driver that this tool knows"),
        ("ccache -lm", "ccache: runs no linker or compiler driver that this tool knows"),
        ("rust-lld -flavor nope", "-flavor nope: lld has no such flavor"),
        ("zig", "zig: runs no linker or compiler driver that this tool knows"),
        ("zig build-exe x.zig -lc", "zig build-exe: is no link command"),
        ("newcc x.o", "newcc: not a linker or compiler driver"),
        ("-lm x.o", "-lm: not a linker or compiler driver"),
        ("launcher --", "launcher: not a linker or compiler driver"),
        ("launcher -x clang", "launcher: not a linker or compiler driver"),
        ("launcher -x -- unknown clang", "launcher: not a linker or compiler driver"),
        ("sh", "sh: is not a linker or compiler driver; it runs the words"),
        ("sh ./libtool", "sh: is not a linker or compiler driver; it links nothing"),
        ("sh -c gcc", "sh: is not a linker or compiler driver; it runs the words"),
        ("libtool -static a.o -o liba.a", "libtool: is not a linker or compiler driver; it links nothing"),
        ("arm-libtool -static a.o", "arm-libtool: is not a linker or compiler driver; it links nothing"),
        ("sh ./libtool --mode=compile gcc a.c", "sh: is not a linker or compiler driver; it links nothing"),
        ("cmake --mode=link gcc", "cmake: is not a linker or compiler driver; it runs the build"),
        ("gcc x.o && strip a", "&&: is the shell's"),
    ],
)
def test_no_linker_is_one_sentence(command: str, reason: str) -> None:
    """The wrong line of a build log."""
    with pytest.raises(UsageError, match=re.escape(reason)):
        find_toolchain(shlex.split(command))
