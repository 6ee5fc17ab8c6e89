"""What GCC calls ``f.localalias``, where it binds the calls of a library to the file's own global ``f``."""

from __future__ import annotations

from pathlib import Path

from origin.bench import SLIDE, tools
from tools import need, run

from stubgen.build import StubBuilder
from stubgen.capture import Capture
from stubgen.jumptable import TableOptions
from stubgen.link import link_patch

SOURCE = """
static volatile int sink;
__attribute__((noinline)) int price(int x) { sink = x; return x > 3 ? price(x - 2) + sink : x * EDIT; }
int total(int x) { int sum = sink; for (int i = 0; i < x; i++) sum += price(i); return sum; }
int main(void) { return total(3); }
"""


def test_a_function_is_told_by_the_name_of_the_source(tmp_path: Path) -> None:
    """``changed (price.localalias)`` names nothing that a user wrote; who calls the alias leads to the change."""
    kit, gcc = tools("gnu", tmp_path), str(need("aarch64-linux-gnu-gcc"))
    (tmp_path / "a.c").write_text(SOURCE)
    for edit, output, options in ((3, "host.o", ["-fPIE"]), (4, "patch.o", ["-fPIC", "-fno-semantic-interposition"])):
        run([gcc, "-O2", "-fno-ipa-ra", *options, f"-DEDIT={edit}", "-c", "a.c", "-o", output], cwd=tmp_path)
    command = [*kit.executable, "-rdynamic", "host.o", "-o", "host"]
    run(command, cwd=tmp_path)
    assert b"price.localalias" in (tmp_path / "patch.o").read_bytes(), "GCC has bound it another way"
    builder, captured = StubBuilder(tmp_path / "host", cache=False), Capture(command, tmp_path, {}, output="host")
    anchor = builder.host.find({b"main"})[b"main"][0].address + SLIDE
    objects = [tmp_path / "patch.o"]
    linked = link_patch(
        builder, captured, objects, tmp_path / "p.so", anchor, jump_table=TableOptions(), keep_state=True
    )
    assert linked.jump_table is not None
    found = {row.names[0]: (row.change.value, row.leads_to_change) for row in linked.jump_table.changes}
    assert found == {"price": ("changed", False), "total": ("unchanged", True), "main": ("unchanged", True)}
    assert {entry.name for entry in linked.jump_table.entries} == {"price", "total", "main"}
