"""The library's keyword options: what each may be, in one table, and one sentence where it is something else.

Python callers reach the phases without argparse in front of them. A misspelt keyword, one path where a list belongs
or a policy that does not exist must not build something else than was asked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from functools import partial
from typing import Any, NamedTuple, TypedDict, TypeVar

from stubgen.common.aarch64 import ADDRESS_LIMIT, WORD
from stubgen.errors import UsageError
from stubgen.resolve.verdicts import DataPolicy, TlsPolicy

PathLike = str | os.PathLike[str]


class BtiPolicy(Enum):
    """Whether each stub begins with a BTI landing pad (``--bti``)."""

    AUTO = "auto"  # where the host or an object of the patch carries the property
    ON = "on"
    OFF = "off"


class Options(TypedDict, total=False):
    """How a patch's symbols are answered; every one may be left out."""

    anchor: str | None
    """The anchor's name; by default ``whisker_aslr_anchor``, else ``main``."""
    slide: int | None
    """The slide in bytes, instead of an anchor's address."""
    data: DataPolicy | str
    """How references to the host's data are answered without bound copies."""
    libraries: Sequence[PathLike]
    """Shared libraries that the patch links; what they export is left to the loader."""
    bind: bool
    """Make bound copies of the objects, which reach the host's data and thread-locals; link those instead."""
    tls: TlsPolicy | str
    """How thread-locals of a host that is a shared library are answered."""
    keep_state: bool
    """Bound copies use the host's writable variables where patch and host both define them; needs ``bind``."""
    overrides: Mapping[str, int] | None
    """Name -> runtime address of the function that replaced the host's, from earlier patches."""
    whole_archive: bool
    """Take every member of archives, not only those that something refers to."""
    exports: Sequence[str]
    """Names that the patch must export; archives are searched for them."""


class BuildOptions(NamedTuple):
    """:class:`Options`, every one there and of its type."""

    anchor: str | None = None
    slide: int | None = None
    data: DataPolicy = DataPolicy.AUTO
    libraries: tuple[str, ...] = ()
    bind: bool = False
    tls: TlsPolicy = TlsPolicy.AUTO
    keep_state: bool = False
    overrides: Mapping[str, int] = {}
    whole_archive: bool = False
    exports: tuple[str, ...] = ()


def read_options(caller: str, options: Mapping[str, object]) -> BuildOptions:
    """*options*, checked.

    Args:
        caller: the function that was called, for the complaint about a keyword that it does not have.
        options: its keywords, as :class:`Options` has them.

    Raises:
        UsageError: one is unknown, of another type or out of its range, or lacks what it works by.
    """
    for name in options:
        if name not in READERS:
            raise UsageError(f"{name} is no option of {caller}{_hint(name, READERS)}")
    read = BuildOptions(**{name: READERS[name](name, value) for name, value in options.items()})
    if read.keep_state and not read.bind:
        raise UsageError("keep_state works by bound copies: give bind=True as well")
    return read


def _hint(name: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def flag(name: str, value: object) -> bool:
    """A bool: 0, "no" and the like are somebody's mistake."""
    if not isinstance(value, bool):
        raise UsageError(f"{name} is {value!r}; give True or False")
    return value


def number(name: str, value: object) -> int | None:
    """A whole number, or None."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise UsageError(f"{name} is {value!r}; give a number")
    return value


def text(name: str, value: object) -> str | None:
    """A symbol's name, or None."""
    if value is not None and not isinstance(value, str):
        raise UsageError(f"{name} is {value!r}; give a string")
    return value


def names(name: str, value: object) -> tuple[str, ...]:
    """A list of symbol names."""
    if isinstance(value, str | bytes):
        raise UsageError(f"{name} is the one name {value!r}; give a list of names")
    return _all(name, value, "a list of names", lambda item: item if isinstance(item, str) else None)


def paths(name: str, value: object) -> tuple[str, ...]:
    """A list of paths, as strings."""
    if isinstance(value, str | bytes | os.PathLike):
        raise UsageError(f"{name} is the one path {os.fspath(value)!s}; give a list of paths")
    return _all(name, value, "a list of paths", _path)


def _path(item: object) -> str | None:
    path = os.fspath(item) if isinstance(item, os.PathLike) else item
    return path if isinstance(path, str) else None


def _all(name: str, value: object, wanted: str, read: Callable[[object], str | None]) -> tuple[str, ...]:
    if not isinstance(value, Iterable):
        raise UsageError(f"{name} is {value!r}; give {wanted}")
    items = list(value)
    found = [item for item in map(read, items) if item is not None]
    if len(found) != len(items):
        odd = next(item for item in items if read(item) is None)
        raise UsageError(f"{name} has {odd!r} in it; give {wanted}, each a string")
    return tuple(found)


def addresses(name: str, value: object) -> Mapping[str, int]:
    """Function names -> runtime addresses; None is none."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise UsageError(f"{name} is {value!r}; give a mapping of names to runtime addresses")
    for function, address in value.items():
        if not isinstance(function, str):
            raise UsageError(f"{name} has the name {function!r}; give a string")
        if isinstance(address, bool) or not isinstance(address, int):
            raise UsageError(f"{name}: {function} is at {address!r}; give its runtime address, a number")
        if not 0 <= address < ADDRESS_LIMIT or address % WORD:
            raise UsageError(f"{name}: {function} is at {address:#x}, where no instruction can be")
    return dict(value)


Choice = TypeVar("Choice", bound=Enum)


def choice(kind: type[Choice], name: str, value: object) -> Choice:
    """A member of *kind*, or the value of one."""
    for member in kind:
        if value is member or value == member.value:
            return member
    raise UsageError(f"{name} is {value!r}; give one of {', '.join(str(member.value) for member in kind)}")


READERS: dict[str, Callable[[str, object], Any]] = {
    "anchor": text,
    "slide": number,
    "data": partial(choice, DataPolicy),
    "libraries": paths,
    "bind": flag,
    "tls": partial(choice, TlsPolicy),
    "keep_state": flag,
    "overrides": addresses,
    "whole_archive": flag,
    "exports": names,
}
"""Option -> what reads its value."""
