"""Mach-O patches of one process, in an emulated processor: each address in a table leads to the newest function."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from live.test_macho import SLIDE, Toolchain, toolchain
from tools import need_module, run

from stubgen.build import StubBuilder
from stubgen.capture import Capture
from stubgen.generations.linking import LinkedGeneration, link_generation
from stubgen.generations.opening import SessionOptions
from stubgen.generations.undoing import link_undo
from stubgen.jumptable.formats import encode_jump_table

KEPT = "__attribute__((noinline, used))"
A = f"""long count = 1;
{KEPT} static long rate(long n) {{ return n * 10 + P; }}
{KEPT} long price(long n) {{ count += 1000; return rate(n) + count; }}
long (*pointer(void))(long) {{ return price; }}
"""
B = f"""long price(long n); {KEPT} long other(long n) {{ return price(n) * 10 + Q; }}
int main(void) {{ return (int)other(1); }}
"""
SOURCES = {"a": A, "b": B}
PATCH_SLIDES = [0x74B4_0000_0000 + number * 0x1000_0000 for number in range(7)]


class Process:
    """An emulated process, and the session of its patches."""

    def __init__(self, folder: Path, tools: Toolchain) -> None:
        from examples.demo.emulator import Emulator

        self.folder, self.tools = folder, tools
        objects = [self.object(name, P=0, Q=0).name for name in ("a", "b")]
        command = [*tools.link, "-o", "host", *objects]
        run(command, cwd=folder)
        self.captured = Capture(command, folder, {}, output="host")
        self.builder = StubBuilder(folder / "host")
        self.emulator = Emulator()
        self.emulator.load(folder / "host", slide=SLIDE)
        self.anchor = self.builder.host.find({b"_main"})[b"_main"][0].address + SLIDE
        self.loaded: int | None = None
        self.table: dict[int, int] = {}

    def object(self, name: str, **numbers: int) -> Path:
        """The object of one of the files; in another file each time, as Mach-O patches name theirs."""
        (self.folder / f"{name}.c").write_text(SOURCES[name])
        output = self.folder / f"{name}{'-'.join(map(str, numbers.values()))}.o"
        macros = [f"-D{macro}={value}" for macro, value in numbers.items()]
        run([*self.tools.compile, "-O1", "-g", *macros, "-c", f"{name}.c", "-o", output.name], cwd=self.folder)
        return output

    @property
    def session(self) -> SessionOptions:
        """The session, and what became of its last patch."""
        return SessionOptions(self.folder / "session", self.loaded)

    def patch(self, path: Path) -> LinkedGeneration:
        """Link a patch and load it."""
        output = self.folder / "p{generation}.dylib"
        objects = [path]
        made = link_generation(self.session, self.builder, self.captured, objects, output, self.anchor, keep_state=True)
        return self.load(made)

    def undo(self, to: int) -> LinkedGeneration:
        """Link a patch that leads back and load it."""
        return self.load(
            link_undo(self.session, self.builder, self.captured, self.folder / "p{generation}.dylib", to=to)
        )

    def load(self, made: LinkedGeneration) -> LinkedGeneration:
        """Map it, and redirect by its table."""
        slide = PATCH_SLIDES[made.number]
        self.emulator.load(made.linked.output, slide=slide)
        table = made.linked.jump_table
        assert table is not None
        self.loaded = table.patch_anchor + slide
        self.table = {(entry.old + SLIDE) % (1 << 64): entry.new + slide for entry in table.entries}
        shown = json.loads(encode_jump_table(table, "subsecond"))["map"]
        assert {int(old) for old in shown} == {entry.old for entry in table.entries}
        assert all(0 <= new < 1 << 40 for new in shown.values()), "static addresses: a client adds its offset unsigned"
        return made

    def call(self, address: int, argument: int) -> int:
        """What is called there answers, after a look into the table."""
        return self.emulator.call(self.table.get(address, address), argument).signed

    def address(self, made: LinkedGeneration | None, name: str) -> int:
        """A function of the host's, or of a patch's, in the process."""
        if made is None:
            return self.builder.host.find({name.encode()})[name.encode()][0].address + SLIDE
        found = {item.name: item.address for item in made.linked.replaced.functions}
        return found[name] + PATCH_SLIDES[made.number]


@pytest.mark.parametrize("name", ["lld", "zig"])
def test_generations(name: str, tmp_path: Path) -> None:
    """What a patch only leads to is referred to by nothing in it, and the host's ``-dead_strip`` takes such things."""
    need_module("unicorn", "unicorn")
    tools = toolchain(name)
    option = "-Wl,-dead_strip" if name == "zig" else "-dead_strip"
    process = Process(tmp_path, tools._replace(link=[*tools.link, option]))
    price, other = process.address(None, "_price"), process.address(None, "_other")
    assert process.call(price, 1) == 10 + 1001
    first = process.patch(process.object("a", P=1))
    assert process.call(price, 1) == 11 + 2001
    second = process.patch(process.object("b", Q=2))
    assert process.call(price, 1) == 11 + 3001, "the first patch's, which still holds"
    assert process.call(other, 1) == (11 + 4001) * 10 + 2
    process.patch(process.object("a", P=3))
    assert process.call(price, 1) == 13 + 5001
    assert process.call(process.address(first, "_price"), 1) == 13 + 6001, "code of the first patch that still runs"
    assert process.call(process.address(second, "_other"), 1) == (11 + 7001) * 10 + 2
    process.undo(1)
    assert process.call(price, 1) == 11 + 8001
    assert process.call(other, 1) == (10 + 9001) * 10
    process.undo(0)
    assert process.call(price, 1) == 10 + 10001
    assert process.call(process.address(first, "_price"), 1) == 10 + 11001
    assert process.call(process.address(second, "_other"), 1) == (10 + 12001) * 10


