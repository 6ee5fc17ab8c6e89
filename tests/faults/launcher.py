"""Runs one of stubgen's programs and lets one of its operations fail, or ends it there by a signal.

    python launcher.py '{"at": 7, "fault": "ENOSPC"}' stubgen link ...

Without words it loads all of stubgen once, and forks for each command that it reads from standard input.

Python's audit events come before the system is asked, so an event that raises is a system that refuses; writes have no
event, and go through files of a class of our own. Nothing is preloaded and no environment variable is read, so this
works wherever Python does. What runs in programs that are started is their own.
"""

from __future__ import annotations

import errno
import importlib
import io
import json
import os
import signal
import stat
import sys
import time

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
EVENTS = {
    "os.rename": "rename",
    "os.mkdir": "mkdir",
    "os.remove": "unlink",
    "os.rmdir": "rmdir",
    "os.utime": "utime",
    "os.truncate": "truncate",
    "os.link": "link",
    "os.symlink": "symlink",
    "os.chmod": "chmod",
    "fcntl.flock": "flock",
    "subprocess.Popen": "spawn",
    "os.posix_spawn": "spawn",
}
"""Audit event -> what the operation is called here."""
ROOM = frozenset({"open", "mkdir", "write", "link", "symlink"})
"""What a full disk refuses; it goes on to rename and to remove."""
NO_FILE = frozenset({"spawn", "flock"})
"""What a file system has nothing to say about."""
PYTHONS_OWN = (
    sys.prefix,
    sys.base_prefix,
    "/dev/",
    "/proc/",
    os.path.abspath(os.path.join(__file__, "../../..")) + "/",
)
"""Where what Python itself reads is."""


class Injector:
    """Counts operations, and acts at one of them."""

    def __init__(self, plan: dict[str, object]) -> None:
        self.at = int(str(plan.get("at", -1)))
        self.fault = str(plan.get("fault", ""))
        self.unit = str(plan.get("unit", "op"))  # what *at* counts, as engine.UNITS has it
        self.log = str(plan.get("log", ""))
        self.seen: list[str] = []
        self.read: list[str] = []
        self.called = 0
        self.spawned = self.linking = 0.0  # when the first program was started, and for how long it ran
        self.failing = False  # it has begun, and goes on
        self.on = False

    def operation(self, name: str) -> bool:
        """One more; whether the write is to be short."""
        if not self.on:
            return False
        number = len(self.seen)
        self.seen.append(name)
        kind = name.partition(" ")[0]
        fault = self.fault
        self._watch(kind)
        if self.unit != "op" or not fault:
            return False
        if fault.startswith("SIG"):
            if number == self.at:
                os.kill(os.getpid(), getattr(signal, fault))
            return False
        if fault == "short":
            return kind == "write" and number >= self.at
        if number == self.at:
            self.failing = True
        lasting = fault in ("ENOSPC+", "EROFS+")
        if number == self.at or (lasting and self.failing and (kind in ROOM or fault == "EROFS+")):
            code = "EAGAIN" if kind == "spawn" else "ENOLCK" if kind == "flock" else fault.rstrip("+")
            if number == self.at or kind not in NO_FILE:
                raise OSError(getattr(errno, code), os.strerror(getattr(errno, code)))
        return False

    def _watch(self, kind: str) -> None:
        """Measure how long the first program runs; a signal that is counted in microseconds is on its way then."""
        now = time.monotonic()
        if self.spawned and not self.linking:
            self.linking = now - self.spawned
        if kind == "spawn" and not self.spawned:
            self.spawned = now
            if self.unit == "wall" and self.fault and os.fork() == 0:
                time.sleep(self.at / 1e6)
                os.kill(os.getppid(), getattr(signal, self.fault))
                os.kill(os.getpid(), signal.SIGKILL)  # with nothing of what a process does at its end

    def reading(self, name: str, path: str) -> None:
        """One more read, by *name*, of the file or folder at *path*."""
        path = os.path.abspath(path)
        if not self.on or path.startswith(PYTHONS_OWN) or "/site-packages" in path or path.endswith(".pyc"):
            return
        self.read.append(f"{name} {os.path.basename(path)}")
        if self.unit == "read" and self.fault and len(self.read) == self.at + 1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def reading_from(self, name: str, descriptor: int) -> None:
        """One more read of an open file."""
        if self.on and stat.S_ISREG(os.fstat(descriptor).st_mode):
            self.reading(name, os.readlink(f"/proc/self/fd/{descriptor}"))

    def audited(self, event: str, arguments: tuple[object, ...]) -> None:
        """An audit event."""
        if not self.on:
            return
        if event == "os.exec":
            self.report()
        elif event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and isinstance(path, str | bytes):
                text = os.fsdecode(path)
                if not flags & WRITING:
                    if "rmtree" not in sys._getframe(1).f_code.co_name:  # which reads to remove
                        self.reading("open", text)
                elif not text.startswith(("/dev/", "/proc/")):
                    self.operation(f"open {os.path.basename(text)}")
        elif event in ("os.listdir", "os.scandir"):
            self.reading("list", os.fsdecode(arguments[0])) if isinstance(arguments[0], str | bytes) else None
        elif event == "mmap.__new__" and isinstance(arguments[0], int) and arguments[0] >= 0:
            self.reading_from("map", arguments[0])
        elif event in EVENTS:
            what = os.path.basename(os.fsdecode(arguments[0])) if isinstance(arguments[0], str | bytes) else ""
            self.operation(f"{EVENTS[event]} {what}".rstrip())

    def call(self, frame: object, event: str, argument: object) -> None:
        """A call or a return of a function."""
        if event == "call":
            self.called += 1
            if self.called == self.at and self.on:
                os.kill(os.getpid(), getattr(signal, self.fault))

    def report(self) -> None:
        """Write what was seen."""
        if self.log and self.on:
            self.on = False
            with io.FileIO(self.log, "w") as file:
                file.write(
                    json.dumps(
                        {
                            "operations": self.seen,
                            "reads": self.read,
                            "calls": self.called,
                            "linking": int(self.linking * 1e6),
                        }
                    ).encode()
                )


