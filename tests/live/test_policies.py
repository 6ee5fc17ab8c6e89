"""Policies in a real link: calls go where they say, the command is theirs, and they have the last word."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from live.live import LiveHost, stubgen
from tools import need, run

import stubgen as library
from stubgen.capture import newest_capture, record

HOST = """
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
long base = 100;
long price(long x) { return base + x; }
long discount(long x) { return x / 2; }
int main(void) {
  char line[4096];
  printf("anchor %p\\n", (void *)main);
  fflush(stdout);
  while (fgets(line, sizeof line, stdin)) {
    line[strcspn(line, "\\n")] = 0;
    void *patch = dlopen(strchr(line, ' ') + 1, RTLD_NOW);
    long (*total)(long) = patch ? (long (*)(long))dlsym(patch, "total") : NULL;
    if (total) printf("%ld\\n", total(10));
    else puts(dlerror());
    fflush(stdout);
  }
}
"""
PATCH = "extern long base; long price(long); long total(long x) { return price(x) + base; }\n"
RULES = """
from stubgen import Policy, UseName, UseAddress, PatchRefusal
class Half(Policy):
    "price() is discount()."
    def verdict(self, proposed):
        return UseName("discount", "half price") if proposed.name == "price" else None
class Named(Policy):
    "The patch has a name of the builder's."
    def link(self, command):
        return [*command, "-Wl,-z,nodelete"]
class No(Policy):
    "Nothing is good enough."
    def finished(self, patch):
        assert open(patch.path, "rb").read(4) == b"\\x7fELF"
        raise PatchRefusal(f"{patch.output}: not on a Friday")
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program, its captured link, a patch's object and a builder's rules; the folder."""
    compiler = str(need("aarch64-linux-gnu-gcc"))
    for name, text in {"app.c": HOST, "patch.c": PATCH, "rules.py": RULES}.items():
        (tmp_path / name).write_text(text)
    words = [compiler, "-g", "-O1", "-fPIE", "app.c", "-o", "app"]
    run(words, cwd=tmp_path)
    record(words, tmp_path / "captured", directory=str(tmp_path))
    run([compiler, "-O1", "-fPIC", "-c", "patch.c", "-o", "patch.o"], cwd=tmp_path)
    return tmp_path


def link(folder: Path, anchor: int, *options: object) -> Sequence[object]:
    """``link`` with *options*: its exit status, and its document."""
    inputs = ["--host", folder / "app", "--captured", folder / "captured", "--aslr-reference", hex(anchor)]
    done = stubgen(
        "link", *inputs, "--export", "total", "-o", folder / "patch.so", folder / "patch.o", "--json", *options
    )
    return done.returncode, json.loads(done.stdout)


def test_a_call_goes_where_a_policy_says(program: Path) -> None:
    """Told in the report and not done would be the worst of both."""
    rules = program / "rules.py"
    with LiveHost(program / "app") as live:
        status, document = link(program, live.anchor, "--policy", f"{rules}:Half", "--map", program / "map")
        assert status == 0, document
        assert live.patch(program / "patch.so") == "105"
    (change,) = document["policies"]
    assert (change["policy"], change["name"]) == ("Half", "price")
    assert json.loads((program / "map").read_text())["policies"] == document["policies"]


def test_the_command_is_a_policys(program: Path) -> None:
    """Builders have options of their own; what was added is told."""
    status, document = link(program, 0x5500000000 + anchor_of(program), "--policy", f"{program / 'rules.py'}:Named")
    assert status == 0, document
    assert "NODELETE" in run([need("readelf"), "-dW", program / "patch.so"])
    (change,) = document["policies"]
    assert (change["what"], change["before"], change["after"]) == ("link", "", "-Wl,-z,nodelete")


def test_a_policy_has_the_last_word(program: Path) -> None:
    """A patch that it refuses is not there, and the one from before still is."""
    (program / "patch.so").write_text("the last one")
    status, document = link(program, 0x5500000000 + anchor_of(program), "--policy", f"{program / 'rules.py'}:No")
    assert status == 1
    assert document["error"]["message"].endswith("patch.so: not on a Friday")
    assert (program / "patch.so").read_text() == "the last one"


def test_policies_from_python(program: Path) -> None:
    """The same as one call."""

    class Loud(library.Policy):
        told: library.FinishedPatch | None = None

        def finished(self, patch: library.FinishedPatch) -> None:
            Loud.told = patch

    builder = library.StubBuilder(program / "app")
    capture = newest_capture(program / "captured", "app")
    objects, output = [program / "patch.o"], program / "patch.so"
    linked = library.link_patch(builder, capture, objects, output, slide=0x5500000000, policies=[Loud()])
    assert Loud.told is not None
    assert Loud.told.output == str(output)
    assert {d.name for d in Loud.told.resolution.decisions()} == {"price", "base"}
    assert linked.policy_changes == ()


def anchor_of(folder: Path) -> int:
    """The static address of main."""
    (found,) = library.open_image(folder / "app").find({b"main"})[b"main"]
    return found.address
