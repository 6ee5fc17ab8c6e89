"""What an option table says, and how one is looked up.

A table is rows of ``(role, form, names)`` with the names in one string, so that a reader sees which options
belong together and an import costs a fraction of a millisecond. The tables are
``ROWS`` in ``driver_options``, ``gnu_options`` and ``ld64_options``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum

from stubgen.common.row import Row


class Form(Row):
    """How an option carries its operands."""

    separate: int
    """Arguments that follow ``-name`` when it stands alone."""
    joined: bool = False
    """``-nameVALUE`` is the same option."""
    equals: bool = False
    """``-name=VALUE`` is the same option."""
    optional: bool = False
    """The following argument is an operand only if it starts with no dash."""
    both: bool = False
    """A joined value does not stand in for the arguments that follow."""


FLAG = Form(0)
JOINED = Form(0, joined=True)
EQUALS = Form(0, equals=True)
SEPARATE = Form(1)
SEPARATE_2 = Form(2)
SEPARATE_3 = Form(3)
SEPARATE_4 = Form(4)
SEPARATE_UNLESS_DASH = Form(1, optional=True)
JOINED_OR_SEPARATE = Form(1, joined=True)
SEPARATE_OR_EQUALS = Form(1, equals=True)
JOINED_AND_SEPARATE = Form(1, joined=True, both=True)
"""``-Xarch_arm64 -O2``: the name goes on to the end of its argument *and* takes the next one."""


class Role(Enum):
    """What an option is for; the plan's decision follows from it."""

    PLAIN = "plain"
    """Nothing that a patch changes."""
    TARGET = "target"
    """Says what machine and system is linked for."""
    SEARCH = "search"
    """Says where libraries and the linker itself are found."""
    LIBRARY = "library"
    """Links a library by name."""
    LIBRARY_FILE = "library file"
    """Links a library by path."""
    FRAMEWORK = "framework"
    """Links an Apple framework by name."""
    START_UP = "start-up"
    """Code that begins or ends an image, by path: no option, but a file."""
    INPUT = "input"
    """Links an object or archive by path."""
    OUTPUT = "output"
    """Names the output file."""
    MODE = "mode"
    """Says what kind of file the output is."""
    SHARED = "shared"
    """Says that the output is a shared library."""
    STATIC = "static"
    """Says that the output is an executable without a loader."""
    RELOCATABLE = "relocatable"
    """Says that the output is one merged object."""
    UNRESOLVED = "unresolved"
    """Says what becomes of undefined symbols."""
    SYMBOL_LIST = "symbol list"
    """Reads a file that names symbols of the host."""
    STRIP = "strip"
    """Removes code or symbols."""
    FOLDING = "folding"
    """Makes one of functions that are alike."""
    IDENTITY = "identity"
    """Names the library for the loader."""
    SIDE_OUTPUT = "side output"
    """Writes a second file."""
    EXECUTABLE = "executable"
    """Means something for executables only."""
    LAYOUT = "layout"
    """Reads a linker script."""
    INITIALISER = "initialiser"
    """Names code of the host's that the loader runs."""
    DEFINITION = "definition"
    """Defines a symbol, or another name for one."""
    ROOT = "root"
    """Names a symbol that the link must contain, and takes archives' members for it."""
    SYMBOL = "symbol"
    """Names a symbol of the host's."""
    EXPORT = "export"
    """Exports a symbol by name."""
    NO_EXPORT = "no export"
    """Keeps a symbol by name, or all of them, from being exported."""
    VERSIONS = "versions"
    """Gives names versions."""
    WRAP = "wrap"
    """Makes a name mean another one (``--wrap``)."""
    BUILD_ID = "build id"
    """Says what identifies the build."""
    BINDING = "binding"
    """Has the loader look up what the image itself defines."""
    MERGED = "merged"
    """Takes a shared library's code into the image."""
    GROUPING = "grouping"
    """Makes an archive of the objects that follow."""
    INPUT_FORMAT = "input format"
    """Says what the inputs that follow are."""
    OUTPUT_FORMAT = "output format"
    """Says how the output file is encoded."""
    REPORT = "report"
    """Prints what became of symbols, sections and files."""
    NO_LINK = "no link"
    """Makes the program do something else than link."""
    FINAL = "final"
    """Means something for a loadable output only: linkers reject it with ``-r``."""
    NOT_LOADABLE = "not loadable"
    """Forbids what a hot patch does."""
    LANGUAGE = "language"
    """Says how the following inputs are compiled."""
    COMPILE = "compile"
    """Stops the driver before it links."""
    END_OF_OPTIONS = "end of options"
    """Makes inputs of everything that follows."""
    LIBTOOL = "libtool"
    """Libtool's own, for what it builds from the driver's command."""
    ARCHIVES = "archives"
    """Says how archives are linked, or which run-time library is one."""
    FORWARD_LIST = "forward list"
    """Hands a comma-separated list to the linker."""
    FORWARD_NEXT = "forward next"
    """Hands the following argument to the linker."""
    KEYWORD = "keyword"
    """Means what its operand says (``-z defs``)."""
    SYMBOLS_FILE = "symbols file"
    """GNU ``-R``: a symbols file if the operand is a file, else a run path."""


