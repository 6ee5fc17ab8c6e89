"""Every kind of symbol that a compiler and linker make, from real hosts: what it becomes, why, and where it goes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import pytest
from elftools.elf.elffile import ELFFile
from tools import PROGRAMS, linker_folder, need, run, zig

from stubgen.build import StubBuilder
from stubgen.resolve.verdicts import Decision

SLIDE = 0x5500000000


class Kind(NamedTuple):
    """What becomes of one needed symbol."""

    name: str
    verdict: str
    reason: str = ""
    """Words of the reason; by default those of the plainest trampoline."""
    host_name: str | None = None
    """The host's own symbol at the address, where it has another name."""
    exported: bool = True
    """Whether it survives the loss of ``.symtab``."""


PLAIN = "the host has one function of that name"

FUNCTIONS = (
    Kind("global_function", "trampoline", PLAIN),
    Kind("weak_function", "trampoline", PLAIN),
    Kind("protected_function", "trampoline", PLAIN),
    Kind("alias_of_global", "trampoline", PLAIN),
    Kind("untyped_function", "trampoline", PLAIN),
    Kind("static_function", "trampoline", PLAIN, exported=False),
    Kind("hidden_function", "trampoline", PLAIN, exported=False),
    Kind("global_and_static", "trampoline", PLAIN),
    Kind("suffixed_in_host", "trampoline", "matched suffixed_in_host.llvm.1234", "suffixed_in_host.llvm.1234"),
    Kind("suffixed_in_patch.llvm.5678", "trampoline", "matched suffixed_in_patch once", "suffixed_in_patch"),
)
"""What gets a trampoline in ELF hosts."""

VERSIONED = (
    Kind("versioned", "trampoline", "the default version, V2", "versioned_second"),
    Kind("versioned@V1", "trampoline", "version V1", "versioned_first"),
)
"""What does where the linker keeps the versions: mold 1.10 does so in shared libraries only."""

NO_STUB = (
    Kind("two_statics", "ambiguous", "2 of them at different addresses", exported=False),
    Kind("suffixed_twice", "ambiguous", "2 of them at different addresses"),
    Kind("misaligned_function", "refused", "is not a multiple of 4: no instruction is there"),
    Kind("function_in_data", "refused", "is in no executable segment"),
    Kind("exported_ifunc", "loader", "is its resolver, not the function; the host exports it"),
    Kind(
        "hidden_ifunc", "refused", "is its resolver, not the function, and the host does not export it", exported=False
    ),
    Kind("puts", "loader", "the host imports it itself"),
    Kind("global_functoin", "missing", "the host has no such symbol"),
    Kind("weak_missing", "weak-null", "the reference is weak"),
    Kind("thread_datum", "tls", "every thread has its own copy"),
    Kind("thread_zero", "tls", "every thread has its own copy"),
    Kind("thread_static", "tls", "every thread has its own copy", exported=False),
)
"""What gets no stub."""

DATA = (
    Kind("initialised", "absolute", "data in .data"),
    Kind("uninitialised", "absolute", "data in .bss"),
    Kind("constant", "absolute", "data in .rodata"),
    Kind("common", "absolute", "it is data in"),
    Kind("weak_datum", "absolute", "data in .data"),
    Kind("static_datum", "absolute", "data in .data", exported=False),
    Kind("hidden_datum", "absolute", "data in .data", exported=False),
    Kind("hits.0", "absolute", "data in .data", exported=False),
)
"""What becomes an absolute symbol on glibc."""

ALL = (*FUNCTIONS, *VERSIONED, *NO_STUB, *DATA, Kind("absolute_value", "absolute", "an absolute value"))


class Judged(NamedTuple):
    """One host, and what becomes of each symbol that the patch needs."""

    host: Path
    decisions: dict[str, Decision]
    bound: dict[str, Decision]  # with bound copies


def judge(host: Path, patch: Path) -> Judged:
    """Judge *patch* against *host*."""
    builder = StubBuilder(host)
    plain, bound = (builder.judge([patch], slide=SLIDE, bind=bind).decisions() for bind in (False, True))
    return Judged(host, *({decision.name: decision for decision in decisions} for decisions in (plain, bound)))


def named(kinds: Iterable[Kind]) -> pytest.MarkDecorator:
    """One test a kind."""
    return pytest.mark.parametrize("kind", list(kinds), ids=lambda kind: kind.name)


