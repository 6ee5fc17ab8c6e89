"""Tentative definitions (``int hits;`` with ``-fcommon``): variables that lie in no section of their object."""

from __future__ import annotations

from pathlib import Path

import pytest
from live.test_macho import toolchain
from tools import need, run

from stubgen.compare.changes import Change, Known, find_changes
from stubgen.image.opening import open_image

TEXTS = {
    "main": "int main(void) { return 0; }",
    "owner": "int hits; int count(void) { return ++hits; }",
    "reader": "extern int hits; int told(void) { return hits; }",
}


@pytest.mark.parametrize("kept", [False, True], ids=["its own", "the host's"])
@pytest.mark.parametrize("kind", ["elf", "macho"])
def test_who_uses_a_common_of_the_patchs_own_leads_to_a_change(kind: str, kept: bool, tmp_path: Path) -> None:
    """Functions that use one were left out as unchanged: some callers counted in the patch's, others in the host's."""
    if kind == "macho":
        tools = toolchain("lld")
        compile_, link = [*tools.compile, "-O1", "-fcommon", "-c"], [*tools.link, "-o", "host"]
    else:
        gcc = [str(need("aarch64-linux-gnu-gcc")), "-fPIC"]
        compile_, link = [*gcc, "-O1", "-fcommon", "-c"], [*gcc, "-pie", "-o", "host"]
    for name, text in TEXTS.items():
        (tmp_path / f"{name}.c").write_text(text)
        run([*compile_, f"{name}.c", "-o", f"{name}.o"], cwd=tmp_path)
    run([*link, *(f"{name}.o" for name in TEXTS)], cwd=tmp_path)
    host = open_image(tmp_path / "host")
    objects = [(name, open_image(tmp_path / f"{name}.o")) for name in ("owner", "reader")]

    def known(_object: str, name: bytes) -> Known:
        return Known([candidate.address for candidate in host.find([name])[name]])

    names = {b"hits", b"_hits"} if kept else ()
    found = {row.names[0].lstrip("_"): row for row in find_changes(objects, host, known, names)}
    unchanged = {name for name, row in found.items() if row.change is Change.UNCHANGED}
    assert unchanged >= ({"count", "told"} if kind == "elf" else {"count"})  # ld64.lld shortens the other one's load
    assert {name: found[name].leads_to_change for name in unchanged} == dict.fromkeys(unchanged, not kept)
