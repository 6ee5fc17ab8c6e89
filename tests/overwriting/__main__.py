"""Tries random programs until the time is over, and says in figures what callers relied on and what was told of it.

    make overwriting TIME=600 SEED=0

The same seed is the same program. Exit status 1: an answer changed, and nobody was told of that function.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from overwriting.trial import attempt, build_of


def main() -> int:
    """Try as many as there is time for."""
    parser = argparse.ArgumentParser(prog="python -m overwriting")
    parser.add_argument("--time", type=float, default=60, help="seconds")
    parser.add_argument("--seed", type=int, default=0, help="the first")
    parser.add_argument("--count", type=int, default=sys.maxsize, help="at most so many programs")
    given = parser.parse_args()
    figures: Counter[str] = Counter()
    end, seed, failed = time.monotonic() + given.time, given.seed, 0
    while time.monotonic() < end and seed < given.seed + given.count:
        with tempfile.TemporaryDirectory() as name:
            found = attempt(seed, Path(name))
        build = build_of(seed)
        compiler = "clang" if "clang" in build.driver else "gcc"
        for what, names in (
            ("functions", found.functions),
            ("wrong", found.wrong),
            ("told", found.told),
            ("sure", found.sure),
            ("sure, and no answer changed", found.sure - found.wrong),
            ("told, and no answer changed", found.told - found.wrong),
        ):
            figures[f"{compiler}: {what}"] += len(names)
        figures[f"{compiler}: programs"] += 1
        if found.missed or not found.together:
            failed = 1
            missed = ", ".join(sorted(found.missed)) or "what several do"
            words = " ".join((build.driver, *build.options, *build.host))
            print(f"seed {seed}: not told: {missed} ({words})", flush=True)
        seed += 1
    print("\n".join(f"{what}: {count}" for what, count in sorted(figures.items())))
    return failed


if __name__ == "__main__":
    sys.exit(main())
