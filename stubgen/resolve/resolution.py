"""What the resolve phase answers: the verdicts, the stubs' columns, what bound copies reach, variables of both."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence

from stubgen.common.aarch64 import ADDRESS_LIMIT, UNTAGGED
from stubgen.common.row import Row
from stubgen.common.text import as_bytes, as_text
from stubgen.host.slide import Slide
from stubgen.resolve.needed import Needed
from stubgen.resolve.previous import Earlier
from stubgen.resolve.rulings import PolicyChange
from stubgen.resolve.verdicts import Decision, SharedVariable, SlotKind, Target, Verdict


class StubColumns(Row):
    """What the stub object will define."""

    spellings: list[bytes]
    """The trampolines, in order of first use, as the patch's objects spell them."""
    names: list[bytes]
    """As the stub object spells them; the same list unless bound copies call some otherwise."""
    addresses: array[int]
    """The trampolines' runtime addresses."""
    remarks: dict[bytes, str]
    """Spelling -> why a trampoline goes where it goes, where the exact name alone does not say."""
    absolute_names: list[bytes]
    absolute_addresses: array[int]
    absolute_visibility: str  # "hidden" or "default"


class Resolution(Row):
    """The verdict on every needed symbol."""

    slide: Slide
    """The slide that the addresses are for."""
    needed: Needed
    """What the patch's objects refer to."""
    stubs: StubColumns
    """What the stub object will define."""
    others: tuple[Decision, ...]
    """The verdicts other than trampoline."""
    bound_targets: Mapping[bytes, Target] | None
    """Spelling -> what it means, for the symbols that only bound copies can reach; None where none are made."""
    shared_variables: tuple[SharedVariable, ...]
    """The variables that both the patch and the host define."""
    fixed: frozenset[bytes]
    """Spelling of what stays where it is in every process: absolute values, and what an earlier patch replaced."""
    elsewhere: frozenset[bytes] = frozenset()
    """Those of them that mean something else than the host's of that name."""
    earlier: Mapping[bytes, Earlier] = {}
    """Spelling -> the definition in an earlier patch that it means."""
    policies: Mapping[bytes, str] = {}
    """Spelling -> the policy that ruled on it."""
    changes: tuple[PolicyChange, ...] = ()
    """What policies made of the verdicts."""

    def decisions(self) -> Iterator[Decision]:
        """All verdicts: trampolines, then the others, each in order of first use."""
        titles, users, remarks = self.needed.inputs, self.needed.users, self.stubs.remarks
        distance, usual = self.slide.value, "the host has one function of that name"
        earlier = self.earlier
        for spelling, address in zip(self.stubs.spellings, self.stubs.addresses, strict=True):
            found = earlier.get(spelling)
            yield Decision(
                as_text(spelling),
                Verdict.TRAMPOLINE,
                remarks.get(spelling, usual),
                address - distance if found is None else found.candidate.address,
                address,
                (),
                tuple([titles[number] for number in users(spelling)]),
                patch="" if found is None else found.patch.path,
                policy=self.policies.get(spelling, ""),
            )
        yield from self.others

    @property
    def problems(self) -> tuple[Decision, ...]:
        """The symbols with which the patch cannot work."""
        return tuple(decision for decision in self.others if decision.is_problem)

    def moved(self, slide: Slide) -> Resolution | None:
        """The same verdicts for a process in which the host has another slide.

        None where an address would not be one of user space: then judge anew, and the refusal says which.
        """
        distance = slide.value - self.slide.value
        addresses = self._moved_addresses(self.stubs.spellings, self.stubs.addresses, distance)
        absolutes = self._moved_addresses(self.stubs.absolute_names, self.stubs.absolute_addresses, distance)
        targets, highest = self._moved_targets(distance)
        highest = max(highest, *(address & UNTAGGED for address in absolutes), 0)
        if max(max(addresses, default=0), highest) >= ADDRESS_LIMIT:
            return None
        return self._replace(
            slide=slide,
            stubs=self.stubs._replace(addresses=array("Q", addresses), absolute_addresses=array("Q", absolutes)),
            others=tuple(self._moved_decision(other, distance) for other in self.others),
            bound_targets=targets,
        )

    def _moved_addresses(self, spellings: Sequence[bytes], addresses: array[int], distance: int) -> list[int]:
        if self.fixed.isdisjoint(spellings):
            return [address + distance for address in addresses]
        pairs = zip(spellings, addresses, strict=True)
        return [address if spelling in self.fixed else address + distance for spelling, address in pairs]

    def _moved_decision(self, decision: Decision, distance: int) -> Decision:
        if decision.runtime_address is None or as_bytes(decision.name) in self.fixed:
            return decision
        return decision._replace(runtime_address=decision.runtime_address + distance)

    def _moved_targets(self, distance: int) -> tuple[Mapping[bytes, Target] | None, int]:
        """The bound targets at *distance* bytes, and the highest address among those that moved."""
        if self.bound_targets is None:
            return None, 0
        targets, highest = dict(self.bound_targets), 0
        for spelling, target in self.bound_targets.items():
            if target.slot_kind is SlotKind.ADDRESS and spelling not in self.fixed:
                targets[spelling] = target._replace(value=target.value + distance)
                highest = max(highest, target.value + distance & UNTAGGED)
        return targets, highest
