"""Weak defaults of the patch's own files that give way to the host's definitions.

``__attribute__((weak))`` makes a default: in the host's link another file's definition of the name won over it, for
the file's own calls, pointers and tables as well. What C++ and Rust emit weakly in each file that uses it (inline
functions, templates) is no default: there the patch's is the newer one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from stubgen.borrow.elf import file_names
from stubgen.borrow.homes import Homes
from stubgen.common.text import as_text, counted
from stubgen.elf import constants as c
from stubgen.errors import SymbolRefusal
from stubgen.host import Host
from stubgen.image import Candidate, Image, Kind
from stubgen.image.elf import ElfImage
from stubgen.image.macho import MachOImage
from stubgen.image.opening import open_image
from stubgen.resolve.needed import Needed, needed_of
from stubgen.resolve.unanswered import weak_defaults

if TYPE_CHECKING:
    from stubgen.elf.editor import ObjectEditor as ElfEditor


def give_way(needed: Needed, host: Host, homes: Homes) -> Needed:
    """*needed* with undefined symbols in place of those weak defaults that the host has a stronger definition for.

    Raises:
        SymbolRefusal: nobody can tell whose definition the host has, or what refers to a default by place.
    """
    names = weak_defaults(needed)
    found = host.find(names) if names else {}
    hidden = {name for name in names if _is_hidden(found.get(name, ()), host.image.format)}
    homes.learn([name for name in names if not _is_strong(found.get(name, ()))])
    judge = _Judge(needed, host, homes)
    meant = {
        name
        for name in names
        if (
            judge.is_the_hosts(name, found[name])
            if name in hidden
            else (_is_strong(found.get(name, ())) and not judge.is_made_global(name))
            or (found.get(name) and judge.is_anothers_default(name))
        )
    }
    for name in sorted(names):
        if not found.get(name) and any(_is_used(image, name) for image in needed.images):
            judge.refuse_left_out(name)
    if judge.refusals:
        lines = [f"{counted(len(judge.refusals), 'weak default')} of the patch may be the host's or not"]
        raise SymbolRefusal("\n  ".join([*lines, *judge.refusals]))
    images = [_without(image, meant.intersection(image.weak_definitions())) for image in needed.images]
    later, untold = _linked_later(needed, host, frozenset(names) - meant, homes)
    images = [_without(image, later.get(number, ())) for number, image in enumerate(images)]
    if not meant and not later:
        return needed._replace(untold=untold) if untold else needed
    return needed_of(images, needed.meanings)._replace(
        roots=needed.roots, previous=needed.previous, gave_way=frozenset(meant), untold=untold
    )


def _linked_later(
    needed: Needed, host: Host, names: frozenset[bytes], homes: Homes
) -> tuple[dict[int, set[bytes]], dict[bytes, list[int]]]:
    """The place of an object of the patch -> its defaults that another one's come before in the host's link.

    Of several, linkers take the first; the patch's objects may stand in another order, as those of earlier patches do.

    Returns:
        That, and the name of each default of which nothing says whose is first -> the places of its objects; none
        where the host's link is not known, so that the patch is linked by whoever knows.
    """
    owners: dict[bytes, list[int]] = {}
    for number, image in enumerate(needed.images):
        for name in names & set(image.weak_definitions()):
            owners.setdefault(name, []).append(number)
    several = {name: numbers for name, numbers in owners.items() if len(numbers) > 1}
    found = host.find(several) if several else {}
    later: dict[int, set[bytes]] = {}
    untold: dict[bytes, list[int]] = {}
    for name, numbers in several.items():
        first = homes.first_of([needed.images[number].name for number in numbers])
        if first is None:
            first = _first_by_source([needed.images[number] for number in numbers], host, found.get(name, ()))
        if first is None and homes.knows_link:
            untold[name] = numbers
        for number in numbers if first is not None else ():
            if number != numbers[first or 0]:
                later.setdefault(number, set()).add(name)
    return later, untold


def _first_by_source(images: Sequence[Image], host: Host, pool: Iterable[Candidate]) -> int | None:
    """Which of *images* is of the source file that the host's definition is from, by debug information of both."""
    told = [candidate for candidate in pool if candidate.kind is not Kind.IMPORT]
    sources = [image.debug_info.source_file for image in images] if told else []
    if not sources or not all(sources) or len(set(sources)) < len(sources):
        return None
    of = [any(host.image.is_of_source(each, source) for each in told) for source in sources]
    return of.index(True) if sum(of) == 1 else None


