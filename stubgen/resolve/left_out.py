"""Names that link-time optimisation left nothing of, where the host has another file's static one under the same name.

What all calls of was inlined is gone from the host, and a static function of that name is what its symbols have. The
objects of the host's link tell, if they are there: a name that one of them defines for all files means that one.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

from stubgen.common.files import read_input
from stubgen.errors import InputError
from stubgen.image import Candidate, Image
from stubgen.image.dwarf_places import function_of_optimised
from stubgen.image.intermediate import IntermediateNames, intermediate_names
from stubgen.resolve.renamed import in_family


class LeftOut:
    """What the host's link had the linker compile.

    Args:
        host: the program.
        linked: the paths of the objects that its link named.
        members: the names of archives' members that the linker compiled, by their titles.
    """

    def __init__(self, host: Image, linked: Sequence[str], members: Mapping[str, IntermediateNames]) -> None:
        self.host = host
        self.linked = linked
        self.members = members

    @cached_property
    def _objects(self) -> list[tuple[str, IntermediateNames]]:
        return [*self._read(), *self.members.items()]

    def _read(self) -> Iterator[tuple[str, IntermediateNames]]:
        for path in self.linked:
            try:
                names = intermediate_names(memoryview(read_input(path)), path)
            except InputError:  # gone, or of no use
                continue
            if names is not None:
                yield path, names

    def why_not(self, name: bytes, candidate: Candidate) -> str:
        """Why a reference to *name* does not mean *candidate*, a static symbol of the host's; empty if it may."""
        homes = [(path, names) for path, names in self._objects if name in names.seen]
        if not homes or not self._is_another(name, candidate, [names.source for _, names in homes]):
            return ""
        path = homes[0][0]
        return (
            f"the host's, at {candidate.address:#x}, may be static in another file; {path} has the one that all files "
            f"see, of which link-time optimisation left nothing then: compile that file again too, for the patch to "
            f"have it"
        )

    def _is_another(self, name: bytes, candidate: Candidate, sources: Sequence[bytes]) -> bool:
        """Whether *candidate* is not what was compiled from one of *sources*, or may not be."""
        if candidate.name != name:  # ThinLTO renames what is static
            return True
        if candidate.file and all(sources):
            return candidate.file not in {posixpath.basename(source) for source in sources}
        said = function_of_optimised(self.host.debug_info, candidate.address)
        if said is not None:
            return not said[1]
        statics = sum(name in names.static for _, names in self._objects)
        renamed = {other for other in self.host.names_with([name + b"."]) if other != name and in_family(other, name)}
        return statics > len(renamed)  # linkers rename the static ones where the other one stays
