"""Which program a captured command runs, what stands in front of it, and which grammars its arguments follow.

The program's name decides, then ``-flavor``, then what the arguments say of the target; only a plain ``ld`` or
``cc`` without any of these falls back to the system that this runs on.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from stubgen.errors import PlanRefusal, UsageError
from stubgen.linkplan.options import Grammar


class LinkerOs(Enum):
    """The system that the patch is linked for, as far as a linker command depends on it."""

    MACOS = "macos"
    """macOS and the iOS simulator: ld64-style linkers."""
    LINUX = "linux"
    """Linux and Android: GNU-style linkers."""
    OTHER = "other"
    """Windows-style commands: inputs and output are stripped, nothing is added but the new ones."""


class Family(Enum):
    """What a program's name says of its command line."""

    DRIVER = "driver"
    GNU = "gnu"
    LD64 = "ld64"
    ANY_LD = "ld"
    """``ld``: GNU-style or Apple's."""
    FLAVOR = "flavor"
    """``lld``, ``rust-lld``: ``-flavor`` says."""
    MSVC = "msvc"
    WASM = "wasm"
    UNSUPPORTED = "unsupported"


PROGRAMS: dict[Family, str] = {
    Family.DRIVER: (
        "cc c++ gcc g++ clang clang++ clang-cpp gfortran flang flang-new ifort ifx icc icpc icx icpx dpcpp pgcc pgc++ "
        "pgfortran pgf90 nvc nvc++ nvfortran xlc xlc++ xlf mpicc mpicxx mpic++ mpifort mpif90 gdc ldc2 gnat gccgo "
        "egcc hipcc armclang craycc crayCC cray-cc f77 f90 f95 g77 cpp xgcc xg++ tcc swiftc zigcc zigcxx gnatlink"
    ),
    Family.GNU: "ld.bfd ld.gold ld.lld ld.mold mold gold collect2 ld.wild wild real-ld ld-new ld.qcld ld.eld",
    Family.LD64: "ld64 ld64.lld ld-classic ld-prime ld_classic zld sold",
    Family.ANY_LD: "ld",
    Family.FLAVOR: "lld rust-lld gcc-ld",
    Family.MSVC: "link lld-link cl clang-cl",
    Family.WASM: "wasm-ld rust-wasm-ld emcc em++ wasm-component-ld",
    Family.UNSUPPORTED: "nvcc nvlink",
}

FLAVORS: dict[str, Family] = {
    "gnu": Family.GNU,
    "ld": Family.GNU,
    "ld.lld": Family.GNU,
    "darwin": Family.LD64,
    "ld64": Family.LD64,
    "ld64.lld": Family.LD64,
    "link": Family.MSVC,
    "lld-link": Family.MSVC,
    "wasm": Family.WASM,
    "wasm-ld": Family.WASM,
}
"""Operands of lld's ``-flavor``."""

KEPT_WRAPPERS = {
    "ccache": "runs the compiler that follows",
    "sccache": "runs the compiler that follows",
    "distcc": "runs the compiler that follows",
    "icecc": "runs the compiler that follows",
    "gomacc": "runs the compiler that follows",
    "env": "sets the environment of the program that follows",
    "nice": "runs the program that follows",
    "xcrun": "finds the program that follows in the selected SDK",
    "python": "runs the program that follows",
    "python3": "runs the program that follows",
    "zig": "its first argument names the compiler",
}
"""Programs in front of the linker that the patch's link goes through as well."""

DROPPED_WRAPPERS = {
    "hotpatch-stubgen-linker": "would record the patch's link as a link of the host",
    "linker_driver.py": "strips and post-processes the fat build's output",
    "gcc_link_wrapper.py": "writes files beside the fat build's output",
    "gcc_solink_wrapper.py": "writes files beside the fat build's output",
    "link_wrapper": "post-processes the fat build's output",
    "time": "measures the fat build",
}
"""Programs in front of the linker that would do something to the fat build's outputs."""

BARE_METAL = ("-none-eabi", "-none-elf", "-unknown-none", "-none-eabihf", "xtensa-", "-uefi")
"""Parts of a target's name that say: no dynamic loader."""

IOS_LIKE = ("ios", "tvos", "watchos", "xros", "visionos", "iphoneos", "appletvos")

