"""What a compiler's words say to whoever records them: what is compiled, and into what.

This runs in front of every compile of a build, so it looks at few forms. What a patch needs of a command is read
by the option tables of ``stubgen/compileplan``, later.
"""

from __future__ import annotations

import os
from itertools import pairwise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

SOURCES = (".c", ".i", ".cc", ".cp", ".cxx", ".cpp", ".CPP", ".c++", ".C", ".ii", ".m", ".mi", ".mm", ".M", ".mii")
"""Endings of what compilers of C, C++ and Objective-C compile (GCC's manual, "Overall Options")."""

HEADERS = (".h", ".hh", ".H", ".hp", ".hxx", ".hpp", ".HPP", ".h++", ".tcc")
"""Endings of headers; a command of nothing else compiles one for other compiles to read."""

TAKES_HEADER = ("-include", "--include", "-imacros", "-include-pch", "-Xclang")
"""Options whose operand may be a header that is not compiled by itself."""

NOT_COMPILING = frozenset(
    {
        *("-E", "-M", "-MM", "-S", "-fsyntax-only", "-###", "-emit-ast", "-emit-pch", "--precompile"),
        *("--version", "-dumpversion", "-dumpmachine", "--help", "-vV", "-V", "-Vv", "-emit-llvm", "--analyze"),
    }
)
"""With one of these a compiler answers a question, or writes what is no object."""

TRIALS = frozenset({"CMakeScratch", "CMakeTmp", "CompilerIdC", "CompilerIdCXX", "meson-private", "conftest.dir"})
"""Folders in which CMake, Meson and configure try a compiler out."""

TRIAL_STEMS = (
    "conftest",
    "CMakeCCompilerABI",
    "CMakeCXXCompilerABI",
    "testCCompiler",
    "testCXXCompiler",
    "sanitycheck",
)
"""What the sources of such trials are called."""


class Compiled:
    """What one command compiles."""

    __slots__ = ("argv", "output", "rust", "source")

    def __init__(self, argv: list[str], source: str, output: str, *, rust: bool) -> None:
        self.argv = argv
        """Its words, with the contents of response files in their place."""
        self.source = source
        self.output = output
        """A file, or for a crate its folder and name without an ending; it tells the compile from others."""
        self.rust = rust


def compiled(argv: Sequence[str], directory: str) -> Compiled | None:
    """What the command *argv* compiles in *directory*; None where that is nothing, or only tries the compiler out."""
    rust = is_rustc(argv)
    words = _unfolded(argv, directory, rust=rust)
    if any(word in NOT_COMPILING or word.startswith(("-print", "--print", "-dumpfull")) for word in words):
        return None
    found = _crate(words) if rust else _unit(words)
    return None if found is None or tries(os.path.join(directory, found.source)) else found


def depfile_of(argv: Sequence[str], output: str) -> str | None:
    """The file into which a C or C++ compile writes what it reads, relative to its folder; None: it writes none."""
    named, wanted = "", False
    for before, word in pairwise(argv):
        if before == "-MF":
            named = word
        elif word.startswith("-MF") and len(word) > 3:
            named = word[3:]
        elif word in ("-MD", "-MMD"):
            wanted = True
        elif word.startswith("-Wp,-M"):
            wanted = True
            named = (*word.split(","), "", named)[2] or named
    return (named or f"{os.path.splitext(output)[0]}.d") if wanted else None


def is_rustc(argv: Sequence[str]) -> bool:
    """Whether *argv* runs rustc, by itself or behind wrappers."""
    for word in argv[:4]:
        if word.startswith("-"):
            break
        if os.path.basename(word).removesuffix(".exe").startswith(("rustc", "clippy-driver")):
            return True
    return False


def crate_of(words: Sequence[str]) -> tuple[str, str, str]:
    """The name, the ``extra-filename`` and the folder of the crate that rustc's *words* compile."""
    name = value_of(words, "--crate-name")
    extra = codegen_value(words, "extra-filename")
    output = value_of(words, "-o")
    if not name:
        source = next((word for word in words if word.endswith(".rs") and word[0] != "-"), "")
        name = os.path.basename(source).removesuffix(".rs").replace("-", "_")
    return name, extra, os.path.dirname(output) if output else value_of(words, "--out-dir")


def value_of(words: Sequence[str], option: str) -> str:
    """The last value of *option*, after it or behind ``=``."""
    value = ""
    for position, word in enumerate(words):
        if word == option and position + 1 < len(words):
            value = words[position + 1]
        elif word.startswith(f"{option}=") and option[:2] == "--":
            value = word[len(option) + 1 :]
    return value


def codegen_value(words: Sequence[str], name: str) -> str:
    """The last value of rustc's ``-C name=``, ``-Cname=`` or ``--codegen name=``."""
    value = ""
    for before, word in zip(("", *words), words, strict=False):
        text = word if before in ("-C", "--codegen") else ""
        for form in ("-C", "--codegen="):
            text = text or (word[len(form) :] if word.startswith(form) else "")
        key, equals, given = text.partition("=")
        if equals and key.replace("_", "-") == name:
            value = given
    return value


def _crate(words: list[str]) -> Compiled | None:
    source = next((word for word in words[1:] if word.endswith(".rs") and not word.startswith("-")), "")
    if not source:
        return None  # standard input: a question about the target
    name, extra, folder = crate_of(words)
    output = os.path.splitext(value_of(words, "-o"))[0]  # two programs of one crate differ in nothing else
    return Compiled(words, source, output or os.path.join(folder, name + extra), rust=True)


def _unit(words: list[str]) -> Compiled | None:
    inputs = [word for before, word in pairwise(words) if word[:1] != "-" and before not in TAKES_HEADER]
    sources = [word for word in inputs if word.endswith(SOURCES)] or [word for word in inputs if word.endswith(HEADERS)]
    if not sources:
        return None
    output = next((word[2:] for word in reversed(words) if word.startswith("-o") and len(word) > 2), "")
    output = value_of(words, "-o") or output
    if not output and sources[-1].endswith(HEADERS):
        output = f"{sources[-1]}.gch"
    elif not output:
        output = f"{os.path.basename(sources[0]).rpartition('.')[0]}.o" if "-c" in words else "a.out"
    return Compiled(words, sources[-1], output, rust=False)


def tries(path: str) -> bool:
    """Whether the file *path* is one by which a build system tries a compiler out."""
    return not TRIALS.isdisjoint(path.split(os.sep)) or os.path.basename(path).startswith(TRIAL_STEMS)


def _unfolded(argv: Sequence[str], directory: str, *, rust: bool) -> list[str]:
    """*argv* with the words of response files: rustc's have one in each line."""
    if not any(len(word) > 1 and word[0] == "@" for word in argv):
        return list(argv)
    from stubgen.linkplan.response import expand

    if not rust:
        return expand(list(argv), directory=directory).arguments
    words = []
    for word in argv:
        path = os.path.join(directory, word[1:])
        if word.startswith("@") and os.path.isfile(path):
            from stubgen.common.text import text_lines

            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                words += text_lines(file.read())
        else:
            words.append(word)
    return words
