"""Earlier patches, opened: what each defines is found without going through its symbols for each name."""

from __future__ import annotations

from pathlib import Path

import pytest
from tools import need, run

from stubgen.borrow.homes import LinkFiles
from stubgen.build import StubBuilder
from stubgen.host.previous import PreviousPatch
from stubgen.image import Image

SLIDE = 0x5500000000
CALLED = 40


def test_each_earlier_patch_is_gone_through_a_few_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each function that the patch calls was looked for in all names of each earlier patch: the tenth took seconds."""
    compiler, linker = str(need("aarch64-linux-gnu-gcc")), str(need("aarch64-linux-gnu-ld"))
    functions = "\n".join(f"int f{n}(int a) {{ return a + {n}; }}" for n in range(CALLED))
    (tmp_path / "host.c").write_text(f"{functions}\nint main(void) {{ return f0(1); }}")
    calls = "".join(f" + f{n}(a)" for n in range(CALLED))
    declared = "".join(f"int f{n}(int);" for n in range(CALLED))
    (tmp_path / "patch.c").write_text(f"{declared} int fresh(int a) {{ return 1{calls}; }}")
    for name in ("host", "patch"):
        run([compiler, "-fPIC", "-O1", "-c", f"{name}.c", "-o", f"{name}.o"], cwd=tmp_path)
    run([linker, "-pie", "-e", "main", "host.o", "-o", "host"], cwd=tmp_path)
    builder = StubBuilder(tmp_path / "host", cache=False)
    stub = builder.build([tmp_path / "patch.o"], slide=SLIDE).stub.content
    (tmp_path / "stub.o").write_bytes(bytes(stub))
    run([linker, "-shared", "stub.o", "patch.o", "-o", "earlier.so"], cwd=tmp_path)
    earlier = [PreviousPatch(tmp_path / "earlier.so", 0x7000000000)]
    searched = 0
    plain = Image.find

    def counted(image: Image, names: set[bytes]) -> object:
        nonlocal searched
        searched += image.name.endswith("earlier.so")
        return plain(image, names)

    monkeypatch.setattr(Image, "find", counted)
    builder = StubBuilder(tmp_path / "host", cache=False)
    judged = builder.judge([tmp_path / "patch.o"], slide=SLIDE, previous=earlier, link=LinkFiles)
    assert len(judged.stubs.names) == CALLED
    assert searched < CALLED / 4
