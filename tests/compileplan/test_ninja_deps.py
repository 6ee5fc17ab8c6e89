"""What ninja remembers of headers, read as ninja itself tells it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tools import need, run

from stubgen.capture import record_compile
from stubgen.compileplan.ninja_deps import dependencies_of
from stubgen.compileplan.recompile import recompile


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """Two files, of which one includes a header with an odd name, built by ninja."""
    gcc = str(need("gcc"))
    (tmp_path / "a b$.h").write_text("#define VALUE 1\n")
    (tmp_path / "x.c").write_text('#include "a b$.h"\nint f(void) { return VALUE; }\n')
    (tmp_path / "y.c").write_text("int g(void) { return 2; }\n")
    rule = f"rule cc\n  command = {gcc} -MD -MF $out.d -c $in -o $out\n  deps = gcc\n  depfile = $out.d\n"
    (tmp_path / "build.ninja").write_text(f"{rule}build out/x.o: cc x.c\nbuild out/y.o: cc y.c\n")
    run([str(need("ninja"))], cwd=tmp_path)
    for name in ("x", "y"):
        command = [gcc, "-MD", "-MF", f"out/{name}.o.d", "-c", f"{name}.c", "-o", f"out/{name}.o"]
        record_compile(command, tmp_path / "captured", directory=str(tmp_path), environment=dict(os.environ))
    return tmp_path


def test_what_ninja_remembers_is_what_ninja_tells(built: Path) -> None:
    """A header that is overlooked is one whose edit is in no patch; ninja's own list has the last word."""
    for output in ("out/x.o", "out/y.o"):
        told = run([str(need("ninja")), "-t", "deps", output], cwd=built).splitlines()[1:]
        found = dependencies_of(output, str(built))
        assert sorted(found) == sorted(line.strip() for line in told if line)
    assert "a b$.h" in dependencies_of("out/x.o", str(built))


def test_no_compiler_is_asked_what_ninja_remembers(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand files that are preprocessed at each save of a header take a minute."""
    monkeypatch.setattr("stubgen.compileplan.units.Unit.present_dependencies", lambda _: pytest.fail("it was asked"))
    made = recompile(built / "captured", built / "patch", [built / "a b$.h"])
    assert [os.path.basename(path) for path in made.objects] == ["x.o"]


@pytest.mark.parametrize("cut", range(0, 60, 7))
def test_a_log_that_is_cut_off_says_less(built: Path, cut: int) -> None:
    """Ninja itself recovers from a build that was killed, and so must who reads after it."""
    path = built / ".ninja_deps"
    content = path.read_bytes()
    whole = dependencies_of("out/x.o", str(built))
    path.write_bytes(content[: len(content) * cut // 60])
    assert dependencies_of("out/x.o", str(built)) in ([], whole)
    path.write_bytes(content[:12] + b"\xff\0\0\0" + content[16:])
    assert dependencies_of("out/x.o", str(built)) == []
