"""How a program of the adversary is built: compilers, their options, linkers and theirs, chosen by the seed."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random
from typing import NamedTuple

from tools import linker_folder, need, run, zig

HERE = Path(__file__).parent

LINKERS = {"bfd": "bfd", "gold": "gold", "lld": "lld", "mold": "mold"}
"""What tables call an ELF linker -> what ``-fuse-ld`` does."""

SESSIONS = ("none", "loaded", "loaded", "relink")
"""What :attr:`Build.session` is chosen from."""

SYSTEM = HERE / "system.tbd"
"""What a Mach-O program of ld64.lld's has of macOS: what descriptors of thread-locals name."""
MACHO_TARGET = "arm64-apple-macos13.0"
MACHO_LINK = ("-arch", "arm64", "-platform_version", "macos", "13.0", "13.0", "-execute")

COMPILERS = {
    ("gcc", "c"): ("aarch64-linux-gnu-gcc",),
    ("gcc", "c++"): ("aarch64-linux-gnu-g++",),
    ("apple clang", "c"): ("clang-19", f"--target={MACHO_TARGET}", "-fno-stack-protector"),
    ("apple clang", "c++"): (
        *("clang-19", f"--target={MACHO_TARGET}", "-fno-stack-protector", "-xc++"),
        *("-fno-exceptions", "-fno-rtti"),  # the emulated processor has no C++ library
    ),
    ("clang", "c"): ("clang-19", "--target=aarch64-linux-gnu"),
    ("clang", "c++"): ("clang-19", "--target=aarch64-linux-gnu", "-xc++"),
}

GUARDS = {
    "c": "unsigned long guarded(unsigned long (*f)(unsigned long), unsigned long a) { return f(a); }",
    "c++": 'extern "C" __attribute__((noipa)) unsigned long computed(unsigned long a) { return a; } '
    'extern "C" unsigned long guarded(unsigned long (*f)(unsigned long), unsigned long a) '
    "{ try { return f(a); } catch (unsigned long thrown) { return thrown; } }",
}
"""Language -> what calls an entry of the program, and stops its exceptions."""


class Build(NamedTuple):
    """How one program is built and patched."""

    language: str
    compiler: str
    options: tuple[str, ...]
    """Of each compile."""
    host_options: tuple[str, ...]
    """Of the host's besides: position independence, which a patch has another of."""
    linker: str
    link_options: tuple[str, ...]
    session: str
    """How later patches know of earlier ones: "none" (each has all that changed), "loaded", "relink"."""
    debug: bool
    way: str = "library"
    """How patches are made: a row of ``WAYS``."""
    library: bool = False
    """Whether what is patched is a shared library, and the program only starts it."""
    folders: bool = False
    """Whether the files have folders of their own, and one name."""
    keep_state: bool = True
    """Whether patches use the variables that the process has: ``--keep-state``."""
    archives: str = ""
    """How members are archived, and archives linked: a row of ``ARCHIVES``."""

    @property
    def anchor(self) -> str:
        """What has its address reported by the process, in C."""
        return "anchor" if self.library else "main"

    @property
    def anchor_symbol(self) -> str:
        """The symbol of that."""
        return f"_{self.anchor}" if self.is_macho else self.anchor

    @property
    def mangles_parameters(self) -> bool:
        """Whether a function's symbol has its parameters in it; Rust's older mangling has them in its hash."""
        is_legacy = self.language == "rust" and "-Csymbol-mangling-version=v0" not in self.options
        return self.language == "c++" or is_legacy

    @property
    def is_macho(self) -> bool:
        """Whether it makes Mach-O files."""
        return self.linker in MACHO_LINKERS

    def path(self, file: str, ending: str) -> str:
        """Where something of a program's file lies, in the folder of the program."""
        return f"{file}/part{ending}" if self.folders else f"{file}{ending}"

    def compile_command(self, source: str, output: str, *, patch: bool) -> list[str]:
        """The command that compiles a file."""
        command, *target = COMPILERS[self.compiler, self.language]
        position = ("-fPIC",) if patch and not self.is_macho else self.host_options
        return [str(need(command)), *target, *self.options, *position, "-c", source, "-o", output]

    def link_command(self, inputs: list[str], output: str) -> list[str]:
        """The command that links the host."""
        if self.linker == "zig":
            return [*zig(), "cc", "-target", "aarch64-macos.13.0", *self.link_options, *inputs, "-o", output]
        if self.linker == "ld64.lld":
            return [str(need("ld64.lld-19")), *MACHO_LINK, *self.link_options, *inputs, str(SYSTEM), "-o", output]
        driver = "aarch64-linux-gnu-g++" if self.language == "c++" else "aarch64-linux-gnu-gcc"
        position = ["-no-pie"] if "-fno-pie" in self.host_options else ["-pie"]
        linker = ["-B", str(linkers()), f"-fuse-ld={LINKERS[self.linker]}"]
        export = "-Wl,--export-dynamic-symbol=main"
        return [str(need(driver)), *position, *linker, export, *self.link_options, *inputs, "-o", output]


