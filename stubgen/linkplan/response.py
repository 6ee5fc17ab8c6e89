"""Response files: ``@FILE`` arguments, read and written by the rules of the program that takes them.

gcc and GNU ld (libiberty's ``buildargv``) and LLVM's GNU tokenizer agree: white space separates, a backslash
takes the next character as it is, also inside quotes. Windows tools follow ``CommandLineToArgvW``. An
``@FILE`` whose file does not exist is no response file but an ordinary argument, for all of them: that is what
lets ``@rpath/libfoo.dylib`` through. A relative name, nested or not, starts at the working directory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence

from stubgen.common.row import Row
from stubgen.common.text import BLANK, as_bytes, as_text
from stubgen.errors import MalformedInput, UnreadableInput

Splitter = Callable[[str], list[str]]


class Expansion(Row):
    """A command line without response files."""

    arguments: list[str]
    file_of: list[int]
    """Argument -> index into :attr:`files` of the outermost response file it comes from; -1: none."""
    files: list[ResponseFile]
    missing: list[str]
    """``@FILE`` arguments that look like response files and have no file."""


class ResponseFile(Row):
    """One ``@FILE`` argument of the command line."""

    text: str
    """The argument as it stood there."""
    copied: bool
    """True: read from a copy, because the file itself may be gone."""


def split_gnu(text: str) -> list[str]:
    r"""Split *text* as libiberty and LLVM do: quotes group, ``\x`` is x everywhere.

    >>> split_gnu(r"a 'b c' d\ e \"f\"")
    ['a', 'b c', 'd e', '"f"']
    """
    if not ("\\" in text or "'" in text or '"' in text):
        return _split_blank(text)
    words: list[str] = []
    word: list[str] = []
    quote = ""
    started = False
    characters = iter(text)
    for character in characters:
        if character == "\\":
            word.append(next(characters, "\\"))
            started = True
        elif quote:
            if character == quote:
                quote = ""
            else:
                word.append(character)
        elif character in "'\"":
            quote = character
            started = True
        elif character in BLANK:
            if started:
                words.append("".join(word))
                word.clear()
                started = False
        else:
            word.append(character)
            started = True
    if started:
        words.append("".join(word))
    return words


def _split_blank(text: str) -> list[str]:
    """Split at C's white space, as the ``split`` of bytes does."""
    return [as_text(word) for word in as_bytes(text).split()]


