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


def test_which_of_the_patchs_objects_the_link_has_first() -> None:
    """Where the link has two of one name, nobody can say which is the patch's: the given order stays."""
    assert Homes(LinkFiles(objects=("x/b.o", "x/a.o"))).first_of(["p/a.o", "p/b.o"]) == "p/b.o"
    assert Homes(LinkFiles(objects=("x/a.o", "y/a.o", "x/b.o"))).first_of(["p/a.o", "p/b.o"]) is None
    assert Homes(LinkFiles(objects=("x/a.o",))).first_of(["p/a.o", "p/b.o"]) is None
    assert Homes(LinkFiles(objects=("x/a.o",))).first_of(["p/a.o", "q/a.o"]) is None
