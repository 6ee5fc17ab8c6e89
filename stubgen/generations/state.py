"""The session file: what was patched in one process, by which patches, and where it loaded them.

A JSON object that :func:`read_session` takes apart strictly: what it says decides where calls of a living process go.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, TypeVar

from stubgen.common.aarch64 import ADDRESS_LIMIT
from stubgen.common.files import open_input
from stubgen.common.row import Row
from stubgen.errors import MalformedInput, UnreadableInput

SCHEMA = 1
"""Version of the file; a field that changes its meaning raises it."""
MOST_BYTES = 1 << 26
"""A longer file is no session's."""

T = TypeVar("T")


class Fate(Enum):
    """What became of a generation."""

    LINKED = "linked"  # and nobody has said yet
    LOADED = "loaded"
    NOT_LOADED = "not loaded"  # the process refused it, or was never given it


class SessionHost(Row):
    """Which file runs."""

    path: str  # when the session began
    identity: str  # "build id", "UUID" or "code digest", and its hexadecimal digits


class SessionAnchor(Row):
    """By what the process was told from others."""

    name: str
    static_address: int
    runtime_address: int


class Function(Row):
    """One function of the program, in whichever patches it was defined anew."""

    name: str
    host: tuple[int, ...]  # static addresses of all of the host's copies; none where a patch brought it


class Place(Row):
    """Where a generation's patch has a function."""

    function: int  # index into the session's functions
    address: int  # static, in the patch
    redirected: bool  # whether its table led callers there, and not because it had not changed


class Forwarder(Row):
    """Where a generation's patch leads on callers of a function that it has not itself."""

    function: int  # index into the session's functions
    address: int  # static, in the patch
    generation: int  # that has the function; 0: the host
    target: int  # static, there


class Unit(Row):
    """An object that a generation was linked from."""

    path: str  # real path; empty where it was not kept
    digest: str  # SHA-256
    name: str  # what it was compiled from, or its path: of one name the newest counts


class Generation(Row):
    """One patch of the process."""

    number: int  # from 1
    patch: str  # absolute path
    library: str  # its path on the target
    digest: str  # SHA-256 of the patch
    time: float  # seconds since 1970
    fate: Fate
    anchor: int  # the anchor's static address in the patch
    first_address: int  # static address of the patch's first byte
    slide: int | None  # runtime address less static address; None until somebody says where it was loaded
    undo_to: int | None  # it leads back to that generation, to the host with 0; None of an ordinary patch
    complete: bool  # it has all objects of those before it, so that it needs none of them
    captured: str  # the record of the host's link that it was linked by
    units: tuple[Unit, ...]
    places: tuple[Place, ...]
    forwarders: tuple[Forwarder, ...]
    variables: tuple[str, ...]  # writable ones that it started afresh


class PatchSession(Row):
    """All patches of one process."""

    identity: str
    """128 random bits, in hexadecimal."""
    host: SessionHost
    """Which file runs."""
    anchor: SessionAnchor
    """By what the process is told from others."""
    pid: int | None
    """The process, if anybody said."""
    relink_earlier: bool
    """Whether each generation has all objects of those before it."""
    keep_state: bool
    """Whether the patches use the host's variables."""
    functions: tuple[Function, ...] = ()
    """Each function that any of the patches replaced."""
    generations: tuple[Generation, ...] = ()
    """The patches, in order."""

    @property
    def slide(self) -> int:
        """The host's."""
        return self.anchor.runtime_address - self.anchor.static_address


def read_session(path: str) -> PatchSession:
    """The session in the file *path*.

    Raises:
        UnreadableInput: there is no such file, or whose it is forbids to believe it.
        MalformedInput: it holds no session, or another version's.
    """
    content, status = open_input(path, copied=True)
    if status.st_uid not in (os.geteuid(), 0) or status.st_mode & 0o002:
        whose = "anybody may write it" if status.st_mode & 0o002 else "is another user's"
        raise UnreadableInput(
            f"{path}: {whose}, and a session file says where calls of a process go: begin a session of your own in "
            f"another file"
        )
    try:
        document = json.loads(bytes(content)) if len(content) <= MOST_BYTES else {}
        schema = document["schema"]
        if type(schema) is int and schema != SCHEMA:
            raise MalformedInput(
                f"{path}: is a session file of schema {schema}, and this version reads schema {SCHEMA}: begin a new "
                f"session with --new-session"
            )
        return _session(document)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
        raise MalformedInput(
            f"{path}: is no session file, as link --session writes it: name another file, or begin anew with "
            f"--new-session"
        ) from error


def encode_session(session: PatchSession) -> bytes:
    """The file's content."""
    document = {"schema": SCHEMA, **session_document(session)}
    text = json.dumps(document, separators=(",", ":"))
    return text.replace('{"generation":', '\n{"generation":').encode() + b"\n"


def session_document(session: PatchSession) -> dict[str, object]:
    """The session as JSON has it."""
    host, anchor = session.host, session.anchor
    return {
        "session": session.identity,
        "host": {"path": host.path, "identity": host.identity},
        "anchor": {
            "name": anchor.name,
            "static_address": anchor.static_address,
            "runtime_address": anchor.runtime_address,
        },
        "pid": session.pid,
        "relink_earlier": session.relink_earlier,
        "keep_state": session.keep_state,
        "functions": [[function.name, list(function.host)] for function in session.functions],
        "generations": [_generation_document(generation) for generation in session.generations],
    }


