"""Which symbols of an ELF object are the host's, and which remain the patch's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from bind import crafted
from bind.crafted import CODE, DATA, HOST, THREAD, Part, Use, data, function, local, thread_local, undefined
from synthetic import Sym
from tools import need, run

from stubgen.build import StubBuilder
from stubgen.commands.options import shared_variable_notes
from stubgen.elf import constants as e
from stubgen.elf import relocations as r

ABS64, ABS32 = r.R_AARCH64_ABS64, r.R_AARCH64_ABS32
HIDDEN, INTERNAL, PROTECTED = e.STV_HIDDEN, 1, e.STV_PROTECTED
VARIANT_PCS = 0x80  # STO_AARCH64_VARIANT_PCS (AAELF64, "Symbol values"): the rest of st_other


@pytest.mark.parametrize(
    ("bind", "section", "other", "becomes"),
    [
        (e.STB_GLOBAL, 1, 0, (e.STB_GLOBAL, PROTECTED)),
        (e.STB_WEAK, 1, 0, (e.STB_WEAK, PROTECTED)),
        (e.STB_GNU_UNIQUE, 1, 0, (e.STB_WEAK, PROTECTED)),
        (e.STB_GLOBAL, e.SHN_ABS, 0, (e.STB_GLOBAL, PROTECTED)),
        (e.STB_GLOBAL, 1, VARIANT_PCS, (e.STB_GLOBAL, VARIANT_PCS | PROTECTED)),
        (e.STB_GLOBAL, 1, HIDDEN, (e.STB_GLOBAL, HIDDEN)),
        (e.STB_GLOBAL, 1, INTERNAL, (e.STB_GLOBAL, INTERNAL)),
        (e.STB_GLOBAL, 1, PROTECTED, (e.STB_GLOBAL, PROTECTED)),
        (e.STB_LOCAL, 1, 0, (e.STB_LOCAL, 0)),
        (e.STB_GLOBAL, e.SHN_UNDEF, 0, (e.STB_GLOBAL, 0)),
        (e.STB_WEAK, e.SHN_UNDEF, 0, (e.STB_WEAK, 0)),
    ],
)
def test_what_the_object_defines_is_bound_to_itself(
    bind: int, section: int, other: int, becomes: tuple[int, int]
) -> None:
    """The loader would find the host's old version first; an undefined one must not be bound to nothing."""
    for kind in (e.STT_FUNC, e.STT_OBJECT):
        copy = crafted.bound([Part(".text", CODE)], [Sym("f", 0, kind, bind, section, other)], {})
        info, after, shndx = copy.symbols()[b"f"]
        assert (info >> 4, after) == becomes
        assert (info & 0xF, shndx) == (kind, section)


KINDS = {
    "a variable": (e.STT_OBJECT, DATA, "v", True),
    "a common": (e.STT_COMMON, DATA, "v", True),
    "a thread-local": (e.STT_TLS, THREAD, "v", True),
    "a variable that is called like a label": (e.STT_OBJECT, DATA, "$v", True),
    "a function": (e.STT_FUNC, CODE, "v", False),
    "a label": (e.STT_NOTYPE, DATA, "v", False),
    "a label of thread-locals": (e.STT_TLS, THREAD, ".LANCHOR0", False),
    "a mapping symbol": (e.STT_TLS, THREAD, "$d", False),
}
"""What a definition is -> its type, its section's flags, its name, whether it can be kept."""


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("name", KINDS)
def test_only_kept_variables_are_the_hosts(name: str, kept: bool) -> None:
    """A changed function that is taken for a variable would go on being the host's old one."""
    kind, flags, symbol, can_be = KINDS[name]
    uses = (Use(8, symbol, ABS64 if kind != e.STT_TLS else r.R_AARCH64_TLSLE_ADD_TPREL_LO12),)
    parts = [Part(".home", flags), Part(".data", DATA, bytes(8) + (0x91000020).to_bytes(8, "little"), uses)]
    target = thread_local(0x120, kept=kept) if kind == e.STT_TLS else data(kept=kept)
    copy = crafted.bound(parts, [local(symbol, 1, 0, kind)], {symbol: target})
    if kept and can_be:
        assert not copy.refusals
        assert copy.uses(".data") == []
        assert copy.word(".data", 8) == (0x91000020 | 0x120 << 10 if kind == e.STT_TLS else HOST)
    elif kind != e.STT_TLS:
        assert copy.uses(".data") == [(8, symbol.encode(), ABS64, 0)]
        assert not copy.word(".data", 8) >> 32


