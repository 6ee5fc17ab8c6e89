"""Which program a captured command runs, what stands in front of it, and which grammars its arguments follow.

The program's name decides, then ``-flavor``, then what the arguments say of the target; only a plain ``ld`` or
``cc`` without any of these falls back to the system that this runs on.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import Enum

from stubgen.common.row import Row
from stubgen.errors import PlanRefusal, UsageError
from stubgen.linkplan import response
from stubgen.linkplan.options import Grammar
from stubgen.linkplan.plan import Action, Edit, LinkerOs
from stubgen.linkplan.request import CapturedCommand
from stubgen.linkplan.response import Expansion


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
        "egcc hipcc armclang craycc crayCC cray-cc f77 f90 f95 g77 ftn CC xgcc xg++ tcc swiftc zigcc zigcxx gnatlink"
    ),
    Family.GNU: "ld.bfd ld.gold ld.lld ld.mold mold gold collect2 ld.wild wild real-ld ld-new ld.qcld ld.eld",
    Family.LD64: "ld64 ld64.lld ld-classic ld-prime ld_classic zld sold",
    Family.ANY_LD: "ld",
    Family.FLAVOR: "lld rust-lld gcc-ld",
    Family.MSVC: "link lld-link cl clang-cl",
    Family.WASM: "wasm-ld rust-wasm-ld emcc em++ emcc.py em++.py wasm-component-ld",
    Family.UNSUPPORTED: "nvcc nvlink",
}

CXX_PROGRAMS = frozenset({"icpc", "icpx", "dpcpp", "mpicxx", "CC", "crayCC", "zigcxx", "hipcc"})
"""Drivers that link the C++ library by themselves and have no ``++`` in their names."""

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

ZIG = (
    ["zig"],
    ["python-zig"],
    ["cargo-zigbuild", "zig"],
    *([python, "-m", "ziglang"] for python in ("python", "python3", "py")),
)
"""Program names in front of zig's sub-command (``cc``, ``c++``, ``ld.lld``)."""

CARGO = "leaves the link to another program: let that one be captured, with -C linker=hotpatch-stubgen-linker"
BUILD = "runs the build, not one link: capture the link that it runs"
SHELL = "runs the words that follow as the shell reads them: give the command that links by itself"
CONTAINER = "links elsewhere, where paths mean other files: capture the link inside"
GO = "leaves the link, where there is cgo, to a C compiler: capture that one, with -ldflags=-extld=..."
ARCHIVER = "makes archives or edits files and links nothing"

OTHER_PROGRAMS = {
    ":": "is the shell's and does nothing: give the command that links, without what stands around it",
    **dict.fromkeys(("cargo", "rustc", "rustup", "cross", "maturin", "dx"), CARGO),
    **dict.fromkeys(("make", "gmake", "ninja", "cmake", "meson", "bazel", "buck2", "xcodebuild", "gradle"), BUILD),
    **dict.fromkeys(("sh", "bash", "dash", "zsh", "ksh", "busybox", "eval", "exec"), SHELL),
    **dict.fromkeys(("docker", "podman", "nerdctl", "kubectl", "ssh", "chroot", "bwrap", "flatpak"), CONTAINER),
    **dict.fromkeys(("go", "garble", "tinygo"), GO),
    **dict.fromkeys(("ar", "llvm-ar", "ranlib", "strip", "objcopy", "nm", "lipo", "install_name_tool"), ARCHIVER),
    "libtool": "links nothing without --mode=link (Apple's makes archives): give the command that links",
    "swift": "runs the build or a script, not one link: capture the swiftc or clang that it runs",
}
"""Programs that are neither linker nor compiler driver, by name -> what they are, and what to do."""

SHELL_WORDS = frozenset({"&&", "||", ";", "|", "&"})
"""Words that only a shell takes apart; no program gets them as arguments."""

SHELLS = ("sh", "bash", "dash", "zsh", "ksh")

DROPPED_WRAPPERS = {
    "hotpatch-stubgen-linker": "would record the patch's link as a link of the host",
    "linker_driver.py": "strips and post-processes the fat build's output",
    "libtool": "would install the patch and write a script in its place",
    "gcc_link_wrapper.py": "writes files beside the fat build's output",
    "gcc_solink_wrapper.py": "writes files beside the fat build's output",
    "link_wrapper": "post-processes the fat build's output",
    "time": "measures the fat build",
}
"""Programs in front of the linker that would do something to the fat build's outputs."""

