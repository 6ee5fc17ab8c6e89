"""Variables that the host has under another name: which are told by debug information, which are named as lost."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from resolve.test_keep_state_rules import candidate, variable
from synthetic import BASE, DATA, SIZE, THREAD, Sym, elf_host, elf_object

from stubgen.elf import constants as e
from stubgen.image import Candidate, DefiningObject, Variable
from stubgen.image.elf import ElfImage
from stubgen.resolve import renamed as module
from stubgen.resolve.renamed import (
    LOST,
    THREAD_LOCAL_START,
    called_otherwise,
    in_family,
    plain_of,
    reasons_afresh,
    told_by_debug_info,
)

AT = BASE + SIZE + 8
PATH = b"/src/a.c"
STATIC = {"local": True, "file": b"a.c"}


def test_one_name_in_the_source() -> None:
    """What is not seen to be one family starts afresh without a word."""
    assert [
        plain_of(name) for name in (b"n", b"n.1", b"n.lto_priv.0", b"n.lto_priv.12", b"n.a", b"n.1.2", b"n.1\n")
    ] == [*(b"n", b"n", b"n", b"n", b"n.a", b"n.1", b"n.1\n")]
    assert in_family(b"n.0", b"n.lto_priv.1")
    assert not in_family(b"n.0", b"m.0")


# told by debug information


class DebuggedHost(ElfImage):
    """A host that has debug information, and variables where it is said."""

    debug_info: Any = SimpleNamespace(units=["a unit"])
    there: Sequence[Candidate] = ()

    def variables_at(self, addresses: Collection[int]) -> list[Candidate]:
        """Those that are said."""
        assert addresses  # or the whole table is gone through for nothing
        return [each for each in self.there if each.address in addresses]


class Sourced(ElfImage):
    """An object that was compiled from a file."""

    debug_info: Any = SimpleNamespace(source_file=PATH)


def object_of(path: bytes = PATH, names: Sequence[str] = ("other",)) -> DefiningObject:
    """The object that was compiled from *path*, with symbols of these names."""
    image = Sourced(elf_object([Sym(name, 0, e.STT_OBJECT, section=DATA) for name in names]), "patch.o")
    image.debug_info = SimpleNamespace(source_file=path)
    assert image.file.symbols is not None
    return DefiningObject(image, image.file.symbols, b"")


def own(name: bytes = b"count", path: bytes = PATH, **facts: object) -> Variable:
    """A static variable of a file, but for *facts*."""
    return variable(**{"name": name, "defined_in": object_of(path), **STATIC, **facts})


RENAMED = candidate(local=False, hidden=True)._replace(name=b"count.llvm.1")
OURS = candidate(local=True, file=b"a.c")
MAY_BE_RENAMED: dict[str, tuple[Variable, list[Candidate], bool]] = {
    # what -> (the patch's, what the host has under its name, whether it is told by where the host has it)
    "a static one": (own(), [], True),
    "a static one that other files see in the host": (own(), [candidate()], True),
    "a static one that the host has": (own(), [OURS], False),
    "a static one that the host has of another file": (own(), [OURS._replace(file=b"b.c")], True),
    "a static one that the linker made local": (own(), [OURS._replace(hidden=True)], True),
    "one of two that the host has": (own(), [candidate(), OURS], False),
    "a constant": (own(writable=False), [], False),
    "a thread's": (own(thread_local=True), [], False),
    "a numbered one": (own(b"count.1"), [], False),
    "Rust's": (own(b"_ZN4shop5count17h0123456789abcdefE"), [], False),
    "C++'s static one": (own(b"_ZL5count"), [], True),
    "with one of another linkage beside it": (own(b"_ZL5count", defined_in=object_of(names=["count"])), [], False),
    "a global one": (own(local=False), [], True),
    "a global one that the host has": (own(local=False), [candidate()], False),
    "a global one that is static in the host": (own(local=False), [OURS], False),
    "a global one that is static in a file without a name": (own(local=False), [OURS._replace(file=b"")], True),
    "a global one that the linker made local": (
        own(local=False),
        [OURS._replace(file=b"", hidden=True)],
        False,
    ),
    "a static one of no file that other files see in the host": (own(file=b""), [candidate()], True),
    "of no known folder": (own(path=b"a.c"), [], False),
    "of no known file": (own(path=b""), [], False),
}


@pytest.mark.parametrize("name", MAY_BE_RENAMED)
def test_whose_place_tells(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Link-time optimisation renames one of two files' ``count``: the wrong one would be another file's state."""
    patch, pool, told = MAY_BE_RENAMED[name]
    asked: list[bytes] = []

    def places(info: object, path: bytes) -> dict[bytes, set[int]]:
        asked.append(path)
        return {b"count": {AT}, patch.name: {AT}}

    monkeypatch.setattr(module, "places_of", places)
    host = DebuggedHost(elf_host([]), "host")
    host.there = [RENAMED._replace(address=AT), RENAMED._replace(address=AT + 8)]
    found = told_by_debug_info(host, [patch], {patch.name: pool})
    assert asked == ([PATH] if told else [])
    expected = RENAMED._replace(address=AT, name=patch.name, file=patch.file, local=True, hidden=False)
    assert found == ({patch.name: expected} if told else {})


