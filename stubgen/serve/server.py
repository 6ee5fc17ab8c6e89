"""Runs requests in threads that share one session, until the client has no more.

The main thread reads, one thread writes, and neither waits for the threads that work: so a client can always
cancel, and a client that does not read its answers holds up nobody's build.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import signal
import sys
import threading
import traceback
from collections import deque
from types import FrameType
from typing import Any

from stubgen import __version__
from stubgen.commands import SCHEMA
from stubgen.common.cache import untold_refusal
from stubgen.common.cancellation import Cancellation
from stubgen.common.text import harmless
from stubgen.errors import MalformedInput
from stubgen.host.index import build_missing
from stubgen.serve.frames import LONGEST_MESSAGE, Fault, Frames, frame
from stubgen.serve.messages import (
    ERRORS,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    REQUEST_CANCELLED,
    SERVER_BUSY,
    Id,
    InvalidRequest,
    Request,
    RpcError,
    failure,
    parse,
    result,
)
from stubgen.serve.methods import METHODS, Method
from stubgen.session import Session

PROTOCOL = 1
"""Version of the protocol; what an older client would misunderstand raises it."""

MOST_WAITING = 1024  # requests that no thread has begun
MOST_UNREAD = 1024  # answers; a client that leaves more of them unread is not read either
READ = 1 << 16  # bytes at a time
DRAIN_TIMEOUT = 5.0  # seconds for what was called off to end, and for the client to read what is said

CANCELLED = RpcError(REQUEST_CANCELLED, "it was cancelled")


class Job:
    """A request between its arrival and its answer."""

    def __init__(self, id_: Id, method: Method, arguments: argparse.Namespace) -> None:
        self.id = id_
        self.method = method
        self.arguments = arguments
        self.cancellation = Cancellation()


class Server:
    """One client's server.

    Args:
        incoming: file descriptor of the requests.
        outgoing: file descriptor of the answers.
        session: what is kept between requests.
        workers: how many requests run at a time.
    """

    def __init__(self, incoming: int, outgoing: int, session: Session, *, workers: int) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._session = session
        self._workers = workers
        self._methods = {name: Method(name) for name in METHODS}
        self._frames = Frames()
        self._state = threading.RLock()  # guards everything below; a thread is woken where it has something to do
        self._has_job = threading.Condition(self._state)
        self._has_answer = threading.Condition(self._state)
        self._has_ended = threading.Condition(self._state)  # a job, or the writing of an answer
        self._waiting: deque[Job] = deque()
        self._jobs: dict[Id, Job] = {}  # waiting and running ones
        self._answers: deque[bytes] = deque()
        self._writing = False
        self._disconnected = False  # nobody reads the answers
        self._shutdown: list[Id] = []  # requests for a shutdown, answered when nothing is in flight
        self._shut = False
        self._lost = False  # where messages begin in the input
        self._status: int | None = None  # the exit status, once the server was told to end
        self._wake_reader, self._wake = os.pipe()

    def run(self) -> int:
        """Serve until the client has no more; the exit status.

        0 the input ended, ``exit`` came after ``shutdown``, or the client is gone; 1 ``exit`` came without it;
        3 the input cannot be followed any further; 128 and a signal's number.
        """
        os.set_blocking(self._wake, False)
        for work in (self._write, *[self._work] * self._workers):
            threading.Thread(target=work, daemon=True).start()
        with _Signals(self._end_by_signal, self._wake):
            self._read()
            self._finish()
        return (MalformedInput.exit_status if self._lost else 0) if self._status is None else self._status

    def _read(self) -> None:
        """Take requests until the input or the server ends."""
        while self._status is None:
            if not self._await_input():
                continue
            try:
                chunk = os.read(self._incoming, READ)
            except OSError as error:
                _log(f"the input cannot be read: {error.strerror}")
                chunk = b""
            for message in self._frames.feed(chunk) if chunk else filter(None, [self._frames.end()]):
                if self._status is None:
                    self._take(message)
            if not chunk or self._lost:
                return

    def _await_input(self) -> bool:
        """Wait for input, a signal, or the client to be gone; whether there is input."""
        poller = select.poll()
        poller.register(self._wake_reader, select.POLLIN)
        with self._state:
            if len(self._answers) < MOST_UNREAD:
                poller.register(self._incoming, select.POLLIN)
            if not self._disconnected:
                poller.register(self._outgoing, 0)  # only POLLERR and its kin: the other end was closed
        ready = {descriptor for descriptor, _ in poller.poll()}
        if self._wake_reader in ready:
            os.read(self._wake_reader, READ)
            build_missing()  # a host that was met without an index opens faster for the next server
        if self._outgoing in ready:
            self._disconnect()
        return self._incoming in ready and self._status is None

    def _finish(self) -> None:
        """Let what is in flight end by itself, or call it off when the server was told to end."""
        while self._status is None and self._busy():
            poller = select.poll()
            poller.register(self._wake_reader, select.POLLIN)
            poller.register(self._outgoing, 0)
            ready = {descriptor for descriptor, _ in poller.poll()}
            if self._wake_reader in ready:
                os.read(self._wake_reader, READ)
            if self._outgoing in ready:
                self._disconnect()
        self._cancel_all()
        with self._state:
            self._has_ended.wait_for(lambda: not self._busy(), DRAIN_TIMEOUT)
            for job in self._jobs.values():
                job.cancellation.kill()
            self._has_ended.wait_for(lambda: not self._jobs, DRAIN_TIMEOUT if self._jobs else 0.0)

    def _busy(self) -> bool:
        """Whether anything is in flight or not yet read by the client."""
        return bool(self._jobs or self._shutdown or ((self._answers or self._writing) and not self._disconnected))

    def _end(self, status: int) -> None:
        with self._state:
            if self._status is None:
                self._status = status
        self._wake_up()

    def _end_by_signal(self, number: int, _: FrameType | None) -> None:
        """Python calls this in the main thread, between two steps of it; it takes no lock."""
        self._status = 128 + number

    def _disconnect(self) -> None:
        """Nobody reads the answers any more, so nobody wants them."""
        self._disconnected = True
        self._end(0)

    def _wake_up(self) -> None:
        with contextlib.suppress(BlockingIOError):  # enough is written there to wake anybody
            os.write(self._wake, b"\0")

    def _cancel_all(self) -> None:
        with self._state:
            for job in list(self._jobs.values()):
                self._cancel(job)

    def _take(self, message: bytes | Fault) -> None:
        """Answer *message*, or begin to."""
        if isinstance(message, Fault):
            self._answer(failure(None, RpcError(PARSE_ERROR, message.reason)))
            if message.final:
                _log(message.reason)
                self._lost = True
            return
        try:
            request = parse(message)
        except InvalidRequest as error:
            with self._state:
                id_ = None if error.id in self._jobs else error.id
            self._answer(failure(id_, error))
            return
        except RpcError as error:
            self._answer(failure(None, error))
            return
        if request.id is None:
            self._notice(request)
            return
        with self._state:
            if request.id in self._jobs or request.id in self._shutdown:
                told = f"id {request.id!r} is another request's that is in flight"
                self._answer(failure(None, InvalidRequest(told, data={"id": request.id})))
                return
        try:
            self._begin(request.id, request)
        except RpcError as error:
            self._answer(failure(request.id, error))
        except Exception as error:  # a bug must not end the server
            self._answer(failure(request.id, _internal(error)))

    def _notice(self, request: Request) -> None:
        """Act upon a notification."""
        params = request.params if isinstance(request.params, dict) else {}
        if request.method == "exit":
            self._end(0 if self._shut else 1)
        elif request.method == "$/cancelRequest":
            id_ = params.get("id")
            with self._state:
                job = self._jobs.get(id_) if isinstance(id_, int | str) and not isinstance(id_, bool) else None
                if job is not None:
                    self._cancel(job)
        elif not request.method.startswith("$/") and request.method != "initialized":
            _log(f"notification {request.method!r} was ignored: what is to be answered needs an id")

    def _cancel(self, job: Job) -> None:
        """Drop *job* if it waits; tell it if it runs. The state is locked."""
        if job in self._waiting:
            self._waiting.remove(job)
            self._done(job, failure(job.id, CANCELLED))
        else:
            job.cancellation.cancel()

    def _begin(self, id_: Id, request: Request) -> None:
        """Answer a request, or give it to a worker."""
        if self._shut:
            raise InvalidRequest("the server was told to shut down")
        if request.method == "initialize":
            self._answer(result(id_, self._initialize(request.params)))
            return
        if request.method == "shutdown":
            if request.params:
                raise RpcError(INVALID_PARAMS, "shutdown has no parameters", {"parameter": None, "expected": "none"})
            with self._state:
                self._shut = True
                self._shutdown.append(id_)
                self._answer_shutdown()
            return
        method = self._methods.get(request.method)
        if method is None:
            known = ("initialize", *METHODS, "shutdown")
            told = f"there is no method {request.method[:80]!r}"
            raise RpcError(METHOD_NOT_FOUND, told, {"method": request.method, "known": list(known)})
        job = Job(id_, method, method.arguments(request.params))
        with self._state:
            if len(self._waiting) >= MOST_WAITING:
                raise RpcError(
                    SERVER_BUSY, f"{MOST_WAITING} requests are waiting; send it again when some are answered"
                )
            self._jobs[id_] = job
            self._waiting.append(job)
            self._has_job.notify()

    def _initialize(self, params: dict[str, Any] | list[Any]) -> dict[str, object]:
        """What a client may want to know before it asks for anything."""
        odd = params if isinstance(params, list) else [name for name in params if name != "protocol"]
        wanted = params.get("protocol") if isinstance(params, dict) else None
        if odd or (wanted is not None and (isinstance(wanted, bool) or not isinstance(wanted, int))):
            told = "initialize takes one parameter, protocol: the version that the client was written for"
            raise RpcError(INVALID_PARAMS, told, {"parameter": "protocol", "expected": "a whole number"})
        if wanted not in (None, PROTOCOL):
            told = f"this server speaks protocol {PROTOCOL}, not {wanted}"
            raise RpcError(INVALID_PARAMS, told, {"parameter": "protocol", "expected": str(PROTOCOL)})
        return {
            "protocol": PROTOCOL,
            "name": "hotpatch-stubgen",
            "version": __version__,
            "schema": SCHEMA,
            "methods": {name: method.document() for name, method in self._methods.items()},
            "errors": {str(code): meaning for code, meaning in ERRORS.items()},
            "limits": {"workers": self._workers, "waiting": MOST_WAITING, "message_bytes": LONGEST_MESSAGE},
        }

    def _work(self) -> None:
        """Do one job after another; a thread's whole life."""
        while True:
            with self._state:
                self._has_job.wait_for(lambda: bool(self._waiting))
                job = self._waiting.popleft()
            answer = self._execute(job)
            _log(untold_refusal())
            with self._state:
                self._done(job, answer)

    def _execute(self, job: Job) -> bytes:
        """The answer to *job*."""
        try:
            with job.cancellation:
                return result(job.id, job.method.call(job.arguments, self._session))
        except RpcError as error:
            return failure(job.id, error)
        except BaseException as error:  # a bug must not end the worker
            return failure(job.id, _internal(error))

    def _done(self, job: Job, answer: bytes) -> None:
        """*job* has its answer. The state is locked."""
        del self._jobs[job.id]
        self._answer(answer)
        self._answer_shutdown()
        self._has_ended.notify()

    def _answer_shutdown(self) -> None:
        """Say that everything is done, if it is. The state is locked."""
        if not self._jobs:
            for id_ in self._shutdown:
                self._answer(result(id_, None))
            self._shutdown.clear()

    def _answer(self, content: bytes) -> None:
        """Give an answer to the writer."""
        with self._state:
            self._answers.append(frame(content))
            self._has_answer.notify()

    def _write(self) -> None:
        """Write one answer after another; a thread's whole life."""
        while True:
            with self._state:
                self._has_answer.wait_for(lambda: bool(self._answers))
                content = self._answers.popleft()
                self._writing = True
            try:
                _write_all(self._outgoing, content)
            except OSError:
                self._disconnect()
            with self._state:
                self._writing = False
                self._has_ended.notify()
            self._wake_up()


