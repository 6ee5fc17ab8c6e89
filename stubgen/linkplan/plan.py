"""Edits the captured command of a full link into the command that links a hot patch.

Everything that no rule names stays as it was and where it was.
"""

from __future__ import annotations

import os as operating_system
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from stubgen.common.text import as_bytes
from stubgen.errors import UsageError
from stubgen.linkplan import response
from stubgen.linkplan.additions import additions, place_inputs, still_there
from stubgen.linkplan.decisions import StrPath, decide_all, make_request, refuse_other_links
from stubgen.linkplan.edits import Action, Edit, edits_of
from stubgen.linkplan.tokens import tokenize
from stubgen.linkplan.toolchain import Family, LinkerOs, Toolchain, find_toolchain


class LinkPlan(NamedTuple):
    """A command that links a patch."""

    args: tuple[str, ...]
    """The command, program first."""
    output: str
    """The patch."""
    edits: tuple[Edit, ...]
    """What became of every captured argument, and every added one."""
    directory: str | None
    """Where the command must run: where the captured one ran."""
    warnings: tuple[str, ...]
    """Sentences about what could not be known."""
    os: LinkerOs
    fixed: int
    """Leading arguments that cannot move into a response file: wrappers, the program, ``-flavor gnu``."""
    localize: tuple[str, ...] = ()
    """After a relocatable link, run this too: it keeps only chosen symbols global. Empty: nothing to run."""

    def command(self, temporary_directory: StrPath, *, limit: int | None = None) -> list[str]:
        """:attr:`args`, behind a response file in *temporary_directory* when they exceed the system's limit.

        *limit* is in bytes; None asks the system.
        """
        size = sum(len(as_bytes(argument)) + 9 for argument in self.args)
        if size <= (argument_limit() if limit is None else limit):
            return list(self.args)
        windows = self.os is LinkerOs.OTHER
        name = operating_system.path.basename(self.output)
        path = operating_system.path.join(temporary_directory, f"{name}.rsp")
        response.write(path, self.args[self.fixed :], windows=windows)
        return [*self.args[: self.fixed], f"@{path}"]


def argument_limit() -> int:
    """Bytes of arguments that a new process may get here, its environment and pointers taken off."""
    try:
        limit = operating_system.sysconf("SC_ARG_MAX")
    except (AttributeError, OSError, ValueError):
        return 30_000  # Windows: 32,767 characters
    environment = sum(len(name) + len(value) + 10 for name, value in operating_system.environ.items())
    return max(limit - environment - 4096, 4096)