def library_command(build: Build, inputs: list[str], output: str) -> list[str]:
    """The command that links a shared library of an ELF host."""
    host = build.link_command(inputs, output)
    left_out = {"-pie", "-no-pie", "-Wl,--export-dynamic-symbol=main"}
    return [host[0], "-shared", f"-Wl,-soname,{output}", *(word for word in host[1:] if word not in left_out)]


MACHO_LINKERS = ("ld64.lld", "zig")


def choose(random: Random, language: str, file_format: str) -> Build:
    """A build by chance; what ends in refusals is rare."""
    build = _macho(random, language) if file_format.startswith("macho") else _elf(random, language)
    if file_format.startswith("lto"):
        build = _optimised_at_link(random, build)
    if file_format == "options":
        build = _with_more_options(random, build)
    if file_format.endswith("patch"):
        build = build._replace(way=random.choice(("newer", "named")))
    if file_format in ("shared", "library"):
        build = build._replace(way=random.choice(("library", "newer")))
    if file_format.endswith("folders"):
        kinds = ("", "each", "whole") if build.is_macho else ("", "each", "group", "whole", "thin")
        way = random.choice(("library", "library", "newer", "named"))
        build = build._replace(folders=True, archives=random.choice(kinds), way=way)
    if file_format.endswith("common"):
        build = build._replace(options=(*build.options, "-fcommon"))
        if build.linker == "zig":  # which makes a variable as large as the first definition of it
            build = build._replace(linker="ld64.lld", link_options=())
    if file_format.endswith(("common", "folders", "forms", "inline", "names", "start")):
        build = with_session(build._replace(keep_state=random.randrange(4) > 0), build.session)
    if file_format == "library":
        symbolic = random.choice(((), *(("-Wl,-Bsymbolic",),) * 3, ("-Wl,-Bsymbolic-functions",)))
        link = (*build.link_options, *symbolic)
        build = build._replace(library=True, host_options=("-fPIC",), link_options=link)
    return build


def with_session(build: Build, session: str) -> Build:
    """*build* with patches that know of earlier ones so; those that keep no state share none with later ones either."""
    return build._replace(session="none" if session == "loaded" and not build.keep_state else session)


MORE_OPTIONS = {
    "gcc": (
        *("-fvisibility=hidden", "-mbranch-protection=standard", "-fstack-protector-strong", "-fcommon", "-gz"),
        *("-fno-asynchronous-unwind-tables", "-fno-plt", "-fno-jump-tables", "-fmerge-all-constants", "-gdwarf-4"),
        *("-fno-toplevel-reorder", "-fipa-pta", "-fno-semantic-interposition", "-fno-strict-aliasing", "-g1"),
        *("-ftls-model=initial-exec", "-fpatchable-function-entry=2", "-falign-functions=64", "-mno-outline-atomics"),
        *("-fno-zero-initialized-in-bss", "-fno-merge-constants", "-mcmodel=small", "-fno-inline", "-gsplit-dwarf"),
    ),
    "clang": (
        *("-fvisibility=hidden", "-mbranch-protection=standard", "-fstack-protector-strong", "-fcommon", "-gz"),
        *("-fno-asynchronous-unwind-tables", "-fno-plt", "-fno-jump-tables", "-fmerge-all-constants", "-gdwarf-4"),
        *("-moutline", "-fno-semantic-interposition", "-fno-strict-aliasing", "-g1", "-mno-outline-atomics"),
        *("-ftls-model=initial-exec", "-fpatchable-function-entry=2", "-falign-functions=64", "-faddrsig"),
        *("-fno-zero-initialized-in-bss", "-funique-internal-linkage-names", "-fno-inline", "-gsplit-dwarf"),
    ),
}
"""Compiler -> options that ordinary builds have, and that change what is in an object."""


def _with_more_options(random: Random, build: Build) -> Build:
    """*build* with one to four of :data:`MORE_OPTIONS`."""
    more = random.sample(MORE_OPTIONS[build.compiler], random.randint(1, 4))
    more = [option for option in more if build.debug or not option.startswith("-g")]
    if (build.language, build.compiler) == ("c++", "gcc"):  # GCC 12's inline functions do not link with it
        more = [option for option in more if "patchable" not in option]
    debug = build.debug and "-g1" not in more  # which describes no types
    return build._replace(options=(*build.options, *more), debug=debug)


def _optimised_at_link(random: Random, build: Build) -> Build:
    """*build* with a host that the linker optimises as a whole; the patch's files are compiled as before."""
    if build.compiler == "clang":
        how = random.choice(("-flto", "-flto=thin"))
        return build._replace(linker="lld", host_options=(*build.host_options, how))
    level = build.options[0]
    link = (*build.link_options, "-flto", level, *(["-g"] if build.debug else []))
    linker = "mold" if build.linker == "mold" else "bfd"  # lld cannot read GCC's intermediate code
    how = ("-flto", "-ffat-lto-objects")  # llvm-ar finds the names in an archive's members
    kept = tuple(option for option in link if "--icf" not in option or linker == "mold")
    return build._replace(linker=linker, host_options=(*build.host_options, *how), link_options=kept)


