"""One more generation of a session: what is refused, what the link is asked, and what the session file then says."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from generations.test_redirections import EMPTY, SLIDE, replaced

from stubgen.common.files import Outputs
from stubgen.errors import PatchRefusal, UsageError
from stubgen.generations import linking as module
from stubgen.generations.linking import (
    begin_generation,
    link_generation,
    new_generation,
    refuse_known_path,
    stage_generation,
)
from stubgen.generations.opening import Begun, SessionOptions
from stubgen.generations.redirections import Target
from stubgen.generations.state import Fate, Forwarder, Function, Generation, Place, Unit
from stubgen.jumptable import Entry, JumpTable, TableOptions
from stubgen.options import BtiPolicy
from stubgen.replaced import Replaced
from stubgen.resolve.verdicts import SharedVariable

UNIT = Unit("/o/a.o", "00", "a.c")


def generation(number: int, **facts: Any) -> Generation:
    """A loaded patch of the process, but for *facts*."""
    usual: dict[str, Any] = {
        "number": number,
        "patch": f"/p/{number}.so",
        "library": f"/t/{number}.so",
        "digest": "00",
        "time": 1.0,
        "fate": Fate.LOADED,
        "anchor": 0x200,
        "first_address": 0,
        "slide": number << 32,
        "undo_to": None,
        "complete": False,
        "captured": "",
        "units": (),
        "places": (),
        "forwarders": (),
        "variables": (),
    }
    return Generation(**{**usual, **facts})


def begun(path: Path, *earlier: Generation, **facts: Any) -> Begun:
    """A session with these patches that is about to have one more."""
    session = EMPTY._replace(generations=earlier)
    usual: dict[str, Any] = {
        "path": str(path),
        "session": session,
        "number": len(earlier) + 1,
        "targets": {},
        "holding": (),
        "previous": (),
        "units": (UNIT,),
        "relinked": (),
    }
    return Begun(**{**usual, **facts})


# paths


def test_paths_that_the_process_knows(tmp_path: Path) -> None:
    """A loader returns the library that it has for a path: nothing would change, and nobody would say so."""
    first = generation(1, patch=str(tmp_path / "one.so"), library="/t/one.so")
    second = generation(2, patch=str(tmp_path / "two.so"), library="/t/two.so")
    asked = begun(tmp_path / "session", first, second)
    for output, library, which, number in (
        ("one.so", "", str(tmp_path / "one.so"), 1),
        ("two.so", "/t/other.so", str(tmp_path / "two.so"), 2),
        ("new.so", "/t/two.so", "/t/two.so", 2),
        ("sub/../one.so", "", str(tmp_path / "one.so"), 1),
    ):
        with pytest.raises(PatchRefusal, match=f"^{which}: is the path of generation {number}, "):
            refuse_known_path(asked, tmp_path / output, library)
    with pytest.raises(UsageError, match="is the session's file"):
        refuse_known_path(asked, tmp_path / "sub" / ".." / "session", "")
    refuse_known_path(asked, tmp_path / "new.so", "/t/new.so")


# what begins one


class Anchored:
    """A builder whose host has ``main`` at 0x100."""

    host = SimpleNamespace(path="host")


def begin(
    monkeypatch: pytest.MonkeyPatch, wanted: Any = None, reference: int | None = SLIDE, **options: Any
) -> list[Any]:
    """What is asked of the session's file and the process."""
    asked: list[Any] = []
    monkeypatch.setattr(module, "slide_from_anchor", lambda *arguments: asked.append(arguments) or "the slide")
    monkeypatch.setattr(module, "refuse_misplaced", lambda *arguments: asked.append(arguments))
    monkeypatch.setattr(module, "begin", lambda *arguments, **keywords: asked.append((arguments, keywords)) or "begun")
    builder: Any = Anchored()
    made = begin_generation(
        "outputs",  # type: ignore[arg-type]  # they are handed on
        SessionOptions("s", loaded=0x77, pid=5) if wanted is None else wanted,
        builder,
        options.pop("objects", ["a.o"]),
        reference,
        options,  # type: ignore[arg-type]  # whatever a caller gives
        options.pop("kept", None),
    )
    assert made == "begun"  # type: ignore[comparison-overlap]  # what it was told
    return asked


