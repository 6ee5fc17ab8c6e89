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


def test_a_byte_that_is_written_anywhere_else_is_found(judged: Resolution) -> None:
    """Sections that are as they were are not looked into; whether they are is told by their bytes, all of them."""
    (original,) = judged.needed.images
    content, file = bind(judged).objects[0].content, original.file  # type: ignore[attr-defined]  # of either format
    (section,) = (each for each in file.sections if each.name in (".data", "__DATA,__data"))
    offset = section.header.sh_offset if original.format == "elf" else section.header.offset
    for back in (1, 5, 16):  # of the constant, which has the section's end
        broken = bytearray(content)
        broken[offset + len(file.content(section)) - back] ^= 1
        with pytest.raises(MalformedInput, match=r"other bytes in"):
            held.hold_against(original, bytes(broken))


def test_a_relocation_that_is_written_elsewhere_is_found(judged: Resolution) -> None:
    """A table that was written is read again: a place outside of the section would be the linker's to find."""
    (original,) = judged.needed.images
    content, file = bytearray(bind(judged).objects[0].content), original.file  # type: ignore[attr-defined]  # of either format
    if original.format == "elf":
        (section,) = (each for each in file.sections if each.name == ".rela.text")
        at, field = section.header.sh_offset, 8
    else:
        (section,) = (each for each in file.sections if each.name == "__TEXT,__text")
        at, field = section.header.reloff, 4
    content[at : at + field] = (1 << 20).to_bytes(field, "little")
    with pytest.raises(MalformedInput, match=r"lies outside"):
        held.hold_against(original, bytes(content))


def test_whether_code_was_written_is_told(judged: Resolution) -> None:
    """Only code that the bind phase wrote is looked for in the linked patch: linkers change the rest of it."""
    (original,) = judged.needed.images
    content, file = bind(judged).objects[0].content, original.file  # type: ignore[attr-defined]  # of either format
    (section,) = (each for each in file.sections if each.name in (".text", "__TEXT,__text"))
    offset = section.header.sh_offset if original.format == "elf" else section.header.offset
    assert not held.hold_against(original, content).wrote_code
    broken = bytearray(content)
    broken[offset] ^= 1
    assert held.hold_against(original, bytes(broken)).wrote_code
