"""Verdicts in columns are those that the rules give, symbol by symbol: whichever way a name is judged says the same."""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import combinations_with_replacement
from pathlib import Path

import pytest
from synthetic import BASE, DATA, SIZE, THREAD, Sym, elf_host, elf_object, macho_host, macho_object, put, undefined
from tools import need, run

from stubgen import image
from stubgen.build import StubBuilder
from stubgen.elf import constants as e
from stubgen.errors import AnchorRefusal
from stubgen.host import index
from stubgen.image import Image, Reference, References
from stubgen.image.elf import ElfImage
from stubgen.macho import constants as m
from stubgen.resolve import judging, plain
from stubgen.resolve.needed import Needed
from stubgen.resolve.resolution import Resolution

F = BASE + 0x100
SLIDE = 0x5500000000

FORMS: dict[str, Callable[[str, int], Sym]] = {
    "global": Sym,
    "weak": lambda name, at: Sym(name, at, bind=e.STB_WEAK),
    "unique": lambda name, at: Sym(name, at, bind=e.STB_GNU_UNIQUE),
    "hidden": lambda name, at: Sym(name, at, other=e.STV_HIDDEN),
    "local": lambda name, at: Sym(name, at, bind=e.STB_LOCAL),
    "hidden local": lambda name, at: Sym(name, at, bind=e.STB_LOCAL, other=e.STV_HIDDEN),
    "ifunc": lambda name, at: Sym(name, at, e.STT_GNU_IFUNC),
    "untyped": lambda name, at: Sym(name, at, e.STT_NOTYPE),
    "datum": lambda name, at: Sym(name, at - F + BASE + SIZE + 8, e.STT_OBJECT, section=DATA),
    "thread-local": lambda name, at: Sym(name, at - F + 8, e.STT_TLS, section=THREAD),
    "absolute": lambda name, at: Sym(name, at, e.STT_NOTYPE, section=e.SHN_ABS),
    "absolute function": lambda name, at: Sym(name, at, section=e.SHN_ABS),
    "imported": lambda name, _: undefined(name),
    "file": lambda name, _: Sym(name, 0, e.STT_FILE, e.STB_LOCAL, e.SHN_ABS),
    "default version": lambda name, at: Sym(f"{name}@@V2", at),
    "old version": lambda name, at: Sym(f"{name}@V1", at),
    "ThinLTO": lambda name, at: Sym(f"{name}.llvm.123", at, bind=e.STB_LOCAL),
    "odd address": lambda name, at: Sym(name, at + 2),
    "at 0": lambda name, _: Sym(name, 0),
    "in no code": lambda name, _: Sym(name, BASE + SIZE + 8),
}
"""What a symbol can be."""
NAMES = ("f", "_ZN1a1fEv", "_RNvC1a1f", "__start_f", "__stop_f", "_end", "_init", "__dso_handle", "__bss_start", "$x")
"""A name of C, those that say whose they are, and those that linkers define."""


@pytest.fixture(params=["columns", "index"])
def way(request: pytest.FixtureRequest) -> str:
    """What judges before the rules do."""
    return str(request.param)


@pytest.fixture
def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> Callable[..., tuple[Resolution, Resolution]]:
    """Judge by rules alone, and by the columns or the index first."""

    def run(host: bytes, patch: bytes, **options: object) -> tuple[Resolution, Resolution]:
        paths = put(tmp_path, "host", host), put(tmp_path, "patch.o", patch)
        judged = []
        for few, indexed in ((1 << 40, False), (0, False) if way == "columns" else (1 << 40, True)):
            monkeypatch.setattr(judging, "FEW_NEEDED", few)
            builder = StubBuilder(paths[0], cache=False)
            if indexed:
                use_index(builder.host.image, tmp_path)
                monkeypatch.setattr(image, "INDEX_PAYS", 0)
            judged.append(builder.judge([paths[1]], slide=SLIDE, **options))  # type: ignore[arg-type]
            assert (builder.host.image.index is not None) == indexed
        return judged[0], judged[1]

    return run


def use_index(host: Image, folder: Path) -> None:
    """Give *host* an index, however small it is."""
    digest = index._digest(host)
    path = folder / f"none-{digest.hex()}.index"
    path.write_bytes(index._index_content(host, digest))
    host.index = index._opened(path, host)


def outcome(resolution: Resolution) -> tuple[object, ...]:
    """All that reports and stub objects are made of."""
    return (
        resolution.stubs,
        list(resolution.decisions()),
        resolution.bound_targets,
        resolution.shared_variables,
        resolution.fixed,
        resolution.elsewhere,
    )


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> set[bytes]:
    """The names that the columns answered."""
    names: set[bytes] = set()
    original = plain.plain_functions

    def spied(needed: Needed, *question: object, allow_static: bool) -> object:
        answer = original(needed, *question, allow_static=allow_static)  # type: ignore[arg-type]
        names.update(map(needed.references.spellings.__getitem__, answer))
        return answer

    monkeypatch.setattr(plain, "plain_functions", spied)
    return names


