"""What becomes of each option and input: the rules.

An option's role (from the option tables) settles nearly everything: :data:`DROPPED` says which roles go and why.
The functions in :data:`DECISIONS` are for the roles where the operand or the request decides.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from stubgen.errors import PlanRefusal, UsageError
from stubgen.linkplan.edits import KEPT, Verdict
from stubgen.linkplan.libraries import Meaning, Search, read_libraries, runtime_archives
from stubgen.linkplan.options import Role
from stubgen.linkplan.plan import LinkerOs
from stubgen.linkplan.request import PatchRequest
from stubgen.linkplan.tokens import Item, Tokens
from stubgen.linkplan.toolchain import CommandLine, Family, Toolchain, basename


class Context(NamedTuple):
    """All that the rules go by: what the caller wishes, and what the captured command says."""

    request: PatchRequest
    """Its paths are spelled for the folder where the command ran."""
    toolchain: Toolchain
    os: LinkerOs
    directory: str | None
    """Where the captured command ran."""
    environment: Mapping[str, str]
    """What it ran in."""
    host_names: frozenset[str]
    """File names, sonames and install names of the host."""
    host_libraries: frozenset[str]
    """What stands behind ``-l`` where it finds one of them."""
    search: tuple[str, ...]
    """Operands of its ``-L``, in order."""
    captured_shared: bool
    """It already linked a shared library."""
    libraries: Mapping[int, Meaning] = {}
    """Item, by its identity -> what the library that it names stands for, where its file was found."""
    no_cxx_library: bool = False
    """It was told to leave out the C++ one."""
    no_default_libraries: bool = False
    """The driver was told to link no library by itself."""
    static_runtimes: frozenset[str] = frozenset()
    """Options that put the language's run-time libraries into the host: ``-static-libstdc++``."""
    runtimes: tuple[Meaning, ...] = ()
    """What those options stand for."""


def make_context(tokens: Tokens, line: CommandLine, request: PatchRequest) -> Context:
    """The caller's wishes, and what the captured command says of the host."""
    names = set() if request.host is None else {basename(request.host)}
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
    captured = line.captured
    where, options = search_of(tokens.items, line, request.search), static_runtimes(tokens)
    meanings = read_libraries(tokens.items, where)
    return Context(
        request=request.run_in(captured.directory),
        toolchain=line.toolchain,
        os=request.os or line.toolchain.os,
        directory=captured.directory,
        environment=os.environ if captured.environment is None else captured.environment,
        host_names=frozenset(names),
        host_libraries=frozenset(library for name in names for library in _library_names(name)),
        search=tuple(search),
        captured_shared=shared,
        libraries={id(tokens.items[index]): meaning for index, meaning in meanings.items()},
        no_cxx_library="-nostdlib++" in line.arguments,
        no_default_libraries=not {"-nodefaultlibs", "-nostdlib"}.isdisjoint(line.arguments),
        static_runtimes=options,
        runtimes=tuple(runtime_archives(options, where)),
    )


def static_runtimes(tokens: Tokens) -> frozenset[str]:
    """The options that put a language's run-time library into the host: ``-static-libstdc++``."""
    return frozenset(
        tokens.words[item.words[0]]
        for item in tokens.items
        if item.option is not None and item.option.name == STATIC_RUNTIME
    )


def search_of(items: Sequence[Item], line: CommandLine, own: Sequence[str] = ()) -> Search:
    """Where the captured command looked for libraries; *own*: folders that its driver and linker add."""
    folders: list[str] = []
    frameworks: list[str] = []
    roots: list[str] = []
    targets = {"-L": folders, "--library-path": folders, "--library-directory": folders, "-F": frameworks}
    targets |= dict.fromkeys(("--sysroot", "-syslibroot", "-isysroot"), roots)
    for item in items:
        if item.option is not None and item.option.name in targets and item.values:
            targets[item.option.name].append(item.values[0])
    family = line.toolchain.family
    own = [*own, *(("/usr/lib", "/usr/local/lib") if family is Family.LD64 else ())]
    return Search(
        folders=tuple(_rooted([*folders, *own], roots, every=family is Family.LD64)),
        frameworks=tuple(_rooted([*frameworks, "/System/Library/Frameworks"], roots, every=True)),
        directory=line.captured.directory or "",
        roots=tuple(roots),
        family=family,
    )


