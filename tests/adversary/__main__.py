"""Tries programs until the time is over; what went wrong is made small and kept, and all of it is said in figures.

    make adversary TIME=600 SEED=0

The same seed is the same program. Exit status 1: there is a finding.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from adversary.plans import Plan, plans_of_seed
from adversary.shrink import shrink
from adversary.trial import Outcome, attempt, attempt_each

KINDS = ("c", "c++", "c macho")
"""A language, and the format unless it is ELF."""
MORE_KINDS = (
    *("c++ macho", "c weak", "c++ weak", "c lto", "c++ lto"),
    *("c patch", "c++ patch", "c macho-patch", "c++ macho-patch", "c shared", "c++ shared"),
    *("c library", "c++ library", "rust", "c++ classes", "c++ macho-classes"),
    *("c macho-threads", "c++ macho-threads", "c++ lto-classes"),
    *("rust crates", "rust patch", "c options", "c++ options"),
    *("c folders", "c++ folders", "c macho-folders", "c++ macho-folders"),
    *("c inline", "c++ inline", "c macho-inline", "c++ macho-inline"),
    *("c names", "c++ names", "c macho-names", "c++ macho-names"),
    *("c forms", "c++ forms", "c macho-forms", "c++ macho-forms"),
    *("c common", "c macho-common"),
    *("c start", "c++ start", "c macho-start", "c++ macho-start"),
)
"""Tried where they are asked for: C++ without its library; names that several files define, all but one of them weak;
ELF hosts that the linker optimises as a whole; recorded builds, whose patches the command ``patch`` makes; ELF hosts
with a shared library of their own, and such that are a shared library; crates of Rust; classes with
virtual functions; Mach-O with thread-locals; classes in hosts that the linker optimises
as a whole; a program's crate and a library's; recorded builds of rustc's; more
of the options that ordinary builds have; files of one name in folders, and archives of several kinds; static variables
of a header's functions; aliases and names for the assembler; constructors, with state kept or not; what
C has that most programs do without; tentative definitions in several files."""


class Figures:
    """What was tried and what came of it."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self.builds: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self.excuses: Counter[str] = Counter()
        self.edits: Counter[str] = Counter()
        self.findings: list[str] = []
        self.programs = 0
        self.patches = 0

    def add(self, name: str, plan: Plan, outcome: Outcome) -> None:
        """One more series of edits, called *name*."""
        build = plan.build
        self.kinds[outcome.kind] += 1
        self.patches += outcome.patches
        self.builds[f"{build.language} {build.compiler} {build.linker}"] += 1
        self.excuses.update({without_names(excuse) for excuse in outcome.excuses})
        self.edits.update(edit for edits in plan.edits for edit in edits.split(", "))
        if outcome.kind == "refused":
            self.refusals[without_names(outcome.detail.strip().splitlines()[-1])] += 1
        elif outcome.kind not in ("same", "excused"):
            self.findings.append(f"{name}: {outcome.kind}: {outcome.detail}")

    def document(self) -> dict[str, object]:
        """All of it, for JSON."""
        counters = ("kinds", "builds", "refusals", "excuses", "edits")
        counted = {name: dict(getattr(self, name).most_common()) for name in counters}
        numbers = {"programs": self.programs, "series": self.kinds.total(), "patches": self.patches}
        return {**numbers, **counted, "findings": self.findings}


def without_names(sentence: str) -> str:
    """*sentence* with what differs from program to program left out, so that it can be counted."""
    sentence = re.sub(r"\S*/\S+", "PATH", re.sub(r"\S*/\S+: ", "", sentence.strip()))
    sentence = re.sub(r"\b_(?:ZN|R)[A-Z]\w+", "NAME", sentence)
    sentence = re.sub(r"\b(?:against|patch) \S+: |\.[a-z]+(?:\.\S+)?\+0x[0-9a-f]+(?: and \d+ more)?: ", "", sentence)
    sentence = re.sub(r"\b[a-z]*[vwfgsru]_*\d+\w*(?:\.m?\d)*\b", "NAME", sentence)
    return re.sub(r"\b(?:0x)?[0-9a-f]*\d[0-9a-f]*\b", "N", sentence)[:300]


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="adversary", description=__doc__.splitlines()[0])
    parser.add_argument("--time", type=float, default=60, help="seconds")
    parser.add_argument("--seed", type=int, default=0, help="the first; each program takes the next one")
    parser.add_argument("--count", type=int, default=1 << 30, help="at most so many programs of each language")
    parser.add_argument("--series", type=int, default=3, help="of edits for each program, each in a process of its own")
    parser.add_argument(
        "--whole",
        type=int,
        default=4,
        metavar="N",
        help="one of N programs is built as a whole too, to hold the oracle",
    )
    parser.add_argument(
        "--kind", choices=KINDS + MORE_KINDS, action="append", dest="kinds", help="by default the first three"
    )
    parser.add_argument("--keep", type=Path, default=Path("build/adversary"), help="folder for what went wrong")
    parser.add_argument("--shrink", type=int, default=150, metavar="TRIES", help="for a finding, to make it small")
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    os.environ["STUBGEN_CACHE_DIR"] = ""
    figures, ends = Figures(), time.monotonic() + arguments.time
    for seed, kind in _seeds(arguments):
        if time.monotonic() > ends:
            break
        _try(arguments, figures, seed, kind)
        if arguments.json:
            arguments.json.write_text(json.dumps(figures.document(), indent=1) + "\n")
    print(json.dumps(figures.document(), indent=1))
    return int(bool(figures.findings))


def _try(arguments: argparse.Namespace, figures: Figures, seed: int, kind: str) -> None:
    """One program, with each series of edits."""
    plans = plans_of_seed(seed, kind, arguments.series)
    figures.programs += 1
    for number, (plan, tried) in enumerate(
        zip(plans, attempt_each(plans, whole=seed % arguments.whole == 0), strict=True)
    ):
        name = f"{kind} {seed}" + (f" series {number}" if number else "")
        outcome = attempt(plan) if tried.is_finding else tried  # with the oracle held against the program as a whole
        figures.add(name, plan, outcome)
        if outcome.kind not in ("same", "refused", "excused"):
            print(figures.findings[-1], flush=True)
        if outcome.is_finding:
            _keep(arguments, plan, outcome, name.replace(" ", "-"))


def _seeds(arguments: argparse.Namespace) -> Iterator[tuple[int, str]]:
    for seed in range(arguments.seed, arguments.seed + arguments.count):
        for kind in arguments.kinds or KINDS:
            yield seed, kind


def _keep(arguments: argparse.Namespace, plan: Plan, outcome: Outcome, name: str) -> None:
    """Write the finding to a file, as small as it gets."""
    arguments.keep.mkdir(parents=True, exist_ok=True)
    plan.save(arguments.keep / f"{name}.json", outcome.detail)
    small = shrink(plan, lambda each: attempt(each).kind == outcome.kind, arguments.shrink)
    small.save(arguments.keep / f"{name}.json", attempt(small).detail)


sys.exit(main())