class Placed(NamedTuple):
    """Where debug information and the symbols have what."""

    variables: Sequence[Variable]
    places: dict[bytes, set[int]]
    there: Sequence[int]
    told: Sequence[bytes]


PLACED = {
    "each its own": Placed(
        [own(), own(b"last")], {b"count": {AT}, b"last": {AT + 4}}, [AT, AT + 4], [b"count", b"last"]
    ),
    "two of one place": Placed([own(), own(b"last")], {b"count": {AT}, b"last": {AT}}, [AT], []),
    "two symbols there": Placed([own()], {b"count": {AT}}, [AT, AT], []),
    "no symbol there": Placed([own()], {b"count": {AT}}, [AT + 4], []),
    "two places": Placed([own()], {b"count": {AT, AT + 4}}, [AT, AT + 4], []),
    "no place": Placed([own()], {b"last": {AT}}, [AT], []),
    "by its name in the source": Placed([own(b"_ZL5count")], {b"count": {AT}}, [AT], [b"_ZL5count"]),
    "in a namespace by its own": Placed([own(b"_ZN4shopL5countE")], {b"count": {AT}}, [AT], []),
    "of a template by its own": Placed([own(b"_ZL5countIiE")], {b"count": {AT}}, [AT], []),
    "with parameters by its own": Placed([own(b"_ZL5counti")], {b"count": {AT}}, [AT], []),
    "of a template": Placed([own(b"_ZL5countIiE")], {b"_ZL5countIiE": {AT}}, [AT], [b"_ZL5countIiE"]),
}


@pytest.mark.parametrize("name", PLACED)
def test_one_symbol_at_one_place_is_one_variable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two at one address nobody can tell which is meant, and a guess is another variable's memory."""
    placed = PLACED[name]
    monkeypatch.setattr(module, "places_of", lambda info, path: placed.places)
    host = DebuggedHost(elf_host([]), "host")
    host.there = [RENAMED._replace(address=address) for address in placed.there]
    found = told_by_debug_info(host, placed.variables, {})
    assert list(found) == placed.told
    assert all(
        each.address in placed.places.get(b"count" if name_ != b"last" else name_, {AT})
        for name_, each in found.items()
    )


def test_only_hosts_with_debug_information_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mach-O's linkers rename none, and reading a host without any takes time."""
    monkeypatch.setattr(module, "places_of", lambda info, path: {b"count": {AT}})
    for form, units in (("macho", ["a unit"]), ("elf", [])):
        host = DebuggedHost(elf_host([]), "host")
        host.there = [RENAMED._replace(address=AT)]
        host.format, host.debug_info = form, SimpleNamespace(units=units)
        assert told_by_debug_info(host, [own()], {}) == {}


# named as lost