LIBRARY_FOLDERS = ("-L", "--library-path", "--library-directory")
"""What names a folder of libraries: GNU's linkers, lld and mold read the second, gcc and clang the third."""


class Option(Row):
    """One option as one grammar knows it."""

    name: str
    role: Role
    form: Form


OptionRow = tuple[Role, Form, str]


Match = tuple[Option | None, str | None, int]
"""(option or None: not in the table; operand that the argument itself holds; operands in the arguments after it)."""

_UNKNOWN: Match = (None, None, 0)


class Grammar:
    """The options of one family of programs, ready for look-up."""

    __slots__ = ("_exact", "_joined", "keywords", "name")

    def __init__(
        self,
        name: str,
        rows: Iterable[OptionRow],
        *,
        keywords: Mapping[str, Role] | None = None,
        either_dash: Iterable[OptionRow] = (),
    ) -> None:
        """Index *rows*, and *either_dash*: rows whose ``-name`` and ``--name`` are one option (getopt_long_only)."""
        self.name = name
        self.keywords = keywords or {}
        """Operand of a :attr:`Role.KEYWORD` option -> its role."""
        self._exact: dict[str, Match] = {}
        joined: dict[str, list[Option]] = {}
        exact = self._exact
        new = tuple.__new__  # 900 options at every start: half the time of calling the class
        for table, either in ((rows, False), (either_dash, True)):
            for role, form, names in table:
                separate, is_joined = form.separate, form.joined
                for word in names.split():
                    option = new(Option, (word, role, form))
                    match = (option, None, separate)
                    exact[word] = match
                    if either:
                        if word[1] == "-":
                            exact[word[1:]] = match
                        elif len(word) > 2:  # a single letter has one dash
                            exact["-" + word] = match
                    if is_joined:
                        joined.setdefault(word[:2], []).append(option)
        self._joined = {
            start: sorted(
                ((option.name, option, option.form.separate if option.form.both else 0) for option in options),
                key=lambda entry: -len(entry[0]),
            )
            for start, options in joined.items()
        }

    def match(self, argument: str) -> Match:
        """What *argument* is; an argument without a dash must not be asked about."""
        match = self._exact.get(argument)
        if match is not None:
            return match
        if "=" in argument:
            head, _, value = argument.partition("=")
            option = self._exact.get(head, _UNKNOWN)[0]
            if option is not None and option.form.equals:
                return (option, value, 0)
        for name, option, following in self._joined.get(argument[:2], ()):
            if argument.startswith(name):
                return (option, argument[len(name) :], following)
        return _UNKNOWN

    def options(self) -> list[Option]:
        """Every option once, in the table's order."""
        return list({id(option): option for option, _, _ in self._exact.values() if option is not None}.values())
