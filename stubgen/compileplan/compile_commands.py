"""``compile_commands.json``: what CMake, Meson, Bear and clang's ``-MJ`` say of a build (JSON Compilation Database)."""

from __future__ import annotations

import json
import os
import shlex

from stubgen.capture.compile_words import compiled
from stubgen.capture.compiles import Compile
from stubgen.common.files import open_input
from stubgen.errors import MalformedInput


def read_compile_commands(path: str | os.PathLike[str]) -> list[Compile]:
    """The compiles that the database *path* lists; ``arguments`` comes before ``command``, as clang has it.

    Raises:
        UnreadableInput: there is no such file.
        MalformedInput: it is no such database.
    """
    content, status = open_input(path)
    try:
        entries = json.loads(bytes(content))
        found = [_compile(entry, status.st_mtime) for entry in entries]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise MalformedInput(
            f"{os.fspath(path)}: is no compilation database: give the compile_commands.json that CMake, Meson or Bear "
            "wrote"
        ) from error
    return [each for each in found if each is not None]


def _compile(entry: dict[str, object], time: float) -> Compile | None:
    directory, source = _text(entry["directory"]), _text(entry["file"])
    arguments = entry.get("arguments")
    words = arguments if isinstance(arguments, list) else shlex.split(_text(entry["command"]))
    argv = [_text(word) for word in words]
    found = compiled(argv, directory)
    if found is None or found.rust:
        return None
    output = _text(entry["output"]) if "output" in entry else found.output
    made = os.path.join(directory, output)
    compiled_at = (
        os.stat(made).st_mtime if os.path.isfile(made) else time
    )  # the database is older than what is made by it
    return Compile(found.argv, directory, {}, compiled_at, output, found.source or source)


def _text(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise TypeError(value)
    return value
