"""The verdict on each kind of needed symbol, on synthetic hosts; compiled hosts prove the same in test_kinds."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from synthetic import BASE, DATA, SIZE, THREAD, Sym, elf_host, elf_object, macho_host, macho_object, put, undefined

from stubgen.build import StubBuilder, refuse_problems
from stubgen.elf import constants as e
from stubgen.errors import AnchorRefusal, InputError, SymbolRefusal
from stubgen.resolve import judging as module
from stubgen.resolve.resolution import Resolution
from stubgen.resolve.verdicts import Decision, Verdict

F = BASE + 0x100
SLIDE = 0x5500000000

Judge = Callable[..., Resolution]


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    """Resolve a patch that needs some names against a host that has some symbols."""

    def run(
        host: Sequence[Sym],
        patch: Sequence[Sym],
        *,
        interpreter: str = "/lib/ld-linux-aarch64.so.1",
        slide: int = SLIDE,
        **options: object,
    ) -> Resolution:
        host_path = put(tmp_path, "host", elf_host(host, interpreter=interpreter))
        patch_path = put(tmp_path, "patch.o", elf_object(patch))
        return StubBuilder(host_path).judge([patch_path], slide=slide, **options)  # type: ignore[arg-type]

    return run


def only(resolution: Resolution) -> Decision:
    """The one decision there is."""
    (decision,) = resolution.decisions()
    return decision


def test_a_function_becomes_a_trampoline(judge: Judge) -> None:
    """The main case."""
    decision = only(judge([Sym("f", F)], [undefined("f")]))
    assert (decision.verdict, decision.static_address, decision.runtime_address) == (
        Verdict.TRAMPOLINE,
        F,
        SLIDE + F,
    )
    assert decision.used_by[0].endswith("patch.o")


HIDDEN_OR_NOT = {
    "local": {"bind": e.STB_LOCAL},
    "weak": {"bind": e.STB_WEAK},
    "hidden": {"other": e.STV_HIDDEN},
    "unique": {"bind": e.STB_GNU_UNIQUE},
    "untyped assembly": {"kind": e.STT_NOTYPE},
}


@pytest.mark.parametrize("options", HIDDEN_OR_NOT.values(), ids=list(HIDDEN_OR_NOT))
def test_any_binding_or_visibility_is_reached(judge: Judge, options: dict[str, int]) -> None:
    """Stubs exist because the loader cannot reach hidden and static functions."""
    assert only(judge([Sym("f", F, **options)], [undefined("f")])).verdict is Verdict.TRAMPOLINE


def test_what_the_patch_defines_is_not_needed(judge: Judge) -> None:
    """A hidden stub for the patch's own symbol takes it out of the patch's dynamic symbols."""
    assert list(judge([Sym("f", F)], [Sym("f", 0)]).decisions()) == []


DATA_POLICIES = {
    "glibc": ("/lib/ld-linux-aarch64.so.1", "auto", Verdict.ABSOLUTE, "default"),
    "android": ("/system/bin/linker64", "auto", Verdict.ABSOLUTE, "hidden"),
    "musl": ("/lib/ld-musl-aarch64.so.1", "auto", Verdict.REFUSED, "default"),
    "unknown": ("/lib/ld.so", "auto", Verdict.REFUSED, "default"),
    "musl, insisted": ("/lib/ld-musl-aarch64.so.1", "absolute", Verdict.ABSOLUTE, "default"),
    "glibc, never": ("/lib/ld-linux-aarch64.so.1", "none", Verdict.REFUSED, "default"),
}


@pytest.mark.parametrize(
    ("interpreter", "data", "verdict", "visibility"), DATA_POLICIES.values(), ids=list(DATA_POLICIES)
)
def test_data_is_absolute_only_where_that_is_right(
    judge: Judge, interpreter: str, data: str, verdict: Verdict, visibility: str
) -> None:
    """An absolute symbol links everywhere and reads the wrong address on half the targets."""
    host = [Sym("counter", BASE + SIZE + 8, e.STT_OBJECT, section=DATA)]
    resolution = judge(host, [undefined("counter")], interpreter=interpreter, data=data)
    assert only(resolution).verdict is verdict
    assert resolution.stubs.absolute_visibility == visibility
    if data == "auto" and verdict is Verdict.REFUSED:
        platform = "Linux with musl" if "musl" in interpreter else "an unknown C library"
        assert f"on {platform} " in only(resolution).reason
    if verdict is Verdict.ABSOLUTE:
        assert list(resolution.stubs.absolute_addresses) == [SLIDE + BASE + SIZE + 8]


def test_an_absolute_value_does_not_slide(judge: Judge) -> None:
    """A linker script's constant is a number, not a place."""
    resolution = judge([Sym("LIMIT", 0x1234, e.STT_NOTYPE, section=e.SHN_ABS)], [undefined("LIMIT")])
    assert list(resolution.stubs.absolute_addresses) == [0x1234]


