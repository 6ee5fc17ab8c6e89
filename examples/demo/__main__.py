"""Tells the story once for each target in the emulator, and once more in a living process where that is possible."""

from __future__ import annotations

import os
import random
import shlex
import subprocess
import sys
import time
from pathlib import Path

from examples.demo import live
from examples.demo.emulator import Call, EmulationError, Emulator, Mapped
from examples.demo.screen import Screen
from examples.demo.toolchain import (
    LINUX,
    MACOS,
    PROGRAMS,
    DemoFailed,
    Target,
    compile_c,
    link_command,
    run_patiently,
)
from stubgen.build import StubBuilder
from stubgen.capture import Capture, newest_capture
from stubgen.errors import StubgenError
from stubgen.link import Linked, link_patch
from stubgen.linkplan import Action

FOLDER = Path(".demo").absolute()
ITEM = 3
FULL_PRICE, HALF_PRICE = 420, 210  # cents: what checkout() makes of ITEM, and every third time after the patch


def main() -> int:
    """Run the demo; 1 when a step did not do what the story says."""
    screen, start = Screen(), time.monotonic()
    os.environ.setdefault("ZIG_GLOBAL_CACHE_DIR", str(FOLDER / "zig"))
    os.environ.setdefault("ZIG_LOCAL_CACHE_DIR", str(FOLDER / "zig"))
    try:
        _introduce(screen)
        for target in (LINUX, MACOS):
            shop = Shop(target, screen)
            shop.build()
            shop.patch_in_emulator()
        Shop(LINUX, screen).patch_living_process()
    except (DemoFailed, EmulationError, StubgenError) as error:
        screen.say()
        sys.stderr.write(f"the demo failed: {error}\n")
        return 1
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    screen.say()
    seconds = time.monotonic() - start
    screen.say(screen.paint(f"{seconds:.1f} s. All files are in {FOLDER.name}/; try:", "dim"))
    for command in ("inspect .demo/linux/patch.so", "verify .demo/linux/stub.o", "captures .demo/linux/captured"):
        screen.say(screen.paint(f"  {_stubgen()} {command}", "dim"))
    return 0


def _stubgen() -> str:
    """The command as it can be typed here."""
    script = Path(sys.executable).with_name("hotpatch-stubgen")
    return os.path.relpath(script) if script.exists() else f"{Path(sys.executable).name} -m stubgen"


def _introduce(screen: Screen) -> None:
    screen.say(screen.paint("A program runs. One function of it changes. It is not restarted.", "bold"))
    changed = (PROGRAMS / "checkout.c").read_text().partition("\n\n")[2]
    screen.say()
    for line in changed.strip().splitlines():
        screen.say("    " + screen.paint(line, *["green"] if "% 3" in line else ["dim"]))
    screen.say()
    screen.say("The new checkout() calls three functions that only the running program has, one of them static.")


