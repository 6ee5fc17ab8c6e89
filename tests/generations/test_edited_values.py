"""What a variable begins with, which an earlier patch began: an edit of it does nothing, and that is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from generations.program import SOURCES, Program
from generations.test_generations_macho import SOURCES as MACHO_SOURCES
from generations.test_generations_macho import Process
from live.live import LiveHost
from live.test_macho import toolchain
from tools import need, need_module, run

NEW = """
long other(long); long level(void);
static long half(long a) { return a / 2; }
static long (*handlers[3])(long) = {other, price, half};
static const char *title = "one", *same = "same"; static long *most = &own, *seen = &count;
long (*ways[2])(long) = {half, 0};
struct { const char *name; long (*f)(long); } items[2] = {{"a", rate}, {"b", other}};
long added(long n) {
  handlers[0] = handlers[n & 1]; title += n & 1; same += n & 1;
  most = n & 4 ? &own : seen; seen = n & 8 ? &own : &count; ways[1] = ways[0];
  items[1].f = items[0].f;
  return handlers[2](n) + title[0] + same[0] + *most + *seen + ways[0](n) + items[1].f(n) + items[0].name[0];
}
"""
EDITS = [
    ("{other, price, half}", "{price, other, half}", "handlers"),
    ("{other, price, half}", "{other, price, rate}", "handlers"),
    ('"one"', '"two"', "title"),
    ("*most = &own", "*most = &count", "most"),
    ("*seen = &count", "*seen = &own", "seen"),
    ("{half, 0}", "{price, 0}", "ways"),
    ('{"b", other}', '{"c", other}', "items"),
    ('{"a", rate}', '{"a", half}', "items"),
]
"""What stands there, what stands there after the edit, and in which variable."""


def compiled(program: Program, text: str, compiler: tuple[str, ...]) -> Path:
    """The object of ``a.c`` with *text* behind it."""
    (program.folder / "a.c").write_text(SOURCES["a"] + text)
    options = ["-O1", "-g", "-fPIC", "-ffunction-sections", "-fdata-sections", "-DP=1"]
    run([need(compiler[0]), *compiler[1:], "-c", *options, "a.c", "-o", "a.o"], cwd=program.folder)
    return program.folder / "a.o"


def edited_values(document: dict[str, object]) -> set[str]:
    """The variables of which a document says that the new value does nothing."""
    assert document["status"] == 0, document
    rows: list[dict[str, object]] = document["duplicates"]  # type: ignore[assignment]
    assert all(row["forwarded"] for row in rows), rows
    return {str(row["name"]) for row in rows if row["initial_value_changed"]}


@pytest.mark.parametrize("compiler", [("aarch64-linux-gnu-gcc",), ("clang-19", "--target=aarch64-linux-gnu")])
def test_a_pointer_that_an_earlier_patch_began(program: Program, live: LiveHost, compiler: tuple[str, ...]) -> None:
    """The process goes on with the earlier patch's pointer; a table that an edit filled otherwise stayed as it was."""
    document = program.link(live, compiled(program, NEW, compiler))
    assert document["status"] == 0, document
    loaded = program.apply(live, 1)
    begun = program.session.read_bytes()
    for old, new, name in [("", "", ""), *EDITS]:
        assert old in NEW
        document = program.link(live, "--loaded", hex(loaded), compiled(program, NEW.replace(old, new), compiler))
        assert edited_values(document) == ({name} if name else set()), new
        program.session.write_bytes(begun)


ADDED = """
long other(long);
static long half(long a) { return a / 2; }
long (*handlers[3])(long) = {other, price, half};
const char *title = "one"; long *seen = &count;
long added(long n) { return handlers[2](n) + title[0] + *seen; }
"""
MACHO_EDITS = [
    ("", "", ""),
    ("{other, price, half}", "{price, other, half}", "_handlers"),
    ('"one"', '"two"', "_title"),
    ("*seen = &count", "*seen = 0", "_seen"),
]


@pytest.mark.parametrize("name", ["lld", "zig"])
def test_the_same_in_macho_files(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There a pointer to the host is a word that no loader writes, among those that it does."""
    need_module("unicorn", "unicorn")
    process = Process(tmp_path, toolchain(name))
    found = []
    source = MACHO_SOURCES["a"]
    for number, (old, new, _) in enumerate([MACHO_EDITS[0], *MACHO_EDITS], start=1):
        monkeypatch.setitem(MACHO_SOURCES, "a", source + ADDED.replace(old, new))
        shared = process.patch(process.object("a", P=number)).linked.built.resolution.shared_variables
        assert [row.reason_not_kept for row in shared if not row.forwarded] == []
        found.append({row.name for row in shared if row.initial_value_changed})
    assert found[1:] == [{name} if name else set() for _, _, name in MACHO_EDITS]