_BARE_METAL = (
    "-none-eabi -none-elf -unknown-none -none-eabihf xtensa- -uefi -zephyr- -unknown-elf -elf-gcc -elf-g++ -elf-ld "
    "-elf-clang -elf- -rtems -nuttx -unknown-eabi"
)
BARE_METAL = tuple(_BARE_METAL.split())
"""Parts of a target's name that say: no dynamic loader."""

GPU_TARGETS = ("amdgcn", "amdgpu", "nvptx", "spirv", "-amdhsa", "-cuda")
"""Parts of a target's name that say: device code."""

IOS_LIKE = ("ios", "tvos", "watchos", "xros", "visionos", "iphoneos", "appletvos")

_LD64_ONLY = (
    "-arch -dylib -dynamiclib -framework -platform_version -macosx_version_min -ios_version_min "
    "-iphoneos_version_min -syslibroot -install_name -dead_strip -headerpad_max_install_names "
    "-search_paths_first -exported_symbols_list -undefined -force_load -all_load -lSystem -stdlib=libc++ "
    "-weak_framework -no_pie -bundle -dylib_install_name -compatibility_version -current_version"
)
LD64_ONLY = frozenset(_LD64_ONLY.split())
"""Options that only Apple's linker and the drivers for it have."""

_GNU_ONLY = (
    "--as-needed --no-as-needed -soname --eh-frame-hdr --build-id --hash-style=gnu --hash-style=both -z "
    "--start-group --end-group --gc-sections --no-undefined -Bstatic -Bdynamic -Bsymbolic -dynamic-linker "
    "--dynamic-linker --whole-archive --export-dynamic -znoexecstack -rdynamic -static-libgcc"
)
GNU_ONLY = frozenset(_GNU_ONLY.split())
"""Options that only GNU-style linkers and the drivers for them have."""

FOREIGN_OPTIONS = {
    "-bexpall": "AIX",
    "-bnoipath": "AIX",
    "-b32": "AIX",
    "-b64": "AIX",
    "-berok": "AIX",
    "+s": "HP-UX",
    "-Bdirect": "Solaris",
    "-zignore": "Solaris",
    "-zlazyload": "Solaris",
    "-zcombreloc": "Solaris",
    "-zld32": "Solaris",
    "-zld64": "Solaris",
}
"""Options that only the linkers of other systems have -> what those link."""

FOREIGN_PATHS = {"/usr/ccs/bin/": "Solaris and HP-UX", "/usr/xpg4/": "Solaris", "/opt/SUNWspro/": "Solaris"}

FOREIGN_TARGETS = {
    "solaris": "Solaris",
    "illumos": "illumos",
    "-ps4": "the PlayStation 4",
    "-ps5": "the PlayStation 5",
    "-aix": "AIX",
    "-hpux": "HP-UX",
}
"""Parts of a target's name -> the system."""

FOREIGN_PROGRAMS = {"orbis-": "the PlayStation 4", "prospero-": "the PlayStation 5"}
"""How a program's name begins -> the system that it links for."""

GO_OPTIONS = ("-buildmode", "-extld", "-extldflags", "-importcfg", "-linkmode")
"""Options that only Go's linker has, which is called ``link`` like Microsoft's."""


class Dialect(Enum):
    """How a driver differs from gcc and clang in what a plan adds."""

    COMMON = "common"
    ZIG = "zig"
    """``zig cc`` takes a list of linker options of its own."""
    LIBTOOL = "libtool"
    """Behind ``libtool --mode=link``: gcc's and clang's options, and libtool's own."""
    SWIFT = "swift"
    """``swiftc`` forwards with ``-Xlinker`` alone and calls a shared library ``-emit-library``."""


