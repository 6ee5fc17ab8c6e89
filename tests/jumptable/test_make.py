"""What goes into a jump table and what stays out, with its reason: each rule alone, on a patch that is only said."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from stubgen import jumptable as module
from stubgen.compare.changes import Change, FunctionChange, Known
from stubgen.errors import PatchRefusal
from stubgen.image import Candidate, FunctionSymbol, Kind
from stubgen.jumptable import (
    WHY_THEY_RELY,
    Entry,
    JumpTable,
    TableOptions,
    make_jump_table,
    relying_on_replaced,
    relying_without_table,
)
from stubgen.registers import Redirected, Reliance
from stubgen.replaced import HostCopy, Replaced, Replacement

HOST_ANCHOR, PATCH_ANCHOR = 0x100, 0x200


def candidate(name: str, address: int, **facts: Any) -> Candidate:
    """A function that the loader finds by name, but for *facts*."""
    usual: dict[str, Any] = {"kind": Kind.FUNCTION, "local": False, "size": 8, "section": ".text", "exported": True}
    return Candidate(name.encode(), address, **{**usual, **facts})


def image(name: str, *symbols: Candidate, functions: Sequence[str] = (), **facts: Any) -> Any:
    """A file with these symbols; *functions* are those of an object."""

    def find(names: set[bytes]) -> dict[bytes, list[Candidate]]:
        return {name: [each for each in symbols if each.name == name] for name in names}

    rows = [FunctionSymbol(each.encode(), 1, number * 16, False, False) for number, each in enumerate(functions)]
    usual = {
        "name": name,
        "path": name,
        "format": "elf",
        "find": find,
        "functions": lambda: iter(rows),
        "place_of": lambda function: 0x1000 + function.address,
        "debug_info": name,
        "compiled_by_llvm": False,
        "compiled_by_gcc": True,
    }
    return SimpleNamespace(**{**usual, **facts})


def replacement(name: str, new: int, *old: int, of: str = "a.o", reason: str = "") -> Replacement:
    """A function of the patch's, and where the host has it."""
    copies = tuple(HostCopy(address, 0x5500000000 + address, (name,)) for address in old)
    return Replacement(name, of, False, new, copies, True, reason)


def change(name: str, what: Change = Change.CHANGED, *, of: str = "a.o", leads: bool = False) -> FunctionChange:
    """What became of a function."""
    return FunctionChange((name,), of, what, "", leads)


F, G, H = replacement("f", 0x210, 0x110), replacement("g", 0x230, 0x130), replacement("h", 0x250, 0x150, of="b.o")
CHANGES = [change("f"), change("g", Change.UNCHANGED), change("h", of="b.o")]


