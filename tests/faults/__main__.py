"""Disturbs every command that writes, until the time is over or all has been tried.

    make faults TIME=600 SEED=0
    make faults FAULTS="--repeatable --count 68"
    make faults FAULTS="--only 'link:ENOSPC:op:14'"

The seed chooses the order, and the moments of the signals. Exit status 1: there is a finding.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

from faults import engine, scenarios
from faults.engine import Bench, Trial, parse

AT_ONCE = 4
"""Faults at operations that a command gets in its turn, before one signal anywhere and one while its linker runs."""
THREADED = frozenset({"serve"})
"""Commands whose operations come in another order each time."""


def main(argv: list[str] | None = None) -> int:
    """Try, and say in figures what was tried."""
    arguments = _parser().parse_args(argv)
    ends, kinds, findings = time.monotonic() + arguments.time, Counter[str](), []
    os.environ["STUBGEN_CACHE_DIR"] = ""
    with tempfile.TemporaryDirectory(prefix="stubgen-faults.") as folder, ExitStack() as stack:
        bench = Bench(Path(folder))
        stack.callback(bench.end)
        only = [parse(each) for each in arguments.only]
        names = [name for name in scenarios.SCENARIOS if name not in THREADED or not arguments.repeatable]
        order = _order(bench, arguments.scenario or names, arguments.seed, moments=not arguments.repeatable)
        for trial in only or islice(order, arguments.count):
            if time.monotonic() > ends and not only:
                break
            kinds[f"{trial.scenario} {trial.fault}"] += 1
            wrong = bench.failures(trial)
            if wrong:
                findings.append(f"{trial}: {'; '.join(wrong)}")
                print(f"{findings[-1]}\n  make faults FAULTS=\"--only '{trial}'\"", flush=True)
    print(f"{kinds.total():,} faults, {len(findings)} findings")
    if arguments.json:
        document = {"faults": kinds.total(), "kinds": dict(sorted(kinds.items())), "findings": findings}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")
    return int(bool(findings))


def _order(bench: Bench, names: list[str], seed: int, *, moments: bool = True) -> Iterator[Trial]:
    """Every error and signal at every operation, in the seed's order, and signals at other *moments* without an end.

    No choice depends on the ones before it. A moment is one of as many as a linker takes microseconds, or as there are
    calls while it runs, and no other run has the same.
    """
    waiting: dict[str, list[Trial]] = {}
    for turn in itertools.count():
        if turn and not moments and not any(waiting.values()):
            return
        for name in random.Random(seed).sample(names, len(names)):
            chance = random.Random(f"{seed} {name} {turn}")
            if name not in waiting:  # what it does undisturbed is looked at when it is its turn
                found = engine.trials(bench, [name])
                waiting[name] = chance.sample(found, len(found))
            for _ in range(AT_ONCE):
                if waiting[name]:
                    yield waiting[name].pop()
            calls, linking = bench.undisturbed(name)[-2:] if moments else (0, 0)
            if calls:
                yield Trial(name, chance.choice(engine.SIGNALS), chance.randint(1, calls), "call")
            if linking:
                yield Trial(name, chance.choice(engine.SIGNALS), chance.randint(0, 2 * linking), "wall")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--time", type=float, default=60, metavar="SECONDS", help="for all commands together")
    parser.add_argument("--seed", type=int, default=0, help="another one takes another order")
    parser.add_argument("--count", type=int, metavar="N", help="at most so many")
    parser.add_argument(
        "--repeatable", action="store_true", help="those alone that are the same each time, on every machine"
    )
    parser.add_argument("--scenario", action="append", metavar="NAME", help="this one alone, repeatable")
    parser.add_argument("--only", action="append", default=[], metavar="FAULT", help="this one, as a finding names it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the figures")
    return parser


if __name__ == "__main__":
    sys.exit(main())