LD64_SIGNS = frozenset(
    "-arch -dylib -dynamiclib -framework -platform_version -macosx_version_min -ios_version_min "
    "-iphoneos_version_min -syslibroot -install_name -dead_strip -headerpad_max_install_names "
    "-search_paths_first -exported_symbols_list -undefined -force_load -all_load -lSystem -stdlib=libc++ "
    "-weak_framework -no_pie -bundle -dylib_install_name -compatibility_version -current_version".split()
)
"""Options that only Apple's linker and the drivers for it have."""

GNU_SIGNS = frozenset(
    "--as-needed --no-as-needed -soname --eh-frame-hdr --build-id --hash-style=gnu --hash-style=both -z "
    "--start-group --end-group --gc-sections --no-undefined -Bstatic -Bdynamic -Bsymbolic -dynamic-linker "
    "--dynamic-linker --whole-archive --export-dynamic -znoexecstack -rdynamic -static-libgcc".split()
)
"""Options that only GNU-style linkers and the drivers for them have."""

UNSUPPORTED_SIGNS = {
    "-bexpall": "AIX",
    "-bnoipath": "AIX",
    "-b32": "AIX",
    "-b64": "AIX",
    "-berok": "AIX",
    "+s": "HP-UX",
}
UNSUPPORTED_PATHS = {"/usr/ccs/bin/": "Solaris and HP-UX"}


class Toolchain(NamedTuple):
    """What the first arguments of a command are."""

    front: tuple[str, ...]
    """Arguments in front that stay, the program itself last (``ccache clang``, ``zig cc``)."""
    edits: tuple[tuple[str, str, str], ...]
    """(argument, "kept" or "dropped" or "added", why) for each of them and for those that go."""
    arguments: int
    """Index of the first argument after them."""
    driver: bool
    """A compiler driver: linker options need ``-Wl,``."""
    family: Family
    """The linker's family: GNU, LD64 or MSVC."""
    zig: bool
    target: str
    """The target's name as far as the arguments say it, or ``""``."""

    def linker_grammar(self) -> Grammar:
        """The linker's own option table."""
        if self.family is Family.LD64:
            from stubgen.linkplan import ld64_options

            return ld64_options.grammar()
        from stubgen.linkplan import gnu_options

        return gnu_options.grammar()

    def driver_grammar(self) -> Grammar:
        """The driver's option table."""
        from stubgen.linkplan import driver_options

        return driver_options.grammar()


def program_name(path: str) -> str:
    """The name that says what *path* is: no folder, no ``.exe``, no version."""
    name = path.replace("\\", "/").rpartition("/")[2]
    for ending in (".exe", ".cmd", ".bat", ".sh"):
        name = name.removesuffix(ending)
    return name


def family_of(path: str) -> Family | None:
    """What the name of the program *path* says, or None: not a linker or a driver."""
    name = program_name(path)
    while name:
        for start in range(len(name)):  # the longest ending at a word boundary: aarch64-linux-android24-clang
            if start == 0 or name[start - 1] in "-_":
                family = _BY_NAME.get(name[start:])
                if family is not None:
                    return family
        shorter = name.rstrip("0123456789.")
        if shorter == name:
            first = name.partition("-")[0]
            return Family.DRIVER if first in ("zigcc", "zigcxx") else None
        name = shorter.rstrip("-")
    return None


_BY_NAME = {name: family for family, names in PROGRAMS.items() for name in names.split()}


def find_toolchain(argv: Sequence[str], *, os: LinkerOs | None = None) -> Toolchain:
    """Find the program in *argv* and decide how its arguments are read; *os* settles what they leave open.

    Raises:
        UsageError: no argument is a linker or a compiler driver.
        PlanRefusal: hot-patching cannot work for what the command links.
    """
    if not argv:
        raise UsageError("the captured command is empty; give the linker's name and its arguments")
    edits, at, zig = _walk_wrappers(argv)
    program = argv[at]
    family = Family.DRIVER if zig and program in ("cc", "c++") else family_of(program)
    front = [text for text, action, _ in edits if action != "dropped"]
    front.append(program)
    edits.append((program, "kept", "the program that links"))
    at += 1
    if zig and at < len(argv) and argv[at] == "--":  # cargo-zigbuild: `zig cc -- ARGS`
        front.append("--")
        edits.append(("--", "kept", "ends the wrapper's own options"))
        at += 1
    if family is Family.FLAVOR:
        if at + 1 < len(argv) and argv[at] in ("-flavor", "--flavor"):
            flavor = argv[at + 1].lower()
            if flavor not in FLAVORS:
                known = ", ".join(FLAVORS)
                raise UsageError(f"-flavor {argv[at + 1]}: lld has no such flavor; it has {known}")
            family = FLAVORS[flavor]
            for text in argv[at : at + 2]:
                front.append(text)
                edits.append((text, "kept", "lld must see its flavor first"))
            at += 2
        else:
            family = Family.ANY_LD
    arguments = argv[at:]
    driver = family is Family.DRIVER
    target = _target(program, arguments)
    if family in (Family.DRIVER, Family.ANY_LD):
        family = _linker_family(program, arguments, target, os)
    if os is LinkerOs.OTHER:
        family = Family.MSVC if family is Family.MSVC else family
    _refuse_hopeless(program, arguments, family, target)
    if family is None:
        raise UsageError(f"{program}: not a linker or compiler driver that this tool knows")
    return Toolchain(tuple(front), tuple(edits), at, driver, family, zig, target)