def test_a_reference_is_to_what_the_linker_looks_for() -> None:
    """``--wrap`` and ``--defsym`` give a name another meaning: the host's of the first name is another variable."""
    part = Part(".data", DATA, bytes(16), (Use(0, "v", ABS64), Use(8, "w", ABS64)))
    targets = {"v": data(HOST), "__wrap_v": data(HOST + 64), "w": data(HOST + 8)}
    copy = crafted.bound([part], [undefined("v"), undefined("w")], targets, {b"v": b"__wrap_v"})
    assert [copy.word(".data", at) for at in (0, 8)] == [HOST + 64, HOST + 8]
    assert b"__stubgen_slot.__wrap_v" in copy.symbols()


@pytest.mark.parametrize("addend", [0, 8, -8])
def test_a_pointer_has_the_tag_of_what_it_points_to(addend: int) -> None:
    """Android tags variables in the top byte: another one ends the program at the first use."""
    part = Part(".data", DATA, bytes(16), (Use(8, "v", ABS64, addend),))
    copy = crafted.bound([part], [undefined("v")], {"v": data(0xB4 << 56 | HOST)})
    assert copy.word(".data", 8) == (0xB4 << 56 | HOST) + addend


def test_an_undefined_variable_is_looked_for_as_a_slot() -> None:
    """Under its own name an archive would be searched for it, and the patch would get a second variable.

    A function keeps its name, which is its trampoline's; a kept variable keeps its own.
    """
    part = Part(".data", DATA, bytes(24), (Use(0, "f", ABS64), Use(8, "kept", ABS64)))
    symbols = [local("kept", 1, 16), undefined("v"), undefined("f"), undefined("g@V1"), undefined("unknown")]
    targets = {"kept": data(kept=True), "v": data(HOST + 8), "f": function(), "g@V1": function()}
    copy = crafted.bound([part], symbols, targets)
    hidden = (e.STB_GLOBAL << 4, e.STV_HIDDEN, 0)
    assert copy.symbols() == {
        b"": (e.STT_SECTION, 0, 1),
        b"kept": (e.STT_OBJECT, 0, 1),
        b"__stubgen_slot.v": hidden,
        b"f": (e.STB_GLOBAL << 4, 0, 0),
        b"__stubgen_pinned.1.g.V1": hidden,
        b"unknown": (e.STB_GLOBAL << 4, 0, 0),
    }
    assert set(copy.binder.slots) == {b"__stubgen_slot.v"}


VECTOR = """
typedef unsigned long vector __attribute__((vector_size(16)));
static const unsigned long pair[2] = {5, 6};
vector both(void) { return (vector){0x123456789abcdef, 77}; }
unsigned long take(unsigned n) { return pair[n & 1]; }
"""


def test_a_vector_lies_before_a_constant(tmp_path: Path) -> None:
    """Clang puts both into ``.rodata.cst16``: the vector was read from what lies before the host's constant.

    The patch's own is as good, and no note says that it starts afresh: a constant has nothing to lose.
    """
    clang = [need("clang-19"), "--target=aarch64-linux-gnu", "-O2", "-g", "-fPIC", "-fdata-sections", "-c"]
    (tmp_path / "a.c").write_text(VECTOR)
    run([*clang, "a.c", "-o", "a.o"], cwd=tmp_path)
    host = tmp_path / "host.so"
    run([need("aarch64-linux-gnu-gcc"), "-shared", "-nostdlib", "-Wl,--no-gc-sections", tmp_path / "a.o", "-o", host])
    (tmp_path / "a.c").write_text(VECTOR.replace("77", "78"))
    run([*clang, "a.c", "-o", "a.o"], cwd=tmp_path)
    shown = run([need("llvm-readelf-19"), "-s", tmp_path / "a.o"])
    assert "0000000000000010    16 OBJECT  LOCAL  DEFAULT" in shown, "nothing lies before the constant"
    built = StubBuilder(host).build([tmp_path / "a.o"], slide=0x1000, bind=True, keep_state=True)
    (row,) = built.resolution.shared_variables
    assert (row.name, row.forwarded) == ("pair", False)
    assert row.reason_not_kept == "code or data reaches it in a way that only its own can answer"
    assert shared_variable_notes([row]) == []
    assert built.bound is not None
    (copy,) = built.bound.objects
    (tmp_path / "bound.o").write_bytes(copy.content)
    assert "__stubgen_slot.pair" not in run([need("llvm-nm-19"), tmp_path / "bound.o"])


