"""What a patch's link needs that the host's had not, and where in the command it stands."""

from __future__ import annotations

import os
import zlib
from collections.abc import Collection, Iterable, Sequence

from stubgen.common.row import Row
from stubgen.common.text import as_bytes
from stubgen.linkplan.decisions import Context, is_versioned
from stubgen.linkplan.edits import Verdict
from stubgen.linkplan.every_image import of_every_image
from stubgen.linkplan.options import Role
from stubgen.linkplan.plan import Action, Edit, LinkerOs
from stubgen.linkplan.request import PatchRequest
from stubgen.linkplan.tokens import LIST_PREFIX, Tokens
from stubgen.linkplan.toolchain import Dialect, Family, Toolchain, apple_sdk, basename


class KeptOption(Row):
    """An option of the captured command that stays."""

    name: str
    operand: str
    """Its first one; ``""`` without any."""


def kept_options(tokens: Tokens, verdicts: Sequence[Verdict]) -> list[KeptOption]:
    """Every option that stays, in order."""
    return [
        KeptOption(item.option.name, item.values[0] if item.values else "")
        for item, verdict in zip(tokens.items, verdicts, strict=True)
        if verdict.stays and item.option is not None
    ]


def libraries_behind(tokens: Tokens, verdicts: Sequence[Verdict], context: Context) -> frozenset[str]:
    """The files of the libraries that stay and from which the patch's objects are answered, links resolved.

    Under ``--as-needed``, GNU ld links a shared library only for what an input in front of it asked for.
    """
    found: set[str] = set()
    behind, input_role = context.toolchain.family is not Family.GNU, Role.INPUT
    for item, verdict in zip(tokens.items, verdicts, strict=True):
        behind = behind or input_role in verdict.dropped_roles
        if behind and verdict.stays and id(item) in context.libraries:
            found.update(os.path.realpath(file.path) for file in context.libraries[id(item)].files)
    return frozenset(found)


class Additions(Row):
    """What the patch's link needs, in the order in which it is added."""

    options: Sequence[Edit]
    inputs: Sequence[Edit]
    libraries: Sequence[Edit]
    output: Edit


def additions(context: Context, kept: Sequence[KeptOption], named: Collection[str] = ()) -> Additions:
    """What the patch's link needs beside the options that are *kept* and the libraries that they *named*."""
    output = _added(["-o", context.request.output], "the patch")
    flags, libraries = _runtimes(context)
    options = [*flags, *_kind_of_output(context, kept), *_sdk(context, kept)]
    wished = _wished_libraries(context.request, named)
    return Additions(options, patch_inputs(context.request), [*_libraries(context), *wished, *libraries], output)


def with_additions(edits: Sequence[Edit], added: Additions, context: Context) -> list[Edit]:
    """The *edits* of the captured arguments with what is added: behind them, but for inputs whose order matters."""
    first = _input_position(edits, context)
    if first is not None:
        edits = [*edits[:first], *added.inputs, *edits[first:]]
    elif added.libraries:
        edits = [*edits, *added.inputs]
    late = [] if first is not None or added.libraries else added.inputs
    return [*edits, *added.libraries, *added.options, *late, added.output]


def _added(arguments: Iterable[str], why: str) -> Edit:
    return Edit(Action.ADDED, (), tuple(arguments), why)


def patch_inputs(request: PatchRequest) -> list[Edit]:
    """The stub object and the patch's own objects."""
    edits = [_added((path,), "asked for") for path in request.extra if not _is_shared(path)]
    return edits + [_added((path,), "an object of the patch") for path in request.objects]


def _wished_libraries(request: PatchRequest, named: Collection[str]) -> list[Edit]:
    """The shared libraries that the caller wants in the patch's link, but for those that are *named* already."""
    wished = [*(path for path in request.extra if _is_shared(path)), *request.libraries]
    return [
        _added((path,), "a library that the patch links, behind what asks for it")
        for path in dict.fromkeys(wished)
        if os.path.realpath(path) not in named
    ]


