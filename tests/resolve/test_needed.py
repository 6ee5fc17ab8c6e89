"""What a patch needs: objects, archives, rlibs, all as one set."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic import Sym, ar_member, elf_host, elf_object, macho_object, put, undefined
from tools import need, run

from stubgen.elf import constants as e
from stubgen.errors import InputError, MalformedInput, UnreadableInput, UnsupportedInput, UsageError
from stubgen.image import Reference
from stubgen.resolve.needed import read_needed


def names(*paths: str) -> list[bytes]:
    """The needed names, in order."""
    return [reference.spelling for reference in read_needed(paths, whole_archive=True).references]


def test_one_object_supplies_another(tmp_path: Path) -> None:
    """The inputs are one set: what any of them defines is not the host's to supply."""
    one = put(tmp_path, "a.o", elf_object([undefined("f"), undefined("g")]))
    two = put(tmp_path, "b.o", elf_object([Sym("g", 0), undefined("h")]))
    assert names(one, two) == [b"f", b"h"]
    assert names(two, one) == [b"h", b"f"]


def test_a_local_definition_supplies_nobody_else(tmp_path: Path) -> None:
    """A static function of one object is invisible to the next."""
    one = put(tmp_path, "a.o", elf_object([undefined("f")]))
    two = put(tmp_path, "b.o", elf_object([Sym("f", 0, bind=e.STB_LOCAL)]))
    assert names(one, two) == [b"f"]


def test_one_strong_use_makes_it_strong(tmp_path: Path) -> None:
    """A symbol that one object must have is missing, not null, when nobody has it."""
    weak = put(tmp_path, "a.o", elf_object([undefined("f", weak=True)]))
    strong = put(tmp_path, "b.o", elf_object([undefined("f")]))
    assert [r.weak for r in read_needed([weak]).references] == [True]
    assert [r.weak for r in read_needed([weak, strong]).references] == [False]
    assert [r.weak for r in read_needed([strong, weak]).references] == [False]


def test_a_common_is_a_definition(tmp_path: Path) -> None:
    """``int counter;`` under -fcommon is defined by the patch, not needed from the host."""
    common = Sym("counter", 8, e.STT_OBJECT, section=e.SHN_COMMON)
    assert (
        names(put(tmp_path, "a.o", elf_object([common])), put(tmp_path, "b.o", elf_object([undefined("counter")])))
        == []
    )


def test_users_are_known_by_name(tmp_path: Path) -> None:
    """A missing symbol is found faster when the message says who wants it."""
    one = put(tmp_path, "a.o", elf_object([undefined("f")]))
    two = put(tmp_path, "b.o", elf_object([undefined("f")]))
    needed = read_needed([one, two])
    assert [needed.inputs[number] for number in needed.users(b"f")] == [one, two]
    assert not needed.users(b"g")


@pytest.mark.parametrize("weak", [(True, True), (True, False), (False, True), (False, False)])
def test_a_name_that_one_object_has_twice_is_one_reference(tmp_path: Path, weak: tuple[bool, bool]) -> None:
    """It would be answered twice, and a linker refuse the stub object that defines it twice."""
    twice = put(
        tmp_path, "a.o", elf_object([undefined("f", weak=weak[0]), undefined("g"), undefined("f", weak=weak[1])])
    )
    needed = read_needed([twice])
    assert [(each.name, each.weak) for each in needed.references] == [(b"f", all(weak)), (b"g", False)]
    assert list(needed.users(b"f")) == [0]


def test_a_pinned_version_is_a_reference_of_its_own(tmp_path: Path) -> None:
    """The default version would be bound where the object asks for an old one."""
    one = put(tmp_path, "a.o", elf_object([undefined("f"), undefined("f@V1"), undefined("g@V2", weak=True)]))
    two = put(tmp_path, "b.o", elf_object([undefined("g@V2"), Sym("h", 0), undefined("h@V3")]))
    needed = read_needed([one, two])
    assert list(needed.references) == [
        Reference(b"f", b"f", "", weak=False),
        Reference(b"f@V1", b"f", "V1", weak=False),
        Reference(b"g@V2", b"g", "V2", weak=False),
    ]
    assert list(needed.references.names) == [b"f", b"f", b"g"]


@pytest.mark.parametrize("style", ["gnu", "bsd", "long gnu"])
def test_archives_of_every_style(tmp_path: Path, style: str) -> None:
    """Patches come as ``.a`` and ``.rlib`` too, from GNU, BSD and Apple ``ar``."""
    content = elf_object([undefined("f")])
    long = b"a_member_whose_name_does_not_fit_16_bytes.o"
    body = {
        "gnu": ar_member(b"/", bytes(8)) + ar_member(b"patch.o/", content),
        "bsd": ar_member(b"#1/44", long.ljust(44, b"\0") + content),
        "long gnu": ar_member(b"//", long + b"/\n") + ar_member(b"/0", content),
    }[style]
    archive = put(tmp_path, "lib.a", b"!<arch>\n" + body)
    needed = read_needed([archive], whole_archive=True)
    assert [r.name for r in needed.references] == [b"f"]
    member = "patch.o" if style == "gnu" else long.decode()
    assert needed.inputs == (f"{archive}({member})",)


