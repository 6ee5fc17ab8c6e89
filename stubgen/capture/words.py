"""What a link's words say to whoever records it: whether it links, its output, its response files."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NOT_LINKING = frozenset(
    {"-c", "-S", "-E", "-M", "-MM", "-fsyntax-only", "--version", "-dumpversion", "-dumpmachine", "-###", "--help"}
)
"""With one of these, a compiler driver links nothing; to a linker, some of them mean other things."""


def _response_names(argv: Iterable[str], directory: str) -> Iterable[tuple[str, str]]:
    """(name after the ``@``, path) of every response file of *argv* that exists, nested ones included."""
    seen: set[str] = set()
    waiting = [word.removeprefix("-Wl,")[1:] for word in argv if word.startswith(("@", "-Wl,@"))]
    while waiting:
        name = waiting.pop()
        path = os.path.join(directory, name)
        if not name or name in seen or not os.path.isfile(path):
            continue
        seen.add(name)
        yield name, path
        from pathlib import Path as PathType

        from stubgen.linkplan.response import read, split_gnu

        waiting += [word[1:] for word in read(PathType(path), split_gnu) if word.startswith("@")]


def copy_response_files(argv: Iterable[str], directory: str, folder: str, stem: str) -> dict[str, str]:
    """Copy the response files of *argv* into *folder*: name after the ``@`` -> file name of the copy."""
    copies = {}
    for number, (name, path) in enumerate(_response_names(argv, directory)):
        import shutil

        copy = f"{stem}.{number}.rsp"
        shutil.copyfile(path, os.path.join(folder, copy))
        copies[name] = copy
    return copies


def output_of(argv: Sequence[str], directory: str = "") -> str:
    """What the last ``-o``, ``--output=X``, ``-Wl,-o,X`` or ``/OUT:X`` says, response files included.

    This runs in front of every link, so it looks at these forms alone. Only where none of them is there, and
    something begins with ``-o``, the linker's options are looked up: ``-oX`` names an output, ``-object_path_lto``
    does not.
    """
    output = ""
    words = list(argv)
    if any(len(word) > 1 and word[0] == "@" for word in words):
        from stubgen.errors import StubgenError
        from stubgen.linkplan.response import expand

        try:
            words = expand(words, directory=directory or None).arguments
        except StubgenError:  # the linker will complain of it better
            return ""
    for position, word in enumerate(words):
        if word in ("-o", "--output"):
            output = words[position + 1] if position + 1 < len(words) else output
        elif word.startswith("--output="):
            output = word[9:]
        elif word[:5].lower() in ("/out:", "-out:"):
            output = word[5:]
        elif word.startswith("-Wl,-o,"):
            output = word[7:].partition(",")[0]
    if not output and any(word.startswith("-o") and word != "-o" for word in words):
        return _joined_output(words)
    return output


def _joined_output(argv: Sequence[str]) -> str:
    """What the last ``-oX`` of *argv* says, by the option tables of the program that it runs."""
    from stubgen.errors import StubgenError
    from stubgen.linkplan.options import Role
    from stubgen.linkplan.tokens import tokenize
    from stubgen.linkplan.toolchain import find_toolchain

    try:
        toolchain = find_toolchain(argv)
    except StubgenError:  # not a program that anything is known of
        return ""
    driver = toolchain.driver_grammar() if toolchain.driver else None
    items = tokenize(argv[toolchain.arguments :], driver, toolchain.linker_grammar()).items
    named = [item.values[-1] for item in items if item.option and item.option.role is Role.OUTPUT and item.values]
    return named[-1] if named else ""


def links(argv: Sequence[str]) -> bool:
    """Say whether the command *argv* links: as a build's CC, the capture executable sees it compile and answer too.

    >>> links(["gcc", "-c", "x.c"]), links(["ld.lld-19", "-S", "-o", "x", "x.o"])
    (False, True)
    """
    name = os.path.basename(argv[0]).removesuffix(".exe").rstrip("0123456789.-")
    if name.endswith(("ld", "collect2", "link")):
        return True
    words = argv[1:]
    return bool(words) and not any(word in NOT_LINKING or word.startswith(("-print-", "--print-")) for word in words)
