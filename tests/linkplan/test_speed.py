"""People patch on every save: planning must not show beside the link."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from tools import need, run

from stubgen.linkplan import build_link_plan


def test_twenty_thousand_arguments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A fat build's command has as many arguments as the program has objects and search folders."""
    (tmp_path / "x.c").write_text("int x;")
    compiler = str(need("aarch64-linux-gnu-gcc"))
    first = tmp_path / "0.o"
    run([compiler, "-fcommon", "-c", tmp_path / "x.c", "-o", first])
    objects = [first]
    for number in range(1, 10_000):
        path = tmp_path / f"{number}.o"
        path.hardlink_to(first)
        objects.append(path)
    argv = [str(need("ld.lld-19")), "-shared", "-o", str(tmp_path / "full.so")]
    for number, path in enumerate(objects):
        argv += [str(path), f"--defsym=symbol{number}=0"]
    start = time.perf_counter()
    plan = build_link_plan(argv, objects=[objects[0]], output=tmp_path / "patch.so")
    planned = time.perf_counter() - start
    response = tmp_path / "full.rsp"
    response.write_text("\n".join(argv[1:]))
    start = time.perf_counter()
    subprocess.run([argv[0], f"@{response}"], check=True)
    linked = time.perf_counter() - start
    assert len(plan.args) > 10_000
    with capsys.disabled():
        sys.stdout.write(f"\n{len(argv)} arguments: planned in {planned:.2f} s, linked by ld.lld in {linked:.2f} s\n")
    assert planned < linked * 2  # a loose bound: only a plan that grew quadratic breaks it on a busy machine
