"""The borrow phase: what the patch needs and the host lacks, taken from the objects and archives of the host's link.

What the host has as a static symbol alone it may lack as well: for others the name means what another file of the
link has, a shared library's function for instance.

A function that ``--gc-sections`` took away, or a template that nobody instantiated, is still in the archive that the
host was linked with. The linker must not look for it there: it would take the whole member, with a second copy of
what the host has of it. Here each member becomes an object of what the host lacks, and what refers to the rest of it
refers to the host: its state, its counters and the identity of its constants are the host's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from stubgen.borrow.defaults import give_way
from stubgen.borrow.elf import HostSymbols, Member, file_names
from stubgen.borrow.homes import Homes, LinkFiles
from stubgen.common.cancellation import checkpoint
from stubgen.common.text import as_bytes, as_text, counted
from stubgen.errors import SymbolRefusal
from stubgen.host import Host
from stubgen.image import Candidate, Image
from stubgen.image.elf import ElfImage
from stubgen.image.opening import open_image
from stubgen.resolve.needed import Borrowed, Needed, needed_of
from stubgen.resolve.unanswered import Unanswered, is_linkers_own, unanswered

if TYPE_CHECKING:
    from stubgen.borrow.presence import HostSymbols as MachOSymbols
    from stubgen.image.dwarf import Subprogram


def borrow(
    needed: Needed,
    host: Host,
    files: LinkFiles,
    *,
    supplied: Mapping[bytes, str] | None = None,
    names: Unanswered | None = None,
) -> Needed:
    """*needed* with what objects and archives of the host's link have and the host lacks.

    Weak defaults of the patch that the host has a stronger definition for give way first.

    Args:
        needed: what the patch needs.
        host: the running program.
        files: of its link. A shared library among them keeps what it exports to itself.
        supplied: names that shared libraries have, as for the resolve phase.
        names: what :func:`~stubgen.resolve.unanswered.unanswered` said.

    Raises:
        SymbolRefusal: a member cannot be had without a second copy of something of the host's; a line for each
            says which and why.
        InputError: an archive cannot be used.
    """
    supplied = supplied or {}
    homes = Homes(files, [image.name for image in needed.images])
    given = needed
    needed = give_way(needed, host, homes)
    names = names if names is not None and needed is given else unanswered(needed, host, supplied)
    if not names.need_link or not host.image.has_full_symbols:  # stripped: all seems to be lacking
        return needed
    homes.learn((*names.lacking, *names.local))
    needed = _with_left_out(needed, host, homes, names)
    names = names._replace(lacking=tuple(name for name in names.lacking if name not in needed.left_out))
    static, suppliers, doubts = _static_names(host, names.local, homes, supplied)
    statics = _surely_static(needed, host, names, homes)
    told = _told(host, statics if host.image.hides_globals else (*names.local, *names.static), homes)
    needed = needed._replace(suppliers=suppliers, doubts=doubts, statics=statics, told=told)
    if names.local and homes.compiled_at_link:
        needed = needed._replace(compiled_at_link=homes.members_compiled_at_link)
    wanted = [*names.lacking, *static]
    if not wanted:
        return needed
    borrowing = _ElfBorrowing if needed.format == "elf" else _MachOBorrowing
    return borrowing(needed, host, homes, supplied).run(wanted)


def _with_left_out(needed: Needed, host: Host, homes: Homes, names: Unanswered) -> Needed:
    """*needed*, which knows what of *names* link-time optimisation left nothing of, and what has that."""
    left_out = homes.left_out(names.lacking, names.dispensable)
    if not left_out:
        return needed

    own = {name for image in needed.images for name in image.definitions()}

    def lacks(asked: Collection[bytes]) -> list[bytes]:
        needed.previous.learn(asked)
        found = host.find(asked)
        return [name for name in asked if not (name in own or found.get(name) or needed.previous.has(name))]

    further = homes.needed_with(set(left_out.values()), lacks)
    return needed._replace(left_out=left_out, left_out_with=tuple(further))


def _static_names(
    host: Host, names: Iterable[bytes], homes: Homes, supplied: Mapping[bytes, str]
) -> tuple[list[bytes], dict[bytes, str], dict[bytes, str]]:
    """What *names*, which the host has as local symbols, mean for other files.

    Returns:
        The names that an object or archive has, the host's being static ones of other files; name -> the shared
        library that has it; name -> the library that may have it, where nobody can tell.
    """
    taken, suppliers, doubts = [], dict[bytes, str](), dict[bytes, str]()
    symbols = HostSymbols(host) if isinstance(host.image, ElfImage) else None
    for name in names:
        home = homes.find(name)
        if home is not None and home.compiled_at_link:
            continue
        if home is not None and home.member is not None:
            if symbols is None or not _has_it_from(symbols, name, home.member, homes):
                taken.append(name)
            continue
        library = supplied.get(name) or (home.title if home is not None else "")
        if library:
            told = doubts if host.image.hides_globals and not homes.sees_all_objects else suppliers
            told[name] = library
    return taken, suppliers, doubts


def _surely_static(needed: Needed, host: Host, names: Unanswered, homes: Homes) -> frozenset[bytes]:
    """Those of *names* that no object or archive of the host's link defines for other files, if all of them were seen.

    What is from a file that the patch has anew may have been in its old object.
    """
    if not host.image.hides_globals or not homes.sees_all_objects:
        return frozenset()
    files = {name for image in needed.images if isinstance(image, ElfImage) for name in file_names(image)}
    found = host.find(names.local)
    return frozenset(
        name
        for name in names.local
        if homes.find(name) is None
        and not homes.is_in_objects(name)
        and files.isdisjoint(candidate.file for candidate in found.get(name, ()))
    )


def _told(host: Host, names: Collection[bytes], homes: Homes) -> Mapping[int, Subprogram]:
    """Virtual address -> what the link's objects say of the static function there, for *names*.

    Nothing where the host has debug information, which is that of its objects, or names them itself.
    """
    image = host.image
    if not names or not image.compiled_by_llvm or image.has_debug_info or image.names_objects:
        return {}
    from stubgen.borrow.told import told_by_link

    return told_by_link(host, names, homes)


def _has_it_from(symbols: HostSymbols, name: bytes, first: Image, homes: Homes) -> bool:
    """Whether the host's local symbol *name* may be what *first* defines, or a stronger definition in an archive."""
    if isinstance(first, ElfImage) and symbols.may_be_of(name, first):
        return True
    stronger = homes.strongly_in_libraries(name) if name in set(first.weak_definitions()) else ()
    return any(isinstance(image, ElfImage) and symbols.may_be_of(name, image) for image in stronger)


