"""The command that compiles a C, C++ or Objective-C file for a patch, from the one that compiled it for the host."""

from __future__ import annotations

import itertools
import os
import re
import sys
from collections.abc import Iterator, Sequence

from stubgen.capture.compile_words import SOURCES
from stubgen.common.row import Row
from stubgen.compileplan.c_options import DEPENDENCIES, Fate, fates, grammar
from stubgen.linkplan.tokens import is_option

COMPILED_HEADERS = (".gch", ".pch", ".pcm")
"""What compilers make of headers and modules for other compiles."""

NO_COMPILED_HEADER = "typedef int stubgen_takes_no_precompiled_header;\n"
"""A header that goes in front of everything: GCC takes no ``.gch`` after a token. It does not look whether the headers
in one have changed, so that the edit of one of them was not in the patch. The dependency file names neither it nor what
is in it."""

STATE_OPTIONS = ("-g", "-fdata-sections", "-ffunction-sections")
"""What ``--keep-state`` tells variables apart by: files by debug information, variables by sections of their own."""


APART = "-mno-global-merge"
"""Likewise: with ``-O3`` and ``-Oz`` clang makes one variable of several. On Mach-O those lose their names."""

CLANG_NAMES = r"(.*-)?clang(\+\+)?(-[0-9.]+)?"
"""How clang is called where it is sure to be that."""

APPLE = r"(?<![a-z])(apple|darwin|macos|ios|tvos|watchos|visionos|xros)"
"""What a target of Apple's has in it, also as zig calls it (``aarch64-macos``)."""

SYSTEMS = APPLE + r"|-linux-|-linux\b"
"""What a compiler's name has in it that says for which system it compiles (``arm64-apple-darwin23-clang``)."""

FOR_LIBRARIES = ("-fPIC", "-fpic")
"""Options of host code that any library's may take the place of; the last of its kind counts (``Fate.PIC``)."""

BOUND = "-fno-semantic-interposition"
"""With ``-fPIC`` alone GCC inlines none of a file's own global functions, nor looks into them, as for a program:
functions that nobody edited would differ from the host's. clang does so in either case."""

GCC_NAMES = r"(.*-)?(gcc|g\+\+|cc|c\+\+)(-[0-9.]+)?"
"""How GCC is called; what is clang under such a name takes the option as well."""


class Word(Row):
    """One option with its operands, or one input."""

    name: str
    """The option's name in the table, or the argument itself; ``""``: an input."""
    texts: tuple[str, ...]
    """Its arguments."""
    value: str
    """Its operand; of an input, the input itself."""


def words_of(arguments: Sequence[str]) -> Iterator[Word]:
    """*arguments*, behind the compiler's name, taken apart."""
    table, position = grammar(), 0
    while position < len(arguments):
        argument = arguments[position]
        if not is_option(argument):
            yield Word("", (argument,), argument)
            position += 1
            continue
        option, value, following = table.match(argument)
        end = min(position + 1 + following, len(arguments))
        texts = tuple(arguments[position:end])
        operand = value if value is not None else (texts[-1] if following and len(texts) > 1 else "")
        yield Word(option.name if option is not None else argument, texts, operand)
        position = end


def patch_command(
    argv: Sequence[str], source: str, output: str, directory: str, first: str, *, keep_state: bool
) -> list[str]:
    """The command that compiles *source* alone into *output*.

    Args:
        argv: the build's command.
        source: as it stands there.
        output: an object, by an absolute path.
        directory: where the command runs.
        first: a file that holds :data:`NO_COMPILED_HEADER`, or ``""`` where nothing is precompiled.
        keep_state: add what ``--keep-state`` tells variables by.
    """
    apple = _for_apple(argv)
    kept = [argv[0]]
    for word in words_of(argv[1:]):
        kept += _kept(word, source, directory, apple=apple)
    kept = _without_compiled_headers(kept, directory)
    kept = _with_first(kept, first)
    added = ["-fPIC", *([BOUND] if _is_bound(argv) and not apple else ()), *(STATE_OPTIONS if keep_state else ())]
    added += [APART] if keep_state and _is_called(argv, CLANG_NAMES) else []
    if keep_state and any(word.startswith("-g") and word != "-g0" for word in kept):
        added.remove("-g")
    return [*kept, *added, "-c", "-o", output]


def as_built_command(
    argv: Sequence[str], source: str, output: str, directory: str, first: str, *, keep_state: bool
) -> list[str] | None:
    """The command that compiles *source* alone as the host's own options do; arguments as of :func:`patch_command`.

    What that makes is no patch, but has the host's instructions wherever the source is as it was. None where a patch is
    compiled so anyway, and for Apple's systems, whose code is position-independent by itself.
    """
    if _for_apple(argv):
        return None
    kept = [argv[0]]
    for word in words_of(argv[1:]):
        how = fates().get(word.name) in (Fate.PIC, Fate.MODEL)
        kept += word.texts if how else _kept(word, source, directory, apple=False)
    own = patch_command(argv, source, output, directory, first, keep_state=keep_state)
    command = [*_with_first(_without_compiled_headers(kept, directory), first), "-c", "-o", output]
    return command if {*command, "-g"} != {*own, "-g"} else None


