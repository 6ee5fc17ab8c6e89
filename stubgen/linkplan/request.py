"""What a plan is made from: the command that linked the host, and what the caller wishes of the patch's link.

Both check what they are given when they are made, because a wrong value would give a plan that looks right: the
single name ``"f"`` for a list of names exports every letter of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Required, Self, TypedDict, TypeVar, Unpack

from stubgen.errors import UsageError
from stubgen.linkplan.plan import LinkerOs, StrPath

T = TypeVar("T")


class PatchWishes(TypedDict, total=False):
    """The keywords of :class:`PatchRequest`."""

    objects: Required[Sequence[StrPath]]
    """The patch's objects; at least one."""
    output: Required[StrPath]
    """The patch."""
    extra: Sequence[StrPath]
    """Objects that come before the patch's: ``stub.o``."""
    exports: Sequence[str]
    """Symbols that the patch must export, as the linker spells them."""
    os: LinkerOs | str | None
    """What to link for, or the value of it; None: what the command says, else the system that this runs on."""
    host: StrPath | None
    """The host's file; a library of that name is a back-edge and goes. The captured output counts as well."""
    soname: str | None
    """The patch's name for the loader; None: one made from the output and the objects."""
    relocatable: bool
    """Merge everything into one relocatable object instead."""
    keep_global: Sequence[str]
    """With *relocatable*, the only symbols that stay global; none given: all do."""
    objcopy: StrPath
    """The program that makes the others local; by default ``llvm-objcopy``, and GNU's does as well."""


class PlanWishes(PatchWishes, total=False):
    """The keywords of :func:`stubgen.build_link_plan`: those of both objects that it makes."""

    directory: StrPath | None
    """As in :class:`CapturedCommand`, and so are the others."""
    response_files: Mapping[str, StrPath] | None
    environment: Mapping[str, str] | None


class _PatchRequest(NamedTuple):
    objects: tuple[str, ...]
    output: str
    extra: tuple[str, ...]
    exports: tuple[str, ...]
    os: LinkerOs | None
    host: str | None
    soname: str | None
    relocatable: bool
    keep_global: tuple[str, ...]
    objcopy: str


class PatchRequest(_PatchRequest):
    """What the caller wishes of the patch's link; :class:`PatchWishes` says what each keyword means.

    Raises:
        UsageError: a keyword is unknown or missing, or its value is not what it must be.
    """

    __slots__ = ()

    def __new__(cls, **wishes: Unpack[PatchWishes]) -> Self:
        """Check the *wishes*."""
        check_keywords("a patch request", wishes, PatchRequest._fields, required=("objects", "output"))
        request = super().__new__(
            cls,
            objects=path_list("objects", wishes["objects"]),
            output=_path("output", wishes["output"]),
            extra=path_list("extra", wishes.get("extra", ())),
            exports=_list("exports", wishes.get("exports", ()), "name", _name),
            os=_linker_os(wishes.get("os")),
            host=_optional(_path, "host", wishes.get("host")),
            soname=_optional(_name, "soname", wishes.get("soname")),
            relocatable=_flag("relocatable", wishes.get("relocatable", False)),
            keep_global=_list("keep_global", wishes.get("keep_global", ()), "name", _name),
            objcopy=_path("objcopy", wishes.get("objcopy", "llvm-objcopy")),
        )
        if not request.objects:
            raise UsageError("a patch needs at least one object; name the rebuilt ones")
        if request.keep_global and not request.relocatable:
            raise UsageError("keep_global is for relocatable; a shared library's symbols are chosen with exports")
        return request

    def __getnewargs_ex__(self) -> tuple[tuple[()], dict[str, object]]:
        """For copies and pickles: the class takes keywords alone."""
        return (), self._asdict()

    def run_in(self, directory: str | None) -> Self:
        """The request as a command that runs in *directory* must spell it: relative names become absolute ones."""
        if directory is None:
            return self
        return self._replace(
            objects=tuple(_absolute(path) for path in self.objects),
            output=_absolute(self.output),
            extra=tuple(_absolute(path) for path in self.extra),
        )


def _absolute(path: str) -> str:
    """*path*, from the folder of this process; an absolute one stays as it is written."""
    return path if os.path.isabs(path) else os.path.abspath(path)


class _CapturedCommand(NamedTuple):
    argv: tuple[str, ...]
    directory: str | None
    response_files: Mapping[str, str]
    environment: Mapping[str, str] | None


class CapturedCommand(_CapturedCommand):
    """The command that linked the host.

    Args:
        argv: its words, **the program first**, wrappers in front of it allowed.
        directory: where it ran. Response files are looked up from there, and relative names of objects and output
            become absolute ones, because the plan must run there.
        response_files: name after the ``@`` -> a copy that the capture kept.
        environment: what it ran in; None: this process's. An Apple command without an SDK gets the one that
            ``xcrun`` names, unless ``SDKROOT`` does.

    Raises:
        UsageError: one of them is not what it must be.
    """

    __slots__ = ()

    def __new__(
        cls,
        argv: Sequence[str],
        directory: StrPath | None = None,
        response_files: Mapping[str, StrPath] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Self:
        """Check the arguments."""
        return super().__new__(
            cls,
            argv=_list("argv", argv, "word", _word),
            directory=_optional(_path, "directory", directory),
            response_files=_mapping("response_files", {} if response_files is None else response_files, "path", _path),
            environment=None if environment is None else _mapping("environment", environment, "text", _word),
        )


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


def path_list(name: str, value: object) -> tuple[str, ...]:
    """The paths in *value*, which the caller gave as *name*.

    Raises:
        UsageError: it is a single path, or holds something else.
    """
    return _list(name, value, "path", _path)


def _list(name: str, value: object, kind: str, check: Callable[[str, object], T]) -> tuple[T, ...]:
    """The elements of the list *value*, each checked; a single *kind* is not taken for a list of letters."""
    if isinstance(value, str | os.PathLike):
        raise UsageError(f"{name} is the one {kind} {os.fspath(value)}; give a list of {kind}s")
    if isinstance(value, bytes | Mapping) or not isinstance(value, Iterable):
        raise UsageError(f"{name} is {value!r}; give a list of {kind}s")
    return tuple([check(name, element) for element in value])


def _mapping(name: str, value: object, kind: str, check: Callable[[str, object], T]) -> dict[str, T]:
    if not isinstance(value, Mapping):
        raise UsageError(f"{name} is {value!r}; give a mapping from names to {kind}s")
    return {_name(name, key): check(f"{name}[{key!r}]", element) for key, element in value.items()}


def _optional(check: Callable[[str, object], T], name: str, value: object) -> T | None:
    return None if value is None else check(name, value)


def _word(name: str, value: object) -> str:
    """A word of a command, which may be empty."""
    if type(value) is str:  # nearly every one of 20,000
        return value
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(text, str):
        raise UsageError(f"{name}: {value!r} is no text")
    return text


def _path(name: str, value: object) -> str:
    text = _word(name, value) if isinstance(value, str | os.PathLike) else ""
    if not text:
        raise UsageError(f"{name}: {value!r} is no path")
    return text


def _name(name: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise UsageError(f"{name}: {value!r} is no name")
    return value


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"{name} is {value!r}; give True or False")
    return value


def _linker_os(value: object) -> LinkerOs | None:
    """The system, given as a member of the enum or as its value."""
    if value is None or isinstance(value, LinkerOs):
        return value
    for system in LinkerOs:
        if value == system.value:
            return system
    raise UsageError(f"os is {value!r}; it is one of {', '.join(system.value for system in LinkerOs)}")