def _is_shared(path: str) -> bool:
    """Whether *path* is called like a shared library, or like the text-based stub of one."""
    return path.endswith((".so", ".dylib", ".tbd")) or is_versioned(path)


def _kind_of_output(context: Context, kept: Sequence[KeptOption]) -> list[Edit]:
    """The options that make the output what it is: a merged object, or a shared library of a name of its own."""
    request, toolchain = context.request, context.toolchain
    if request.relocatable:
        return [_added(["-r", "-nostdlib"] if toolchain.driver else ["-r"], "merge everything into one object")]
    if context.os is LinkerOs.OTHER:
        return []
    apple = toolchain.family is Family.LD64
    name = [("-install_name" if apple else "-soname"), request.soname or fresh_name(context)]
    return [
        _added([_shared(toolchain)], "a patch is a shared library"),
        _for_linker(
            _unresolved(context), "what stub.o does not define, libraries that the host loaded will", toolchain
        ),
        *(
            _for_linker(
                ["-exported_symbol", symbol] if apple else [f"--export-dynamic-symbol={symbol}"],
                "exported as asked for",
                toolchain,
            )
            for symbol in _exports(context, kept)
        ),
        _for_linker(name, "a name that no loaded library has", toolchain),
    ]


def _libraries(context: Context) -> list[Edit]:
    """The shared libraries that a linker script named besides the archives for which it went."""
    if context.request.relocatable:
        return []
    return [
        _added(meaning.shared, "what the linker script names besides archives")
        for meaning in context.libraries.values()
        if meaning.shared
    ]


def _runtimes(context: Context) -> tuple[list[Edit], list[Edit]]:
    """How the driver is kept from linking run-time libraries that the host has in it: options, and libraries.

    GCC before 13 has no ``-nostdlib++``: it gets none of its libraries, and then each as far as the patch needs it.
    """
    toolchain, static = context.toolchain, context.static_runtimes
    if not toolchain.driver or context.request.relocatable:
        return [], []
    cxx = toolchain.cxx
    if toolchain.dialect is Dialect.ZIG and cxx and not context.no_cxx_library:
        return [_added(["-nostdlib++"], "zig's libc++ and libunwind are archives, which the host has in it")], []
    other = toolchain.dialect is Dialect.ZIG or toolchain.family is Family.LD64
    if context.no_default_libraries or not static or other:
        return [], []
    if "clang" in toolchain.program:
        wanted = "-static-libstdc++" in static and not context.no_cxx_library
        return ([_added(["-nostdlib++"], "the host has it in it")] if wanted else []), []
    names = [
        *(["-lstdc++"] if cxx and "-static-libstdc++" not in static else []),
        *(["-lm"] if cxx else []),
        *([] if "-static-libgcc" in static else ["-lgcc_s"]),
    ]
    libraries = ["-Wl,--push-state,--as-needed", *names, "-lgcc", "-lc", "-Wl,--pop-state"]
    why = "the driver's libraries, but for those that the host has in it"
    return [_added(["-nodefaultlibs"], why)], [_added(libraries, why)]


def _for_linker(arguments: Sequence[str], why: str, toolchain: Toolchain) -> Edit:
    """Linker *arguments*, handed through the driver where there is one."""
    return _added(through_driver(arguments, toolchain.dialect) if toolchain.driver else arguments, why)


def _sdk(context: Context, kept: Sequence[KeptOption]) -> list[Edit]:
    """The SDK that an Apple command lacks, if anything names one."""
    toolchain = context.toolchain
    if toolchain.family is not Family.LD64 or _has_sdk(context, kept):
        return []
    sdk = apple_sdk(toolchain)
    if not sdk:
        return []
    return [
        _added(
            ["-isysroot" if toolchain.driver else "-syslibroot", sdk], "the SDK that xcrun names; the command has none"
        )
    ]