def test_what_a_session_is_begun_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """The slide is the anchor's, and the process is looked at before anything is written."""
    wanted = SessionOptions("s", loaded=0x77, pid=5)
    kept = {"a.o": "later"}
    asked = begin(monkeypatch, wanted, keep_state=True, anchor="begin", kept=kept)
    assert asked[:2] == [(Anchored.host, SLIDE, "begin"), (Anchored.host, "the slide", 5)]
    assert asked[2] == (
        ("outputs", wanted, Anchored.host, "the slide", ("a.o",)),
        {"kept": kept, "keep_state": True},
    )
    assert begin(monkeypatch)[2][1] == {"kept": {}, "keep_state": False}
    asked = begin(monkeypatch, SessionOptions("s"))
    assert asked[1] == (Anchored.host, "the slide", None)
    assert asked[2][0][1] == SessionOptions("s")


def test_what_a_session_knows_better(monkeypatch: pytest.MonkeyPatch) -> None:
    """An earlier patch that is given beside the session's would be a second one at its address."""
    for options in ({"previous": [("p.so", 0x1000)]}, {"overrides": {"f": 0x1000}}):
        with pytest.raises(UsageError, match="the session knows the earlier patches"):
            begin(monkeypatch, **options)
    for reference, more in ((None, {}), (SLIDE, {"slide": 0x1000}), (None, {"slide": 0x1000})):
        with pytest.raises(UsageError, match="a session is told by its process's anchor"):
            begin(monkeypatch, None, reference, **more)
    with pytest.raises(UsageError, match=r"SessionOptions\(\)"):
        begin(monkeypatch, "s")
    for name in ("loaded", "pid"):
        with pytest.raises(UsageError, match=rf"{name}\b"):
            begin(monkeypatch, SessionOptions("s", **{name: "x"}))
    with pytest.raises(UsageError, match=r"link_generation\b"):
        begin(monkeypatch, unheard_of=1)
    with pytest.raises(UsageError, match=r"objects\b"):
        begin(monkeypatch, objects="a.o")
    with pytest.raises(UsageError, match=r"aslr_reference\b"):
        begin(monkeypatch, None, "x")  # type: ignore[arg-type]  # likewise


# what is known of one


def a_table(*entries: Entry) -> JumpTable:
    """A table of the patch."""
    return JumpTable("/t/new.so", "main", 0x100, 0x240, entries, (), (), content=b"the patch")


def variable(name: str, *, writable: bool = True, thread_local: bool = False) -> Any:
    """A variable of the patch's objects."""
    return SimpleNamespace(name=name.encode("utf-8", "surrogateescape"), writable=writable, thread_local=thread_local)


def shared(name: str, *, forwarded: bool = True, writable: bool = True) -> SharedVariable:
    """What became of a variable of both."""
    return SharedVariable(name, 4, writable, forwarded)


class Resolution(SimpleNamespace):
    """What was resolved; it is replaced as a whole."""

    def _replace(self, **facts: object) -> Resolution:
        return Resolution(**{**vars(self), **facts})


def linked(output: Path, *, variables: Sequence[Any] = (), shared: Sequence[SharedVariable] = (), **facts: Any) -> Any:
    """A linked patch."""
    resolution = Resolution(needed=SimpleNamespace(variables=variables), shared_variables=tuple(shared))
    usual: dict[str, Any] = {
        "output": output,
        "digest": "11",
        "built": Resolution(resolution=resolution),
        "replaced": Replaced((), ()),
        "replaced_in_previous": (),
        "jump_table": a_table(),
    }
    return Resolution(**{**usual, **facts})


@pytest.fixture(autouse=True)
def first_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """The patch's first byte is at 0x4000, and it is five o'clock."""

    def opened(content: bytes, path: str) -> Any:
        assert content == b"the patch"
        return SimpleNamespace(first_address=0x4000, path=path)

    monkeypatch.setattr(module, "open_image", opened)
    monkeypatch.setattr(module, "now", lambda: 5.0)


