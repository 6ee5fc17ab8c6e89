"""What a patch and its host both define, live: variables that keep their state, functions that were replaced before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest
from live.live import LiveHost, looked_up_by, stubgen
from live.test_elf import LINKERS, link_host
from tools import PROGRAMS, need, run

COMPILERS = {
    "gcc": ("aarch64-linux-gnu-gcc",),
    "clang": ("clang-19", "--target=aarch64-linux-gnu"),
}


class Program(NamedTuple):
    """A linked host, the record of its link, and a folder for patches."""

    host: Path
    captured: Path
    folder: Path

    def compile(self, source: str, *options: str, compiler: str = "gcc") -> Path:
        """The object of a patch; its file is called like the host's, as when a builder recompiles it."""
        program, *target = COMPILERS[compiler]
        output = self.folder / f"{source}.o"
        copy = self.folder / "state_host.c"
        copy.write_text((PROGRAMS / f"{source}.c").read_text())
        run([str(need(program)), *target, "-c", "-O1", "-fPIC", *options, copy, "-o", output])
        return output

    def link(self, live: LiveHost, patch: Path, output: str, *options: object) -> dict[str, object]:
        """Link a patch by the command line; its JSON document."""
        done = stubgen(
            *("link", "--json", "--host", self.host, "--captured", self.captured, "--aslr-reference", hex(live.anchor)),
            *("--export", "patch_main", *options, "-o", self.folder / output, patch),
        )
        document: dict[str, object] = json.loads(done.stdout)
        document["stderr"] = done.stderr
        return document


@pytest.fixture(params=LINKERS)
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Program:
    """The host, linked by each linker in turn."""
    host = tmp_path / "state_host.o"
    gcc = str(need("aarch64-linux-gnu-gcc"))
    run([gcc, "-c", "-O1", "-fPIC", PROGRAMS / "state_host.c", "-o", host])
    path, captured = link_host(tmp_path, {"host": host}, request.param)
    return Program(path, captured, tmp_path)


@pytest.mark.parametrize("compiler", COMPILERS)
def test_keep_state_uses_the_hosts_variables(program: Program, compiler: str) -> None:
    """A counter that restarts with every save is what surprises people most."""
    patch = program.compile("state_patch", "-fdata-sections", compiler=compiler)
    with LiveHost(program.host) as live:
        assert live.tell("state") == "visible 5 hidden 7 table 3"
        document = program.link(live, patch, "patch.so", "--keep-state")
        assert document["status"] == 0, document
        assert live.patch(program.folder / "patch.so").split()[0] == "212"
        assert live.tell("state") == "visible 105 hidden 107 table 13"
        live.end()
    assert not looked_up_by(program.folder / "patch.so") & {"visible_count", "hidden_count", "table"}


@pytest.mark.parametrize(
    ("compiler", "options"),
    [
        ("gcc", "-O2 -freorder-blocks-and-partition"),
        ("gcc", "-O2 -freorder-blocks-and-partition -ffunction-sections"),
        ("clang", "-O2 -ffunction-sections"),
    ],
)
def test_a_page_that_one_section_loads_and_another_uses(program: Program, compiler: str, options: str) -> None:
    """GCC's cold part of a function would read and write beside the constant that holds the variable's address."""
    patch = program.compile("state_cold", "-fdata-sections", *options.split(), compiler=compiler)
    with LiveHost(program.host) as live:
        document = program.link(live, patch, "patch.so", "--keep-state")
        assert document["status"] == 0, document
        assert live.patch(program.folder / "patch.so").split()[0] == "107"
        assert live.tell("state") == "visible 5 hidden 107 table 3"
        live.end()
    if compiler == "gcc":
        shown = run([need("llvm-objdump-19"), "-dr", patch]).partition("<step.cold>:")[2].partition("Disassembly")[0]
        assert "LDST32" in shown
        assert "PG_HI21\t.data.hidden_count" not in shown, "the other section loads the page by itself"


def test_a_functions_static_goes_on_counting(program: Program) -> None:
    """GCC gives it another number when one more stands in front: it is told by the function that uses it."""
    patch = program.compile("state_statics", "-fdata-sections")
    with LiveHost(program.host) as live:
        document = program.link(live, patch, "patch.so", "--keep-state")
        assert document["status"] == 0, document
        assert live.patch(program.folder / "patch.so").split()[0] == "42"
        assert live.patch(program.folder / "patch.so").split()[0] == "43"
        live.end()


def test_a_name_alone_does_not_make_it_the_hosts(program: Program) -> None:
    """Two files may each have their ``static int count``: binding one to the other corrupts both."""
    source = program.folder / "new.c"
    source.write_text("static volatile int hidden_count = 1; int patch_main(void) { return ++hidden_count; }")
    gcc, patch = str(need("aarch64-linux-gnu-gcc")), source.with_suffix(".o")
    run([gcc, "-c", "-O1", "-fPIC", "-fdata-sections", source, "-o", patch])
    with LiveHost(program.host) as live:
        document = program.link(live, patch, "patch.so", "--keep-state")
        assert live.patch(program.folder / "patch.so").split()[0] == "2"
        assert live.tell("state") == "visible 5 hidden 7 table 3"
        live.end()
    (listed,) = document["duplicates"]  # type: ignore[misc]
    assert not listed["forwarded"]
    assert "the host's is from a" in listed["obstacle"]


