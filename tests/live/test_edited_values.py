"""An edited initialiser, or constant, that does nothing in the living process is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from live.live import stubgen
from live.test_macho import toolchain
from live.test_state_macho import make
from live.test_undefined import LINKERS, Program
from tools import need, run

from stubgen.capture import record

VALUES = """
struct item { char name[8]; long price; const char *unit; };
struct item items[2] = {{"nut", 10, "kg"}, {"bolt", 7, "t"}};
static struct item *best = &items[0], *plain = &items[1];
static int factor = 1, same = 5, zero, one = 1, cleared = 3, still_zero;
static const char *greeting = "hello", *unchanged = "there";
static char text[8] = "abc";
long add(long a) { return a + 1; }
long sub(long a) { return a - 1; }
static long twice(long a) { return 2 * a; }
static long (*handlers[3])(long) = {add, sub, twice};
static long (*alike[3])(long) = {add, sub, twice};
static __thread int per_thread = 4, per_thread_same = 2, per_thread_zero;
const int log_step = 7, step_same = 9;
const char *const words[2] = {"yes", "no"};
const char *const words_same[2] = {"on", "off"};
const int limits[2] = {1, 2};
"""

EDITS = {
    '{"bolt", 7, "t"}': '{"bolt", 99, "t"}',
    "*best = &items[0]": "*best = &items[1]",
    "factor = 1": "factor = 5",
    "zero, one": "zero = 3, one",
    "cleared = 3": "cleared = 0",
    '"hello"': '"hallo"',
    '"abc"': '"abcd"',
    "handlers[3])(long) = {add, sub,": "handlers[3])(long) = {add, add,",
    "per_thread = 4": "per_thread = 8",
    "log_step = 7": "log_step = 8",
    '"no"': '"on"',
    "limits[2] = {1, 2}": "limits[3] = {1, 2, 3}",
}
KEPT = {"items", "best", "factor", "zero", "cleared", "greeting", "text", "handlers", "per_thread"}
CONSTANTS = {"log_step", "words", "limits"}

CODE = """
static long sum(void) {
  same++; one += 2; still_zero++; zero++; cleared++; text[0]++; per_thread++; per_thread_same++; best->price++;
  per_thread_zero++;
  plain->price++; factor += 10;
  if (handlers[0] == alike[1]) {
    handlers[0] = alike[0]; alike[2] = sub; greeting = unchanged; unchanged = 0; best++; plain--;
  }
  return factor + same + zero + one + cleared + still_zero + text[0] + per_thread + per_thread_same + best->price +
         plain->price + greeting[1] + unchanged[0] + handlers[1](1) + alike[2](1) + log_step + step_same + words[1][0] +
         words_same[1][0] + limits[1];
}
"""

NOTE_KEPT = (
    "begins with another value in the patch, which the running process does not get: it keeps the one that it has"
)
NOTE_CONSTANT = "is another value in the patch; code outside the patch reads the host's"


def edited(source: str) -> str:
    """*source* with every edit."""
    for before, after in EDITS.items():
        assert source.count(before) == 1, before
        source = source.replace(before, after)
    return source


@pytest.mark.parametrize("level", ["-O0", "-O2"])
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("linker", LINKERS)
def test_edited_values_that_nobody_gets_are_told(linker: str, compiler: str, level: str, tmp_path: Path) -> None:
    """Three patches in a row did nothing, and nothing said why: the process kept its table."""
    program = Program(
        tmp_path, linker, f"{VALUES}{CODE}long host_entry(long a) {{ return a ? factor : sum(); }}", level, "-g"
    )
    compile_as = str(need("aarch64-linux-gnu-gcc" if compiler == "gcc" else "clang-19"))
    target = [] if compiler == "gcc" else ["--target=aarch64-linux-gnu"]
    command = [compile_as, *target, level, "-g", "-fPIC", "-fdata-sections", "-c", "host.c", "-o"]
    main = "long patch_main(void) { sum(); return factor; }"
    if compiler == "clang":
        run([*command, "host.o"], cwd=tmp_path)
        run(program.captured.argv, cwd=tmp_path)
    record([str(word) for word in program.captured.argv], tmp_path / "captured", directory=str(tmp_path))

    def link(source: str) -> tuple[dict[str, bool], str]:
        (tmp_path / "host.c").write_text(f"{source}{CODE}{main}")
        run([*command, "patch.o"], cwd=tmp_path)
        inputs = [
            "--host",
            tmp_path / "host",
            "--captured",
            tmp_path / "captured",
            "--aslr-reference",
            hex(live.anchor),
        ]
        options = ["--keep-state", "--export", "patch_main", "--json", "-o", tmp_path / "patch.so"]
        done = stubgen("link", *inputs, *options, tmp_path / "patch.o")
        assert done.returncode == 0, done.stderr
        rows = json.loads(done.stdout)["duplicates"]
        return {
            row["name"]: row["initial_value_changed"] for row in rows if row["forwarded"] or not row["writable"]
        }, done.stderr

    with program.start() as live:
        same, told = link(VALUES)
        assert {name for name, differs in same.items() if differs} == set()
        assert "another value" not in told
        changed, told = link(edited(VALUES))
        wanted = (KEPT | CONSTANTS) & changed.keys()
        assert {name for name, differs in changed.items() if differs} == wanted
        assert wanted >= {"items", "factor", "per_thread", "log_step", "words", "limits"}
        for text, names in ((NOTE_KEPT, wanted & KEPT), (NOTE_CONSTANT, wanted - KEPT)):
            (line,) = [line for line in told.splitlines() if line.endswith(text)]
            subject = line.removesuffix(f": {text}").partition("note: ")[2].removeprefix("each of ")
            assert {*subject.split(", ")} == names
        assert live.patch(tmp_path / "patch.so") == "11"  # 1 + 10: not 5 + 10
        assert live.tell("call") == "11"


@pytest.mark.parametrize("tools", ["lld -O0", "lld-opcodes -O2", "zig -O1"])
def test_edited_values_in_macho_files(tools: str, tmp_path: Path) -> None:
    """Mach-O says no sizes, dyld's chains hold the pointers, and a thread-local's symbol is its descriptor."""
    values = VALUES.replace("static __thread", "__thread")  # no debugger's entry says whose a static one is
    patched = edited(values)
    name, level = tools.split()
    main = "int main(void) { return sum(); }"
    for source, wanted in ((values, set[str]()), (patched, KEPT | CONSTANTS)):
        folder = tmp_path / str(len(wanted))
        folder.mkdir()
        made = make(folder, toolchain(name), source + CODE + main, level, "-g", host=values + CODE + main)
        shared = made.linked.built.resolution.shared_variables
        changed = {row.name.removeprefix("_") for row in shared if row.initial_value_changed}
        assert changed == wanted & {row.name.removeprefix("_") for row in shared if row.forwarded or not row.writable}
        assert changed >= wanted & {"items", "log_step", "words", "per_thread"}
