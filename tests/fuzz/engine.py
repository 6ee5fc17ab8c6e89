"""Runs one target over many inputs: by libFuzzer through atheris, guided by coverage, or at random without it."""

from __future__ import annotations

import importlib
import io
import os
import pkgutil
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import nullcontext, redirect_stderr, suppress
from hashlib import sha256
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from fuzz.limits import LARGEST, SECONDS, bounded
from fuzz.mutate import mutate

from stubgen.errors import StubgenError

try:
    import atheris
except ImportError:
    atheris = None  # inputs are changed at random


MOST_FAULTS = 20
"""After so many different ones a run ends."""


class Round(NamedTuple):
    """One run of a target."""

    inputs: int
    failures: dict[str, bytes]
    """Fault, as :func:`fault_of` says it -> an input that has it."""
    sequence: dict[int, str]
    """Power of two -> what tells the first so many inputs from others: two runs that agree there tried the same."""
    said: str
    """The end of what the process wrote."""


def load() -> Any:
    """Import all of stubgen, instrumented if it can be, and then the module of the targets, which is returned."""
    silent = redirect_stderr(io.StringIO())  # atheris names each module
    with silent, atheris.instrument_imports(include=["stubgen"]) if atheris else nullcontext():
        package = importlib.import_module("stubgen")
        for module in pkgutil.walk_packages(package.__path__, "stubgen."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
        return importlib.import_module("fuzz.targets")


def fault_of(error: Exception) -> str:
    """What went wrong and where in stubgen; the same fault has the same words, whatever the input."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/stubgen/" in frame.filename or "/fuzz/" in frame.filename]
    place = f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else "?"
    return f"{type(error).__name__} at {place}"


def failure_of(run: Callable[[bytes], object], content: bytes) -> str:
    """The fault of *content*, as :func:`fault_of` says it; empty where there is none."""

    def late(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        run(content)
    except StubgenError:
        return ""
    except Exception as error:  # likewise
        return fault_of(error)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return ""


def fuzz(
    run: Callable[[bytes], object],
    seeds: Sequence[bytes],
    corpus: Path,
    seconds: int,
    seed: int,
    *,
    most: int = 1 << 30,
) -> Round:
    """Run a target in a process of its own for *seconds*, for *most* inputs, or until an input goes wrong.

    *corpus* is a folder that keeps what reached new code. What it has at first is tried first, so that the same run is
    one from an empty folder.
    """
    corpus.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(content)
    with tempfile.TemporaryDirectory() as folder:
        log, failed, new = Path(folder) / "log", Path(folder) / "failed-", Path(folder) / "new"
        new.mkdir()
        child = os.fork()
        if child == 0:
            try:  # never back into what the parent does
                with log.open("wb") as out:
                    os.dup2(out.fileno(), 1)
                    os.dup2(out.fileno(), 2)
                bounded()
                _keep_nothing()
                watch = Watch(run, str(failed))
                (_guided if atheris else _at_random)(watch, corpus, new, seconds, seed, most)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(0)
        os.waitpid(child, 0)
        for path in new.iterdir():
            shutil.move(path, corpus / path.name)
        said = log.read_text(errors="replace")
        inputs = max(map(int, re.findall(r"^(?:#|Done )(\d+)", said, re.MULTILINE)), default=0)
        found = sorted(Path(folder).glob("failed-*"))
        failures = {unquote(path.name.removeprefix("failed-")): path.read_bytes() for path in found}
        sequence = {int(count): told for count, told in re.findall(r"^first (\d+): (\w+)$", said, re.MULTILINE)}
        return Round(inputs, failures, sequence, said[-2000:])


def _keep_nothing() -> None:
    """Have each file opened anew: whether one is kept goes by how long ago it was written, and runs would differ."""
    from stubgen import session

    session.is_settled = lambda identity, now: False


class Watch:
    """Runs inputs, and keeps one for each fault."""

    def __init__(self, run: Callable[[bytes], object], failed: str) -> None:
        self._run = run
        self._faults: set[str] = set()
        self._count = 0
        self._seen = sha256()
        self.failed = failed
        """How the files of inputs that went wrong begin."""

    def one(self, content: bytes) -> None:
        """Run one input."""
        self._seen.update(b"%d:" % len(content) + content)
        self._count += 1
        if not self._count & self._count - 1:
            os.write(1, b"\nfirst %d: %b\n" % (self._count, self._seen.hexdigest()[:16].encode()))
        try:
            with suppress(StubgenError):
                self._run(content)
        except Exception as error:  # whatever it is, it is the finding
            fault = fault_of(error)
            if fault not in self._faults and len(self._faults) < MOST_FAULTS:
                self._faults.add(fault)
                Path(self.failed + quote(fault, safe="")).write_bytes(content)


def _guided(watch: Watch, corpus: Path, new: Path, seconds: int, seed: int, most: int) -> None:
    """By libFuzzer. Nothing that it does depends on the time, or on the order in which a folder is read."""
    names = sorted(path.name for path in corpus.iterdir())
    pool = [(corpus / name).read_bytes() for name in names]

    def changed(content: bytes, largest: int, number: int) -> bytes:
        if number % 3 == 0:
            return bytes(atheris.Mutate(content, largest))
        return mutate(content, number, random.Random(number).choice(pool), largest=largest)

    options = {
        "max_total_time": seconds,
        "runs": most,
        "seed": seed + 1,  # 0: any
        "reload": 0,  # else the corpus is read again every second
        "seed_inputs": f"@{new.parent / 'seeds'}",
        "artifact_prefix": watch.failed,
        "max_len": LARGEST,
        "timeout": SECONDS,
        "rss_limit_mb": 0,  # the limit of the address space is ours
        "print_final_stats": 1,
    }
    (new.parent / "seeds").write_text(",".join(names))
    os.chdir(corpus)
    words = [f"-{name}={value}" for name, value in options.items()]
    atheris.Setup([sys.argv[0], *words, str(new)], watch.one, custom_mutator=changed)
    atheris.Fuzz()


def _at_random(watch: Watch, corpus: Path, _new: Path, seconds: int, seed: int, most: int) -> None:
    pool = [path.read_bytes() for path in sorted(corpus.iterdir())]
    rng, end, count = random.Random(seed), time.monotonic() + seconds, 0
    while time.monotonic() < end and count < most:
        content = mutate(rng.choice(pool), rng.getrandbits(64), rng.choice(pool), largest=LARGEST)
        count += 1
        watch.one(content)
    os.write(1, b"Done %d runs\n" % count)


def reduced(run: Callable[[bytes], object], content: bytes, seconds: float = 20) -> bytes:
    """A smaller input with the same fault, or zeros in place of what does not matter."""
    fault, end = failure_of(run, content), time.monotonic() + seconds
    size = len(content)
    while size >= 1 and time.monotonic() < end:
        start = 0
        while start < len(content) and time.monotonic() < end:
            zeros = bytes(min(size, len(content) - start))
            for instead in (b"", zeros):
                smaller = content[:start] + instead + content[start + size :]
                if smaller != content and failure_of(run, smaller) == fault:
                    content = smaller
                    break
            else:
                instead = zeros
            start += len(instead)  # what moved up is tried next
        size //= 2
    return content