class Filed(ElfImage):
    """A host that says what a file has, whichever is asked for."""

    has: Sequence[Candidate] = ()

    def variables_of(self, file: bytes, path: bytes) -> list[Candidate]:
        """What is said of ``a.c`` at its path."""
        self.asked.append((file, path))
        return list(self.has) if (file, path) == (b"a.c", PATH) else []

    asked: list[tuple[bytes, bytes]]


def afresh(
    new: Sequence[Variable], has: Sequence[Candidate] = (), symbols: Sequence[Sym] = (), known: Sequence[bytes] = ()
) -> dict[bytes, str]:
    """Name of each of *new* that may be what the host has under another name -> what is said of it.

    Args:
        new: the patch's variables.
        has: what the host has of ``a.c``.
        symbols: the host's.
        known: further names that the patch has.
    """
    host = Filed(elf_host(symbols), "host")
    host.has, host.asked = has, []
    found = reasons_afresh(host, new, {*known, *(each.name for each in new)})
    return {each.name: reason for each, reason in found}


def there(*names: bytes, **facts: object) -> list[Candidate]:
    """Variables of the host's that are called so."""
    return [candidate(**facts)._replace(name=name) for name in names]


NEW = "it is new in a.c, and gone from there is {}: if it was called so, " + LOST
GONE: dict[str, tuple[Variable, list[Candidate], Sequence[bytes], str]] = {
    # what -> (the patch's, what the host has of its file, what the patch has besides, what is gone)
    "one": (own(), there(b"calls"), [], "calls"),
    "none": (own(), [], [], ""),
    "three": (own(), there(b"a", b"b", b"c"), [], "a, b, c"),
    "four": (own(), there(b"a", b"b", b"c", b"d"), [], "a, b, c and 1 more"),
    "five": (own(), there(b"a", b"b", b"c", b"d", b"e"), [], "a, b, c and 2 more"),
    "one twice": (own(), there(b"calls", b"calls"), [], "calls"),
    "one that the patch has": (own(), there(b"calls", b"last"), [b"last"], "calls"),
    "one that the patch has without GCC's number": (own(), there(b"last.lto_priv.0"), [b"last"], ""),
    "one of GCC's number": (own(), there(b"last.lto_priv.0"), [], "last.lto_priv.0"),
    "one of GCC's number that C numbers": (own(), there(b"last.1.lto_priv.0"), [], ""),
    "one that the patch has without ThinLTO's number": (own(), there(b"last.llvm.5"), [b"last"], ""),
    "one of ThinLTO's number": (own(), there(b"last.llvm.5"), [], "last.llvm.5"),
    "a constant": (own(), there(b"calls", writable=False), [], ""),
    "a numbered one": (own(), there(b"calls.1"), [], ""),
    "a mapping symbol": (own(), there(b"$d"), [], ""),
    "what reaches a personality routine": (own(), there(b"DW.ref.__gxx_personality_v0"), [], ""),
    "C++'s that all files share": (own(), there(b"_ZN4shop5countE"), [], ""),
    "C++'s of the file alone": (own(), there(b"_ZL5count"), [], "_ZL5count"),
    "Rust's": (own(), there(b"_ZN4shop5count17h0123456789abcdefE"), [], "_ZN4shop5count17h0123456789abcdefE"),
    "where a thread's begins": (own(), there(b"_calls" + THREAD_LOCAL_START), [b"_calls"], ""),
    "a numbered new one": (own(b"count.1"), there(b"calls"), [], ""),
    "a numbered one, and a new one": (own(b"count.1"), there(b"calls.4"), [], "calls.4"),
    "a numbered one that the patch has by another number": (own(b"count.1"), there(b"calls.4"), [b"calls.0"], ""),
    "a numbered one beside another number of the new one's": (
        own(b"count.1"),
        there(b"count.0", b"calls.4"),
        [],
        "",
    ),
    "a numbered constant, and a new one": (own(b"count.1"), there(b"calls.4", writable=False), [], ""),
    "ThinLTO's number, and a new one": (own(b"count.1"), there(b"calls.llvm.4", b"calls.lto_priv.4"), [], ""),
    "C++'s that all files share, with a number": (own(b"count.1"), there(b"_ZZ4shopvE5count.4"), [], ""),
    "of another file": (own(file=b"b.c"), there(b"calls"), [], ""),
    "of another path": (own(path=b"/other/a.c"), there(b"calls"), [], ""),
}


