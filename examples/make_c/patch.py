"""Build the till with make, edit a price and then the receipt, and patch the running program with each."""

from __future__ import annotations

from examples.driver import PREFIX, example


def main() -> None:
    """Two edits, one after the other, in one process."""
    with example("make_c", "runtime_c") as till:
        till.export(STUBGEN_CAPTURE_DIR=till.captured, STUBGEN_EXPORT_ANCHOR="main")
        till.run("make", f"CC=hotpatch-stubgen-compiler {PREFIX}gcc")
        with till.start("till") as running:
            running.ask("apples 3")
            till.edit("price.c", ('{"apples", 30}', '{"apples", 20}'))
            till.patch(running, "till", "pairs", "price.c")
            running.ask("apples 3")
            till.edit("receipt.c", ('"%d: %d %s', '"receipt %d: %d %s'))
            till.patch(running, "till", "pairs", "receipt.c")
            running.ask("apples 3")
            running.ask("tea 1")


if __name__ == "__main__":
    main()
