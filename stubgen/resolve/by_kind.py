"""What becomes of a reference to one symbol of the host's, by the kind of that symbol."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import cached_property

from stubgen.common.aarch64 import LANDING_PADS, WORD
from stubgen.common.text import as_text
from stubgen.image import Candidate, Kind, Reference
from stubgen.resolve.answering import Answering
from stubgen.resolve.verdicts import (
    DataPolicy,
    TlsPolicy,
    Verdict,
)


class ByKind(Answering):
    """A rule for each kind of symbol."""

    @cached_property
    def rules(self) -> Mapping[Kind, Callable[[Reference, Candidate], None]]:
        """Kind of symbol -> what answers a reference to one."""
        return {
            Kind.FUNCTION: self._function,
            Kind.DATA: self._datum,
            Kind.ABSOLUTE: self._absolute,
            Kind.THREAD_LOCAL: self._thread_local,
            Kind.IFUNC: self._ifunc,
            Kind.IMPORT: self._import,
        }

    def _function(self, reference: Reference, candidate: Candidate) -> None:
        address = candidate.address
        if address % WORD:
            self._refuse(
                reference,
                candidate,
                f"its address {address:#x} is not a multiple of 4: no instruction is there",
            )
        elif not any(start <= address < end for start, end in self._executable_ranges()):
            self._refuse(reference, candidate, f"its address {address:#x} is in no executable segment")
        elif (
            self._image.branch_targets_guarded
            and bytes(self._image.read_at(address, WORD, as_text(reference.name))) not in LANDING_PADS
        ):
            self._refuse(
                reference,
                candidate,
                f"the {'host' if self.patch is None else 'earlier patch'} has BTI and this function no landing pad, "
                "since only direct calls reach it there: "
                "a stub's branch to it would fault; make it visible outside its unit",
            )
        elif doubt := self._doubt(reference, candidate):
            self._refuse(reference, candidate, doubt)
        else:
            self._trampoline(reference, candidate)

    def _trampoline(self, reference: Reference, candidate: Candidate) -> None:
        """Answer by a branch to where the host's own calls go: through its PLT where another image may have it."""
        entry = self._found_by_loader(candidate).entry
        if entry is not None and (not self._image.branch_targets_guarded or self._is_landing_pad(entry)):
            known = self.remarks.get(reference.spelling)
            way = "through the library's PLT entry or stub, as its own calls go"
            self.remarks[reference.spelling] = f"{known}; {way}" if known else way
            candidate = candidate._replace(address=entry)
        self.spellings.append(reference.spelling)
        self.addresses.append(self._runtime(candidate))

    def _is_landing_pad(self, address: int) -> bool:
        return bytes(self._image.read_at(address, WORD, "a function")) in LANDING_PADS

    def _doubt(self, reference: Reference, candidate: Candidate) -> str:
        """Why a call of the host's function may not pass what it takes; empty if nothing says so.

        What calls one in an archive's member was compiled with it, and is as it is in the host.
        """
        if not candidate.local or candidate.hidden or reference.name in self.needed.located:
            return ""
        from stubgen.resolve.convention import reason_not_to_call

        static = self.patch is None and reference.name in self.needed.statics
        told = self.needed.told.get(candidate.address) if self.patch is None else None
        allow_static = self.answers.allow_static
        return reason_not_to_call(candidate, self._image, allow_static=allow_static, static=static, told=told)

    def _datum(self, reference: Reference, candidate: Candidate) -> None:
        if self._is_code(reference, candidate):
            self._code_typed_as_data(reference, candidate)
            return
        self._data(reference, candidate, self._runtime(candidate), f"data in {candidate.section or 'no section'}")

    def _is_code(self, reference: Reference, candidate: Candidate) -> bool:
        """Whether a symbol of a datum's type is code: it lies there, and the patch branches to it (GHC types it so)."""
        users = self.needed.users(reference.spelling)
        return any(start <= candidate.address < end for start, end in self._executable_ranges()) and any(
            self.needed.images[number].branches_to(reference.spelling) for number in users
        )

    @abstractmethod
    def _code_typed_as_data(self, reference: Reference, candidate: Candidate) -> None:
        """Answer a reference to code whose symbol has a datum's type, and which the patch branches to."""

    def _absolute(self, reference: Reference, candidate: Candidate) -> None:
        self.fixed.add(reference.spelling)
        self._data(reference, candidate, candidate.address, "an absolute value")

    def _data(self, reference: Reference, candidate: Candidate, address: int, what: str) -> None:
        if self.answers.data is DataPolicy.NONE:
            self._refuse(reference, candidate, f"it is {what}, and --data none refuses all data")
        else:
            self._answer_data(reference, candidate, address, what)

    def _absolute_symbol(self, reference: Reference, candidate: Candidate, address: int, what: str) -> None:
        """Answer a reference to host data by an absolute symbol, where that is right or was asked for."""
        wrong = self.answers.data is DataPolicy.AUTO and self.visibility is None
        if wrong or self.host.image.format == "macho":
            self._refuse(
                reference,
                candidate,
                f"it is {what}, and on {self._platform()} an absolute symbol would be read at a wrong address",
            )
        else:
            self.absolute_names.append(reference.spelling)
            self.absolute_addresses.append(address)
            self._other(
                reference,
                Verdict.ABSOLUTE,
                f"it is {what}: defined as an absolute symbol, {self.visibility or 'default'} visibility",
                static=candidate.address,
                runtime=address,
            )

    def _unreachable_thread_local(self, reference: Reference, candidate: Candidate, reason: str) -> None:
        """A thread-local that no constant reaches, for *reason*: left to the loader if that was asked for."""
        if self.answers.tls is TlsPolicy.LOADER and candidate.exported:
            self._other(reference, Verdict.LOADER, "it is thread-local and exported: left to the loader, as asked")
        else:
            self._other(reference, Verdict.TLS, reason, static=candidate.address)

    def _ifunc(self, reference: Reference, candidate: Candidate) -> None:
        resolver = f"it is an ifunc: {candidate.address:#x} is its resolver, not the function"
        if candidate.exported:
            self._other(reference, Verdict.LOADER, f"{resolver}; the host exports it, so the loader resolves it")
        else:
            self._refuse(
                reference,
                candidate,
                f"{resolver}, and the host does not export it: link the host with -rdynamic",
            )

    def _import(self, reference: Reference, candidate: Candidate) -> None:
        version = f" (version {candidate.version})" if candidate.version else ""
        reason = f"the host imports it itself{version}: the loader finds it in the same library"
        self._other(reference, Verdict.LOADER, reason)
