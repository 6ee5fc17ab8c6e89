"""What a patch's link needs that the host's had not, in the order in which it is added."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Sequence

from stubgen.common.text import as_bytes
from stubgen.linkplan.decisions import DROPPED, Request
from stubgen.linkplan.edits import Action, Edit, Verdict
from stubgen.linkplan.options import Role
from stubgen.linkplan.tokens import Tokens
from stubgen.linkplan.toolchain import Dialect, Family, LinkerOs, Toolchain, apple_sdk, basename


def still_there(tokens: Tokens, verdicts: Sequence[Verdict]) -> list[tuple[str, str]]:
    """(name, first operand) of every option that stays."""
    return [
        (item.option.name, item.values[0] if item.values else "")
        for item, (stays, _) in zip(tokens.items, verdicts, strict=True)
        if stays and item.option is not None
    ]


def additions(request: Request, present: Sequence[tuple[str, str]]) -> list[Edit]:
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
    elif request.os is not LinkerOs.OTHER:
        add([_shared(request.toolchain)], "a patch is a shared library")
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
    edits += inputs(request)
    add(["-o", request.output], "the patch")
    return edits


def inputs(request: Request) -> list[Edit]:
    """The stub object and the patch's own objects."""
    edits = [Edit(Action.ADDED, (), (path,), "asked for") for path in request.extra]
    return edits + [Edit(Action.ADDED, (), (path,), "an object of the patch") for path in request.objects]


def place_inputs(edits: list[Edit], added: list[Edit], request: Request, present: Sequence[tuple[str, str]]) -> None:
    """Move the patch's inputs out of *added* to where the host's first one stood in *edits*, if order matters.

    GNU ld takes from a static archive, and under --as-needed from a shared library, only what an input in front
    of it asked for: behind the libraries that the command keeps, the patch's objects would get nothing from them.
    """
    formats = any(name in ("-b", "--format") for name, _ in present)  # the next inputs would be read as something else
    if request.toolchain.family is not Family.GNU or request.os is LinkerOs.OTHER or formats:
        return
    host_inputs = [n for n, edit in enumerate(edits) if edit.action in CHANGED and DROPPED[Role.INPUT] in edit.why]
    if host_inputs and any(_links_a_library(edit) for edit in edits[host_inputs[0] :]):
        moved = inputs(request)
        added[:] = [item for item in added if item not in moved]
        edits[host_inputs[0] : host_inputs[0]] = moved


CHANGED = (Action.DROPPED, Action.REPLACED)


def _links_a_library(edit: Edit) -> bool:
    """Whether an argument that stays names a library: ``-lm``, ``-Wl,-lm``, ``--library=m``, ``-l m``."""
    return any(re.match(r"(-Wl,(.*,)?)?(-l|--library(=|$))", argument) for argument in edit.after)


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
    stem, _, ending = basename(request.output).partition(".")
    text = "\0".join((request.output, *request.extra, *request.objects))
    mark = zlib.crc32(as_bytes(text))
    return f"{stem}-{mark:08x}.{ending or ('dylib' if request.toolchain.family is Family.LD64 else 'so')}"