def _generation_document(generation: Generation) -> dict[str, object]:
    return {
        "generation": generation.number,
        "patch": generation.patch,
        "library": generation.library,
        "digest": generation.digest,
        "time": generation.time,
        "state": generation.fate.value,
        "anchor": generation.anchor,
        "first_address": generation.first_address,
        "slide": generation.slide,
        "undo_to": generation.undo_to,
        "complete": generation.complete,
        "captured": generation.captured,
        "objects": [{"path": unit.path, "digest": unit.digest, "unit": unit.name} for unit in generation.units],
        "functions": [[place.function, place.address, place.redirected] for place in generation.places],
        "forwarders": [list(row) for row in generation.forwarders],
        "variables": list(generation.variables),
    }


def _session(document: Mapping[str, Any]) -> PatchSession:
    _only(document, _SESSION_KEYS)
    host, anchor = _only(document["host"], _HOST_KEYS), _only(document["anchor"], _ANCHOR_KEYS)
    session = PatchSession(
        _hexadecimal(document["session"], 32),
        SessionHost(_text(host["path"]), _text(host["identity"])),
        SessionAnchor(_text(anchor["name"]), _number(anchor["static_address"]), _number(anchor["runtime_address"])),
        _optional(_number, document["pid"]),
        _flag(document["relink_earlier"]),
        _flag(document["keep_state"]),
        tuple(
            Function(_text(name), tuple(_each(_number, addresses)))
            for name, addresses in _each(_row(2), document["functions"])
        ),
    )
    if not 0 <= session.slide < ADDRESS_LIMIT or session.anchor.runtime_address >= ADDRESS_LIMIT:
        raise ValueError(session.anchor)
    generations = tuple(_generation(item, number, len(session.functions)) for number, item in _numbered(document))
    return session._replace(generations=generations)


def _numbered(document: Mapping[str, Any]) -> list[tuple[int, Mapping[str, Any]]]:
    return list(enumerate(_each(lambda item: _only(item, _GENERATION_KEYS), document["generations"]), start=1))


def _generation(item: Mapping[str, Any], number: int, functions: int) -> Generation:
    generation = Generation(
        _number(item["generation"]),
        _text(item["patch"]),
        _text(item["library"]),
        _hexadecimal(item["digest"], 64),
        _time(item["time"]),
        Fate(item["state"]),
        _number(item["anchor"]),
        _number(item["first_address"]),
        _optional(_number, item["slide"]),
        _optional(_number, item["undo_to"]),
        _flag(item["complete"]),
        _text(item["captured"]),
        tuple(
            Unit(_text(unit["path"]), _hexadecimal(unit["digest"], 64), _text(unit["unit"]))
            for unit in _each(lambda unit: _only(unit, ("path", "digest", "unit")), item["objects"])
        ),
        tuple(
            Place(_number(function), _number(address), _flag(redirected))
            for function, address, redirected in _each(_row(3), item["functions"])
        ),
        tuple(Forwarder(*_each(_number, row)) for row in _each(_row(4), item["forwarders"])),
        tuple(_each(_text, item["variables"])),
    )
    loaded = generation.fate is Fate.LOADED
    sound = (
        generation.number == number
        and loaded == (generation.slide is not None)
        and 0 <= (generation.slide or 0) < ADDRESS_LIMIT
        and (generation.undo_to or 0) < number
        and all(place.function < functions for place in generation.places)
        and all(row.function < functions and row.generation < number for row in generation.forwarders)
    )
    if not sound:
        raise ValueError(item)
    return generation


_SESSION_KEYS = (
    "schema",
    "session",
    "host",
    "anchor",
    "pid",
    "relink_earlier",
    "keep_state",
    "functions",
    "generations",
)
_HOST_KEYS = ("path", "identity")
_ANCHOR_KEYS = ("name", "static_address", "runtime_address")
_GENERATION_KEYS = (
    "generation",
    "patch",
    "library",
    "digest",
    "time",
    "state",
    "anchor",
    "first_address",
    "slide",
    "undo_to",
    "complete",
    "captured",
    "objects",
    "functions",
    "forwarders",
    "variables",
)


def _only(value: Any, keys: Sequence[str]) -> Mapping[str, Any]:
    """*value*, an object with those *keys* and no others."""
    if not isinstance(value, dict) or value.keys() != set(keys):
        raise TypeError(value)
    return value


def _each(check: Callable[[Any], T], value: Any) -> list[T]:
    if not isinstance(value, list):
        raise TypeError(value)
    return [check(item) for item in value]


def _row(length: int) -> Callable[[Any], list[Any]]:
    def check(value: Any) -> list[Any]:
        if not isinstance(value, list) or len(value) != length:
            raise TypeError(value)
        return value

    return check


def _optional(check: Callable[[Any], T], value: Any) -> T | None:
    return None if value is None else check(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise TypeError(value)
    value.encode("utf-8", "surrogateescape")
    return value


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 64:
        raise TypeError(value)
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(value)
    return value


def _time(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1 << 48:
        raise TypeError(value)
    return value


def _hexadecimal(value: Any, digits: int) -> str:
    if not isinstance(value, str) or len(value) != digits or value.strip("0123456789abcdef"):
        raise ValueError(value)
    return value