@pytest.mark.parametrize("bind", [False, True], ids=["objects", "bound copies"])
@pytest.mark.parametrize("name", NAMES)
def test_elf_verdicts_do_not_depend_on_how_many_there_are(
    both: Callable[..., tuple[Resolution, Resolution]], name: str, bind: bool
) -> None:
    """A patch that needs many names would branch elsewhere than one that needs few."""
    host, needed = [], []
    for number, forms in enumerate(combinations_with_replacement(FORMS, 2)):
        called = f"{name}{number}" if number else name
        host += [FORMS[form](called, F + 4 * place) for place, form in enumerate(dict.fromkeys(forms))]
        needed += [undefined(called, weak=bool(number % 3))]
    needed += [undefined(f"{name}1@V1"), undefined("nowhere"), undefined("weakly", weak=True)]
    ordered = sorted(host, key=lambda symbol: symbol.bind != e.STB_LOCAL)
    one, other = both(elf_host(ordered), elf_object(needed), bind=bind)
    assert outcome(one) == outcome(other)


def test_the_columns_answer_what_is_plain(
    both: Callable[..., tuple[Resolution, Resolution]], answered: set[bytes], way: str
) -> None:
    """A comparison of two ways says nothing if both are one."""
    host = [form(f"_Z1f{number}", F) for number, form in enumerate(FORMS.values())]
    both(elf_host(host), elf_object([undefined(symbol.name) for symbol in host]))
    titles = list(FORMS)
    exactly = {titles[int(name[4:].partition(b".")[0])] for name in answered}
    suffixed = {"ThinLTO"} if way == "columns" else set()  # the index knows names without LLVM's suffix
    assert exactly == {"global", "weak", "hidden", "local", "hidden local", *suffixed}