class Bench:
    """A patch of three functions in two objects, of which one is unchanged."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.host_image = image("host", candidate("main", HOST_ANCHOR))
        self.patch = image("p.so", candidate("main", PATCH_ANCHOR))
        self.objects = {"a.o": image("a.o", functions=["f", "g"]), "b.o": image("b.o", functions=["h"])}
        self.replaced = Replaced((F, G, H), ())
        self.changes = CHANGES
        self.asked: list[tuple[object, ...]] = []
        self.relied: list[tuple[object, ...]] = []
        self.relying: list[Reliance] = []
        monkeypatch.setattr(module, "find_changes", self._find_changes)
        monkeypatch.setattr("stubgen.registers.relying_callers", self._relying)

    @property
    def host(self) -> Any:
        """The host."""
        return SimpleNamespace(image=self.host_image, path="/bin/host")

    def _find_changes(self, *arguments: object) -> list[FunctionChange]:
        self.asked.append(arguments)
        return self.changes

    def _relying(self, host: object, redirected: Sequence[Redirected], stubs: object) -> list[Reliance]:
        self.relied.append((host, list(redirected), stubs))
        wanted = {each.old for each in redirected}
        return [each for each in self.relying if each.old in wanted]

    def make(self, **wanted: Any) -> JumpTable:
        """The table."""
        return make_jump_table(
            *(self.patch, self.host, self.replaced, [*self.objects.items()], "main"),
            TableOptions(**wanted),
            {b"kept"},
            {b"elsewhere"},
        )

    def entries(self, **wanted: Any) -> list[str]:
        """The names in it."""
        return [entry.name for entry in self.make(**wanted).entries]

    def signatures(self, own: dict[int, str], host: dict[int, str]) -> None:
        """Have debug information say so of addresses in the objects and the host."""
        of = {"host": host}
        self.monkeypatch.setattr(
            "stubgen.image.dwarf_types.signature_of", lambda debug, address: of.get(debug, own).get(address)
        )
        self.monkeypatch.setattr(
            "stubgen.image.dwarf_differences.signature_difference",
            lambda mine, theirs, run: "" if mine == theirs else f"it takes {mine} where the host's takes {theirs}",
        )


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """One."""
    made = Bench(monkeypatch)
    made.signatures({}, {})
    return made


def test_what_changed_is_in_it(bench: Bench) -> None:
    """A runtime that is led to an unchanged copy loses nothing; one that is not led to a changed one, the edit."""
    table = bench.make()
    assert table == JumpTable(
        "p.so",
        "main",
        HOST_ANCHOR,
        PATCH_ANCHOR,
        (Entry("f", "a.o", 0x110, 0x210), Entry("h", "b.o", 0x150, 0x250)),
        tuple(CHANGES),
        (),
        (),
    )
    assert [row.names for row in table.changed(Change.CHANGED)] == [("f",), ("h",)]
    assert [row.names for row in table.changed(Change.UNCHANGED)] == [("g",)]
    ((objects, host, known, kept, elsewhere, twins),) = bench.asked
    assert (objects, host, kept, elsewhere) == (
        [*bench.objects.items()],
        bench.host_image,
        {b"kept"},
        {b"elsewhere"},
    )
    assert twins == {}
    assert callable(known)
    assert known("a.o", b"f") == Known([0x110], "")
    assert known("b.o", b"f") == Known()


def test_what_is_doubtful_is_known_as_that(bench: Bench) -> None:
    """It counts as changed, with the reason for which nobody can tell."""
    doubtful = replacement("d", 0x270, 0x170, 0x180, reason="two of them")
    bench.replaced = Replaced((F,), (doubtful,))
    bench.make()
    known: Any = bench.asked[0][2]
    assert known("a.o", b"d") == Known([0x170, 0x180], "two of them")


def test_what_the_hosts_own_options_make_is_asked_about(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the object's own name; a table of everything needs none, which is a compile less."""
    monkeypatch.setattr("stubgen.jumptable.open_image", lambda path: f"image of {path}")
    bench.make(as_built=[("a.o", "twin/a.o")])
    assert bench.asked[0][5] == {"a.o": "image of twin/a.o"}
    bench.make(as_built=[("a.o", "twin/a.o")], everything=True)
    assert bench.asked[1][5] == {}


def test_all_that_is_asked_for(bench: Bench) -> None:
    """A runtime of which some callers are led already wants them all."""
    assert bench.entries(everything=True) == ["f", "g", "h"]
    assert bench.entries(led=[0x130]) == ["f", "g", "h"]
    assert bench.entries(led=[0x131]) == ["f", "h"]
    assert bench.make(library="/run/p.so").library == "/run/p.so"


def test_every_copy_leads_to_it_in_order(bench: Bench) -> None:
    """Callers of any copy of an inline function mean the same; a runtime may search the table by halves."""
    bench.replaced = Replaced((H, replacement("f", 0x210, 0x190, 0x110)), ())
    found = [(entry.old, entry.new) for entry in bench.make().entries]
    assert found == [(0x110, 0x210), (0x150, 0x250), (0x190, 0x210)]
    assert bench.entries(led=[0x190]) == ["f", "h", "f"]


def test_what_nobody_can_tell_is_named(bench: Bench) -> None:
    """A strict table is refused for it; one that did not change matters to nobody."""
    doubtful = [replacement(name, 0x270, 0x170, reason="two of them") for name in ("d", "g")]
    bench.replaced = Replaced((F,), tuple(doubtful))
    assert bench.make().undecided == (doubtful[0],)
    with pytest.raises(PatchRefusal, match=r"^1 function would be left out of the table:\n  d \(a\.o\): two of them$"):
        bench.make(strict=True)
    bench.replaced = Replaced((F,), ())
    assert bench.entries(strict=True) == ["f"]


# anchors


def test_the_hosts_anchor(bench: Bench) -> None:
    """Without it a runtime does not see where the program lies; the option that helps is the format's own."""
    for form, option in (("elf", "-Wl,--export-dynamic-symbol=main"), ("macho", "-Wl,-exported_symbol,main")):
        bench.host_image = image("host", candidate("main", HOST_ANCHOR, exported=False), format=form)
        with pytest.raises(PatchRefusal, match=rf"^/bin/host: does not export main, .* link it with {option},"):
            bench.make()
    bench.host_image = image("host", candidate("main", 0, kind=Kind.IMPORT), candidate("main", HOST_ANCHOR))
    assert bench.make().host_anchor == HOST_ANCHOR


