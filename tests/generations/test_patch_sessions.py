"""``patch`` with a session: objects that are compiled into a folder of their own, and linked again later."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from live.live import LiveHost
from live.test_patch_c import Project, make, with_make
from tools import need

import stubgen as stubgen_library
from stubgen.generations.state import read_session


class Process:
    """A living process of a project, and its session."""

    def __init__(self, project: Project, live: LiveHost) -> None:
        self.project, self.live = project, live

    def patch(self, changed: Path | None, *options: object) -> dict[str, object]:
        """Compile and link the next patch: of what *changed*, or of whatever did."""
        words = [*("--session", self.project.folder / "session"), *options]
        return self.project.patch(self.live.anchor, "p{generation}", *([changed] if changed else []), options=words)

    def apply(self, document: dict[str, object]) -> int:
        """Load it; where its anchor is."""
        assert document["status"] == 0, document
        table = self.project.folder / f"p{document['generation']}.json"
        assert self.live.tell(f"apply {table}") == "applied"
        return int(self.live.tell("where"), 16)


@pytest.mark.parametrize("relinked", [False, True], ids=["loaded", "relinked"])
def test_a_file_at_a_time(relinked: bool, tmp_path: Path) -> None:
    """The first edit was gone with the second patch, which has another file alone."""
    project = with_make(tmp_path)
    with LiveHost(project.host) as live:
        process = Process(project, live)
        more = ["--relink-earlier", "--objects", tmp_path / "objects-{generation}"] if relinked else []
        assert live.tell("call 1") == "1102"
        place = process.apply(process.patch(project.edit("price.c", "+ 100", "+ 200"), *more))
        assert live.tell("call 1") == "2202"
        again = more or ["--loaded", hex(place)]
        place = process.apply(process.patch(project.edit("step.c", "1000", "5000"), *again))
        assert live.tell("call 1") == "15202", "200 of the first patch, 5000 of the second, and the counter went on"
        again = more or ["--loaded", hex(place)]
        process.apply(process.patch(project.edit("price.c", "+ 200", "+ 300"), *again))
        assert live.tell("call 1") == "20302"
        live.end()


@pytest.mark.parametrize("old_time", [False, True], ids=["saved", "with its old time"])
@pytest.mark.parametrize("relinked", [False, True], ids=["loaded", "relinked"])
@pytest.mark.parametrize(
    "edit", [("price.c", "+ 100", "+ 200"), ("rates.h", "? 2 : 3", "? 20 : 3")], ids=["file", "header"]
)
def test_what_was_put_back_after_a_patch_had_it(
    *, edit: tuple[str, str, str], relinked: bool, old_time: bool, tmp_path: Path
) -> None:
    """It is as the host was made of it, and the process has the edit: that would have stayed, without a word."""
    project = with_make(tmp_path)
    source = tmp_path / edit[0]
    content, status = source.read_bytes(), source.stat()
    more = ["--relink-earlier", "--objects", tmp_path / "objects-{generation}"] if relinked else []
    with LiveHost(project.host) as live:
        process = Process(project, live)
        project.edit(*edit)
        place = process.apply(process.patch(None, *more))
        assert live.tell("call 1") in ("1202", "1120")
        source.write_bytes(content)
        if old_time:
            os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))
        project.edit("step.c", "1000", "5000")
        process.apply(process.patch(None, *(more or ["--loaded", hex(place)])))
        assert live.tell("call 1") == "10102", "100 as in the host, and the counter went on"
        live.end()


def test_what_was_put_back_after_a_patch_given_with_previous(tmp_path: Path) -> None:
    """Nothing says what that patch was made of: what is newer than the host's counts as changed."""
    project = with_make(tmp_path)
    source = tmp_path / "price.c"
    content = source.read_bytes()
    with LiveHost(project.host) as live:
        process = Process(project, live)
        place = process.apply(process.patch(project.edit("price.c", "+ 100", "+ 200")))
        (first,) = read_session(str(tmp_path / "session")).generations
        source.write_bytes(content)
        project.edit("step.c", "1000", "5000")
        base = place - first.anchor + first.first_address
        document = project.patch(live.anchor, "two", options=["--previous", f"{first.patch}@{base:#x}"])
        assert {unit["name"] for unit in document["recompiled"]} == {"price.c", "step.c"}  # type: ignore[attr-defined]
        live.end()


