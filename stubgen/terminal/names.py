"""Mangled names as people wrote them, by the demangler that is installed: here and nowhere else.

GNU's ``c++filt`` and ``llvm-cxxfilt`` know Itanium's names and both of Rust's manglings, ``rustfilt`` knows Rust's.
All names of an answer go through one process. Where none of them is installed, or one fails, names stay as they are.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping

_MANGLED = re.compile(r"_(?<![\w.$@]_)_?(?:Z[\dA-Zd-zLNST]|R[A-Z])[\w$]*(?:\.\.?[\w$]+)*", re.ASCII)
"""Itanium C++ ABI 5.1 and Rust's RFC 2603, in Mach-O with one more underscore; with what LLVM and GCC append.
Rust's legacy names have two dots for ``::`` in what stands in ``$LT$`` and ``$GT$``: all of traits' implementations."""
_HASH = re.compile(r"::h[0-9a-f]{16}\b")
"""What ends each of Rust's legacy names."""
_STRING = re.compile(
    r"std::(?:__\w+::)?basic_string<char, std::(?:__\w+::)?char_traits<char>, std::(?:__\w+::)?allocator<char> ?>"
)
"""What C++'s source calls ``std::string``, and most names have; behind ``__`` which library's it is."""
_END = "\x01"
"""What is behind each name that the demangler gets: after each line end GNU's writes what it has."""
_CRATE = re.compile(rf"\[(?<=\w\[)[0-9a-f]+\](?=::|\b|{_END})")
"""GNU's ``c++filt`` writes the disambiguator of a crate behind its name. What a pattern begins with is searched for."""
_WITH_CRATES = ("_R", "__R")
"""How the names begin that have them."""

_TOOLS = ("c++filt", "llvm-cxxfilt", "rustfilt")
"""In the order in which they are tried; LLVM's takes a tenth of a second to load its library."""
_PATIENCE = 60.0  # seconds; a million names take three


def demangled(names: Collection[str]) -> dict[str, str]:
    """Mangled name -> how people write it, for those of *names* of which the demangler knows it."""
    return _demangled([name for name in names if _MANGLED.fullmatch(name)])


def demangled_in(text: str) -> dict[str, str]:
    """The same for the names that are in *text*."""
    return _demangled(set(_MANGLED.findall(text))) if "_Z" in text or "_R" in text else {}


def _demangled(names: Iterable[str]) -> dict[str, str]:
    """The same for *names* that are mangled; what is to be left out of all answers is looked for in one text."""
    crates: list[str] = []
    others: list[str] = []
    for name in names:
        (crates if name.startswith(_WITH_CRATES) else others).append(name)
    asked = [*crates, *others]
    if not asked:
        return {}
    spellings = [_without_prefix(name) for name in asked]
    lines = [spellings[: len(crates)], spellings[len(crates) :]]
    with_crates, _, rest = _answer("".join([f"{_END.join([*line, ''])}\n" for line in lines])).partition("\n")
    told = _STRING.sub("std::string", _HASH.sub("", _CRATE.sub("", with_crates) + rest)).split(_END)
    if len(told) != len(asked) + 1:  # a line end is left
        return {}
    rows = zip(asked, spellings, told, strict=False)
    return {name: text for name, spelling, text in rows if text not in ("", spelling)}


def replaced(text: str, known: Mapping[str, str]) -> str:
    """*text* with each of the *known* names as people write it."""
    return _MANGLED.sub(lambda match: known.get(match[0], match[0]), text) if known else text


def _without_prefix(name: str) -> str:
    """*name* without what Mach-O puts before each name: demanglers want it off."""
    return name[1:] if name.startswith("__") else name


def _answer(text: str) -> str:
    """*text* as the first demangler that is installed filters it; nothing where that fails."""
    import subprocess

    for tool in _TOOLS:
        try:
            done = subprocess.run(
                [tool],
                input=text.encode(),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                check=False,
                timeout=_PATIENCE,
                env={**os.environ, "LC_ALL": "C"},
            )
        except FileNotFoundError:
            continue
        except (OSError, subprocess.SubprocessError):
            return ""
        return done.stdout.decode("utf-8", "replace") if not done.returncode else ""
    return ""
