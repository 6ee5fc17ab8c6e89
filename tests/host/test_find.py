"""What a host's names mean, asked again and again."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pytest
from synthetic import BASE, Sym, elf_host, put

from stubgen.host import open_host


def test_names_that_were_asked_for_are_not_looked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check asks for what the resolve phase asked for, and for more: thousands of candidates, made twice."""
    names = ["a", "b", "c", "d", "e.llvm.77"]
    symbols = [Sym(name, BASE + 0x100 + 16 * number, bind=int(number < 3)) for number, name in enumerate([*names, "b"])]
    host = open_host(put(tmp_path, "host", elf_host(symbols)))
    expected = host.image.find({b"a", b"b", b"c", b"e", b"none"})
    asked: list[frozenset[bytes]] = []
    find = host.image.find

    def noted(wanted: Collection[bytes]) -> object:
        asked.append(frozenset(wanted))
        return find(wanted)

    monkeypatch.setattr(host.image, "find", noted)
    host.find({b"a", b"d", b"none"})
    host.find({b"b", b"d"})
    found = host.find_again({b"a", b"b", b"c", b"e", b"none"})
    assert found == expected
    assert len(found[b"b"]) == 2
    assert asked[2:] == [{b"c", b"e"}]
    assert host.find_again({b"c", b"b"}) == {name: expected[name] for name in (b"b", b"c")}
    assert len(asked) == 3
