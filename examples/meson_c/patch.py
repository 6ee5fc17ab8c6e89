"""Build the calculator with Meson, teach the running program to divide, and then another name for its last answer."""

from __future__ import annotations

from examples.driver import NATIVE, PREFIX, example

CROSS = () if NATIVE else ("--cross-file", "arm64.ini")
DIVIDE = "static long divide(long left, long right) { return left / right; }\n"


def main() -> None:
    """Two edits, one after the other, in one process."""
    with example("meson_c", "runtime_c") as calculator:
        calculator.export(STUBGEN_CAPTURE_DIR=calculator.captured, STUBGEN_EXPORT_ANCHOR="main")
        calculator.export(CC=f"hotpatch-stubgen-compiler {PREFIX}gcc")
        calculator.run("meson", "setup", *CROSS, "build")
        calculator.run("ninja", "-C", "build")
        with calculator.start("build/calculator") as running:
            running.ask("7 * 6")
            running.ask("ans / 2")
            calculator.edit(
                "operators.c",
                ("\nstatic const struct", f"{DIVIDE}\nstatic const struct"),
                ("  {'*', multiply},\n", "  {'*', multiply},\n  {'/', divide},\n"),
            )
            calculator.patch(running, "build/calculator", "pairs", "operators.c")
            running.ask("ans / 2")
            calculator.edit(
                "evaluate.c",
                (
                    '  *value = strcmp(word, "ans")',
                    '  if (!strcmp(word, "it")) word = "ans";\n  *value = strcmp(word, "ans")',
                ),
            )
            calculator.patch(running, "build/calculator", "pairs", "evaluate.c")
            running.ask("it / 3")


if __name__ == "__main__":
    main()
