"""A server under test: started as a client starts it, spoken to byte by byte."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from synthetic import BASE, Sym, elf_host, elf_object, put, undefined

ROOT = Path(__file__).parent.parent.parent
PATIENCE = 60.0  # seconds until a server that says nothing is a failure
SLIDE = 0x5500000000
REFERENCE = SLIDE + BASE + 0x100

SERVE = [sys.executable, "-m", "stubgen", "serve"]


def frame(message: object) -> bytes:
    """*message* as a client sends it; bytes as they are."""
    content = message if isinstance(message, bytes) else json.dumps(message).encode()
    return b"Content-Length: %d\r\n\r\n" % len(content) + content


def request(id_: object, method: str, **params: object) -> dict[str, Any]:
    """A request as an object."""
    return {"jsonrpc": "2.0", "id": id_, "method": method, "params": params}


def unframed(output: bytes) -> list[dict[str, Any]]:
    """The messages in everything that a server wrote; that they are all that it wrote is asserted."""
    messages = []
    while output:
        header, blank, rest = output.partition(b"\r\n\r\n")
        assert blank
        assert header.startswith(b"Content-Length: "), header
        length = int(header.removeprefix(b"Content-Length: "))
        assert len(rest) >= length, "the last message is cut off"
        messages.append(json.loads(rest[:length]))
        output = rest[length:]
    return messages


class Talk:
    """A conversation with one server."""

    def __init__(self, *options: str, cwd: Path | None = None, **environment: str) -> None:
        self.process = subprocess.Popen(
            [*SERVE, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd or ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.input, self.output = self.process.stdin, self.process.stdout
        self.early: dict[Any, dict[str, Any]] = {}

    def send(self, *messages: object) -> None:
        """Send each message in its frame."""
        self.input.write(b"".join(frame(message) for message in messages))
        self.input.flush()

    def receive(self) -> dict[str, Any]:
        """The next message, whatever it answers."""
        header = self.output.readline()
        assert header.startswith(b"Content-Length: "), header
        assert self.output.readline() == b"\r\n"
        return json.loads(self.output.read(int(header.split()[1])))

    def answer(self, id_: object) -> dict[str, Any]:
        """The answer to request *id_*; others are kept for who asks for them."""
        while id_ not in self.early:
            message = self.receive()
            self.early[message["id"]] = message
        return self.early.pop(id_)

    def ask(self, id_: object, method: str, **params: object) -> dict[str, Any]:
        """Send a request and wait for its answer."""
        self.send(request(id_, method, **params))
        return self.answer(id_)

    def close(self, *, output: bool = False) -> None:
        """End the input, or close the pipe of the answers."""
        if output:
            self.output.close()
            self.process.stdout = None  # communicate() would read it
        else:
            self.input.close()
            self.process.stdin = None

    def end(self) -> tuple[int, list[dict[str, Any]], str]:
        """End the input: the exit status, the remaining messages, and standard error."""
        output, errors = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, unframed(output), errors.decode()


@contextmanager
def serving(*options: str, cwd: Path | None = None, **environment: str) -> Iterator[Talk]:
    """A server that is gone afterwards."""
    talk = Talk(*options, cwd=cwd, **environment)
    try:
        yield talk
    finally:
        talk.process.kill()
        talk.process.communicate()


def said(content: bytes, *options: str, cwd: Path | None = None) -> tuple[int, list[dict[str, Any]], str]:
    """What a server makes of *content* as its whole input: exit status, messages, standard error."""
    done = subprocess.run(
        [*SERVE, *options],
        check=False,
        input=content,
        capture_output=True,
        cwd=cwd or ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=PATIENCE,
    )
    return done.returncode, unframed(done.stdout), done.stderr.decode()


def write_files(folder: Path) -> Path:
    """A host and a patch in *folder*, as old as files of a build are by the time that somebody asks about them."""
    put(folder, "host", elf_host([Sym("main", BASE + 0x100), Sym("f", BASE + 0x140)]))
    put(folder, "patch.o", elf_object([undefined("f")]))
    for name in ("host", "patch.o"):
        age(folder / name)
    return folder


def age(path: Path, seconds: float = 100.0) -> None:
    """Make *path* look written *seconds* ago, and wait until a session would keep it."""
    modified = path.stat().st_mtime_ns - int(seconds * 1e9)
    os.utime(path, ns=(modified, modified))
    time.sleep(0.03)


def build(id_: object, folder: Path, **params: object) -> dict[str, Any]:
    """A request for the stubs of the patch in *folder*."""
    wanted = {"host": str(folder / "host"), "objects": [str(folder / "patch.o")], "output": str(folder / "stub.o")}
    return request(id_, "build", **{"aslr_reference": REFERENCE, **wanted, **params})