def build_link_plan(
    argv: Sequence[str],
    *,
    objects: Sequence[StrPath],
    output: StrPath,
    extra: Sequence[StrPath] = (),
    exports: Sequence[str] = (),
    os: LinkerOs | None = None,
    host: StrPath | None = None,
    directory: StrPath | None = None,
    relocatable: bool = False,
    soname: str | None = None,
    response_files: Mapping[str, StrPath] | None = None,
    keep_global: Sequence[str] = (),
    objcopy: str = "llvm-objcopy",
    environment: Mapping[str, str] | None = None,
) -> LinkPlan:
    """The command that links the patch, from the one that linked the host.

    Args:
        argv: the captured command, **the program first**, wrappers in front of it allowed. The plan's ``args``
            start with the program too.
        objects: the patch's objects.
        output: the patch.
        extra: objects that come before the patch's: ``stub.o``.
        exports: symbols that the patch must export, as the linker spells them.
        os: what to link for; None: what the command says, else the system that this runs on.
        host: the host's file; a library of that name is a back-edge and goes. The captured output counts as well.
        directory: where the captured command ran. Response files are looked up from there, and relative names of
            objects and output become absolute ones, because the plan must run there.
        relocatable: merge everything into one relocatable object instead.
        soname: the patch's name for the loader; None: one made from the output and the objects.
        response_files: name after the ``@`` -> a copy that the capture kept.
        keep_global: with *relocatable*, the only symbols that stay global.
        objcopy: the program that makes the others local; GNU's does as well.
        environment: what the captured command ran in; None: this process's. An Apple command without an SDK gets
            the one that ``xcrun`` names, unless ``SDKROOT`` does.

    Raises:
        PlanRefusal: hot-patching cannot work for what the command links.
        UsageError: the command names no linker, or only compiles.
        MalformedInput: a response file includes itself.
    """
    if not objects:
        raise UsageError("a patch needs at least one object; name the rebuilt ones")
    words = [str(argument) for argument in argv]
    expansion = response.expand(words, directory=directory, copies=response_files)
    plain = expansion.arguments
    toolchain = find_toolchain(plain, os=os)
    if toolchain.family is Family.MSVC and expansion.files:
        expansion = response.expand(words, directory=directory, copies=response_files, windows=True)
        plain = expansion.arguments
        toolchain = find_toolchain(plain, os=os)
    linker_os = os or _os_of(toolchain)
    place = None if directory is None else operating_system.fspath(directory)
    if toolchain.family is Family.MSVC:
        from stubgen.linkplan.windows import plan_windows

        tokens, verdicts, added = plan_windows(plain, toolchain, objects, extra, output, place)
    else:
        tokens = tokenize(
            plain[toolchain.arguments :],
            toolchain.driver_grammar() if toolchain.driver else None,
            toolchain.linker_grammar(),
        )
        request = make_request(
            tokens,
            toolchain,
            linker_os=linker_os,
            objects=objects,
            output=output,
            extra=extra,
            exports=exports,
            host=host,
            directory=place,
            relocatable=relocatable,
            soname=soname,
            environment=operating_system.environ if environment is None else environment,
        )
        refuse_other_links(tokens, request)
        verdicts = decide_all(tokens.items, request)
        present = still_there(tokens, verdicts)
        added = additions(request, present)
    edits = [
        Edit(Action(action), () if action == "added" else (text,), () if action == "dropped" else (text,), why)
        for text, action, why in toolchain.edits
    ]
    edits += edits_of(tokens, verdicts, expansion, toolchain.arguments)
    if toolchain.family is not Family.MSVC:
        place_inputs(edits, added, request, present)
    edits += added
    args = tuple(argument for edit in edits for argument in edit.after)
    warnings = [
        f"{text}: no such response file, so the plan passes it on unread; it may name objects of the host"
        for text in expansion.missing
        if text in args
    ]
    if "mingw" in toolchain.target or "windows" in toolchain.target:
        warnings.append(f"{toolchain.target}: hot patches for Windows are not supported; the plan is a guess")
    return LinkPlan(
        args=args,
        output=operating_system.fspath(output),
        edits=tuple(edits),
        directory=place,
        warnings=tuple(warnings),
        os=linker_os,
        fixed=len(toolchain.front),
        localize=_localize(output, keep_global, [*extra, *objects], objcopy) if relocatable and keep_global else (),
    )


def _os_of(toolchain: Toolchain) -> LinkerOs:
    if toolchain.family is Family.MSVC:
        return LinkerOs.OTHER
    return LinkerOs.MACOS if toolchain.family is Family.LD64 else LinkerOs.LINUX


def linker_os_for_host(host: StrPath) -> LinkerOs:
    """The :class:`LinkerOs` of the host file *host*, from its first bytes.

    Raises:
        UnreadableInput: the file cannot be read.
    """
    from stubgen.common.files import read_input

    magic = bytes(read_input(host)[:4])
    if magic == b"\x7fELF":
        return LinkerOs.LINUX
    if magic in (b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"\xca\xfe\xba\xbf"):
        return LinkerOs.MACOS
    return LinkerOs.OTHER


def _localize(output: StrPath, keep_global: Sequence[str], inputs: Sequence[StrPath], objcopy: str) -> tuple[str, ...]:
    """The command after a relocatable link."""
    from stubgen.linkplan.relocatable import localize_command

    return localize_command(output, keep_global, [operating_system.fspath(path) for path in inputs], objcopy=objcopy)