def _is_used(image: Image, name: bytes) -> bool:
    """Whether an object may refer to the weak default *name*: to the section that has it, unwind tables apart.

    Where it does not define it, to anything that it does not define. Mach-O objects have all functions in one section.
    """
    symbols = image.file.symbols if isinstance(image, ElfImage) else None
    if symbols is None or not isinstance(image, ElfImage):
        return True
    homes = {symbols.st_shndx[index] for index, each in enumerate(symbols.names()) if each == name}
    for number, tables in image.file.relocated.items():
        section = image.file.sections[number]
        if section.header.sh_flags & c.SHF_ALLOC and section.name != ".eh_frame":
            for table in tables:
                if any(symbols.entry(index).st_shndx in homes for index in set(table.symbol)):
                    return True
    return False


def _is_hidden(pool: Iterable[Candidate], format_: str) -> bool:
    """Whether the host has symbols of a name, and none that says whether another definition would win over it.

    A link takes that away from what it makes local, or in Mach-O private.
    """
    found = [candidate for candidate in pool if candidate.kind is not Kind.IMPORT]
    private = format_ == "macho"
    return bool(found) and all(candidate.local or (private and not candidate.exported) for candidate in found)


def _is_strong(pool: Iterable[Candidate]) -> bool:
    return any(not candidate.local and not candidate.weak and candidate.kind is not Kind.IMPORT for candidate in pool)


class _Judge:
    """Whose definition the host's local symbol is that has the name of a weak default."""

    def __init__(self, needed: Needed, host: Host, homes: Homes) -> None:
        self.host = host
        self.homes = homes
        self.images = needed.images
        self.files = {name for image in needed.images if isinstance(image, ElfImage) for name in file_names(image)}
        self.refusals: list[str] = []

    def is_the_hosts(self, name: bytes, pool: Collection[Candidate]) -> bool:
        """Whether another file's definition won over the default in the host's link."""
        hidden = all(candidate.hidden or not candidate.local for candidate in pool)
        made_local = hidden or self.host.image.hides_globals or self.homes.compiled_at_link
        if self.homes.is_strongly_in_objects(name) or not made_local:  # not: a static one of another file
            return self.homes.is_strongly_in_objects(name)
        home = self.homes.find(name)
        default = home is None or home.member is None or name in set(home.member.weak_definitions())
        files = {candidate.file for candidate in pool}
        came_along = home is not None and self._came_along(name, files)
        if came_along or self.is_anothers_default(name):
            return True
        if self._may_have_come_along(name) or (default and self.homes.sees_all_objects):
            return False
        if b"" not in files:
            if files <= self.files:
                return False
            if hidden or (home is not None and self._is_from(home.member, files)):
                return True
        self.refusals.append(
            f"{as_text(name)}: it is weak in the patch, and the host has a local symbol of that name: its linker took "
            f"away whether that is another file's definition, which the host's calls reach, or the same default; link "
            f"the host with -rdynamic, or name the objects that it was linked from with --archive"
        )
        return False

    def is_made_global(self, name: bytes) -> bool:
        """Whether the host's strong *name* is the default, which GCC's link-time optimisation makes global."""
        if self.homes.is_strongly_in_objects(name) or not (
            self.host.image.optimised_by_gcc or self.homes.compiled_at_link
        ):
            return False
        if any(self.homes.strongly_in_libraries(name)) or self._may_have_come_along(name):
            return False
        if not self.homes.sees_all_objects:
            self.refusals.append(
                f"{as_text(name)}: it is weak in the patch, and global in the host, which GCC optimised at link: that "
                f"makes a default global as well, and nothing says whether this one is; give --captured the host's "
                f"link, with its objects still there"
            )
        return True

    def refuse_left_out(self, name: bytes) -> None:
        """Refuse a default of which the host has nothing, if its link had a definition that wins over it."""
        if self.homes.is_strongly_in_objects(name) or self.is_anothers_default(name):
            home = self.homes.find(name)
            self.refusals.append(
                f"{as_text(name)}: it is weak in the patch, {home.title if home else 'another file'} of the host's "
                f"link has the definition that counts, and the host was linked without it, because nothing used it "
                f"(--gc-sections, -dead_strip, -flto); give the patch that object as well"
            )

    def is_anothers_default(self, name: bytes) -> bool:
        """Whether the link had another file's default first, which linkers then take for all."""
        own = [image.name for image in self.images if name in set(image.weak_definitions())]
        first = self.homes.first_default(name, own)
        if self.homes.is_default_of_uncompiled(name, own):
            return True
        return isinstance(first, ElfImage) and not self._is_from(first, self.files)

    def _came_along(self, name: bytes, files: Collection[bytes]) -> bool:
        """Whether the host's *name*, of one of the source *files*, is an archive member's that defines it strongly.

        Where no file is told, as by GNU ld, the host has the member if it has something else that the member defines.
        """
        for image in self.homes.strongly_in_libraries(name):
            if self._is_from(image, self.files):
                continue  # an old self of the patch's
            others = set(image.definitions()) - set(image.weak_definitions()) - {name}
            if self._is_from(image, files) if b"" not in files else any(self.host.find(others).values()):
                return True
        return False

    def _may_have_come_along(self, name: bytes) -> bool:
        """Whether an archive's member that the linker compiled wins over the default if the host has it: a refusal."""
        if not self.homes.compiled_at_link:
            return False
        members = self.homes.members_compiled_at_link.items()
        title = next((title for title, names in members if name in names.seen - names.weak), "")
        if title:
            self.refusals.append(
                f"{as_text(name)}: it is weak in the patch, and {title} has the definition that counts if the host was "
                f"linked with it: link-time optimisation left nothing that says so; link that object by its own name"
            )
        return bool(title)

    @staticmethod
    def _is_from(member: Image | None, files: Collection[bytes]) -> bool:
        return isinstance(member, ElfImage) and not file_names(member).isdisjoint(files)


