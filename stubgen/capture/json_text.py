"""Writes a record as ``json.dumps(document, indent=1)`` does, without the module ``json``.

``json`` loads ``re``, which loads ``enum``, ``functools`` and ``collections``: a third of Python's own start, paid for
each link and compile of a build.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def json_text(value: object, depth: int = 0) -> str:
    """*value* as JSON, indented by one space a level: objects, arrays, texts, numbers, true, false and null.

    >>> json_text({"argv": ["cc", 1], "output": None}).splitlines()
    ['{', ' "argv": [', '  "cc",', '  1', ' ],', ' "output": null', '}']
    """
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, dict):
        members = [f"{_quoted(name)}: {json_text(member, depth + 1)}" for name, member in value.items()]
        return _enclosed("{", members, "}", depth)
    if isinstance(value, list | tuple):
        return _enclosed("[", [json_text(item, depth + 1) for item in value], "]", depth)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return repr(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")


def _enclosed(begin: str, items: Iterable[str], end: str, depth: int) -> str:
    line = "\n" + " " * depth
    return f"{begin}{line} {f',{line} '.join(items)}{line}{end}" if items else begin + end


def _quoted(text: str) -> str:
    """*text* in quotation marks; where it has anything to escape, as paths and options seldom have, ``json`` does."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    import json

    return json.dumps(text)
