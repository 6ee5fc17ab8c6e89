"""What people know the objects as that ``patch`` compiled."""

from __future__ import annotations

from stubgen.compileplan.recompile import Recompiled, RecompiledUnit


def unit(source: str, output: str) -> RecompiledUnit:
    """What one compile made."""
    return RecompiledUnit(source, False, ("cc",), "/src", (output,), "")


def test_objects_of_one_name_are_told_with_their_sources() -> None:
    """Two lines said ``left out: count (util.o)``, of two files: nobody could tell whose function was meant."""
    made = Recompiled((unit("net/util.c", "/t/1/util.o"), unit("disk/util.c", "/t/2/util.o"), unit("a.c", "/t/3/a.o")))
    told = made.told({"objects": ["/t/1/util.o", "/t/2/util.o", "/t/3/a.o"], "text": "/t/2/util.o: no section"})
    assert told["objects"] == ["util.o of net/util.c", "util.o of disk/util.c", "a.o"]
    assert told["text"] == "util.o of disk/util.c: no section"