OTHERS = {
    "thread-local": (
        [Sym("x", 8, e.STT_TLS, section=THREAD)],
        [undefined("x")],
        Verdict.TLS,
        "every thread has its own copy",
    ),
    "ifunc that is not exported": (
        [Sym("x", F, e.STT_GNU_IFUNC)],
        [undefined("x")],
        Verdict.REFUSED,
        "is its resolver, not the function, and the host does not export it",
    ),
    "import": ([undefined("x")], [undefined("x")], Verdict.LOADER, "the host imports it itself"),
    "import with a version": (
        [undefined("x@GLIBC_2.17")],
        [undefined("x")],
        Verdict.LOADER,
        r"\(version GLIBC_2.17\)",
    ),
    "two locals": (
        [Sym("x", F, bind=e.STB_LOCAL), Sym("x", F + 8, bind=e.STB_LOCAL)],
        [undefined("x")],
        Verdict.AMBIGUOUS,
        "2 of them at different addresses",
    ),
    "weak and absent": ([Sym("y", F)], [undefined("x", weak=True)], Verdict.WEAK_NULL, "the reference is weak"),
    "absent": ([Sym("y", F)], [undefined("x")], Verdict.MISSING, "the host has no such symbol"),
    "address 0": ([Sym("x", 0)], [undefined("x")], Verdict.MISSING, "no such symbol"),
    "section symbol": ([Sym("x", F, e.STT_SECTION)], [undefined("x")], Verdict.MISSING, "no such symbol"),
    "file symbol": ([Sym("x", F, e.STT_FILE)], [undefined("x")], Verdict.MISSING, "no such symbol"),
    "misaligned": ([Sym("x", F + 2)], [undefined("x")], Verdict.REFUSED, "not a multiple of 4"),
    "outside the code": ([Sym("x", 0x400000)], [undefined("x")], Verdict.REFUSED, "in no executable segment"),
    "linker's own": ([], [undefined("__dso_handle")], Verdict.LINKER, "every linked image has its own"),
    "a place in the host": (
        [Sym("__bss_start", F, e.STT_NOTYPE, section=DATA)],
        [undefined("__bss_start")],
        Verdict.ABSOLUTE,
        "data in",
    ),
    "a place that the host does not say": ([], [undefined("_end")], Verdict.REFUSED, "has no symbol of that name"),
    "bounds of no section": ([], [undefined("__start_hooks")], Verdict.REFUSED, "has no section hooks"),
    "weak bounds of no section": ([], [undefined("__stop_hooks", weak=True)], Verdict.LINKER, "has no section hooks"),
    "bounds by no C identifier": ([], [undefined("__start_.hooks")], Verdict.MISSING, "no such symbol"),
    "a variable called like bounds": (
        [Sym("__start_time", F, e.STT_OBJECT, section=DATA)],
        [undefined("__start_time")],
        Verdict.ABSOLUTE,
        "data in",
    ),
    "a label called like bounds": (
        [Sym("__start_loop", F, e.STT_NOTYPE)],
        [undefined("__start_loop")],
        Verdict.TRAMPOLINE,
        "one function of that name",
    ),
}


@pytest.mark.parametrize(("host", "patch", "verdict", "reason"), OTHERS.values(), ids=list(OTHERS))
def test_every_other_kind(judge: Judge, host: list[Sym], patch: list[Sym], verdict: Verdict, reason: str) -> None:
    """Each kind that must not become a stub says why; a stub for it would jump into nowhere."""
    decision = only(judge([*host, Sym("anything", F + 0x40)], patch))
    assert decision.verdict is verdict
    assert re.search(reason, decision.reason), decision.reason


def test_a_function_named_like_a_linker_symbol_is_a_function(judge: Judge) -> None:
    """``end`` and ``edata`` are the linker's names and also quite ordinary ones."""
    assert only(judge([Sym("end", F)], [undefined("end")])).verdict is Verdict.TRAMPOLINE


def test_a_global_wins_over_locals(judge: Judge) -> None:
    """A static function of the same name in another unit is not what an undefined reference means."""
    host = [Sym("f", F, bind=e.STB_LOCAL), Sym("f", F + 0x20), Sym("f", F + 0x40, bind=e.STB_LOCAL)]
    assert only(judge(host, [undefined("f")])).static_address == F + 0x20


