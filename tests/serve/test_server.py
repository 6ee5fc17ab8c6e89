"""``serve`` as its clients meet it: what is answered, what is refused, and how it ends."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serve.serving import (
    PATIENCE,
    REFERENCE,
    ROOT,
    SERVE,
    SLIDE,
    Talk,
    age,
    build,
    frame,
    request,
    said,
    serving,
    unframed,
    write_files,
)
from synthetic import BASE, Sym, elf_host, elf_object, put, undefined

from stubgen.capture import record
from stubgen.commands import COMMANDS
from stubgen.generations.state import PatchSession, SessionAnchor, SessionHost, encode_session
from stubgen.serve.methods import METHODS, TEXT_ONLY, Method


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with a host and a patch."""
    return write_files(tmp_path)


def sleeping_linker(folder: Path, *, deaf: bool = False) -> str:
    """The record of a link whose linker says that it began, and then takes longer than anybody waits.

    It leaves a file if it ends by itself; a child of its takes as long.
    """
    linker = folder / "ld"
    linker.write_text(
        f"#!/bin/sh\n{'trap : TERM' if deaf else ''}\n"
        f"sleep 301 & echo $! > {folder}/child; echo $$ > {folder}/began\n"
        f"wait; wait; wait; sleep 300; echo > {folder}/ended\n"
    )
    linker.chmod(linker.stat().st_mode | stat.S_IXUSR)
    return str(record([str(linker), "-o", "host", "main.o"], folder / "captured"))


def link(id_: object, folder: Path, captured: str, **params: object) -> dict[str, Any]:
    """A request for the linked patch."""
    asked = build(id_, folder, output=str(folder / "patch.so"), captured=captured, **params)
    return {**asked, "method": "link"}


def wait_for(path: Path) -> str:
    """The content of *path* once there is one."""
    end = time.monotonic() + PATIENCE
    while not path.exists() or not path.read_text().strip():
        assert time.monotonic() < end, f"{path} never came"
        time.sleep(0.01)
    return path.read_text().strip()


