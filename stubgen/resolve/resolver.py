"""The resolve phase: what each needed symbol becomes, and why.

Every needed symbol gets exactly one verdict. Those that become stubs are kept as columns; a
:class:`Decision` is made for a person who asks. What data and thread-locals become depends on what the patch is linked
from: its objects as they are, where only stubs can answer, or bound copies of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property

from stubgen.common.aarch64 import ADDRESS_LIMIT, LANDING_PADS, WORD
from stubgen.common.text import as_bytes, as_text
from stubgen.errors import AnchorRefusal, InputError
from stubgen.host import Host
from stubgen.host.slide import Slide
from stubgen.image import Candidate, Found, Image, Kind, Reference, Variable
from stubgen.resolve.candidates import counterparts_of, first_choice, meaning
from stubgen.resolve.linker_names import foreign_entry, is_images_own, is_place, place_in, section_of
from stubgen.resolve.needed import Needed
from stubgen.resolve.previous import Earlier
from stubgen.resolve.resolution import Resolution, StubColumns
from stubgen.resolve.rulings import Ruled, UseAddress, UseLoader, UseName
from stubgen.resolve.unanswered import earlier_answer, is_static_c_name
from stubgen.resolve.verdicts import (
    ABSOLUTE_VISIBILITY,
    Answers,
    BoundAnswers,
    DataPolicy,
    Decision,
    SharedVariable,
    SlotKind,
    Target,
    TlsPolicy,
    Verdict,
)
from stubgen.symbols.versions import base_name, plain_name, split_pin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from stubgen.host.previous import EarlierPatch
    from stubgen.resolve.constants import Constants
    from stubgen.resolve.same_file import Files

_DEFINED_BY_STUBS = (Kind.FUNCTION, Kind.DATA, Kind.ABSOLUTE)

REPLACEABLE = "the program may have its own, which the loader then gives the library too"
"""What there is to say of a variable that a library exports, and does not bind to itself."""
UNFOUND = (
    "the library does not look it up, so that nothing says which one is meant; give it hidden visibility (ELF: or link "
    "the library with -Bsymbolic)"
)
NAMELESS = (
    "the host names none of its static variables (strip, or the linker's -x, took the names), so nobody can tell "
    "whether it has this one: --symbols gives them back"
)
GAVE_WAY = "the patch's own is a weak default, which gives way to the host's definition"
CLOSE_NAMES_FOR = 20  # missing symbols for which close names are sought
FEW_MISSING = 4  # up to which each has the host's names gone through; beyond, one search finds what is like any of them


def resolve(
    needed: Needed,
    host: Host,
    slide: Slide,
    answers: Answers | BoundAnswers | None = None,
    *,
    supplied: Mapping[bytes, str] | None = None,
    overrides: Mapping[bytes, int] | None = None,
    rulings: Mapping[bytes, Ruled] | None = None,
) -> Resolution:
    """Judge every needed symbol.

    Args:
        needed: what the patch needs.
        host: the running program.
        slide: how far the loader moved it.
        answers: how the caller wants symbols answered; a :class:`BoundAnswers` if from bound copies.
        supplied: names that shared libraries on the patch's own link line export, each with its library.
        overrides: name -> runtime address of the function that replaced the host's, from earlier patches.
        rulings: spelling -> what a policy says of it, instead of what the host would.

    Raises:
        InputError: patch and host are of different formats, or for different Apple platforms.
        AnchorRefusal: a runtime address would be at or above 2^48.
    """
    _check_same_target(needed, host)
    question = (needed, host, slide, supplied or {}, overrides or {}, rulings or {})
    if isinstance(answers, BoundAnswers):
        return _BoundResolver(*question, answers).run()
    return _StubResolver(*question, answers or Answers()).run()


def _check_same_target(needed: Needed, host: Host) -> None:
    if needed.format != host.image.format:
        titles = {"elf": "an ELF", "macho": "a Mach-O"}
        raise InputError(
            f"{needed.inputs[0]}: is {titles[needed.format]} object, "
            f"but the host {host.path} is {titles[host.image.format]} file"
        )
    wanted = host.image.build_version
    for platform in needed.platforms:
        if wanted is not None and platform.platform != wanted.platform:
            from stubgen.macho.constants import PLATFORM_NAMES

            raise InputError(
                f"{needed.inputs[0]}: a patch object is for {PLATFORM_NAMES.get(platform.platform, platform)}, "
                f"but the host {host.path} is for {PLATFORM_NAMES.get(wanted.platform, wanted)}"
            )


class _Resolver(ABC):
    """One run of the phase: walks the references once and sorts them into columns."""

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
        self.rules = {
            Kind.FUNCTION: self._function,
            Kind.DATA: self._datum,
            Kind.ABSOLUTE: self._absolute,
            Kind.THREAD_LOCAL: self._thread_local,
            Kind.IFUNC: self._ifunc,
            Kind.IMPORT: self._import,
        }

    @property
    def files(self) -> Files:
        """Which of the patch's files are those of the image at hand."""
        if self.patch not in self._files:
            from stubgen.resolve.same_file import Files

            linked = self.answers.linked if isinstance(self.answers, BoundAnswers) and self.patch is None else ()
            self._files[self.patch] = Files.of_needed(self._image, self.needed, linked)
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

    _way_refusal = ""
    """What to do about a weak default that only a bound copy of its object can give up."""

    @abstractmethod
    def _answer_data(self, reference: Reference, candidate: Candidate, address: int, what: str) -> None:
        """Answer a reference to host data, *what*, that is at runtime *address*; ``--data none`` is dealt with."""

    @abstractmethod
    def _thread_local(self, reference: Reference, candidate: Candidate) -> None:
        """Answer a reference to a thread-local of the host's."""

    @abstractmethod
    def _share(self, variables: Sequence[Variable], candidates: Sequence[Candidate]) -> SharedVariable:
        """What becomes of a variable that the patch defines (in *variables*) and the host too, as *candidates*."""

    def run(self) -> Resolution:
        names = {reference.name for reference in self.needed.references}
        names.update(variable.name for variable in self.needed.variables)
        names.update(as_bytes(r.ruling.name) for r in self.rulings.values() if isinstance(r.ruling, UseName))
        found = self.host.find(names)
        self.needed.previous.learn(names)
        for reference in self.needed.references:
            located = self.needed.located.get(reference.name)
            if reference.spelling in self.rulings:
                self._rule(reference, self.rulings[reference.spelling], found)
            elif located is not None:
                self.rules[located.kind](reference, located)
            else:
                self._judge(reference, found.get(reference.name, []))
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
            elif variables[0].writable and self._may_be_nameless(variables[0]):
                yield SharedVariable(as_text(name), variables[0].size, True, forwarded=False, reason_not_kept=NAMELESS)
            elif variables[0].writable:
                new.append(variables[0])
        yield from self._renamed(new, by_name) if new else ()

    def _renamed(self, new: Sequence[Variable], defined: Mapping[bytes, object]) -> Iterator[SharedVariable]:
        """Those of *new*, which the host does not have, that it may have under another name."""
        from stubgen.resolve.renamed import reasons_afresh

        known = {*defined, *(reference.name for reference in self.needed.references)}
        for variable, reason in reasons_afresh(self.host.image, new, known):
            yield SharedVariable(as_text(variable.name), variable.size, True, forwarded=False, reason_not_kept=reason)

    @cached_property
    def _stripped(self) -> str:
        """What there is to say of a name that the host does not have, where it may have lost it."""
        image = self.host.image
        if not image.has_full_symbols:
            return ", but its full symbol table is stripped: --symbols gives it back"
        return ", but its local symbols are stripped: --symbols gives them back" if image.has_nameless_functions else ""

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
        if _is_state(variable):
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
        if _is_state(variables[0]):
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
        if shared.forwarded or not shared.reason_not_kept or not first.writable:
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
        known.update(each.name for each in self.needed.references)
        names = [name for name in called_otherwise(without.image, variable, known) if without.may_have_begun(name)]
        found = self.host.find(set(names)) if names else {}
        names = [name for name in names if not found.get(name)]
        if not names:
            return shared
        listed = " or ".join(map(as_text, names))
        return shared._replace(lost=f"if it was called {listed} in {without.path}, what that has is lost")

    def _compare_constants(  # noqa: B027  # a stub object alone reaches none
        self, variables: Mapping[bytes, Sequence[Variable]], found: Mapping[bytes, Sequence[Candidate]]
    ) -> None:
        """Find the constants that are the host's, if they can be reached."""

    def _tell_statics(self, found: Mapping[bytes, Sequence[Candidate]]) -> None:  # noqa: B027  # likewise
        """Find out which static variables are which, where their names do not tell, if they are to be kept."""

    def _start_afresh(self, variables: Sequence[Variable], candidates: Sequence[Candidate]) -> SharedVariable:
        """The patch keeps its own; what speaks against asking for the host's is said of what the patch can write."""
        first, reason = variables[0], ""
        if first.writable:
            from stubgen.resolve.keep_state import Pair, reason_not_to_ask

            reason = reason_not_to_ask(Pair(variables, candidates, self.files))
            if first.thread_local and self.patch is not None:
                reason = reason or "it is a thread-local of an earlier patch that has no TLS descriptor"
        at = candidates[0].address
        return SharedVariable(as_text(first.name), first.size, first.writable, False, reason, static_address=at)

    def _judge(self, reference: Reference, candidates: Sequence[Candidate]) -> None:
        if self._is_settled(reference, candidates):
            return
        pool, remark = meaning(reference, candidates)
        if self._is_an_earlier_patchs(reference, pool) or self._is_a_librarys(reference, pool):
            return
        if not pool:
            if reference.weak:
                self._other(reference, Verdict.WEAK_NULL, "the host has no such symbol and the reference is weak")
            else:
                self.missing.append((reference, len(self.others)))
                self._other(reference, Verdict.MISSING, f"the host has no such symbol{self._stripped}")
            return
        if len({candidate.address for candidate in pool}) > 1:
            listed = tuple(_describe(candidate) for candidate in pool)
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
        if reference.name in self.needed.gave_way:
            remark = GAVE_WAY
        if not remark and is_static_c_name(reference.name, pool, self.host.image):
            file = as_text(pool[0].file) or "one of its files"
            remark = f"the host has one {pool[0].kind.value} of that name, a local symbol that is static in {file}"
        if remark:
            self.remarks[reference.spelling] = remark
        self.rules[candidate.kind](reference, candidate)

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
        if candidate.kind is Kind.IFUNC:
            self._refuse(reference, candidate, "it is an ifunc, and nothing there is the function itself")
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

    def _is_a_librarys(self, reference: Reference, pool: Sequence[Candidate]) -> bool:
        """Whether a shared library has what *reference* means, or may have it: then that is the verdict."""
        name = reference.name
        if not pool and reference.spelling in self.supplied:
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
                (*map(_describe, pool), f"{as_text(name)} in {library}"),
            )
        else:
            return False
        return True

    def _can_be_named(self, reference: Reference, kind: Kind) -> bool:
        """Whether the stub object can define what *reference* means, a *kind*; refuse it if not."""
        version = split_pin(reference.spelling)[1]
        advice = self._pin_refusal(kind) if version and kind in _DEFINED_BY_STUBS else ""
        if advice:
            reason = f"it pins version {version}, and no linker takes a symbol of that name from an object"
            self._other(reference, Verdict.REFUSED, f"{reason}: {advice}")
        return not advice

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

    def _override(self, reference: Reference) -> None:
        """An earlier patch replaced the host's function."""
        self.remarks[reference.spelling] = "an earlier patch replaced the host's"
        self.fixed.add(reference.spelling)
        self.elsewhere.add(reference.spelling)
        self.spellings.append(reference.spelling)
        self.addresses.append(self.overrides[reference.name])

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

    def _doubt(self, reference: Reference, candidate: Candidate) -> str:
        """Why a call of the host's function may not pass what it takes; empty if nothing says so.

        What calls one in an archive's member was compiled with it, and is as it is in the host.
        """
        if not candidate.local or candidate.hidden or reference.name in self.needed.located:
            return ""
        from stubgen.resolve.convention import reason_not_to_call

        return reason_not_to_call(candidate, self._image, allow_static=self.answers.allow_static)

    def _datum(self, reference: Reference, candidate: Candidate) -> None:
        if self._is_code(reference, candidate):
            self._code_typed_as_data(reference, candidate)
            return
        self._data(reference, candidate, self._runtime(candidate), f"data in {candidate.section or 'no section'}")

    def _is_code(self, reference: Reference, candidate: Candidate) -> bool:
        """Whether a symbol of a datum's type is code: it lies there, and the patch branches to it (GHC types it so)."""
        users = self.needed.users.get(reference.spelling, ())
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


