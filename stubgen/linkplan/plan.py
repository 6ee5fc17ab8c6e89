"""Edits the captured command of a full link into the command that links a hot patch.

Everything that no rule names stays as it was and where it was. The rules are two tables: what an option is for
(:class:`~stubgen.linkplan.options.Role`, from the option tables) and what becomes of each role (:data:`DROPPED`
and the functions in :data:`DECISIONS`).
"""

from __future__ import annotations

import os as operating_system
import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from stubgen.errors import PlanRefusal, UsageError
from stubgen.linkplan import response
from stubgen.linkplan.options import Role
from stubgen.linkplan.tokens import Item, Shape, Tokens, is_option, render, tokenize
from stubgen.linkplan.toolchain import Dialect, Family, LinkerOs, Toolchain, apple_sdk, find_toolchain

StrPath = str | operating_system.PathLike[str]


class Action(Enum):
    """What became of some arguments."""

    KEPT = "kept"
    DROPPED = "dropped"
    REPLACED = "replaced"
    ADDED = "added"


class Edit(NamedTuple):
    """What became of some consecutive arguments, and why.

    All ``before`` in order are the captured command; all ``after`` in order are the planned one.
    """

    action: Action
    before: tuple[str, ...]
    """The captured arguments; empty when added."""
    after: tuple[str, ...]
    """The planned arguments; empty when dropped."""
    why: str
    """Empty: no rule names it."""


class LinkPlan(NamedTuple):
    """A command that links a patch."""

    args: tuple[str, ...]
    """The command, program first."""
    output: Path
    """The patch."""
    edits: tuple[Edit, ...]
    """What became of every captured argument, and every added one."""
    directory: Path | None
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
        size = sum(len(argument.encode("utf-8", "surrogateescape")) + 9 for argument in self.args)
        if size <= (argument_limit() if limit is None else limit):
            return list(self.args)
        windows = self.os is LinkerOs.OTHER
        path = Path(temporary_directory, f"{self.output.name}.rsp")
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


class Request(NamedTuple):
    """What the caller asked for, in the form that the rules need."""

    objects: tuple[str, ...]
    output: str
    extra: tuple[str, ...]
    exports: tuple[str, ...]
    directory: Path | None
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

Verdict = tuple[bool, str]
"""(stays, why)."""

KEPT: Verdict = (True, "")
_GONE: Mapping[Role, Verdict] = {role: (False, why) for role, why in DROPPED.items()}
BACK_EDGE = "is the host: the patch would depend on it and load it again"

INPUT_NAME = re.compile(
    r"\.(o|obj|a|lib|rlib|rmeta|lo|la|bc|tbd|dylib|so(\.[0-9A-Za-z_.-]+)?|dll|sl|bundle|res|def|ld|lds|lnk|ltrans"
    r"|c|cc|cpp|cxx|m|mm|s|S|asm|swift|f|f90|d)$",
    re.IGNORECASE,
)
"""File names that are inputs wherever they stand."""


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
    place = None if directory is None else Path(directory)
    if toolchain.family is Family.MSVC:
        tokens, verdicts, added = _plan_msvc(plain, toolchain, objects, extra, output, place)
    else:
        tokens = tokenize(
            plain[toolchain.arguments :],
            toolchain.driver_grammar() if toolchain.driver else None,
            toolchain.linker_grammar(),
        )
        request = _request(
            tokens,
            toolchain,
            linker_os,
            objects,
            output,
            extra,
            exports,
            host,
            place,
            relocatable,
            soname,
            operating_system.environ if environment is None else environment,
        )
        _refuse_other_links(tokens, request)
        verdicts = _decide_all(tokens.items, request)
        added = _added(request, _still_there(tokens, verdicts))
    edits = [
        Edit(Action(action), () if action == "added" else (text,), () if action == "dropped" else (text,), why)
        for text, action, why in toolchain.edits
    ]
    edits += _edits(tokens, verdicts, expansion, toolchain.arguments)
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
        output=Path(output),
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
    from stubgen.files import read_input

    magic = bytes(read_input(host)[:4])
    if magic == b"\x7fELF":
        return LinkerOs.LINUX
    if magic in (b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"\xca\xfe\xba\xbf"):
        return LinkerOs.MACOS
    return LinkerOs.OTHER


