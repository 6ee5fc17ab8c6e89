"""Prints the emission benchmark's table and keeps its numbers.

Each row does the same work with every tool: from names and addresses to an object file with one trampoline a
name. All tools run in turn within one round, so that a machine whose speed drifts treats them alike; ratios are
taken round by round.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from benches.emission import FORMATS, PEERS, Peer, Workload


class Times(NamedTuple):
    """Seconds of one step over all rounds."""

    median: float
    spread: float  # half the distance between the extremes, in units of the median


class Row(NamedTuple):
    """One line of the table."""

    format: str
    stubs: int
    bytes_written: int
    rounds: int
    emit: Times
    verify: Times
    peers: dict[str, float]  # name -> its time in units of ours


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benches", description=str(__doc__).splitlines()[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000], metavar="N")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each tool (default 5; 3 from 1M stubs)")
    parser.add_argument("--results", type=Path, default=Path(".bench"), metavar="DIR", help="where results.json goes")
    arguments = parser.parse_args(argv)
    peers = [peer for peer in PEERS if peer.found()]
    for peer in PEERS:
        if peer not in peers:
            print(f"absent: {peer.name} ({peer.hint})")
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, {_versions()}")
    for peer in peers:
        print(f"{peer.name}: {peer.version()}; {' '.join(peer.command('stubs.s', 'stubs.o', FORMATS[0]))}")
    print()
    header = ("format", "stubs", "bytes", "emit", "spread", "stubs/s", "verify")
    names = [f"/ {peer.name}" for peer in peers]
    widths = (6, 9, 11, 9, 7, 10, 9, *(max(9, len(name)) for name in names))
    print("  ".join(cell.rjust(width) for cell, width in zip((*header, *names), widths, strict=True)))
    results = []
    for format_name in FORMATS:
        for count in arguments.counts:
            row = _measure(
                format_name, count, min(arguments.rounds, 3) if count >= 1_000_000 else arguments.rounds, peers
            )
            results.append(row)
            cells = (
                format_name,
                f"{count:,}",
                f"{row.bytes_written:,}",
                _duration(row.emit.median),
                f"±{row.emit.spread:.0%}",
                f"{count / row.emit.median:,.0f}",
                _duration(row.verify.median),
                *(_ratio(row.peers.get(peer.name)) for peer in peers),
            )
            print("  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True)), flush=True)
    arguments.results.mkdir(parents=True, exist_ok=True)
    path = arguments.results / "results.json"
    path.write_text(
        json.dumps({"command": sys.argv, "versions": _versions(), "rows": [row._asdict() for row in results]}, indent=2)
        + "\n"
    )
    print(
        "\nemit: names and addresses to an object on disk, in a running process; verify: every stub of that object"
        "\ndecoded again; / tool: its time for the same stubs, its start included and the writing of its input not,"
        f"\nin units of emit + verify (median of the rounds' ratios). Numbers kept in {path}."
    )
    return 0


def _measure(format_name: str, count: int, rounds: int, peers: Sequence[Peer]) -> Row:
    """One row: all tools in turn, *rounds* times after one that is not counted."""
    workload = Workload(format_name, count)
    emits, verifies = [], []
    ratios: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        usable = [peer for peer in peers if peer.supports(format_name)]
        source = place / "stubs.s"
        if usable:
            source.write_text(workload.assembly())
        for number in range(rounds + 1):
            started = time.perf_counter()
            stub = workload.emit()
            (place / "ours.o").write_bytes(stub.content)
            emitted = time.perf_counter()
            workload.verify(stub)
            verified = time.perf_counter()
            taken = {}
            for peer in usable:
                begun = time.perf_counter()
                subprocess.run(peer.command(str(source), str(place / "peer.o"), format_name), check=True)
                taken[peer.name] = time.perf_counter() - begun
            if number == 0:  # warm-up
                workload.check_equal_work(stub, place / "peer.o" if usable else None)
                continue
            emits.append(emitted - started)
            verifies.append(verified - emitted)
            for name, seconds in taken.items():
                ratios.setdefault(name, []).append(seconds / (verified - started))
        size = len(stub.content)
    medians = {name: statistics.median(values) for name, values in ratios.items()}
    return Row(format_name, count, size, rounds, _times(emits), _times(verifies), medians)


def _times(seconds: Sequence[float]) -> Times:
    median = statistics.median(seconds)
    return Times(median, (max(seconds) - min(seconds)) / 2 / median)


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}x"


def _versions() -> str:
    names = ("hotpatch-stubgen", "keystone-engine", "capstone")
    found = []
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} (not installed as a package)")
    return ", ".join([f"Python {platform.python_version()}", *found])


if __name__ == "__main__":
    sys.exit(main())
