"""What a plan is made from: the command that linked the host, and what the caller wishes of the patch's link.

Both check what they are given when they are made, because a wrong value would give a plan that looks right: the
single name ``"f"`` for a list of names exports every letter of it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial

from stubgen.common.arguments import (
    a_name,
    check_keywords,
    choice,
    flag,
    listed,
    mapping,
    name_list,
    optional,
    path,
    path_list,
    word,
)
from stubgen.common.row import Row
from stubgen.errors import UsageError
from stubgen.linkplan.plan import LinkerOs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self, Unpack

    from stubgen.common.arguments import StrPath
    from stubgen.linkplan.wishes import PatchWishes


class _PatchRequest(Row):
    objects: tuple[str, ...]
    output: str
    extra: tuple[str, ...]
    libraries: tuple[str, ...]
    exports: tuple[str, ...]
    os: LinkerOs | None
    host: str | None
    soname: str | None
    search: tuple[str, ...]
    relocatable: bool
    keep_global: tuple[str, ...]
    objcopy: str


class PatchRequest(_PatchRequest):
    """What the caller wishes of the patch's link, in keywords; ``objects`` and ``output`` are needed.

    Args:
        objects: the patch's objects; at least one.
        output: the patch.
        extra: objects that come before the patch's: ``stub.o``. Shared libraries among them count as *libraries*.
        libraries: shared libraries, or Apple text-based stubs, that the patch links beside the command's. They come
            behind the objects: with ``--as-needed``, which Debian's and Ubuntu's GCC pass, GNU ld links none in front.
        exports: symbols that the patch must export, as the linker spells them.
        os: what to link for, or the value of it; None: what the command says, else the system that this runs on.
        host: the host's file; a library of that name is a back-edge and goes. The captured output counts as well.
        soname: the patch's name for the loader; None: one made from the output and the objects.
        search: folders in which the driver and the linker look for libraries by themselves, behind the command's
            ``-L``.
        relocatable: merge everything into one relocatable object instead.
        keep_global: with *relocatable*, the only symbols that stay global; none given: all do.
        objcopy: the program that makes the others local; by default ``llvm-objcopy``, and GNU's does as well.

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
            output=path("output", wishes["output"]),
            extra=path_list("extra", wishes.get("extra", ())),
            libraries=path_list("libraries", wishes.get("libraries", ())),
            exports=name_list("exports", wishes.get("exports", ())),
            os=optional(partial(choice, LinkerOs), "os", wishes.get("os")),
            host=optional(path, "host", wishes.get("host")),
            soname=optional(a_name, "soname", wishes.get("soname")),
            search=path_list("search", wishes.get("search", ())),
            relocatable=flag("relocatable", wishes.get("relocatable", False)),
            keep_global=name_list("keep_global", wishes.get("keep_global", ())),
            objcopy=path("objcopy", wishes.get("objcopy", "llvm-objcopy")),
        )
        if not request.objects:
            raise UsageError("a patch needs at least one object; name the rebuilt ones")
        if request.libraries and request.relocatable:
            raise UsageError("a relocatable object links no shared libraries: leave out libraries, or relocatable")
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
            objects=tuple(_absolute(each) for each in self.objects),
            output=_absolute(self.output),
            extra=tuple(_absolute(each) for each in self.extra),
            libraries=tuple(_absolute(each) for each in self.libraries),
        )


def _absolute(text: str) -> str:
    """The path *text*, from the folder of this process; an absolute one stays as it is written."""
    return text if os.path.isabs(text) else os.path.abspath(text)


class _CapturedCommand(Row):
    argv: tuple[str, ...]
    directory: str | None
    response_files: Mapping[str, str]
    environment: Mapping[str, str] | None
    added: tuple[str, ...]


class CapturedCommand(_CapturedCommand):
    """The command that linked the host.

    Args:
        argv: its words, **the program first**, wrappers in front of it allowed.
        directory: where it ran. Response files are looked up from there, and relative names of objects and output
            become absolute ones, because the plan must run there.
        response_files: name after the ``@`` -> a copy that the capture kept.
        environment: what it ran in; None: this process's. An Apple command without an SDK gets the one that
            ``xcrun`` names, unless ``SDKROOT`` does.
        added: what the capture appended to *argv* for the host's sake, which the patch's link goes without.

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
        added: Sequence[str] = (),
    ) -> Self:
        """Check the arguments."""
        return super().__new__(
            cls,
            argv=listed("argv", argv, "word", word),
            directory=optional(path, "directory", directory),
            response_files=mapping("response_files", {} if response_files is None else response_files, "paths", path),
            environment=None if environment is None else mapping("environment", environment, "texts", word),
            added=listed("added", added, "word", word),
        )
