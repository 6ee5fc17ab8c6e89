"""One session, asked for from Python, by ``serve`` and on the command line; and its tables in other runtimes' forms."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from generations.program import Program, started
from live.live import LiveHost
from live.test_elf import LINKERS
from serve.serving import serving

import stubgen
from stubgen.cli import main
from stubgen.errors import UsageError


@pytest.fixture(scope="module")
def patched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Program, int, int]:
    """A program of which one patch was linked and loaded: also its anchor, and the patch's."""
    program = started(tmp_path_factory.mktemp("patched"), next(iter(LINKERS)))
    with LiveHost(program.host) as live:
        assert program.link(live, program.object("a", P=1))["status"] == 0
        place = program.apply(live, 1)
        live.end()
        return program, live.anchor, place


@pytest.fixture
def session(patched: tuple[Program, int, int], tmp_path: Path) -> Path:
    """A copy of its session."""
    path = tmp_path / "session"
    path.write_bytes(patched[0].session.read_bytes())
    return path


def test_from_python(patched: tuple[Program, int, int], session: Path) -> None:
    """Builders that are written in Python have no command line to ask by."""
    program, anchor, place = patched
    builder = stubgen.StubBuilder(program.host)
    captured = stubgen.Capture.load(program.captured)
    options = stubgen.SessionOptions(session, loaded=place)
    made = stubgen.link_generation(
        options, builder, captured, [program.folder / "b.o"], session.parent / "{generation}.so", anchor
    )
    assert (made.number, made.linked.output) == (2, session.parent / "2.so")
    table = made.linked.jump_table
    assert table is not None
    assert {entry.name for entry in table.entries} >= {"price", "step", "loop"}
    assert stubgen.read_session(str(session)) == made.session
    identity = stubgen.read_identity(made.linked.output)
    assert identity is not None
    assert (identity.generation, identity.session.hex()) == (2, made.session.identity)
    back = stubgen.link_undo(
        options._replace(loaded=table.patch_anchor + 0x7FF000000000),
        builder,
        captured,
        session.parent / "{generation}.so",
    )
    assert back.session.generations[-1].undo_to == 0
    with pytest.raises(UsageError, match="--previous"):
        stubgen.link_generation(
            options, builder, captured, [program.folder / "b.o"], "x.so", anchor, previous=[("p.so", 1)]
        )
    with pytest.raises(UsageError, match="SessionOptions"):
        stubgen.link_generation(
            str(session),  # type: ignore[arg-type]
            builder,
            captured,
            [program.folder / "b.o"],
            "x.so",
            anchor,
        )


def test_by_serve(patched: tuple[Program, int, int], session: Path) -> None:
    """A builder in another language keeps a server; a lock that it forgot to give free would end its second patch."""
    program, anchor, place = patched
    asked = {
        "host": str(program.host),
        "captured": str(program.captured),
        "aslr_reference": anchor,
        "session": str(session),
        "output": str(session.parent / "{generation}.so"),
        "jump_table": str(session.parent / "{generation}.json"),
        "objects": [str(program.folder / "b.o")],
    }
    with serving() as talk:
        refused = talk.ask(1, "link", **asked)["error"]
        assert refused["data"]["kind"] == "PatchRefusal"
        made = talk.ask(2, "link", loaded=place, **asked)["result"]
        assert (made["generation"], made["output"]) == (2, str(session.parent / "2.so"))
        known = talk.ask(3, "session", file=str(session), action="not-loaded")["result"]
        assert [each["state"] for each in known["generations"]] == ["loaded", "not loaded"]
        assert talk.ask(4, "link", **asked)["result"]["generation"] == 3
        shown = talk.ask(5, "session", file=str(session))["result"]
    names = {row["name"]: row for row in shown["generations"][0]["functions"]}
    assert names["price"]["redirected"]
    assert shown["generations"][0]["anchor"] == place
    assert not list(session.parent.glob(".*"))


def test_undo_says_which_generation_it_is(
    patched: tuple[Program, int, int], session: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A driver that reports the patch as loaded has to know its number."""
    _, _, place = patched
    output, table = session.parent / "back-{generation}.so", session.parent / "back.json"
    assert main(["session", str(session), "loaded", f"{place:#x}"]) == 0
    capsys.readouterr()
    assert main(["session", str(session), "undo", "--jump-table", str(table), "-o", str(output)]) == 0
    said = capsys.readouterr().out
    assert "leads back to the host" in said
    assert "\n  generation 2: its table has " in said


def test_every_form_has_the_whole_table(patched: tuple[Program, int, int], session: Path) -> None:
    """A form that was made of the patch's own functions would bring old code back in one runtime alone."""
    program, anchor, place = patched
    builder = stubgen.StubBuilder(program.host)
    captured = stubgen.Capture.load(program.captured)
    options, output = stubgen.SessionOptions(session, loaded=place), session.parent / "{generation}.so"
    made = stubgen.link_generation(options, builder, captured, [program.folder / "b.o"], output, anchor)
    table = made.linked.jump_table
    assert table is not None
    shown = {form: json.loads(stubgen.encode_jump_table(table, form)) for form in ("subsecond", "pairs", "whisker")}
    in_subsecond = {(int(old), new) for old, new in shown["subsecond"]["map"].items()}
    assert {(old, new) for old, new in shown["whisker"]["map"]} == in_subsecond
    assert {(row["old"], row["new"]) for row in shown["pairs"]["functions"]} == in_subsecond
    held = {row["name"]: row for row in shown["pairs"]["functions"] if row["object"].endswith("patch-1.so")}
    assert set(held) >= {"price", "step", "loop"}
    stubs = {stub.address: stub.target for stub in made.linked.checked.stubs}
    first = stubgen.read_session(str(session)).generations[0]
    assert stubs[held["price"]["new"]] == address_in(Path(first.patch), b"price") + (first.slide or 0)


def test_state_is_kept_from_then_on(patched: tuple[Program, int, int], session: Path) -> None:
    """One patch of a session with a counter of its own, and the count is lost."""
    program, anchor, place = patched
    made = stubgen.link_generation(
        stubgen.SessionOptions(session, loaded=place),
        stubgen.StubBuilder(program.host),
        stubgen.Capture.load(program.captured),
        [program.folder / "a.o"],
        session.parent / "{generation}.so",
        anchor,
    )
    variables = {variable.name: variable.forwarded for variable in made.linked.built.resolution.shared_variables}
    assert variables["count"]
    assert variables["own"]


def address_in(path: Path, name: bytes) -> int:
    """The static address of a symbol."""
    image = stubgen.open_image(path.read_bytes(), str(path))
    return image.find({name})[name][0].address
