"""What becomes of each option and input: the rules.

An option's role (from the option tables) settles nearly everything: :data:`DROPPED` says which roles go and why.
The functions in :data:`DECISIONS` are for the roles where the operand or the request decides.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence

from stubgen.common.row import Row
from stubgen.linkplan.edits import KEPT, Verdict
from stubgen.linkplan.every_image import IN_A_LIBRARY, ROWS, of_every_image
from stubgen.linkplan.libraries import Meaning, Search, read_libraries, runtime_archives
from stubgen.linkplan.library_file import FileKind
from stubgen.linkplan.options import LIBRARY_FOLDERS, Role
from stubgen.linkplan.plan import LinkerOs
from stubgen.linkplan.request import PatchRequest
from stubgen.linkplan.tokens import Item, Tokens
from stubgen.linkplan.toolchain import CommandLine, Dialect, Family, Toolchain, basename


class Context(Row):
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
    """Operands of its ``-L`` and the like, in order."""
    captured_shared: bool
    """It already linked a shared library."""
    wrapped: tuple[str, ...] = ()
    """Operands of its ``--wrap``, each once, in order."""
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
    wrapped: dict[str, None] = {}
    output_role, identity_role, shared_role, wrap_role = Role.OUTPUT, Role.IDENTITY, Role.SHARED, Role.WRAP
    for item in tokens.items:
        if item.option is None:
            continue
        role = item.option.role
        if item.option.name in LIBRARY_FOLDERS:
            search += item.values
        elif role is output_role or role is identity_role:
            names.update(basename(value) for value in item.values)
        elif role is shared_role:
            shared = True
        elif role is wrap_role:
            wrapped.update(dict.fromkeys(item.values))
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
        wrapped=tuple(wrapped),
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
    targets = {"-F": frameworks} | dict.fromkeys(LIBRARY_FOLDERS, folders)
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
    Role.FOLDING: "of functions that are alike the patch would have one alone, and a later edit tells them apart again",
    Role.IDENTITY: "the loader would return the loaded host instead of the patch",
    Role.SIDE_OUTPUT: "would overwrite the full build's output",
    Role.EXECUTABLE: "means something for an executable only",
    Role.NOT_LOADABLE: "forbids or changes how a patch is loaded",
    Role.END_OF_OPTIONS: "would make inputs of the patch's own options",
    Role.LANGUAGE: "the driver would compile the patch's objects as source",
    Role.LAYOUT: "lays out the host; the files, names and versions in it are the host's as well",
    Role.INITIALISER: "the loader would run the host's start-up or shut-down code again",
    Role.DEFINITION: "defines a name of the host's, which has it already",
    Role.ROOT: "says what the host must contain; the patch would contain it again",
    Role.SYMBOL: "names a symbol of the host's",
    Role.NO_EXPORT: "hides names of the host's, and what the patch must export",
    Role.VERSIONS: "gives the patch's names versions, which are the host's affair",
    Role.BINDING: "the loader would look up what the patch defines, and find the host's",
    Role.MERGED: "its code is merged into the host, which has it already",
    Role.GROUPING: "what stood there is the host's, and the patch's objects must all be linked",
    Role.INPUT_FORMAT: "says how the host's inputs are read",
    Role.REPORT: "reports on the full build's link",
    Role.LIBTOOL: "libtool's own; the driver does not know it",
    Role.ARCHIVES: "no archive is linked into a patch",
}
"""Roles that always go, and why."""

RELOCATABLE_DROPPED: Mapping[Role, str] = {
    Role.LIBRARY: "a merged object takes no libraries; the final link does",
    Role.LIBRARY_FILE: "a merged object takes no libraries; the final link does",
    Role.FRAMEWORK: "a merged object takes no libraries; the final link does",
    Role.FINAL: "linkers reject it beside -r",
    Role.START_UP: "a merged object has no start-up code; the final link adds it",
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
ZIG_ARCHIVE = Verdict(
    False,
    "zig links its own archive of it, which the host has in it: linked again, it would bring a second copy",
    (Role.LIBRARY,),
)
ZIG_ARCHIVES = frozenset({"c++", "stdc++", "c++abi", "supc++", "unwind", "gcc_s", "gcc_eh"})
"""What zig's driver links from archives of its own, whatever ``-nostdlib++`` and the folders say."""
STATIC_RUNTIME = "-static-lib"
"""How the drivers' options begin that link one of their run-time libraries from its archive."""
BACK_EDGE = Verdict(False, "is the host: the patch would depend on it and load it again")
INCOMPLETE = Verdict(False, "its operand is missing, so it would swallow the next argument")
NO_RESPONSE_FILE = Verdict(True, "a response file that is not there")
NO_INPUT_NAME = Verdict(True, "not the name of an object, archive or library")
SUPPLIER = Verdict(True, "a shared library that the host needs, and so may the patch")
EVERY_IMAGES = {row: Verdict(True, f"every image has its own: {row.why}") for row in ROWS}
EXECUTABLE_START_UP = Verdict(False, "an executable's start-up code", (Role.START_UP,))
SAME_BUILD = Verdict(False, "would give the patch the host's build id")
WRAPPED = Verdict(True, "what the patch calls goes where the host's calls went")
ADDED_BY_CAPTURE = Verdict(False, "the capture added it, for the host to export its anchor", (Role.EXPORT,))
ALSO_EXPORTED = Verdict(True, "exported as asked for")
NOT_EXPORTED = Verdict(
    False, "exports a name of the host's; what the patch exports is asked for by name", (Role.EXPORT,)
)
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