def check(judged: Judged, kind: Kind) -> Decision:
    """The decision on *kind*, once verdict and reason are as they should be."""
    decision = judged.decisions[kind.name]
    assert (decision.name, decision.verdict.value) == (kind.name, kind.verdict), decision.reason
    assert kind.reason in decision.reason
    return decision


def elf_addresses(host: Path, name: str) -> set[int]:
    """Where pyelftools finds the definitions of *name*; a global one hides local ones."""
    with host.open("rb") as file:
        symbols = ELFFile(file).get_section_by_name(".symtab").get_symbol_by_name(name) or []
        globals_ = {symbol["st_value"] for symbol in symbols if symbol["st_info"]["bind"] != "STB_LOCAL"}
        return globals_ or {symbol["st_value"] for symbol in symbols}


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The ELF host's and patch's objects."""
    folder = tmp_path_factory.mktemp("objects")
    gcc = need("aarch64-linux-gnu-gcc")
    compiled = {}
    for source in ("kinds.c", "kinds_other.c", "kinds_elf.S", "kinds_patch.c"):
        compiled[source] = folder / f"{source}.o"
        options = ["-c", "-O1", "-fPIC", "-fcommon", '-DPREFIX=""']
        run([gcc, *options, PROGRAMS / source, "-o", compiled[source]])
    return compiled


SHAPES = {"executable": ["-pie", "-rdynamic"], "library": ["-shared"]}
LINKED = [f"{linker}-{shape}" for linker in ("bfd", "lld", "mold") for shape in SHAPES]


@pytest.fixture(scope="module")
def link(objects: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Judged]:
    """Link the host by name (``lld-library``), once, and judge the patch against it."""
    folder = tmp_path_factory.mktemp("hosts")
    linked: dict[str, Judged] = {}

    def link_one(name: str) -> Judged:
        if name not in linked:
            linker, _, shape = name.partition("-")
            script = f"-Wl,--version-script={PROGRAMS / 'kinds.map'}"
            inputs = [path for source, path in objects.items() if source != "kinds_patch.c"]
            tools = ["-B", linker_folder(folder / "linkers"), f"-fuse-ld={linker}"]
            run([need("aarch64-linux-gnu-gcc"), *tools, *SHAPES[shape], script, *inputs, "-o", folder / name])
            linked[name] = judge(folder / name, objects["kinds_patch.c"])
        return linked[name]

    return link_one


@pytest.fixture(params=LINKED)
def elf(request: pytest.FixtureRequest, link: Callable[[str], Judged]) -> Judged:
    """The ELF host, by each linker and in both shapes."""
    return link(request.param)


@named(FUNCTIONS)
def test_a_function_gets_a_trampoline(elf: Judged, kind: Kind) -> None:
    """A function that is refused cannot be called; one stubbed at a wrong address crashes the program."""
    decision = check(elf, kind)
    name = kind.host_name or kind.name
    if "PLT entry" in decision.reason:  # another image may have it, as the library's own calls allow for
        shown = run([need("llvm-objdump-19"), "-d", elf.host])
        entry = re.search(rf"^0*([0-9a-f]+) <{re.escape(name)}@plt>:$", shown, re.MULTILINE)
        assert entry
        addresses = {int(entry[1], 16)}
    else:
        addresses = elf_addresses(elf.host, name)
    assert addresses == {decision.static_address}
    assert decision.runtime_address == decision.static_address + SLIDE


@named(VERSIONED)
@pytest.mark.parametrize("name", [name for name in LINKED if name != "mold-executable"])
def test_a_versioned_function_is_told_by_its_version(link, name: str, kind: Kind) -> None:
    """The old version of a function often takes other arguments than the new one."""
    judged = link(name)
    bound = judged._replace(decisions=judged.bound)
    assert elf_addresses(judged.host, str(kind.host_name)) == {check(bound, kind).static_address}
    if "@" in kind.name:
        check(judged, Kind(kind.name, "refused", "it pins version V1"))


@named([Kind("versioned", "ambiguous", "2 of them"), Kind("versioned@V1", "missing", "no such symbol")])
def test_lost_versions_are_not_guessed(link, kind: Kind) -> None:
    """Where the linker dropped the versions (mold 1.10 in executables), a guess is wrong half of the time."""
    check(link("mold-executable"), kind)


@named(NO_STUB)
def test_what_is_no_function_gets_no_trampoline(elf: Judged, kind: Kind) -> None:
    """A branch to a resolver, to data or to one of two namesakes runs something else than the user wrote."""
    check(elf, kind)


@named(DATA)
def test_data_becomes_absolute(elf: Judged, kind: Kind) -> None:
    """A datum at a wrong address reads garbage; a trampoline for it reads instructions.

    Of a library's exported variable nobody can tell whether it is the one that the process uses.
    """
    if kind.exported and kind.name != "constant" and elf.host.name.endswith("library"):
        check(elf, kind._replace(verdict="refused", reason="the program may have its own"))
        return
    decision = check(elf, kind)
    assert elf_addresses(elf.host, kind.name) == {decision.static_address}
    assert decision.runtime_address == decision.static_address + SLIDE


def test_an_absolute_value_is_what_the_hosts_code_reads(elf: Judged) -> None:
    """A number that moves with the program is another number; GNU ld moves every one of a program, places or not."""
    if elf.host.name == "bfd-executable":
        decision = check(elf, Kind("absolute_value", "absolute", "it is data in no section"))
        assert decision.runtime_address == 0x1234 + SLIDE
    else:
        decision = check(elf, Kind("absolute_value", "absolute", "an absolute value"))
        assert decision.runtime_address == 0x1234


def test_namesakes_are_all_listed(elf: Judged) -> None:
    """Whoever has to rename one of two statics must learn which two they are."""
    listed = elf.decisions["two_statics"].candidates
    assert {int(text.split(" at ")[1].split()[0], 16) for text in listed} == elf_addresses(elf.host, "two_statics")
    assert len(listed) == 2
    assert sorted(text.split(" (")[1] for text in listed) == [
        f"local function, .text, {file})" for file in ("kinds.c", "kinds_other.c")
    ]


def test_a_typing_error_gets_a_hint(elf: Judged) -> None:
    """'missing' alone sends people to search the wrong place."""
    assert elf.decisions["global_functoin"].candidates == ("global_function",)


def test_the_end_of_the_image_is_the_hosts_or_nobodys(elf: Judged) -> None:
    """``_end`` of a patch bounds nothing that the program means; GNU ld and mold keep the host's, lld does not."""
    places, decision = elf_addresses(elf.host, "_end"), elf.decisions["_end"]
    if places:
        check(elf, Kind("_end", "absolute", "it is data in"))
        assert places == {decision.static_address}
    else:
        check(elf, Kind("_end", "refused", "of which each image has its own, and the host has no symbol of that name"))