def test_an_import_wins_over_locals(judge: Judge) -> None:
    """A static ``memset`` somewhere in the host is not libc's."""
    host = [Sym("memset", F, bind=e.STB_LOCAL), undefined("memset")]
    assert only(judge(host, [undefined("memset")])).verdict is Verdict.LOADER


def test_the_same_address_counts_once(judge: Judge) -> None:
    """Aliases and ``.symtab``/``.dynsym`` pairs are not an ambiguity."""
    host = [Sym("f", F, bind=e.STB_LOCAL), Sym("f", F, bind=e.STB_LOCAL)]
    assert only(judge(host, [undefined("f")])).verdict is Verdict.TRAMPOLINE


SUFFIXES = {
    "on the host's side": ("f.llvm.123", "f"),
    "on the patch's side": ("f", "f.llvm.99"),
    "different on both": ("f.llvm.123", "f.llvm.99"),
}


@pytest.mark.parametrize(("held", "wanted"), SUFFIXES.values(), ids=list(SUFFIXES))
def test_thinlto_suffix_is_dropped(judge: Judge, held: str, wanted: str) -> None:
    """ThinLTO renames promoted statics with a module hash that changes from build to build."""
    decision = only(judge([Sym(held, F)], [undefined(wanted)]))
    assert (decision.verdict, decision.name) == (Verdict.TRAMPOLINE, wanted)
    assert "ThinLTO" in decision.reason


def test_the_exact_name_wins_over_a_suffix(judge: Judge) -> None:
    """Both may exist: the one that was asked for is meant."""
    host = [Sym("f.llvm.1", F), Sym("f", F + 8), Sym("f.llvm.2", F + 16)]
    assert only(judge(host, [undefined("f")])).static_address == F + 8


def test_an_ambiguous_suffix_is_not_guessed(judge: Judge) -> None:
    """Two modules may each have had their ``f``."""
    decision = only(judge([Sym("f.llvm.1", F), Sym("f.llvm.2", F + 8)], [undefined("f")]))
    assert decision.verdict is Verdict.AMBIGUOUS
    assert len(decision.candidates) == 2
    assert "f.llvm.1 at" in decision.candidates[0]


def test_not_every_llvm_in_a_name_is_a_suffix(judge: Judge) -> None:
    """Only ``.llvm.`` and digits at the end is ThinLTO's."""
    assert only(judge([Sym("f.llvm.x1", F)], [undefined("f")])).verdict is Verdict.MISSING


VERSIONS = {
    "the default wins": ([Sym("f@V1", F), Sym("f@@V2", F + 8)], "f", F + 8),
    "a pinned version": ([Sym("f@V1", F), Sym("f@@V2", F + 8)], "f@V1", F),
    "a pinned default": ([Sym("f@V1", F), Sym("f@@V2", F + 8)], "f@V2", F + 8),
    "only an old version": ([Sym("f@V1", F)], "f", F),
}


@pytest.mark.parametrize(("host", "wanted", "address"), VERSIONS.values(), ids=list(VERSIONS))
def test_symbol_versions(judge: Judge, host: list[Sym], wanted: str, address: int) -> None:
    """Taking the wrong version calls a function with another contract."""
    decision = only(judge(host, [undefined(wanted)], bind=True))
    assert (decision.verdict, decision.static_address, decision.name) == (Verdict.TRAMPOLINE, address, wanted)


@pytest.mark.parametrize("options", [{}, {"overrides": {"f": 0x7000}}, {"data": "absolute"}])
def test_a_pinned_version_needs_a_bound_copy(judge: Judge, options: dict[str, object]) -> None:
    """Linkers reject a stub that is called f@V1: the user must hear of it before the link, and what helps."""
    decision = only(judge([Sym("f@V1", F), Sym("f@@V2", F + 8)], [undefined("f@V1")], **options))
    assert decision.verdict is Verdict.REFUSED
    assert decision.reason.startswith("it pins version V1, and no linker takes a symbol of that name")
    assert decision.reason.endswith("bound copies (link, --bound-dir) call it otherwise")
    assert only(judge([Sym("f@V1", F)], [undefined("f@V1")], bind=True, **options)).verdict is Verdict.TRAMPOLINE


def test_pinned_data_is_not_made_absolute(judge: Judge) -> None:
    """An absolute symbol would have to be called d@V1 as well."""
    host = [Sym("d@V1", DATA, kind=e.STT_OBJECT)]
    decision = only(judge(host, [undefined("d@V1")], bind=True, data="absolute"))
    assert decision.verdict is Verdict.REFUSED
    assert decision.reason.endswith(": drop --data absolute")
    assert only(judge(host, [undefined("d@V1")], bind=True)).verdict is Verdict.SLOT