@pytest.mark.parametrize("name", GONE)
def test_what_is_gone_from_a_file(name: str) -> None:
    """Whoever renames a variable is told what was lost; who adds one is not troubled."""
    patch, has, known, gone = GONE[name]
    assert afresh([patch], has, known=known) == ({patch.name: NEW.format(gone)} if gone else {})


def test_how_a_file_is_called() -> None:
    """By its own name, not by the folder that it was compiled in."""
    host = Filed(elf_host([]), "host")
    host.variables_of = lambda file, path: there(b"calls")  # type: ignore[method-assign]  # whatever file
    for file, said in ((b"/src/a.c", "a.c"), (b"", "its file")):
        ((_, reason),) = reasons_afresh(host, [own(file=file)], ())
        assert reason == NEW.format("calls").replace("a.c", said)


def test_a_file_is_asked_for_once() -> None:
    """Each of thousands of new variables would go through the host's symbols."""
    host = Filed(elf_host([]), "host")
    host.has, host.asked = there(b"calls"), []
    new = [own(), own(b"last"), own(b"other", path=b"/src/b.c")]
    assert [each.name for each, _ in reasons_afresh(host, new, ())] == [b"count", b"last"]
    assert host.asked == [(b"a.c", PATH), (b"a.c", b"/src/b.c")]


def lto(name: str, at: int = AT) -> Sym:
    """A variable of the host's."""
    return Sym(name, at, e.STT_OBJECT, e.STB_LOCAL, DATA, size=4)


BY_GCC = "link-time optimisation renamed the host's, {}; compile host and patch with -g"


def test_what_gcc_renamed() -> None:
    """People learn which build would have told whose it is."""
    symbols = [lto("count.lto_priv.0"), lto("count.lto_priv.1", AT + 4), lto("counted.lto_priv.0", AT + 8)]
    expected = {b"count": BY_GCC.format("count.lto_priv.0 or count.lto_priv.1")}
    assert afresh([own()], symbols=symbols) == expected
    assert afresh([own()], there(b"calls"), symbols) == expected
    assert afresh([own(local=False)], symbols=symbols) == {}
    assert afresh([own(local=False), own()], symbols=symbols) == expected
    assert afresh([own(b"x")], symbols=symbols) == {}


def rust(item: str, digest: str = "0123456789abcdef", crate: str = "shop") -> str:
    """An item's name in rustc's legacy mangling."""
    return f"_ZN{len(crate)}{crate}{len(item)}{item}17h{digest}E"