def split_windows(text: str) -> list[str]:
    r"""Split *text* as ``CommandLineToArgvW`` does: backslashes count only before a double quote.

    >>> split_windows(r'C:\x "a b" c\"d')
    ['C:\\x', 'a b', 'c"d']
    """
    words: list[str] = []
    word: list[str] = []
    quoted = started = False
    for blank, quotes, backslashes, other in _windows_pieces(text):
        if blank and not quoted:
            if started:
                words.append("".join(word))
                word.clear()
                started = False
            continue
        started = True
        word.append(blank or other or "\\" * (len(backslashes) // 2 if quotes else len(backslashes)))
        if quotes:
            literal = len(backslashes) % 2
            # Inside quotes, two in a row are one; the first of a run that no backslash takes opens or closes.
            count = len(quotes) - literal
            word.append('"' * literal)
            while count:
                count -= 1
                if quoted and count:
                    count -= 1
                    word.append('"')
                else:
                    quoted = not quoted
    if started:
        words.append("".join(word))
    return words


def _windows_pieces(text: str) -> Iterable[tuple[str, str, str, str]]:
    """(white space, double quotes, the backslashes before them, anything else): one of the kinds at a time."""
    import re

    for piece in re.finditer(r"""([ \t\n\r\v\f])|(\\*)("+)|(\\+)|([^ \t\n\r\v\f\\"]+)""", text):
        blank, before, quotes, backslashes, other = piece.groups("")
        yield blank, quotes, before or backslashes, other


def quote_gnu(argument: str) -> str:
    r"""*argument* as a response file spells it: :func:`split_gnu` gives it back.

    >>> quote_gnu("a b")
    'a\\ b'
    """
    if not argument:
        return '""'
    if argument.isalnum():
        return argument
    return "".join("\\" + c if c in BLANK or c in "\\'\"" else c for c in argument)


def quote_windows(argument: str) -> str:
    """*argument* as a Windows response file spells it: :func:`split_windows` gives it back."""
    if argument and not any(c in BLANK or c == '"' for c in argument):
        return argument
    quoted: list[str] = []
    backslashes = 0
    for character in argument:
        if character == "\\":
            backslashes += 1
            continue
        doubled = backslashes * 2 + 1 if character == '"' else backslashes
        quoted.append("\\" * doubled + character)
        backslashes = 0
    return '"' + "".join(quoted) + "\\" * (backslashes * 2) + '"'


def write(path: str | os.PathLike[str], arguments: Iterable[str], *, windows: bool = False) -> None:
    """Write a response file, one argument a line."""
    quote = quote_windows if windows else quote_gnu
    text = "".join(quote(argument) + "\n" for argument in arguments)
    with open(path, "wb") as file:
        file.write(as_bytes(text))


def read(path: str | os.PathLike[str], split: Splitter) -> list[str]:
    """The arguments in the file *path*.

    Raises:
        UnreadableInput: the file is a directory or may not be read.
    """
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise UnreadableInput(f"{path}: the response file cannot be read: {error.strerror}") from error
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):  # Windows tools write UTF-16; LLVM reads it
        return split(content.decode("utf-16", "replace"))
    return split(as_text(content.removeprefix(b"\xef\xbb\xbf")))


def expand(
    argv: Sequence[str],
    *,
    directory: str | os.PathLike[str] | None = None,
    copies: Mapping[str, str | os.PathLike[str]] | None = None,
    windows: bool = False,
) -> Expansion:
    """Replace every ``@FILE`` of *argv* by the file's arguments, nested ones included.

    *directory* is where the command ran. *copies* maps a name as it stood after the ``@`` to a copy, which
    is preferred: the file itself may be gone, or may hold another link's arguments by now.

    Raises:
        MalformedInput: a file includes itself, or there are more than :data:`MOST_FILES`.
        UnreadableInput: a file exists and cannot be read.
    """
    if "@" not in "".join(argv):  # nearly every command
        return Expansion([*argv], [-1] * len(argv), [], [])
    expander = _Expander(split_windows if windows else split_gnu, os.fspath(directory or ""), copies or {})
    for text in argv:
        if text[:1] == "@":
            expander.argument(text)
        elif text[:4] == LIST_PREFIX and ("@" in text):
            expander.linker_list(text)
        else:
            expander.keep(text)
    return expander.expansion


MOST_FILES = 2000
"""Response files that are read for one command, each as often as it is named: libiberty's allowance."""

LIST_PREFIX = "-Wl,"
"""Through a driver to the linker, which reads the response files in the list itself."""


class _Expander:
    """One command line, so far."""

    def __init__(self, split: Splitter, start: str, copies: Mapping[str, str | os.PathLike[str]]) -> None:
        self._split = split
        self._start = start
        self._copies = copies
        self._read = 0
        self.expansion = Expansion([], [], [], [])

    def keep(self, text: str) -> None:
        """Add an argument that is no response file."""
        self.expansion.arguments.append(text)
        self.expansion.file_of.append(-1)

    def argument(self, text: str) -> None:
        """Add ``@FILE``."""
        path = self._locate(text)
        if path is None:
            self._note_missing(text, text)
            self.keep(text)
            return
        first = len(self.expansion.arguments)
        self._include(text[1:], path)
        self._note_file(text, first, copied=text[1:] in self._copies)

    def linker_list(self, text: str) -> None:
        """Add ``-Wl,`` with pieces of which some may be ``@FILE``: each word goes on behind ``-Xlinker`` then."""
        pieces = text[len(LIST_PREFIX) :].split(",")
        paths = [self._locate(piece) for piece in pieces]
        if not any(paths):
            for piece in pieces:
                self._note_missing(piece, text)
            self.keep(text)
            return
        arguments = self.expansion.arguments
        first = len(arguments)
        for piece, path in zip(pieces, paths, strict=True):
            if path is None:
                self._note_missing(piece, piece)
                arguments.append(piece)
            else:
                self._include(piece[1:], path)
        arguments[first:] = [part for word in arguments[first:] for part in ("-Xlinker", word)]
        self._note_file(text, first, copied=any(piece[1:] in self._copies for piece in pieces))

    def _locate(self, text: str) -> str | None:
        """The file that ``@FILE`` names; None where there is none, or it is something else."""
        name = text[1:]
        if text[:1] != "@":
            return None
        copy = self._copies.get(name)
        if copy is not None and os.path.isfile(copy):
            return os.fspath(copy)
        path = os.path.join(self._start, name)
        return path if os.path.isfile(path) else None

    def _note_missing(self, piece: str, text: str) -> None:
        if piece[:1] == "@" and len(piece) > 1 and not piece.startswith(_LOADER_VARIABLES):
            self.expansion.missing.append(text)

    def _note_file(self, text: str, first: int, *, copied: bool) -> None:
        """All arguments from *first* on came out of *text*."""
        expansion = self.expansion
        expansion.file_of.extend([len(expansion.files)] * (len(expansion.arguments) - first))
        expansion.files.append(ResponseFile(text, copied=copied))

    def _include(self, name: str, path: str) -> None:
        """Add the words of the file at *path*, and of those that it names."""
        within = {name: iter(self._words(name, path))}  # the files that are being read, innermost last
        while within:
            innermost, words = next(reversed(within.items()))
            for word in words:
                nested = self._locate(word)
                if nested is None:
                    self._note_missing(word, word)
                    self.expansion.arguments.append(word)
                    continue
                if word[1:] in within:
                    chain = " -> ".join((*within, word[1:]))
                    raise MalformedInput(f"{word[1:]}: the response file includes itself ({chain})")
                within[word[1:]] = iter(self._words(word[1:], nested))
                break
            else:
                del within[innermost]

    def _words(self, name: str, path: str) -> list[str]:
        self._read += 1
        if self._read > MOST_FILES:
            raise MalformedInput(f"{name}: the command names more than {MOST_FILES} response files, nested ones too")
        return read(path, self._split)


_LOADER_VARIABLES = ("@rpath", "@loader_path", "@executable_path")