def test_without_it_the_fresh_copies_are_named(program: Program) -> None:
    """The default leaves the patch its own variables, and says which."""
    patch = program.compile("state_patch", "-fdata-sections")
    with LiveHost(program.host) as live:
        document = program.link(live, patch, "patch.so")
        assert live.patch(program.folder / "patch.so").split()[0] == "212"
        assert live.tell("state") == "visible 5 hidden 7 table 3"
        live.end()
    listed = {d["name"]: (d["size"], d["writable"], d["forwarded"]) for d in document["duplicates"]}  # type: ignore[attr-defined]
    assert listed["hidden_count"] == (4, True, False)
    assert listed["table"] == (32, True, False)
    assert "4 variables of the patch's own start afresh: --keep-state may use the host's: " in str(document["stderr"])
    assert "hidden_count" in str(document["stderr"])


def test_variables_that_share_a_section_are_refused(program: Program) -> None:
    """GCC reaches several variables from one anchor; which one an access means cannot be proven, so it is not tried."""
    patch = program.compile("state_patch")
    with LiveHost(program.host) as live:
        document = program.link(live, patch, "patch.so", "--keep-state")
        live.end()
    message = document["error"]["message"]  # type: ignore[index]
    assert document["status"] == 1
    assert "state_patch.o: .text+0x" in message
    assert "compile with -fdata-sections" in message


def test_variables_that_llvm_merged_are_refused_with_the_option_that_helps(program: Program) -> None:
    """Under -O3 they share a section whatever -fdata-sections says; to be told to use it helps nobody."""
    options = ("-fdata-sections", "-O3")
    with LiveHost(program.host) as live:
        merged = program.link(live, program.compile("state_patch", *options, compiler="clang"), "m.so", "--keep-state")
        assert merged["status"] == 1
        assert "_MergedGlobals" in merged["error"]["message"]  # type: ignore[index]
        advice = "compile with -mno-global-merge (rustc: -C llvm-args=-enable-global-merge=false)"
        assert advice in merged["error"]["message"]  # type: ignore[index]
        patch = program.compile("state_patch", *options, "-mno-global-merge", compiler="clang")
        assert program.link(live, patch, "patch.so", "--keep-state")["status"] == 0
        assert live.patch(program.folder / "patch.so").split()[0] == "212"
        live.end()


def test_a_resized_variable_is_not_kept(program: Program) -> None:
    """The host's array is shorter than the patch's: writing through it would run over its neighbour."""
    patch = program.compile("state_patch", "-fdata-sections", "-DRESIZED")
    with LiveHost(program.host) as live:
        document = program.link(live, patch, "patch.so", "--keep-state")
        assert document["status"] == 0, document
        live.patch(program.folder / "patch.so")
        live.end()
    (resized,) = [d for d in document["duplicates"] if d["name"] == "resized"]  # type: ignore[attr-defined]
    assert not resized["forwarded"]
    assert resized["obstacle"] == "its size changed from 8 to 12 bytes"


def test_a_second_patch_calls_the_first(program: Program) -> None:
    """After two saves the second patch must not call back into the function that the first one replaced."""
    one, two = program.compile("generation_one"), program.compile("generation_two")
    overrides = program.folder / "one.json"
    with LiveHost(program.host) as live:
        document = program.link(live, one, "one.so", "--override-map", overrides)
        assert document["replaces"].keys() == {"version"}  # type: ignore[attr-defined]
        value, base = live.patch(program.folder / "one.so").split()
        assert value == "2"
        assert program.link(live, two, "plain.so")["status"] == 0
        assert live.patch(program.folder / "plain.so").split()[0] == "10", "without the map: the host's"
        document = program.link(live, two, "two.so", "--override", f"{overrides}@{base}")
        assert document["status"] == 0, document
        assert live.patch(program.folder / "two.so").split()[0] == "20", "with the map: the first patch's"
        live.end()


WRONG_MAPS = {"no base": ("{}", "", "give the map and where"), "no map": ("[1]", "@0x1000", "is not an override map")}


@pytest.mark.parametrize(("content", "base", "sentence"), WRONG_MAPS.values(), ids=list(WRONG_MAPS))
def test_wrong_override_maps(tmp_path: Path, content: str, base: str, sentence: str) -> None:
    """A wrong base sends calls into nowhere; a missing one is not taken for 0."""
    path = tmp_path / "map.json"
    path.write_text(content)
    done = stubgen(
        "build", "--host", path, "--slide", "0", "--override", f"{path}{base}", "x.o", "-o", tmp_path / "s.o"
    )
    assert done.returncode in (2, 3)
    assert sentence in done.stderr
