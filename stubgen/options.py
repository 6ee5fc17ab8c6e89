"""How a caller wants a patch answered: the library's keyword options, and what reads each, in one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import partial
from typing import Any, TypedDict

from stubgen.common.aarch64 import ADDRESS_LIMIT, WORD
from stubgen.common.arguments import (
    StrPath,
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
from stubgen.host.previous import PreviousPatch
from stubgen.policies import Policy, read_policies
from stubgen.resolve.verdicts import DataPolicy, TlsPolicy


class BtiPolicy(Enum):
    """Whether each stub begins with a BTI landing pad (``--bti``)."""

    AUTO = "auto"
    """Where the host or an object of the patch carries the property."""
    ON = "on"
    """In every stub."""
    OFF = "off"
    """In none."""


class Options(TypedDict, total=False):
    """How a patch's symbols are answered; every one may be left out."""

    anchor: str | None
    """The anchor's name; by default ``whisker_aslr_anchor``, else ``main``."""
    slide: int | None
    """The slide in bytes, instead of an anchor's address."""
    data: DataPolicy | str
    """How references to the host's data are answered without bound copies."""
    libraries: Sequence[StrPath]
    """Shared libraries that the patch links; what they export is left to the loader."""
    bind: bool
    """Make bound copies of the objects, which reach the host's data and thread-locals; link those instead."""
    tls: TlsPolicy | str
    """How thread-locals of a host that is a shared library are answered."""
    keep_state: bool
    """Bound copies use the host's writable variables where patch and host both define them; needs ``bind``."""
    allow_static: bool
    """Call static functions of a host that LLVM compiled although nothing shows that they kept their arguments."""
    overrides: Mapping[str, int] | None
    """Name -> runtime address of the function that replaced the host's, from earlier patches."""
    previous: Sequence[PreviousPatch | tuple[StrPath, int] | tuple[StrPath, int, str]]
    """The patches that the process loaded before, in that order: hosts too, for functions, variables and state."""
    whole_archive: bool
    """Take every member of archives, not only those that something refers to."""
    archives: Sequence[StrPath]
    """Archives of the host's link, from which bound copies take what the host lacks; needs ``bind``. A shared library
    among them keeps what it exports to itself."""
    exports: Sequence[str]
    """Names that the patch must export; archives are searched for them."""
    wrapped: Sequence[str]
    """Operands of ``--wrap`` in the patch's link: ``f`` means ``__wrap_f``, and ``__real_f`` means ``f``."""
    policies: Sequence[Policy]
    """The builder's own rules, in order."""
    linked: Sequence[StrPath]
    """Objects that the host's link named: the patch's object of one of these paths is that one, recompiled."""


class BuildOptions(Row):
    """:class:`Options`, every one there and of its type."""

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
        options: its keywords, as :class:`Options` has them.

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


def _previous_patch(name: str, value: object) -> PreviousPatch:
    if not isinstance(value, tuple) or not 2 <= len(value) <= 3:
        raise UsageError(f"{name}: {value!r} is no earlier patch; give PreviousPatch(path, address)")
    symbol = value[2] if len(value) == 3 else None
    return PreviousPatch(path(name, value[0]), number(name, value[1]), optional(a_name, name, symbol))


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
    "policies": read_policies,
    "linked": path_list,
}
"""Option -> what reads its value."""
