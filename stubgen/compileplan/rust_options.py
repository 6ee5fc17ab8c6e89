"""What becomes of rustc's options when a crate is compiled again for a patch.

Operand counts are those of ``rustc --help -v``; ``-C`` options are looked up by their own names. What is in no row
stays as the build had it: ``-C metadata`` above all, which is in the name of every function.
"""

from __future__ import annotations

WITH_OPERAND = frozenset(
    {
        *("--cfg", "--check-cfg", "-L", "-l", "--crate-type", "--crate-name", "--edition", "--emit", "--print", "-o"),
        *("--out-dir", "--explain", "--target", "-A", "--allow", "-W", "--warn", "--force-warn", "-D", "--deny", "-F"),
        *("--forbid", "--cap-lints", "-C", "--codegen", "--extern", "--sysroot", "-Z", "--error-format", "--json"),
        *("--color", "--diagnostic-width", "--remap-path-prefix", "--remap-path-scope", "--env-set"),
    }
)
"""Options whose operand is the next argument, or behind ``=``, or, for a single letter, behind the letter."""

DROPPED = frozenset({"-o", "--out-dir", "--emit", "--error-format", "--json", "--diagnostic-width"})
"""Options that name the build's own outputs, or have messages in a form that only cargo reads."""

CODEGEN_DROPPED = frozenset(
    {
        *("incremental", "relocation-model", "lto", "linker-plugin-lto", "embed-bitcode", "save-temps"),
        *("codegen-units", "split-debuginfo"),
    }
)
"""``-C`` options that name the build's own folder, leave code to the link, or are given anew;
``split-debuginfo`` would leave debug information in a folder that goes."""

DEFAULT_UNITS = 16
INCREMENTAL_UNITS = 256
"""Codegen units where the command names no number; with ``--emit=obj`` rustc would make one, and inline otherwise."""