def _without(image: Image, names: Collection[bytes]) -> Image:
    """*image* with undefined symbols called *names* in place of its definitions; the code stays, without its name.

    Raises:
        SymbolRefusal: something in it reaches a default by place, and would go on reaching it.
    """
    if not names:
        return image
    if isinstance(image, ElfImage):
        from stubgen.elf.editor import ObjectEditor as ElfEditor

        elf = ElfEditor(image.file)
        given_up = [index for index in range(1, len(elf.symbols)) if elf.symbols.name(index) in names]
        _refuse_by_place(elf, given_up)
        for index in given_up:
            elf.undefine(index)
        return open_image(elf.finish(), image.name)
    assert isinstance(image, MachOImage)  # noqa: S101  # there are two formats
    from stubgen.macho.editor import ObjectEditor as MachOEditor

    macho = MachOEditor(image.file)
    for index in range(len(macho.symbols)):
        if macho.symbols.name(index) in names:
            macho.undefine(index)
    return open_image(macho.finish(), image.name)


def _refuse_by_place(editor: ElfEditor, given_up: Collection[int]) -> None:
    """Refuse a reference by section and offset to where one of the symbols *given_up* begins.

    Assemblers name weak symbols in relocations, since another definition may win; section anchors and code that is
    written by hand may not.
    """
    symbols = editor.symbols
    begins = {(symbols.st_shndx[index], symbols.st_value[index]): index for index in given_up}
    for table in editor.tables:
        if not table.target.header.sh_flags & c.SHF_ALLOC or table.target.name == ".eh_frame":
            continue
        for number, symbol in enumerate(table.symbol):
            place = (symbols.st_shndx[symbol], symbols.st_value[symbol] + table.r_addend[number])
            if place in begins and symbols.st_info[symbol] & 0xF in (c.STT_SECTION, c.STT_NOTYPE):
                name = as_text(symbols.name(begins[place]))
                raise SymbolRefusal(
                    f"{name}: it is a weak default of the patch, the host has another definition, and "
                    f"{editor.name}: {table.target.name}+{table.r_offset[number]:#x} reaches the default by its "
                    f"place; compile with -fno-section-anchors"
                )
