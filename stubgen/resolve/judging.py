"""The verdict on each reference: who answers it, the host, an earlier patch, a library, a linker or nobody."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, Sequence
from functools import cached_property

from stubgen.common.text import as_bytes, as_text
from stubgen.image import Candidate, Kind, Reference
from stubgen.resolve.candidates import first_choice, meaning
from stubgen.resolve.linker_places import LinkerPlaces
from stubgen.resolve.resolution import Resolution, StubColumns
from stubgen.resolve.rulings import Ruled, UseAddress, UseLoader, UseName
from stubgen.resolve.shared_variables import SharedVariables
from stubgen.resolve.unanswered import MANGLED, earlier_answer, is_static_c_name
from stubgen.resolve.verdicts import BoundAnswers, Verdict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from stubgen.resolve.left_out import LeftOut

GAVE_WAY = "the patch's own is a weak default, which gives way to the host's definition"
LEFT_OUT = (
    "the host has no such symbol: link-time optimisation left nothing called so; {title} has it: compile that file "
    "again too, for the patch to have it"
)
CLOSE_NAMES_FOR = 20  # missing symbols for which close names are sought
FEW_NEEDED = 20_000
"""Names below which, without an index, an object for each symbol of a name costs less than columns of all of them."""
FEW_MISSING = 4  # up to which each has the host's names gone through; beyond, one search finds what is like any of them


class Judging(LinkerPlaces, SharedVariables, ABC):
    """One run of the phase: walks the references once and sorts them into columns."""

    def run(self) -> Resolution:
        references, plainly = self.needed.references, self._plain()
        addresses = list(map(plainly.get, range(len(references))))
        ruled = [index for index, address in enumerate(addresses) if address is None]
        names = set(map(references.names.__getitem__, ruled))
        names.update(variable.name for variable in self.needed.variables)
        names.update(as_bytes(r.ruling.name) for r in self.rulings.values() if isinstance(r.ruling, UseName))
        found = self.host.find(names)
        self.needed.previous.learn(names)
        done = 0
        for index in ruled:
            self._answer_plainly(references.spellings[done:index], addresses[done:index])
            done, reference = index + 1, references[index]
            located = self.needed.located.get(reference.name)
            if reference.spelling in self.rulings:
                self._rule(reference, self.rulings[reference.spelling], found)
            elif located is not None:
                self.rules[located.kind](reference, located)
            else:
                self._judge(reference, found.get(reference.name, []))
        self._answer_plainly(references.spellings[done:], addresses[done:])
        shared = tuple(self._shared_variables(found))
        self._explain_missing()
        return Resolution(
            slide=self.slide,
            needed=self.needed,
            stubs=StubColumns(
                spellings=self.spellings,
                names=self._stub_names(),
                addresses=self.addresses,
                remarks=self.remarks,
                absolute_names=self.absolute_names,
                absolute_addresses=self.absolute_addresses,
                absolute_visibility=self.visibility or "default",
            ),
            others=tuple(self.others),
            bound_targets=self._targets(),
            shared_variables=shared,
            fixed=frozenset(self.fixed),
            elsewhere=frozenset(self.elsewhere),
            earlier=self.earlier,
            policies={spelling: ruled.policy for spelling, ruled in self.rulings.items()},
        )

    def _answer_plainly(self, spellings: Sequence[bytes], addresses: Sequence[int | None]) -> None:
        self.spellings += spellings
        self.addresses.extend(address for address in addresses if address is not None)

    def _plain(self) -> Mapping[int, int]:
        """Index in the references -> runtime address, of what no rule has anything to say about.

        Nothing where that saves nothing.
        """
        if self._targets() is not None and self.needed.variables:
            return {}  # what constants point to is held against the host's symbols
        if len(self.needed.references) < FEW_NEEDED and (self.host.image.index is None or self._is_found):
            return {}
        from stubgen.resolve.plain import plain_functions

        ruled = {*self.rulings, *self.overrides, *(variable.name for variable in self.needed.variables)}
        allow_static = self.answers.allow_static
        return plain_functions(self.needed, self.host, self.slide, ruled, allow_static=allow_static)

    @property
    def _is_found(self) -> bool:
        """Whether somebody had the host's symbols of all those names looked up already."""
        return self.host.knows({*self.needed.references.names, *(each.name for each in self.needed.variables)})

    def _rule(self, reference: Reference, ruled: Ruled, found: Mapping[bytes, Sequence[Candidate]]) -> None:
        """Answer *reference* as a policy says."""
        ruling, judged = ruled.ruling, len(self.others)
        if isinstance(ruling, UseAddress):
            self._put(reference, ruling)
        elif isinstance(ruling, UseName):
            name = as_bytes(ruling.name)
            self._judge(reference._replace(name=name), found.get(name, []))
        else:
            verdict = Verdict.LOADER if isinstance(ruling, UseLoader) else Verdict.REFUSED
            self._other(reference, verdict, "")
        remark = self.remarks.pop(reference.spelling, "")
        if len(self.others) == judged:
            self.remarks[reference.spelling] = f"{ruled.remark}; {remark}" if remark else ruled.remark
        for number, decision in enumerate(self.others[judged:], judged):
            reason = f"{ruled.remark}; {decision.reason}" if decision.reason else ruled.remark
            self.others[number] = decision._replace(reason=reason, policy=ruled.policy)

    def _put(self, reference: Reference, ruling: UseAddress) -> None:
        """Answer *reference* by what a policy says is at an address."""
        if not self._can_be_named(reference, Kind.DATA if ruling.data else Kind.FUNCTION):
            return
        self.fixed.add(reference.spelling)
        self.elsewhere.add(reference.spelling)
        if ruling.data:
            place = Candidate(reference.name, ruling.address, Kind.DATA, local=True, size=0, section="")
            self._answer_data(reference, place, ruling.address, "data")
        else:
            self.spellings.append(reference.spelling)
            self.addresses.append(ruling.address)

    @cached_property
    def _stripped(self) -> str:
        """What there is to say of a name that the host does not have, where it may have lost it."""
        image = self.host.image
        if not image.has_full_symbols:
            return ", but its full symbol table is stripped: --symbols gives it back"
        return ", but its local symbols are stripped: --symbols gives them back" if image.has_nameless_functions else ""

    def _judge(self, reference: Reference, candidates: Sequence[Candidate]) -> None:
        if self._is_settled(reference, candidates):
            return
        pool, remark = meaning(reference, candidates)
        if self._is_an_earlier_patchs(reference, pool) or self._is_anothers(reference, pool):
            return
        if not pool:
            if reference.weak:
                self._other(reference, Verdict.WEAK_NULL, "the host has no such symbol and the reference is weak")
            else:
                self.missing.append((reference, len(self.others)))
                self._other(reference, Verdict.MISSING, f"the host has no such symbol{self._stripped}")
            return
        if len({candidate.address for candidate in pool}) > 1:
            listed = tuple(described(candidate) for candidate in pool)
            self._other(
                reference,
                Verdict.AMBIGUOUS,
                f"the host has {len(pool)} of them at different addresses",
                listed,
            )
            return
        candidate = first_choice(pool)
        if not self._can_be_named(reference, candidate.kind):
            return
        if doubt := self._why_left_out(reference, pool):
            self._refuse(reference, candidate, doubt)
            return
        if reference.name in self.needed.gave_way:
            remark = GAVE_WAY
        if not remark and is_static_c_name(reference.name, pool, self.host.image):
            file = as_text(pool[0].file) or "one of its files"
            remark = f"the host has one {pool[0].kind.value} of that name, a local symbol that is static in {file}"
        if remark:
            self.remarks[reference.spelling] = remark
        self.rules[candidate.kind](reference, candidate)

    def _why_left_out(self, reference: Reference, pool: Sequence[Candidate]) -> str:
        """Why *reference* may mean what link-time optimisation left nothing of, not *pool*; empty if it does not."""
        name, image = reference.name, self.host.image
        renamed = pool[0].name != name and not name.startswith(MANGLED[image.format])
        if self._linked and (renamed or is_static_c_name(name, pool, image)):
            return self._left_out.why_not(name, pool[0])
        return ""

    @cached_property
    def _left_out(self) -> LeftOut:
        from stubgen.resolve.left_out import LeftOut

        return LeftOut(self.host.image, self._linked, self.needed.compiled_at_link)

    @property
    def _linked(self) -> Sequence[str]:
        """The paths of the objects that the host's link named, where that is known."""
        return self.answers.linked if isinstance(self.answers, BoundAnswers) else ()

    def _is_an_earlier_patchs(self, reference: Reference, pool: Sequence[Candidate]) -> bool:
        """Whether *reference* means a definition in an earlier patch: then that answers it."""
        earlier = None
        if self.needed.previous and not reference.version:
            earlier = earlier_answer(self.needed.previous, reference.name, pool, self.host.image)
        if earlier is None:
            return False
        self.patch, candidate = earlier
        self.remarks[reference.spelling] = f"the earlier patch {self.patch.path} has it"
        self.fixed.add(reference.spelling)
        self.elsewhere.add(reference.spelling)
        self.earlier[reference.spelling] = earlier
        from stubgen.resolve.declared import why_declared_otherwise

        doubt = why_declared_otherwise(self.needed, reference, earlier)
        if candidate.kind is Kind.IFUNC:
            doubt = "it is an ifunc, and nothing there is the function itself"
        if doubt:
            self._refuse(reference, candidate, doubt)
        else:  # a library that was loaded with RTLD_LOCAL: the loader finds nothing in it
            self.rules[candidate.kind](reference, candidate._replace(exported=False))
        self.patch = None
        return True

    def _is_settled(self, reference: Reference, candidates: Sequence[Candidate]) -> bool:
        """Whether the name alone says what becomes of *reference*: then that is the verdict."""
        name = reference.name
        if name in self.overrides:
            if self._can_be_named(reference, Kind.FUNCTION):
                self._override(reference)
        elif name in self.needed.gave_way and self._way_refusal:
            self._other(reference, Verdict.REFUSED, f"{GAVE_WAY}: {self._way_refusal}")
        else:
            return self._is_linkers(reference, candidates)
        return True

    def _is_anothers(self, reference: Reference, pool: Sequence[Candidate]) -> bool:
        """Whether something else of the host's link has, or may have, what *reference* means: that is the verdict."""
        name = reference.name
        if not pool and name in self.needed.left_out:
            self._other(reference, Verdict.MISSING, LEFT_OUT.format(title=self.needed.left_out[name]))
        elif not pool and reference.spelling in self.supplied:
            self._other(reference, Verdict.LOADER, f"{self.supplied[reference.spelling]} supplies it")
        elif pool and name in self.needed.suppliers:
            library = self.needed.suppliers[name]
            reason = f"{library} supplies it; the host's own, at {pool[0].address:#x}, is a static one of another file"
            self._other(reference, Verdict.LOADER, reason)
        elif pool and name in self.needed.doubts:
            library = self.needed.doubts[name]
            self._other(
                reference,
                Verdict.AMBIGUOUS,
                f"{library} exports it, and the host has a local one, which may be a static one of another file: its "
                f"linker makes globals local, and not all objects of its link are there to say; name the objects that "
                f"it was linked from with --archive, or link it with -rdynamic",
                (*map(described, pool), f"{as_text(name)} in {library}"),
            )
        else:
            return False
        return True

    def _override(self, reference: Reference) -> None:
        """An earlier patch replaced the host's function."""
        self.remarks[reference.spelling] = "an earlier patch replaced the host's"
        self.fixed.add(reference.spelling)
        self.elsewhere.add(reference.spelling)
        self.spellings.append(reference.spelling)
        self.addresses.append(self.overrides[reference.name])

    def _explain_missing(self) -> None:
        """Give the first missing symbols the host's names that look most like them."""
        if not self.missing:
            return
        from stubgen.symbols.similar import close_names, halves

        sought = self.missing[:CLOSE_NAMES_FOR]
        image = self.host.image
        halved = {part for reference, _ in sought for part in halves(reference.name)}
        likely = image.names_with(halved) if len(sought) > FEW_MISSING else None
        for reference, position in sought:
            close = close_names(reference.name, image.names() if likely is None else likely)
            self.others[position] = self.others[position]._replace(candidates=close)


def described(candidate: Candidate) -> str:
    """One line about a symbol of the host's, for a person who has to choose."""
    version = f"@{candidate.version}" if candidate.version else ""
    scope = "local" if candidate.local else "global"
    file = f", {as_text(candidate.file)}" if candidate.file else ""
    what = f"{scope} {candidate.kind.value}, {candidate.section}{file}"
    return f"{as_text(candidate.name)}{version} at {candidate.address:#x} ({what})"
