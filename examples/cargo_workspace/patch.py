"""Build the shop with Cargo, edit its libraries in turn, and patch the running program with each."""

from __future__ import annotations

import os

from examples.driver import PREFIX, Example, example

TARGET = "aarch64-unknown-linux-gnu"
HOST = f"target/{TARGET}/debug/shop"


def main() -> None:
    """Two edits, one after the other, in one process."""
    with example("cargo_workspace", "runtime_rust") as shop:
        shop.export(STUBGEN_CAPTURE_DIR=shop.captured, STUBGEN_REAL_LINKER=f"{PREFIX}gcc")
        shop.export(CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER="hotpatch-stubgen-linker")
        flags = f"{os.environ.get('RUSTFLAGS', '')} -Clink-arg=-Wl,--export-dynamic-symbol=main"
        shop.export(RUSTFLAGS=flags.strip())
        shop.run("cargo", "build", "--quiet", "--target", TARGET)
        with shop.start(HOST) as running:
            running.ask("apple tea")
            shop.edit("cart/src/lib.rs", ('"apple" => Ok(30)', '"apple" => Ok(20)'))
            cart = recompile(shop, "cart")
            shop.patch(running, HOST, "subsecond", cart)
            running.ask("apple tea")
            shop.edit("tax/src/lib.rs", ("cents / 5", "cents / 10"))
            shop.patch(running, HOST, "subsecond", cart, recompile(shop, "tax"))
            running.ask("apple tea")
            running.ask("cake")


def recompile(shop: Example, crate: str) -> str:
    """One object of an edited library crate."""
    shop.run("cargo", "rustc", "--quiet", "-p", crate, "--target", TARGET, "--", "--emit=obj", "-Ccodegen-units=1")
    (path,) = (shop.folder / HOST).parent.glob(f"deps/{crate}-*.o")
    return str(path)


if __name__ == "__main__":
    main()
