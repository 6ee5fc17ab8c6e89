"""What the debug information of objects says of a static function of an image that was linked from them.

Mach-O linkers leave DWARF in the objects, and in the image the name of each (N_OSO); a linker that strips leaves ELF's
there too. An object counts for a function whose code it has, byte by byte but for what linkers fill in: its DWARF
describes the code that the image has then, whoever wrote the object since. Where the image names the time of the
object's last change, that has to be it as well, as for dsymutil and LLDB; deterministic linkers and archives say 0.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence

from stubgen.common.files import open_input
from stubgen.common.row import Row
from stubgen.errors import InputError
from stubgen.image import Candidate, FileType, Image, NamedObject, names_llvm
from stubgen.image.archive import Member, is_archive, members
from stubgen.image.dwarf import DebugInfo, Subprogram
from stubgen.image.opening import arm64_slice, open_image
from stubgen.image.static_code import StaticCode


class Described(Row):
    """A static function of an object, and what its debug information says."""

    code: StaticCode
    said: Subprogram | None


Functions = Mapping[bytes, Sequence[Described]]
"""The static functions of one object, by name."""


def described(image: Image, names: Collection[bytes] | None = None) -> Functions:
    """The static functions of the object *image*: those called *names*, or all.

    Raises:
        MalformedInput: it is broken.
    """
    codes = [code for code in image.static_code() if names is None or code.name in names]
    places: dict[int, Subprogram] = {}
    for unit in image.debug_info.units if codes else ():
        places.update(image.debug_info.subprograms(unit))
    found: dict[bytes, list[Described]] = {}
    for code in codes:
        found.setdefault(code.name, []).append(Described(code, places.get(code.place)))
    return found


def said_by(objects: Iterable[Functions], linked: Image, name: bytes, address: int) -> Subprogram | None:
    """What *objects* say of the static function *name* at virtual *address* of the image *linked*; None for nothing.

    Of several that have its code the one counts that says the worst; one that says nothing leaves nothing told.
    """
    same = [each.said for functions in objects for each in functions.get(name, ()) if _is_at(each, linked, address)]
    said = [each for each in same if each is not None]
    worst = max(said, key=lambda each: (each.no_call, names_llvm(each.producer), not each.in_memory), default=None)
    return worst if worst is not None and (worst.no_call or len(said) == len(same)) else None


def _is_at(function: Described, linked: Image, address: int) -> bool:
    code = function.code
    try:
        return code.is_that_of(bytes(linked.read_at(address, len(code.content), "a function")))
    except InputError:  # it would reach beyond the image
        return False


def said_by_named(linked: Image, candidate: Candidate) -> tuple[Subprogram | None, str]:
    """What the objects say that *linked* names for its function *candidate*; and, of nothing, why, for people."""
    named, known = linked.objects_of(candidate), linked.debug_info.made(_Known)
    if not named:
        return None, f"the host names no object {'for it' if linked.names_objects else 'that it was linked from'}"
    found: list[Functions] = []
    for each in named:
        functions, why = known.read(each)
        if why:
            return None, why
        found.append(functions)
    said = said_by(found, linked, candidate.name, candidate.address)
    if said is not None:
        return said, ""
    own = (each for functions in found for each in functions.get(candidate.name, ()))
    same = any(_is_at(each, linked, candidate.address) for each in own)
    return None, f"{named[0].path} has {'no debug information of it' if same else 'other code than the host'}"


class _Known:
    """The objects that an image names, read once for as long as they stay what they are."""

    def __init__(self, _debug: DebugInfo) -> None:
        self._read: dict[NamedObject, tuple[object, Functions, str]] = {}

    def read(self, named: NamedObject) -> tuple[Functions, str]:
        """The static functions of the object *named*; or why it counts for nothing."""
        file, member = _parts(named.path)
        try:
            status = os.stat(file)
        except OSError:
            return {}, f"{file} is gone"
        state = status.st_ino, status.st_size, status.st_mtime_ns
        known = self._read.get(named)
        if known is None or known[0] != state:
            try:
                known = state, *_functions_in(named, file, member)
            except InputError as error:
                known = state, {}, str(error)
            self._read[named] = known
        return known[1:]


def _parts(path: str) -> tuple[str, str]:
    """The file at *path*, as linkers write it; of an archive's member, the archive and the member's name."""
    archive, bracket, member = path.removesuffix(")").rpartition("(")
    return (archive, member) if bracket and path.endswith(")") and not os.path.isfile(path) else (path, "")


def _functions_in(named: NamedObject, file: str, member: str) -> tuple[Functions, str]:
    """The static functions of the object or member; or why it is not the one that was linked.

    Raises:
        InputError: it is no object, or cannot be read.
    """
    data, status = open_input(file)
    inside = arm64_slice(data, file) if member else data
    found = [Member("", data, int(status.st_mtime))]
    if member:
        found = [each for each in members(inside, file) if each.name == member] if is_archive(inside) else []
    linked = [each for each in found if named.modified in (0, each.modified)]
    if not linked:
        return {}, f"{named.path} has changed since the host was linked" if found else f"{file} lacks {member} by now"
    functions: dict[bytes, list[Described]] = {}
    for each in linked:
        image = open_image(each.content, named.path)
        if image.file_type is not FileType.OBJECT:
            return {}, f"{named.path} is no object any more"
        for name, own in described(image).items():
            functions.setdefault(name, []).extend(own)
    return functions, ""
