"""What of ours is measured inside a running process, in a fresh child: prints ``name value`` lines, as the Rust peer.

::

    python -m benches.ours emit FORMAT COUNT TIMES OUT    emission and verification of COUNT stubs, no word known
    python -m benches.ours known FORMAT COUNT TIMES OUT   the same, all words known to a cache that is read each time
    python -m benches.ours import                         what that imports, and nothing else
    python -m benches.ours find HOST NAMES                the addresses of the names in file NAMES
    python -m benches.ours needed OBJECT                  what the object needs
    python -m benches.ours plan TOKENS TIMES              the plan for a command of TOKENS arguments
"""

from __future__ import annotations

import gc
import os
import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stubgen.stub.emit import StubObject

_UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss


def main(arguments: list[str]) -> None:
    """Run one of the above."""
    command, *operands = arguments
    run: dict[str, Callable[..., None]] = {
        "emit": _emit,
        "known": _known,
        "import": _import,
        "find": _find,
        "needed": _needed,
        "plan": _plan,
    }
    run[command](*operands)


def _say(name: str, value: float) -> None:
    print(f"{name} {value:.9f}")


def _peak() -> float:
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT)


def _import() -> None:
    import capstone
    import keystone

    import stubgen.elf.writer
    import stubgen.macho.writer
    import stubgen.stub.emit
    import stubgen.stub.verify

    assert all((capstone, keystone, stubgen.elf.writer, stubgen.macho.writer, stubgen.stub.emit, stubgen.stub.verify))


def _emit(format_name: str, count: str, times: str, out: str) -> None:
    _import()
    from stubgen.stub.disassembler import forget_words
    from stubgen.stub.verify import verify

    os.environ["STUBGEN_CACHE_DIR"] = ""  # where words might be known
    emit = _emitter(format_name, int(count))
    _say("peak_input", _peak())
    for _ in range(int(times)):
        gc.collect()
        started = time.perf_counter()
        stub = emit()
        emitted = time.perf_counter()
        Path(out).write_bytes(stub.content)
        written = time.perf_counter()
        peak = _peak()
        forget_words()
        resumed = time.perf_counter()
        verify(stub)
        _say("emit", emitted - started)
        _say("write", written - emitted)
        _say("verify", time.perf_counter() - resumed)
        del stub
    _say("peak_emit", peak)


def _known(format_name: str, count: str, times: str, out: str) -> None:
    from stubgen.stub.disassembler import forget_words
    from stubgen.stub.facts import LibraryFacts
    from stubgen.stub.verify import verify

    emit = _emitter(format_name, int(count))
    with TemporaryDirectory() as folder:
        for number in range(int(times) + 1):
            gc.collect()
            forget_words()
            started = time.perf_counter()
            facts = LibraryFacts(folder)
            stub = emit(facts=facts)
            Path(out).write_bytes(stub.content)
            verify(stub, facts)
            if number:  # the first one has taught the cache
                _say("all", time.perf_counter() - started)
            del stub


def _emitter(format_name: str, count: int) -> Callable[..., StubObject]:
    """Makes the object with *count* stubs."""
    from benches.names import mangled, places
    from stubgen.macho.reader import BuildVersion
    from stubgen.stub.emit import emit_elf, emit_macho

    addresses, _ = places(count)
    names = mangled(count, underscore=format_name == "macho")
    if format_name == "macho":
        return partial(emit_macho, names, addresses, BuildVersion(1, 0x000D0000, 0))
    return partial(emit_elf, names, addresses)


def _find(host: str, names: str) -> None:
    from stubgen.host import open_host

    wanted = Path(names).read_bytes().split()
    started = time.perf_counter()
    found = open_host(host).image.find(wanted)
    _say("find", time.perf_counter() - started)
    assert len(found) == len(wanted), f"{len(wanted) - len(found)} names are not found"


def _needed(path: str) -> None:
    from stubgen.resolve.needed import read_needed

    started = time.perf_counter()
    needed = read_needed([path])
    _say("needed", time.perf_counter() - started)
    assert needed


def _plan(tokens: str, times: str) -> None:
    from benches.commandlines import fat_link
    from stubgen.linkplan import build_link_plan

    argv = fat_link(int(tokens))
    for _ in range(int(times)):
        started = time.perf_counter()
        plan = build_link_plan(argv, objects=["patch.o"], output="patch.so", directory="/build")
        _say("plan", time.perf_counter() - started)
    assert plan.args


if __name__ == "__main__":
    main(sys.argv[1:])