class Toolchain(Row):
    """What the first arguments of a command are."""

    edits: tuple[Edit, ...]
    """What becomes of the program and of each argument in front of it (``ccache clang``, ``zig cc``)."""
    arguments: int
    """Index of the first argument after them."""
    driver: bool
    """A compiler driver: linker options need ``-Wl,``."""
    family: Family
    """The linker's family: GNU, LD64 or MSVC."""
    dialect: Dialect
    target: str
    """The target's name as far as the arguments say it, or ``""``."""
    program: str
    """The program's name; behind it may stand more that is no argument: ``zig c++ --``, ``lld -flavor gnu``."""

    @property
    def cxx(self) -> bool:
        """Whether the program is a driver that links the C++ library by itself."""
        return self.driver and ("++" in self.program or _known_name(self.program) in CXX_PROGRAMS)

    @property
    def fixed(self) -> int:
        """How many arguments :attr:`edits` leave, which must stand first."""
        return sum(len(edit.after) for edit in self.edits)

    @property
    def os(self) -> LinkerOs:
        """What the linker's family links for."""
        return _OS_OF_FAMILY.get(self.family, LinkerOs.LINUX)

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

        return driver_options.libtool_grammar() if self.dialect is Dialect.LIBTOOL else driver_options.grammar()


_OS_OF_FAMILY = {Family.MSVC: LinkerOs.OTHER, Family.LD64: LinkerOs.MACOS}


class CommandLine(Row):
    """A captured command as its program reads it."""

    captured: CapturedCommand
    expansion: Expansion
    """Without response files."""
    toolchain: Toolchain

    @property
    def arguments(self) -> list[str]:
        """The arguments behind the program."""
        return self.expansion.arguments[self.toolchain.arguments :]


def read_command(captured: CapturedCommand, os: LinkerOs | None = None) -> CommandLine:
    """Unfold *captured*'s response files by the rules of the program that it runs; *os* as in :func:`find_toolchain`.

    Raises:
        UsageError: no argument is a linker or a compiler driver.
        PlanRefusal: hot-patching cannot work for what the command links.
        MalformedInput: a response file includes itself.
        UnreadableInput: a response file exists and cannot be read.
    """
    expansion = response.expand(captured.argv, directory=captured.directory, copies=captured.response_files)
    if captured.argv and captured.argv[0] in expansion.missing:
        raise _unread(captured.argv[0])
    toolchain = find_toolchain(expansion.arguments, os=os)
    rest = expansion.arguments[toolchain.arguments :]
    if rest and expansion.missing and set(rest) <= set(expansion.missing):
        raise _unread(rest[0])
    if toolchain.family is Family.MSVC and expansion.files:  # the program is known now, and quotes in its own way
        expansion = response.expand(
            captured.argv, directory=captured.directory, copies=captured.response_files, windows=True
        )
        toolchain = find_toolchain(expansion.arguments, os=os)
    return CommandLine(captured, expansion, toolchain)


def _unread(text: str) -> PlanRefusal:
    return PlanRefusal(
        f"{text}: the response file holds the whole command and is not there, so what linked the host is not known; "
        "capture the link again"
    )


def basename(path: str) -> str:
    r"""The last part of *path*, which may be Windows's: commands of either system are planned on any."""
    return path.replace("\\", "/").rpartition("/")[2]


def program_name(path: str) -> str:
    """The name that says what *path* is: no folder, no ``.exe``, no version."""
    name = basename(path)
    for ending in (".exe", ".cmd", ".bat", ".sh", "_wrapper", "-wrapper"):  # Bazel's cc_wrapper.sh is the compiler
        name = name.removesuffix(ending)
    return name


def family_of(path: str) -> Family | None:
    """What the name of the program *path* says, or None: not a linker or a driver."""
    return _BY_NAME.get(_known_name(path))


def _known_name(path: str) -> str:
    """What :data:`PROGRAMS` calls the program *path*; empty for another one."""
    name = program_name(path)
    while name:
        for start in range(len(name)):  # the longest ending at a word boundary: aarch64-linux-android24-clang
            if (start == 0 or name[start - 1] in "-_") and name[start:] in _BY_NAME:
                return name[start:]
        shorter = name.rstrip("0123456789.")
        if shorter == name:
            first = name.partition("-")[0]
            return first if first in ("zigcc", "zigcxx") else ""
        name = shorter.rstrip("-")
    return ""


_BY_NAME = {name: family for family, names in PROGRAMS.items() for name in names.split()}