class Shop:
    """The program and its patch, for one target."""

    def __init__(self, target: Target, screen: Screen) -> None:
        self.target = target
        self.screen = screen
        self.folder = FOLDER / target.triple.split("-")[1]
        self.program = self.folder / "shop"

    def build(self) -> None:
        """Build the program as its own build would, with the capture around its link; compile the change."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.screen.title(self.target.title, "program and patch side by side in an emulator")
        compile_c(self.target, "shop.c", self.folder)
        compile_c(self.target, "checkout.c", self.folder)
        command = link_command(self.target, self.program.name)
        capture = [sys.executable, "-m", "stubgen", "capture", "--dir", "captured", "--"]
        run_patiently(
            [*capture, *command],
            self.folder,
            self.screen,
            "link",
            f"the compiler builds its runtime for {self.target.triple}, once",
        )
        self.screen.line("capture", self._short(command), "dim")

    @property
    def captured(self) -> Capture:
        """The record of the program's link."""
        return newest_capture(self.folder / "captured", self.program.name)

    def link(self, anchor: int, patch: Path) -> Linked:
        """From the change to a checked patch, for a process whose main() lies at *anchor*."""
        linked = link_patch(
            StubBuilder(self.program),
            self.captured,
            [self.folder / "checkout.o"],
            patch,
            anchor,
            exports=[self._spelled("checkout")],
            stub=self.folder / "stub.o",
        )
        names, size = linked.built.resolution.stubs.spellings, len(linked.built.stub.content)
        stubs = ", ".join(self._plain(name) for name in names)
        self.screen.line("stubs", f"{len(names)} trampolines in {size} bytes, each decoded and checked: {stubs}")
        return linked

    def show_plan(self, linked: Linked) -> None:
        """What became of the captured command."""
        marks = {Action.DROPPED: ("- ", "red"), Action.ADDED: ("+ ", "green"), Action.REPLACED: ("~ ", "yellow")}
        label = "edit"
        for action, (mark, colour) in marks.items():
            words = [word for edit in linked.plan.edits if edit.action is action for word in edit.after or edit.before]
            if words:
                self.screen.line(label, mark + self._short(words), colour)
                label = ""

    def show_findings(self, linked: Linked) -> None:
        """What the check says of the finished patch."""
        findings = linked.checked.findings
        size = linked.output.stat().st_size
        words = ", ".join(finding.check for finding in findings)
        self.screen.line("check", f"{linked.output.name}, {size} bytes: {len(findings)} checks hold ({words})")

    def patch_in_emulator(self) -> None:
        """Before, patch, after: in memory, with every step's address."""
        target, screen = self.target, self.screen
        emulator = Emulator()
        host = emulator.load(self.program, slide=random.choice(target.host_slides))
        anchor, static = host.address("main"), host.image.symbols["main"]
        screen.line("process", f"main() is at {static:#x} in the file and runs at {anchor:#x}")
        linked = self.link(anchor, self.folder / target.patch_name)
        self.show_plan(linked)
        self.show_findings(linked)

        patch = emulator.load(linked.output, slide=random.choice(target.patch_slides))
        self._watch(emulator, host, patch, linked)
        for number in (1, 2):
            called = emulator.call(host.address("serve"), ITEM)
            _expect(called.signed, FULL_PRICE)
            screen.line("before" if number == 1 else "", _receipt(number, called.signed))
        pointer, new = host.address("current_checkout"), patch.address("checkout")
        old = emulator.read_word(pointer)
        emulator.write_word(pointer, new)
        screen.line("patch", f"current_checkout: {old:#x} -> {new:#x}", "yellow")
        called = emulator.call(host.address("serve"), ITEM)
        _expect(called.signed, HALF_PRICE)
        screen.line("after", _receipt(3, called.signed) + "   half price, and the count went on", "green")
        screen.rows("", _trace(called), ("", "cyan", "dim", "cyan", ""))
        called = emulator.call(host.address("serve"), ITEM)
        _expect(called.signed, FULL_PRICE)
        screen.line("", _receipt(4, called.signed), "green")

    def patch_living_process(self) -> None:
        """The same through the real loader."""
        screen = self.screen
        command, name = live.runner()
        if not name:
            screen.title("A living process")
            screen.line("skipped", "qemu-aarch64 or its libraries are not here (Debian: qemu-user, libc6-arm64-cross)")
            return
        screen.title("A living process", f"{name} and the real loader")
        with live.Process([*command, str(self.program)]) as process:
            anchor = int(process.answer()[1], 16)
            screen.line("start", f"process {process.pid} reports main at {anchor:#x}")
            for number in (1, 2):
                cents = int(process.ask(f"order {ITEM}")[3])
                _expect(cents, FULL_PRICE)
                screen.line("before" if number == 1 else "", _receipt(number, cents))
            patch = self.folder / "patch-live.so"
            seconds = self._link_by_command(anchor, patch)
            answer = process.ask(f"patch {patch}")
            if answer[0] != "checkout":
                raise DemoFailed(f"the loader refused the patch: {' '.join(answer)}")
            screen.line(
                "patch", f"checked, loaded, checkout() at {answer[1]}: {seconds:.1f} s after the compiler", "yellow"
            )
            for number, expected in ((3, HALF_PRICE), (4, FULL_PRICE)):
                answer = process.ask(f"order {ITEM}")
                cents = int(answer[3])
                _expect(cents, expected)
                _expect(int(answer[1]), number)
                note = "   half price, and the count went on" if number == 3 else ""
                screen.line("after" if number == 3 else "", _receipt(number, cents) + note, "green")

    def _link_by_command(self, anchor: int, patch: Path) -> float:
        """What a person would type, in the program's folder; seconds that it took."""
        options = ["--host", "shop", "--captured", "captured", "--aslr-reference", hex(anchor), "--export", "checkout"]
        words = ["link", *options, "-o", patch.name, "checkout.o"]
        self.screen.line("command", shlex.join(["hotpatch-stubgen", *words]), "dim")
        start = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "stubgen", *words], cwd=self.folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise DemoFailed(done.stderr)
        return time.monotonic() - start

    def _watch(self, emulator: Emulator, host: Mapped, patch: Mapped, linked: Linked) -> None:
        for spelled in linked.built.resolution.stubs.spellings:
            name = self._plain(spelled)
            emulator.watch(patch.address(name), f"{name} trampoline")
            emulator.watch(host.address(name), f"{name} host")
        emulator.watch(host.address("serve"), "serve host")
        emulator.watch(patch.address("checkout"), "checkout patch")

    def _spelled(self, name: str) -> str:
        """*name* as the linker has it."""
        return f"_{name}" if self.target is MACOS else name

    def _plain(self, name: bytes) -> str:
        """A symbol as C has it."""
        return name.decode().removeprefix("_" if self.target is MACOS else "")

    def _short(self, words: list[str]) -> str:
        """A command without folders, and with the compiler's name for its four words."""
        return shlex.join(Path(word).name if word.startswith("/") else word for word in words).replace(
            f"{Path(sys.executable).name} -m ziglang cc", "zig cc"
        )


def _trace(called: Call) -> list[tuple[str, str, str, str, str]]:
    """One row for each function that ran; a trampoline and where it lands make one."""
    rows = []
    entered: list[tuple[str, str, int]] = []
    for entry in called.entered:
        name, kind = entry.name.split()
        entered.append((name, kind, entry.address))
    for position, (name, kind, address) in enumerate(entered):
        if kind == "trampoline":
            landed, where, target = entered[position + 1]
            if (landed, where) != (name, "host"):
                raise DemoFailed(f"the trampoline for {name} landed on {landed}")
            rows.append((f"{name}()", f"{address:#x}", "trampoline ->", f"{target:#x}", "host"))
        elif position == 0 or entered[position - 1][1] != "trampoline":
            rows.append((f"{name}()", f"{address:#x}", kind, "", ""))
    return rows


def _receipt(number: int, cents: int) -> str:
    return f"order {number} costs {cents / 100:.2f}"


def _expect(found: int, wanted: int) -> None:
    if found != wanted:
        raise DemoFailed(f"the program says {found} where {wanted} is right")


if __name__ == "__main__":
    sys.exit(main())
