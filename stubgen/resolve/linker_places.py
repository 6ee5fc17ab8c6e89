"""References to what linkers define: left to the linker, or to the host's table of that name."""

from __future__ import annotations

from collections.abc import Sequence

from stubgen.image import Candidate, Image, Kind, Reference
from stubgen.resolve.by_kind import ByKind
from stubgen.resolve.candidates import meaning
from stubgen.resolve.linker_names import foreign_entry, is_images_own, is_place, place_in, section_of
from stubgen.resolve.verdicts import (
    BoundAnswers,
    Verdict,
)


class LinkerPlaces(ByKind):
    """The rules for names that linkers define."""

    def _is_linkers(self, reference: Reference, candidates: Sequence[Candidate]) -> bool:
        """Whether linkers define what *reference* means; a symbol with a type and a size is the program's."""
        format_, name = self.needed.format, reference.name
        if is_images_own(format_, name):
            if any(candidate.kind is Kind.FUNCTION and candidate.size for candidate in candidates):
                return False
            self._other(reference, Verdict.LINKER, "every linked image has its own, from the linker or start-up code")
            return True
        if not is_place(format_, name) or any(candidate.size for candidate in candidates):
            return False
        section = section_of(format_, name)
        if section and candidates and self.host.image.section_span(section) is None:
            return False  # a label of the program's that is called so
        self._place(reference, section, place_in(self.host.image, name, meaning(reference, candidates).candidates))
        return True

    def _place(self, reference: Reference, section: str, place: Candidate | None) -> None:
        """Answer a reference to a place that linkers name: the host's, if its table is the one that is meant."""
        images = [image for image in self.needed.images if section and image.section_span(section) is not None]
        if place is None and (images or (section and reference.weak)):
            reason = f"the host has no section {section}"
            self._other(reference, Verdict.LINKER, f"{reason}: it bounds the patch's own" if images else reason)
        elif place is None:
            what = f"section {section}" if section else "symbol of that name"
            self._other(
                reference,
                Verdict.REFUSED,
                f"it is a place in the program, of which each image has its own, and the host has no {what} to say "
                f"where; refer to it in the host as well",
            )
        elif images and (foreign := self._foreign_entry(images, section)):
            self._refuse(
                reference,
                place,
                f"the patch has an entry of section {section} that the host has not, or has otherwise ({foreign}): the "
                f"host's bounds are without it and the patch's are without all others; link the host anew",
            )
        else:
            if images:
                self.remarks[reference.spelling] = f"of the host's section {section}, not of the patch's"
            self._datum(reference, place)

    def _foreign_entry(self, images: Sequence[Image], section: str) -> str:
        if not isinstance(self.answers, BoundAnswers):
            return "without bound copies the linker decides: link, --bound-dir"
        return foreign_entry(images, self.host.image, section)