def find_toolchain(argv: Sequence[str], *, os: LinkerOs | None = None) -> Toolchain:
    """Find the program in *argv* and decide how its arguments are read; *os* settles what they leave open.

    Raises:
        UsageError: no argument is a linker or a compiler driver.
        PlanRefusal: hot-patching cannot work for what the command links.
    """
    if not argv:
        raise UsageError("the captured command is empty; give the linker's name and its arguments")
    odd = SHELL_WORDS.intersection(argv)
    if odd:
        raise UsageError(f"{min(odd)}: is the shell's: give the one command that links, without what stands around it")
    edits, at, zig = _walk_wrappers(argv)
    program = argv[at]
    behind = _behind_linker_driver(argv, at)
    if behind:
        edits = _without_interpreter(edits)
        edits.append(Edit(Action.REPLACED, (program,), (behind,), DROPPED_WRAPPERS["linker_driver.py"]))
        program = behind
    else:
        edits.append(_kept(program, "the program that links"))
    family: Family | None = family_of(program)
    if family is None:
        if zig:
            raise UsageError(f"zig {program}: is no link command; zig cc, zig c++ and zig ld.lld are")
        family = Family.DRIVER  # by its options
    at += 1
    if zig and at < len(argv) and argv[at] == "--":  # cargo-zigbuild: `zig cc -- ARGS`
        edits.append(_kept("--", "ends the wrapper's own options"))
        at += 1
    if family is Family.FLAVOR:
        family, words = _flavor(argv[at : at + 2])
        edits += [_kept(word, "lld must see its flavor first") for word in words]
        at += len(words)
    arguments = argv[at:]
    driver = family is Family.DRIVER
    # Not from VAR=value: rustc's PATH names the folder of the machine that compiles.
    target = _target(program, [word for word in argv[:at] if not _is_assignment(word)] + [*arguments])
    if family in (Family.DRIVER, Family.ANY_LD):
        family = _linker_family(program, arguments, target, os)
    _refuse_unpatchable(program, arguments, family, target)
    libtool = any(is_libtool(word) for edit in edits for word in edit.before)
    dialect = Dialect.LIBTOOL if libtool else _dialect(program, zig=zig)
    return Toolchain(tuple(edits), at, driver, family, dialect, target, program_name(program))


def _without_interpreter(edits: Sequence[Edit]) -> list[Edit]:
    """*edits* without what runs a script that the program takes the place of: ``python3 -B``."""
    words = ["".join(edit.before) for edit in edits]
    runs = (at for at, word in enumerate(words) if not _is_assignment(word) and program_name(word).startswith("python"))
    first = next(runs, len(edits))
    why = DROPPED_WRAPPERS["linker_driver.py"]
    return [*edits[:first], *(Edit(Action.DROPPED, edit.before, (), why) for edit in edits[first:])]


def _kept(word: str, why: str) -> Edit:
    return Edit(Action.KEPT, (word,), (word,), why)


def _flavor(arguments: Sequence[str]) -> tuple[Family, Sequence[str]]:
    """(what lld's first *arguments* make of it, those of them that say so)."""
    if len(arguments) < 2 or arguments[0] not in ("-flavor", "--flavor"):
        return Family.ANY_LD, ()
    family = FLAVORS.get(arguments[1].lower())
    if family is None:
        raise UsageError(f"-flavor {arguments[1]}: lld has no such flavor; it has {', '.join(FLAVORS)}")
    return family, arguments


def _dialect(program: str, *, zig: bool) -> Dialect:
    name = program_name(program)
    if zig or name.startswith(("zigcc", "zigcxx")):  # cargo-zigbuild's scripts: zigcc-TARGET-HASH.sh
        return Dialect.ZIG
    return Dialect.SWIFT if name.startswith("swiftc") else Dialect.COMMON


