"""Verdicts for a patch that is linked from its objects as they are."""

from __future__ import annotations

from collections.abc import Sequence

from stubgen.image import Candidate, Kind, Reference, Variable
from stubgen.resolve.answering import REPLACEABLE
from stubgen.resolve.judging import Judging
from stubgen.resolve.verdicts import (
    DataPolicy,
    SharedVariable,
)


class StubResolver(Judging):
    """The patch is linked from its objects as they are: only symbols of the stub object can answer."""

    _way_refusal = "bound copies (link, --bound-dir) leave it out"

    def _targets(self) -> None:
        return None

    def _stub_names(self) -> list[bytes]:
        return self.spellings

    def _pin_refusal(self, kind: Kind) -> str:
        return "bound copies (link, --bound-dir) call it otherwise"

    def _answer_data(self, reference: Reference, candidate: Candidate, address: int, what: str) -> None:
        if self._is_assumed(candidate) and self.answers.data is DataPolicy.AUTO:
            advice = "bound copies (link, --bound-dir) read where the loader found it"
            self._refuse(reference, candidate, f"it is {what}, and {REPLACEABLE}; {advice}")
            return
        self._absolute_symbol(reference, candidate, address, what)

    def _code_typed_as_data(self, reference: Reference, candidate: Candidate) -> None:
        reason = "it is code whose symbol has a datum's type: bound copies (link, --bound-dir) branch to it"
        self._refuse(reference, candidate, reason)

    def _thread_local(self, reference: Reference, candidate: Candidate) -> None:
        reason = "it is thread-local: every thread has its own copy; bound copies (link, --bound-dir) reach it"
        self._unreachable_thread_local(reference, candidate, reason)

    def _share(self, variables: Sequence[Variable], candidates: Sequence[Candidate]) -> SharedVariable:
        return self._start_afresh(variables, candidates)
