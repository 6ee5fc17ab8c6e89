"""The library's keyword options, for type checkers and readers: no command imports this module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

from stubgen.common.arguments import StrPath
from stubgen.host.previous import PreviousPatch
from stubgen.policies import Policy
from stubgen.resolve.verdicts import DataPolicy, TlsPolicy


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
