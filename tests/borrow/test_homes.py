"""Which file of the host's link has a name."""

from __future__ import annotations

from pathlib import Path

from synthetic import Sym, elf_object, put

from stubgen.borrow.homes import Homes, LinkFiles


def test_an_object_is_one_whatever_it_is_asked_for(tmp_path: Path) -> None:
    """Asked for one function and later for another, it was linked twice, and each of its functions was there twice."""
    path = put(tmp_path, "a.o", elf_object([Sym("f"), Sym("g", 8)]))
    homes = Homes(LinkFiles(objects=(str(path),)))
    first, second = homes.find(b"f"), homes.find(b"g")
    assert first is not None
    assert second is not None
    assert first.member is second.member


def test_which_of_the_patchs_objects_the_link_has_first(tmp_path: Path) -> None:
    """Where the link has two of one name on both sides of another, nobody can say which is the patch's."""

    def first(link: str, *paths: str) -> int | None:
        return Homes(LinkFiles(objects=tuple(link.split()))).first_of(paths)

    assert first("x/b.o x/a.o", "p/a.o", "p/b.o") == 1
    assert first("x/a.o y/a.o x/b.o", "p/a.o", "p/b.o") == 0
    assert first("x/a.o x/b.o y/a.o", "p/a.o", "p/b.o") is None
    assert first("x/a.o x/b.o y/a.o", "y/a.o", "p/b.o") == 1
    assert first("x/a.o y/a.o", "y/a.o", "x/a.o") == 1
    assert first("x/a.o", "p/a.o", "p/b.o") is None
    assert first("x/a.o", "p/a.o", "q/a.o") is None
    assert first("", "p/a.o", "q/b.o") is None
    (tmp_path / "y").mkdir()
    (tmp_path / "z").symlink_to("y")
    assert first(f"x/a.o x/b.o {tmp_path}/y/a.o", f"{tmp_path}/z/a.o", "p/b.o") == 1
    gone = LinkFiles(objects=("x/b.o",), gone=("src/a.c",), order=("src/a.c", "x/b.o"))
    assert Homes(gone).first_of(["b.o", "a.o"]) == 1
