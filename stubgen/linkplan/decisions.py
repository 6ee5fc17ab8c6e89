"""What becomes of each option and input: the rules.

An option's role (from the option tables) settles nearly everything: :data:`DROPPED` says which roles go and why.
The functions in :data:`DECISIONS` are for the roles whose fate depends on the operand or on the request.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from stubgen.errors import PlanRefusal, UsageError
from stubgen.linkplan.edits import Verdict
from stubgen.linkplan.options import Role
from stubgen.linkplan.tokens import Item, Tokens
from stubgen.linkplan.toolchain import Family, LinkerOs, Toolchain, basename

StrPath = str | os.PathLike[str]


class Request(NamedTuple):
    """What the caller asked for, in the form that the rules need."""

    objects: tuple[str, ...]
    output: str
    extra: tuple[str, ...]
    exports: tuple[str, ...]
    directory: str | None
    relocatable: bool
    soname: str | None
    toolchain: Toolchain
    os: LinkerOs
    host_names: frozenset[str]
    """File names, sonames and install names of the host."""
    search: tuple[str, ...]
    """Operands of ``-L``, in order."""
    captured_shared: bool
    """The captured command already linked a shared library."""
    environment: Mapping[str, str]
    """What the captured command ran in."""


def make_request(
    tokens: Tokens,
    toolchain: Toolchain,
    *,
    linker_os: LinkerOs,
    objects: Sequence[StrPath],
    output: StrPath,
    extra: Sequence[StrPath],
    exports: Sequence[str],
    host: StrPath | None,
    directory: str | None,
    relocatable: bool,
    soname: str | None,
    environment: Mapping[str, str],
) -> Request:
    """The caller's wishes, and what the captured command says of the host."""
    names = set()
    if host is not None:
        names.add(basename(os.fspath(host)))
    shared = False
    search: list[str] = []
    output_role, identity_role, shared_role = Role.OUTPUT, Role.IDENTITY, Role.SHARED
    for item in tokens.items:
        if item.option is None:
            continue
        role = item.option.role
        if item.option.name == "-L":
            search += item.values
        elif role is output_role or role is identity_role:
            names.update(basename(value) for value in item.values)
        elif role is shared_role:
            shared = True
    names.discard("")
    return Request(
        objects=tuple(placed(path, directory) for path in objects),
        output=placed(output, directory),
        extra=tuple(placed(path, directory) for path in extra),
        exports=tuple(exports),
        directory=directory,
        relocatable=relocatable,
        soname=soname,
        toolchain=toolchain,
        os=linker_os,
        host_names=frozenset(names),
        search=tuple(search),
        captured_shared=shared,
        environment=environment,
    )


def placed(path: StrPath, directory: str | None) -> str:
    """*path* as the command must spell it when it runs in *directory*."""
    text = os.fspath(path)
    if directory is None or os.path.isabs(text):
        return text
    return os.path.abspath(text)


DROPPED: Mapping[Role, str] = {
    Role.INPUT: "the patch links only what was rebuilt",
    Role.OUTPUT: "names the host's file",
    Role.MODE: "contradicts -shared",
    Role.SHARED: "given once, below",
    Role.STATIC: "contradicts -shared",
    Role.RELOCATABLE: "contradicts -shared",
    Role.UNRESOLVED: "a later directive would win over the patch's own",
    Role.SYMBOL_LIST: "names symbols that the patch does not define",
    Role.STRIP: "changed functions look unreferenced, and the builder reads the patch's symbols",
    Role.IDENTITY: "the loader would return the loaded host instead of the patch",
    Role.SIDE_OUTPUT: "would overwrite the full build's output",
    Role.EXECUTABLE: "means something for an executable only",
    Role.NOT_LOADABLE: "forbids or changes how a patch is loaded",
    Role.END_OF_OPTIONS: "would make inputs of the patch's own options",
    Role.LANGUAGE: "the driver would compile the patch's objects as source",
}
"""Roles that always go, and why."""

RELOCATABLE_DROPPED: Mapping[Role, str] = {
    Role.LIBRARY: "a merged object takes no libraries; the final link does",
    Role.LIBRARY_FILE: "a merged object takes no libraries; the final link does",
    Role.FRAMEWORK: "a merged object takes no libraries; the final link does",
    Role.FINAL: "linkers reject it beside -r",
}
"""Roles that go as well when the result is one object."""

KEPT: Verdict = (True, "")
"""No rule names it."""

GONE: Mapping[Role, Verdict] = {role: (False, why) for role, why in DROPPED.items()}
"""Role -> the verdict on it."""

BACK_EDGE = "is the host: the patch would depend on it and load it again"

_INPUT_ENDINGS = (
    "o obj a lib rlib rmeta lo la bc tbd dylib so dll sl bundle res def ld lds lnk ltrans "
    "c cc cpp cxx m mm s asm swift f f90 d"
)
INPUT_ENDINGS = frozenset(_INPUT_ENDINGS.split())
"""Endings, in whichever case, of file names that are inputs wherever they stand."""
VERSIONED_LIBRARY = r"(?i:\.so\.[0-9A-Za-z_.-]+$)"
"""``libc.so.6`` is one as well."""


def refuse_other_links(tokens: Tokens, request: Request) -> None:
    """Refuse a command that links nothing, or only an executable that no library can be loaded into."""
    static = None
    dynamic = request.captured_shared
    compile_role, static_role, relocatable_role = Role.COMPILE, Role.STATIC, Role.RELOCATABLE
    for item in tokens.items:
        if item.option is None:
            continue
        role = item.option.role
        if role is compile_role and not item.linker:
            raise UsageError(
                f"{item.option.name}: the captured command compiles and does not link; give the command that linked "
                "the host"
            )
        if role is static_role:
            static = item.option.name
        elif role is relocatable_role or item.option.name in ("--dynamic-linker", "-dynamic-linker", "-bundle"):
            dynamic = True
    if static and not dynamic:
        raise PlanRefusal(
            f"{static}: the command links a static executable, which has no loader that could load a patch; link the "
            "host dynamically"
        )


