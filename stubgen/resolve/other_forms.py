"""Variables that the host has in another form than the patch: constant, thread-local or with another linkage.

Neither can go on as the other. Each is named, so that nobody loses without a word what the process has.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from stubgen.common.text import as_text
from stubgen.image import Candidate, Image, Kind, Variable
from stubgen.image.dwarf_places import unplaced_in
from stubgen.resolve.candidates import counterparts_of
from stubgen.resolve.same_file import Files
from stubgen.symbols.cxx import other_linkages
from stubgen.symbols.rust import is_rust_name

CONSTANT = "it is constant here, and the host's is a variable: what the process has in that is lost"
THREAD_LOCAL = {
    True: "it is thread-local here, and the host's is not: what the process has in that is lost",
    False: "the host's is thread-local, and this one is not: what each thread has in that is lost",
}
"""Whether the patch's is thread-local -> what that means."""
_VARIABLES = (Kind.DATA, Kind.THREAD_LOCAL)
FOLDED = (
    "no code of its file writes it any more, and the compiler put its first value into the code: what the process has "
    "in it is lost"
)


def is_of_file(host: Image, variable: Variable, candidate: Candidate) -> bool:
    """Whether nothing says that the host's *candidate* is another file's own than the patch's *variable*."""
    if not candidate.local or candidate.hidden or is_rust_name(variable.name):
        return True
    file = variable.file or variable.defined_in.image.source_file
    return host.in_its_file(candidate).file in (file, b"")


def reason_now_constant(host: Image, variable: Variable, candidates: Sequence[Candidate]) -> str:
    """Why the patch's constant loses what the host has, a variable; empty where that has none, or another file's.

    Args:
        host: the program, or an earlier patch.
        variable: the patch's constant.
        candidates: what the host has of its name and kind.
    """
    meant = counterparts_of(variable, candidates)
    lost = any(each.writable and is_of_file(host, variable, each) for each in meant)
    return CONSTANT if lost and not variable.writable else ""


def reason_of_another_kind(host: Image, variable: Variable, candidates: Sequence[Candidate]) -> str:
    """Likewise where one of the two is thread-local; *candidates* are all that the host has of the name."""
    kind = Kind.DATA if variable.thread_local else Kind.THREAD_LOCAL
    pool = [each for each in candidates if each.name == variable.name and each.kind is kind and each.writable]
    lost = any(is_of_file(host, variable, each) for each in (counterparts_of(variable, pool) if pool else ()))
    return THREAD_LOCAL[variable.thread_local] if lost else ""


def reasons_of_another_linkage(
    files: Files, new: Sequence[Variable], known: Collection[bytes]
) -> Iterator[tuple[Variable, str]]:
    """Those of *new* that the host has under the name of another linkage, and why they start afresh.

    In C++ ``static int count`` is ``_ZL5count`` and ``int count`` is ``count``.

    Args:
        files: the host's.
        new: variables and constants of the patch that the host has not under their names.
        known: the names that the patch's objects define or use.
    """
    taken = frozenset(known)
    spelled = {each.name: _other_names(each.name, each.defined_in.prefix) - taken for each in new}
    found = _find(files.host, {name for others in spelled.values() for name in others})
    for variable in new:
        pool = [each for name in spelled[variable.name] for each in found.get(name, ())]
        there = [each.name for each in pool if is_the_same(files, variable.defined_in.image, each)]
        if there:
            reason = f"its linkage is another one than in the host, which calls it {as_text(min(there))}"
            yield variable, reason if variable.writable else f"{reason}; {CONSTANT}"


def names_folded(files: Files, known: Collection[bytes]) -> Iterator[bytes]:
    """The variables of the host's that have become constants of the patch's code, as the host calls them.

    Debug information of an object goes on naming a variable that nobody writes any more and whose value is in the code.

    Args:
        files: the host's.
        known: the names that the patch's objects define or use.
    """
    for image in files.patch:
        prefix = b"_" if image.format == "macho" else b""
        unplaced = {prefix + name for name in unplaced_in(image.debug_info)}
        spelled = {name: {name, *_other_names(name, prefix)} for name in unplaced}
        gone = {each for names in spelled.values() if names.isdisjoint(known) for each in names}
        for name, pool in _find(files.host, gone).items():
            if any(is_the_same(files, image, each, surely=True) for each in pool):
                yield name


def _other_names(name: bytes, prefix: bytes) -> set[bytes]:
    return {prefix + each for each in other_linkages(name.removeprefix(prefix))}


def _find(host: Image, names: Collection[bytes]) -> dict[bytes, list[Candidate]]:
    """Those of *names* that the host has variables of, and these."""
    found = host.find(names) if names else {}
    variables = {
        name: [each for each in pool if each.name == name and each.kind in _VARIABLES and each.writable]
        for name, pool in found.items()
    }
    return {name: pool for name, pool in variables.items() if pool}


def is_the_same(files: Files, image: Image, candidate: Candidate, *, surely: bool = False) -> bool:
    """Whether a variable of the host's is from the file of *image*, an object of the patch.

    Args:
        files: the host's.
        image: the object.
        candidate: the variable.
        surely: that nothing speaks against it is not enough.
    """
    if candidate.local and not candidate.hidden:
        placed = files.host.in_its_file(candidate)
        return (
            not files.why_not(image, image.source_file, placed) if surely else placed.file in (image.source_file, b"")
        )
    said = files.host.is_of_source(candidate, image.debug_info.source_file)
    return not surely if said is None else said