@pytest.mark.parametrize("record", [None, "record.json"])
def test_what_is_known_of_a_generation(tmp_path: Path, record: str | None) -> None:
    """The next patch reads where this one has what, and by which record it was linked."""
    captured: Any = SimpleNamespace(path=record)
    session = EMPTY._replace(relink_earlier=True)
    asked = begun(tmp_path / "session", session=session, number=3)
    places = [Place(0, 0x10, True)]
    made = new_generation(
        asked, linked(tmp_path / "sub" / ".." / "new.so"), a_table(), captured, [UNIT], places, ["v"], undo_to=1
    )
    assert made == generation(
        3,
        patch=str(tmp_path / "new.so"),
        library="/t/new.so",
        digest="11",
        time=5.0,
        fate=Fate.LINKED,
        anchor=0x240,
        first_address=0x4000,
        slide=None,
        undo_to=1,
        complete=True,
        captured="" if record is None else os.path.abspath(record),
        units=(UNIT,),
        places=(Place(0, 0x10, True),),
        variables=("v",),
    )
    plain = new_generation(begun(tmp_path / "session"), linked(tmp_path / "new.so"), a_table(), captured)
    assert (plain.number, plain.undo_to, plain.complete, plain.units, plain.places, plain.variables) == (
        *(1, None, False),
        *((), (), ()),
    )


# the link


class Bench:
    """What is asked of the link, of the tables and of the session's files; nothing is linked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, made: Any, complete: JumpTable | None = None) -> None:
        self.made, self.asked, self.staged, self.told = made, dict[str, Any](), list[Any](), list[Any]()
        self.completed: dict[str, Any] = {}
        self.complete = complete or a_table(Entry("all", "o", 1, 2))
        monkeypatch.setattr(module, "stage_patch", self._stage_patch)
        monkeypatch.setattr(module, "stage_session", lambda *arguments: self.staged.append(arguments))
        monkeypatch.setattr(module, "stage_telling", lambda *arguments: self.told.append(arguments))
        monkeypatch.setattr(module, "complete_table", self._complete_table)
        monkeypatch.setattr(module, "with_led", lambda linked, table: (linked, table))
        monkeypatch.setattr(module, "forwarders_of", self._forwarders_of)

    def _stage_patch(self, *arguments: Any, **keywords: Any) -> Any:
        self.asked = {"arguments": arguments, **keywords}
        return self.made

    def _complete_table(self, *arguments: Any, **keywords: Any) -> JumpTable:
        self.completed = {"arguments": arguments, **keywords}
        return self.complete

    def _forwarders_of(self, *arguments: Any) -> tuple[Forwarder, ...]:
        self.forwarded = arguments
        return (Forwarder(0, 1, 2, 3),)

    def stage(self, asked: Begun, output: object, **keywords: Any) -> Any:
        """The generation."""
        captured: Any = SimpleNamespace(path="record.json")
        return stage_generation("outputs", asked, "builder", captured, ["a.o"], output, 0x55, **keywords)  # type: ignore[arg-type]  # they are handed on


FUNCTION = Function("f", (0x110,))
"""A function of the host's that an earlier patch replaced."""


