"""Unwinders walk through patched code: profilers and crash reporters from inside a stub, C++ exceptions across it."""

from __future__ import annotations

from pathlib import Path

import pytest
from live.live import LiveHost, defined_by, looked_up_by
from tools import PROGRAMS, linker_folder, need, run

from stubgen.build import StubBuilder
from stubgen.capture import Capture
from stubgen.link import link_patch

LINKERS = {"gnu": "bfd", "lld": "lld", "mold": "mold"}
"""What tests call a linker -> what ``-fuse-ld`` does."""


def link_host(folder: Path, driver: str, linker: str, host: Path, *options: str) -> Capture:
    """The executable ``host`` in *folder*, and the record of its link."""
    argv = [driver, "-B", str(linker_folder(folder / "linkers")), f"-fuse-ld={LINKERS[linker]}", "-pie", *options]
    argv += [str(host), "-o", str(folder / "host")]
    run(argv)
    return Capture(argv, folder, {})


def addresses(image: Path) -> dict[str, tuple[int, int]]:
    """Name -> first and one-past-last static address of the functions of *image*, by readelf."""
    lines = [line.split() for line in run([need("readelf"), "-sW", image]).splitlines()]
    return {
        words[7]: (int(words[1], 16), int(words[1], 16) + int(words[2], 0))
        for words in lines
        if len(words) > 7 and words[3] == "FUNC" and words[6] != "UND"
    }


@pytest.mark.parametrize("bti", ["off", "on"])
@pytest.mark.parametrize("linker", LINKERS)
def test_a_signal_in_a_stub_finds_its_callers(linker: str, bti: str, tmp_path: Path) -> None:
    """A profiler's or crash reporter's trace that ends in a stub hides who called, or the walk itself crashes."""
    driver = str(need("aarch64-linux-gnu-gcc"))
    for name in ("host", "patch"):
        run([driver, "-O1", "-fPIC", "-c", PROGRAMS / f"unwind_{name}.c", "-o", tmp_path / f"{name}.o"])
    captured = link_host(tmp_path, driver, linker, tmp_path / "host.o")
    with LiveHost(tmp_path / "host") as live:
        builder = StubBuilder(tmp_path / "host")
        patch = tmp_path / "patch.so"
        link_patch(builder, captured, [tmp_path / "patch.o"], patch, live.anchor, exports=["patch_main"], bti=bti)
        base = int(live.patch(patch), 16)
        in_patch, in_host = addresses(patch), addresses(tmp_path / "host")
        first, end = in_patch["host_work"]
        assert end - first == 4 * (6 if bti == "on" else 5)
        for place in range(first, end, 4):
            result, *frames = live.tell(f"stop {base + place:#x}").split()
            assert result == "42", "the patch went on after the stop"
            names = [frame.partition("+")[0] for frame in frames]
            start = names.index("patch.so")
            stub, middle, patch_main, main = (int(f.partition("+")[2], 16) for f in frames[start : start + 4])
            assert names[start : start + 4] == ["patch.so"] * 3 + ["host"]
            assert stub == place
            # the others are where their call returns to
            for pc, where in (
                (middle, in_patch["middle"]),
                (patch_main, in_patch["patch_main"]),
                (main, in_host["main"]),
            ):
                assert where[0] < pc <= where[1]
        live.end()


ANSWERS = {
    1: "host error 11 guards 0",
    2: "inline error 44 guards 0",
    3: "number 33 guards 0",
    4: "returned 11 guards 0",
    5: "returned 44 guards 0",
    6: "host error 44 guards 0",
    7: "returned 310 guards 0",
    8: "returned 333 guards 0",
    9: "returned 10101 guards 0",
}
"""What bound_host.cc says of each case of bound_patch.cc."""


@pytest.mark.parametrize("options", [(), ("-static-libstdc++", "-static-libgcc")], ids=["shared", "static"])
@pytest.mark.parametrize("linker", LINKERS)
def test_exceptions_cross_patched_frames(linker: str, options: tuple[str, ...], tmp_path: Path) -> None:
    """An exception that finds no handler behind a patched frame ends the program; guards not run leave locks held."""
    driver = str(need("aarch64-linux-gnu-g++"))
    for name in ("host", "patch"):
        run([driver, "-O1", "-fPIC", "-c", PROGRAMS / f"bound_{name}.cc", "-o", tmp_path / f"{name}.o"])
    captured = link_host(tmp_path, driver, linker, tmp_path / "host.o", *options)
    with LiveHost(tmp_path / "host") as live:
        builder = StubBuilder(tmp_path / "host")
        patch = tmp_path / "patch.so"
        linked = link_patch(builder, captured, [tmp_path / "patch.o"], patch, live.anchor, exports=["patch_main"])
        verdicts = {decision.name: decision.verdict.value for decision in linked.built.resolution.decisions()}
        assert verdicts["_ZTI9HostError"] == "slot"
        assert verdicts["__gxx_personality_v0"] == ("trampoline" if options else "loader")
        assert live.patch(patch) == "loaded"
        assert {case: live.tell(f"call {case}") for case in ANSWERS} == ANSWERS
        live.end()
    from_host = (looked_up_by(patch) & defined_by(tmp_path / "host")) - defined_by(tmp_path / "patch.o")
    assert not from_host