def test_the_patchs_anchor(bench: Bench) -> None:
    """One at address 0 is one; one that is hidden is none."""
    bench.patch = image("p.so", candidate("main", 0))
    assert bench.make().patch_anchor == 0
    bench.patch = image("p.so", candidate("main", 8, exported=False), candidate("other", 8))
    with pytest.raises(
        PatchRefusal, match=r"^p\.so: does not export main, by which a runtime sees where it was loaded$"
    ):
        bench.make()


# what the host's callers cannot call


OTHERWISE = "the host's callers go on calling the old one: it takes int where the host's takes long"


def test_other_parameters(bench: Bench) -> None:
    """Old callers pass what the old one takes: a new parameter would be whatever the register holds."""
    bench.signatures({0x1000: "int", 0x1010: "int"}, {0x110: "long", 0x130: "long", 0x150: "int"})
    table = bench.make()
    assert [entry.name for entry in table.entries] == ["h"]
    assert table.undecided == (F._replace(reason=OTHERWISE),)
    assert bench.entries(everything=True) == ["g", "h"]  # what is unchanged is not asked about
    bench.signatures({0x1000: "long"}, {0x110: "long"})
    assert bench.entries() == ["f", "h"]
    for own, host in (({}, {0x110: "long"}), ({0x1000: "int"}, {})):
        bench.signatures(own, host)
        assert bench.entries() == ["f", "h"]


def test_what_hands_parameters_on(bench: Bench) -> None:
    """An unchanged function that leads to a change takes the place of the host's too."""
    bench.changes = [change("f"), change("g", Change.UNCHANGED, leads=True), change("h", of="b.o")]
    bench.signatures({0x1010: "int"}, {0x130: "long"})
    table = bench.make()
    assert [entry.name for entry in table.entries] == ["f", "h"]
    assert [item.name for item in table.undecided] == ["g"]


def test_any_copy_with_other_parameters(bench: Bench) -> None:
    """The callers of that one cannot call it."""
    bench.replaced = Replaced((replacement("f", 0x210, 0x110, 0x190),), ())
    bench.signatures({0x1000: "int"}, {0x110: "int", 0x190: "long"})
    assert bench.make().entries == ()


def test_a_name_of_which_an_object_has_several(bench: Bench) -> None:
    """One that debug information describes tells for all."""
    bench.objects = {"a.o": image("a.o", functions=["f", "f"]), "b.o": bench.objects["b.o"]}
    bench.signatures({0x1010: "int"}, {0x110: "long"})
    assert bench.entries() == ["h"]


def test_a_thunk_goes_with_its_function(bench: Bench) -> None:
    """It hands on what it gets, and no debug information tells of it."""
    function, thunk = replacement("_ZN1B1fEi", 0x210, 0x110), replacement("_ZThn16_N1B1fEi", 0x230, 0x130)
    bench.objects["a.o"] = image("a.o", functions=["_ZN1B1fEi", "_ZThn16_N1B1fEi"])
    bench.changes = [change("_ZN1B1fEi"), change("_ZThn16_N1B1fEi")]
    bench.replaced = Replaced((thunk, function), ())
    bench.signatures({0x1000: "int"}, {0x110: "long"})
    table = bench.make()
    assert table.entries == ()
    assert table.undecided == (function._replace(reason=OTHERWISE), thunk._replace(reason=OTHERWISE))
    bench.signatures({0x1000: "int"}, {0x110: "int"})
    assert len(bench.make().entries) == 2


# direct calls


