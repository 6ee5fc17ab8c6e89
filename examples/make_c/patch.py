"""Build the till with make, edit a price and then the receipt, and patch the running program with each."""

from __future__ import annotations

from examples.driver import PREFIX, example


def main() -> None:
    """Two edits, one after the other, in one process."""
    with example("make_c", "runtime_c") as till:
        till.export(STUBGEN_CAPTURE_DIR=till.captured, STUBGEN_REAL_LINKER=f"{PREFIX}gcc")
        till.export(CC="hotpatch-stubgen-linker")
        till.run("make", "-e", "LDFLAGS=-pie -Wl,--export-dynamic-symbol=main")
        with till.start("till") as running:
            running.ask("apples 3")
            till.edit("price.c", ('{"apples", 30}', '{"apples", 20}'))
            till.run("make", "-e", "price.o")
            till.patch(running, "till", "pairs", "price.o")
            running.ask("apples 3")
            till.edit("receipt.c", ('"%d: %d %s', '"receipt %d: %d %s'))
            till.run("make", "-e", "receipt.o")
            till.patch(running, "till", "pairs", "price.o", "receipt.o")
            running.ask("apples 3")
            running.ask("tea 1")


if __name__ == "__main__":
    main()