def test_every_needed_symbol_is_tested(elf: Judged) -> None:
    """A symbol kind that the patch uses and no table has would be judged unseen."""
    assert set(elf.decisions) == {kind.name for kind in ALL} | {"_end"}


STRIPPED = {
    "dynsym": ["--strip-all"],
    "no-section-headers": ["--strip-sections"],
}
"""What is left of a released host -> how llvm-strip makes it."""


@pytest.fixture(params=STRIPPED)
def stripped(request: pytest.FixtureRequest, link, objects: dict[str, Path], tmp_path: Path) -> tuple[Judged, Judged]:
    """The host as it was linked, and with its dynamic symbols alone."""
    whole = link("lld-library")
    host = tmp_path / "stripped"
    run([need("llvm-strip-19"), *STRIPPED[request.param], whole.host, "-o", host])
    return whole, judge(host, objects["kinds_patch.c"])


@named(kind for kind in ALL if kind.exported)
def test_an_exported_symbol_survives_stripping(stripped: tuple[Judged, Judged], kind: Kind) -> None:
    """Released hosts have nothing but ``.dynsym``; what they export must still be found, and be the same."""
    whole, rest = stripped
    before, after = whole.decisions[kind.name], rest.decisions[kind.name]
    assert after.verdict is before.verdict, after.reason
    assert after.runtime_address == before.runtime_address


@named(kind for kind in ALL if not kind.exported)
def test_a_local_symbol_does_not_survive_stripping(stripped: tuple[Judged, Judged], kind: Kind) -> None:
    """A stripped-off static must be said to be missing, not be taken for something else."""
    _, rest = stripped
    check(rest, Kind(kind.name, "missing", "the host has no such symbol"))


MACHO_FUNCTIONS = (
    Kind("_global_function", "trampoline", PLAIN),
    Kind("_weak_function", "trampoline", PLAIN),
    Kind("_protected_function", "trampoline", PLAIN),
    Kind("_alias_of_global", "trampoline", PLAIN, "_untyped_function"),
    Kind("_untyped_function", "trampoline", PLAIN),
    Kind("_hidden_function", "trampoline", PLAIN),
    Kind("_global_and_static", "trampoline", PLAIN),
    Kind("_suffixed_in_host", "trampoline", "matched _suffixed_in_host.llvm.1234", "_suffixed_in_host.llvm.1234"),
    Kind("_suffixed_in_patch.llvm.5678", "trampoline", "matched _suffixed_in_patch once", "_suffixed_in_patch"),
)
"""What gets a trampoline in Mach-O hosts."""