@pytest.mark.parametrize("name", ["lld", "zig"])
def test_who_calls_what_an_earlier_patch_replaced(name: str, tmp_path: Path) -> None:
    """A later patch has a function as it was, which calls the earlier patch's; who looks it up got the host's."""
    need_module("unicorn", "unicorn")
    process = Process(tmp_path, toolchain(name))
    other = process.address(None, "_other")
    process.patch(process.object("a", P=1))
    assert process.call(other, 1) == (10 + 1001) * 10, "the host's, which calls the host's price directly"
    process.patch(process.object("b", Q=0))
    assert process.call(other, 1) == (11 + 2001) * 10


@pytest.mark.parametrize("name", ["lld", "zig"])
def test_a_form_that_returns(name: str, tmp_path: Path) -> None:
    """What the first patch counted in another type is begun anew, and that is said."""
    need_module("unicorn", "unicorn")
    process = Process(tmp_path, toolchain(name))
    price = process.address(None, "_price")
    assert process.call(price, 1) == 10 + 1001
    edited = process.object("a", P=1)
    (tmp_path / "a.c").write_text(A.replace("long count", "__int128 count"))
    run([*process.tools.compile, "-O1", "-g", "-DP=1", "-c", "a.c", "-o", edited.name], cwd=tmp_path)
    process.patch(edited)
    assert [process.call(price, 1), process.call(price, 1)] == [11 + 1001, 11 + 2001]
    made = process.patch(process.object("a", P=2))
    (count,) = [each for each in made.linked.built.resolution.shared_variables if each.name == "_count"]
    assert (count.forwarded, Path(count.patch).name) == (False, "p1.dylib"), "its objects say what type it has there"
    assert process.call(price, 1) == 12 + 1001


@pytest.mark.parametrize("storage", ["static ", ""])
@pytest.mark.parametrize("name", ["lld", "zig"])
def test_deleted_and_back(name: str, storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that one patch had no more goes on with what the host counted before: that is to be known."""
    need_module("unicorn", "unicorn")
    static = A.replace("long count", f"{storage}long count")
    monkeypatch.setitem(SOURCES, "a", static)
    process = Process(tmp_path, toolchain(name))
    price = process.address(None, "_price")
    assert process.call(price, 1) == 10 + 1001
    monkeypatch.setitem(
        SOURCES,
        "a",
        static.replace(f"{storage}long count = 1;", "").replace("count += 1000;", "").replace(" + count", ""),
    )
    process.patch(process.object("a", P=1))
    assert process.call(price, 1) == 11
    monkeypatch.setitem(SOURCES, "a", static)
    made = process.patch(process.object("a", P=2))
    (count,) = [each for each in made.linked.built.resolution.shared_variables if each.name == "_count"]
    assert (count.forwarded, count.lost) == (True, f"{tmp_path / 'p1.dylib'} is without it")
    assert process.call(price, 1) == 12 + 2001
