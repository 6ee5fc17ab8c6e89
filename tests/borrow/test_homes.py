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
