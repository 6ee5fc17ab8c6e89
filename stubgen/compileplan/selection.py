"""Which compiles a patch needs again: those of the host that read what changed, and crates that use those."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from functools import cache

from stubgen.compileplan.host_link import HostLink, content_digest, follow_moves, units_of_host
from stubgen.compileplan.members import EarlierPatches, TakenMembers
from stubgen.compileplan.notes import edited_elsewhere, left_behind, not_of_host, not_taken, unrecorded_note
from stubgen.compileplan.units import Unit
from stubgen.errors import UsageError
from stubgen.host import Host


class Selection:
    """Chooses among a build's units.

    Args:
        units: all that was compiled.
        link: the host's link; None: every unit may be the host's.
        host: opens the host, which tells what its link took from archives; None: all of them.
        earlier: tells the patches that the process has: what they have may have been edited and put back since.
        also: objects, by their files' names, that are taken although the process has nothing of them.
    """

    left_out: list[Unit]
    """Units that read what changed, of members of archives that are no part of the host."""
    notes: list[str]
    """What a person should know of the choice, in sentences."""

    def __init__(
        self,
        units: Sequence[Unit],
        link: HostLink | None,
        host: Callable[[], Host] | None = None,
        earlier: Callable[[], EarlierPatches] = EarlierPatches,
        also: Collection[str] = (),
    ) -> None:
        earlier = cache(earlier)
        self._units = units
        self._also = also
        self._link = link
        self._taken = TakenMembers(link, host, earlier)
        self.left_out = []
        self.notes = []
        if link is not None:
            follow_moves(units, link)
        self._host = list(units) if link is None else units_of_host(units, link)
        if link is not None:
            for unit in units:  # what a build that failed compiled again, the host does not have
                unit.built = min(unit.built, link.time)
        self._patched = self._mark_patched(earlier())

    def _mark_patched(self, earlier: EarlierPatches) -> list[Unit]:
        """The host's units that the patches have for sure; those that they may have are marked."""
        known = earlier.units or ()
        found = [unit for unit in self._host if unit.title in known or unit.output in known]
        sure = earlier.units is not None and {*known} <= {text for unit in found for text in (unit.title, unit.output)}
        for unit in found if sure else self._units:
            unit.may_be_patched = True
        return found

    def changed(self, files: Sequence[str], crates: Sequence[str] = ()) -> list[Unit]:
        """The units that read *files*, those of *crates*, and the crates that use them: dependencies before users.

        Raises:
            UsageError: a file is not there; nothing that was compiled reads it or is of that crate; nothing of the host
                is; or, without a link, several outputs are.
            CompilerFailed: the compiler does not say what a unit reads.
        """
        chosen = self._complete([*(unit for name in files for unit in self._readers(name)), *self._of_crates(crates)])
        if self._link is not None:
            kept = {id(unit) for unit in (*chosen, *self.left_out)}
            others = [unit for unit in self._host if id(unit) not in kept]
            self.notes += left_behind(chosen, others, self._taken.has)
            self.notes += not_of_host(
                [unit for unit in chosen if not self._is_also(unit) and not self._taken.host_has(unit)]
            )
            self.notes += edited_elsewhere(self._host, self._link)
            sources = {path for unit in self._units for path in unit.sources}
            if any(os.path.realpath(name) not in sources for name in files):
                self.notes += unrecorded_note(self._units, self._link)
        return self._noting(chosen)

    def _noting(self, chosen: list[Unit]) -> list[Unit]:
        self.left_out = [unit for unit in self.left_out if unit not in chosen]
        self.notes += not_taken(self.left_out)
        return chosen

    def _in_host(self, found: list[Unit]) -> list[Unit]:
        """Those of *found* of which the process has something."""
        out = [unit for unit in found if unit not in self.left_out and not self._is_also(unit)]
        self.left_out += [unit for unit in out if not self._taken.has(unit)]
        return [unit for unit in found if unit not in self.left_out]

    def _is_also(self, unit: Unit) -> bool:
        return os.path.basename(unit.output) in self._also

    def _of_crates(self, names: Sequence[str]) -> list[Unit]:
        chosen = []
        for name in names:
            wanted = name.replace("-", "_")
            found = [unit for unit in self._units if unit.rust and unit.crate.name == wanted]
            if not found:
                known = ", ".join(sorted({unit.crate.name for unit in self._units if unit.rust})) or "none"
                raise UsageError(f"no recorded compile is of a crate {name}; those that were recorded: {known}")
            chosen += self._of_host(found, f"crate {name}")
        return chosen

    def edited(self) -> list[Unit]:
        """The host's units that read a file which was edited since the host was made of it, dependencies before users.

        And those that earlier patches have: a file that was put back since may have its old time again.

        Raises:
            UsageError: there is none, or the host's link is not known.
            CompilerFailed: the compiler does not say what a unit reads.
        """
        if self._link is None:
            raise UsageError("name what changed: source files, or crates")
        elsewhere = edited_elsewhere(self._host, self._link)
        self.notes += [*unrecorded_note(self._units, self._link), *elsewhere]
        found = self._in_host([unit for unit in self._host if unit in self._patched or unit.edited(ask=True)])
        if not found and elsewhere:
            raise UsageError(elsewhere[0])
        if not found:
            raise UsageError(
                f"nothing that {self._link.output} was compiled from has changed since; name what did with "
                "--changed, if its time is old"
            )
        return self._noting(self._complete(_told_apart(found, "what changed", self._link)))

    def _readers(self, name: str) -> list[Unit]:
        path = os.path.realpath(name)
        if not os.path.isfile(path):
            raise UsageError(f"{name}: no such file; give the path of a source file that changed")
        found = [unit for unit in self._units if path in unit.reads(ask=False)]
        if not any(path in unit.sources for unit in found):  # a header: those that the build left no whole list of
            silent = [unit for unit in self._host if unit.dependencies is None or unit.precompiled]
            found += [unit for unit in silent if unit not in found and path in unit.reads(ask=True)]
        if not found:  # a file that came since the build, from which an edited one includes it
            found = [unit for unit in self._host if path in unit.reads_now()]
        if not found:
            raise UsageError(
                f"{name}: no recorded compile reads it; was it compiled with hotpatch-stubgen-compiler, into this "
                "folder?"
            )
        return self._of_host(found, name, path)

    def _of_host(self, found: list[Unit], what: str, path: str = "") -> list[Unit]:
        """Those of *found* that are the host's, and those that compile the source *path* and its archives have."""
        if self._link is None:
            if _rivals(found):
                listed = ", ".join(sorted(unit.output for unit in found))
                raise UsageError(
                    f"{what}: was compiled into {listed}: say by --output-name which program's link is meant"
                )
            return found
        named = [unit for unit in found if unit in self._host]
        if not named:
            listed = ", ".join(sorted({_shown(unit) for unit in found}))
            raise UsageError(
                f"{what}: is compiled into {listed}, which the link of {self._link.output} does not name: what that "
                "makes reaches the host by another way; build and start the host anew, or, where the build copied the "
                "object, give link the one that recompile makes, or, where it is new, add it with --extra"
            )
        own = [unit for unit in named if path in unit.sources]
        taken = own or self._in_host(named)
        if not taken:
            listed = ", ".join(sorted({unit.name for unit in named}))
            raise UsageError(
                f"{what}: is compiled into members of archives of which {self._link.output} has nothing: name "
                f"{listed} if the patch needs that"
            )
        return _told_apart(taken, what, self._link)

    def _complete(self, chosen: list[Unit]) -> list[Unit]:
        """*chosen*, the host's crates that use one of them, and those edited crates that these use, in order.

        A crate has instances of the generic and inline functions of those that it uses: what was edited for an earlier
        patch and is not compiled again would be in this one as it was before the edit.
        """
        wanted = {id(unit): unit for unit in chosen}
        crates = [unit for unit in self._host if unit.rust]
        while True:
            made = {name for unit in wanted.values() if unit.rust for name in unit.made_files}
            used = {name for unit in wanted.values() if unit.rust for name in self._all_externs(unit)}
            more = [
                unit
                for unit in crates
                if id(unit) not in wanted
                and (
                    not made.isdisjoint(unit.extern_files)
                    or (not used.isdisjoint(unit.made_files) and unit.edited(ask=True))
                )
            ]
            if not more:
                break
            wanted |= {id(unit): unit for unit in more}
        for unit in crates:
            for found in [other for other in wanted.values() if other.rust and unit.may_find(other)]:
                raise UsageError(
                    f"{unit.name}: may use {found.name}, which was edited: it is compiled with a folder where it lies, "
                    f"without --extern {found.crate.name}=FILE: build with that"
                )
        self._refuse_edited_helpers([unit for unit in wanted.values() if unit.rust])
        files = [unit for unit in wanted.values() if not unit.rust]
        return [*files, *_in_order([unit for unit in crates if id(unit) in wanted])]

    def _refuse_edited_helpers(self, crates: Sequence[Unit]) -> None:
        """Refuse *crates* whose macros or build script were edited: their code runs in the build, as it was built.

        Raises:
            UsageError: they were.
        """
        macros = {path for unit in crates for path in unit.extern_files}
        packages = {unit.package for unit in crates if unit.package}
        for unit in self._units:
            if not unit.rust or not unit.edited(ask=False):
                continue
            is_macro = unit.is_macro and not macros.isdisjoint(unit.made_files)
            if is_macro or (unit.is_build_script and unit.package in packages):
                what = "macros" if is_macro else "a build script"
                raise UsageError(
                    f"{unit.compile.source}: was edited since the build, and is of {what}: what that writes into other "
                    "crates is as the build had it; build and start the host anew"
                )

    def _all_externs(self, unit: Unit) -> set[str]:
        """The files of the crates that *unit* uses, and of those that they use."""
        found, waiting = set(unit.extern_files), list(unit.extern_files)
        while waiting:
            path = waiting.pop()
            for other in self._host:
                if other.rust and path in other.made_files:
                    more = other.extern_files - found
                    found |= more
                    waiting += more
        return found


