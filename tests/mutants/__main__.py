"""Changes the code in small ways, one at a time, and sees that a test fails each time.

    make mutants MUTANTS='slide bind'

What is known of a module whose source has not changed since is kept: only its survivors are tried again. Exit status 1:
a mutant survives that tests/mutants/survivors.toml does not explain.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import json
import os
import sys
import time
from collections import Counter
from hashlib import sha256
from itertools import accumulate
from pathlib import Path

from mutants import changes, engine, survivors
from mutants.parts import PARTS, Part

BUILD = Path(__file__).parents[2] / "build" / "mutants"


def main(argv: list[str] | None = None, parts: dict[str, Part] | None = None) -> int:
    """Try the mutants, and say in figures what became of them."""
    known = PARTS if parts is None else parts
    arguments = _parser().parse_args(argv)
    wrong = [name for name in arguments.part if name not in known]
    if wrong:
        print(f"no such part: {', '.join(wrong)}; there are {', '.join(known)}")
        return 2
    os.environ["STUBGEN_CACHE_DIR"] = ""
    os.chdir(engine.ROOT)
    unexplained = 0
    print(f"{'part':12} {'mutants':>8} {'killed':>8} {'score':>7} {'explained':>10} {'seconds':>8}")
    for name in arguments.part or known:
        unexplained += _part(name, known[name], arguments)
    return 1 if unexplained else 0


def _part(name: str, part: Part, arguments: argparse.Namespace) -> int:
    started = time.monotonic()
    results = {module: _Results(arguments.keep, module, arguments.fresh) for module in part.modules}
    trees = {module: ast.parse(engine.path_of(module).read_text()) for module in part.modules}
    mutants = {module: changes.mutants_of(trees[module], engine.path_of(module).read_text()) for module in part.modules}
    wanted = [
        (module, number)
        for module in part.modules
        for number, mutant in enumerate(mutants[module])
        if results[module].open(number) and _is_chosen(module, mutant, arguments)
    ]
    if wanted:
        trace = engine.traced(part.modules, part.tests)
        works = []
        for module, number in wanted:
            tests = _tests(mutants[module][number], module, trace, results[module].killer(number))
            if tests:
                works.append(engine.Work(number, module, tests))
            else:
                results[module].put(number, engine.Fate("never run"))
        engine.try_all(
            works, mutants, trees, part.tests, trace, lambda work, fate: results[work.module].put(work.number, fate)
        )
    return _told(name, mutants, results, time.monotonic() - started, arguments.show)


def _is_chosen(module: str, mutant: changes.Mutant, arguments: argparse.Namespace) -> bool:
    if arguments.module and not any(word in module for word in arguments.module):
        return False
    if not arguments.sample:
        return True
    chance = sha256(repr((arguments.seed, module, mutant.key)).encode()).digest()
    return int.from_bytes(chance[:4], "little") % arguments.sample == 0


def _tests(mutant: changes.Mutant, module: str, trace: engine.Trace, killer: str) -> list[str]:
    """The tests that run what is changed, the quickest first; of a module's own code all that run any of it."""
    lines = trace.tests.get(module, {})
    within = range(mutant.line, mutant.last_line + 1)
    found = {test for line in within for test in lines.get(line, ())}
    if not found and (not mutant.function or any(line in trace.at_import.get(module, ()) for line in within)):
        found = {test for tests in lines.values() for test in tests} or set(trace.seconds)
    quick = [test for test in found if trace.seconds[test] <= engine.SLOWEST]
    ordered = sorted(quick, key=lambda test: (test != killer, trace.seconds[test], test))
    starts = accumulate((trace.seconds[test] for test in ordered), initial=0.0)
    return [test for test, start in zip(ordered, starts, strict=False) if start < engine.LONGEST]


class _Results:
    """What is known of one module's mutants, in a file of its own: a digest, then a line for each.

    The digest is of the module and of what changes it.

    A run that is cut off has said what it knows, but for a last line that may be half there.
    """

    def __init__(self, folder: Path, module: str, fresh: bool) -> None:
        self._path = folder / f"{module.replace('/', '.')}.jsonl"
        digest = json.dumps(engine.digest([engine.path_of(module), Path(changes.__file__)]))
        kept = self._path.read_text().splitlines() if self._path.exists() and not fresh else []
        self._fates: dict[int, list[str]] = {}
        for line in kept[1:] if kept[:1] == [digest] else ():
            with contextlib.suppress(ValueError):
                number, *fate = json.loads(line)
                self._fates[number] = fate
        folder.mkdir(parents=True, exist_ok=True)
        lines = [digest, *(json.dumps([number, *fate]) for number, fate in self._fates.items())]
        whole = self._path.with_suffix(".new")
        whole.write_text("\n".join([*lines, ""]))
        whole.replace(self._path)

    def open(self, number: int) -> bool:
        """Whether the mutant is to be tried."""
        return self.fate(number) not in ("killed", "too slow")

    def fate(self, number: int) -> str:
        return self._fates.get(number, [""])[0]

    def killer(self, number: int) -> str:
        return self._fates.get(number, ["", ""])[1]

    def put(self, number: int, fate: engine.Fate) -> None:
        self._fates[number] = [*fate]
        with self._path.open("a") as file:
            file.write(json.dumps([number, *fate]) + "\n")


def _told(
    name: str, mutants: dict[str, list[changes.Mutant]], results: dict[str, _Results], seconds: float, show: bool
) -> int:
    """Print a part's row, and what survives without an explanation; how many that are."""
    fates: Counter[str] = Counter()
    explained, left = 0, []
    reasons = survivors.explained()
    for module, of_module in mutants.items():
        for number, mutant in enumerate(of_module):
            fate = results[module].fate(number)
            fates[fate] += bool(fate)
            if fate in ("survived", "never run"):
                if (module, *mutant.key) in reasons:
                    explained += 1
                else:
                    left.append(f"  {module}:{mutant.line} {mutant.function}: {mutant.change}  ({fate})")
    total, killed = fates.total(), fates["killed"] + fates["too slow"]
    score = f"{100 * killed / total:.1f} %" if total else "-"
    print(f"{name:12} {total:8} {killed:8} {score:>7} {explained:10} {seconds:8.0f}", flush=True)
    if show:
        print("\n".join(left))
    return len(left)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make mutants", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", nargs="*", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--module", action="append", metavar="WORD", help="only modules with this in their path")
    parser.add_argument("--sample", type=int, default=0, metavar="N", help="one mutant in N, always the same ones")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="other ones of a sample")
    parser.add_argument("--fresh", action="store_true", help="forget what is known")
    parser.add_argument("--show", action="store_true", help="list what survives without an explanation")
    parser.add_argument("--keep", type=Path, default=BUILD, metavar="DIR", help="for what is known of each module")
    return parser


if __name__ == "__main__":
    sys.exit(main())