LABELS = {
    "alone": ([local("v", 2)], {"v": HOST}, 4, HOST + 4),
    "alone, behind the section's begin": ([local("v", 2, 16)], {"v": HOST}, 20, HOST + 4),
    "with a tag, as HWASan has it": ([local("v", 2, 0xB4 << 56 | 16)], {"v": HOST}, 20, HOST + 4),
    "twice under one name": ([local("v", 2), local("w", 2)], {"v": HOST, "w": HOST}, 4, HOST + 4),
    "of the section's size": ([local("v", 2, size=64)], {"v": HOST}, 4, HOST + 4),
    "with a tag, and fills granules": ([local("v", 2, 0xB4 << 56, size=50)], {"v": HOST}, 4, HOST + 4),
    "before what has no name": ([local("v", 2, size=48)], {"v": HOST}, 56, None),
    "behind what has no name": ([local("v", 2, 16, size=48)], {"v": HOST}, 4, None),
    "beside one that is not kept": ([local("v", 2), local("w", 2, 8)], {"v": HOST}, 4, None),
    "beside one that is kept": ([local("v", 2), local("w", 2, 8)], {"v": HOST, "w": HOST + 8}, 4, None),
}
"""Variables of section 2, those that are kept, what is added to the section's symbol, what that is of the host's."""


@pytest.mark.parametrize("name", LABELS)
@pytest.mark.parametrize("by", [".home", "label"])
def test_a_section_stands_for_its_one_variable(name: str, by: str) -> None:
    """Compilers name statics by section: of two the wrong one would be written to, a table without a name misread."""
    variables, kept, addend, expected = LABELS[name]
    at = 4 if by == "label" else 0
    parts = [Part(".data", DATA, bytes(8), (Use(0, by, ABS64, addend - at),)), Part(".home", DATA)]
    targets = {one: data(value, kept=True) for one, value in kept.items()}
    copy = crafted.bound(parts, [*variables, local("label", 2, 4, e.STT_NOTYPE)], targets)
    if expected is None:
        assert copy.refusals
        assert copy.uses(".data") == [(0, b"" if by == ".home" else b"label", ABS64, addend - at)]
    else:
        assert not copy.refusals
        assert copy.uses(".data") == []
        assert copy.word(".data", 0) == expected


ANCHORED = {
    "as in the host": ({"v": 0x40, "w": 0x48}, 0x4C),
    "in another order": ({"v": 0x48, "w": 0x40}, None),
    "not all of them": ({"v": 0x40}, None),
}


@pytest.mark.parametrize("name", ANCHORED)
@pytest.mark.parametrize("label", [".LANCHOR0", "$d", ".home"])
def test_an_anchor_stands_for_thread_locals_that_lie_alike(name: str, label: str) -> None:
    """GCC reaches several thread-locals from one anchor: in another order each would be the other."""
    kept, expected = ANCHORED[name]
    code = (0x91000020).to_bytes(4, "little")
    use = Use(0, label, r.R_AARCH64_TLSLE_ADD_TPREL_LO12, 12)
    anchors = [local(one, 2, 0, e.STT_TLS) for one in (".LANCHOR0", "$d")]
    variables = [local("v", 2, 0, e.STT_TLS), local("w", 2, 8, e.STT_TLS)]
    targets = {one: thread_local(value, kept=True) for one, value in kept.items()}
    parts = [Part(".text", CODE, code, (use,)), Part(".home", THREAD)]
    copy = crafted.bound(parts, [*anchors, *variables], targets)
    if expected is None:
        (first, *_) = copy.refusals
        assert "it counts from .home, which is laid out otherwise in the host; compile with -fno-section" in first
    else:
        assert not copy.refusals
        assert copy.word(".text", 0, 4) == 0x91000020 | expected << 10


