"""JSON-RPC 2.0: what a message asks for, and the answers to it."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

Id = int | str

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
REQUEST_CANCELLED = -32800  # LSP's
SERVER_BUSY = -32000
_SERVER_ERROR = -32000  # the command's exit status is taken off

ERRORS = {
    PARSE_ERROR: "the frame or the JSON in it cannot be read",
    INVALID_REQUEST: "it is JSON, but not a request that can be taken",
    METHOD_NOT_FOUND: "there is no such method",
    INVALID_PARAMS: "a parameter is missing, unknown or of the wrong type",
    INTERNAL_ERROR: "a bug of the server's",
    REQUEST_CANCELLED: "the client cancelled the request",
    SERVER_BUSY: "too many requests are waiting",
    -32001: "the answer is no",
    -32002: "the request contradicts itself or lacks something",
    -32003: "a file cannot be read or is malformed",
    -32004: "the linker or a compiler failed",
    -32005: "the machine cannot do it",
}
"""Code -> what it means; the last five are the commands' exit statuses."""


class RpcError(Exception):
    """An answer that is an error."""

    def __init__(self, code: int, message: str, data: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


class InvalidRequest(RpcError):
    """A message that is no request; ``id`` is its id where it has one."""

    def __init__(self, message: str, id_: Id | None = None, data: Mapping[str, object] | None = None) -> None:
        super().__init__(INVALID_REQUEST, message, data)
        self.id = id_


class Request(NamedTuple):
    """A call, or a notification: that has no id and gets no answer."""

    id: Id | None
    method: str
    params: dict[str, Any] | list[Any]


def status_code(exit_status: int) -> int:
    """The error code for a command's exit status."""
    return _SERVER_ERROR - exit_status


def parse(content: bytes) -> Request:
    """The request in *content*.

    Raises:
        RpcError: it is no JSON, or no request.
    """
    message = _load(content)
    if isinstance(message, list):
        raise InvalidRequest("batches are not taken: send the requests one after another, they run side by side")
    if not isinstance(message, dict):
        raise InvalidRequest(f"a request is an object, not {kind(message)}")
    id_ = message.get("id")
    if "id" in message and (isinstance(id_, bool) or not isinstance(id_, int | str)):
        raise InvalidRequest(f"id must be a string or a whole number, not {kind(id_)}")
    if message.get("jsonrpc") != "2.0":
        raise InvalidRequest('jsonrpc must be "2.0"', id_)
    method = message.get("method")
    if not isinstance(method, str):
        raise InvalidRequest("the request has no method" if method is None else "method must be a string", id_)
    params = message.get("params")
    if params is None:
        params = {}
    if not isinstance(params, dict | list):
        raise InvalidRequest(f"params must be an object, not {kind(params)}", id_)
    return Request(id_, method, params)


def _load(content: bytes) -> object:
    try:
        text = content.decode("utf-8")
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_float, object_pairs_hook=_object)
    except UnicodeDecodeError as error:
        raise RpcError(
            PARSE_ERROR, f"the message is not UTF-8: byte {error.start} is {content[error.start]:#04x}"
        ) from error
    except RecursionError as error:
        raise RpcError(PARSE_ERROR, "the message is nested too deeply") from error
    except ValueError as error:  # a number of too many digits is one, too
        raise RpcError(PARSE_ERROR, f"the message is not JSON: {error}") from error


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON number")


def _float(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"{digits[:40]} is too large a number")
    return value


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"an object has {json.dumps(twice[:40])} twice")
    return members


def kind(value: object) -> str:
    """What kind of JSON value *value* is."""
    names = {type(None): "null", bool: "a boolean", int: "a number", float: "a number", str: "a string"}
    return names.get(type(value), "an array" if isinstance(value, list) else "an object")


def result(id_: Id, value: object) -> bytes:
    """The answer *value* to request *id_*."""
    return _dump({"jsonrpc": "2.0", "id": id_, "result": value})


def failure(id_: Id | None, error: RpcError) -> bytes:
    """The answer *error* to request *id_*; None where nobody can say which request it was."""
    body: dict[str, object] = {"code": error.code, "message": error.message}
    if error.data is not None:
        body["data"] = error.data
    return _dump({"jsonrpc": "2.0", "id": id_, "error": body})


def _dump(message: object) -> bytes:
    return json.dumps(message, separators=(",", ":"), allow_nan=False).encode("ascii")