def _walk_wrappers(argv: Sequence[str]) -> tuple[list[Edit], int, bool]:
    """What stands in front of the program: (edits, the program's index, it is a zig sub-command)."""
    edits: list[Edit] = []
    position = 0
    while position < len(argv):
        word = argv[position]
        zig = _zig_words(argv, position)
        if zig:
            edits += [_kept(text, KEPT_WRAPPERS["zig"]) for text in argv[position : position + zig]]
            return edits, position + zig, True
        if family_of(word) is not None or _behind_linker_driver(argv, position):
            return edits, position, False
        if _is_assignment(word):
            if not any("env" in edit.after for edit in edits):
                why = "VAR=value in front of a program is the shell's; env does the same"
                edits.append(Edit(Action.ADDED, (), ("env",), why))
            edits.append(_kept(word, KEPT_WRAPPERS["env"]))
            position += 1
            continue
        _refuse_other_program(argv[position:])
        found = _program_after(argv, position)
        if found is None and program_name(word) in KEPT_WRAPPERS:
            raise UsageError(f"{word}: runs no linker or compiler driver that this tool knows")
        if found is None:
            if _looks_like_a_link(argv[position + 1 :]):  # a compiler that no table names
                return edits, position, False
            raise UsageError(f"{word}: not a linker or compiler driver that this tool knows")
        wrapper = argv[position:found]
        stays, why = _judge_wrapper(wrapper)
        edits += [_kept(text, why) if stays else Edit(Action.DROPPED, (text,), (), why) for text in wrapper]
        position = found
    raise UsageError("the captured command names no linker or compiler driver")


def is_libtool(word: str) -> bool:
    """Say whether *word* is GNU libtool's script: ``./libtool``, ``aarch64-linux-gnu-libtool``."""
    name = program_name(word)
    return name == "libtool" or name.endswith("-libtool")


def _refuse_other_program(words: Sequence[str]) -> None:
    """Refuse what runs neither a linker nor a driver.

    Raises:
        UsageError: the first of *words* is a program that links nothing.
    """
    name = program_name(words[0])
    script = words[1] if name in SHELLS and len(words) > 1 else words[0]
    if is_libtool(script) and "--mode=link" in words:
        return
    reason = OTHER_PROGRAMS.get("libtool" if is_libtool(script) else name)
    if reason is not None:
        raise UsageError(f"{words[0]}: is not a linker or compiler driver; it {reason}")


def _behind_linker_driver(words: Sequence[str], position: int) -> str:
    """The driver that Chromium's ``linker_driver.py -Wcrl,driver,PROGRAM`` runs; empty for another program."""
    if not words[position].endswith("linker_driver.py"):
        return ""
    mark = "-Wcrl,driver,"
    return next((word.removeprefix(mark) for word in words[position:] if word.startswith(mark)), "")


def _judge_wrapper(wrapper: Sequence[str]) -> tuple[bool, str]:
    """(it stays, why) for a wrapper with its own arguments."""
    names = [program_name(word) for word in wrapper]
    for name in names:
        if is_libtool(name):
            return False, DROPPED_WRAPPERS["libtool"]
        if name in DROPPED_WRAPPERS:
            return False, DROPPED_WRAPPERS[name]
    if names[0] in KEPT_WRAPPERS:
        return True, KEPT_WRAPPERS[names[0]]
    if "--" in wrapper:  # its own options may name the full build's outputs
        return False, "a wrapper around the real linker"
    return True, "runs the program that follows"


def _zig_words(argv: Sequence[str], position: int) -> int:
    """How many words from *position* on stand in front of zig's sub-command; 0: none, this is not zig."""
    for words in ZIG:
        following = argv[position : position + len(words) + 1]
        if len(following) > len(words) and [program_name(word) for word in following[: len(words)]] == words:
            return len(words)
    return 0


def _program_after(argv: Sequence[str], wrapper: int) -> int | None:
    """Index of the program that the wrapper at index *wrapper* runs: after ``--``, else the first known name."""
    for position in range(wrapper + 1, len(argv)):
        if argv[position] == "--" and position + 1 < len(argv) and family_of(argv[position + 1]):
            return position + 1
    name = program_name(argv[wrapper])
    known = name in KEPT_WRAPPERS or name in DROPPED_WRAPPERS or name.startswith("python") or is_libtool(name)
    known = known or name in SHELLS  # in front of libtool
    for position in range(wrapper + 1, len(argv)):
        word = argv[position]
        if word.startswith("-") and not known:  # its own options, which may have any operands
            return None
        if word.startswith("-") or _is_assignment(word):
            continue
        if family_of(word) is not None or program_name(word) == "zig" or _behind_linker_driver(argv, position):
            return position
    return None