def test_a_member_counts_once_something_refers_to_it(tmp_path: Path) -> None:
    """A library's other members need things that nobody asked for, and would be refused for no reason."""
    body = (
        ar_member(b"a.o/", elf_object([Sym("a", 0), undefined("b")]))
        + ar_member(b"b.o/", elf_object([Sym("b", 0), undefined("from_b")]))
        + ar_member(b"c.o/", elf_object([Sym("c", 0), undefined("from_c")]))
    )
    library = put(tmp_path, "lib.a", b"!<arch>\n" + body)
    patch = put(tmp_path, "patch.o", elf_object([undefined("a")]))
    for order in ([patch, library], [library, patch]):
        needed = read_needed(order)
        assert [r.name for r in needed.references] == [b"from_b"]
        assert needed.inputs == (patch, f"{library}(a.o)", f"{library}(b.o)")
    assert [r.name for r in read_needed([library], roots=[b"c"]).references] == [b"from_c"]
    assert len(read_needed([patch, library], whole_archive=True).images) == 4
    with pytest.raises(UsageError, match="nothing refers to any member"):
        read_needed([library])


def test_a_weak_reference_pulls_no_member(tmp_path: Path) -> None:
    """Linkers leave archives alone for weak references; stubs must not be made for what never gets linked."""
    library = put(tmp_path, "lib.a", b"!<arch>\n" + ar_member(b"a.o/", elf_object([Sym("a", 0)])))
    patch = put(tmp_path, "patch.o", elf_object([undefined("a", weak=True)]))
    assert [r.name for r in read_needed([patch, library]).references] == [b"a"]


def test_metadata_in_an_rlib_is_skipped(tmp_path: Path) -> None:
    """``lib.rmeta`` is no object; stumbling over it would rule out every Rust patch."""
    body = ar_member(b"lib.rmeta/", b"rust\0\0\0\x09") + ar_member(b"code.o/", elf_object([undefined("f")]))
    assert names(put(tmp_path, "lib.rlib", b"!<arch>\n" + body)) == [b"f"]


@pytest.mark.parametrize("tool", ["aarch64-linux-gnu-ar", "llvm-ar-19"])
@pytest.mark.parametrize("thin", [False, True], ids=["thick", "thin"])
def test_real_archives(tmp_path: Path, tool: str, thin: bool) -> None:
    """What real archivers write, thin archives included, whose members stay outside."""
    archiver = str(need(tool))
    put(tmp_path, "a_member_with_quite_a_long_name.o", elf_object([undefined("f")]))
    put(tmp_path, "b.o", elf_object([Sym("g", 0)]))
    command = [archiver, "rcsT" if thin else "rcs", "lib.a", "a_member_with_quite_a_long_name.o", "b.o"]
    run(command, cwd=tmp_path)
    assert names(str(tmp_path / "lib.a")) == [b"f"]


def test_a_thin_archive_names_the_member_that_is_gone(tmp_path: Path) -> None:
    """Thin archives break when files move; the message must name the file, not the archive."""
    archiver = str(need("llvm-ar-19"))
    put(tmp_path, "b.o", elf_object([Sym("g", 0)]))
    run([archiver, "rcsT", "lib.a", "b.o"], cwd=tmp_path)
    (tmp_path / "b.o").unlink()
    with pytest.raises(UnreadableInput, match=r"b\.o: no such file"):
        names(str(tmp_path / "lib.a"))


WRONG = {
    "no object": ([], UsageError, "no patch object"),
    "empty archive": ([b"!<arch>\n"], InputError, "hold no object"),
    "only metadata": ([b"!<arch>\n" + ar_member(b"lib.rmeta/", b"rust")], InputError, "hold no object"),
    "cut archive": ([b"!<arch>\n" + ar_member(b"a.o/", bytes(100))[:90]], MalformedInput, "truncated"),
    "no header": ([b"!<arch>\n" + b"x" * 60], MalformedInput, "no archive member's header at 0x8"),
    "bad size": (
        [b"!<arch>\n" + ar_member(b"a.o/", b"").replace(b"0         `", b"zz        `")],
        MalformedInput,
        "not a number",
    ),
    "bitcode": ([b"BC\xc0\xde" + bytes(20)], UnsupportedInput, "recompile it without -flto"),
    "bitcode member": (
        [b"!<arch>\n" + ar_member(b"a.o/", b"BC\xc0\xde" + bytes(20))],
        UnsupportedInput,
        r"\(a\.o\): is LLVM bitcode",
    ),
    "a host": ([elf_host([Sym("main", 0x10000)])], InputError, "is a linked executable; a patch is made of"),
    "both formats": ([elf_object([]), macho_object()], InputError, "cannot be linked together"),
}


@pytest.mark.parametrize(("contents", "error", "sentence"), WRONG.values(), ids=list(WRONG))
def test_wrong_inputs(tmp_path: Path, contents: list[bytes], error: type[Exception], sentence: str) -> None:
    """Each mistake has its own sentence."""
    paths = [put(tmp_path, f"{number}.o", content) for number, content in enumerate(contents)]
    with pytest.raises(error, match=sentence):
        read_needed(paths)