def _rooted(folders: Sequence[str], roots: Sequence[str], *, every: bool) -> Iterator[str]:
    """*folders* as the linker reads them: ``=DIR`` and ``$SYSROOT/DIR`` lie in the root, and on Apple *every* path."""
    for folder in folders:
        marked = folder.startswith(("=", "$SYSROOT"))
        plain = folder.removeprefix("=").removeprefix("$SYSROOT") if marked else folder
        if marked or (every and os.path.isabs(folder)):
            yield from (f"{root.rstrip('/')}/{plain.lstrip('/')}" for root in roots)
        if not marked or not roots:
            yield plain


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
    Role.ARCHIVES: "no archive is linked into a patch",
}
"""Roles that always go, and why."""

RELOCATABLE_DROPPED: Mapping[Role, str] = {
    Role.LIBRARY: "a merged object takes no libraries; the final link does",
    Role.LIBRARY_FILE: "a merged object takes no libraries; the final link does",
    Role.FRAMEWORK: "a merged object takes no libraries; the final link does",
    Role.FINAL: "linkers reject it beside -r",
}
"""Roles that go as well when the result is one object."""

DROPS: Mapping[Role, Verdict] = {role: Verdict(False, why, (role,)) for role, why in DROPPED.items()}
"""Role that always goes -> the verdict on it."""
RELOCATABLE_DROPS: Mapping[Role, Verdict] = {
    role: Verdict(False, why, (role,)) for role, why in RELOCATABLE_DROPPED.items()
}
"""Role that goes as well when the result is one object -> the verdict on it."""

HOST_INPUT = DROPS[Role.INPUT]
"""An object or archive of the host, under whatever option or name."""

HOST_ARCHIVE = Verdict(
    False,
    "an archive of the host's: linked again, it would bring a second copy of what the host has; what the host lacks is "
    "taken from it before the link",
    (Role.LIBRARY,),
)
STATIC_RUNTIME = "-static-lib"
"""How the drivers' options begin that link one of their run-time libraries from its archive."""
BACK_EDGE = Verdict(False, "is the host: the patch would depend on it and load it again")
INCOMPLETE = Verdict(False, "its operand is missing, so it would swallow the next argument")
NO_RESPONSE_FILE = Verdict(True, "a response file that is not there")
NO_INPUT_NAME = Verdict(True, "not the name of an object, archive or library")
LIBRARY_LAYOUT = Verdict(True, "lays out a shared library")
EXECUTABLE_LAYOUT = Verdict(False, "lays out an executable")
HOST_SYMBOLS = Verdict(False, "gives the host's link-time addresses, which are not its runtime addresses")

_INPUT_ENDINGS = (
    "o obj a lib rlib rmeta lo la bc tbd dylib so dll sl bundle res def ld lds lnk ltrans "
    "c cc cpp cxx m mm s asm swift f f90 d"
)
INPUT_ENDINGS = frozenset(_INPUT_ENDINGS.split())
"""Endings, in whichever case, of file names that are inputs wherever they stand."""
VERSIONED_LIBRARY = r"(?i:\.so\.[0-9A-Za-z_.-]+$)"
"""``libc.so.6`` is one as well."""


def _library_names(file: str) -> Iterator[str]:
    """What stands behind ``-l`` where it finds *file*: ``libx.so.1`` is x, ``libx.1.dylib`` is x and x.1."""
    parts = file.removeprefix("lib").split(".") if file.startswith("lib") else []
    for count in range(1, len(parts)):
        if parts[count].startswith(("so", "dylib", "a", "tbd")) or (count == 1 and parts[-1].endswith("dylib")):
            yield ".".join(parts[:count])


def refuse_other_links(tokens: Tokens, context: Context) -> None:
    """Refuse a command that links nothing, or only an executable that no library can be loaded into."""
    static = None
    dynamic = context.captured_shared
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


def decide_all(items: Sequence[Item], context: Context) -> list[Verdict]:
    """What becomes of each item; an option whose role alone decides is looked at once."""
    by_option: dict[int, Verdict] = {}  # by identity: a driver and a linker may call two options by one name
    verdicts: list[Verdict] = []
    for item in items:
        option = item.option
        verdict = by_option.get(id(option)) if option is not None and not item.incomplete else None
        if verdict is None:
            verdict = _decide(item, context)
            if option is not None and not item.incomplete and option.role not in DECISIONS:
                by_option[id(option)] = verdict
        verdicts.append(verdict)
    return verdicts