def _looks_like_a_link(arguments: Sequence[str]) -> bool:
    """Say whether *arguments* are a compiler driver's, by options that no other kind of program has."""
    return any(word == "-o" or word.startswith(("-Wl,", "-Xlinker", "-l", "-L")) for word in arguments)


def _is_assignment(word: str) -> bool:
    """Say whether *word* is a ``VAR=value`` prefix."""
    name, equals, _ = word.partition("=")
    return bool(equals) and name.isidentifier()


def _target(program: str, argv: Sequence[str]) -> str:
    """The target's name: said outright, else what version and SDK options, paths or the program's name imply."""
    for name in ("-target", "--target", "-platform_version"):
        if name in argv[:-1]:
            operand = argv[argv.index(name) + 1]
            return f"apple-{_PLATFORMS.get(operand, operand)}" if name == "-platform_version" else operand
    text = "\n".join(argv)  # one search in one string: a fat build's command has 20,000 arguments
    _, found, rest = text.partition("\n--target=")
    if found:
        return rest.partition("\n")[0]
    for part, target in IMPLIED_TARGETS:
        if part in text:
            return target
    _, found, rest = text.replace("\\", "/").partition("/rustlib/")  # rustc keeps a target's libraries there
    if found:
        return rest.partition("/")[0]
    prefix, _, _ = program_name(program).rpartition("-")
    return prefix if "-" in prefix else ""


IMPLIED_TARGETS = (
    ("simulator-version-min=", "apple-ios-simulator"),
    ("simulator_version_min", "apple-ios-simulator"),
    ("Simulator.platform/", "apple-ios-simulator"),
    ("iphonesimulator", "apple-ios-simulator"),
    ("-mtargetos=ios", "apple-ios"),
    ("-mtargetos=macos", "apple-macos"),
    ("-miphoneos-version-min=", "apple-ios"),
    ("-mios-version-min=", "apple-ios"),
    ("-mtvos-version-min=", "apple-tvos"),
    ("-mwatchos-version-min=", "apple-watchos"),
    ("-ios_version_min", "apple-ios"),
    ("-iphoneos_version_min", "apple-ios"),
    ("-tvos_version_min", "apple-tvos"),
    ("-watchos_version_min", "apple-watchos"),
    ("iPhoneOS.platform/", "apple-ios"),
    ("AppleTVOS.platform/", "apple-tvos"),
    ("WatchOS.platform/", "apple-watchos"),
    ("XROS.platform/", "apple-xros"),
    ("iphoneos", "apple-ios"),
    ("-mmacosx-version-min=", "apple-macos"),
    ("-mmacos-version-min=", "apple-macos"),
    ("-macosx_version_min", "apple-macos"),
    ("MacOSX.platform/", "apple-macos"),
)
"""Part of an argument -> the target that it implies; the first one found wins."""

_PLATFORMS = {
    "1": "macos",
    "2": "ios",
    "3": "tvos",
    "4": "watchos",
    "6": "ios-macabi",
    "7": "ios-simulator",
    "8": "tvos-simulator",
    "9": "watchos-simulator",
    "11": "xros",
    "12": "xros-simulator",
}
"""``PLATFORM_*`` of <mach-o/loader.h>: ``-platform_version`` takes the number as well as the name."""


def _linker_family(program: str, arguments: Sequence[str], target: str, os: LinkerOs | None) -> Family:
    """Which linker family a driver or a plain ``ld`` means."""
    lower = target.lower()
    for part, family in _FAMILY_OF_TARGET:
        if part in lower:
            return family
    if "XcodeDefault.xctoolchain" in program or "-apple-darwin" in program:
        return Family.LD64
    for word in arguments:
        said = _family_from_option(word)
        if said is not None:
            return said
    if os is not None:
        return Family.LD64 if os is LinkerOs.MACOS else Family.GNU
    return Family.LD64 if sys.platform == "darwin" else Family.GNU