def dependency_command(argv: Sequence[str], directory: str, first: str) -> list[str]:
    """The command that prints what *argv* reads, as a rule for make on standard output; *first* is as above."""
    kept = [argv[0]]
    for word in words_of(argv[1:]):
        if word.name not in ("-o", "--output", "-c", "--compile") and fates().get(word.name) is not Fate.SIDE:
            kept += _dropped_preprocessor_words(word)
    kept = _with_first(kept, first)
    return [*_without_compiled_headers(kept, directory), "-M", "-MG"]


def takes_compiled_header(argv: Sequence[str], directory: str) -> bool:
    """Whether *argv* itself names a header that was compiled before, or one beside which GCC finds that."""
    words = list(words_of(argv[1:]))
    if any(word.name == "-include-pch" or word.value == "-include-pch" for word in words):
        return True
    included = [word.value for word in words if word.name in ("-include", "--include")]
    return any(os.path.exists(os.path.join(directory, f"{name}.gch")) for name in included)


def inputs_of(argv: Sequence[str]) -> list[str]:
    """The sources that *argv* compiles."""
    return [word.value for word in words_of(argv[1:]) if not word.name and word.value.endswith(SOURCES)]


def _kept(word: Word, source: str, directory: str, *, apple: bool) -> Sequence[str]:
    """What stays of *word*."""
    if not word.name:
        # A compiler behind a launcher (ccache gcc) is no file of the build's; other sources and objects are.
        return () if word.value != source and _is_input(word.value, directory) else word.texts
    fate = fates().get(word.name)
    if fate is Fate.MODEL and apple:  # where -mcmodel=large goes with -fPIC, and reaches all data through the GOT
        return word.texts
    if fate is not None:
        return ()
    return _dropped_preprocessor_words(word)


def _is_bound(argv: Sequence[str]) -> bool:
    """Whether GCC compiled for a program, whose functions nothing takes the place of."""
    if not _is_called(argv, GCC_NAMES):
        return False
    addressing = [word.name for word in words_of(argv[1:]) if fates().get(word.name) is Fate.PIC]
    return not addressing or addressing[-1] not in FOR_LIBRARIES


def _is_called(argv: Sequence[str], names: str) -> bool:
    """Whether the compiler, or what a launcher launches, is called by the expression *names*."""
    named = itertools.takewhile(lambda argument: not is_option(argument), argv)
    return any(re.fullmatch(names, os.path.basename(name)) for name in named)


def _is_input(path: str, directory: str) -> bool:
    return path.endswith((*SOURCES, ".o", ".a", ".so", ".dylib", ".s", ".S", ".obj", ".lo")) or (
        path.find(".so.") > 0 and os.path.isfile(os.path.join(directory, path))
    )


def _with_first(words: list[str], first: str) -> list[str]:
    """*words* with the header *first* in front of the others that they include."""
    if not first:
        return words
    position = next((n for n, word in enumerate(words) if word.startswith("-") and n), len(words))
    return [*words[:position], "-include", first, *words[position:]]


def _dropped_preprocessor_words(word: Word) -> Sequence[str]:
    """*word* without what ``-Wp,-MD,FILE`` would write."""
    if not word.name.startswith("-Wp,"):
        return word.texts
    pieces = word.name.split(",")[1:]
    kept, position = [], 0
    while position < len(pieces):
        piece = pieces[position]
        position += 1
        if piece not in DEPENDENCIES:
            kept.append(piece)
        elif piece not in ("-MP", "-MG", "-M", "-MM"):
            position += 1
    return ("-Wp," + ",".join(kept),) if kept else ()


def _without_compiled_headers(words: Sequence[str], directory: str) -> list[str]:
    """*words* without headers that clang compiled for the host: it refuses one made without ``-fPIC``.

    CMake names the header itself beside it; where nothing does, the header's name is the file's without ``.pch``.
    """
    kept: list[str] = []
    position, forwarded = 0, ("-Xclang", "-include-pch", "-Xclang")
    header = ""
    while position < len(words):
        if tuple(words[position : position + 3]) == forwarded:
            position += 4
            continue
        if words[position] == "-include-pch":
            header = os.path.splitext(words[position + 1])[0] if position + 1 < len(words) else ""
            position += 2
            continue
        kept.append(words[position])
        position += 1
    if header and os.path.isfile(os.path.join(directory, header)):
        kept += ["-include", header]
    return kept


def _for_apple(argv: Sequence[str]) -> bool:
    """Whether *argv* compiles for one of Apple's systems: by its target, the compiler's name or Apple's own options."""
    words = list(words_of(argv[1:]))
    targets = [word.value for word in words if word.value and word.name.rstrip("=") in ("-target", "--target")]
    if not targets:
        named = itertools.takewhile(lambda word: not is_option(word) and not word.endswith(SOURCES), argv)
        targets = [name for name in map(os.path.basename, named) if re.search(SYSTEMS, name)]
    if targets:
        return re.search(APPLE, targets[-1]) is not None
    return sys.platform == "darwin" or any(word.name in ("-arch", "-isysroot") for word in words)