def without_added(tokens: Tokens, verdicts: Sequence[Verdict], added: Sequence[str]) -> list[Verdict]:
    """*verdicts*, but that what the capture appended to the command goes: the arguments *added*, at its end."""
    count = len(tokens.arguments)
    if not added or tuple(tokens.arguments[count - len(added) :]) != tuple(added):
        return list(verdicts)
    first = tokens.first_word[count - len(added)]
    return [
        ADDED_BY_CAPTURE if item.words[0] >= first else verdict
        for item, verdict in zip(tokens.items, verdicts, strict=True)
    ]


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
    return DROPS.get(grammar.keywords.get(item.values[0].partition("=")[0], Role.PLAIN), KEPT)


def _decide_unlisted(item: Item, context: Context) -> Verdict:
    """An input, or an option that no table names."""
    if not item.values:
        return KEPT
    text = item.values[0]
    if text.startswith("@"):
        return NO_RESPONSE_FILE
    if _is_input_name(text):
        return _decide_file(text, context)
    forwarded = item.linker and context.toolchain.driver
    if _is_file(text, context) or (("/" in text or "\\" in text) and not forwarded):
        return HOST_INPUT
    return NO_INPUT_NAME


def _decide_file(text: str, context: Context) -> Verdict:
    """An object, archive or library by path: the host's, unless every image has it or it supplies the host too."""
    name = basename(text)
    if name in context.host_names:
        return BACK_EDGE
    if name.endswith((".o", ".a")):
        return _decide_every_images(text, context)
    if name.endswith(".la"):
        return _decide_libtool_library(text, context)
    shared = name.endswith((".so", ".dylib", ".tbd")) or is_versioned(name)
    return _decide_shared_library(name, context) if shared else HOST_INPUT


def _decide_libtool_library(text: str, context: Context) -> Verdict:
    """``libx.la``, a description that only libtool reads: the shared library that was built with it, if any."""
    import re

    try:
        with open(os.path.join(context.directory or "", text), encoding="utf-8", errors="surrogateescape") as file:
            said = re.search(r"^dlname='([^']+)'", file.read(1 << 16), re.MULTILINE)
    except OSError:
        return HOST_INPUT
    library = said and os.path.join(os.path.dirname(text), ".libs", said[1])
    if not library or not _is_file(library, context):
        return HOST_INPUT
    verdict = _decide_shared_library(basename(library), context)
    return Verdict(True, "the shared library that it describes", instead=library) if verdict is SUPPLIER else verdict


