"""A bound copy that is none is found before anybody links it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tools import need, run

from stubgen.bind import bind, held
from stubgen.build import StubBuilder
from stubgen.common.object_copy import ObjectCopy
from stubgen.errors import MalformedInput
from stubgen.resolve.resolution import Resolution

HOST = "int data[4]; int helper(int x) { return x + data[1]; } int main(void) { return helper(0); }"
PATCH = """
extern int data[4]; int *pd = &data[1]; int constant[4] = {1, 2, 3, 4}; int helper(int);
int changed(int x) { return helper(x) + *pd + constant[x & 3]; }
"""
TARGETS = {
    "elf": (["aarch64-linux-gnu-gcc", "-O1", "-fPIC"], ["aarch64-linux-gnu-gcc", "-pie"]),
    "macho": (
        ["clang-19", "--target=arm64-apple-macos13", "-O1"],
        ["ld64.lld-19", "-arch", "arm64", "-platform_version", "macos", "13.0", "13.0"],
    ),
}


@pytest.fixture(params=TARGETS)
def judged(request: pytest.FixtureRequest, tmp_path: Path) -> Resolution:
    """The verdicts on a patch with a pointer to the host's data."""
    compiler, linker = ([str(need(words[0])), *words[1:]] for words in TARGETS[request.param])
    for name, text in (("host", HOST), ("patch", PATCH)):
        (tmp_path / f"{name}.c").write_text(text)
        run([*compiler, "-c", f"{name}.c", "-o", f"{name}.o"], cwd=tmp_path)
    run([*linker, "host.o", "-o", "host"], cwd=tmp_path)
    return StubBuilder(tmp_path / "host").judge([tmp_path / "patch.o"], slide=0x5500000000, bind=True)


def test_a_copy_with_other_data_is_refused(judged: Resolution, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that is off by eight would give the patch another constant, and would link without a word."""
    assert bind(judged).objects[0].changed
    overwrite = ObjectCopy.overwrite

    def off(copy: ObjectCopy[object], section: object, offset: int, content: bytes) -> None:
        overwrite(copy, section, offset + 8 if len(content) == 8 else offset, content)

    monkeypatch.setattr(ObjectCopy, "overwrite", off)
    with pytest.raises(MalformedInput, match=r"patch\.o.*other bytes in|lies outside"):
        bind(judged)


def test_a_copy_that_is_broken_is_refused(judged: Resolution) -> None:
    """What cannot be read back, or lost a section, is not given to a linker."""
    content = bind(judged).objects[0].content
    (original,) = judged.needed.images
    held.hold_against(original, content)
    with pytest.raises(MalformedInput):
        held.hold_against(original, content[: len(content) // 2])