def _family_from_option(word: str) -> Family | None:
    """What one argument says of the linker's family: by name, or because only one family has the option."""
    if word.startswith(("-fuse-ld=", "--ld-path=")):
        name = basename(word.partition("=")[2])
        family = family_of(name) or family_of(f"ld.{name}")
        return family if family in (Family.GNU, Family.LD64) else None
    for piece in word.split(",") if word.startswith("-Wl,") else (word,):
        if piece in LD64_ONLY:
            return Family.LD64
        if piece in GNU_ONLY:
            return Family.GNU
    return None


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


def _refuse_unpatchable(program: str, arguments: Sequence[str], family: Family, target: str) -> None:
    """Refuse what no hot patch can be loaded into."""
    if family is Family.WASM:
        raise PlanRefusal(
            f"{program}: links WebAssembly, where code cannot branch to an address, so a patch cannot call its host"
        )
    if family is Family.UNSUPPORTED:
        raise PlanRefusal(f"{program}: links GPU device code, which this tool cannot patch")
    if family is Family.MSVC and (
        "/pkg/tool/" in program or any(word.partition("=")[0] in GO_OPTIONS for word in arguments)
    ):
        raise PlanRefusal(f"{program}: the linker of Go's own package format; it {GO}")
    _refuse_foreign_target(program, target)
    if family is Family.LD64 and _is_apple_device(target):
        raise PlanRefusal(
            f"{target}: an iOS device maps no writable page as executable and loads no unsigned library, so a "
            "patch cannot be loaded there; link the host for the simulator or for macOS"
        )
    names = f"{target.lower()}-\n{program_name(program)}"
    if any(part in names for part in BARE_METAL):
        raise PlanRefusal(
            f"{target or program}: links a static program without a dynamic loader, so nothing there can load a patch"
        )
    system = next((FOREIGN_OPTIONS[word] for word in arguments if word in FOREIGN_OPTIONS), "") or next(
        (system for path, system in FOREIGN_PATHS.items() if program.startswith(path)), ""
    )
    if system:
        raise PlanRefusal(_foreign(program, system))


def _refuse_foreign_target(program: str, target: str) -> None:
    """Refuse what the target's or the program's name says is loaded by no loader that a patch could use."""
    lower = target.lower()
    if any(part in lower for part in GPU_TARGETS):
        raise PlanRefusal(f"{target}: links GPU device code, which this tool cannot patch")
    name = program_name(program)
    system = next((system for part, system in FOREIGN_TARGETS.items() if part in f"{lower}-"), "") or next(
        (system for start, system in FOREIGN_PROGRAMS.items() if name.startswith(start)), ""
    )
    if system:
        raise PlanRefusal(_foreign(program, system))


def _foreign(program: str, system: str) -> str:
    return f"{program}: the linker of {system}; this tool plans for Linux, Android, macOS and the iOS simulator"


def apple_sdk(toolchain: Toolchain) -> str:
    """The SDK for *toolchain*'s target, as ``xcrun`` names it; ``""`` where there is no xcrun.

    It is the system's, or the caller's own, and runs in the caller's environment: a captured command's chooses no
    program that a plan runs, and ``DEVELOPER_DIR`` would choose xcrun's.
    """
    import os
    import shutil

    from stubgen.common.cancellation import run
    from stubgen.common.text import as_text

    xcrun = SYSTEM_XCRUN if os.path.isfile(SYSTEM_XCRUN) else shutil.which("xcrun")
    if xcrun is None:
        return ""
    name = "iphonesimulator" if "ios" in toolchain.target and "macabi" not in toolchain.target else "macosx"
    try:
        done = run([xcrun, "--sdk", name, "--show-sdk-path"], None, os.environ, errors=False, timeout=PATIENCE)
    except OSError:
        return ""
    return as_text(done.stdout).strip() if done.returncode == 0 else ""


SYSTEM_XCRUN = "/usr/bin/xcrun"
PATIENCE = 20.0
"""Seconds that a program which is asked gets to answer."""


def _is_apple_device(target: str) -> bool:
    """Say whether *target* is a phone, watch or television, and neither a simulator nor Mac Catalyst.

    rustc's ``x86_64-apple-ios`` is a simulator by its machine: no device has one.
    """
    lower = target.lower()
    if "macabi" in lower or "simulator" in lower or lower.endswith("-sim") or lower.startswith(("x86_64", "i386")):
        return False
    return any(word.startswith(IOS_LIKE) for word in lower.split("-"))
