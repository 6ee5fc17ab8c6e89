"""Link planning: the command, and the call in a process that runs."""

from __future__ import annotations

from collections.abc import Iterator

from benches.commandlines import fat_link
from benches.harness import OURS, Bench, Case, Command, Contender, Sample, Step, whole_process
from benches.workloads.emission import _warm, phases

IMPORT = "import argparse, json"
UNIT = Step("python", IMPORT)
COMMAND, CALL = "plan, the command", "build_link_plan, the call"


def cases(bench: Bench) -> Iterator[Case]:
    """Commands of growing length."""
    for tokens in (50, 100) if bench.quick else (100, 1_000, 20_000):
        yield Case(
            workload="planning",
            title=f"{tokens:,} tokens",
            format="",
            symbols=tokens,
            unit=UNIT,
            contenders=[imports(bench), plan(bench, tokens, COMMAND), _call(bench, tokens)],
        )


def imports(bench: Bench) -> Contender:
    """Python with what any command line needs."""
    return Contender(
        "python", whole_process(bench, IMPORT, [bench.python, "-c", IMPORT]), command=f'python -c "{IMPORT}"'
    )


def plan(bench: Bench, tokens: int, step: str) -> Contender:
    """The command for *tokens* tokens."""
    command: Command = [
        bench.python,
        "-m",
        "stubgen",
        "plan",
        "--object",
        "patch.o",
        "-o",
        "patch.so",
        "--directory",
        "/build",
        "--",
    ]
    return Contender(
        OURS,
        whole_process(bench, step, [*command, *fat_link(tokens)]),
        command=f"python -m stubgen plan --object patch.o -o patch.so --directory /build -- ARGV of {tokens:,}",
    )


def _call(bench: Bench, tokens: int) -> Contender:
    command: Command = [bench.python, "-m", "benches.ours", "plan", str(tokens), "5"]

    def run() -> dict[str, Sample]:
        return {CALL: Sample(_warm(phases(bench.children.run(command).stdout)["plan"]))}

    return Contender(OURS, run, command=f"python -m benches.ours plan {tokens} 5")