def install(injector: Injector) -> None:
    """Stand between Python and the system."""
    plain_exit, plain_write, plain_send = os._exit, os.write, os.sendfile
    plain_read, plain_read_at = os.read, os.pread

    class File(io.FileIO):
        """A file whose reads and writes are counted."""

        def write(self, content):  # type: ignore[no-untyped-def]  # as io has it
            if stat.S_ISREG(os.fstat(self.fileno()).st_mode) and injector.operation(f"write {self.name}"):
                content = memoryview(content).cast("B")
                content = content[: max(len(content) // 2, 1)]
            return super().write(content)

        def read(self, size=-1):  # type: ignore[no-untyped-def]  # as io has it
            injector.reading_from("read", self.fileno())
            return super().read(size)

        def readall(self):  # type: ignore[no-untyped-def]  # as io has it
            injector.reading_from("read", self.fileno())
            return super().readall()

        def readinto(self, buffer):  # type: ignore[no-untyped-def]  # as io has it
            injector.reading_from("read", self.fileno())
            return super().readinto(buffer)

    def opened(file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, closefd=True, opener=None):  # type: ignore[no-untyped-def]  # as io has it
        raw = File(file, mode.replace("b", "").replace("t", ""), closefd, opener)
        if buffering == 0:
            return raw
        kind = io.BufferedRandom if "+" in mode else io.BufferedReader if "r" in mode else io.BufferedWriter
        buffered = kind(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding or "utf-8", errors, newline)

    def written(descriptor: int, content: bytes) -> int:
        if stat.S_ISREG(os.fstat(descriptor).st_mode) and injector.operation("write"):
            content = content[: max(len(content) // 2, 1)]
        return plain_write(descriptor, content)

    def read(descriptor: int, size: int) -> bytes:
        injector.reading_from("read", descriptor)
        return plain_read(descriptor, size)

    def read_at(descriptor: int, size: int, offset: int) -> bytes:
        injector.reading_from("read", descriptor)
        return plain_read_at(descriptor, size, offset)

    def sent(target: int, source: int, offset: int | None, count: int) -> int:
        if injector.operation("write"):
            count = 1
        return plain_send(target, source, offset, count)

    def ended(status: int) -> None:
        injector.report()
        plain_exit(status)

    import builtins

    builtins.open = io.open = opened
    os.write, os._exit, os.sendfile, os.read, os.pread = written, ended, sent, read, read_at
    sys.addaudithook(injector.audited)
    if injector.unit == "call":
        sys.setprofile(injector.call)


def main(plan: dict[str, object], command: list[str]) -> None:
    """The program."""
    injector = Injector(plan)
    name, sys.argv = command[0], command
    for number in (signal.SIGINT, signal.SIGTERM):  # whoever started the tests may have them ignored
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    install(injector)
    module, _, function = name.partition(":")
    if module == "stubgen":
        module, function = "stubgen.__main__", "run"
    try:
        if function:
            run = getattr(importlib.import_module(module), function)
            injector.on = True
            run()
        else:
            import runpy

            injector.on = True
            runpy.run_module(module, run_name="__main__")
    finally:
        injector.report()


def load() -> None:
    """Import what takes a command half of its time."""
    import pkgutil

    import capstone  # noqa: F401  # as stubgen does

    package = importlib.import_module("stubgen")
    for module in pkgutil.walk_packages(package.__path__, "stubgen."):
        if not module.name.endswith(("__main__", "host.index")):  # which runpy runs
            importlib.import_module(module.name)


def next_job() -> dict[str, object]:
    """A process for each line of standard input; this returns in them, and tells how each ended."""
    requests = os.fdopen(os.dup(0), "rb", 0)
    while line := requests.readline():
        child = os.fork()
        if child == 0:
            requests.close()
            return json.loads(line)  # type: ignore[no-any-return]  # an object
        os.write(1, b"%d\n" % child)
        os.write(1, b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    sys.exit(0)


def enter(job: dict[str, object]) -> None:
    """Be in the folder, with the variables and the files that the *job* names."""
    os.chdir(str(job["folder"]))
    os.environ.clear()
    os.environ.update(job["variables"])  # type: ignore[call-overload]  # an object of strings
    for number, name in enumerate(("input", "output", "errors")):
        handle = os.open(str(job[name]), (os.O_WRONLY | os.O_CREAT | os.O_TRUNC) if number else os.O_RDONLY, 0o600)
        os.dup2(handle, number)
        os.close(handle)


if __name__ == "__main__":
    if sys.argv[1:]:
        main(json.loads(sys.argv[1]), sys.argv[2:])
    else:
        load()
        job = next_job()
        enter(job)
        main(job["plan"], job["command"])  # type: ignore[arg-type]  # as engine.Launcher wrote it