def test_a_generation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What earlier patches led elsewhere stays in the table, and the file says where each function is now."""
    first = generation(
        1, places=(Place(0, 0x210, True), Place(1, 0x230, False), Place(2, 0x250, True)), variables=("old",)
    )
    session = EMPTY._replace(
        generations=(first,), functions=(FUNCTION, Function("g", (0x130,)), Function("h", (0x150,))), keep_state=True
    )
    targets = {0: Target(1, 0x210), 2: Target(0, 0x150)}
    asked = begun(
        tmp_path / "session",
        session=session,
        number=2,
        targets=targets,
        holding=(first,),
        previous=("an earlier patch",),
        relinked=(),
    )
    new = replaced(("f", 0x310, [0x110]), ("n", 0x330, [0x190]))
    made = linked(
        tmp_path / "2.so",
        replaced=new,
        replaced_in_previous=(("p", Replaced((), ())),),
        jump_table=a_table(Entry("f", "a.o", 0x110, 0x310)),
        variables=[variable("v"), variable("\udcff"), variable("k"), variable("c", writable=False), variable("old")],
        shared=[shared("k")],
    )
    bench = Bench(monkeypatch, made)
    done = bench.stage(
        asked,
        tmp_path / "{generation}.so",
        bti=BtiPolicy.AUTO,
        extra=["x.o"],
        stub="stub.o",
        bound_dir="bound",
        jump_table=TableOptions("/t/new.so", direct_calls=True),
        exports=["e"],
    )
    assert bench.asked == {
        "arguments": ("outputs", "builder", bench.asked["arguments"][2], ["a.o"], tmp_path / "{generation}.so", 0x55),
        "bti": BtiPolicy.AUTO,
        "extra": ["x.o"],
        "stub": "stub.o",
        "bound_dir": "bound",
        "jump_table": TableOptions("/t/new.so", direct_calls=True, led=[0x110], unchanged={("/p/1.so", 0x230)}),
        "placeholders": {"generation": "2"},
        "forwarded": asked.forwarded,
        "session_id": bytes(16),
        "generation": 2,
        "previous": ["an earlier patch"],
        "keep_state": True,
        "exports": ["e"],
    }
    assert bench.asked["arguments"][2].path == "record.json"
    assert bench.completed["direct_calls"] is True
    _, complete_session, complete_targets, complete_linked, complete_own = bench.completed["arguments"]
    assert complete_linked is made
    assert complete_own is made.jump_table
    places = done.session.generations[1].places
    assert [(done.session.functions[each.function].name, each.address, each.redirected) for each in places] == [
        ("f", 0x310, True),
        ("n", 0x330, False),
    ]
    assert complete_targets[0] == Target(2, 0x310)
    assert complete_targets[2] == Target(1, 0x250)
    assert bench.forwarded == (asked, complete_session, complete_targets, made)
    assert complete_session.functions == done.session.functions
    assert done.number == 2
    assert done.linked.jump_table is bench.complete
    assert done.session.generations[0] == first
    newest = done.session.generations[1]
    assert (newest.number, newest.variables, newest.units) == (2, ("v", "\udcff", "old"), (UNIT,))
    assert newest.forwarders == (Forwarder(0, 1, 2, 3),)
    assert (done.relinked, done.afresh, done.no_longer) == ((), (), ())
    assert bench.staged == [("outputs", str(tmp_path / "session"), done.session)]
    ((*told, units),) = bench.told
    assert (told[0], told[1], told[3], units) == ("outputs", str(tmp_path / "session"), ["a.o"], (UNIT,))
    assert told[2].path == "/t/new.so"


def test_a_generation_of_all_objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What only earlier patches had starts afresh, and is named; functions that nobody has any more are the host's."""
    places = (Place(0, 0x210, True), Place(1, 0x230, True))
    first = generation(1, places=places, variables=("old", "kept", "gone"), patch="/p/1.so")
    session = EMPTY._replace(
        generations=(first,),
        functions=(FUNCTION, Function("g", (0x130,)), Function("h", (0x150,))),
        relink_earlier=True,
    )
    targets = {0: Target(1, 0x210), 1: Target(1, 0x230), 2: Target(0, 0x150)}
    other = Unit("/o/b.o", "11", "b.c")
    asked = begun(
        tmp_path / "session", session=session, number=2, targets=targets, units=(UNIT, other), relinked=(other,)
    )
    made = linked(
        tmp_path / "2.so",
        replaced=replaced(("f", 0x310, [0x110])),
        jump_table=a_table(Entry("f", "a.o", 0x110, 0x310)),
        variables=[variable("old"), variable("t", writable=False, thread_local=True), variable("new"), variable("a")],
        shared=[shared("kept"), shared("old", forwarded=False), shared("other"), shared("gone", writable=False)],
    )
    bench = Bench(monkeypatch, made)
    done = bench.stage(asked, tmp_path / "2.so")
    assert bench.asked["arguments"][3] == ["a.o", "/o/b.o"]
    assert bench.asked["jump_table"] == TableOptions(led=[0x110, 0x130], unchanged=set())
    assert done.relinked == ("/o/b.o",)
    assert done.afresh == ("old",)
    assert done.no_longer == ("g",)
    assert bench.told == []
    assert bench.completed["direct_calls"] is False
    assert bench.completed["arguments"][2] == {0: Target(2, 0x310)}
    lost = {each.name: each.lost for each in done.linked.built.resolution.shared_variables}
    assert lost == {"kept": "what /p/1.so has in its own is lost", "old": "", "other": "", "gone": ""}
    assert done.session.generations[1].variables == ("old", "t", "new", "a")