def _decide_shared_library(name: str, context: Context) -> Verdict:
    if not context.host_libraries.isdisjoint(_library_names(name)):
        return BACK_EDGE
    return RELOCATABLE_DROPS[Role.LIBRARY_FILE] if context.request.relocatable else SUPPLIER


def _decide_every_images(text: str, context: Context) -> Verdict:
    """An object or archive by path: start-up code, or the host's."""
    name = basename(text)
    programs = name in IN_A_LIBRARY
    row = None if programs else of_every_image(name)
    if row is None and not programs:
        return HOST_INPUT
    if context.request.relocatable:
        return RELOCATABLE_DROPS[Role.START_UP]
    return _start_up_of_a_library(text, context) if row is None else EVERY_IMAGES[row]


def _start_up_of_a_library(text: str, context: Context) -> Verdict:
    """An executable's start-up code: the library's that lies beside it, if there is one."""
    name = basename(text)
    other = text.removesuffix(name) + IN_A_LIBRARY[name]
    if _is_file(other, context):
        return Verdict(True, "an executable's; a shared library has the other", instead=other)
    return EXECUTABLE_START_UP if "begin" in name else HOST_INPUT


def _is_input_name(text: str) -> bool:
    _, dot, ending = text.rpartition(".")
    if dot and ending.lower() in INPUT_ENDINGS:
        return True
    return is_versioned(text)


def is_versioned(name: str) -> bool:
    """Whether *name* is that of a shared library with a version behind it: ``libc.so.6``."""
    if ".so." not in name.lower():  # of nearly every input
        return False
    import re

    return re.search(VERSIONED_LIBRARY, name) is not None


def _is_file(name: str, context: Context) -> bool:
    return os.path.isfile(os.path.join(context.directory or "", name))


def _decide_library(item: Item, context: Context) -> Verdict:
    """``-lNAME``: stays, unless it is the host, an object in disguise or an archive of the workspace."""
    name = item.values[0]
    if name.startswith(":"):
        file = name[1:]
        if file in context.host_names:
            return BACK_EDGE
        if _in_workspace(file, context) and not _is_shared(item, context):
            return HOST_INPUT
        return _by_file(item, context)
    if context.toolchain.family is Family.LD64 and name.endswith(".o"):  # ld64 reads -lcrt1.o as an object's name
        return HOST_INPUT
    if context.toolchain.dialect is Dialect.ZIG and name in ZIG_ARCHIVES:
        return ZIG_ARCHIVE
    return BACK_EDGE if name in context.host_libraries else _by_file(item, context)


def _is_shared(item: Item, context: Context) -> bool:
    """Whether the file that it names was found, and is a shared library."""
    meaning = context.libraries.get(id(item))
    return meaning is not None and all(file.kind is FileKind.SHARED for file in meaning.files)


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


def _decide_export(item: Item, context: Context) -> Verdict:
    return ALSO_EXPORTED if item.values[0] in context.request.exports else NOT_EXPORTED


def _decide_build_id(item: Item, _context: Context) -> Verdict:
    """``--build-id=0x...`` is one build's; a style (``sha1``, ``uuid``) gives each its own."""
    return SAME_BUILD if item.values and item.values[0][:2].lower() == "0x" else KEPT


def _decide_wrap(_item: Item, _context: Context) -> Verdict:
    return WRAPPED


def _decide_symbols_file(item: Item, context: Context) -> Verdict:
    return HOST_SYMBOLS if _is_file(item.values[0], context) else KEPT


DECISIONS: Mapping[Role, Callable[[Item, Context], Verdict]] = {
    Role.LIBRARY: _decide_library,
    Role.LIBRARY_FILE: _decide_library_file,
    Role.FRAMEWORK: _decide_framework,
    Role.EXPORT: _decide_export,
    Role.BUILD_ID: _decide_build_id,
    Role.WRAP: _decide_wrap,
    Role.SYMBOLS_FILE: _decide_symbols_file,
    Role.KEYWORD: _decide_keyword,
}
"""Roles where the operand or the request decides."""
