"""How a caller wants a patch answered: the library's keyword options, and what reads each, in one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from functools import partial

from stubgen.common.aarch64 import ADDRESS_LIMIT, WORD
from stubgen.common.arguments import (
    a_name,
    check_keywords,
    choice,
    flag,
    listed,
    mapping,
    name_list,
    number,
    optional,
    path,
    path_list,
)
from stubgen.common.row import Row
from stubgen.errors import UsageError
from stubgen.resolve.verdicts import DataPolicy, TlsPolicy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from stubgen.host.previous import PreviousPatch
    from stubgen.policies import Policy


class BtiPolicy(Enum):
    """Whether each stub begins with a BTI landing pad (``--bti``)."""

    AUTO = "auto"
    """Where the host or an object of the patch carries the property."""
    ON = "on"
    """In every stub."""
    OFF = "off"
    """In none."""


class BuildOptions(Row):
    """:class:`~stubgen.keywords.Options`, every one there and of its type."""

    anchor: str | None = None
    slide: int | None = None
    data: DataPolicy = DataPolicy.AUTO
    libraries: tuple[str, ...] = ()
    bind: bool = False
    tls: TlsPolicy = TlsPolicy.AUTO
    keep_state: bool = False
    allow_static: bool = False
    overrides: Mapping[str, int] = {}
    previous: tuple[PreviousPatch, ...] = ()
    whole_archive: bool = False
    archives: tuple[str, ...] = ()
    exports: tuple[str, ...] = ()
    wrapped: tuple[str, ...] = ()
    policies: tuple[Policy, ...] = ()
    linked: tuple[str, ...] = ()


def read_options(caller: str, options: Mapping[str, object]) -> BuildOptions:
    """*options*, checked.

    Args:
        caller: the function that was called, for the complaint about a keyword that it does not have.
        options: its keywords, as :class:`~stubgen.keywords.Options` has them.

    Raises:
        UsageError: one is unknown, of another type or out of its range, or lacks what it works by.
    """
    check_keywords(caller, options, list(READERS))
    read = BuildOptions(**{name: READERS[name](name, value) for name, value in options.items()})
    if read.keep_state and not read.bind:
        raise UsageError("keep_state works by bound copies: give bind=True as well")
    if read.archives and not read.bind:
        raise UsageError("members of archives become bound copies: give bind=True as well")
    return read


def addresses(name: str, value: object) -> Mapping[str, int]:
    """Function names -> runtime addresses; None is none."""
    return {} if value is None else mapping(name, value, "runtime addresses", _address)


def _address(name: str, value: object) -> int:
    address = number(name, value)
    if not 0 <= address < ADDRESS_LIMIT or address % WORD:
        raise UsageError(f"{name} is {address:#x}, where no instruction can be")
    return address


def previous_patches(name: str, value: object) -> tuple[PreviousPatch, ...]:
    """Earlier patches, each with its address in the process."""
    return () if value is None else listed(name, value, "PreviousPatch", _previous_patch)


def _object(name: str, value: object) -> tuple[str, str]:
    if not isinstance(value, tuple) or len(value) != 2:
        raise UsageError(f"{name}: {value!r} is no object of an earlier patch; give its path and its SHA-256")
    return path(name, value[0]), a_name(name, value[1])


def _previous_patch(name: str, value: object) -> PreviousPatch:
    if not isinstance(value, tuple) or not 2 <= len(value) <= 5:
        raise UsageError(f"{name}: {value!r} is no earlier patch; give PreviousPatch(path, address)")
    from stubgen.host.previous import PreviousPatch

    symbol = value[2] if len(value) > 2 else None
    variables = value[3] if len(value) > 3 else None
    checked = None if variables is None else name_list(name, variables)
    objects = listed(name, value[4], "path and digest", _object) if len(value) > 4 else ()
    return PreviousPatch(path(name, value[0]), number(name, value[1]), optional(a_name, name, symbol), checked, objects)


def _policies(name: str, value: object) -> tuple[Policy, ...]:
    """The builder's own rules."""
    if isinstance(value, list | tuple) and not value:
        return ()
    from stubgen.policies import read_policies

    return read_policies(name, value)


READERS: dict[str, Callable[[str, object], Any]] = {
    "anchor": partial(optional, a_name),
    "slide": partial(optional, number),
    "data": partial(choice, DataPolicy),
    "libraries": path_list,
    "bind": flag,
    "tls": partial(choice, TlsPolicy),
    "keep_state": flag,
    "allow_static": flag,
    "overrides": addresses,
    "previous": previous_patches,
    "whole_archive": flag,
    "archives": path_list,
    "exports": name_list,
    "wrapped": name_list,
    "policies": _policies,
    "linked": path_list,
}
"""Option -> what reads its value."""
