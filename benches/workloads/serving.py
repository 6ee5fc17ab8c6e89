"""Requests to ``serve``, a process that stays: the first one, the same again, and again after the slide has changed."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO

from benches.equal_work import Work, work_in
from benches.harness import (
    BASELINE,
    OURS,
    Bench,
    Case,
    ChildFailedError,
    Contender,
    Sample,
    shown,
    whole_process,
)
from benches.hosts import SLIDE, Host, tables_size
from benches.peers import rust
from benches.workloads import capturing, whole_path

FIRST, SAME, MOVED = "start and first request", "the same request again", "the same with another slide"
FORMS = {", no verdict listed": "none", "": "all"}
"""How a step's name ends -> which verdicts its requests have the answer list; without more it is the default answer."""
HELD = "with the host kept"
REPEATS = 10


def cases(bench: Bench) -> Iterator[Case]:
    """A case a format."""
    functions, needed = (2_000, 50) if bench.quick else (1_000_000, 1_000)
    for format_name in ("elf", "macho"):
        yield _case(bench, whole_path.made(bench, format_name, functions, needed))


class Client:
    """Asks a server, and waits for the answer; a context, whose end is the server's."""

    def __init__(self, bench: Bench) -> None:
        self._command = [bench.python, "-m", "stubgen", "serve"]
        self._tree = bench.children.tree
        index = whole_path.index_folder(bench, whole_path.PRESENT)
        self._environment = {**os.environ, "STUBGEN_CACHE_DIR": str(index)}
        self._number = 0

    def __enter__(self) -> Client:
        self._server = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=self._tree, env=self._environment
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._server.communicate()

    def peak(self) -> int | None:
        """Bytes that the server has held at most, where the system says so."""
        return self._memory("VmHWM")

    def held(self) -> int | None:
        """Bytes that it holds now, pages of mapped files among them."""
        return self._memory("VmRSS")

    def _memory(self, field: str) -> int | None:
        """A field of proc(5)'s ``status``."""
        try:
            status = Path(f"/proc/{self._server.pid}/status").read_text()
        except OSError:
            return None
        return next((1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith(field)), None)

    def ask(self, method: str, params: dict[str, object]) -> float:
        """Seconds until the answer is there.

        Raises:
            ChildFailedError: it is an error, or none came.
        """
        self._number += 1
        message = {"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}
        content = json.dumps(message).encode()
        stdin, stdout = self._server.stdin, self._server.stdout
        assert stdin is not None
        assert stdout is not None
        started = time.perf_counter()
        stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(content), content))
        stdin.flush()
        answer = _read(stdout)
        seconds = time.perf_counter() - started
        if "result" not in answer:
            raise ChildFailedError(f"serve: {method}: {answer}")
        return seconds


def _read(stream: IO[bytes]) -> dict[str, object]:
    length = 0
    while line := stream.readline().strip():
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    answer = json.loads(stream.read(length) or b"{}")
    return answer if isinstance(answer, dict) else {}


def _case(bench: Bench, given: Host) -> Case:
    folder = bench.scratch / "serve"
    folder.mkdir(parents=True, exist_ok=True)
    contenders = [
        capturing.start(bench),
        whole_path.imports(bench),
        _ours(bench, given, folder / "ours.o"),
        _memory(bench, given, folder / "kept.o"),
    ]
    if rust.found():
        out = folder / "rust.o"
        command = whole_path.rust_command(given, out)
        contenders.append(
            Contender(
                rust.NAME,
                whole_process(bench, whole_path.STUB, command),
                work=partial(_work, out),
                command=shown(bench, command),
            )
        )
    return Case(
        workload="serve",
        title=whole_path.title(given, f"{given.needed:,} needed"),
        format=given.format,
        symbols=given.symbols,
        unit=capturing.UNIT,
        contenders=contenders,
        stubs=given.needed,
    )


def _ours(bench: Bench, given: Host, out: Path) -> Contender:
    def run() -> dict[str, Sample]:
        whole_path.warm_index(bench, given)
        params = _params(given, out)
        moved = [hex(SLIDE + (number << 16)) for number in range(REPEATS, -1, -1)]  # the last is every tool's
        started = time.perf_counter()
        with Client(bench) as client:
            client.ask("build", {**params, "slide": moved[0]})
            first = time.perf_counter() - started
            forms: dict[str, list[float]] = {}
            for ending, listed in FORMS.items():
                asked = {**params, "decisions": listed}
                forms[SAME + ending] = [client.ask("build", {**asked, "slide": moved[0]}) for _ in range(REPEATS)]
                forms[MOVED + ending] = [client.ask("build", {**asked, "slide": slide}) for slide in moved[1:]]
            peak = client.peak()
        medians = {step: statistics.median(times) for step, times in forms.items()}
        return {FIRST: Sample(first), **{step: Sample(seconds, peak) for step, seconds in medians.items()}}

    return Contender(OURS, run, work=partial(_work, out), command="python -m stubgen serve")


def _params(given: Host, out: Path) -> dict[str, object]:
    allow_static = given.format == "macho"  # as in whole_path.build_command
    return {
        "host": str(given.path),
        "objects": [str(given.patch)],
        "output": str(out),
        "allow_static": allow_static,
    }


def _memory(bench: Bench, given: Host, out: Path) -> Contender:
    """What a server holds that has built for a small host, and what it holds when it has kept *given* as well."""
    small = whole_path.made(bench, given.format, 2_000, 50)

    def run() -> dict[str, Sample]:
        whole_path.warm_index(bench, given)
        with Client(bench) as client:
            client.ask("build", {**_params(small, out), "slide": hex(SLIDE)})
            before = client.held()
            for slide in (SLIDE, SLIDE, SLIDE + (1 << 16)):
                client.ask("build", {**_params(given, out), "slide": hex(slide)})
            return {BASELINE: Sample(None, before), HELD: Sample(None, client.held())}

    command = "python -m stubgen serve"
    return Contender(f"{OURS}, memory", run, size=lambda: tables_size(given.path), command=command, slow=True)


def _work(path: Path) -> Work:
    return work_in(path.read_bytes())
