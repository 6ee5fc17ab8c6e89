"""Fuzzes each reader, editor and check for its part of the time; what goes wrong is made small and kept.

    make fuzz TIME=600

Exit status 1: there is a finding.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from fuzz import engine  # before all that imports stubgen: it instruments it
from fuzz.limits import bounded

ADDR_NO_RANDOMIZE = 0x0040000
"""<sys/personality.h>"""
BUILD = Path(__file__).parents[2] / "build" / "fuzz"


def main(argv: list[str] | None = None) -> int:
    """Fuzz, and say in figures what was done."""
    arguments = _parser().parse_args(argv)
    if arguments.unguided or arguments.fields:
        engine.atheris = None
    targets = engine.load().TARGETS
    os.environ["STUBGEN_CACHE_DIR"] = ""  # a person's own stays as it is
    names = arguments.target or list(targets)
    if arguments.fields:
        return _fields(arguments)
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

    inputs, faults, seed, corpus = 0, set(), arguments.seed, arguments.keep / "corpus" / name
    sequence: dict[int, str] = {}
    if engine.atheris is not None:
        shutil.rmtree(corpus, ignore_errors=True)  # of another run, which would lead to other inputs
    # libFuzzer ends where an input takes too long
    while ((left := until - time.monotonic()) > 1 and inputs < arguments.inputs) or not inputs:
        done = engine.fuzz(run, seeds.of_target(name), corpus, max(1, int(left)), seed, most=arguments.inputs - inputs)
        sequence = sequence or done.sequence
        inputs, seed = inputs + done.inputs, seed + 1
        if not done.inputs:
            raise RuntimeError(f"{name}: the fuzzer did not run: {done.said}")
        for seen, content in done.failures.items():
            fault = engine.failure_of(run, content)
            told = fault or f"{seen}, in the fuzzer's process alone"
            if told not in faults:
                faults.add(told)
                _keep(arguments.keep / "findings" / name, engine.reduced(run, content) if fault else content)
    return {"inputs": inputs, "findings": sorted(faults), "sequence": sequence}


def _fields(arguments: argparse.Namespace) -> int:
    from fuzz import every_field, targets

    bounded()
    first, every = arguments.fields
    tried, runs, faults = 0, 0, set[str]()
    for one in every_field.inputs(first % every, every):
        tried += 1
        for name in [name for name in one.targets if not arguments.target or name in arguments.target]:
            runs += 1
            fault = engine.failure_of(targets.TARGETS[name].run, one.content)
            if fault and f"{name}: {fault}" not in faults:
                faults.add(f"{name}: {fault}")
                print(f"{name}: {fault}: {one.seed}, {one.change}", flush=True)
                _keep(arguments.keep / "findings" / name, one.content)
        if not tried % 5000:
            print(f"{tried:,} inputs, now of {one.seed}", flush=True)
    print(f"{tried:,} inputs, {runs:,} runs, {len(faults)} findings")
    return 1 if faults else 0


def _share(text: str) -> tuple[int, int]:
    first, _, every = text.partition("/")
    return int(first), int(every)


def _keep(folder: Path, content: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / sha256(content).hexdigest()[:12]).write_bytes(content)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--time", type=float, default=60, metavar="SECONDS", help="for all targets together")
    parser.add_argument("--inputs", type=int, default=1 << 30, metavar="N", help="at most so many for each target")
    parser.add_argument("--seed", type=int, default=0, help="another one tries other inputs")
    parser.add_argument(
        "--unguided", action="store_true", help="change at random what the last run kept: many times the inputs"
    )
    parser.add_argument("--target", action="append", metavar="NAME", help="this one alone, repeatable")
    parser.add_argument(
        "--keep", type=Path, default=BUILD, metavar="DIR", help="for findings and what reached new code"
    )
    parser.add_argument(
        "--fields",
        type=_share,
        nargs="?",
        const=(0, 1),
        metavar="K/N",
        help="set each field of each seed to each value, however long it takes; K/N: every Nth of these, from the Kth",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="the figures")
    return parser


def _the_same_each_time() -> None:
    """Begin again with one order of sets, and with addresses that do not change where the system allows it."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.environ["PYTHONHASHSEED"] = "0"
        with suppress(AttributeError):  # not Linux
            ctypes.CDLL(None).personality(ADDR_NO_RANDOMIZE)  # or not: containers may refuse it
        os.execv(sys.executable, [sys.executable, "-m", "fuzz", *sys.argv[1:]])  # itself


if __name__ == "__main__":
    _the_same_each_time()
    sys.exit(main())
