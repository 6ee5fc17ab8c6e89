"""Each command from its start to its end, on small input: what a person waits for beyond Python itself."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from benches.harness import OURS, Bench, Case, Command, Contender, shown, whole_process
from benches.hosts import SLIDE
from benches.workloads import planning, whole_path
from benches.workloads.whole_path import FRESH, PRESENT

TOKENS = 1_000
PLAN = f"plan of {TOKENS:,} tokens"
_LINKERS = ("ld.lld-19", "ld.lld", "aarch64-linux-gnu-ld")


def cases(bench: Bench) -> Iterator[Case]:
    """What imports neither Keystone nor Capstone in one case, the rest in another."""
    version = [bench.python, "-m", "stubgen", "--version"]
    tokens = 100 if bench.quick else TOKENS
    plain = [
        planning.imports(bench),
        Contender(OURS, whole_process(bench, "--version", version), command=shown(bench, version)),
        planning.plan(bench, tokens, PLAN),
    ]
    yield Case("commands", "without a host", "", 0, planning.UNIT, plain)
    yield _with_files(bench)


def _with_files(bench: Bench) -> Case:
    folder = bench.scratch / "commands"
    folder.mkdir(parents=True, exist_ok=True)
    given = whole_path.made(bench, "elf", *((2_000, 50) if bench.quick else (200_000, 500)))
    stub, patch = folder / "stub.o", folder / "patch.so"
    bench.children.run(whole_path.build_command(bench, given, stub))
    commands: dict[str, Command] = {
        "verify": ["verify", stub],
        "inspect": ["inspect", stub],
        "build": whole_path.build_command(bench, given, folder / "again.o")[3:],
    }
    linker = next((name for name in _LINKERS if shutil.which(name)), None)
    if linker:
        bench.children.run([linker, "-shared", "-o", patch, given.patch, stub])
        commands["inspect, the patch"] = ["inspect", patch]
        commands["check"] = ["check", patch, "--host", given.path, "--slide", hex(SLIDE)]
    else:
        bench.absent.append("commands on a linked patch: no linker (Debian: apt-get install lld-19)")
    contenders = [whole_path.imports(bench)]
    for name, words in commands.items():
        command: Command = [bench.python, "-m", "stubgen", *words]
        hosted = name in ("build", "check")
        states = (FRESH, PRESENT) if hosted else ("",)
        contenders += [
            whole_path.with_index(bench, given, state, command, f"{name}, " if hosted else name) for state in states
        ]
    return Case(
        workload="commands",
        title=f"{given.needed} stubs, host of {given.symbols:,} symbols",
        format="elf",
        symbols=given.symbols,
        unit=whole_path.UNIT,
        contenders=contenders,
    )