def decide_all(items: Sequence[Item], request: Request) -> list[Verdict]:
    """What becomes of each item; an option whose role alone decides is looked at once."""
    settled: dict[int, Verdict] = {}  # by identity: a driver and a linker may call two options by one name
    verdicts: list[Verdict] = []
    for item in items:
        option = item.option
        verdict = settled.get(id(option)) if option is not None and not item.dangling else None
        if verdict is None:
            verdict = _decide(item, request)
            if option is not None and not item.dangling and option.role not in DECISIONS:
                settled[id(option)] = verdict
        verdicts.append(verdict)
    return verdicts


def _decide(item: Item, request: Request) -> Verdict:
    """What becomes of one option or input."""
    option = item.option
    if option is None:
        return _decide_unlisted(item, request)
    if item.dangling:
        return (False, "its operand is missing, so it would swallow the next argument")
    role = option.role
    if request.relocatable and role in RELOCATABLE_DROPPED:
        return (False, RELOCATABLE_DROPPED[role])
    verdict = GONE.get(role)
    if verdict is not None:
        return verdict
    decide = DECISIONS.get(role)
    return KEPT if decide is None else decide(item, request)


def _decide_keyword(item: Item, request: Request) -> Verdict:
    """``-z WORD``: the word has a role of its own."""
    toolchain = request.toolchain
    grammar = toolchain.linker_grammar() if item.linker else toolchain.driver_grammar()
    return GONE.get(grammar.keywords.get(item.values[0], Role.PLAIN), KEPT)


def _decide_unlisted(item: Item, request: Request) -> Verdict:
    """An input, or an option that no table names."""
    if not item.values:
        return KEPT
    text = item.values[0]
    if text.startswith("@"):
        return (True, "a response file that is not there")
    if _is_input_name(text):
        return (False, BACK_EDGE if basename(text) in request.host_names else DROPPED[Role.INPUT])
    forwarded = item.linker and request.toolchain.driver
    if _is_file(text, request) or (("/" in text or "\\" in text) and not forwarded):
        return (False, DROPPED[Role.INPUT])
    return (True, "not the name of an object, archive or library")


def _is_input_name(text: str) -> bool:
    _, dot, ending = text.rpartition(".")
    if dot and ending.lower() in INPUT_ENDINGS:
        return True
    return ".so." in text.lower() and re.search(VERSIONED_LIBRARY, text) is not None


def _is_file(name: str, request: Request) -> bool:
    return os.path.isfile(os.path.join(request.directory or "", name))


def _decide_library(item: Item, request: Request) -> Verdict:
    """``-lNAME``: stays, unless it is the host, an object in disguise or an archive of the workspace."""
    name = item.values[0]
    if name.startswith(":"):
        file = name[1:]
        if file in request.host_names:
            return (False, BACK_EDGE)
        if _in_workspace(file, request):
            return (False, DROPPED[Role.INPUT])
        return KEPT
    if request.toolchain.family is Family.LD64 and name.endswith(".o"):  # ld64 reads -lcrt1.o as an object's name
        return (False, DROPPED[Role.INPUT])
    if any(_is_library_file(file, name) for file in request.host_names):
        return (False, BACK_EDGE)
    return KEPT


def _in_workspace(file: str, request: Request) -> bool:
    """Say whether the first search folder that holds *file* lies inside the folder where the build ran."""
    if request.directory is None:
        return False
    for folder in request.search:
        path = os.path.join(request.directory, folder, file)
        if os.path.isfile(path):
            workspace = os.path.realpath(request.directory)
            return os.path.commonpath((workspace, os.path.realpath(path))) == workspace
    return False


def _is_library_file(file: str, name: str) -> bool:
    """Say whether *file* is what ``-lNAME`` finds."""
    stem, dot, ending = file.partition(".")
    if stem == f"lib{name}" and dot:
        return ending.startswith(("so", "dylib", "a", "tbd")) or ending.endswith("dylib")
    return file.startswith(f"lib{name}.") and file[len(name) + 4 :].startswith(("so", "dylib", "a", "tbd"))


def _decide_library_file(item: Item, request: Request) -> Verdict:
    return (False, BACK_EDGE) if basename(item.values[0]) in request.host_names else KEPT


def _decide_framework(item: Item, request: Request) -> Verdict:
    name = item.values[0].partition(",")[0]
    return (False, BACK_EDGE) if name in request.host_names else KEPT


def _decide_layout(item: Item, request: Request) -> Verdict:
    if request.captured_shared:
        return (True, "lays out a shared library")
    return (False, "lays out an executable")


def _decide_symbols_file(item: Item, request: Request) -> Verdict:
    if _is_file(item.values[0], request):
        return (False, "gives the host's link-time addresses, which are not its runtime addresses")
    return KEPT


DECISIONS: Mapping[Role, Callable[[Item, Request], Verdict]] = {
    Role.LIBRARY: _decide_library,
    Role.LIBRARY_FILE: _decide_library_file,
    Role.FRAMEWORK: _decide_framework,
    Role.LAYOUT: _decide_layout,
    Role.SYMBOLS_FILE: _decide_symbols_file,
    Role.KEYWORD: _decide_keyword,
}
"""Roles whose fate depends on the operand or on the request."""