def with_a_spare_member(folder: Path) -> Project:
    """A program whose link has an archive with a member that nothing calls."""
    need("make")
    project = Project(folder, "patched_c")
    (folder / "spare.c").write_text("int spare(int n) { return n + 10; }\n")
    make(project, "libprice.a", "spare.o")
    project.run(need("aarch64-linux-gnu-ar"), "rc", "libprice.a", "spare.o")
    make(project)
    return project


def borrow(process: Process, *options: object) -> int:
    """Let a patch call the member, through the table; where that patch has its anchor."""
    process.project.edit("price.c", "int price(", "int spare(int);\nvoid *hot(void *);\nint price(")
    process.project.edit("price.c", "+ 100", "+ ((int (*)(int))hot((void *)spare))(n)")
    document = process.patch(None, *options)
    assert "spare.o" in str(document["borrowed"])
    return process.apply(document)


@pytest.mark.parametrize("named", [True, False], ids=["named", "found"])
@pytest.mark.parametrize("relinked", [False, True], ids=["loaded", "relinked"])
def test_a_member_that_an_earlier_patch_borrowed(relinked: bool, named: bool, tmp_path: Path) -> None:
    """The host never took it, and the process has it nevertheless: an edit of its source was skipped, or did less."""
    project = with_a_spare_member(tmp_path)
    with LiveHost(project.host) as live:
        process = Process(project, live)
        more = ["--relink-earlier", "--objects", tmp_path / "objects-{generation}"] if relinked else []
        assert live.tell("call 1") == "1102"
        place = borrow(process, *more)
        assert live.tell("call 1") == "2013"
        source = project.edit("spare.c", "+ 10", "+ 20")
        document = process.patch(source if named else None, *(more or ["--loaded", hex(place)]))
        process.apply(document)
        assert live.tell("call 1") == "3023"
        notes: list[str] = document["notes"]  # type: ignore[assignment]
        assert len([note for note in notes if "spare.c: the host has nothing of spare.o" in note]) == named
        assert not [note for note in notes if "not compiled again" in note]
        live.end()


def test_a_member_that_a_patch_given_with_previous_borrowed(tmp_path: Path) -> None:
    """Whoever keeps no session says by ``--previous`` what the process has: it was skipped just the same."""
    project = with_a_spare_member(tmp_path)
    with LiveHost(project.host) as live:
        process = Process(project, live)
        place = borrow(process)
        project.edit("spare.c", "+ 10", "+ 20")
        (first,) = read_session(str(tmp_path / "session")).generations
        base = place - first.anchor + first.first_address
        document = project.patch(live.anchor, "two", options=["--previous", f"{first.patch}@{base:#x}"])
        assert document["status"] == 0, document
        assert {unit["name"] for unit in document["recompiled"]} == {"price.c", "spare.c"}, document  # type: ignore[attr-defined]
        patched = stubgen_library.patch(
            stubgen_library.StubBuilder(project.host),
            project.captured,
            [],
            tmp_path / "three.so",
            live.anchor,
            previous=[(first.patch, base)],
            bind=True,
        )
        assert {unit.name for unit in patched.recompiled.units} == {"price.c", "spare.c"}
        (tmp_path / "session").unlink()
        document = process.patch(None)
        assert document["status"] == 0, document
        made = {unit["name"] for unit in document["recompiled"]}  # type: ignore[attr-defined]
        assert made == {"price.c", "spare.c"}, "nobody said that the process has it, and the patch needs it"
        live.end()


def test_objects_that_are_not_kept(tmp_path: Path) -> None:
    """The next patch could not have them again, and would be without the edit."""
    project = with_make(tmp_path)
    with LiveHost(project.host) as live:
        process = Process(project, live)
        document = process.patch(project.edit("price.c", "+ 100", "+ 200"), "--relink-earlier")
        assert document["status"] == 2
        assert "--objects" in str(document["error"])
        assert not (tmp_path / "session").exists()
        assert process.patch(project.folder / "price.c")["status"] == 0
        document = process.patch(
            project.edit("step.c", "1000", "5000"), "--relink-earlier", "--objects", tmp_path / "o"
        )
        assert document["status"] == 1
        assert "was not kept" in str(document["error"])
        live.end()
