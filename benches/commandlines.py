"""Link commands of any length, as rustc gives them to the compiler driver for a fat build."""

from __future__ import annotations


def fat_link(tokens: int) -> list[str]:
    """A command of *tokens* words, the program first."""
    head = [
        "aarch64-linux-gnu-gcc",
        "/tmp/rustcA1b2C3/symbols.o",
    ]
    tail = [
        "-Wl,--as-needed",
        "-Wl,-Bdynamic",
        "-lgcc_s",
        "-lutil",
        "-lrt",
        "-lpthread",
        "-lm",
        "-ldl",
        "-lc",
        "-Wl,--eh-frame-hdr",
        "-Wl,-z,noexecstack",
        "-L",
        "/usr/lib/rustlib/aarch64-unknown-linux-gnu/lib",
        "-o",
        "/build/target/debug/deps/app-0123456789abcdef",
        "-Wl,--gc-sections",
        "-pie",
        "-Wl,-z,relro,-z,now",
        "-nodefaultlibs",
    ]
    middle: list[str] = []
    number = 0
    while len(middle) < tokens - len(head) - len(tail):
        hashed = f"{(number + 1) * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF:016x}"
        if number % 8 == 5:
            middle += ["-L", f"/build/target/debug/build/crate{number}-{hashed}/out"]
        elif number % 4 == 3:
            middle.append(f"/build/target/debug/deps/libcrate{number}-{hashed}.rlib")
        else:
            middle.append(f"/build/target/debug/deps/app-{hashed}.{number}.rcgu.o")
        number += 1
    return [*head, *middle[: tokens - len(head) - len(tail)], *tail]
