"""A build whose links are captured: what ``hotpatch-stubgen-linker`` adds to each link."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from benches.harness import OURS, Bench, Case, Command, Contender, Step, shown, whole_process
from benches.hosts import elf_patch

LINKS = 300
UNIT = Step("python", "-c pass")
LINKER, CAPTURED = Step("ld.lld-19", "the links"), "the links, captured"

_SCRIPT = """\
#!{python}
import sys
from stubgen.capture import linker_main
if __name__ == "__main__":
    sys.exit(linker_main())
"""
"""What pip writes for ``hotpatch-stubgen-linker``."""
_REPEAT = 'n=0; while [ $n -lt {count} ]; do "$@"{output} || exit; n=$((n + 1)); done'


def start(bench: Bench, count: int = 1) -> Contender:
    """Python that does nothing, *count* times: what no program in Python is faster than."""
    command: Command = [bench.python, "-c", "pass"]
    run = repeated(command, count) if count > 1 else command
    return Contender(UNIT.tool, whole_process(bench, UNIT.step, run), command=shown(bench, run))


def repeated(command: Command, count: int, output: Path | None = None) -> Command:
    """*command* *count* times, one after another; with ``-o`` *output* and a number, if there is one."""
    written = "" if output is None else f' -o "{output}$n"'
    return ["/bin/sh", "-c", _REPEAT.format(count=count, output=written), "sh", *command]


def cases(bench: Bench) -> Iterator[Case]:
    """One build of small links, with and without."""
    if not shutil.which(LINKER.tool):
        bench.absent.append(f"a captured build: no {LINKER.tool} (Debian: apt-get install lld-19)")
        return
    count = 10 if bench.quick else LINKS
    folder = bench.scratch / "capturing"
    folder.mkdir(parents=True, exist_ok=True)
    source, wrapper, records = folder / "a.o", folder / "hotpatch-stubgen-linker", folder / "records"
    source.write_bytes(elf_patch([b"named"]))
    wrapper.write_text(_SCRIPT.format(python=bench.python))
    wrapper.chmod(0o755)
    link: Command = ["-shared", source]
    alone = repeated([LINKER.tool, *link], count, folder / "patch.so.")
    captured = repeated([wrapper, *link], count, folder / "patch.so.")
    environment = {
        "STUBGEN_CAPTURE_DIR": str(records),
        "STUBGEN_REAL_LINKER": LINKER.tool,
        "PYTHONPATH": str(bench.children.tree),
    }

    def forget() -> None:
        shutil.rmtree(records, ignore_errors=True)

    contenders = [
        start(bench, count),
        Contender(LINKER.tool, whole_process(bench, LINKER.step, alone), command=shown(bench, alone)),
        Contender(
            OURS,
            whole_process(bench, CAPTURED, captured, environment),
            prepare=forget,
            command=shown(bench, captured, environment),
        ),
    ]
    yield Case("capturing", f"a build of {count} links", "elf", count, UNIT, contenders, rounds=3)