def test_no_row_is_made_of_what_is_plain(
    both: Callable[..., tuple[Resolution, Resolution]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A million references would take a row of four each, though no rule ever looks at them."""
    rows: list[bytes] = []
    original = References._row

    def counted(references: References, spelling: bytes) -> Reference:
        rows.append(spelling)
        return original(references, spelling)

    monkeypatch.setattr(References, "_row", counted)
    host = [Sym(f"_Z1f{number}", F + 4 * number) for number in range(20)]
    needed = [undefined("nowhere"), *(undefined(symbol.name) for symbol in host), undefined("neither")]
    one, other = both(elf_host(host), elf_object(needed))
    assert outcome(one) == outcome(other)
    assert (len(rows[:22]), rows[22:]) == (22, [b"nowhere", b"neither"])


@pytest.mark.parametrize("same", [True, False])
def test_a_name_twice_is_left_to_the_rules(
    both: Callable[..., tuple[Resolution, Resolution]], answered: set[bytes], same: bool
) -> None:
    """The last of two static functions of a name would be called, whichever was meant."""
    host = [Sym("_Z1f", F, bind=e.STB_LOCAL), Sym("_Z1f", F if same else F + 8, bind=e.STB_LOCAL)]
    one, other = both(elf_host(host), elf_object([undefined("_Z1f")]))
    assert outcome(one) == outcome(other)
    assert not answered


def test_what_somebody_else_decides_stays_theirs(
    both: Callable[..., tuple[Resolution, Resolution]], answered: set[bytes]
) -> None:
    """An earlier patch's replacement would be lost."""
    one, other = both(
        elf_host([Sym("f", F), Sym("g", F + 4)]), elf_object([undefined("g"), undefined("f")]), overrides={"f": 0x9000}
    )
    assert outcome(one) == outcome(other)
    assert list(other.stubs.addresses) == [SLIDE + F + 4, 0x9000]
    assert answered == {b"g"}


def test_an_address_beyond_user_space_is_refused_both_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong anchor would be written into every stub."""
    host, patch = put(tmp_path, "host", elf_host([Sym("f", F)])), put(tmp_path, "patch.o", elf_object([undefined("f")]))
    for few in (1 << 40, 0):
        monkeypatch.setattr(judging, "FEW_NEEDED", few)
        with pytest.raises(AnchorRefusal, match="f would be at 0x1000000000"):
            StubBuilder(host).judge([patch], slide=(1 << 48) - (F & -4096))


def test_functions_of_a_host_that_llvm_compiled_are_left_to_the_rules(
    both: Callable[..., tuple[Resolution, Resolution]], answered: set[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A static function whose arguments LLVM dropped would be called with those of its source."""
    monkeypatch.setattr(ElfImage, "compiled_by_llvm", True)
    host = [Sym("_Z1f", F, bind=e.STB_LOCAL), Sym("_Z1g", F + 4)]
    one, other = both(elf_host(host), elf_object([undefined("_Z1f"), undefined("_Z1g")]))
    assert outcome(one) == outcome(other)
    assert (answered, len(other.others)) == ({b"_Z1g"}, 1)
    one, other = both(elf_host(host), elf_object([undefined("_Z1f"), undefined("_Z1g")]), allow_static=True)
    assert outcome(one) == outcome(other)
    assert (answered, len(other.others)) == ({b"_Z1f", b"_Z1g"}, 0), "no debug information speaks against it"


def test_a_function_without_a_landing_pad_is_refused_both_ways(
    both: Callable[..., tuple[Resolution, Resolution]], answered: set[bytes]
) -> None:
    """The process would end at the first call of it."""
    content = elf_host([Sym("f", F), Sym("g", F + 4)], features=e.GNU_PROPERTY_AARCH64_FEATURE_1_BTI)
    pads = bytes.fromhex("5f2403d5") * (SIZE // 4)
    content = content.replace(pads, pads[: F - BASE] + bytes(4) + pads[F - BASE + 4 :])
    one, other = both(content, elf_object([undefined("f"), undefined("g")]))
    assert outcome(one) == outcome(other)
    assert (answered, len(other.others)) == (set(), 1)


def test_what_a_library_exports_is_left_to_the_rules(
    both: Callable[..., tuple[Resolution, Resolution]], answered: set[bytes], tmp_path: Path
) -> None:
    """The library calls what the loader found for a name that it exports, and the patch would call its own."""
    source, library = tmp_path / "host.c", tmp_path / "host.so"
    source.write_text("""
        int shown(void) { return 1; }
        __attribute__((visibility("hidden"))) int kept(void) __asm__("_Z4keptv");
        int kept(void) { return 2; }
        int user(void) { return shown() + kept(); }
    """)
    run([need("aarch64-linux-gnu-gcc"), "-shared", "-fPIC", "-O0", source, "-o", library])
    one, other = both(library.read_bytes(), elf_object([undefined("shown"), undefined("_Z4keptv")]))
    assert outcome(one) == outcome(other)
    assert answered == {b"_Z4keptv"}


LINKERS_NAMES = (
    "__start_f",
    "__stop_f",
    "_end",
    "_init",
    "__dso_handle",
    "__bss_start",
    "_IO_stdin_used",
    "_TLS_MODULE_BASE_",
)


def test_linkers_names_are_left_to_the_rules(
    both: Callable[..., tuple[Resolution, Resolution]], answered: set[bytes]
) -> None:
    """The patch would use the program's handle for what each image has of its own."""
    one, other = both(
        elf_host([Sym(name, F) for name in LINKERS_NAMES]), elf_object([undefined(name) for name in LINKERS_NAMES])
    )
    assert outcome(one) == outcome(other)
    assert not answered


MACHO_TYPES = {
    "external": (m.N_SECT | m.N_EXT, 0),
    "private": (m.N_SECT | m.N_EXT | m.N_PEXT, 0),
    "private that the linker made local": (m.N_SECT | m.N_PEXT, 0),
    "local": (m.N_SECT, 0),
    "weak": (m.N_SECT | m.N_EXT, m.N_WEAK_DEF),
    "absolute": (m.N_ABS | m.N_EXT, 0),
    "imported": (m.N_UNDF | m.N_EXT, 0),
    "debugger's": (m.N_FUN, 0),
    "indirect": (m.N_INDR | m.N_EXT, 0),
    "thumb": (m.N_SECT | m.N_EXT, 8),
}
"""n_type and n_desc of what a symbol can be."""


@pytest.mark.parametrize("filetype", [m.MH_EXECUTE, m.MH_DYLIB], ids=["program", "library"])
@pytest.mark.parametrize("prefix", ["_f", "__Z1f"])
def test_macho_verdicts_do_not_depend_on_how_many_there_are(
    both: Callable[..., tuple[Resolution, Resolution]], prefix: str, filetype: int
) -> None:
    """A patch that needs many names would branch elsewhere than one that needs few."""
    kinds = list(combinations_with_replacement(MACHO_TYPES, 2))
    names = {
        f"{prefix}{number:03}{letter}": 4 * (2 * number + place) + 16
        for number, forms in enumerate(kinds)
        for place, (letter, _) in enumerate(zip("ab", dict.fromkeys(forms), strict=False))
    }
    content = bytearray(macho_host(names, filetype=filetype))
    command = content.index(struct.pack("<II", m.LC_SYMTAB, 24))
    symoff, nsyms, stroff, _ = struct.unpack_from("<4I", content, command + 8)
    for number in range(nsyms):
        at = symoff + 16 * number
        start = stroff + struct.unpack_from("<I", content, at)[0]
        name = bytes(content[start : content.index(0, start)]).decode()
        forms = list(dict.fromkeys(kinds[int(name.removeprefix(prefix)[:3])]))
        n_type, n_desc = MACHO_TYPES[forms["ab".index(name[-1])]]
        struct.pack_into(
            "<BBH", content, at + 4, n_type, content[at + 5] if n_type & m.N_TYPE == m.N_SECT else 0, n_desc
        )
        if name.endswith("b"):  # the same name as its neighbour's
            twin = content.index(f"\0{name[:-1]}a\0".encode(), stroff) + 1 - stroff
            struct.pack_into("<I", content, at, twin)
    needed = [*(f"{prefix}{number:03}a" for number in range(len(kinds))), "_nowhere", "section$start$__DATA$__x"]
    one, other = both(bytes(content), macho_object(needed=needed))
    assert outcome(one) == outcome(other)