def _walk_wrappers(argv: Sequence[str]) -> tuple[list[tuple[str, str, str]], int, bool]:
    """What stands in front of the program: (edits, the program's index, it is a zig sub-command)."""
    edits: list[tuple[str, str, str]] = []
    position = 0
    zig = False
    while position < len(argv):
        word = argv[position]
        name = program_name(word)
        if _is_assignment(word):
            if not any(text == "env" for text, _, _ in edits):
                edits.append(("env", "added", "a VAR=value prefix is the shell's; env does the same without one"))
            edits.append((word, "kept", "sets the environment of the program that follows"))
            position += 1
        elif name in ("zig", "python-zig", "ziglang") and position + 1 < len(argv):
            edits.append((word, "kept", KEPT_WRAPPERS["zig"]))
            return edits, position + 1, True
        elif name.startswith("python") and argv[position + 1 : position + 3] == ["-m", "ziglang"]:
            for text in argv[position : position + 3]:
                edits.append((text, "kept", KEPT_WRAPPERS["zig"]))
            return edits, position + 3, True
        elif name == "cargo-zigbuild" and argv[position + 1 : position + 2] == ["zig"]:
            for text in argv[position : position + 2]:
                edits.append((text, "kept", KEPT_WRAPPERS["zig"]))
            return edits, position + 2, True
        elif family_of(word) is not None:
            return edits, position, zig
        else:
            found = _program_after(argv, position)
            if found is None:
                raise UsageError(f"{word}: not a linker or compiler driver that this tool knows")
            keep = name in KEPT_WRAPPERS or name.startswith("python")
            if keep and any(program_name(text) in DROPPED_WRAPPERS for text in argv[position:found]):
                keep = False
            why = KEPT_WRAPPERS.get(name) if keep else DROPPED_WRAPPERS.get(name)
            if why is None and not keep and "--" not in argv[position:found]:
                keep, why = True, "runs the program that follows"
            for text in argv[position:found]:
                edits.append((text, "kept" if keep else "dropped", why or "a wrapper around the real linker"))
            position = found
    raise UsageError("the captured command names no linker or compiler driver")


def _program_after(argv: Sequence[str], wrapper: int) -> int | None:
    """Index of the program that the wrapper at index *wrapper* runs: after ``--``, else the first known name."""
    for position in range(wrapper + 1, len(argv)):
        if argv[position] == "--" and position + 1 < len(argv) and family_of(argv[position + 1]):
            return position + 1
    for position in range(wrapper + 1, len(argv)):
        word = argv[position]
        if not word.startswith("-") and (family_of(word) is not None or program_name(word) == "zig"):
            return position
    return None


def _is_assignment(word: str) -> bool:
    """Is *word* a ``VAR=value`` prefix?"""
    name, equals, _ = word.partition("=")
    return bool(equals) and name.isidentifier()


