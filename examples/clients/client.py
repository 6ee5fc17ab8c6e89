"""A client of ``hotpatch-stubgen serve`` in Python's standard library alone; docs/protocol.md is what it speaks.

``python examples/clients/client.py --host shop --address 0x5500010990 --address 0x7f00010990 checkout.o`` builds the
stubs of a patch for two running processes, asks for something impossible, and cancels a request. With ``--captured``
it links the patch as well, and gives up after ``--patience`` seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from typing import Any

PROTOCOL = 1
REQUEST_CANCELLED = -32800


class StubgenError(Exception):
    """The server's answer was an error; ``data["document"]`` has what the command found."""

    def __init__(self, code: int, message: str, data: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data or {}


class Stubgen:
    """The server, as a child process. Any thread may ask; one thread reads the answers."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._lock = threading.Lock()
        self._pending: dict[int, Future[Any]] = {}
        self._last = 0
        threading.Thread(target=self._read, daemon=True).start()

    def begin(self, method: str, **params: object) -> tuple[int, Future[Any]]:
        """Ask, and go on: the request's id, and where its answer will be."""
        answer: Future[Any] = Future()
        with self._lock:
            self._last += 1
            self._pending[self._last] = answer
            self._write({"jsonrpc": "2.0", "id": self._last, "method": method, "params": params})
            return self._last, answer

    def call(self, method: str, **params: object) -> Any:
        """Ask, and wait for the answer."""
        return self.begin(method, **params)[1].result()

    def cancel(self, id_: int) -> None:
        """Say that nobody wants the answer any more; it comes all the same, as an error or just too late."""
        with self._lock:
            self._write({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": id_}})

    def close(self) -> None:
        """Let the server finish what it does, and end."""
        self.call("shutdown")
        with self._lock:
            self._write({"jsonrpc": "2.0", "method": "exit"})
        self._process.wait()

    def _write(self, message: dict[str, Any]) -> None:
        content = json.dumps(message).encode()
        assert self._process.stdin is not None
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(content), content))
        self._process.stdin.flush()

    def _read(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        while header := stream.readline():
            length = int(header.partition(b":")[2])  # Content-Length is the one header that the server writes
            stream.readline()
            self._settle(json.loads(stream.read(length)))
        with self._lock:
            abandoned, self._pending = self._pending, {}
        for answer in abandoned.values():
            answer.set_exception(ConnectionError("the server ended"))

    def _settle(self, message: dict[str, Any]) -> None:
        with self._lock:
            answer = self._pending.pop(message["id"], None)
        if answer is None:  # id null: something that we sent was no request
            sys.stderr.write(f"{message['error']['message']}\n")
        elif "error" in message:
            answer.set_exception(StubgenError(**message["error"]))
        else:
            answer.set_result(message["result"])


def main() -> int:
    """Every part of the protocol once."""
    parser = argparse.ArgumentParser(description="Builds a patch's stubs for several processes.")
    parser.add_argument("--host", required=True, type=os.path.abspath)
    parser.add_argument(
        "--address", action="append", required=True, help="the anchor's (main's), as a running process reports it"
    )
    parser.add_argument("--captured", type=os.path.abspath, help="the record of the host's link: link the patch, too")
    parser.add_argument("--patience", type=float, default=60.0, help="seconds to wait for the linker")
    parser.add_argument("--output", type=os.path.abspath, default=os.path.abspath("patch.so"))
    parser.add_argument("--server", default="hotpatch-stubgen")
    parser.add_argument("objects", nargs="+", type=os.path.abspath)
    options = parser.parse_args()
    server = Stubgen([*options.server.split(), "serve"])
    told = server.call("initialize", protocol=PROTOCOL)
    print(f"{told['name']} {told['version']}: {', '.join(told['methods'])}")

    # The second process costs next to nothing: the host is open, the objects are parsed, the symbols are judged.
    patch = {"host": options.host, "objects": options.objects}
    for number, address in enumerate(options.address):
        stub = f"{options.output}.{number}.stub.o"
        start = time.perf_counter()
        built = server.call("build", aslr_reference=address, output=stub, allow_missing=True, decisions="none", **patch)
        milliseconds = (time.perf_counter() - start) * 1000
        print(f"slide {built['slide']:#x}: {built['stubs']} stubs in {stub}, {milliseconds:.1f} ms")

    try:
        server.call("verify", file=options.host)
    except StubgenError as error:
        print(f"error {error.code}, {error.data['kind']}: {error}")

    if options.captured is None:
        id_, answer = server.begin(
            "build", aslr_reference=options.address[0], output=f"{options.output}.stub.o", **patch
        )
        server.cancel(id_)
    else:
        where = {"captured": options.captured, "output": options.output}
        id_, answer = server.begin("link", aslr_reference=options.address[0], **where, **patch)
        try:
            answer.exception(timeout=options.patience)
        except TimeoutError:
            server.cancel(id_)
    try:
        print(f"done: {answer.result()['output']}")
    except StubgenError as error:
        print("cancelled" if error.code == REQUEST_CANCELLED else f"error {error.code}: {error}")
    server.close()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except StubgenError as error:  # the answer to a request without which the rest makes no sense
        sys.exit(f"error {error.code}: {error}")
    except OSError as error:
        sys.exit(f"the server cannot be run: {error}")