class _Symbols(Protocol):
    """The host's symbols, of either format."""

    def learn(self, names: Collection[bytes]) -> None: ...

    def has(self, name: bytes) -> bool: ...

    def may_be_static(self, name: bytes) -> bool: ...


class _Member(Protocol):
    """A member under a look, of either format."""

    title: str
    image: Any
    wanted: list[bytes]
    stepped_back: dict[bytes, None]
    located: dict[bytes, Candidate]
    refusals: dict[str, None]
    other_build: str
    undefined: dict[bytes, bool]

    def want(self, name: bytes) -> None: ...

    @property
    def kept(self) -> Collection[bytes]: ...

    def content(self, near: Collection[bytes], several: Collection[bytes]) -> bytes: ...


class _Borrowing(ABC):
    """One run of the phase."""

    def __init__(self, needed: Needed, host: Host, homes: Homes, supplied: Mapping[bytes, str]) -> None:
        self.needed = needed
        self.host = host
        self.supplied = supplied
        self.homes = homes
        self.defined = {name for image in needed.images for name in image.definitions()}
        self.members: dict[int, _Member] = {}  # by the identity of its image
        self.suppliers = dict(needed.suppliers)
        self.doubts = dict(needed.doubts)
        self.left_out: dict[bytes, str] = {}

    @property
    @abstractmethod
    def symbols(self) -> _Symbols:
        """The host's."""

    @abstractmethod
    def member(self, image: Image, title: str, name: bytes) -> _Member:
        """The member *image*, taken for *name*."""

    def run(self, lacking: Iterable[bytes]) -> Needed:
        waiting = list(lacking)
        asked: set[bytes] = set()
        while waiting:
            name = waiting.pop(0)
            if name in asked:
                continue
            asked.add(name)
            home = self.homes.find(name)
            if home is not None and home.compiled_at_link:
                self.left_out[name] = home.title
            if home is None or home.member is None or home.member.format != self.needed.format:
                continue
            checkpoint()
            member = self.members.get(id(home.member))
            if member is None:
                member = self.members[id(home.member)] = self.member(home.member, home.title, name)
            member.want(name)
            waiting += self._open_names(member, asked)
        self._refuse()
        joined = self._joined()
        self._refuse()  # what only showed when the objects were written
        return joined

    def _refuse(self) -> None:
        refusals = [line for member in self.members.values() for line in self._lines(member)]
        if refusals:
            lines = [f"{counted(len(refusals), 'reference')} of archive members cannot be the host's", *refusals]
            raise SymbolRefusal("\n  ".join(lines))

    def _lines(self, member: _Member) -> Iterable[str]:
        """Why *member* cannot be had; for one of which another object has a part, that alone."""
        rival = self.homes.find(as_bytes(member.other_build)) if member.other_build else None
        if rival is None or rival.title == member.title:
            return member.refusals
        return [
            f"{member.title}: {member.other_build}: the host has its own, from {rival.title}, so that its linker could "
            f"not take this member either; define what else is needed of it in the patch"
        ]

    def _open_names(self, member: _Member, asked: Collection[bytes]) -> list[bytes]:
        """What *member* refers to that has to come from another one; what a library has of it is noted."""
        meanings = self.needed.meanings
        new = [meanings.get(n, n) for n, weak in member.undefined.items() if not weak and n not in member.located]
        new = [n for n in new if not (n in asked or n in self.defined or is_linkers_own(self.needed.format, n))]
        self.needed.previous.learn(new)
        new = [n for n in new if not self.needed.previous.has(n)]
        self.symbols.learn(new)
        lacking = [n for n in new if n not in self.supplied and not self.symbols.has(n)]
        local = [n for n in new if self.symbols.may_be_static(n)]
        self.homes.learn((*lacking, *local))
        static, suppliers, doubts = _static_names(self.host, local, self.homes, self.supplied)
        self.suppliers |= suppliers
        self.doubts |= doubts
        return [*lacking, *static]

    def _refuse_second_state(self, member: _Member, image: Image) -> None:
        """Refuse *image*, what is taken of *member*, if an earlier patch took some of it and both have its state.

        Raises:
            SymbolRefusal: the message says how to link the earlier patch instead.
        """
        weak = {function.name for function in member.image.functions() if function.weak}
        own = sorted(set(member.image.definitions()) - weak) if self.needed.previous else []
        self.needed.previous.learn(own)
        names = [as_text(name) for name in own if self.needed.previous.has(name)]
        if names and any(variable.writable for variable in image.variables()):
            wanted = ", ".join(map(as_text, member.wanted))
            raise SymbolRefusal(
                f"{wanted}: {member.title} has it, and an earlier patch has {', '.join(names)} of that member: a "
                f"second copy of the member would have state of its own; start anew, with {wanted} needed by the first "
                f"patch that takes of the member, or in the host (-u NAME)"
            )

    def _joined(self) -> Needed:
        if not self.members:
            return self.needed
        images = list(self.needed.images)
        borrowed = []
        located = {}
        kept = Counter(name for member in self.members.values() for name in member.kept)
        near = self.defined | kept.keys()
        several = {name for name, count in kept.items() if count > 1}
        for member in self.members.values():
            images.append(open_image(member.content(near, several), member.title))
            self._refuse_second_state(member, images[-1])
            borrowed.append(
                Borrowed(
                    member.title,
                    member.image.name,
                    tuple(map(as_text, member.wanted)),
                    tuple(as_text(name) for name in sorted(member.stepped_back)),
                )
            )
            located.update(member.located)
        return needed_of(images, self.needed.meanings)._replace(
            previous=self.needed.previous,
            borrowed=tuple(borrowed),
            located=located,
            suppliers=self.suppliers,
            doubts=self.doubts,
            statics=self.needed.statics,
            roots=self.needed.roots,
            gave_way=self.needed.gave_way,
            untold=self.needed.untold,
            compiled_at_link=self.needed.compiled_at_link,
            left_out={**self.needed.left_out, **self.left_out},
            left_out_with=self.needed.left_out_with,
        )