class _Signals:
    """While it is entered, signals that ask a program to end wake the main loop instead of raising anywhere."""

    def __init__(self, handler: Any, wake: int) -> None:
        self._handler = handler
        self._wake = wake
        self._before: dict[int, Any] = {}
        self._wake_before = -1

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():  # Python allows it nowhere else
            self._wake_before = signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN:  # nohup
                    self._before[number] = signal.signal(number, self._handler)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._before:
            signal.set_wakeup_fd(self._wake_before)


def _write_all(descriptor: int, content: bytes) -> None:
    """Write all of *content*; the other end may have set the pipe not to block."""
    rest = memoryview(content)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            poller = select.poll()
            poller.register(descriptor, select.POLLOUT)
            poller.poll()


def _internal(error: BaseException) -> RpcError:
    """A bug as an answer; its traceback is for the people who can mend it."""
    _log("".join(traceback.format_exception(error)))
    told = f"a bug in stubgen: {type(error).__name__}: {error}"
    return RpcError(INTERNAL_ERROR, told, {"kind": type(error).__name__, "message": str(error)})


def _log(text: str) -> None:
    """Tell people, if anybody reads standard error."""
    try:
        sys.stderr.write("".join(f"hotpatch-stubgen: {line}\n" for line in harmless(text).splitlines()))
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        pass
