"""``patch``: what is compiled, what is linked of it, and that all of it appears at once; nothing is compiled here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from synthetic import BASE, Sym, elf_host, put

from stubgen import patching
from stubgen.build import StubBuilder
from stubgen.common.files import Outputs
from stubgen.compileplan.members import EarlierPatches
from stubgen.errors import UsageError
from stubgen.jumptable import TableOptions
from stubgen.options import BtiPolicy


class Bench:
    """What is asked of the records, the compilers and the linker."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.host = put(folder, "host", elf_host([Sym("main", BASE)]))
        self.builder = StubBuilder(self.host, cache=False)
        self.asked: list[tuple[Any, ...]] = []
        self.made = SimpleNamespace(objects=["a.o"], as_built={"a.o": "host/a.o"})
        self.kept = SimpleNamespace(objects=["kept/a.o"])
        self.old: list[frozenset[str]] = []
        needed = SimpleNamespace(borrowed=[SimpleNamespace(name="libx.a(m.o)")])
        self.linked = SimpleNamespace(built=SimpleNamespace(resolution=SimpleNamespace(needed=needed)))
        monkeypatch.setattr(patching, "newest_capture", self._newest_capture)
        monkeypatch.setattr(patching, "identity_of_host", lambda path: ("identity", path))
        monkeypatch.setattr(patching, "recompiled", self._recompiled)
        monkeypatch.setattr(patching, "stage_patch", self._stage_patch)
        monkeypatch.setattr(patching, "old_members", self._old_members)
        monkeypatch.setattr(patching, "stage_objects", self._stage_objects)

    def _newest_capture(self, *arguments: Any) -> str:
        self.asked.append(("capture", *arguments))
        return "record"

    @contextmanager
    def _recompiled(self, *arguments: Any, **keywords: Any) -> Iterator[Any]:
        host, earlier = keywords.pop("host"), keywords.pop("earlier")
        self.asked.append(("compile", *arguments, keywords, host(), earlier()))
        yield self.made
        self.asked.append(("objects are gone", (self.folder / "patch.so").exists()))

    def _stage_patch(self, outputs: Outputs, *arguments: Any, **keywords: Any) -> Any:
        outputs.add(self.folder / "patch.so", b"the patch")
        self.asked.append(("link", *arguments, keywords))
        return self.linked

    def _old_members(self, *arguments: Any) -> frozenset[str]:
        self.asked.append(("members", *arguments))
        return self.old.pop(0) if self.old else frozenset()

    def _stage_objects(self, made: Any, folder: str, outputs: Outputs) -> Any:
        self.asked.append(("keep", made, folder, type(outputs)))
        return self.kept

    def patch(self, **keywords: Any) -> patching.Patched:
        """The patch."""
        arguments: dict[str, Any] = {"captured": Path("captured"), "changed": ["a.c"], "output": "patch.so", **keywords}
        return patching.patch(self.builder, **arguments)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """One."""
    return Bench(tmp_path, monkeypatch)


USUAL = {
    "bti": BtiPolicy.AUTO,
    "extra": (),
    "stub": None,
    "bound_dir": None,
    "keep_temps": False,
    "jump_table": None,
}


def test_a_patch_of_changed_files(bench: Bench) -> None:
    """The link is that of this host's newest build, and what is compiled is what is linked."""
    done = bench.patch()
    assert bench.asked == [
        ("capture", "captured", "host", ("identity", bench.host)),
        (
            "compile",
            "captured",
            ["a.c"],
            {"link": "record", "compile_commands": (), "keep_state": False, "as_built": False, "also": frozenset()},
            bench.builder.host,
            EarlierPatches([]),
        ),
        ("link", bench.builder, "record", ["a.o"], "patch.so", None, {**USUAL, "as_built": bench.made.as_built}),
        ("members", bench.made, ["libx.a(m.o)"]),
        ("objects are gone", True),
    ]
    assert done == (bench.linked, bench.made)
    assert (bench.folder / "patch.so").read_bytes() == b"the patch"


def test_what_is_asked_for_is_handed_on(bench: Bench) -> None:
    """An option that is lost on the way is a patch that is linked otherwise than was asked."""
    table = TableOptions(strict=True)
    wishes: dict[str, Any] = {
        "bti": "on",
        "extra": ["x.o"],
        "stub": "stub.o",
        "bound_dir": "bound",
        "keep_temps": True,
        "jump_table": table,
    }
    more: dict[str, Any] = {"keep_state": True, "previous": [(Path("p.so"), 0x1000)], "exports": ["e"]}
    done = bench.patch(
        aslr_reference=0x55,
        output_name=Path("build/shop"),
        compile_commands=["compile_commands.json"],
        objects_dir=Path("kept"),
        **wishes,
        **more,
    )
    assert bench.asked[0] == ("capture", "captured", "build/shop", ("identity", bench.host))
    assert bench.asked[1][3:] == (
        {
            "link": "record",
            "compile_commands": ["compile_commands.json"],
            "keep_state": True,
            "as_built": True,
            "also": frozenset(),
        },
        bench.builder.host,
        EarlierPatches(["p.so"], None),
    )
    made = bench.made.as_built
    handed = {**wishes, **more, "jump_table": table._replace(as_built=made), "as_built": made}
    assert bench.asked[2] == ("link", bench.builder, "record", ["a.o"], "patch.so", 0x55, handed)
    assert bench.asked[4] == ("keep", bench.made, "kept", Outputs)
    assert done == (bench.linked, bench.kept)


def test_old_members_are_compiled_too(bench: Bench) -> None:
    """A patch with a member as it was before the change is wrong, and must not appear; what it needs may be old too."""
    bench.old = [frozenset({"m.o"}), frozenset({"n.o"})]
    done = bench.patch()
    also = [each[3]["also"] for each in bench.asked if each[0] == "compile"]
    assert also == [frozenset(), {"m.o"}, {"m.o", "n.o"}]
    gone = [each[1] for each in bench.asked if each[0] == "objects are gone"]
    assert gone == [False, False, True], "a wrong patch was there for a while"
    assert done == (bench.linked, bench.made)
    assert sorted(path.name for path in bench.folder.iterdir()) == ["host", "patch.so"]


def test_what_is_wrong_with_the_arguments(bench: Bench) -> None:
    """It is said of the argument, before anything is compiled."""
    for name in ("captured", "objects_dir", "output_name"):
        with pytest.raises(UsageError, match=rf"{name}\b"):
            bench.patch(**{name: 5})
    with pytest.raises(UsageError, match=r"StubBuilder\(host\)"):
        patching.patch("host", "captured", ["a.c"], "patch.so")  # type: ignore[arg-type]  # a wrong one
    with pytest.raises(UsageError, match=r"builder\b"):
        patching.patch("host", "captured", ["a.c"], "patch.so")  # type: ignore[arg-type]  # likewise
    assert bench.asked == []