def _decide(item: Item, context: Context) -> Verdict:
    """What becomes of one option or input."""
    option = item.option
    if option is None:
        return _decide_unlisted(item, context)
    if item.incomplete:
        return INCOMPLETE
    role = option.role
    if context.request.relocatable and role in RELOCATABLE_DROPS:
        return RELOCATABLE_DROPS[role]
    verdict = DROPS.get(role)
    if verdict is not None:
        return verdict
    decide = DECISIONS.get(role)
    return KEPT if decide is None else decide(item, context)


def _decide_keyword(item: Item, context: Context) -> Verdict:
    """``-z WORD``: the word has a role of its own."""
    toolchain = context.toolchain
    grammar = toolchain.linker_grammar() if item.linker else toolchain.driver_grammar()
    return DROPS.get(grammar.keywords.get(item.values[0], Role.PLAIN), KEPT)


def _decide_unlisted(item: Item, context: Context) -> Verdict:
    """An input, or an option that no table names."""
    if not item.values:
        return KEPT
    text = item.values[0]
    if text.startswith("@"):
        return NO_RESPONSE_FILE
    if _is_input_name(text):
        return BACK_EDGE if basename(text) in context.host_names else HOST_INPUT
    forwarded = item.linker and context.toolchain.driver
    if _is_file(text, context) or (("/" in text or "\\" in text) and not forwarded):
        return HOST_INPUT
    return NO_INPUT_NAME


def _is_input_name(text: str) -> bool:
    _, dot, ending = text.rpartition(".")
    if dot and ending.lower() in INPUT_ENDINGS:
        return True
    return ".so." in text.lower() and re.search(VERSIONED_LIBRARY, text) is not None


def _is_file(name: str, context: Context) -> bool:
    return os.path.isfile(os.path.join(context.directory or "", name))


def _decide_library(item: Item, context: Context) -> Verdict:
    """``-lNAME``: stays, unless it is the host, an object in disguise or an archive of the workspace."""
    name = item.values[0]
    if name.startswith(":"):
        file = name[1:]
        if file in context.host_names:
            return BACK_EDGE
        if _in_workspace(file, context):
            return HOST_INPUT
        return _by_file(item, context)
    if context.toolchain.family is Family.LD64 and name.endswith(".o"):  # ld64 reads -lcrt1.o as an object's name
        return HOST_INPUT
    return BACK_EDGE if name in context.host_libraries else _by_file(item, context)


def _by_file(item: Item, context: Context) -> Verdict:
    """What becomes of a library by the file that it is."""
    meaning = context.libraries.get(id(item))
    return HOST_ARCHIVE if meaning is not None and (meaning.archive or meaning.shared is not None) else KEPT


def _in_workspace(file: str, context: Context) -> bool:
    """Say whether the first search folder that holds *file* lies inside the folder where the build ran."""
    if context.directory is None:
        return False
    for folder in context.search:
        path = os.path.join(context.directory, folder, file)
        if os.path.isfile(path):
            workspace = os.path.realpath(context.directory)
            return os.path.commonpath((workspace, os.path.realpath(path))) == workspace
    return False


def _decide_library_file(item: Item, context: Context) -> Verdict:
    return BACK_EDGE if basename(item.values[0]) in context.host_names else _by_file(item, context)


def _decide_framework(item: Item, context: Context) -> Verdict:
    name = item.values[0].partition(",")[0]
    return BACK_EDGE if name in context.host_names else _by_file(item, context)


def _decide_layout(item: Item, context: Context) -> Verdict:
    return LIBRARY_LAYOUT if context.captured_shared else EXECUTABLE_LAYOUT


def _decide_symbols_file(item: Item, context: Context) -> Verdict:
    return HOST_SYMBOLS if _is_file(item.values[0], context) else KEPT


DECISIONS: Mapping[Role, Callable[[Item, Context], Verdict]] = {
    Role.LIBRARY: _decide_library,
    Role.LIBRARY_FILE: _decide_library_file,
    Role.FRAMEWORK: _decide_framework,
    Role.LAYOUT: _decide_layout,
    Role.SYMBOLS_FILE: _decide_symbols_file,
    Role.KEYWORD: _decide_keyword,
}
"""Roles where the operand or the request decides."""
