"""The commands as methods: their options, read from the same argparse definitions, are the parameters."""

from __future__ import annotations

import argparse
import importlib
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from stubgen.commands import COMMANDS, SCHEMA, Outcome
from stubgen.commands.options import address, failure_document
from stubgen.common.cancellation import checkpoint
from stubgen.common.files import system_failure
from stubgen.errors import Cancelled, StubgenError, UsageError
from stubgen.serve.messages import INVALID_PARAMS, REQUEST_CANCELLED, RpcError, kind, status_code
from stubgen.session import Session
from stubgen.terminal.sheet import plain

METHODS = (
    "build",
    "plan",
    "link",
    "recompile",
    "patch",
    "explain",
    "jumptable",
    "reach",
    "session",
    "check",
    "inspect",
    "verify",
    "captures",
)
"""The commands that are methods: those that ``capture`` in front of a linker, look after files or serve are not."""

SHARING = frozenset({"build", "link", "patch", "explain", "jumptable", "reach", "session", "check"})
"""The methods that open a host."""

TEXT_ONLY = frozenset({"help", "explain", "shell"})
"""Options that choose a text for a person; an answer has none."""


class Parameter(NamedTuple):
    """One parameter of a method, and the option that it is."""

    name: str
    type: str  # a key of _TYPES
    required: bool
    positional: bool  # on the command line, where it has no option's name
    default: object
    choices: tuple[str, ...]
    description: str
    destination: str  # its attribute in the namespace that a command executes
    inverted: bool  # whether true there is false here: --no-cache

    def document(self) -> dict[str, object]:
        """What ``initialize`` tells of it."""
        told: dict[str, object] = {"type": self.type, "required": self.required, "positional": self.positional}
        if not self.required:
            told["default"] = self.default
        if self.choices:
            told["choices"] = list(self.choices)
        if self.description:
            told["description"] = self.description
        return told

    def read(self, value: object) -> object:
        """*value* as the command takes it.

        Raises:
            RpcError: it is not what the parameter takes.
        """
        expected, taken = _TYPES[self.type]
        if not taken(value) or (self.choices and value not in self.choices):
            expected = f"one of {', '.join(self.choices)}" if self.choices else expected
            got = f"'{value}'" if isinstance(value, str) and self.choices else kind(value)
            raise _refusal(self.name, f"must be {expected}, not {got}", expected)
        for text in value if isinstance(value, list) else [value]:
            _check_text(self.name, text)
        if self.type != "address":
            return not value if self.inverted else value
        try:
            return address(str(value))
        except UsageError as error:
            raise _refusal(self.name, str(error), expected) from error


_TYPES: dict[str, tuple[str, Callable[[object], bool]]] = {
    "string": ("a string", lambda value: isinstance(value, str)),
    "strings": (
        "an array of strings",
        lambda value: isinstance(value, list) and all(isinstance(item, str) for item in value),
    ),
    "boolean": ("true or false", lambda value: isinstance(value, bool)),
    "address": (
        "a whole number, or a string of one, decimal or 0x-hexadecimal",
        lambda value: isinstance(value, int | str) and not isinstance(value, bool),
    ),
}
"""Type -> what a value must be, in words and as a test."""