def is_alive(number: str) -> bool:
    """Whether process *number* runs; a zombie is dead."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(number: str) -> bool:
    """Whether process *number* ends soon."""
    end = time.monotonic() + PATIENCE
    while is_alive(number):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


# What is answered


def command_document(folder: Path, *words: str) -> dict[str, Any]:
    """What the command prints with ``--json``."""
    done = subprocess.run(
        [sys.executable, "-m", "stubgen", words[0], "--json", *words[1:]],
        check=False,
        capture_output=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return json.loads(done.stdout)


AT = str(REFERENCE)
SAME = {
    "build": (
        ["build", "--host", "host", "--aslr-reference", AT, "patch.o", "-o", "stub.o"],
        {"host": "host", "aslr_reference": REFERENCE, "objects": ["patch.o"], "output": "stub.o"},
    ),
    "build, bound": (
        [
            "build",
            "--host",
            "host",
            "--slide",
            hex(SLIDE),
            "--bound-dir",
            "b",
            "--bti",
            "on",
            "patch.o",
            "-o",
            "stub.o",
        ],
        {
            "host": "host",
            "slide": hex(SLIDE),
            "bound_dir": "b",
            "bti": "on",
            "objects": ["patch.o"],
            "output": "stub.o",
        },
    ),
    "build, a symbol is missing": (
        ["build", "--host", "host", "--aslr-reference", AT, "gone.o", "-o", "stub.o"],
        {"host": "host", "aslr_reference": AT, "objects": ["gone.o"], "output": "stub.o"},
    ),
    "build, and it may be": (
        ["build", "--host", "host", "--aslr-reference", AT, "gone.o", "-o", "stub.o", "--allow-missing"],
        {"host": "host", "aslr_reference": AT, "objects": ["gone.o"], "output": "stub.o", "allow_missing": True},
    ),
    "build, no host": (
        ["build", "--host", "nowhere", "--aslr-reference", AT, "patch.o", "-o", "stub.o"],
        {"host": "nowhere", "aslr_reference": AT, "objects": ["patch.o"], "output": "stub.o"},
    ),
    "build, a contradiction": (
        ["build", "--host", "host", "--aslr-reference", AT, "--slide", "0", "patch.o", "-o", "stub.o"],
        {"host": "host", "aslr_reference": AT, "slide": 0, "objects": ["patch.o"], "output": "stub.o"},
    ),
    "plan": (
        ["plan", "--object", "a.o", "b.o", "--export", "x", "-o", "p.so", "--", "cc", "-o", "app", "m.o", "-lz"],
        {"object": ["a.o", "b.o"], "export": ["x"], "output": "p.so", "argv": ["cc", "-o", "app", "m.o", "-lz"]},
    ),
    "plan, from a record": (
        ["plan", "--captured", "captured", "--output-name", "host", "--object", "a.o", "-o", "p.so"],
        {"captured": "captured", "output_name": "host", "object": ["a.o"], "output": "p.so"},
    ),
    "plan, of nothing": (["plan", "--object", "a.o", "-o", "p.so"], {"object": ["a.o"], "output": "p.so"}),
    "link, no linker": (
        ["link", "--host", "host", "--captured", "captured", "--aslr-reference", AT, "patch.o", "-o", "p.so"],
        {"host": "host", "captured": "captured", "aslr_reference": AT, "objects": ["patch.o"], "output": "p.so"},
    ),
    "recompile, of nothing": (
        ["recompile", "--captured", "captured", "-o", "objects", "a.c"],
        {"captured": "captured", "output": "objects", "sources": ["a.c"]},
    ),
    "patch, of nothing": (
        ["patch", "--host", "host", "--captured", "captured", "--aslr-reference", AT, "--changed", "a.c", "-o", "p.so"],
        {"host": "host", "captured": "captured", "aslr_reference": AT, "changed": ["a.c"], "output": "p.so"},
    ),
    "check": (["check", "library.so", "--host", "host"], {"patch": "library.so", "host": "host"}),
    "check, against a process": (
        ["check", "library.so", "--host", "host", "--aslr-reference", AT, "--export", "gone"],
        {"patch": "library.so", "host": "host", "aslr_reference": REFERENCE, "export": ["gone"]},
    ),
    "check, an object": (["check", "patch.o", "--host", "host"], {"patch": "patch.o", "host": "host"}),
    "jumptable": (
        ["jumptable", "library.so", "--host", "host", "--object", "patch.o", "--pid", "7", "-o", "t.json"],
        {"patch": "library.so", "host": "host", "object": ["patch.o"], "pid": 7, "output": "t.json"},
    ),
    "jumptable, no anchor": (
        ["jumptable", "library.so", "--host", "host", "--object", "patch.o", "-o", "t.json"],
        {"patch": "library.so", "host": "host", "object": ["patch.o"], "output": "t.json"},
    ),
    "session": (["session", "sessions/sound"], {"file": "sessions/sound"}),
    "session, none": (["session", "host"], {"file": "host"}),
    "session, of what": (
        ["session", "sessions/sound", "not-loaded", "4"],
        {"file": "sessions/sound", "action": "not-loaded", "values": ["4"]},
    ),
    "reach": (["reach", "--host", "host", "main"], {"host": "host", "functions": ["main"]}),
    "reach, of nothing": (["reach", "--host", "host"], {"host": "host"}),
    "explain": (["explain", "--host", "host", "f", "patch.o"], {"host": "host", "symbol": "f", "objects": ["patch.o"]}),
    "explain, none": (
        ["explain", "--host", "host", "no", "old.o"],
        {"host": "host", "symbol": "no", "objects": ["old.o"]},
    ),
    "inspect": (["inspect", "old.o", "--symbol", "f*"], {"file": "old.o", "symbol": "f*"}),
    "inspect, two": (["inspect", "old.o", "host"], {"file": "old.o", "more": ["host"]}),
    "inspect, none": (["inspect", "old.o", "--symbol", "g*"], {"file": "old.o", "symbol": "g*"}),
    "verify": (["verify", "old.o"], {"file": "old.o"}),
    "verify, the host": (["verify", "host"], {"file": "host"}),
    "captures": (["captures", "captured"], {"directory": "captured"}),
    "captures, by name": (
        ["captures", "captured", "--output-name", "none"],
        {"directory": "captured", "output_name": "none"},
    ),
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Talk]]:
    """A folder with one of each kind of file, and a server that runs in it."""
    folder = write_files(tmp_path_factory.mktemp("same"))
    put(folder, "gone.o", elf_object([undefined("f"), undefined("gone")]))
    put(folder, "library.so", elf_host([Sym("own", BASE + 0x200)], interpreter=""))
    record(["no-such-linker", "-o", "host", "main.o"], folder / "captured")
    (folder / "sessions").mkdir()
    identity, anchor = SessionHost("host", "build id 00"), SessionAnchor("main", 0, REFERENCE)
    session = PatchSession("0" * 32, identity, anchor, None, relink_earlier=False, keep_state=False)
    (folder / "sessions" / "sound").write_bytes(encode_session(session))
    done = command_document(folder, *SAME["build"][0][:-1], "old.o")
    assert done["status"] == 0
    with serving(cwd=folder) as talk:
        yield folder, talk


@pytest.mark.parametrize(("words", "params"), SAME.values(), ids=list(SAME))
def test_an_answer_is_the_commands_document(
    shared: tuple[Path, Talk], words: list[str], params: dict[str, object]
) -> None:
    """There is one description of each document, and it holds for both ways to ask; twice, for what is kept."""
    folder, talk = shared
    expected = command_document(folder, *words)
    for turn in ("first", "again"):
        answer = talk.ask(f"{turn} {words}", words[0], **params)
        if expected["status"] == 0:
            assert answer["result"] == expected
        else:
            error = answer["error"]
            assert error["code"] == -32000 - expected["status"]
            assert error["data"]["document"] == expected
            assert error["data"]["exit_status"] == expected["status"]
            assert error["data"]["message"] == error["message"] != ""
            assert error["data"]["kind"] == expected.get("error", {}).get("kind", error["data"]["kind"]) != ""


@pytest.mark.parametrize(
    ("listed", "verdicts"), [("all", ["trampoline", "weak-null"]), ("others", ["weak-null"]), ("none", [])]
)
def test_an_answer_lists_the_verdicts_that_are_wanted(files: Path, listed: str, verdicts: list[str]) -> None:
    """A client that only loads patches would read 330 KB a request; the count of what it did not want is there."""
    put(files, "weak.o", elf_object([undefined("f"), undefined("nobody", weak=True)]))
    params = {"host": "host", "slide": SLIDE, "objects": ["weak.o"], "output": "stub.o", "report": "report.json"}
    with serving(cwd=files) as talk:
        told = talk.ask(1, "build", decisions=listed, **params)["result"]
        plain = talk.ask(2, "build", **{**params, "report": None, "decisions": listed})["result"]
        default = talk.ask(3, "build", **params)["result"]
    assert [row["verdict"] for row in told["decisions"]] == verdicts
    assert told["verdicts"] == default["verdicts"] == {"trampoline": 1, "weak-null": 1}
    assert plain == told
    assert {**told, "decisions": None} == {**default, "decisions": None}
    report = json.loads((files / "report.json").read_text())
    assert report["decisions"] == default["decisions"], "a report has every verdict"


def test_a_refusal_lists_every_verdict_whatever_was_wanted(files: Path) -> None:
    """Who asked for a short answer, and is refused, has to see which symbols it is about."""
    put(files, "both.o", elf_object([undefined("f"), undefined("gone")]))
    with serving(cwd=files) as talk:
        wanted = {"host": "host", "slide": SLIDE, "objects": ["both.o"], "output": "stub.o", "decisions": "none"}
        error = talk.ask(1, "build", **wanted)["error"]
    rows = error["data"]["document"]["decisions"]
    assert [(row["name"], row["verdict"]) for row in rows] == [("f", "trampoline"), ("gone", "missing")]


def test_every_method_is_compared() -> None:
    """A method that is in no row above could answer anything."""
    assert (
        {words[0] for words, _ in SAME.values()}
        == set(METHODS)
        == set(COMMANDS) - {"capture", "cache", "serve", "completion"}
    )


def test_initialize_tells_every_option_of_every_command() -> None:
    """Clients are generated from this: an option that is missing here does not exist for them."""
    with serving() as talk:
        told = talk.ask(1, "initialize", protocol=1)["result"]
    assert set(told["methods"]) == set(METHODS)
    for name, method in told["methods"].items():
        parser = argparse.ArgumentParser(add_help=False)
        importlib.import_module(f"stubgen.commands.{name}").configure_parser(parser)
        options = {
            flag[2:].replace("-", "_")
            for action in parser._actions
            for flag in action.option_strings
            if flag[:2] == "--"
        }
        positional = {action.dest for action in parser._actions if not action.option_strings}
        assert set(method["params"]) == (options | positional) - TEXT_ONLY
        assert {param for param, told in method["params"].items() if told["positional"]} == positional
        exclusive = [action.dest for group in parser._mutually_exclusive_groups for action in group._group_actions]
        assert set(exclusive) <= TEXT_ONLY, "nothing here refuses two options that exclude each other"
    build_params = told["methods"]["build"]["params"]
    assert build_params["slide"]["type"] == "address"
    assert build_params["data"]["choices"] == ["auto", "absolute", "none"]
    assert (build_params["objects"]["type"], build_params["objects"]["required"]) == ("strings", True)
    assert (build_params["keep_state"]["type"], build_params["keep_state"]["default"]) == ("boolean", False)
    assert (build_params["no_cache"]["type"], build_params["no_cache"]["default"]) == ("boolean", False)
    assert told["methods"]["plan"]["params"]["argv"]["required"] is False


# What is refused

REFUSED = {
    "not json": (b"{", -32700, None),
    "nothing": (b"", -32700, None),
    "not utf-8": (b'{"a": "\xff"}', -32700, None),
    "nan": (b'{"jsonrpc": "2.0", "id": 1, "method": "verify", "params": {"file": NaN}}', -32700, None),
    "infinity": (b'{"jsonrpc": "2.0", "id": 1e999, "method": "verify"}', -32700, None),
    "a number without end": (b'{"jsonrpc": "2.0", "id": %s, "method": "verify"}' % (b"9" * 100_000), -32700, None),
    "deep": (b"[" * 200_000, -32700, None),
    "deep params": (b'{"jsonrpc":"2.0","id":1,"method":"verify","params":%s' % (b'{"a":' * 100_000), -32700, None),
    "a member twice": (b'{"jsonrpc": "2.0", "id": 1, "id": 2, "method": "verify"}', -32700, None),
    "two values": (b"{} {}", -32700, None),
    "batch": ([request(1, "verify", file="x")], -32600, None),
    "empty batch": ([], -32600, None),
    "a number": (7, -32600, None),
    "no version": ({"id": 1, "method": "verify"}, -32600, 1),
    "version 1": ({"jsonrpc": "1.0", "id": 1, "method": "verify"}, -32600, 1),
    "no method": ({"jsonrpc": "2.0", "id": 1}, -32600, 1),
    "method 1": ({"jsonrpc": "2.0", "id": 1, "method": 1}, -32600, 1),
    "id null": ({"jsonrpc": "2.0", "id": None, "method": "verify"}, -32600, None),
    "id true": ({"jsonrpc": "2.0", "id": True, "method": "verify"}, -32600, None),
    "id 1.5": ({"jsonrpc": "2.0", "id": 1.5, "method": "verify"}, -32600, None),
    "id object": ({"jsonrpc": "2.0", "id": {}, "method": "verify"}, -32600, None),
    "params text": ({"jsonrpc": "2.0", "id": 1, "method": "verify", "params": "x"}, -32600, 1),
    "params array": ({"jsonrpc": "2.0", "id": 1, "method": "verify", "params": ["x"]}, -32602, 1),
    "unknown method": (request(1, "frobnicate"), -32601, 1),
    "capture": (request(1, "capture", dir="x"), -32601, 1),
    "serve": (request(1, "serve"), -32601, 1),
    "a private method": (request("x", "$/hello"), -32601, "x"),
}


@pytest.mark.parametrize(("message", "code", "id_"), REFUSED.values(), ids=list(REFUSED))
def test_what_is_no_request_is_answered(message: object, code: int, id_: object) -> None:
    """A client that gets no answer waits for ever; the next request must find the server as it was."""
    status, answers, errors = said(frame(message) + frame(request("next", "verify", file="/nowhere")))
    assert status == 0
    assert [answer["id"] for answer in answers] == [id_, "next"]
    assert answers[0]["error"]["code"] == code
    assert answers[1]["error"]["code"] == -32003
    assert "Traceback" not in errors


PARAMS = {
    "unknown": ({"file": "x", "files": "y"}, "files", "one of file"),
    "missing": ({}, "file", "a string"),
    "null": ({"file": None}, "file", "a string"),
    "number": ({"file": 1}, "file", "a string"),
    "array": ({"file": ["x"]}, "file", "a string"),
    "nul": ({"file": "a\0b"}, "file", "text without one"),
    "half a pair": ({"file": "\ud800"}, "file", "Unicode text"),
}
BUILD_PARAMS = {
    "one object": ({"objects": "patch.o"}, "objects", "an array of strings"),
    "no object": ({"objects": []}, "objects", "an array of strings"),
    "an object of numbers": ({"objects": [1]}, "objects", "an array of strings"),
    "boolean": ({"keep_state": "yes"}, "keep_state", "true or false"),
    "0 is not false": ({"keep_state": 0}, "keep_state", "true or false"),
    "choice": ({"data": "some"}, "data", "one of auto, absolute, none"),
    "negative": ({"slide": -1}, "slide", "a whole number"),
    "65 bits": ({"slide": 1 << 64}, "slide", "a whole number"),
    "fraction": ({"slide": 4096.0}, "slide", "a whole number"),
    "true is not 1": ({"slide": True}, "slide", "a whole number"),
    "not a number": ({"aslr_reference": "main"}, "aslr_reference", "a whole number"),
    "an option's spelling": ({"bound-dir": "x"}, "bound-dir", "one of host,"),
    "json": ({"json": True}, "json", "one of host,"),
}


def test_a_wrong_parameter_is_named() -> None:
    """A parameter that is ignored is a patch that is not what was asked for."""
    with serving() as talk:
        for method, table in (("verify", PARAMS), ("build", BUILD_PARAMS)):
            for title, (params, name, expected) in table.items():
                base = {} if method == "verify" else {"host": "h", "objects": ["o"], "output": "s"}
                error = talk.ask(title, method, **base | params)["error"]
                assert (error["code"], error["data"]["parameter"]) == (-32602, name), title
                assert error["data"]["expected"].startswith(expected), title
                assert name in error["message"], title
        assert talk.ask(1, "initialize", protocol=2)["error"]["code"] == -32602
        assert talk.ask(1, "initialize", capabilities={})["error"]["code"] == -32602
        assert talk.ask(1, "initialize", protocol=True)["error"]["code"] == -32602
        assert talk.ask(1, "shutdown", now=True)["error"]["code"] == -32602


@settings(max_examples=60)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
        max_leaves=10,
    ),
    st.sampled_from([*METHODS, "initialize"]),
)
def test_any_params_are_answered_once(lasting: Talk, params: object, method: str) -> None:
    """Whatever a confused client sends as params: one answer with its id, and no internal error."""
    lasting.send({"jsonrpc": "2.0", "id": "odd", "method": method, "params": params})
    answer = lasting.answer("odd")
    assert answer.get("error", {"code": 0})["code"] in (-32600, -32602, 0)
    assert "error" in answer or method == "initialize"


@pytest.fixture(scope="module")
def lasting() -> Iterator[Talk]:
    """One server for many requests."""
    with serving() as talk:
        yield talk


def test_a_bug_is_an_answer(files: Path) -> None:
    """A traceback between two frames would be the end of the conversation."""
    put(
        files, "sitecustomize.py", b"import stubgen.stub.verify\nstubgen.stub.verify.verify_object = lambda *_: 1 / 0\n"
    )
    program = [sys.executable, "-m", "stubgen", "serve"]
    done = subprocess.run(
        program,
        check=False,
        input=frame(request(1, "verify", file=str(files / "host"))) + frame(request(2, "nothing")),
        capture_output=True,
        env={**os.environ, "PYTHONPATH": f"{files}:{ROOT}"},
    )
    answers = {answer["id"]: answer["error"] for answer in unframed(done.stdout)}
    assert answers[1]["code"] == -32603
    assert answers[1]["data"]["kind"] == "ZeroDivisionError"
    assert answers[2]["code"] == -32601
    assert "Traceback" in done.stderr.decode()


NOISE = b"""
import os, stubgen.stub.verify as v
real = v.verify_object
def noisy(*arguments):
    print("python", flush=True)
    os.write(1, b"descriptor")
    os.system("echo child; cat")
    return real(*arguments)
