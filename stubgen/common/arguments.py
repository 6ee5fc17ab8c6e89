"""What Python callers pass, held against what it must be: one sentence where it is something else.

The library is reached without argparse in front of it. A misspelt keyword, the single name ``"f"`` where a list of
names belongs, or a policy that does not exist must not build something else than was asked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from stubgen.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from enum import Enum
    from typing import TypeVar

    T = TypeVar("T")
    Choice = TypeVar("Choice", bound=Enum)

StrPath = str | os.PathLike[str]


def check_keywords(
    what: str, given: Mapping[str, object], known: Sequence[str], *, required: Sequence[str] = ()
) -> None:
    """Refuse keywords that *what* does not know, with the close one, and the lack of one that it needs.

    Raises:
        UsageError: see above.
    """
    for name in given:
        if name not in known:
            import difflib

            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"it knows {', '.join(known)}"
            raise UsageError(f"{name}: no keyword of {what}; {hint}")
    for name in required:
        if name not in given:
            raise UsageError(f"{name} is missing; {what} needs {' and '.join(required)}")


def listed(name: str, value: object, kind: str, check: Callable[[str, object], T]) -> tuple[T, ...]:
    """The elements of the list *value*, each checked; a single *kind* is not taken for a list of letters.

    Raises:
        UsageError: it is a single one or no list, or an element is not what it must be.
    """
    if isinstance(value, str | os.PathLike):
        raise UsageError(f"{name} is the one {kind} {os.fspath(value)}; give a list of {kind}s")
    if isinstance(value, bytes | Mapping) or not isinstance(value, Iterable):
        raise UsageError(f"{name} is {value!r}; give a list of {kind}s")
    return tuple([check(name, element) for element in value])


def path_list(name: str, value: object) -> tuple[str, ...]:
    """A list of paths, each as a string."""
    return listed(name, value, "path", path)


def name_list(name: str, value: object) -> tuple[str, ...]:
    """A list of symbol names."""
    return listed(name, value, "name", a_name)


def mapping(name: str, value: object, kinds: str, check: Callable[[str, object], T]) -> dict[str, T]:
    """A mapping from names to values that are checked; *kinds* says what they are, in the plural."""
    if not isinstance(value, Mapping):
        raise UsageError(f"{name} is {value!r}; give a mapping from names to {kinds}")
    return {a_name(name, key): check(f"{name}[{key!r}]", element) for key, element in value.items()}


def optional(check: Callable[[str, object], T], name: str, value: object) -> T | None:
    """None, or what *check* takes."""
    return None if value is None else check(name, value)


def word(name: str, value: object) -> str:
    """A word of a command, which may be empty."""
    if type(value) is str:  # nearly every one of 20,000
        return value
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(text, str):
        raise UsageError(f"{name}: {value!r} is no text")
    return text


def path(name: str, value: object) -> str:
    """A path that is not empty, as a string; bytes are none, because messages and commands are text."""
    text = word(name, value) if isinstance(value, str | os.PathLike) else ""
    if not text or "\0" in text:
        raise UsageError(f"{name}: {value!r} is no path")
    return text


def a_name(name: str, value: object) -> str:
    """A symbol's name: text that is not empty."""
    if not isinstance(value, str) or not value:
        raise UsageError(f"{name}: {value!r} is no name")
    return value


def a_raw_name(name: str, value: object) -> bytes:
    """A symbol's name as files have it."""
    if not isinstance(value, bytes):
        raise UsageError(f"{name}: {value!r} is no name in bytes")
    return value


def flag(name: str, value: object) -> bool:
    """A bool: 0, "no" and the like are somebody's mistake."""
    if not isinstance(value, bool):
        raise UsageError(f"{name} is {value!r}; give True or False")
    return value


def number(name: str, value: object) -> int:
    """A whole number; True is none."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(f"{name} is {value!r}; give a number")
    return value


def seconds(name: str, value: object) -> float:
    """A number that may have a fraction."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"{name} is {value!r}; give seconds")
    return value


def limit(name: str, value: object) -> int:
    """How many of something, or how many bytes, are kept at most."""
    most = number(name, value)
    if most < 0:
        raise UsageError(f"{name} is {most}; give 0 or more")
    return most


def instance(kind: type[T], maker: str, name: str, value: object) -> T:
    """A *kind*, as what is called *maker* makes one."""
    if not isinstance(value, kind):
        from reprlib import repr as shortened

        raise UsageError(f"{name} is {shortened(value)}; give a {kind.__name__}, which {maker} makes")
    return value


def choice(kind: type[Choice], name: str, value: object) -> Choice:
    """A member of *kind*, or the value of one."""
    for member in kind:
        if value is member or value == member.value:
            return member
    raise UsageError(f"{name} is {value!r}; it is one of {', '.join(str(member.value) for member in kind)}")