MACHO_NO_STUB = (
    Kind("_static_function", "refused", "it is a static function of a host that LLVM compiled"),
    Kind("_two_statics", "ambiguous", "2 of them at different addresses"),
    Kind("_suffixed_twice", "ambiguous", "2 of them at different addresses"),
    Kind("_misaligned_function", "refused", "is not a multiple of 4: no instruction is there"),
    Kind("_puts", "loader", "the host imports it itself"),
    Kind("_global_functoin", "missing", "the host has no such symbol"),
    Kind("_weak_missing", "weak-null", "the reference is weak"),
    Kind("_thread_datum", "tls", "every thread has its own copy"),
    Kind("_thread_zero", "tls", "every thread has its own copy"),
    Kind("_thread_static", "tls", "every thread has its own copy"),
    *(
        Kind(f"_{name}", "refused", f"it is data in {section}, and on Mach-O an absolute symbol would be read")
        for name, section in (
            ("initialised", "__DATA,__data"),
            ("uninitialised", "__DATA,__common"),
            ("common", "__DATA,__common"),
            ("constant", "__TEXT,__const"),
            ("static_datum", "__DATA,__data"),
            ("hidden_datum", "__DATA,__data"),
            ("weak_datum", "__DATA,__data"),
            ("function_local_static.hits", "__DATA,__data"),
        )
    ),
    Kind("_absolute_value", "refused", "it is an absolute value, and on Mach-O"),
)
"""What gets no stub there."""


@pytest.fixture(scope="module", params=["ld64.lld", "zig"])
def macho(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Judged:
    """The Mach-O host by both linkers that run outside macOS."""
    folder = tmp_path_factory.mktemp(request.param)
    clang, linker = need("clang-19", "ld64.lld-19")
    compiled = {}
    for source in ("kinds.c", "kinds_other.c", "kinds_macho.S", "kinds_patch.c"):
        compiled[source] = folder / f"{source}.o"
        options = ["-c", "-O1", "-fcommon", '-DPREFIX="_"', "--target=arm64-apple-macos13"]
        run([clang, *options, PROGRAMS / source, "-o", compiled[source]])
    host = folder / "host"
    inputs = [path for source, path in compiled.items() if source != "kinds_patch.c"]
    if request.param == "zig":
        run([*zig(), "cc", "-target", "aarch64-macos.13.0", *inputs, "-o", host])
    else:
        target = ["-arch", "arm64", "-platform_version", "macos", "13.0", "13.0"]
        run([linker, *target, "-undefined", "dynamic_lookup", *inputs, "-o", host])
    return judge(host, compiled["kinds_patch.c"])


def macho_addresses(host: Path, name: str) -> set[int]:
    """Where llvm-nm finds the definitions of *name*; a global one hides local ones."""
    lines = [line.split() for line in run([need("llvm-nm-19"), "--defined-only", host]).splitlines()]
    found = [(kind, int(address, 16)) for address, kind, symbol in lines if symbol == name]
    return {address for kind, address in found if kind.isupper()} or {address for _, address in found}


@named(MACHO_FUNCTIONS)
def test_a_macho_function_gets_a_trampoline(macho: Judged, kind: Kind) -> None:
    """A function that is refused cannot be called; one stubbed at a wrong address crashes the program."""
    decision = check(macho, kind)
    assert macho_addresses(macho.host, kind.host_name or kind.name) == {decision.static_address}
    assert decision.runtime_address == decision.static_address + SLIDE


@named(MACHO_NO_STUB)
def test_what_is_no_macho_function_gets_no_trampoline(macho: Judged, kind: Kind) -> None:
    """On Mach-O an absolute symbol reads a wrong address, so data is refused until it can be bound."""
    check(macho, kind)


def test_every_needed_macho_symbol_is_tested(macho: Judged) -> None:
    """A symbol kind that the patch uses and no table has would be judged unseen."""
    assert set(macho.decisions) - {"__tlv_bootstrap"} == {kind.name for kind in (*MACHO_FUNCTIONS, *MACHO_NO_STUB)}