v.verify_object = noisy
"""


def test_nothing_but_frames_on_standard_output(files: Path) -> None:
    """A library that prints, and a program that inherits standard output, must not speak between two frames."""
    put(files, "sitecustomize.py", NOISE)
    done = subprocess.run(
        SERVE,
        check=False,
        input=frame(request(1, "verify", file=str(files / "host"))) + frame(request(2, "nothing")),
        capture_output=True,
        env={**os.environ, "PYTHONPATH": f"{files}:{ROOT}"},
    )
    assert {answer["id"] for answer in unframed(done.stdout)} == {1, 2}
    for word in (b"python", b"descriptor", b"child"):
        assert word in done.stderr


def test_notifications_get_no_answer(files: Path) -> None:
    """JSON-RPC forbids one; and a build of which nobody hears is not begun."""
    notice = {key: value for key, value in build(1, files).items() if key != "id"}
    odd = [{"jsonrpc": "2.0", "method": m} for m in ("$/unknown", "$/cancelRequest", "initialized", "frobnicate")]
    odd.append({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": [1]}})
    odd.append({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": [1]})
    status, answers, errors = said(b"".join(map(frame, [notice, *odd])))
    assert (status, answers) == (0, [])
    assert not (files / "stub.o").exists()
    assert "'build' was ignored" in errors
    assert "'frobnicate' was ignored" in errors
    assert "$/" not in errors


def test_a_lost_stream_ends_in_status_3_with_what_was_asked_before(files: Path) -> None:
    """Frames cannot be found again without a guess; what came whole is still answered."""
    status, answers, errors = said(frame(build(1, files)) + b"Content-Length: -5\r\n\r\n" + frame(request(2, "verify")))
    assert status == 3
    assert {answer["id"] for answer in answers} == {1, None}
    assert next(answer for answer in answers if answer["id"] is None)["error"]["code"] == -32700
    assert "Content-Length" in errors


# Several at once


def test_many_requests_are_each_answered_once(files: Path) -> None:
    """Answers come in any order, and each belongs to the request whose id it bears."""
    asked = {}
    for number in range(200):
        id_: object = number if number % 2 else f"n{number}"
        slide = number * 4096
        asked[id_] = slide
    with serving("--workers", "8") as talk:
        sender = threading.Thread(
            target=talk.send,
            args=[
                build(i, files, aslr_reference=None, slide=s, output=str(files / f"{i}.o")) for i, s in asked.items()
            ],
        )
        sender.start()
        answers = [talk.receive() for _ in asked]
        sender.join()
        status, rest, _ = talk.end()
    assert (status, rest) == (0, [])
    assert {answer["id"]: answer["result"]["slide"] for answer in answers} == asked
    contents = {(files / f"{id_}.o").read_bytes() for id_ in asked}
    assert len(contents) == len(asked)


def test_an_id_in_flight_is_not_taken_twice(files: Path) -> None:
    """Two answers with one id: the client would take the one for the other."""
    captured = sleeping_linker(files)
    with serving() as talk:
        talk.send(link("x", files, captured))
        wait_for(files / "began")
        talk.send(request("x", "verify", file="/nowhere"))
        refused = talk.receive()
        assert (refused["id"], refused["error"]["code"], refused["error"]["data"]) == (None, -32600, {"id": "x"})
        talk.send({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": "x"}})
        assert talk.answer("x")["error"]["code"] == -32800
        assert talk.ask("x", "verify", file="/nowhere")["error"]["code"] == -32003


def test_a_slow_link_blocks_nobody(files: Path) -> None:
    """One developer's link takes a minute; the other's build takes milliseconds."""
    captured = sleeping_linker(files)
    with serving("--workers", "2") as talk:
        talk.send(link(1, files, captured))
        wait_for(files / "began")
        for id_ in range(2, 12):
            assert "result" in (talk.send(build(id_, files)) or talk.answer(id_))


def test_an_answer_that_nobody_reads_holds_up_no_build(files: Path) -> None:
    """A client may be busy; what it asked for is done meanwhile, and its answers are whole when it reads them."""
    names = [f"{'x' * 200}{number}" for number in range(2000)]
    put(files, "many.o", elf_object([undefined(name) for name in names]))
    with serving() as talk:
        for id_ in range(20):
            talk.send(build(id_, files, objects=[str(files / "many.o")], allow_missing=True))
        talk.send(build("last", files, output=str(files / "last.o")))
        wait_for_file = files / "last.o"
        end = time.monotonic() + PATIENCE
        while not wait_for_file.exists():
            assert time.monotonic() < end
            time.sleep(0.01)
        talk.close()
        messages = unframed(talk.output.read())
    assert {message["id"] for message in messages} == {*range(20), "last"}


# Cancellation


@pytest.mark.parametrize("deaf", [False, True], ids=["polite", "deaf"])
def test_cancelling_ends_the_linker_and_leaves_nothing(files: Path, *, deaf: bool) -> None:
    """A link that nobody wants keeps a core busy, and writes a patch that nobody expects any more."""
    captured = sleeping_linker(files, deaf=deaf)
    before = set(files.rglob("*"))
    with serving() as talk:
        talk.send(link(1, files, captured))
        number, child = wait_for(files / "began"), wait_for(files / "child")
        talk.send({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": 1}})
        error = talk.answer(1)["error"]
        assert error["code"] == -32800
        assert gone(number)
        assert gone(child), "the linker's own child was left running"
        assert set(files.rglob("*")) - before == {files / "began", files / "child"}
        assert talk.ask(2, "verify", file="/nowhere")["error"]["code"] == -32003


def test_cancelling_what_waits_drops_it(files: Path) -> None:
    """A request that was never begun writes nothing."""
    captured = sleeping_linker(files)
    with serving("--workers", "1") as talk:
        talk.send(link(1, files, captured))
        wait_for(files / "began")
        talk.send(build(2, files), build(3, files, output=str(files / "three.o")))
        talk.send({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": 2}})
        assert talk.answer(2)["error"]["code"] == -32800
        talk.send({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": 1}})
        assert talk.answer(1)["error"]["code"] == -32800
        assert "result" in talk.answer(3)
        assert not (files / "stub.o").exists()


def test_cancelling_what_is_done_or_unknown_does_nothing(files: Path) -> None:
    """The cancellation and the answer cross on the wire; that is nobody's fault."""
    with serving() as talk:
        assert "result" in (talk.send(build(1, files)) or talk.answer(1))
        for id_ in (1, "1", 77, None):
            talk.send({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": id_}})
        talk.close()
        assert talk.output.read() == b""
        assert talk.process.wait(PATIENCE) == 0


# How it ends


def test_the_end_of_input_finishes_what_is_in_flight(files: Path) -> None:
    """``serve < requests > answers`` is a batch, and a client that closes its end still wants its answers."""
    status, answers, errors = said(b"".join(frame(build(id_, files)) for id_ in range(20)), "--workers", "2")
    assert (status, errors) == (0, "")
    assert {answer["id"] for answer in answers} == set(range(20))
    assert all("result" in answer for answer in answers)


def test_shutdown_answers_when_all_is_done_and_exit_ends(files: Path) -> None:
    """An editor that closes waits for the answer, then says exit: nothing is cut off, and the status says so."""
    with serving() as talk:
        talk.send(*[build(id_, files) for id_ in range(5)], request("s", "shutdown"), request(9, "verify", file="x"))
        order = [talk.receive() for _ in range(7)]
        assert [message["id"] for message in order if message["id"] != 9][-1] == "s"
        assert next(message for message in order if message["id"] == 9)["error"]["code"] == -32600
        assert order[-1] == {"jsonrpc": "2.0", "id": "s", "result": None} or order[-1]["id"] == 9
        talk.send({"jsonrpc": "2.0", "method": "exit"})
        assert talk.process.wait(PATIENCE) == 0


def test_exit_without_shutdown_ends_at_once(files: Path) -> None:
    """LSP: status 1; what runs is cancelled, and its linker does not outlive the server."""
    captured = sleeping_linker(files)
    with serving() as talk:
        talk.send(link(1, files, captured))
        number = wait_for(files / "began")
        talk.send({"jsonrpc": "2.0", "method": "exit"})
        assert talk.answer(1)["error"]["code"] == -32800
        assert talk.process.wait(PATIENCE) == 1
        assert gone(number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("input_ended", [False, True], ids=["open", "ended"])
def test_a_signal_ends_it_and_its_linkers(files: Path, number: int, *, input_ended: bool) -> None:
    """A build tool that is interrupted must not leave linkers behind."""
    captured = sleeping_linker(files)
    with serving() as talk:
        talk.send(link(1, files, captured))
        linker = wait_for(files / "began")
        if input_ended:
            talk.close()
            time.sleep(0.1)
        talk.process.send_signal(number)
        assert talk.process.wait(PATIENCE) == 128 + number
        assert gone(linker)
        errors = talk.process.stderr.read().decode() if talk.process.stderr else ""
        assert "Traceback" not in errors


@pytest.mark.parametrize("input_ended", [False, True], ids=["open", "ended"])
def test_a_vanished_client_ends_it_quietly(files: Path, *, input_ended: bool) -> None:
    """A tool that crashed reads no answers: its server ends, with its linkers and without a word."""
    captured = sleeping_linker(files)
    with serving() as talk:
        talk.send(link(1, files, captured))
        linker = wait_for(files / "began")
        if input_ended:
            talk.close()
            time.sleep(0.1)
        talk.close(output=True)
        assert talk.process.wait(PATIENCE) == 0
        assert gone(linker)
        assert talk.process.stderr is not None
        assert talk.process.stderr.read() == b""


@pytest.mark.parametrize("how", ["output closed", "exit", "SIGTERM", "SIGHUP"])
def test_a_linker_that_ignores_signals_ends_with_the_server(files: Path, how: str) -> None:
    """A tool that crashed left a linker behind that ran for ever, and a folder beside the patch for each."""
    captured = sleeping_linker(files, deaf=True)
    with serving() as talk:
        talk.send(link(1, files, captured))
        linker = wait_for(files / "began")
        before = set(os.listdir(files))
        if how == "output closed":
            talk.close(output=True)
        elif how == "exit":
            talk.send({"jsonrpc": "2.0", "method": "exit"})
        else:
            talk.process.send_signal(getattr(signal, how))
        talk.process.wait(PATIENCE)
        assert gone(linker)
        assert gone((files / "child").read_text().strip())
        assert {name for name in before if name.startswith(".patch.so.")}
        assert not [name for name in os.listdir(files) if name.startswith(".")]


def test_a_hangup_that_the_parent_ignored_is_ignored(files: Path) -> None:
    """``nohup hotpatch-stubgen serve`` is to outlive its terminal."""
    command = ["sh", "-c", f"trap '' HUP; exec {sys.executable} -m stubgen serve"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(frame(request(1, "initialize")))
        process.stdin.flush()
        assert process.stdout.readline().startswith(b"Content-Length")
        process.send_signal(signal.SIGHUP)
        process.stdin.write(frame(build(2, files)))
        process.stdin.close()
        assert b'"id":2,"result"' in process.stdout.read()
        assert process.wait(PATIENCE) == 0


@pytest.mark.parametrize("most", range(8, 24, 3))
def test_few_file_descriptors_are_the_machines_fault(files: Path, most: int) -> None:
    """In a container that allows few open files, a sentence says so; no answer calls it a bug in stubgen."""
    captured = str(record(["ld", "-o", "host", "main.o"], files / "captured"))
    command = ["sh", "-c", f"ulimit -n {most}; exec {sys.executable} -m stubgen serve"]
    asked = frame(build(1, files)) + frame(link(2, files, captured)) + frame(build(3, files, output=str(files / "s.o")))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, check=False, capture_output=True, input=asked, env=environment, timeout=PATIENCE)
    assert b"a bug in stubgen" not in done.stdout
    assert b"Traceback" not in done.stderr


def test_a_client_that_vanishes_before_its_answer(files: Path) -> None:
    """``| head -c 10``: the broken pipe is met while an answer is written."""
    names = [f"{'x' * 200}{number}" for number in range(5000)]
    put(files, "many.o", elf_object([undefined(name) for name in names]))
    with serving() as talk:
        talk.send(build(1, files, objects=[str(files / "many.o")], allow_missing=True))
        assert talk.output.read(10) == b"Content-Le"
        talk.close(output=True)
        assert talk.process.wait(PATIENCE) == 0


def test_standard_streams_are_needed(files: Path) -> None:
    """Started without them, by a daemon or a mistake: a sentence, not a traceback."""
    for closed in ("<&-", ">&-"):
        command = ["sh", "-c", f"exec {sys.executable} -m stubgen serve {closed}"]
        done = subprocess.run(command, check=False, capture_output=True, cwd=ROOT, stdin=subprocess.DEVNULL)
        assert done.returncode == 2
        assert b"standard input and standard output" in done.stderr
        assert b"Traceback" not in done.stderr


def test_json_is_refused() -> None:
    """``--json`` would promise one document; standard output has frames."""
    done = subprocess.run([*SERVE, "--json"], check=False, capture_output=True, cwd=ROOT, stdin=subprocess.DEVNULL)
    assert done.returncode == 2


# What is kept


def test_a_changed_file_is_noticed(files: Path) -> None:
    """Stubs from the host of before the last build jump into nowhere."""
    with serving() as talk:
        first = talk.ask(1, "build", **build(0, files)["params"])["result"]
        put(files, "new", elf_host([Sym("main", BASE + 0x100), Sym("f", BASE + 0x180)]))
        age(files / "new")
        os.replace(files / "new", files / "host")  # another file
        second = talk.ask(2, "build", **build(0, files)["params"])["result"]
        put(files, "patch.o", elf_object([undefined("main")]))  # the same file, of now
        third = talk.ask(3, "build", **build(0, files)["params"])["result"]
        os.unlink(files / "host")
        gone = talk.ask(4, "build", **build(0, files)["params"])["error"]
    addresses = [[d["static_address"] - BASE for d in result["decisions"]] for result in (first, second, third)]
    assert addresses == [[0x140], [0x180], [0x100]]
    assert gone["data"]["kind"] == "UnreadableInput"


def test_a_host_truncated_in_place_is_refused_until_it_is_whole(files: Path) -> None:
    """A linker that truncates the file and writes it anew may be met at any length."""
    whole = (files / "host").read_bytes()
    with serving() as talk:
        assert "result" in (talk.send(build(1, files)) or talk.answer(1))
        for size in (0, 1, 64, 4096, len(whole) - 1):
            (files / "host").write_bytes(whole[:size])
            assert talk.ask(size, "build", **build(0, files)["params"])["error"]["code"] in (-32003, -32001)
        (files / "host").write_bytes(whole)
        assert "result" in (talk.send(build(9, files)) or talk.answer(9))


def test_files_rewritten_all_the_time_do_not_kill_it(files: Path) -> None:
    """Builds and requests meet at any moment; each is answered, by the one file or the other or by a refusal."""
    stop = threading.Event()
    contents = {name: (files / name).read_bytes() for name in ("host", "patch.o")}

    def rewrite() -> None:
        while not stop.is_set():
            for name, content in contents.items():
                (files / name).write_bytes(b"")
                (files / name).write_bytes(content)

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        with serving() as talk:
            talk.send(*[build(id_, files) for id_ in range(100)])
            codes = {talk.receive().get("error", {"code": 0})["code"] for _ in range(100)}
    finally:
        stop.set()
        writer.join()
    assert codes <= {0, -32003}


@pytest.mark.parametrize(("told", "cache"), [({}, True), ({"no_cache": False}, True), ({"no_cache": True}, False)])
def test_an_option_that_says_no_is_true_when_it_is_given(told: dict[str, bool], cache: bool) -> None:
    """``no_cache: true`` that turned the cache on would be worse than none."""
    params = {"host": "h", "objects": ["o"], "output": "s", **told}
    assert Method("build").arguments(params).cache is cache


def test_methods_fail_for_an_unknown_type() -> None:
    """An option of a new kind must be given a type here before it is told to clients as a string."""
    for name in METHODS:
        for parameter in Method(name).parameters.values():
            assert parameter.type in ("string", "strings", "boolean", "address")
            if parameter.type == "strings":
                assert isinstance(parameter.default, list) or parameter.required


def test_moving_the_folder_away_is_a_refusal(files: Path) -> None:
    """Relative paths are relative to where the server was started; that may be gone by now."""
    inner = files / "inner"
    inner.mkdir()
    with serving(cwd=inner) as talk:
        assert talk.ask(1, "verify", file="../nowhere")["error"]["code"] == -32003
        shutil.rmtree(inner)
        assert talk.ask(2, "verify", file="x")["error"]["code"] == -32003
        assert talk.ask(3, "build", host="x", slide=0, objects=["y"], output="z")["error"]["code"] in (-32002, -32003)