def test_a_version_that_the_host_lacks_is_missing(judge: Judge) -> None:
    """A pinned version is not answered by another one."""
    assert only(judge([Sym("f@@V2", F)], [undefined("f@V1")])).verdict is Verdict.MISSING


def test_missing_symbols_come_with_close_names(judge: Judge) -> None:
    """A renamed or re-hashed function should be recognised at a glance."""
    host = [Sym("_ZN3app5greet17h0123456789abcdefE", F), Sym("unrelated", F + 8)]
    decision = only(judge(host, [undefined("_ZN3app5greet17hfedcba9876543210E")]))
    assert decision.candidates == ("_ZN3app5greet17h0123456789abcdefE",)


def test_a_library_on_the_link_line_supplies(judge: Judge, tmp_path: Path) -> None:
    """A libc function that the host never called is new to the host, not missing."""
    from tools import SYSROOT

    library = SYSROOT / "lib/libc.so.6"
    if not library.exists():
        pytest.skip("needs an aarch64 libc.so.6 (Debian: apt-get install libc6-arm64-cross)")
    decision = only(judge([Sym("f", F)], [undefined("snprintf")], libraries=[library]))
    assert decision.verdict is Verdict.LOADER
    assert "libc.so.6 supplies it" in decision.reason


def test_problems_are_refused_with_a_line_each(judge: Judge) -> None:
    """Nothing is dropped silently: whoever is told "no" is told everything at once."""
    resolution = judge([Sym("t", 8, e.STT_TLS, section=THREAD)], [undefined("t"), undefined("gone")])
    with pytest.raises(SymbolRefusal) as caught:
        refuse_problems(resolution)
    text = str(caught.value)
    assert "2 needed symbols" in text
    assert "t: tls:" in text
    assert "gone: missing:" in text
    with pytest.raises(SymbolRefusal, match="1 needed symbol cannot"):
        refuse_problems(resolution, allow_missing=True)


def test_an_address_beyond_user_space_is_refused(judge: Judge) -> None:
    """Such a slide sends every call into nowhere."""
    with pytest.raises(AnchorRefusal, match=r"at or above 2\^48"):
        judge([Sym("f", F)], [undefined("f")], slide=(1 << 48) - 0x1000)


def test_formats_do_not_mix(tmp_path: Path) -> None:
    """An ELF patch for a Mach-O host is a mix-up of build folders."""
    host = put(tmp_path, "host", macho_host({"_main": 16}))
    patch = put(tmp_path, "patch.o", elf_object([undefined("f")]))
    with pytest.raises(InputError, match=r"patch\.o: is an ELF object, but the host .*host is a Mach-O file"):
        StubBuilder(host).judge([patch], slide=0)


def test_platforms_do_not_mix(tmp_path: Path) -> None:
    """A simulator patch does not load into a macOS process."""
    host = put(tmp_path, "host", macho_host({"_main": 16}))
    patch = put(tmp_path, "patch.o", macho_object(needed=["_f"], platform=7))
    with pytest.raises(InputError, match=r"is for iOS simulator, but the host .* is for macOS"):
        StubBuilder(host).judge([patch], slide=0)


def test_macho_names_keep_their_underscore(tmp_path: Path) -> None:
    """An undefined ``_foo`` needs a stub named exactly ``_foo``."""
    host = put(tmp_path, "host", macho_host({"_main": 16, "_foo": 32}))
    patch = put(tmp_path, "patch.o", macho_object(needed=["_foo"]))
    resolution = StubBuilder(host).judge([patch], slide=0x4000)
    assert (resolution.stubs.names, list(resolution.stubs.addresses)) == ([b"_foo"], [0x4020])


@pytest.mark.parametrize("few", [0, 20])
def test_close_names_of_many_missing_symbols(judge: Judge, monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    """A patch for another build misses many; what they are called is found whichever way the names are searched."""
    monkeypatch.setattr(module, "FEW_MISSING", few)
    names = [f"the_{word}_function" for word in ("first", "second", "third", "fourth", "fifth", "sixth")]
    host = [Sym(name, BASE + 4 * number) for number, name in enumerate([*names, "other"])]
    wanted = [name.replace("function", "functoin") for name in names] + ["f", "completely_different"]
    judged = judge(host, [undefined(name) for name in wanted])
    candidates = {decision.name: decision.candidates for decision in judged.others}
    assert all(name in candidates[wrong] for name, wrong in zip(names, wanted, strict=False))
    assert candidates["completely_different"] == ()