def _target(program: str, arguments: Sequence[str]) -> str:
    """The target's name, from the arguments or the program's name."""
    target = ""
    simulator = device = ""
    for position, word in enumerate(arguments):
        if word in ("-target", "--target") and position + 1 < len(arguments):
            target = arguments[position + 1]
        elif word.startswith("--target="):
            target = word[len("--target=") :]
        elif word.startswith("-m") and ("-version-min=" in word or word.startswith("-mtargetos=")):
            name = word[2:].partition("=")[0 if "version-min" in word else 2]
            if "simulator" in name:
                simulator = simulator or "apple-ios-simulator"
            elif name.startswith(("mac", "targetos")):
                target = target or "apple-macos"
            else:
                device = device or f"apple-{name.partition('-')[0].replace('iphoneos', 'ios')}"
        elif word.endswith(".sdk") or ".sdk/" in word:
            if "Simulator" in word:
                simulator = simulator or "apple-ios-simulator"
            elif any(f"/{name}" in word for name in ("iPhoneOS", "AppleTVOS", "WatchOS", "XROS")):
                device = device or "apple-ios"
            elif "MacOSX" in word:
                target = target or "apple-macos"
        elif word == "-platform_version" and position + 1 < len(arguments):
            platform = _PLATFORMS.get(arguments[position + 1], arguments[position + 1])
            target = target or f"apple-{platform}"
        elif word in ("-ios_version_min", "-iphoneos_version_min", "-tvos_version_min", "-watchos_version_min"):
            device = device or "apple-ios"
        elif word.endswith("simulator_version_min") and word.startswith("-"):
            simulator = simulator or "apple-ios-simulator"
    if target:
        return target
    if simulator or device:
        return simulator or device
    for position, word in enumerate(arguments):
        found = _triple_in_path(word)
        if found:
            return found
    name = program_name(program)
    prefix, dash, _ = name.rpartition("-")
    return prefix if dash and "-" in prefix else ""


_PLATFORMS = {"1": "macos", "2": "ios", "3": "tvos", "4": "watchos", "6": "ios-macabi"}
_PLATFORMS |= {
    "7": "ios-simulator",
    "8": "tvos-simulator",
    "9": "watchos-simulator",
    "11": "xros",
    "12": "xros-simulator",
}


def _triple_in_path(word: str) -> str:
    """The target in a ``rustlib/TARGET/lib`` folder, where rustc keeps the standard library."""
    _, found, rest = word.replace("\\", "/").partition("/rustlib/")
    return rest.partition("/")[0] if found else ""


def _linker_family(program: str, arguments: Sequence[str], target: str, os: LinkerOs | None) -> Family:
    """Which linker family a driver or a plain ``ld`` means."""
    lower = target.lower()
    for part, family in _FAMILY_OF_TARGET:
        if part in lower:
            return family
    if "XcodeDefault.xctoolchain" in program or "-apple-darwin" in program:
        return Family.LD64
    for word in arguments:
        pieces = word[4:].split(",") if word.startswith("-Wl,") else (word,)
        for piece in pieces:
            if piece in LD64_SIGNS:
                return Family.LD64
            if piece in GNU_SIGNS:
                return Family.GNU
    if os is not None:
        return Family.LD64 if os is LinkerOs.MACOS else Family.GNU
    return Family.LD64 if sys.platform == "darwin" else Family.GNU


_FAMILY_OF_TARGET = (
    ("apple", Family.LD64),
    ("macos", Family.LD64),
    ("darwin", Family.LD64),
    ("ios", Family.LD64),
    ("wasm", Family.WASM),
    ("emscripten", Family.WASM),
    ("linux", Family.GNU),
    ("android", Family.GNU),
    ("bsd", Family.GNU),
    ("windows-gnu", Family.GNU),
    ("mingw", Family.GNU),
    ("windows-msvc", Family.MSVC),
    ("none", Family.GNU),
)


def _refuse_hopeless(program: str, arguments: Sequence[str], family: Family | None, target: str) -> None:
    """Refuse what no hot patch can be loaded into."""
    if family is Family.WASM:
        raise PlanRefusal(
            f"{program}: links WebAssembly, where code cannot branch to an address, so a patch cannot call its host"
        )
    if family is Family.UNSUPPORTED:
        raise PlanRefusal(f"{program}: links GPU device code, which this tool cannot patch")
    lower = target.lower()
    if "macabi" not in lower and "simulator" not in lower and not lower.endswith("-sim"):
        words = lower.replace("_", "-").split("-")
        if family is Family.LD64 and any(word.startswith(IOS_LIKE) for word in words):
            raise PlanRefusal(
                f"{target}: an iOS device maps no writable page as executable and loads no unsigned library, so a "
                "patch cannot be loaded there; link the host for the simulator or for macOS"
            )
    if any(part in f"{lower}-" or part in f"{program_name(program)}" for part in BARE_METAL):
        raise PlanRefusal(
            f"{target or program}: links a program that runs without a dynamic loader, so nothing there can load a patch"
        )
    system = next((UNSUPPORTED_SIGNS[word] for word in arguments if word in UNSUPPORTED_SIGNS), "") or next(
        (system for path, system in UNSUPPORTED_PATHS.items() if program.startswith(path)), ""
    )
    if system:
        raise PlanRefusal(
            f"{program}: the linker of {system}; this tool plans for Linux, Android, macOS and the iOS simulator"
        )
