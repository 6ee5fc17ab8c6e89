"""Whether an earlier patch that has a variable's file is without the variable, which its edit deleted then.

A later patch that has it again goes on with what the host, or a still earlier patch, has. A static variable that a
patch's code does not use leaves no trace, and neither does a global one where the linker takes away what nobody uses.
The patch's objects tell, if they are there as they were linked, and debug information does.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

from stubgen.image import Image, Variable
from stubgen.symbols.cxx import cxx_name
from stubgen.symbols.rust import is_rust_name


def is_surely_without(patch: Image, objects: Iterable[Image], variable: Variable, of_host: int) -> bool:
    """Whether *patch* had the file of *variable*, one of C's or C++'s, and not the variable.

    Args:
        patch: the earlier patch, whose symbols and slots do not have it.
        objects: what that was linked from, where it is known.
        variable: the later patch's.
        of_host: how many files of the host's are called like that of *variable*.
    """
    if is_rust_name(variable.name):
        return False
    path, base = variable.defined_in.image.debug_info.source_file, posixpath.basename(variable.file)
    own = [each for each in objects if _is_of(each, path, variable.file)]
    if own:
        return not any(variable.name in {other.name for other in each.variables()} for each in own)
    units = {unit.path for unit in patch.debug_info.called(base)}
    if path and units:
        return units == {path} and (variable.local or not _is_described(patch, variable, path))
    return variable.local and of_host == 1


def _is_of(image: Image, path: bytes, file: bytes) -> bool:
    """Whether an object was compiled from the file at *path*, or as far as anything says from one called *file*."""
    theirs = image.debug_info.source_file
    return theirs == path if path and theirs else image.source_file == file


def _is_described(patch: Image, variable: Variable, path: bytes) -> bool:
    """Whether debug information of the linked patch has a variable of that name in the unit of *path*."""
    from stubgen.image.dwarf_places import described_in

    parts = cxx_name(variable.name)
    name = variable.name if parts is None else parts.identifier
    return name in described_in(patch.debug_info, functions=False, path=path)