UNPROVEN = {".home": "-fdata-sections", "..L_MergedGlobals": "-mno-global-merge (rustc: -C llvm-args=-enable-global"}


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("home", UNPROVEN)
def test_what_counts_from_a_shared_section_is_refused_by_name(home: str, count: int) -> None:
    """One line a section and kept variable's place, not one an access; and the flag that helps."""
    uses = tuple(Use(8 * n, home, ABS64, 8 * n) for n in range(1, count + 1))
    parts = [Part(".data", DATA, bytes(64), uses), Part(home, DATA), Part(".debug_info", 0, bytes(64), uses)]
    symbols = [local("v", 2), local("w", 2, 8), local("x", 2, 16)]
    copy = crafted.bound(parts, symbols, {"v": data(kept=True), "w": data(kept=True)})
    more = f" and {count - 1} more" if count > 1 else ""
    (refusal,) = copy.refusals
    assert refusal.startswith(f"patch.o: .data+0x8{more}: R_AARCH64_ABS64 against w: it counts from {home}, which")
    assert UNPROVEN[home] in refusal


def test_a_constant_that_cannot_be_the_hosts_is_the_patchs() -> None:
    """It is alike in both: to refuse the patch for it would help nobody."""
    parts = [Part(".data", DATA, bytes(16), (Use(0, ".home", ABS64),)), Part(".home", DATA)]
    symbols = [local("v", 2), local("w", 2, 8), local("x", 2, 16)]
    targets = {"v": data(kept=True, constant=True), "w": data(kept=True, constant=True), "x": data(kept=True)}
    copy = crafted.bound(parts, symbols, targets)
    assert copy.binder.own_constants == {b"v", b"w"}
    assert len(copy.refusals) == 1
    assert "against x" in copy.refusals[0]


def test_other_sections_are_counted_from_as_before() -> None:
    """Strings and tables beside a kept variable are no reason to refuse."""
    parts = [
        Part(".data", DATA, bytes(24), (Use(0, ".other", ABS64), Use(8, "v", ABS64), Use(16, "f", ABS64))),
        Part(".home", DATA),
        Part(".other", DATA),
    ]
    symbols = [local("v", 2), local("w", 2, 8), local("f", 2, 8, e.STT_FUNC)]
    copy = crafted.bound(parts, symbols, {"v": data(kept=True)})
    assert not copy.refusals
    assert copy.uses(".data") == [(0, b"", ABS64, 0), (16, b"f", ABS64, 0)]


def test_debug_information_names_no_variable_of_the_hosts() -> None:
    """A linker would look for it and fail; what is said of functions and thread-locals stays."""
    uses = (Use(0, "v", ABS64), Use(8, "f", ABS64), Use(16, "t", r.R_AARCH64_TLS_DTPREL64))
    symbols = [undefined("v"), undefined("f"), undefined("t", e.STT_TLS)]
    targets = {"v": data(), "f": function(), "t": thread_local()}
    copy = crafted.bound([Part(".debug_info", 0, bytes(24), uses)], symbols, targets)
    assert not copy.refusals
    assert copy.uses(".debug_info") == [(8, b"f", ABS64, 0), (16, b"__stubgen_slot.t", r.R_AARCH64_TLS_DTPREL64, 0)]
    assert copy.content(".debug_info") == bytes(24)


@pytest.mark.parametrize("home", ["asan_globals", "hwasan_globals", ".data"])
def test_what_an_image_defines_itself_stays_in_its_tables(home: str) -> None:
    """A sanitizer poisons what is around each of an image's variables: the host's are the host's to name."""
    parts = [Part(home, DATA, bytes(16), (Use(0, "own", ABS64), Use(8, "v", ABS64))), Part(".home", DATA)]
    copy = crafted.bound(parts, [local("own", 2), undefined("v")], {"own": data(kept=True), "v": data(HOST + 8)})
    assert not copy.refusals
    own = home != ".data"
    assert copy.uses(home) == ([(0, b"own", ABS64, 0)] if own else [])
    assert [copy.word(home, at) for at in (0, 8)] == [0 if own else HOST, HOST + 8]


TYPES = [Use(8, ".rodata", ABS64, 0), Use(24, "_ZTS1B", ABS64)]


