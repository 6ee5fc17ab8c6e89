"""What becomes of the variables that both the patch and the host define."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property

from stubgen.common.text import as_text
from stubgen.image import Candidate, Kind, Variable
from stubgen.resolve.answering import Answering
from stubgen.resolve.candidates import counterparts_of
from stubgen.resolve.verdicts import (
    SharedVariable,
)
from stubgen.symbols.versions import base_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from stubgen.host.previous import EarlierPatch


NAMELESS = (
    "the host names none of its static variables (strip, or the linker's -x, took the names), so nobody can tell "
    "whether it has this one: --symbols gives them back"
)


class SharedVariables(Answering):
    """The rules for variables of both."""

    def _shared_variables(self, found: Mapping[bytes, Sequence[Candidate]]) -> Iterator[SharedVariable]:
        """The patch's variables that the host has too."""
        by_name: dict[bytes, list[Variable]] = {}
        for variable in self.needed.variables:
            by_name.setdefault(variable.name, []).append(variable)
        self._compare_constants(by_name, found)
        self._tell_statics(found)
        new = []
        for name, variables in by_name.items():
            kind = Kind.THREAD_LOCAL if variables[0].thread_local else Kind.DATA
            pool = [c for c in found.get(name, ()) if base_name(c.name) == base_name(name) and c.kind is kind]
            if name in self.files.statics:
                pool = [self.files.statics[name]]
            if name in self.files.renamed:
                pool = [self.files.renamed[name]]
            earlier = self._earlier_variables(variables[0], kind, pool) if self.needed.previous else []
            if pool or earlier:
                yield self._share_first(variables, pool, earlier)
            elif reason := self._reason_of_another_kind(variables[0], found.get(name, ())):
                yield SharedVariable(as_text(name), variables[0].size, True, forwarded=False, reason_not_kept=reason)
            elif variables[0].writable and self._may_be_nameless(variables[0]):
                yield SharedVariable(as_text(name), variables[0].size, True, forwarded=False, reason_not_kept=NAMELESS)
            else:
                new.append(variables[0])
        known = {*by_name, *self.needed.references.names}
        yield from self._renamed(new, known) if new else ()
        yield from self._folded(known)

    def _reason_of_another_kind(self, variable: Variable, candidates: Sequence[Candidate]) -> str:
        """Why the patch's *variable* starts afresh where of it and the host's of its name one is thread-local."""
        if not any(each.kind in (Kind.DATA, Kind.THREAD_LOCAL) for each in candidates):
            return ""
        from stubgen.resolve.other_forms import reason_of_another_kind

        return reason_of_another_kind(self.host.image, variable, candidates)

    def _renamed(self, new: Sequence[Variable], known: Collection[bytes]) -> Iterator[SharedVariable]:
        """Those of *new*, which the host does not have, that it may have under another name."""
        from stubgen.resolve.other_forms import reasons_of_another_linkage
        from stubgen.resolve.renamed import reasons_afresh
        from stubgen.resolve.renumbered import reasons_of_another_number

        told = {variable.name: reason for variable, reason in reasons_of_another_linkage(self.files, new, known)}
        others = [variable for variable in new if variable.writable and variable.name not in told]
        kept = {**self.files.statics, **self.files.renamed}
        told |= {each.name: reason for each, reason in reasons_of_another_number(self.files, others, known, kept)}
        others = [variable for variable in others if variable.name not in told]
        told |= {variable.name: reason for variable, reason in reasons_afresh(self.host.image, others, known)}
        for variable in new:
            if variable.name in told:
                name, size, reason = as_text(variable.name), variable.size, told[variable.name]
                yield SharedVariable(name, size, variable.writable, forwarded=False, reason_not_kept=reason)

    def _folded(self, known: Collection[bytes]) -> Iterator[SharedVariable]:  # bound copies alone keep variables
        """The host's variables that are constants of the patch's code, and so are not kept."""
        return iter(())

    def _may_be_nameless(self, variable: Variable) -> bool:
        """Whether the host may have that variable of the patch's without its name."""
        image, unseen = self.host.image, variable.local or variable.hidden
        return self._host_lost_names and (unseen or not image.has_full_symbols or image.hides_globals)

    @cached_property
    def _host_lost_names(self) -> bool:
        return self.host.image.lost_local_symbols

    def _earlier_variables(
        self, variable: Variable, kind: Kind, pool: Sequence[Candidate]
    ) -> list[tuple[EarlierPatch, list[Candidate]]]:
        """The earlier patches that have a variable of theirs that is the patch's *variable*, and what may be it.

        Of constants those whose code uses it, the oldest first; of others those that began it, the newest first.
        """
        found: dict[EarlierPatch, list[Candidate]] = {}
        if is_state(variable):
            counterparts = counterparts_of(variable, pool) if pool else ()
            for patch, candidate in self.needed.previous.began(variable, counterparts, self.host.image):
                found.setdefault(patch, []).append(candidate)
            return list(found.items())
        for patch in self.needed.previous.patches:
            same = [candidate for candidate in patch.find(variable.name) if candidate.kind is kind]
            if same and not patch.uses_anothers(variable.name):
                found[patch] = same
        return list(found.items())

    def _share_first(
        self,
        variables: Sequence[Variable],
        pool: Sequence[Candidate],
        earlier: Sequence[tuple[EarlierPatch, Sequence[Candidate]]],
    ) -> SharedVariable:
        """The variable that holds the patch's state; of a constant the oldest that surely is the patch's.

        State that an earlier patch began is there and nowhere else: what is older in the host is not the patch's.
        """
        if is_state(variables[0]):
            shared = self._share_with(*earlier[0], variables) if earlier else self._share_counterparts(variables, pool)
            return self._with_loss(shared, variables[0]) if self.needed.previous else shared
        answers = [self._share_counterparts(variables, pool)] if pool else []
        for patch, candidates in earlier:
            if answers and answers[-1].forwarded:
                break
            answers.append(self._share_with(patch, candidates, variables))
        return answers[-1]

    def _share_counterparts(self, variables: Sequence[Variable], pool: Sequence[Candidate]) -> SharedVariable:
        return self._share(variables, counterparts_of(variables[0], pool))

    def _share_with(
        self, patch: EarlierPatch, candidates: Sequence[Candidate], variables: Sequence[Variable]
    ) -> SharedVariable:
        """What becomes of a variable that an earlier patch has of its own."""
        first = variables[0]
        if (candidates[0].kind is Kind.THREAD_LOCAL) is not first.thread_local:
            reason = f"{patch.path} has one that is {'not ' if first.thread_local else ''}thread-local"
            return SharedVariable(as_text(first.name), first.size, True, False, reason, patch.path)
        self.patch = patch
        shared = self._share_counterparts(variables, candidates)._replace(patch=patch.path)
        self.patch = None
        if not shared.reason_not_kept or not first.writable:
            return shared
        return shared._replace(reason_not_kept=f"{patch.path} has one of its own, and {shared.reason_not_kept}")

    def _with_loss(self, shared: SharedVariable, variable: Variable) -> SharedVariable:
        """*shared*, and which earlier patch's state is given up where an older one goes on."""
        if not shared.forwarded:
            return shared
        began = None if shared.patch else self.needed.previous.left_behind(variable)
        if began is not None:
            return shared._replace(lost=f"what {began.path} has in its own is lost")
        without = self.needed.previous.without(variable)
        if without is None:
            return shared
        from stubgen.resolve.renamed import called_otherwise

        known = {each.name for each in self.needed.variables}
        known.update(self.needed.references.names)
        names = [name for name in called_otherwise(without.image, variable, known) if without.may_have_begun(name)]
        found = self.host.find(set(names)) if names else {}
        names = [name for name in names if not found.get(name)]
        if not names and self._was_deleted(without, variable):
            return shared._replace(lost=f"{without.path} is without it")
        if not names:
            return shared
        listed = " or ".join(map(as_text, names))
        return shared._replace(lost=f"if it was called {listed} in {without.path}, what that has is lost")

    def _was_deleted(self, without: EarlierPatch, variable: Variable) -> bool:
        """Whether an earlier patch that has the file of *variable*, one of C or C++, is certainly without that."""
        from stubgen.resolve.deleted import is_surely_without
        from stubgen.resolve.described import objects_of

        of_host = self.host.image.files_called(variable.file)
        return not without.uses_anothers(variable.name) and is_surely_without(
            without.image, objects_of(without), variable, of_host
        )

    def _compare_constants(  # a stub object alone reaches none
        self, variables: Mapping[bytes, Sequence[Variable]], found: Mapping[bytes, Sequence[Candidate]]
    ) -> None:
        """Find the constants that are the host's, if they can be reached."""

    def _tell_statics(self, found: Mapping[bytes, Sequence[Candidate]]) -> None:  # likewise
        """Find out which static variables are which, where their names do not tell, if they are to be kept."""

    def _start_afresh(self, variables: Sequence[Variable], candidates: Sequence[Candidate]) -> SharedVariable:
        """The patch keeps its own; what speaks against asking for the host's is said of what the patch can write."""
        first, reason = variables[0], ""
        if not first.writable and candidates[0].writable:
            from stubgen.resolve.other_forms import reason_now_constant

            reason = reason_now_constant(self._image, first, candidates)
        elif first.writable:
            from stubgen.resolve.keep_state import Pair, reason_not_to_ask

            reason = reason_not_to_ask(Pair(variables, candidates, self.files))
            if first.thread_local and self.patch is not None:
                reason = reason or "it is a thread-local of an earlier patch that has no TLS descriptor"
        at = candidates[0].address
        return SharedVariable(as_text(first.name), first.size, first.writable, False, reason, static_address=at)


def is_state(variable: Variable) -> bool:
    """Whether it can differ from what the source says: the program writes it, or each thread has its own."""
    return variable.writable or variable.thread_local