def _told_apart(named: list[Unit], what: str, link: HostLink) -> list[Unit]:
    """*named* without objects of other programs that are called like a member of one of the link's archives.

    Raises:
        UsageError: nothing tells which of them became the member.
    """
    chosen: dict[str, Unit] = {}
    for each in named:
        unit, name = each, os.path.basename(each.output)
        direct = unit.rust or unit.output in link.files
        rivals = [other for other in named if not other.rust and os.path.basename(other.output) == name]
        if len(rivals) > 1 and not direct:  # equal ones are one, whichever is compiled again
            same = [other for other in rivals if content_digest(other.output) in link.archived[name]]
            if not same:
                listed = ", ".join(sorted(other.output for other in rivals))
                raise UsageError(
                    f"{what}: was compiled into {listed}, and nothing tells which of them is in an archive of the link "
                    f"of {link.output}: build anew, so that the objects are there"
                )
            unit = same[0]
        chosen[unit.output] = unit
    return list(chosen.values())


def _rivals(found: Sequence[Unit]) -> bool:
    """Whether two of *found* compile the same, so that only one can be meant."""
    if len({unit.output for unit in found}) < 2:
        return False
    keys = [(unit.crate.name if unit.rust else tuple(sorted(unit.sources))) for unit in found]
    return len(set(keys)) < len(keys)


def _shown(unit: Unit) -> str:
    if not unit.rust:
        return unit.output
    return f"{unit.output} ({', '.join(unit.crate.types)})"


def _in_order(crates: list[Unit]) -> list[Unit]:
    ordered: list[Unit] = []
    waiting = list(crates)
    while waiting:
        for unit in waiting:
            others = {name for other in waiting if other is not unit for name in other.made_files}
            if others.isdisjoint(unit.extern_files):
                break
        ordered.append(unit)
        waiting.remove(unit)
    return ordered
