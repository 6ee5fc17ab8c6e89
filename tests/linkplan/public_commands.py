"""Linker commands from public build logs, and what a plan must make of each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple


class Command(NamedTuple):
    """One line of the corpus."""

    id: str
    driver: bool
    flavor: str
    target: str
    complete: bool
    argv: list[str]


def _read() -> list[Command]:
    commands = []
    for line in Path(__file__).with_name("corpus").joinpath("argv_corpus.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        argv = [row["tool"], *row["args"]]
        commands.append(
            Command(row["id"], row["driver"] == "cc-driver", row["flavor"], row["target"], row["complete"], argv)
        )
    return commands


COMMANDS = _read()

REFUSED = {
    "arm-none-eabi-nrf52": "dynamic loader",
    "bazel-dummydata-params-only": "response file",
    "bazel-riscv-params-only": "response file",
    "cmake-aix-ld": "AIX",
    "cmake-emscripten-wasmld": "WebAssembly",
    "cmake-emscripten-wasmld-whole": "WebAssembly",
    "cmake-solaris-ld": "Solaris",
    "cmaketest-hpux-acc-ld": "HP-UX",
    "emcc-openal-alut": "WebAssembly",
    "esp32-platformio-wrap": "dynamic loader",
    "kernel-vdso-bfd": "vDSO",
    "nvcc-dlink": "GPU",
    "onetbb-ios-arm64-dylib": "iOS device",
    "rustc-ios-armv7-syslibroot": "iOS device",
    "rustlld-riscv-rustos": "dynamic loader",
    "rustlld-thumbv6m-drogue": "dynamic loader",
    "rustlld-wasm-ui-test": "WebAssembly",
    "xcode-ios-device-jwguide": "iOS device",
}
"""Commands that no patch can come from, and the word of the refusal that says why."""

PLANNED = [command for command in COMMANDS if command.id not in REFUSED]
UNIX = [command for command in PLANNED if command.flavor != "msvc"]
