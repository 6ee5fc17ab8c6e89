"""A table of many functions: the patch's are gone through once, not once for each that changed."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from counting import count_calls
from live.live import stubgen
from live.test_elf import link_host
from tools import need, run

from stubgen.build import StubBuilder
from stubgen.cli import main
from stubgen.image.elf import ElfImage

FEW, MANY = 40, 120


def compiled(path: Path, number: int, edit: int) -> Path:
    """So many functions, and ``main``."""
    lines = [f"int f{n}(int a) {{ return a * {n} + {edit}; }}" for n in range(number)]
    path.with_suffix(".c").write_text("\n".join([*lines, "int main(void) { return f0(1); }"]))
    run([need("aarch64-linux-gnu-gcc"), "-g", "-O1", "-fPIC", "-c", path.with_suffix(".c"), "-o", path])
    return path


def test_three_times_the_functions_are_three_times_the_work(tmp_path: Path) -> None:
    """A table of 1,600 functions took a minute: each was looked for among all symbols of its object."""
    work = []
    for number in (FEW, MANY):
        folder = tmp_path / str(number)
        (folder / "edit").mkdir(parents=True)
        exported = "-Wl,--export-dynamic-symbol=main"
        host, captured = link_host(folder, {"a": compiled(folder / "a.o", number, 1)}, "lld", exported)
        patch = compiled(folder / "edit" / "a.o", number, 2)
        anchor = StubBuilder(host).host.image.find([b"main"])[b"main"][0].address + 0x5500000000
        done = stubgen(
            *("link", "--host", host, "--captured", captured, "--aslr-reference", hex(anchor)),
            *("--stub", folder / "stub.o", "-o", folder / "patch.so", patch),
        )
        assert done.returncode == 0, done.stderr
        words = ["jumptable", "--quiet", "--host", host, "--object", patch, "--stub", folder / "stub.o"]
        words += ["--table-format", "pairs", "-o", folder / "table.json", folder / "patch.so"]
        work.append(count_calls(partial(main, list(map(str, words))), ElfImage.functions))
        assert len(json.loads((folder / "table.json").read_text())["functions"]) >= number
    assert work[1] < 1.2 * MANY / FEW * work[0]
