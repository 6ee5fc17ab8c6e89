"""The keywords of what a plan is made from, for type checkers: nothing imports this module when it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Required, TypedDict

from stubgen.common.arguments import StrPath
from stubgen.linkplan.plan import LinkerOs


class PatchWishes(TypedDict, total=False):
    """The keywords of :class:`~stubgen.linkplan.PatchRequest`."""

    objects: Required[Sequence[StrPath]]
    output: Required[StrPath]
    extra: Sequence[StrPath]
    libraries: Sequence[StrPath]
    exports: Sequence[str]
    os: LinkerOs | str | None
    host: StrPath | None
    soname: str | None
    search: Sequence[StrPath]
    relocatable: bool
    keep_global: Sequence[str]
    objcopy: StrPath


class PlanWishes(PatchWishes, total=False):
    """The keywords of :func:`stubgen.build_link_plan`: those of both objects that it makes."""

    directory: StrPath | None
    """As in :class:`~stubgen.linkplan.CapturedCommand`, and so are the others."""
    response_files: Mapping[str, StrPath] | None
    environment: Mapping[str, str] | None
    added: Sequence[str]
