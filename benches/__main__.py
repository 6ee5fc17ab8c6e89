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
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from benches import against, goals, machine, report
from benches.equal_work import UnequalWorkError
from benches.harness import ROOT, Bench, Case, ChildFailedError, Children, Row, measure
from benches.interpreter import bare_python
from benches.progress import Progress
from benches.summary import summaries
from benches.tables import table
from benches.workloads import (
    capturing,
    commands,
    emission,
    large_files,
    linking,
    planning,
    reading,
    scaling,
    serving,
    statics,
    statics_files,
    wheels,
    whole_path,
)

WORKLOADS: dict[str, tuple[str, Callable[[Bench], Iterator[Case]]]] = {
    "emission": ("objects of 1,000 to 1M stubs; beside the object crate, clang and GNU as", emission.cases),
    "whole-path": ("host and patch to stub.o, as a command; beside the object crate", whole_path.cases),
    "wheels": ("the same on libraries that people install (downloads 100 MB once)", wheels.cases),
    "commands": ("each command from start to end", commands.cases),
    "planning": ("link commands of 100 to 20,000 tokens", planning.cases),
    "reading": ("a host's symbols; beside other readers", reading.cases),
    "files": ("an object of 20,000 statics, and the check for a library; beside llvm-nm", statics_files.cases),
    "large": ("what is listed of large files (downloads 200 MB once); beside llvm-nm", large_files.cases),
    "linking": ("link of 200 objects of C, and of one of Rust; beside copies and the linker", linking.cases),
    "statics": ("a static in each of 5,000 to 20,000 functions", statics.cases),
    "capturing": ("a build of 300 links, captured; beside the links alone", capturing.cases),
    "serve": ("requests to a process that stays", serving.cases),
    "scale": ("hosts of up to 10M symbols, many processes, builders side by side (with --large)", scaling.cases),
}
"""Name -> (what it measures, its cases)."""
_LARGE = ("scale",)
"""What runs with ``--large``, ``--quick`` or by name alone."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the suite; exit status 1 when a tool failed, or did something else than those that it is compared with."""
    words = sys.argv[1:] if argv is None else list(argv)
    parser = _parser()
    arguments = parser.parse_args(words)
    scratch = arguments.scratch.resolve()
    scratch.mkdir(parents=True, exist_ok=True)
    described, versions = machine.describe(), machine.versions()
    for part in (described, versions):
        print("; ".join(f"{name}: {value}" for name, value in part.items()))
    if not arguments.against:
        return _suite(arguments, words, {"machine": described, "versions": versions})
    try:
        commit, tree = against.checkout(arguments.against, scratch)
    except ValueError as error:
        parser.error(str(error))
    return _against(arguments, commit, tree)


def _suite(arguments: argparse.Namespace, words: Sequence[str], about: dict[str, object]) -> int:
    """Measure everything, hold it against the goals, and write it down."""
    started = datetime.now(UTC)
    folder = arguments.results or ROOT / "benches" / "results" / f"{started:%Y-%m-%d}-{machine.kind()}"
    rows: list[Row] = []
    failed: list[str] = []
    with _bench(arguments, arguments.rounds or 5, ROOT, arguments.scratch.resolve()) as bench:
        bench.absent.extend(machine.absent())
        if bench.python == sys.executable and not arguments.quick:
            bench.absent.append("a Python of its own: starts are measured in this one, whose import hooks flatter us")
        for name in _chosen(arguments):
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
    about |= {
        "command": shlex.join(["python", "-m", "benches", *_plain(words)]),
        "date": f"{started:%Y-%m-%d}",
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


def _against(arguments: argparse.Namespace, commit: str, tree: Path) -> int:
    """Measure this tree and the one in *tree*, round by round in turn."""
    scratch = arguments.scratch.resolve()
    rounds = arguments.rounds or against.ROUNDS
    failed = []
    with (
        _bench(arguments, rounds, ROOT, scratch) as here,
        _bench(arguments, rounds, tree, against.scratch_of(tree, scratch)) as there,
    ):
        print(f"here: this tree; there: {commit}")
        for name in _chosen(arguments):
            try:
                for case, compared in against.compare(WORKLOADS[name][1], here, there):
                    here.progress.clear()
                    lines = [each.line for each in compared]
                    print(f"\n{case.workload}: {case.title}\n{table(against.HEADER, lines)}", flush=True)
            except (UnequalWorkError, ChildFailedError) as error:
                here.progress.clear()
                print(f"\n{name}\nerror: {error}", flush=True)
                failed.append(name)
    for name in failed:
        print(f"FAILED: {name}")
    return 1 if failed else 0


@contextmanager
def _bench(arguments: argparse.Namespace, rounds: int, tree: Path, scratch: Path) -> Iterator[Bench]:
    """What measures *tree*, with caches of its own in *scratch*: a person's own stays as it is."""
    for cache in scratch.glob("cache*"):  # of another version, perhaps
        shutil.rmtree(cache)
    for package in ("stubgen", "elf", "macho", "benches"):
        compileall.compile_dir(tree / package, quiet=2)
    python = None if arguments.quick else bare_python(arguments.scratch.resolve())
    with Children({"STUBGEN_CACHE_DIR": str(scratch / "cache")}, tree) as children:
        yield Bench(
            children,
            Progress(sys.stderr),
            scratch,
            1 if arguments.quick and not arguments.rounds else rounds,
            str(python or sys.executable),
            quick=arguments.quick,
            large=arguments.large,
        )


def _chosen(arguments: argparse.Namespace) -> list[str]:
    if arguments.only:
        return list(arguments.only)
    return [name for name in WORKLOADS if name not in _LARGE or arguments.large or arguments.quick]


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
    parser.add_argument("--large", action="store_true", help="also 4M stubs and a host of 10M symbols (needs 10 GiB)")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds of each case (default 5; fewer where slow)")
    parser.add_argument(
        "--against", metavar="REV", help="this tree beside that revision of it, in turn; nothing else, and no files"
    )
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