def test_whose_variable_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest that began it; of what was before a patch with all objects nothing is left."""
    earlier = (
        generation(1, variables=("a", "b")),
        generation(2, variables=("a", "c"), complete=True),
        generation(3, variables=("c",)),
    )
    session = EMPTY._replace(generations=earlier, relink_earlier=True)
    asked = begun(tmp_path / "session", session=session, number=4)
    made = linked(tmp_path / "4.so", shared=[shared("a"), shared("b"), shared("c")])
    done = Bench(monkeypatch, made).stage(asked, tmp_path / "4.so")
    lost = {each.name: each.lost for each in done.linked.built.resolution.shared_variables}
    assert lost == {"a": "what /p/2.so has in its own is lost", "b": "", "c": "what /p/3.so has in its own is lost"}


def test_a_path_is_refused_before_the_link_and_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link of minutes for a path that was known to be wrong; and a digest that is known only then."""
    asked = begun(tmp_path / "session", generation(1, patch=str(tmp_path / "2.so"), library="/t/{digest}.so"))
    bench = Bench(monkeypatch, linked(tmp_path / "other.so"))
    for output, table in ((tmp_path / "{generation}.so", None), (tmp_path / "o.so", TableOptions("/t/{digest}.so"))):
        earlier = asked.session.generations[0]._replace(library="/t/" + "0" * module.DIGITS + ".so")
        with pytest.raises(PatchRefusal, match="is the path of generation 1"):
            bench.stage(
                asked._replace(session=asked.session._replace(generations=(earlier,))), output, jump_table=table
            )
    assert bench.asked == {}
    bench.made = linked(tmp_path / "2.so")
    with pytest.raises(PatchRefusal, match="is the path of generation 1"):
        bench.stage(asked, tmp_path / "o-{digest}.so")
    bench.made = linked(tmp_path / "o.so", jump_table=a_table()._replace(library="/t/{digest}.so"))
    with pytest.raises(PatchRefusal, match="is the path of generation 1"):
        bench.stage(asked, tmp_path / "o-{digest}.so")
    assert bench.staged == []


def test_one_call_writes_all_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Patch, table and session file appear together, or none of them does."""
    asked: list[Any] = []

    def begins(*arguments: Any) -> str:
        asked.append(arguments)
        return "begun"

    def stages(outputs: Outputs, *arguments: Any, **keywords: Any) -> str:
        asked.append((outputs, *arguments, keywords))
        outputs.add(tmp_path / "written", b"content")
        return "generation"

    monkeypatch.setattr(module, "begin_generation", begins)
    monkeypatch.setattr(module, "stage_generation", stages)
    wanted: Any = SessionOptions("s")
    keywords: dict[str, Any] = {
        "bti": "on",
        "extra": ["x.o"],
        "stub": "stub.o",
        "bound_dir": "bound",
        "jump_table": TableOptions(strict=True),
    }
    done = link_generation(wanted, "builder", "captured", ["a.o"], "p.so", 0x55, **keywords, exports=["e"])  # type: ignore[arg-type]  # they are handed on
    outputs = asked[0][0]
    assert asked == [
        (outputs, wanted, "builder", ["a.o"], 0x55, {"exports": ["e"]}),
        (outputs, "begun", "builder", "captured", ["a.o"], "p.so", 0x55, {**keywords, "exports": ["e"]}),
    ]
    assert done == "generation"  # type: ignore[comparison-overlap]  # what it was told
    assert (tmp_path / "written").read_bytes() == b"content"