def _macho(random: Random, language: str) -> Build:
    level = random.choice(("-O0", "-O1", "-O2", "-O2", "-O3", "-Os"))
    options = [level, "-mno-global-merge", *(["-mcmodel=large"] if random.randrange(8) == 0 else [])]
    debug = random.randrange(100) < 85
    linker = random.choice((*("ld64.lld",) * 4, "zig"))
    choices = {"ld64.lld": ["-dead_strip", "-no_fixup_chains", "--icf=safe"], "zig": ["-Wl,-dead_strip"]}[linker]
    link = [option for option in choices if random.randrange(4) == 0]
    session = random.choice(SESSIONS)
    debugging = ["-g"] if debug else []
    return Build(language, "apple clang", (*options, *debugging), (), linker, tuple(link), session, debug)


def _elf(random: Random, language: str) -> Build:
    compiler = random.choice(("gcc", "gcc", "clang"))
    debug = random.randrange(100) < 85
    level = random.choice(("-O0", "-O1", "-O2", "-O2", "-O3", "-Os"))
    options = [level, *(["-g"] if debug else [])]
    sections = random.randrange(100)
    if sections < 85:
        options.append("-fdata-sections")
    if sections < 60:
        options.append("-ffunction-sections")
    if compiler == "clang":
        options += ["-mno-global-merge"] if level == "-O3" or random.randrange(4) else []
    elif random.randrange(4) == 0:
        options.append("-fno-section-anchors")
    position = random.choice((("-fPIE",), ("-fPIE",), ("-fPIC",), ("-fno-pie",)))
    linker = random.choice(("bfd", "bfd", "bfd", "lld", "lld", "lld", "mold", "mold", "mold", "gold"))
    link = []
    if "-ffunction-sections" in options and random.randrange(2):
        link.append("-Wl,--gc-sections")
    if linker in ("lld", "mold", "gold") and random.randrange(12) == 0:
        folding = "--icf=all" if linker != "mold" or "-Wl,--gc-sections" not in link else ""
        link += [f"-Wl,{folding}"] if folding else []  # mold leaves no name of what it folded then: a known fault
    if random.randrange(10) == 0:
        link.append("-rdynamic")
    if random.randrange(10) == 0:
        link.append("-Wl,-O1,--sort-common")
    session = random.choice(SESSIONS)
    return Build(language, compiler, tuple(options), position, linker, tuple(link), session, debug)


@cache
def scratch() -> Path:
    """A folder for what is compiled once."""
    from tempfile import mkdtemp

    return Path(mkdtemp(prefix="adversary-"))


@cache
def linkers() -> Path:
    """The folder in which GCC finds the linkers."""
    return linker_folder(scratch() / "linkers")


@cache
def anchor_object() -> Path:
    """The anchor of a host that is a library, compiled once."""
    source = scratch() / "anchor.c"
    source.write_text("int anchor(void) { return 0; }\n")
    run([str(need("aarch64-linux-gnu-gcc")), "-fPIC", "-c", str(source), "-o", str(source.with_suffix(".o"))])
    return source.with_suffix(".o")


@cache
def runtime_objects(language: str, anchor: str, *, macho: bool) -> tuple[Path, ...]:
    """The runtime and what calls entries, compiled once."""
    if language == "rust":
        from adversary import rust_build

        return rust_build.runtime_objects()
    suffix = {"c": "c", "c++": "cc"}[language]
    guard = scratch() / f"guard-{suffix}.{suffix}"
    guard.write_text(GUARDS[language])
    sources = [(HERE / "runtime_macho.c", "apple clang")] if macho else [(HERE / "runtime.c", "gcc"), (guard, "gcc")]
    objects = []
    for source, compiler in sources:
        command, *target = COMPILERS[compiler, "c" if source.suffix == ".c" else "c++"]
        objects.append(scratch() / f"{source.stem}.{anchor}.{suffix}.o")
        words = [str(need(command)), *target, "-O1", "-fPIC", "-fno-builtin", f"-DANCHOR={anchor}"]
        run([*words, "-c", str(source), "-o", str(objects[-1])])
    return tuple(objects)


@cache
def entries_object(symbols: tuple[str, ...], *, macho: bool) -> Path:
    """The table of functions that the runtime calls, assembled once: few programs have other entries than others."""
    output = scratch() / f"entries-{len(list(scratch().glob('entries-*.o')))}.o"
    prefix = "_" if macho else ""
    section = "__DATA,__const" if macho else '.data.rel.ro,"aw"'
    lines = [f".section {section}", f".globl {prefix}entries", ".p2align 3", f"{prefix}entries:"]
    lines += [*(f"  .quad {prefix}{symbol}" for symbol in symbols), "  .quad 0"]
    lines.append(".subsections_via_symbols" if macho else '.section .note.GNU-stack,"",%progbits')
    source = output.with_suffix(".s")
    source.write_text("\n".join([*lines, ""]))
    clang = [str(need("clang-19")), f"--target={MACHO_TARGET}", "-c"]
    run([*(clang if macho else [str(need("aarch64-linux-gnu-as"))]), str(source), "-o", str(output)])
    return output