class Method:
    """A command that can be asked for by name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._module = importlib.import_module(f"stubgen.commands.{name}")
        parser = argparse.ArgumentParser(add_help=False)
        self._module.configure_parser(parser)
        # argparse keeps no other list of what was added to a parser.
        self.parameters = {
            parameter.name: parameter
            for parameter in map(_parameter, parser._actions)
            if parameter.name not in TEXT_ONLY
        }
        self._defaults = {action.dest: _default(action) for action in parser._actions}

    def document(self) -> dict[str, object]:
        """What ``initialize`` tells of it."""
        return {
            "description": COMMANDS[self.name],
            "params": {name: parameter.document() for name, parameter in self.parameters.items()},
        }

    def arguments(self, params: Mapping[str, Any] | list[Any]) -> argparse.Namespace:
        """*params* as the command line's options.

        Raises:
            RpcError: one is missing, unknown, or of the wrong type; the message names it.
        """
        if isinstance(params, list):
            message = f"{self.name}: params must be an object of names and values, not an array"
            raise RpcError(INVALID_PARAMS, message, {"parameter": None, "expected": "an object"})
        values = {name: list(value) if isinstance(value, list) else value for name, value in self._defaults.items()}
        for name, value in params.items():
            parameter = self.parameters.get(name)
            if parameter is None:
                raise _refusal(name, f"is no parameter of {self.name}", f"one of {', '.join(self.parameters)}")
            if value is not None:  # null stands for what was left out, as languages with optional fields write it
                values[parameter.destination] = parameter.read(value)
        for parameter in self.parameters.values():
            if parameter.required and params.get(parameter.name) in (None, []):
                raise _refusal(parameter.name, f"is required by {self.name}", _TYPES[parameter.type][0])
        return argparse.Namespace(command=self.name, json=True, **values)

    def call(self, arguments: argparse.Namespace, session: Session) -> dict[str, object]:
        """The document that the command prints with ``--json``.

        What it would say on standard error is in the document as well; a client that does not read the server's
        standard error must not stop it.

        Raises:
            RpcError: the answer is no, or it failed; ``data`` has the document.
        """
        try:
            checkpoint()
            execute = self._module.execute
            outcome: Outcome = execute(arguments, session) if self.name in SHARING else execute(arguments)
            if outcome.outputs is not None:
                with outcome.outputs:
                    checkpoint()
                    outcome.outputs.commit()
        except Cancelled as error:
            raise RpcError(REQUEST_CANCELLED, str(error)) from error
        except StubgenError as error:
            raise self._failure(error) from error
        except (OSError, MemoryError) as error:
            failure = system_failure(error)
            if failure is None:
                raise
            raise self._failure(failure) from error
        document = {"schema": SCHEMA, "command": self.name, "status": outcome.status, **outcome.document}
        if outcome.status:
            message = (outcome.complaint or plain(outcome.text)).removeprefix("error: ")
            raise _answer(outcome.kind, outcome.status, message, document)
        return document

    def _failure(self, error: StubgenError) -> RpcError:
        name, message = type(error).__name__, str(error)
        document = {
            "schema": SCHEMA,
            "command": self.name,
            "status": error.exit_status,
            **failure_document(error),
        }
        return _answer(name, error.exit_status, message, document)


def _answer(name: str, exit_status: int, message: str, document: Mapping[str, object]) -> RpcError:
    data = {"kind": name, "exit_status": exit_status, "message": message, "document": document}
    return RpcError(status_code(exit_status), message, data)


def _refusal(parameter: str, what: str, expected: str) -> RpcError:
    return RpcError(INVALID_PARAMS, f"{parameter} {what}", {"parameter": parameter, "expected": expected})


def _check_text(parameter: str, value: object) -> None:
    """Refuse text that no file and no symbol can be called."""
    if isinstance(value, str):
        try:
            os.fsencode(value)
        except UnicodeEncodeError as error:
            raise _refusal(parameter, "has half a surrogate pair in it", "Unicode text") from error
        if "\0" in value:
            raise _refusal(parameter, "has a NUL character in it", "text without one")


def _parameter(action: argparse.Action) -> Parameter:
    """The parameter that an option or positional argument is."""
    flags = [flag for flag in action.option_strings if flag.startswith("--")]
    default = _default(action)
    inverted = action.nargs == 0 and default is True
    return Parameter(
        name=flags[0].removeprefix("--").replace("-", "_") if flags else action.dest,
        type=_type(action, default),
        required=action.required and action.nargs != argparse.ZERO_OR_MORE,
        positional=not action.option_strings,
        default=False if inverted else default,
        choices=tuple(action.choices or ()),
        description=action.help or "",
        destination=action.dest,
        inverted=inverted,
    )


def _default(action: argparse.Action) -> object:
    if action.default is None and action.nargs == argparse.ZERO_OR_MORE:
        return []
    return action.default


def _type(action: argparse.Action, default: object) -> str:
    if action.type is address:
        return "address"
    if action.nargs == 0:
        return "boolean"
    several = action.nargs not in (None, argparse.OPTIONAL)
    return "strings" if isinstance(default, list) or several else "string"
