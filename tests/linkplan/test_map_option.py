"""How each linker is asked for its map file, and what zig tells instead."""

from __future__ import annotations

import pytest

from stubgen.linkplan import LinkerOs
from stubgen.linkplan.map_option import library_folders, library_query, map_option, prefix_option, told_by_zig

LINUX, MACOS = LinkerOs.LINUX, LinkerOs.MACOS


@pytest.mark.parametrize(
    ("command", "system", "path", "option"),
    [
        ("gcc -shared p.o -o p.so", LINUX, "/t/m", ["-Wl,-Map=/t/m"]),
        ("gcc -shared p.o -o p.so", LINUX, "/t,u/m", ["-Xlinker", "-Map=/t,u/m"]),
        ("ld.lld -shared p.o -o p.so", LINUX, "/t/m", ["-Map=/t/m"]),
        ("ccache clang -target aarch64-linux-android24 -shared p.o", LINUX, "/t/m", ["-Wl,-Map=/t/m"]),
        ("clang -target arm64-apple-macos13 -dynamiclib p.o", MACOS, "/t/m", ["-Wl,-map,/t/m"]),
        ("swiftc -emit-library p.o", MACOS, "/t/m", ["-Xlinker", "-map", "-Xlinker", "/t/m"]),
        ("ld64.lld -arch arm64 -dylib p.o", MACOS, "/t/m", ["-map", "/t/m"]),
        ("zig cc -target aarch64-linux-gnu -shared p.o", LINUX, "/t/m", []),
        ("zig ld.lld -shared p.o", LINUX, "/t/m", ["-Map=/t/m"]),
        ("wild -shared p.o", LINUX, "/t/m", []),
        ("link.exe /dll p.obj", LinkerOs.OTHER, "/t/m", []),
    ],
)
def test_each_linker_is_asked_in_its_own_way(command: str, system: LinkerOs, path: str, option: list[str]) -> None:
    """An option that a linker does not know fails a link that was good."""
    assert map_option(command.split(), system, path) == option


PREFIXED = {
    "clang -target arm64-apple-macos13 -dynamiclib p.o": (MACOS, ["-Wl,-oso_prefix,/t"]),
    "clang -dynamiclib p.o": (MACOS, ["-Wl,-oso_prefix,/t"]),
    "swiftc -emit-library p.o": (MACOS, ["-Xlinker", "-oso_prefix", "-Xlinker", "/t"]),
    "ld64.lld -arch arm64 -dylib p.o": (MACOS, ["-oso_prefix", "/t"]),
    "zig cc -target aarch64-macos -shared p.o": (MACOS, []),
    "gcc -shared p.o": (LINUX, []),
    "clang -shared p.o": (LINUX, []),
    "ld.lld -shared p.o": (LINUX, []),
}


@pytest.mark.parametrize("command", PREFIXED)
def test_where_the_objects_were_is_left_out(command: str) -> None:
    """A patch that names its temporary folder is another one each time; an unknown option fails the link."""
    system, option = PREFIXED[command]
    assert prefix_option(command.split(), system, "/t") == option


def test_zigs_own_words_are_no_messages() -> None:
    """A user would take the linker's command for a warning; the archives in it are those that zig added."""
    command = "ld.lld --error-limit=0 p.o /c/o/1/libc++abi.a --as-needed /c/o/2/libc.so.6 /c/o/3/libcompiler_rt.a"
    assert told_by_zig(f"warning: one\n{command}\nwarning: two") == (
        "warning: one\nwarning: two",
        ("/c/o/1/libc++abi.a", "/c/o/3/libcompiler_rt.a"),
    )
    assert told_by_zig("") == ("", ())
    for linker in ("ld.lld", "zig ld", "lld"):
        assert told_by_zig(f"{linker} p.o /c/libc++.a") == ("", ("/c/libc++.a",))
    assert told_by_zig("lldb: /c/libc++.a") == ("lldb: /c/libc++.a", ())


def test_folders_of_libraries() -> None:
    """A library without versions must be found to be asked what it has."""
    command = "gcc -L lib -L/abs -Wl,-L,other,--library-path=third ./deep/libdep.so.1 -lm p.o"
    folders = ["/b/lib", "/abs", "/b/other", "/b/third", "/b/./deep"]
    assert list(library_folders(command.split(), "/b")) == folders
    command = "gcc --library-directory=lib --library-directory other --library-path= p.o"
    assert list(library_folders(command.split(), "/b")) == ["/b/lib", "/b/other"]
    command = "gcc -Lx -l:libdep.so -Wl,-rpath=/r/libr.so --library-pathological=no -Wl,-Ly -Wl,-L -Wl,z p.o"
    assert list(library_folders(command.split(), "/b")) == ["/b/x", "/b/y", "/b/z"]


def test_the_driver_is_asked_for_its_own() -> None:
    """Its search folders are in no option; the target decides which they are."""
    command = ["ccache", "clang", "-target", "aarch64-linux-gnu", "--sysroot=/s", "-shared", "p.o"]
    asked = ["ccache", "clang", "--sysroot=/s", "-target", "aarch64-linux-gnu", "-print-file-name=libc.so"]
    assert library_query(command, LINUX, "libc.so") == asked
    command = ["clang", "--target=aarch64-linux-gnu", "--sysroot", "/s", "-shared", "p.o", "-target"]
    asked = ["clang", "--target=aarch64-linux-gnu", "--sysroot", "/s", "-print-file-name=libc.so"]
    assert library_query(command, LINUX, "libc.so") == asked
    assert library_query(["gcc", "-shared", "p.o", "--sysroot", "/s"], LINUX, "libc.so") == [
        *("gcc", "--sysroot", "/s", "-print-file-name=libc.so")
    ]
    assert library_query(["ld.lld", "-shared", "p.o"], LINUX, "libc.so") == []
    assert library_query(["zig", "cc", "p.o"], LINUX, "libc.so") == []
    assert library_query(["clang", "-dynamiclib", "p.o"], MACOS, "libSystem.B.dylib") == []