class _ElfBorrowing(_Borrowing):
    """One run over ELF members."""

    @cached_property
    def symbols(self) -> HostSymbols:
        """The host's."""
        return HostSymbols(self.host)

    def member(self, image: Image, title: str, name: bytes) -> _Member:
        assert isinstance(image, ElfImage)  # noqa: S101  # run() looked at the format
        refuse_intermediate(image, title, name)
        return Member(image, title, self.symbols, self.defined)


class _MachOBorrowing(_Borrowing):
    """One run over Mach-O members."""

    @cached_property
    def symbols(self) -> MachOSymbols:
        """The host's."""
        from stubgen.borrow.presence import HostSymbols as MachOSymbols

        return MachOSymbols(self.host)

    def member(self, image: Image, title: str, name: bytes) -> _Member:
        from stubgen.borrow.macho import Member as MachOMember
        from stubgen.image.macho import MachOImage

        assert isinstance(image, MachOImage)  # noqa: S101  # run() looked at the format
        return MachOMember(image, title, self.symbols, self.defined)


def refuse_intermediate(image: ElfImage, title: str, name: bytes) -> None:
    """Refuse a member that the host's linker compiled anew: what is in it is not what is in the host.

    Raises:
        SymbolRefusal: it holds code for link-time optimisation.
    """
    if image.intermediate_code or image.file.section(".llvm.lto") is not None:
        raise SymbolRefusal(
            f"{as_text(name)}: {title} has it, but was compiled with -flto, so that the host has other code of it: "
            f"build the library without -flto"
        )