class _StubResolver(_Resolver):
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


class _BoundResolver(_Resolver):
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
        if any(reference.version for reference in self.needed.references):
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
            if self.patch is not None:
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

        reason = reason_not_kept(Pair(variables, candidates, self.files))
        if not reason:
            self.targets[first.name] = target._replace(kept=True)
        at = candidates[0].address
        return SharedVariable(as_text(first.name), first.size, first.writable, not reason, reason, static_address=at)

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
        for name in {*variables, *(reference.name for reference in self.needed.references)} - self.overrides.keys():
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

    def _share_constant(self, variables: Sequence[Variable], candidates: Sequence[Candidate]) -> SharedVariable:
        """One that nothing but its address tells from the host's is the host's."""
        name, constants = variables[0].name, self.constants.get(self.patch)
        if constants is None or constants.place(name) is None:
            return self._start_afresh(variables, candidates)
        address = self._runtime(candidates[0])
        self.targets[name] = Target(Kind.DATA, SlotKind.ADDRESS, address, kept=True, constant=True)
        return SharedVariable(as_text(name), variables[0].size, writable=False, forwarded=True)


def _is_state(variable: Variable) -> bool:
    return variable.writable or variable.thread_local


def _describe(candidate: Candidate) -> str:
    version = f"@{candidate.version}" if candidate.version else ""
    scope = "local" if candidate.local else "global"
    what = f"{scope} {candidate.kind.value}, {candidate.section}"
    return f"{as_text(candidate.name)}{version} at {candidate.address:#x} ({what})"


def _used_by(needed: Needed, spelling: bytes) -> tuple[str, ...]:
    return tuple([needed.images[number].name for number in needed.users.get(spelling, ())])
