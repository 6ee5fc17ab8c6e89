"""What the host's own options make of an edited file, beside what a patch's make of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tools import need, run

from stubgen.compare.changes import Change, FunctionChange, Known, find_changes
from stubgen.image.opening import open_image

SOURCE = """
int taken;
int rate(int n) { return n + 7; }
int scaled(int n) { return rate(n) * 2; }
int other(int n) { int sum = 0; while (n--) sum += n * n ^ taken; return sum; }
"""


def changes_of(folder: Path, edited: str, *, host: str, patch: str) -> dict[str, FunctionChange]:
    """What became of each function, where *host* and *patch* have options of their own."""
    gcc = [str(need("aarch64-linux-gnu-gcc")), "-fPIC", "a.c"]
    (folder / "a.c").write_text(SOURCE)
    run([*gcc, *host.split(), "-shared", "-nostdlib", "-Wl,-Bsymbolic", "-o", "host.so"], cwd=folder)
    (folder / "a.c").write_text(edited)
    run([*gcc, *host.split(), "-c", "-o", "twin.o"], cwd=folder)
    run([*gcc, *patch.split(), "-c", "-o", "patch.o"], cwd=folder)
    image, own, twin = (open_image(folder / name) for name in ("host.so", "patch.o", "twin.o"))
    there = image.find([b"rate", b"scaled", b"other"])
    found = find_changes(
        [("a.o", own)],
        image,
        lambda _, name: Known([one.address for one in there.get(name, ())]),
        kept=[b"taken"],
        as_built={"a.o": twin},
    )
    return {row.names[0]: row for row in found}


@pytest.mark.parametrize(
    ("host", "patch", "told"),
    [
        ("-O2 -fno-inline", "-O3 -fno-semantic-interposition", Change.UNCHANGED),
        ("-O3 -fno-semantic-interposition", "-O2 -fno-inline", Change.CHANGED),
    ],
    ids=["a call in the host", "a call in the patch"],
)
def test_who_calls_it_in_one_and_has_it_inlined_in_the_other(
    tmp_path: Path, host: str, patch: str, told: Change
) -> None:
    """The caller is sent to the patch either way: left out, it would go on with the old function, or a copy of it."""
    rows = changes_of(tmp_path, SOURCE.replace("n + 7", "n + 8"), host=host, patch=patch)
    assert rows["rate"].change is Change.CHANGED
    assert rows["scaled"].change is told
    assert rows["scaled"].is_needed
    assert rows["other"].change is Change.UNCHANGED
    assert not rows["other"].is_needed


def test_nothing_that_was_edited_is_unchanged_for_its_options(tmp_path: Path) -> None:
    """The patch's own code is not asked alone, nor is the host's."""
    for before, after, changed in [
        ("n * n", "n + n", {"other"}),
        ("* 2", "* 3", {"scaled"}),
        ("int other(int n) {", "int more(void) { return 1; }\nint other(int n) {", set()),
    ]:
        rows = changes_of(tmp_path, SOURCE.replace(before, after), host="-O2 -fno-inline", patch="-O3")
        assert {name for name, row in rows.items() if row.is_needed and name != "more"} == changed, after