def _request(
    tokens: Tokens,
    toolchain: Toolchain,
    linker_os: LinkerOs,
    objects: Sequence[StrPath],
    output: StrPath,
    extra: Sequence[StrPath],
    exports: Sequence[str],
    host: StrPath | None,
    directory: Path | None,
    relocatable: bool,
    soname: str | None,
    environment: Mapping[str, str],
) -> Request:
    names = set()
    if host is not None:
        names.add(_basename(operating_system.fspath(host)))
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
            names.update(_basename(value) for value in item.values)
        elif role is shared_role:
            shared = True
    names.discard("")
    return Request(
        objects=tuple(_placed(path, directory) for path in objects),
        output=_placed(output, directory),
        extra=tuple(_placed(path, directory) for path in extra),
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


def _placed(path: StrPath, directory: Path | None) -> str:
    """*path* as the command must spell it when it runs in *directory*."""
    text = operating_system.fspath(path)
    if directory is None or operating_system.path.isabs(text):
        return text
    return operating_system.path.abspath(text)


def _basename(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2]


def _refuse_other_links(tokens: Tokens, request: Request) -> None:
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


def _decide_all(items: Sequence[Item], request: Request) -> list[Verdict]:
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
    verdict = _GONE.get(role)
    if verdict is not None:
        return verdict
    decide = DECISIONS.get(role)
    return KEPT if decide is None else decide(item, request)


def _decide_keyword(item: Item, request: Request) -> Verdict:
    """``-z WORD``: the word has a role of its own."""
    toolchain = request.toolchain
    grammar = toolchain.linker_grammar() if item.linker else toolchain.driver_grammar()
    return _GONE.get(grammar.keywords.get(item.values[0], Role.PLAIN), KEPT)


def _decide_unlisted(item: Item, request: Request) -> Verdict:
    """An input, or an option that no table names."""
    if not item.values:
        return KEPT
    text = item.values[0]
    if text.startswith("@"):
        return (True, "a response file that is not there")
    if INPUT_NAME.search(text):
        return (False, BACK_EDGE if _basename(text) in request.host_names else DROPPED[Role.INPUT])
    forwarded = item.linker and request.toolchain.driver
    if _is_file(text, request) or (("/" in text or "\\" in text) and not forwarded):
        return (False, DROPPED[Role.INPUT])
    return (True, "not the name of an object, archive or library")


def _is_file(name: str, request: Request) -> bool:
    return operating_system.path.isfile(operating_system.path.join(request.directory or "", name))


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
        path = request.directory / folder / file
        if path.is_file():
            return path.resolve().is_relative_to(request.directory.resolve())
    return False


def _is_library_file(file: str, name: str) -> bool:
    """Say whether *file* is what ``-lNAME`` finds."""
    stem, dot, ending = file.partition(".")
    if stem == f"lib{name}" and dot:
        return ending.startswith(("so", "dylib", "a", "tbd")) or ending.endswith("dylib")
    return file.startswith(f"lib{name}.") and file[len(name) + 4 :].startswith(("so", "dylib", "a", "tbd"))


def _decide_library_file(item: Item, request: Request) -> Verdict:
    return (False, BACK_EDGE) if _basename(item.values[0]) in request.host_names else KEPT


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


def _still_there(tokens: Tokens, verdicts: Sequence[Verdict]) -> list[tuple[str, str]]:
    """(name, first operand) of every option that stays."""
    return [
        (item.option.name, item.values[0] if item.values else "")
        for item, (stays, _) in zip(tokens.items, verdicts, strict=True)
        if stays and item.option is not None
    ]


def _added(request: Request, present: Sequence[tuple[str, str]]) -> list[Edit]:
    """What the patch's link needs, in order."""
    apple = request.toolchain.family is Family.LD64
    driver = request.toolchain.driver
    edits: list[Edit] = []

    def add(arguments: Iterable[str], why: str) -> None:
        edits.append(Edit(Action.ADDED, (), tuple(arguments), why))

    def add_for_linker(arguments: Sequence[str], why: str) -> None:
        add(through_driver(arguments, request.toolchain.dialect) if driver else arguments, why)

    if request.relocatable:
        add(["-r", "-nostdlib"] if driver else ["-r"], "merge everything into one object")
    else:
        add([_shared(request.toolchain)], "a patch is a shared library")
        if request.os is not LinkerOs.OTHER:
            add_for_linker(_unresolved(request), "what stub.o does not define, libraries that the host loaded will")
        for name in _exports(request, present):
            add_for_linker(
                ["-exported_symbol", name] if apple else [f"--export-dynamic-symbol={name}"], "exported as asked for"
            )
        option = "-install_name" if apple else "-soname"
        add_for_linker([option, request.soname or fresh_name(request)], "a name that no loaded library has")
    if apple and not _has_sdk(request, present):
        sdk = apple_sdk(request.toolchain, request.environment)
        if sdk:
            add(["-isysroot" if driver else "-syslibroot", sdk], "the SDK that xcrun names; the command has none")
    for path in request.extra:
        add([path], "asked for")
    for path in request.objects:
        add([path], "an object of the patch")
    add(["-o", request.output], "the patch")
    return edits


def _shared(toolchain: Toolchain) -> str:
    """The option that makes a shared library."""
    if toolchain.dialect is Dialect.SWIFT:
        return "-emit-library"
    return "-dylib" if toolchain.family is Family.LD64 and not toolchain.driver else "-shared"


def _unresolved(request: Request) -> list[str]:
    """The directive that lets undefined symbols through, as the linker at hand spells it."""
    if request.toolchain.family is Family.LD64:
        return ["-undefined", "dynamic_lookup"]
    if request.toolchain.dialect is Dialect.ZIG:  # zig's driver rejects --unresolved-symbols
        return ["-z", "undefs"]
    return ["--unresolved-symbols=ignore-all"]


def _has_sdk(request: Request, present: Sequence[tuple[str, str]]) -> bool:
    """Say whether the command or its environment names an SDK, or zig brings its own."""
    named = any(name in ("-isysroot", "-syslibroot", "--sysroot", "-sdk") for name, _ in present)
    return named or "SDKROOT" in request.environment or request.toolchain.dialect is Dialect.ZIG


def _exports(request: Request, present: Sequence[tuple[str, str]]) -> list[str]:
    """The exports that need an option.

    zig's driver has none, and exports every symbol of default visibility without one.
    """
    if request.toolchain.dialect is Dialect.ZIG:
        return []
    exported = {value for name, value in present if name in ("-exported_symbol", "--export-dynamic-symbol")}
    return [name for name in request.exports if name not in exported]


def through_driver(arguments: Sequence[str], dialect: Dialect = Dialect.COMMON) -> list[str]:
    """Linker *arguments* as a compiler driver takes them; a comma inside one forbids ``-Wl,``."""
    if dialect is Dialect.SWIFT or any("," in argument for argument in arguments):
        return [word for argument in arguments for word in ("-Xlinker", argument)]
    return ["-Wl," + ",".join(arguments)]


def fresh_name(request: Request) -> str:
    """A name for the loader that differs between patches and is the same for the same request."""
    stem, _, ending = _basename(request.output).partition(".")
    text = "\0".join((request.output, *request.extra, *request.objects))
    mark = zlib.crc32(text.encode("utf-8", "surrogateescape"))
    return f"{stem}-{mark:08x}.{ending or ('dylib' if request.toolchain.family is Family.LD64 else 'so')}"


def _localize(output: StrPath, keep_global: Sequence[str], inputs: Sequence[StrPath], objcopy: str) -> tuple[str, ...]:
    """The command after a relocatable link."""
    from stubgen.linkplan.relocatable import localize_command

    return localize_command(output, keep_global, [operating_system.fspath(path) for path in inputs], objcopy=objcopy)


def _edits(tokens: Tokens, verdicts: Sequence[Verdict], expansion: response.Expansion, start: int) -> list[Edit]:
    """What became of every captured argument behind the program, in order."""
    owner, items, first_word = tokens.owner, tokens.items, tokens.first_word
    after = render(tokens, [verdicts[index][0] for index in owner])
    file_of = expansion.file_of[start:]
    arguments, shapes = tokens.arguments, tokens.shapes
    whole, kept, dropped = Shape.WHOLE, Action.KEPT, Action.DROPPED  # an enum's members are slow to look up
    edits: list[Edit] = []
    position = 0
    count = len(arguments)
    while position < count:
        file = file_of[position]
        index = owner[first_word[position]]
        if file >= 0:
            end = position
            while end < count and file_of[end] == file:
                end += 1
            edits.append(_response_edit(expansion.files[file], tokens, after, verdicts, position, end))
        elif shapes[position] is whole and len(items[index].words) == 1:  # nearly every argument
            end = position + 1
            stays, why = verdicts[index]
            argument = (arguments[position],)
            edits.append(Edit(kept, argument, argument, why) if stays else Edit(dropped, argument, (), why))
        else:
            end = _end_of_item(tokens, position)
            edits.append(_edit(tokens, after, verdicts, position, end))
        position = end
    return edits


def _end_of_item(tokens: Tokens, position: int) -> int:
    """The argument after the last one that belongs wholly to the item at argument *position*."""
    owners = _owners(tokens, position)
    end = position + 2 if tokens.shapes[position] is Shape.PREFIX else position + 1
    if len(owners) != 1:
        return end
    last = tokens.items[next(iter(owners))].words[-1]
    while end < len(tokens.arguments) and tokens.first_word[end] <= last and _owners(tokens, end) == owners:
        end += 2 if tokens.shapes[end] is Shape.PREFIX else 1
    return end


def _owners(tokens: Tokens, position: int) -> set[int]:
    """Items that own words of the argument at *position* (of the one after it, for ``-Xlinker``)."""
    if tokens.shapes[position] is Shape.PREFIX:
        position += 1
    return set(tokens.owner[tokens.first_word[position] : tokens.first_word[position + 1]])


def _edit(
    tokens: Tokens,
    after: Sequence[tuple[str, ...]],
    verdicts: Sequence[Verdict],
    position: int,
    end: int,
) -> Edit:
    """The edit of arguments *position* to *end*."""
    before = tuple(tokens.arguments[position:end])
    result = tuple(argument for rest in after[position:end] for argument in rest)
    owners = tokens.owner[tokens.first_word[position] : tokens.first_word[end]]
    stays = result == before
    reasons = dict.fromkeys(verdicts[owner][1] for owner in owners if verdicts[owner][0] is stays)
    action = Action.KEPT if stays else Action.REPLACED if result else Action.DROPPED
    return Edit(action, before, result, "; ".join(reason for reason in reasons if reason))


def _response_edit(
    file: response.ResponseFile,
    tokens: Tokens,
    after: Sequence[tuple[str, ...]],
    verdicts: Sequence[Verdict],
    position: int,
    end: int,
) -> Edit:
    """The edit of a response file whose arguments are *position* to *end*."""
    before = tuple(tokens.arguments[position:end])
    result = tuple(argument for rest in after[position:end] for argument in rest)
    if result == before and not file.copied:
        return Edit(Action.KEPT, (file.text,), (file.text,), "a response file with nothing to change")
    reasons = dict.fromkeys(
        why
        for owner in tokens.owner[tokens.first_word[position] : tokens.first_word[end]]
        for stays, why in (verdicts[owner],)
        if why and not stays
    )
    if not result:
        return Edit(Action.DROPPED, (file.text,), (), "; ".join(reasons) or "an empty response file")
    why = f"{len(before) - len(result)} of its {len(before)} arguments go: " + "; ".join(reasons)
    if result == before:
        why = "the file may be gone when the patch is linked; these are its arguments"
    return Edit(Action.REPLACED, (file.text,), result, why)


_MSVC_OUTPUTS = ("out:", "implib:", "pdb:", "map:", "manifestfile:", "pgd:", "ilk:", "wholearchive:")


def _plan_msvc(
    plain: Sequence[str],
    toolchain: Toolchain,
    objects: Sequence[StrPath],
    extra: Sequence[StrPath],
    output: StrPath,
    directory: Path | None,
) -> tuple[Tokens, list[Verdict], list[Edit]]:
    """A Windows-style command: inputs and output go, nothing is added but the new ones."""
    arguments = plain[toolchain.arguments :]
    from stubgen.linkplan.options import Grammar

    tokens = tokenize(arguments, None, Grammar("Windows-style linker", ()))
    verdicts: list[Verdict] = []
    for argument in arguments:
        if (
            argument[:1] in "/-" and "/" not in argument[1:].partition(":")[0]
        ):  # a path from a Unix host starts with a slash as well
            goes = argument[1:].lower().startswith(_MSVC_OUTPUTS)
            verdicts.append((False, DROPPED[Role.OUTPUT]) if goes else KEPT)
        else:
            verdicts.append((False, DROPPED[Role.INPUT]) if not argument.startswith("@") else KEPT)
    added = [Edit(Action.ADDED, (), (_placed(path, directory),), "asked for") for path in extra]
    added += [Edit(Action.ADDED, (), (_placed(path, directory),), "an object of the patch") for path in objects]
    added.append(Edit(Action.ADDED, (), (f"/OUT:{_placed(output, directory)}",), "the patch"))
    return tokens, verdicts, added


__all__ = ["Action", "Edit", "LinkPlan", "build_link_plan", "is_option", "linker_os_for_host"]
