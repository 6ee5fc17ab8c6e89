"""Verdicts for a patch that is linked from bound copies, which read addresses from slots."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property

from stubgen.common.text import as_text
from stubgen.image import Candidate, Kind, Reference, Variable
from stubgen.resolve.answering import REPLACEABLE
from stubgen.resolve.judging import Judging
from stubgen.resolve.verdicts import (
    BoundAnswers,
    DataPolicy,
    SharedVariable,
    SlotKind,
    Target,
    TlsPolicy,
    Verdict,
)
from stubgen.symbols.versions import plain_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from stubgen.host.previous import EarlierPatch
    from stubgen.resolve.constants import Constants


UNFOUND = (
    "the library does not look it up, so that nothing says which one is meant; give it hidden visibility (ELF: or link "
    "the library with -Bsymbolic)"
)


class BoundResolver(Judging):
    """The patch is linked from bound copies, which read addresses from slots and use the host's variables."""

    answers: BoundAnswers

    @cached_property
    def constants(self) -> dict[EarlierPatch | None, Constants]:
        """The constants that the patch has as the host has them, or as an earlier patch does."""
        return {}

    @cached_property
    def targets(self) -> dict[bytes, Target]:
        """Spelling -> what it means, for the symbols that only bound copies can reach."""
        return {}

    def _targets(self) -> Mapping[bytes, Target]:
        return self.targets

    def _stub_names(self) -> list[bytes]:
        if self.needed.references.otherwise:
            return [plain_name(spelling) for spelling in self.spellings]
        return self.spellings

    def _pin_refusal(self, kind: Kind) -> str:
        absolute = kind is not Kind.FUNCTION and self.answers.data is DataPolicy.ABSOLUTE
        return "drop --data absolute" if absolute else ""

    def _answer_data(self, reference: Reference, candidate: Candidate, address: int, what: str) -> None:
        borrowed = self.needed.is_used_by_borrowed(reference.spelling)
        if self.answers.data is DataPolicy.ABSOLUTE and not borrowed:
            self._absolute_symbol(reference, candidate, address, what)
            return
        word = self._found_by_loader(candidate).word
        if word is not None:
            place = self._runtime(candidate._replace(address=word))
            self.targets[reference.spelling] = Target(Kind.DATA, SlotKind.ADDRESS, place, indirect=True)
            reason = f"it is {what}, and {REPLACEABLE}: bound copies read its address where the loader put it"
            self._other(reference, Verdict.SLOT, reason, static=word, runtime=place)
            return
        if self._is_assumed(candidate):
            self._refuse(reference, candidate, f"it is {what}, and {REPLACEABLE}; {UNFOUND}")
            return
        self.targets[reference.spelling] = Target(Kind.DATA, SlotKind.ADDRESS, address, kept=borrowed)
        reason = f"it is {what}: bound copies read its address from a slot"
        self._other(reference, Verdict.SLOT, reason, static=candidate.address, runtime=address)

    def _trampoline(self, reference: Reference, candidate: Candidate) -> None:
        super()._trampoline(reference, candidate)
        if self._is_replaceable(candidate):  # its address, for pointers to it: a PLT entry's is another one
            word = self._found_by_loader(candidate).word
            place = self._runtime(candidate if word is None else candidate._replace(address=word))
            target = Target(Kind.FUNCTION, SlotKind.ADDRESS, place, indirect=word is not None)
            self.targets[reference.spelling] = target

    def _code_typed_as_data(self, reference: Reference, candidate: Candidate) -> None:
        self._function(reference, candidate)
        if reference.spelling in self.spellings[-1:]:
            self.remarks.setdefault(reference.spelling, "the host's code there, whose symbol has a datum's type")
            address = self.addresses[-1]
            self.targets[reference.spelling] = Target(Kind.FUNCTION, SlotKind.ADDRESS, address, has_table=True)

    def _thread_local(self, reference: Reference, candidate: Candidate) -> None:
        """Forward to the host's variable where its offset, or a descriptor's address, is a constant."""
        target = self._thread_target(candidate)
        through_host = target is not None and target.slot_kind is SlotKind.HOST_DESCRIPTOR
        if target is None or (through_host and self.answers.tls is TlsPolicy.LOADER and candidate.exported):
            reason = (
                "it is thread-local in a shared library that has no TLS descriptor (R_AARCH64_TLSDESC) by which to "
                "find it; compile the host with -fPIC and neither -ftls-model nor -mtls-dialect, or leave it to the "
                "loader with --tls loader if the host exports it"
            )
            if self.answers.data is DataPolicy.NONE:
                reason = "it is thread-local, and --data none refuses all data"
            elif self.patch is not None:
                reason = (
                    "it is thread-local in an earlier patch that has no TLS descriptor (R_AARCH64_TLSDESC) by which to "
                    "find it; compile that one without -ftls-model and -mtls-dialect"
                )
            self._unreachable_thread_local(reference, candidate, reason)
            return
        self.targets[reference.spelling] = target
        reason = "it is thread-local: bound copies use the host's own descriptor"
        if through_host:
            reason = f"it is thread-local: bound copies ask the host's own TLS descriptor at {target.descriptor:#x}"
        elif target.slot_kind is SlotKind.THREAD_OFFSET:
            reason = f"it is thread-local: in the main program, {target.value:#x} bytes from the thread pointer"
        self._other(reference, Verdict.TLS, reason, static=candidate.address)
        self.others[-1] = self.others[-1]._replace(forwarded=True)

    def _thread_target(self, candidate: Candidate) -> Target | None:
        """What reaches the host's thread-local from any thread without help from the process, if anything does."""
        if self.answers.data is DataPolicy.NONE:
            return None
        if self._image.format == "macho":
            return Target(Kind.THREAD_LOCAL, SlotKind.ADDRESS, self._runtime(candidate))
        offset = self._image.thread_offset(candidate.address)
        if offset is not None:
            return Target(Kind.THREAD_LOCAL, SlotKind.THREAD_OFFSET, offset)
        found = self._image.thread_descriptor(candidate)
        if found is None:
            return None
        address, distance = found
        at = address + self._slide
        return Target(Kind.THREAD_LOCAL, SlotKind.HOST_DESCRIPTOR, distance, descriptor=at)

    def _share(self, variables: Sequence[Variable], candidates: Sequence[Candidate]) -> SharedVariable:
        """Thread-locals are forwarded wherever that is sure; other writable ones on request (``--keep-state``)."""
        first, target = variables[0], None
        if first.thread_local:
            target = self._thread_target(candidates[0])
        elif not first.writable:
            return self._share_constant(variables, candidates)
        elif self.answers.keep_state:
            target = self._kept_target(candidates)
            if target is None:
                reason = f"{REPLACEABLE}; {UNFOUND}"
                return SharedVariable(as_text(first.name), first.size, first.writable, False, reason)
        if target is None:
            return self._start_afresh(variables, candidates)
        from stubgen.resolve.keep_state import Pair, reason_not_kept

        pair = Pair(variables, candidates, self.files)
        reason = reason_not_kept(pair)
        if not reason:
            self.targets[first.name] = target._replace(kept=True)
        shared = SharedVariable(as_text(first.name), first.size, first.writable, not reason, reason)
        return shared._replace(static_address=candidates[0].address, type_compared=bool(reason) or pair.has_types)

    def _kept_target(self, candidates: Sequence[Candidate]) -> Target | None:
        """The host's variable; None if another image may have the one that the process uses, and none says where."""
        candidate = next((candidate for candidate in candidates if candidate.replaceable), candidates[0])
        word = self._found_by_loader(candidate).word
        if word is None and self._is_replaceable(candidate):
            return None
        place = self._runtime(candidate if word is None else candidate._replace(address=word))
        return Target(Kind.DATA, SlotKind.ADDRESS, place, indirect=word is not None)

    def _compare_constants(
        self, variables: Mapping[bytes, Sequence[Variable]], found: Mapping[bytes, Sequence[Candidate]]
    ) -> None:
        constant = any(not same[0].writable and name in found for name, same in variables.items())
        if constant and self.answers.data is not DataPolicy.NONE:
            from stubgen.resolve.constants import Constants

            replaced = self.overrides.keys() | self.earlier.keys()  # what points to those is no longer the host's
            in_host = {name: pool for name, pool in found.items() if name not in replaced}
            self.constants[None] = Constants(self.needed.images, variables, in_host, self.files, replaced)
        for patch in self.needed.previous.patches if self.answers.data is not DataPolicy.NONE else ():
            from stubgen.resolve.constants import Constants

            self.patch = patch
            there = self._seen_from(patch, variables, found)
            others = {name for name, (definer, _) in self.earlier.items() if definer is not patch}
            others.update(self.overrides)
            self.constants[patch] = Constants(self.needed.images, variables, there, self.files, others)
            self.patch = None

    def _seen_from(
        self, patch: EarlierPatch, variables: Collection[bytes], found: Mapping[bytes, Sequence[Candidate]]
    ) -> dict[bytes, list[Candidate]]:
        """Name -> what it means, by its address in an earlier patch's file; by its runtime address if it is elsewhere.

        Pointers that lead out of a patch hold runtime addresses.
        """
        seen = {}
        for name in {*variables, *self.needed.references.names} - self.overrides.keys():
            slide, meant = self.slide.value, list(found.get(name, ()))
            if name in variables:
                slide, meant = 0, patch.find(name)
            elif name in self.earlier:
                definer, candidate = self.earlier[name]
                slide, meant = (0 if definer is patch else definer.slide), [candidate]
            seen[name] = [c if c.kind is Kind.IMPORT else c._replace(address=c.address + slide) for c in meant]
        return seen

    def _tell_statics(self, found: Mapping[bytes, Sequence[Candidate]]) -> None:
        if self.answers.keep_state and self.host.image.format == "elf":
            from stubgen.resolve.renamed import told_by_debug_info
            from stubgen.resolve.statics import counterparts

            self.files.statics = counterparts(self.host.image, self.needed.variables)
            self.files.renamed = told_by_debug_info(self.host.image, self.needed.variables, found)

    def _folded(self, known: Collection[bytes]) -> Iterator[SharedVariable]:
        if self.answers.keep_state:
            from stubgen.resolve.other_forms import FOLDED, names_folded

            for name in names_folded(self.files, known):
                yield SharedVariable(as_text(name), 0, writable=True, forwarded=False, reason_not_kept=FOLDED)

    def _share_constant(self, variables: Sequence[Variable], candidates: Sequence[Candidate]) -> SharedVariable:
        """One that nothing but its address tells from the host's is the host's."""
        name, constants = variables[0].name, self.constants.get(self.patch)
        if constants is None or constants.place(name) is None:
            return self._start_afresh(variables, candidates)
        address = self._runtime(candidates[0])
        self.targets[name] = Target(Kind.DATA, SlotKind.ADDRESS, address, kept=True, constant=True)
        return SharedVariable(as_text(name), variables[0].size, writable=False, forwarded=True)
