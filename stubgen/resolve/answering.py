"""What every rule of the resolve phase has at hand: the question, the columns of verdicts, the image that is asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections.abc import Mapping, Sequence

from stubgen.common.aarch64 import ADDRESS_LIMIT
from stubgen.common.text import as_text
from stubgen.errors import AnchorRefusal
from stubgen.host import Host
from stubgen.host.slide import Slide
from stubgen.image import Candidate, Found, Image, Kind, Reference, Variable
from stubgen.resolve.needed import Needed
from stubgen.resolve.previous import Earlier
from stubgen.resolve.rulings import Ruled
from stubgen.resolve.verdicts import (
    ABSOLUTE_VISIBILITY,
    Answers,
    BoundAnswers,
    Decision,
    SharedVariable,
    Target,
    Verdict,
)
from stubgen.symbols.versions import split_pin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from stubgen.host.previous import EarlierPatch
    from stubgen.resolve.same_file import Files


_DEFINED_BY_STUBS = (Kind.FUNCTION, Kind.DATA, Kind.ABSOLUTE)


REPLACEABLE = "the program may have its own, which the loader then gives the library too"
"""What there is to say of a variable that a library exports, and does not bind to itself."""


class Answering(ABC):
    """The question of one run, and what was answered so far."""

    _way_refusal = ""
    """What to do about a weak default that only a bound copy of its object can give up."""

    def __init__(
        self,
        needed: Needed,
        host: Host,
        slide: Slide,
        supplied: Mapping[bytes, str],
        overrides: Mapping[bytes, int],
        rulings: Mapping[bytes, Ruled],
        answers: Answers | BoundAnswers,
    ) -> None:
        self.answers = answers
        self.rulings = rulings
        self.supplied = supplied
        self.overrides = overrides
        self.needed = needed
        self.host = host
        self.slide = slide
        self.visibility = ABSOLUTE_VISIBILITY.get((host.image.format, host.image.libc))
        self.patch: EarlierPatch | None = None  # the earlier patch that answers what is at hand; None for the host
        self.executable: dict[EarlierPatch | None, list[tuple[int, int]]] = {None: host.image.executable_ranges()}
        self._files: dict[EarlierPatch | None, Files] = {}
        self.earlier: dict[bytes, Earlier] = {}
        self.spellings: list[bytes] = []
        self.addresses = array("Q")
        self.remarks: dict[bytes, str] = {}
        self.absolute_names: list[bytes] = []
        self.absolute_addresses = array("Q")
        self.others: list[Decision] = []
        self.missing: list[tuple[Reference, int]] = []
        self.fixed: set[bytes] = set()
        self.elsewhere: set[bytes] = set()

    @property
    def files(self) -> Files:
        """Which of the patch's files are those of the image at hand."""
        if self.patch not in self._files:
            from stubgen.resolve.same_file import Files

            linked = self.answers.linked if isinstance(self.answers, BoundAnswers) and self.patch is None else ()
            files = self._files[self.patch] = Files.of_needed(self._image, self.needed, linked)
            files.earlier = self.patch
        return self._files[self.patch]

    @abstractmethod
    def _targets(self) -> Mapping[bytes, Target] | None:
        """Spelling -> what it means, for the symbols that only bound copies can reach; None where none are made."""

    @abstractmethod
    def _stub_names(self) -> list[bytes]:
        """The trampolines as the stub object spells them."""

    @abstractmethod
    def _pin_refusal(self, kind: Kind) -> str:
        """What to do about a name that pins a version, which the stub object cannot define; empty if it can."""

    @abstractmethod
    def _answer_data(self, reference: Reference, candidate: Candidate, address: int, what: str) -> None:
        """Answer a reference to host data, *what*, that is at runtime *address*; ``--data none`` is dealt with."""

    @abstractmethod
    def _thread_local(self, reference: Reference, candidate: Candidate) -> None:
        """Answer a reference to a thread-local of the host's."""

    @abstractmethod
    def _share(self, variables: Sequence[Variable], candidates: Sequence[Candidate]) -> SharedVariable:
        """What becomes of a variable that the patch defines (in *variables*) and the host too, as *candidates*."""

    def _can_be_named(self, reference: Reference, kind: Kind) -> bool:
        """Whether the stub object can define what *reference* means, a *kind*; refuse it if not."""
        version = split_pin(reference.spelling)[1]
        advice = self._pin_refusal(kind) if version and kind in _DEFINED_BY_STUBS else ""
        if advice:
            reason = f"it pins version {version}, and no linker takes a symbol of that name from an object"
            self._other(reference, Verdict.REFUSED, f"{reason}: {advice}")
        return not advice

    def _found_by_loader(self, candidate: Candidate) -> Found:
        """Where the host keeps what the loader found for a name of its own; nowhere if that can only be its own."""
        return self._image.found_by_loader(candidate) if self._is_replaceable(candidate) else Found(None, None)

    def _is_replaceable(self, candidate: Candidate) -> bool:
        """Whether another image's may be the one that the process uses; an earlier patch binds to itself."""
        return candidate.replaceable and self.patch is None

    def _is_assumed(self, candidate: Candidate) -> bool:
        """Whether nothing says that a variable of the host's is the one that the process uses."""
        return self._is_replaceable(candidate) and candidate.writable

    @property
    def _image(self) -> Image:
        """What has the symbol at hand."""
        return self.host.image if self.patch is None else self.patch.image

    def _executable_ranges(self) -> list[tuple[int, int]]:
        if self.patch not in self.executable:
            self.executable[self.patch] = self._image.executable_ranges()
        return self.executable[self.patch]

    def _refuse(self, reference: Reference, candidate: Candidate, reason: str) -> None:
        self._other(reference, Verdict.REFUSED, reason, static=candidate.address)

    @property
    def _slide(self) -> int:
        """Bytes that the loader added to the addresses of :attr:`_image`."""
        return self.slide.value if self.patch is None else self.patch.slide

    def _runtime(self, candidate: Candidate) -> int:
        address = candidate.address + self._slide
        if address >= ADDRESS_LIMIT:
            raise AnchorRefusal(
                f"{self._image.name}: {as_text(candidate.name)} would be at {address:#x}, at or above 2^48, where user "
                f"space ends: the anchor's address is wrong"
            )
        return address | candidate.tag

    def _platform(self) -> str:
        image = self.host.image
        if image.format == "macho":
            return "Mach-O"
        return f"Linux with {image.libc}" if image.libc else "an unknown C library"

    def _other(
        self,
        reference: Reference,
        verdict: Verdict,
        reason: str,
        candidates: tuple[str, ...] = (),
        *,
        static: int | None = None,
        runtime: int | None = None,
    ) -> None:
        remark = self.remarks.pop(reference.spelling, "")
        self.others.append(
            Decision(
                name=as_text(reference.spelling),
                verdict=verdict,
                reason=f"{reason} ({remark})" if remark else reason,
                static_address=static,
                runtime_address=runtime,
                candidates=candidates,
                used_by=_used_by(self.needed, reference.spelling),
                patch="" if self.patch is None else self.patch.path,
            )
        )


def _used_by(needed: Needed, spelling: bytes) -> tuple[str, ...]:
    return tuple([needed.images[number].name for number in needed.users(spelling)])
