"""Build the shop with Cargo, edit each crate of the workspace in turn, and patch the running program with each."""

from __future__ import annotations

from examples.driver import PREFIX, example

TARGET = "aarch64-unknown-linux-gnu"
HOST = f"target/{TARGET}/debug/shop"


def main() -> None:
    """Three edits, one after the other, in one process."""
    with example("cargo_workspace", "runtime_rust") as shop:
        shop.export(STUBGEN_CAPTURE_DIR=shop.captured, STUBGEN_EXPORT_ANCHOR="main")
        shop.export(STUBGEN_REAL_LINKER=f"{PREFIX}gcc")
        shop.export(RUSTC_WORKSPACE_WRAPPER="hotpatch-stubgen-compiler")
        shop.export(CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER="hotpatch-stubgen-linker")
        shop.run("cargo", "build", "--quiet", "--target", TARGET)
        with shop.start(HOST) as running:
            running.ask("apple tea")
            shop.edit("cart/src/lib.rs", ('"apple" => Ok(30)', '"apple" => Ok(20)'))
            shop.patch(running, HOST, "subsecond", "cart/src/lib.rs")
            running.ask("apple tea")
            shop.edit("tax/src/lib.rs", ("cents / 5", "cents / 10"))
            shop.patch(running, HOST, "subsecond", "tax/src/lib.rs")
            running.ask("apple tea")
            shop.edit("shop/src/main.rs", ("sorry, {reason}", "{reason}; there is tea"))
            shop.patch(running, HOST, "subsecond", "shop/src/main.rs")
            running.ask("cake")
            running.ask("apple tea")


if __name__ == "__main__":
    main()
