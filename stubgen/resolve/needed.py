"""The needed phase: what the patch's objects refer to and none of them defines."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from stubgen.common.files import RealPaths
from stubgen.common.row import Row
from stubgen.errors import InputError, UnsupportedInput, UsageError
from stubgen.image import Candidate, Image, References, Variable, weak_alone
from stubgen.resolve.objects import Opened, open_objects
from stubgen.resolve.previous import NO_PATCHES, Previous
from stubgen.symbols.wrapped import wrapped_meanings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from stubgen.image.dwarf import Subprogram
    from stubgen.image.intermediate import IntermediateNames
    from stubgen.macho.reader import BuildVersion


class Borrowed(Row):
    """A member of an archive of the host's link that became an object of the patch, less what the host has of it."""

    name: str  # libfoo.a(foo.o)
    path: str  # the same with the archive's path
    wanted: tuple[str, ...]  # the names for which it was taken
    stepped_back: tuple[str, ...]  # names that it defines and that are the host's nevertheless


class Needed(Row):
    """The names that something outside the patch must supply."""

    format: str  # "elf" or "macho"
    references: References
    """Each once, in order of first use; weak only where every use is."""
    first_users: dict[bytes, int]
    """Spelling -> index into ``images`` of the first object that uses it."""
    images: tuple[Image, ...]
    """The objects that were read; an archive's member is called ``archive(member)``."""
    features: int
    """ELF: GNU_PROPERTY_AARCH64_FEATURE_1_* bits that any object carries."""
    platforms: tuple[BuildVersion, ...]
    """Mach-O: the objects' distinct platforms and minimum OS versions."""
    variables: tuple[Variable, ...]
    """The variables that the objects define themselves."""
    borrowed: tuple[Borrowed, ...] = ()
    """The last of ``images``, if they are from archives of the host's link."""
    located: Mapping[bytes, Candidate] = {}
    """Spelling -> where in the host it is, for references of borrowed members that no name of the host's answers."""
    suppliers: Mapping[bytes, str] = {}
    """Name -> the shared library of the host's link that has it, where the host's own is a static one."""
    doubts: Mapping[bytes, str] = {}
    """Name -> the shared library that has it, where nobody can tell whether the host's own is a static one."""
    statics: frozenset[bytes] = frozenset()
    """Names that the host has as static symbols for sure: no other file of its link has them."""
    told: Mapping[int, Subprogram] = {}
    """Virtual address of a static function of the host -> what the objects of its link say of its arguments."""
    roots: frozenset[bytes] = frozenset()
    """Names that count as referred to: what the patch must export."""
    previous: Previous = NO_PATCHES
    """The earlier patches of the process, which answer references before the host does."""
    gave_way: frozenset[bytes] = frozenset()
    """Weak defaults of the patch's own files that are the host's: undefined in ``images``."""
    compiled_at_link: Mapping[str, IntermediateNames] = {}
    """Members of the link's archives that the linker compiled, where a name may be one of theirs: by their titles."""
    left_out: Mapping[bytes, str] = {}
    """Name of which link-time optimisation left the host nothing -> the object or member that defines it."""
    left_out_with: tuple[str, ...] = ()
    """What defines what those refer to in their turn, and the host lacks."""
    untold: Mapping[bytes, Sequence[int]] = {}
    """Weak default of several files of the patch -> indexes into ``images``, where nothing says whose counts."""
    meanings: Mapping[bytes, bytes] = {}
    """Spelling in an object -> the one that the linker looks for instead, and that counts everywhere here."""
    further_users: Mapping[bytes, Sequence[int]] = {}
    """Spelling -> likewise the other objects that use it, of what several do."""

    def users(self, spelling: bytes) -> Sequence[int]:
        """Indexes into ``images`` of the objects that use it, ascending."""
        first = self.first_users.get(spelling)
        return () if first is None else (first, *self.further_users.get(spelling, ()))

    def is_used_by_borrowed(self, spelling: bytes) -> bool:
        """Whether a borrowed member refers to it, which may reach it without the GOT, as if it were near."""
        first = len(self.images) - len(self.borrowed)
        return any(number >= first for number in self.users(spelling))

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of ``images``."""
        return tuple(image.name for image in self.images)


def read_needed(
    paths: Sequence[str | os.PathLike[str]],
    *,
    whole_archive: bool = False,
    roots: Collection[bytes] = (),
    wrapped: Collection[bytes] = (),
    opener: Callable[[str | os.PathLike[str]], Opened] | None = None,
) -> Needed:
    """What the objects and archives at *paths* need, all taken as one set.

    Archives are searched as lld does: a member counts once something refers to a name that it defines, in
    whichever order the files are given. An ``.rlib``'s metadata and other members that are not objects are
    skipped.

    Args:
        paths: relocatable objects and archives.
        whole_archive: every member counts.
        roots: names that count as referred to: what the patch must export.
        wrapped: operands of the linker's ``--wrap``.
        opener: reads one file; by default :func:`open_objects`.

    Raises:
        UsageError: there is no object, or nothing refers to any member of the archives.
        InputError: a file is not a relocatable ARM64 object or archive, or the formats are mixed.
    """
    if not paths:
        raise UsageError("no patch object was given")
    taken: list[Image] = []
    waiting: list[Image] = []
    seen: set[str] = set()
    real_paths = RealPaths()
    for path in paths:
        opened = (opener or open_objects)(path)
        file = real_paths.of(path)
        if file in seen and not opened.optional:
            raise UsageError(f"{os.fspath(path)}: is given twice, and what it defines would be there twice")
        seen.add(file)
        (waiting if opened.optional and not whole_archive else taken).extend(opened.images)
    meanings = wrapped_meanings(wrapped)
    _search(taken, waiting, roots, meanings)
    for image in taken:
        if image.intermediate_code:
            raise UnsupportedInput(
                f"{image.name}: holds GCC's intermediate code (an LTO object), which the linker would compile anew "
                f"instead of linking what is here: recompile it without -flto"
            )
    if not taken and waiting:
        raise UsageError(
            f"{os.fspath(paths[0])}: nothing refers to any member; name what the patch exports, or take every "
            f"member with --whole-archive"
        )
    if not taken:
        files = ", ".join([os.fspath(path) for path in paths])
        raise InputError(f"{files}: hold no object: give the patch's own objects, or the archive that has them")
    return needed_of(taken, meanings)._replace(roots=frozenset(roots))


def _references(image: Image, meanings: Mapping[bytes, bytes]) -> References:
    """What *image* refers to, as the linker reads it."""
    found = image.references()
    if not meanings:
        return found
    spellings = [meanings.get(spelling, spelling) for spelling in found.spellings]
    weak = [spelling in found.weak for spelling in found.spellings]
    defined = meanings.keys() & image.definitions()  # lld 19 takes an object's uses of what it defines there as well
    wrapped = [meanings[name] for name in sorted(defined) if meanings[name] == b"__wrap_" + name]
    spellings += wrapped
    return References(spellings, weak_alone(spellings, [*weak, *(True for _ in wrapped)]), found.otherwise)


def _search(
    taken: list[Image], waiting: list[Image], roots: Collection[bytes], meanings: Mapping[bytes, bytes]
) -> None:
    """Move from *waiting* to *taken* the members that something taken refers to, until none is left to move."""
    if not waiting:
        return
    homes: dict[bytes, Image] = {}
    for image in waiting:
        for name in image.definitions():
            homes.setdefault(name, image)
    defined = {name for image in taken for name in image.definitions()}
    wanted = [*roots, *(r.name for image in taken for r in _references(image, meanings) if not r.weak)]
    chosen: set[int] = set()
    while wanted:
        name = wanted.pop()
        member = homes.get(name)
        if name in defined or member is None or id(member) in chosen:
            continue
        chosen.add(id(member))
        defined.update(member.definitions())
        wanted += [reference.name for reference in _references(member, meanings) if not reference.weak]
    taken += [image for image in waiting if id(image) in chosen]


def needed_of(images: Iterable[Image], meanings: Mapping[bytes, bytes] | None = None) -> Needed:
    """What already opened objects need; *meanings* as in :class:`Needed`."""
    meanings = meanings or {}
    first: dict[bytes, int] = {}
    further: dict[bytes, list[int]] = {}
    weak: set[bytes] = set()
    otherwise: dict[bytes, tuple[bytes, str]] = {}
    defined: set[bytes] = set()
    held: list[Image] = []
    formats: dict[str, str] = {}
    platforms: dict[BuildVersion, None] = {}
    features = 0
    for number, image in enumerate(images):
        held.append(image)
        formats.setdefault(image.format, image.name)
        features |= image.features
        if image.build_version is not None:
            platforms[image.build_version] = None
        defined.update(image.definitions())
        references = _references(image, meanings)
        used = dict.fromkeys(references.spellings, number)
        again = first.keys() & used.keys()
        weak.difference_update(again - references.weak)
        weak.update(references.weak - again)
        otherwise.update(references.otherwise)
        for spelling in again:
            further.setdefault(spelling, []).append(number)
            del used[spelling]
        first.update(used)
    if not held:
        raise InputError("the archives hold no object")
    for image in held:
        image.companions = held
    if len(formats) > 1:
        elf, macho = formats["elf"], formats["macho"]
        raise InputError(f"{macho}: is a Mach-O object, but {elf} is an ELF object: they cannot be linked together")
    spellings = list(first)
    if otherwise or not defined.isdisjoint(first):
        spellings = [each for each in first if otherwise.get(each, (each,))[0] not in defined]
    return Needed(
        format=next(iter(formats)),
        references=References(spellings, frozenset(weak), otherwise),
        first_users=first,
        images=tuple(held),
        features=features,
        platforms=tuple(platforms),
        variables=tuple(variable for image in held for variable in image.variables()),
        meanings=meanings,
        further_users=further,
    )