def test_static_functions_of_llvm(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """LLVM drops arguments of static functions, which callers then do not pass."""
    allowed: list[bool] = []
    known: list[bool] = []

    def reason(one: Candidate, host: object, *, allow_static: bool, static: bool) -> str:
        assert host is bench.host_image
        allowed.append(allow_static)
        known.append(static)
        return "it drops arguments" if one.address == 0x110 else ""

    monkeypatch.setattr("stubgen.resolve.convention.reason_not_to_call", reason)
    symbols = [candidate("main", HOST_ANCHOR), candidate("f", 0x110), candidate("f", 0x999), candidate("h", 0x150)]
    bench.host_image = image("host", *symbols, compiled_by_llvm=True)
    left_out = F._replace(reason="the host's callers go on calling the old one: it drops arguments")
    table = bench.make(direct_calls=True, allow_static=True)
    assert [entry.name for entry in table.entries] == ["h"]
    assert table.undecided == (left_out,)
    assert allowed == [True, True]
    assert bench.entries() == ["f", "h"]
    allowed.clear()
    assert bench.entries(direct_calls=True) == ["h"]
    assert allowed == [False, False]
    bench.replaced = Replaced((replacement("f", 0x210, 0x999), H), ())
    assert bench.entries(direct_calls=True) == ["h", "f"]
    known.clear()
    bench.replaced = Replaced((F._replace(local=True), H._replace(local=False)), ())
    assert bench.entries(direct_calls=True) == ["h"]
    assert known == [True, False], "the patch's object says which are static"
    bench.host_image = image("host", *symbols)
    bench.replaced = Replaced((F, G, H), ())
    assert bench.entries(direct_calls=True) == ["f", "h"]


RELYING = Reliance(0x110, "caller", 0x1234, ("x2", "x3"), True)


def test_callers_that_rely_on_registers(bench: Bench) -> None:
    """A runtime that overwrites the old function destroys what its callers keep."""
    bench.relying = [RELYING, RELYING._replace(old=0x130)]
    table = bench.make()
    assert table.relying == (RELYING,)
    (asked,) = bench.relied
    assert asked[0] is bench.host_image
    assert [each.image for each in asked[1]] == [bench.patch] * 2  # type: ignore[attr-defined]  # a list
    assert [entry.name for entry in table.entries] == ["f", "h"]
    table = bench.make(direct_calls=True)
    reason = f"its callers go on calling the old one: caller keeps values in x2, x3 while it calls it: {WHY_THEY_RELY}"
    assert table.undecided == (F._replace(reason=reason),)
    assert [entry.name for entry in table.entries] == ["h"]
    bench.relying = [RELYING._replace(sure=False)]
    assert "caller may keep values in x2, x3" in bench.make(direct_calls=True).undecided[0].reason
    bench.replaced = Replaced((replacement("f", 0x210, 0x190, 0x110), H), ())
    assert bench.entries(direct_calls=True) == ["h"]


def test_one_reason_is_enough(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function that is left out already is listed once."""
    told = "stubgen.resolve.convention.reason_not_to_call"
    monkeypatch.setattr(told, lambda *_, **__: "it drops arguments")
    bench.host_image = image("host", candidate("main", HOST_ANCHOR), candidate("f", 0x110), compiled_by_llvm=True)
    bench.relying = [RELYING]
    bench.signatures({0x1000: "int"}, {0x110: "long"})
    assert [item.reason for item in bench.make(direct_calls=True).undecided] == [OTHERWISE]


def test_who_is_asked_about_registers(bench: Bench) -> None:
    """Rust's functions and those of clang's files have no callers that GCC compiled for their registers."""
    host: Any = bench.host_image
    objects = bench.objects
    assert relying_on_replaced(bench.patch, host, [F, H], objects, "stubs") == ()  # type: ignore[arg-type]  # any
    expected = [
        Redirected(0x110, 0x210, bench.patch, [objects["a.o"]]),
        Redirected(0x150, 0x250, bench.patch, [objects["b.o"]]),
    ]
    assert bench.relied == [(host, expected, "stubs")]
    bench.relied.clear()
    relying_on_replaced(bench.patch, host, [replacement("f", 0x210, 0x110, 0x190, of="c.o")], objects)
    assert [(each.old, each.objects) for each in bench.relied[0][1]] == [(0x110, []), (0x190, [])]  # type: ignore[attr-defined]  # a list
    bench.relied.clear()
    rust = replacement("_ZN4shop5count17h0123456789abcdefE", 0x210, 0x110)
    assert relying_on_replaced(bench.patch, host, [rust], objects) == ()
    of_clang = {"a.o": image("a.o", compiled_by_gcc=False), "b.o": image("b.o")}
    by_llvm: Any = image("host", compiled_by_llvm=True)
    assert relying_on_replaced(bench.patch, by_llvm, [F], of_clang) == ()
    assert bench.relied == []
    relying_on_replaced(bench.patch, by_llvm, [F, H], of_clang)
    relying_on_replaced(bench.patch, host, [F], of_clang)
    assert [[each.old for each in asked[1]] for asked in bench.relied] == [[0x150], [0x110]]  # type: ignore[attr-defined]  # likewise


def test_who_relies_where_no_table_is_made(bench: Bench) -> None:
    """A patch without a table is loaded by a runtime that overwrites; what did not change is not led anywhere."""
    bench.relying = [RELYING, RELYING._replace(old=0x130), RELYING._replace(old=0x150)]
    arguments = (bench.patch, bench.host, bench.replaced, [*bench.objects.items()], {b"kept"}, {b"elsewhere"})
    assert [one.old for one in relying_without_table(*arguments)] == [0x110, 0x150]
    assert bench.relied[0][0] is bench.host_image
    assert bench.asked[0][:2] == ([*bench.objects.items()], bench.host_image)
    assert callable(bench.asked[0][2])
    assert bench.asked[0][3:] == ({b"kept"}, {b"elsewhere"}, {})
    bench.relying, bench.asked = [], []
    assert relying_without_table(*arguments) == ()
    assert bench.asked == []