def test_types_have_the_hosts_names() -> None:
    """Two types are one if their names have one address: by another, a thrown object would not be caught."""
    info = Part(
        ".data.rel.ro",
        DATA,
        bytes(48),
        (*TYPES, Use(40, ".rodata", ABS64, 0), Use(32, ".rodata", ABS64, 64), Use(24, ".rodata", ABS32)),
    )
    parts = [info, Part(".rodata", e.SHF_ALLOC, bytes(128))]
    symbols = [
        local("_ZTI1A", 1),
        local("_ZTI1B", 1, 16),
        local("_ZTI1C", 1, 24),
        local("_ZTS1A", 2),
        local("_ZTS1B", 2, 16),
        local("other", 2, 64),
    ]
    targets = {"_ZTS1A": data(HOST, kept=True), "_ZTS1B": data(HOST + 16, kept=True)}
    copy = crafted.bound(parts, symbols, targets)
    assert not copy.refusals
    assert copy.uses(".data.rel.ro") == [(40, b"", ABS64, 0), (32, b"", ABS64, 64), (24, b"", ABS32, 0)]
    assert [copy.word(".data.rel.ro", at) for at in (8, 24, 32, 40)] == [HOST, HOST + 16, 0, 0]


@pytest.mark.parametrize(
    ("addend", "kind", "flags", "refused"),
    [
        (16, r.R_AARCH64_ADD_ABS_LO12_NC, CODE, True),
        (17, r.R_AARCH64_ADD_ABS_LO12_NC, CODE, True),  # behind the asterisk of a local type's name
        (18, r.R_AARCH64_ADD_ABS_LO12_NC, CODE, False),
        (15, r.R_AARCH64_ADD_ABS_LO12_NC, CODE, False),
        (16, r.R_AARCH64_ADR_PREL_PG_HI21, CODE, True),
        (16, r.R_AARCH64_LDST8_ABS_LO12_NC, CODE, False),
        (16, r.R_AARCH64_ADD_ABS_LO12_NC, DATA, False),
    ],
)
def test_code_that_takes_a_types_name_by_its_section_is_refused(
    addend: int, kind: int, flags: int, refused: bool
) -> None:
    """``typeid(T) == typeid(object)`` would be false in the patch, and true in the host."""
    parts = [Part(".text", flags, bytes(16), (Use(4, ".rodata", kind, addend),)), Part(".rodata", e.SHF_ALLOC)]
    symbols = [local("_ZTS1A", 2, 16), local("other", 2, 40)]
    copy = crafted.bound(parts, symbols, {"_ZTS1A": data(kept=True)})
    said = [line for line in copy.refusals if "a type is told by the address of its name" in line]
    assert bool(said) is refused
    if refused:
        assert said[0].startswith(f"patch.o: .text+0x4: {r.NAMES[kind]} against _ZTS1A: ")
        assert said[0].endswith("compile with -fdata-sections")


def test_unwind_entries_lead_to_trampolines() -> None:
    """A personality function is called by the unwinder, which cannot tell; data has no trampoline."""
    prel = (r.R_AARCH64_PREL32, r.R_AARCH64_PREL64, r.R_AARCH64_PREL16)
    for home, kinds in ((".eh_frame", (ABS64, r.R_AARCH64_ABS32, *prel)), (".rodata", prel)):
        for kind in kinds:
            part = Part(home, e.SHF_ALLOC, bytes(16), (Use(8, "f", kind),))
            copy = crafted.bound([part], [undefined("f")], {"f": function()})
            assert not copy.refusals
            assert copy.uses(home) == [(8, b"f", kind, 0)]
            assert crafted.bound([part], [undefined("f")], {"f": data()}).refusals or kind == ABS64


@pytest.mark.parametrize("kind", [r.R_AARCH64_PREL64, r.R_AARCH64_PREL32, r.R_AARCH64_PREL16], ids=r.NAMES.get)
def test_a_distance_to_code_with_a_table_in_front_is_refused(kind: int) -> None:
    """GHC reads what lies in front of its code: in front of a trampoline is another trampoline."""
    part = Part(".rodata", e.SHF_ALLOC, bytes(16), (Use(8, "f", kind),))
    assert crafted.bound([part], [undefined("f")], {"f": function(has_table=True)}).refusals


@pytest.mark.parametrize("kind", sorted(r.BRANCHES), ids=r.NAMES.get)
def test_a_branch_is_left_to_the_trampoline(kind: int) -> None:
    """The stub object defines the name; of data it is no code that could be gone to."""
    part = Part(".text", CODE, bytes(16), (Use(8, "f", kind),))
    copy = crafted.bound([part], [undefined("f")], {"f": function()})
    assert not copy.refusals
    assert not copy.binder.slots
    assert copy.uses(".text") == [(8, b"f", kind, 0)]
    (refusal,) = crafted.bound([part], [undefined("f")], {"f": data()}).refusals
    assert "the host's is no code: declare it in the patch as the host has it" in refusal