OTHER_HASH = "fedcba9876543210"
TYPE_CHANGED = "the host's has another hash at the end of its name, as where its type was another one"
OF_CRATE = "it is new in its crate, and gone from there is {}: if it was called so, " + LOST
RUST: dict[str, tuple[Variable, Sequence[Sym], Sequence[str], str]] = {
    # what -> (the patch's, the host's symbols, what the patch has besides, what is said)
    "another hash": (own(rust("count").encode()), [lto(rust("count", OTHER_HASH))], [], TYPE_CHANGED),
    "another hash, which the patch has too": (
        own(rust("count").encode()),
        [lto(rust("count", OTHER_HASH))],
        [rust("count", OTHER_HASH)],
        "",
    ),
    "another hash and suffix": (own(rust("count").encode()), [lto(rust("count", OTHER_HASH) + ".0")], [], ""),
    "another item": (own(rust("count").encode()), [lto(rust("calls"))], [], OF_CRATE.format(rust("calls"))),
    "an item in the crate's middle": (
        own(b"_ZN4shop1a5count17h0123456789abcdefE"),
        [lto("_ZN4shop1b5count17h0123456789abcdefE")],
        [],
        OF_CRATE.format("_ZN4shop1b5count17h0123456789abcdefE"),
    ),
    "two differences": (
        own(b"_ZN4shop1a5count17h0123456789abcdefE"),
        [lto("_ZN4shop1b5calls17h0123456789abcdefE")],
        [],
        "",
    ),
    "one part more": (own(rust("count").encode()), [lto("_ZN4shop1a5count17h0123456789abcdefE")], [], ""),
    "two differences in other letters": (
        own(b"_ZN4shop2xx5count17h0123456789abcdefE"),
        [lto("_ZN4shop2yy5bells17h0123456789abcdefE")],
        [],
        "",
    ),
    "one part more at the end": (own(rust("count").encode()), [lto("_ZN4shop5calls1a17h0123456789abcdefE")], [], ""),
    "another hash behind other letters": (own(rust("count").encode()), [lto("x" + rust("count", OTHER_HASH))], [], ""),
    "a name of C++'s that is as long": (
        own(rust("count").encode()),
        [lto("_ZN4shop5count5other11abcdefghijkE")],
        [],
        "",
    ),
    "another hash of what is in it": (
        own(rust("count").encode()),
        [lto(f"_ZN4shop5count1a17h{OTHER_HASH}E")],
        [],
        "",
    ),
    "the newer mangling": (own(b"_RNvCs_4shop5COUNT"), [lto("_RNvCs_4shop5COUNS.0")], [], ""),
    "another item of the newer mangling": (
        own(b"_RNvCs_4shop5COUNT"),
        [lto("_RNvCs_4shop5CALLS")],
        [],
        OF_CRATE.format("_RNvCs_4shop5CALLS"),
    ),
    "two items": (
        own(rust("count").encode()),
        [lto(rust("calls")), lto(rust("bells"), AT + 4)],
        [],
        OF_CRATE.format(f"{rust('bells')}, {rust('calls')}"),
    ),
    "what the patch has": (own(rust("count").encode()), [lto(rust("calls"))], [rust("calls")], ""),
    "what the patch has by another hash": (
        own(rust("count").encode()),
        [lto(rust("calls"))],
        [rust("calls", OTHER_HASH)],
        "",
    ),
    "another crate's": (own(rust("count").encode()), [lto(rust("count", crate="park"))], [], ""),
    "a function": (own(rust("count").encode()), [Sym(rust("calls"), BASE, bind=e.STB_LOCAL)], [], ""),
    "a thread's": (
        own(rust("count").encode()),
        [Sym(rust("calls"), 8, e.STT_TLS, e.STB_LOCAL, THREAD)],
        [],
        "",
    ),
    "a thread's on both sides": (
        own(rust("count").encode(), thread_local=True),
        [Sym(rust("calls"), 8, e.STT_TLS, e.STB_LOCAL, THREAD)],
        [],
        OF_CRATE.format(rust("calls")),
    ),
    "a numbered one": (own(rust("count").encode() + b".1"), [lto(rust("calls"))], [], ""),
    "none": (own(rust("count").encode()), [lto("count")], [], ""),
}


@pytest.mark.parametrize("name", RUST)
def test_items_of_rust(name: str) -> None:
    """A static that was renamed, or whose type changed, begins anew: what it was called helps to see it."""
    patch, symbols, known, said = RUST[name]
    found = afresh([patch], symbols=symbols, known=[each.encode() for each in known])
    assert found == ({patch.name: said} if said else {})


def test_what_an_earlier_patch_calls_it() -> None:
    """State that only an earlier patch has is lost if that one calls it otherwise."""
    image = Filed(elf_host([lto(rust("count", OTHER_HASH)), lto(rust("calls"))]), "earlier.so")
    image.has, image.asked = [*there(b"calls", b"last"), *there(b"c", writable=False)], []
    assert called_otherwise(image, own(), {b"last"}) == [b"calls"]
    assert called_otherwise(image, own(path=b"/src/b.c"), ()) == []
    assert called_otherwise(image, own(rust("count").encode()), ()) == [rust("count", OTHER_HASH).encode()]
    assert called_otherwise(image, own(rust("other").encode()), ()) == []
    assert called_otherwise(image, own(rust("calls").encode()), ()) == []  # it is called so there
    assert called_otherwise(image, own(b"_RNvCs_4shop5COUNT"), ()) == []
