"""Fuzzes each reader, editor and check for its part of the time; what goes wrong is made small and kept.

    make fuzz TIME=600

Exit status 1: there is a finding.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from fuzz import engine  # before all that imports stubgen: it instruments it

BUILD = Path(__file__).parents[2] / "build" / "fuzz"


def main(argv: list[str] | None = None) -> int:
    """Fuzz, and say in figures what was done."""
    arguments = _parser().parse_args(argv)
    if arguments.unguided:
        engine.atheris = None
    targets = engine.load().TARGETS
    os.environ["STUBGEN_CACHE_DIR"] = ""  # a person's own stays as it is
    names = arguments.target or list(targets)
    if engine.atheris is None and not arguments.unguided:
        print("atheris is not installed: inputs are changed at random, and coverage guides nothing")
    figures: dict[str, Any] = {}
    end = time.monotonic() + arguments.time
    for number, name in enumerate(names):
        until = time.monotonic() + max(0.0, end - time.monotonic()) / (len(names) - number)
        figures[name] = _target(name, targets[name].run, until, arguments)
        findings = figures[name]["findings"]
        print(f"{name:17} {figures[name]['inputs']:10,} inputs" + "".join(f"\n  {one}" for one in findings), flush=True)
    total = sum(one["inputs"] for one in figures.values())
    found = [f"{name}: {fault}" for name, one in figures.items() for fault in one["findings"]]
    print(f"{total:,} inputs, {len(found)} findings" + (f"; kept in {arguments.keep}" if found else ""))
    print("".join(f"  {fault}\n" for fault in found), end="")
    if arguments.json:
        arguments.json.write_text(json.dumps({"inputs": total, "targets": figures}, indent=1) + "\n")
    return 1 if found else 0


def _target(name: str, run: Callable[[bytes], object], until: float, arguments: argparse.Namespace) -> dict[str, Any]:
    from fuzz import seeds

    inputs, faults, seed = 0, set(), arguments.seed
    while (left := until - time.monotonic()) > 1 or not inputs:  # libFuzzer ends where an input takes too long
        done = engine.fuzz(run, seeds.of_target(name), arguments.keep / "corpus" / name, max(1, int(left)), seed)
        inputs, seed = inputs + done.inputs, seed + 1
        if not done.inputs:
            raise RuntimeError(f"{name}: the fuzzer did not run: {done.said}")
        for seen, content in done.failures.items():
            fault = engine.failure_of(run, content)
            told = fault or f"{seen}, in the fuzzer's process alone"
            if told not in faults:
                faults.add(told)
                _keep(arguments.keep / "findings" / name, engine.reduced(run, content) if fault else content)
    return {"inputs": inputs, "findings": sorted(faults)}


def _keep(folder: Path, content: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / sha256(content).hexdigest()[:12]).write_bytes(content)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--time", type=float, default=60, metavar="SECONDS", help="for all targets together")
    parser.add_argument("--seed", type=int, default=0, help="another one tries other inputs")
    parser.add_argument(
        "--unguided", action="store_true", help="change at random what reached new code before: many times the inputs"
    )
    parser.add_argument("--target", action="append", metavar="NAME", help="this one alone, repeatable")
    parser.add_argument(
        "--keep", type=Path, default=BUILD, metavar="DIR", help="for findings and what reached new code"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="the figures")
    return parser


if __name__ == "__main__":
    sys.exit(main())
