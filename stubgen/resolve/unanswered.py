"""Which needed names the host's own symbols do not answer for sure.

A name that the host lacks may be in a file of its link that the linker left out. One that it has as a static symbol
alone means something else for other files: what a shared library, an archive or another object of the link has.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from stubgen.common.row import Row
from stubgen.host import Host
from stubgen.image import Candidate, Image
from stubgen.resolve.candidates import meaning
from stubgen.resolve.linker_names import is_images_own, is_place
from stubgen.resolve.needed import Needed
from stubgen.resolve.previous import Earlier, Previous

MANGLED = {"elf": (b"_Z", b"_R"), "macho": (b"__Z", b"__R")}
"""How the names begin in which C++ and Rust say whose they are; a static one is called otherwise (``_ZL``)."""


class Unanswered(Row):
    """The names that have to be looked for in the other files of the host's link."""

    lacking: tuple[bytes, ...]
    """The host has nothing of that name."""
    local: tuple[bytes, ...]
    """It has local symbols alone, which may be static ones of other files."""
    dispensable: tuple[bytes, ...] = ()
    """It has nothing of that name, but a shared library has, or the reference is weak."""
    static: tuple[bytes, ...] = ()
    """It has local symbols alone, of LLVM's, and static by their names: objects may say what arguments they take."""

    @property
    def need_link(self) -> bool:
        """Whether the other files have anything to say."""
        return any(self)


def unanswered(needed: Needed, host: Host, supplied: Collection[bytes] = ()) -> Unanswered:
    """The names of that kind that no earlier patch has.

    *supplied* are names that shared libraries have, as for the resolve phase.
    """
    found = host.find({*needed.references.names, *(variable.name for variable in needed.variables)})
    needed.previous.learn(set(needed.references.names))
    lacking, local, others, static = list[bytes](), list[bytes](), list[bytes](), list[bytes]()
    image = host.image
    may_say = image.compiled_by_llvm and not (image.hides_globals or image.has_debug_info or image.names_objects)
    for reference in needed.references:
        name = reference.name
        if not is_linkers_own(needed.format, name) and not needed.previous.has(name):
            pool = meaning(reference, found.get(name, ())).candidates
            if not pool:
                (others if reference.weak or name in supplied else lacking).append(name)
            elif may_be_static(pool) and (name in supplied or not name.startswith(MANGLED[needed.format])):
                local.append(name)
            elif may_say and may_be_static(pool):
                static.append(name)
    return Unanswered(tuple(lacking), tuple(local), tuple(others), tuple(static))


def weak_defaults(needed: Needed) -> frozenset[bytes]:
    """The names that the patch's own objects define as defaults alone, which give way to another file's definition."""
    weak = [frozenset(image.weak_definitions()) for image in needed.images]
    names = frozenset[bytes]().union(*weak)
    if not names:
        return names
    strong = (set(image.definitions()) - own for image, own in zip(needed.images, weak, strict=True))
    return names.difference(*strong)


def may_be_static(pool: Sequence[Candidate]) -> bool:
    """Whether there are symbols in *pool*, and none that other files of the host see."""
    return bool(pool) and all(candidate.local and not candidate.hidden for candidate in pool)


def is_static_c_name(name: bytes, pool: Sequence[Candidate], host: Image) -> bool:
    """Whether *pool* are static symbols of *host* and *name* does not say which."""
    return may_be_static(pool) and not name.startswith(MANGLED[host.format]) and not host.hides_globals


def earlier_answer(previous: Previous, name: bytes, pool: Sequence[Candidate], host: Image) -> Earlier | None:
    """What a reference to *name* means of earlier patches; None where it means what *host* has, which is *pool*."""
    return previous.answer(name, () if is_static_c_name(name, pool, host) else pool, host)


def is_linkers_own(format_: str, name: bytes) -> bool:
    """Whether linkers define *name*, unless somebody else does."""
    return is_images_own(format_, name) or is_place(format_, name)
