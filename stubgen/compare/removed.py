"""What an edit took away: functions that the host has of a source file, and that the file's new object has not.

Debug information on both sides says which file. What compilers make beside what people wrote, and what they may have
inlined without a trace, is not told of.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence

from stubgen.common.row import Row
from stubgen.image import Candidate, Image, Kind
from stubgen.image.inlined import InlinedCopies
from stubgen.symbols.cxx import is_external_cxx_name, relinked_function
from stubgen.symbols.numbering import function_numbering
from stubgen.symbols.rust import is_rust_name
from stubgen.symbols.versions import base_name

MADE_BY_COMPILERS = (b"GLOBAL__", b"static_initialization", b"Z41__static", b"OUTLINED_FUNCTION", b"cxx_global")
"""How the names of functions begin that nobody wrote, behind their underscores."""


class Removed(Row):
    """A function that is gone."""

    name: bytes
    object: str  # the new object of its file
    address: int  # static, in the host


def find_removed(objects: Sequence[tuple[str, Image]], host: Image) -> list[Removed]:
    """The functions of the host's that the source files of *objects* no longer have, as far as anybody can tell.

    Args:
        objects: name and image of each object of the patch, as the compiler wrote it.
        host: the program.

    Raises:
        MalformedInput: an object or the host is broken.
    """
    paths = [image.debug_info.source_file if image.debug_section("debug_info") else b"" for _, image in objects]
    known: set[bytes] | None = None
    found = []
    for (title, image), path in zip(objects, paths, strict=True):
        if not posixpath.isabs(path) or paths.count(path) > 1:
            continue
        candidates = [each for each in host.functions_of(path) if _was_written(each)]
        if known is None and candidates:
            names = {base_name(name) for _, other in objects for name in _names_in(other)}
            known = names.union(*map(relinked_function, names))
        gone = [each for each in candidates if known is not None and base_name(each.name) not in known]
        if gone:
            told = _Told(image)
            found += [Removed(each.name, title, each.address) for each in gone if told.lacks(each)]
    return found


def _was_written(candidate: Candidate) -> bool:
    """Whether a function of the host's surely stands in the file whose unit it is in: no copy of a header's."""
    name = candidate.name
    if candidate.kind is not Kind.FUNCTION or name.lstrip(b"_").startswith(MADE_BY_COMPILERS):
        return False
    if b"." in name or is_rust_name(name) or function_numbering(name):
        return False  # a part, a clone, an instance of something generic, or numbered anew in each build
    # an inline function's or a template's, which some linkers make local
    return not ((candidate.weak or candidate.local) and is_external_cxx_name(name))


def _names_in(image: Image) -> Iterator[bytes]:
    """What an object defines or uses."""
    yield from (function.name for function in image.functions())
    yield from image.definitions()
    yield from image.references().names


class _Told:
    """What the debug information of one object says of functions that it has no symbol of."""

    def __init__(self, image: Image) -> None:
        self._prefix = b"_" if image.format == "macho" else b""
        self._all = not image.may_be_by_llvm or image.debug_info.is_unoptimised
        copies = InlinedCopies(image.debug_section, image.debug_info.units)
        named = list(copies.named())
        self._linkages = {linkage for linkage, _ in named if linkage}
        self._plain = {name for linkage, name in named if not linkage and name}

    def lacks(self, candidate: Candidate) -> bool:
        """Whether the object surely has nothing of that function, inlined or not.

        LLVM leaves nothing of a static function that it inlined and of which no instruction is left.
        """
        name = candidate.name.removeprefix(self._prefix)
        if candidate.local and not candidate.hidden and not self._all:
            return False
        if name in self._linkages or name in self._plain:
            return False
        return not (name.startswith(b"_Z") and any(plain in name for plain in self._plain))