def _input_position(edits: Sequence[Edit], context: Context) -> int | None:
    """Index in *edits* where the patch's inputs must stand; None: they may come last.

    GNU ld takes from a static archive, and under --as-needed from a shared library, only what an input in front
    of it asked for: behind the libraries that the command keeps, the patch's objects would get nothing from them.
    So they stand where the host's first input stood, between the start-up code that opens an image and what closes it.
    """
    if context.toolchain.family is not Family.GNU or context.os is LinkerOs.OTHER:
        return None
    opened, closed = _start_up_positions(edits)
    input_role = Role.INPUT
    first = next((index for index, edit in enumerate(edits) if input_role in edit.dropped_roles), None)
    if first is None or not any(links_a_library(edit) for edit in edits[first:]):
        return closed
    place = first if opened is None else max(first, opened + 1)
    return place if closed is None else min(place, closed)


def _start_up_positions(edits: Sequence[Edit]) -> tuple[int | None, int | None]:
    """(the last argument that opens an image, the first one that closes it): ``crtbeginS.o``, ``crtendS.o``."""
    opened = closed = None
    for index, edit in enumerate(edits):
        if len(edit.after) != 1 or not edit.after[0].endswith(".o"):
            continue
        row = of_every_image(edit.after[0])
        if row is not None and row.closes:
            closed = index if closed is None else closed
        elif row is not None:
            opened = index
    return opened, closed


def links_a_library(edit: Edit) -> bool:
    """Whether an argument that stays names a library: ``-lm``, ``-Wl,-lm``, ``--library=m``, ``-l m``, ``libx.so``."""
    return any(_names_a_library(argument) for argument in edit.after)


def _names_a_library(argument: str) -> bool:
    if argument.endswith((".so", ".a")) or is_versioned(argument):
        return True
    words = argument[len(LIST_PREFIX) :].split(",") if argument.startswith(LIST_PREFIX) else [argument]
    return words[-1] == "--library" or any(word.startswith(("-l", "--library=")) for word in words)


def _shared(toolchain: Toolchain) -> str:
    """The option that makes a shared library."""
    if toolchain.dialect is Dialect.SWIFT:
        return "-emit-library"
    return "-dylib" if toolchain.family is Family.LD64 and not toolchain.driver else "-shared"


def _unresolved(context: Context) -> list[str]:
    """The directive that lets undefined symbols through, as the linker at hand spells it."""
    if context.toolchain.family is Family.LD64:
        return ["-undefined", "dynamic_lookup"]
    if context.toolchain.dialect is Dialect.ZIG:  # zig's driver rejects --unresolved-symbols
        return ["-z", "undefs"]
    return ["--unresolved-symbols=ignore-all"]


def _has_sdk(context: Context, kept: Sequence[KeptOption]) -> bool:
    """Say whether the command or its environment names an SDK, or zig brings its own."""
    named = any(name in ("-isysroot", "-syslibroot", "--sysroot", "-sdk") for name, _ in kept)
    return named or "SDKROOT" in context.environment or context.toolchain.dialect is Dialect.ZIG


def _exports(context: Context, kept: Sequence[KeptOption]) -> list[str]:
    """The exports that need an option.

    zig's driver has none, and exports every symbol of default visibility without one.
    """
    if context.toolchain.dialect is Dialect.ZIG:
        return []
    exported = {value for name, value in kept if name in ("-exported_symbol", "--export-dynamic-symbol")}
    return [name for name in context.request.exports if name not in exported]


def through_driver(arguments: Sequence[str], dialect: Dialect = Dialect.COMMON) -> list[str]:
    """Linker *arguments* as a compiler driver takes them; a comma inside one forbids ``-Wl,``."""
    if dialect is Dialect.SWIFT or any("," in argument for argument in arguments):
        return [word for argument in arguments for word in ("-Xlinker", argument)]
    return ["-Wl," + ",".join(arguments)]


def fresh_name(context: Context) -> str:
    """A name for the loader that differs between patches and is the same for the same request."""
    request = context.request
    stem, _, ending = basename(request.output).partition(".")
    text = "\0".join((request.output, *request.extra, *request.objects))
    mark = zlib.crc32(as_bytes(text))
    return f"{stem}-{mark:08x}.{ending or ('dylib' if context.toolchain.family is Family.LD64 else 'so')}"
