"""Measures stubgen beside other tools, and itself against the numbers that it should reach.

Within a round all tools run in turn, so that a machine whose speed drifts treats them alike.
"""

from __future__ import annotations

import argparse
import compileall
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benches import goals, machine, report
from benches.equal_work import UnequalWorkError
from benches.harness import ROOT, Bench, Case, ChildFailedError, Children, Row, measure
from benches.interpreter import bare_python
from benches.progress import Progress
from benches.summary import summaries
from benches.tables import table
from benches.workloads import capturing, commands, emission, planning, reading, serving, statics, wheels, whole_path

WORKLOADS: dict[str, tuple[str, Callable[[Bench], Iterator[Case]]]] = {
    "emission": ("objects of 1,000 to 1M stubs; beside the object crate, clang and GNU as", emission.cases),
    "whole-path": ("host and patch to stub.o, as a command; beside the object crate", whole_path.cases),
    "wheels": ("the same on libraries that people install (downloads 100 MB once)", wheels.cases),
    "commands": ("each command from start to end", commands.cases),
    "planning": ("link commands of 100 to 20,000 tokens", planning.cases),
    "reading": ("a host's symbols; beside other readers", reading.cases),
    "statics": ("a static in each of 5,000 to 20,000 functions", statics.cases),
    "capturing": ("a build of 300 links, captured; beside the links alone", capturing.cases),
    "serve": ("requests to a process that stays", serving.cases),
}
"""Name -> (what it measures, its cases)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the suite; exit status 1 when a tool failed, or did something else than those that it is compared with."""
    words = sys.argv[1:] if argv is None else list(argv)
    arguments = _parser().parse_args(words)
    bench_rounds = arguments.rounds or (1 if arguments.quick else 5)
    started = datetime.now(UTC)
    folder = arguments.results or ROOT / "benches" / "results" / f"{started:%Y-%m-%d}-{machine.kind()}"
    scratch = arguments.scratch.resolve()
    scratch.mkdir(parents=True, exist_ok=True)
    for cache in scratch.glob("cache*"):  # of another version, perhaps
        shutil.rmtree(cache)
    described, versions = machine.describe(), machine.versions()
    for part in (described, versions):
        print("; ".join(f"{name}: {value}" for name, value in part.items()))
    rows: list[Row] = []
    for package in ("stubgen", "elf", "macho", "benches"):
        compileall.compile_dir(ROOT / package, quiet=2)
    with Children({"STUBGEN_CACHE_DIR": str(scratch / "cache")}) as children:  # a person's own stays as it is
        python = None if arguments.quick else bare_python(scratch)
        bench = Bench(
            children,
            Progress(sys.stderr),
            scratch,
            bench_rounds,
            str(python or sys.executable),
            quick=arguments.quick,
            large=arguments.large,
        )
        bench.absent.extend(machine.absent())
        if python is None and not arguments.quick:
            bench.absent.append("a Python of its own: starts are measured in this one, whose import hooks flatter us")
        failed = []
        for name in arguments.only or WORKLOADS:
            for case in WORKLOADS[name][1](bench):
                try:
                    measured = measure(bench, case)
                except (UnequalWorkError, ChildFailedError) as error:
                    bench.progress.clear()
                    print(f"\n{case.workload}: {case.title}\nerror: {error}", flush=True)
                    failed.append(f"{case.workload}: {case.title}")
                    continue
                rows += measured
                bench.progress.clear()
                print(f"\n{case.workload}: {case.title}\n{table(*report.case_table(measured))}", flush=True)
    outcomes = goals.outcomes(rows)
    about = {
        "command": shlex.join(["python", "-m", "benches", *_plain(words)]),
        "date": f"{started:%Y-%m-%d}",
        "machine": described,
        "versions": versions,
        "absent": bench.absent,
        "failed": failed,
    }
    files = report.write(folder, rows, outcomes, about)
    told = [outcome for outcome in outcomes if outcome.measured is not None or not (arguments.only or arguments.quick)]
    if told:
        print(f"\nthe numbers to reach\n{table(*report.goal_table(told))}")
    for summary in summaries(rows):
        print(f"\n{summary.title}, in short\n{table(summary.header, summary.lines)}")
    print(f"\n{report.LEGEND}")
    for missing in bench.absent:
        print(f"absent: {missing}")
    for title in failed:
        print(f"FAILED: {title}")
    print(f"written: {', '.join(path.name for path in files)} in {folder}")
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    listed = "\n".join(f"  {name:<11} {what}" for name, (what, _) in WORKLOADS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benches",
        description=str(__doc__),
        epilog=f"workloads:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", choices=list(WORKLOADS), metavar="WORKLOAD", help="these alone")
    parser.add_argument("--quick", action="store_true", help="tiny counts, to see that everything runs")
    parser.add_argument("--large", action="store_true", help="also 4M stubs, beside 1M (needs 4 GiB)")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds of each case (default 5; fewer where slow)")
    parser.add_argument("--results", type=Path, metavar="DIR", help="default: benches/results/DATE-MACHINE")
    parser.add_argument(
        "--scratch", type=Path, default=ROOT / ".bench", metavar="DIR", help="for inputs, kept between runs"
    )
    return parser


def _plain(words: Sequence[str]) -> list[str]:
    """The command line without the folders, which are this machine's."""
    kept, skip = [], False
    for word in words:
        if skip:
            skip = False
        elif word in ("--results", "--scratch"):
            skip = True
        elif not word.startswith(("--results=", "--scratch=")):
            kept.append(word)
    return kept


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
