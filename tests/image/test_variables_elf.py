"""What an object's symbols call variables, and nobody would."""

from __future__ import annotations

from pathlib import Path

from tools import need, run

from stubgen.image.opening import open_image

SOURCE = """
.section .debug_gdb_scripts,"aMS",@progbits,1
.weak __rustc_debug_gdb_scripts_section__
.type __rustc_debug_gdb_scripts_section__,%object
__rustc_debug_gdb_scripts_section__: .asciz "\\001gdb_load_rust_pretty_printers.py"
.size __rustc_debug_gdb_scripts_section__, . - __rustc_debug_gdb_scripts_section__
.data
.global count
.type count,%object
count: .xword 0
.size count, 8
"""


def test_what_rustc_names_for_debuggers_is_no_variable(tmp_path: Path) -> None:
    """A note told of each patch of a program with debug information that it starts afresh."""
    (tmp_path / "a.S").write_text(SOURCE)
    run([str(need("aarch64-linux-gnu-gcc")), "-c", "a.S"], cwd=tmp_path)
    assert {variable.name for variable in open_image(tmp_path / "a.o").variables()} == {b"count"}
