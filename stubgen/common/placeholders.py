"""Placeholders in the names of outputs: ``{generation}`` and ``{digest}``; ``{{`` and ``}}`` are braces."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from stubgen.common.arguments import StrPath
from stubgen.common.arguments import path as checked_path
from stubgen.errors import UsageError

GENERATION, DIGEST = "generation", "digest"
DIGITS = 12
"""Hexadecimal digits that stand for ``{digest}``: the first of the patch's SHA-256."""

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")


def expand(text: str, values: Mapping[str, str]) -> str:
    """*text* with each placeholder's value.

    Raises:
        UsageError: it has another name in braces, or one that has no value here.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return match[0][0]
        if name in values:
            return values[name]
        if name == GENERATION:
            raise UsageError(f"{text}: {{{name}}} is the number of a patch of one process: add --session FILE")
        if name == DIGEST:
            raise UsageError(f"{text}: {{{name}}} is known when the patch is linked, which is too late for this name")
        raise UsageError(
            f"{text}: {{{name}}} is no placeholder; {{{GENERATION}}} and {{{DIGEST}}} are, and {{{{ is a brace"
        )

    return _PIECE.sub(value, text)


class OutputNames:
    """The names of outputs, whose placeholders have their values sooner or later.

    Args:
        values: those that are known before the link; None where braces are braces.
    """

    def __init__(self, values: Mapping[str, str] | None) -> None:
        self._values = values
        self.digest = ""
        """SHA-256 of the patch, once it is linked."""

    def learn(self, linked: StrPath) -> None:
        """Let the digest be that of the patch at *linked*."""
        if self._values is not None:
            import hashlib

            from stubgen.common.files import read_input

            self.digest = hashlib.sha256(read_input(linked)).hexdigest()

    def early(self, text: str) -> str:
        """*text* with zeros for the digest: as long as it will be, in the folder where it will be."""
        return text if self._values is None else expand(text, {DIGEST: "0" * DIGITS, **self._values})

    def folder(self, name: str, value: object) -> str:
        """The absolute path of a folder that is needed before the link."""
        text = os.path.abspath(checked_path(name, value))
        return text if self._values is None else expand(text, self._values)

    def at_end(self, text: str) -> str:
        """*text*, once the patch is linked."""
        return text if self._values is None else expand(text, {DIGEST: self.digest[:DIGITS], **self._values})
