"""``patch`` with a session: objects that are compiled into a folder of their own, and linked again later."""

from __future__ import annotations

from pathlib import Path

import pytest
from live.live import LiveHost
from live.test_patch_c import Project, with_make


class Process:
    """A living process of a project, and its session."""

    def __init__(self, project: Project, live: LiveHost) -> None:
        self.project, self.live = project, live

    def patch(self, changed: Path, *options: object) -> dict[str, object]:
        """Compile and link the next patch."""
        words = [*("--session", self.project.folder / "session"), *options]
        return self.project.patch(self.live.anchor, "p{generation}", changed, options=words)

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
