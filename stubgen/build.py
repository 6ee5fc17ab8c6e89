"""The first half of the path in one call: host -> needed -> resolve -> emit -> verify."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from stubgen.common.arguments import StrPath, choice, flag, instance, number, optional, path_list
from stubgen.common.phases import phase
from stubgen.common.row import Row
from stubgen.common.text import as_bytes, as_text, counted
from stubgen.errors import SymbolRefusal, UsageError
from stubgen.host import Host
from stubgen.host.slide import Slide, slide_from_anchor, slide_from_value
from stubgen.options import BtiPolicy, BuildOptions, read_options
from stubgen.resolve.resolution import Resolution
from stubgen.resolve.verdicts import OWN_CONSTANT, Answers, BoundAnswers, Decision, Verdict
from stubgen.session import Session
from stubgen.stub.emit import Anchor, StubObject, emit
from stubgen.stub.verify import Verified, verify

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Unpack

    from stubgen.bind import Bound
    from stubgen.borrow.homes import LinkFiles
    from stubgen.image.identity import PatchIdentity
    from stubgen.keywords import Options
    from stubgen.policies import Policy
    from stubgen.resolve.needed import Needed


MOST_NAMES = 3
"""Symbols that one line about many of them names; the decisions have all."""


class Built(Row):
    """A verified stub object and how it came about."""

    host: Host
    """The program, opened."""
    resolution: Resolution
    """What became of each needed symbol."""
    stub: StubObject
    """The stub object: ``stub.content`` is the file."""
    verified: Verified
    """What was read back from its bytes."""
    bound: Bound | None
    """The patch's objects to link instead of the given ones; None where those were not asked for."""


class StubBuilder:
    """Builds stub objects against one host, which is opened once.

    Args:
        host: the program's file.
        symbols: the file that has its symbols, where the host is stripped: a debug file or a dSYM of the same build. By
            default it is looked for where debuggers do.
        build_id: the build id or UUID that the running process reports, in hex, to be held against the file.
        cache: use the user's cache folder: the host's name index, if somebody made one, and what is known about
            Keystone and Capstone (:class:`~stubgen.stub.facts.LibraryFacts`).
        session: where hosts and objects are kept for other builders; by default one of its own.

    Raises:
        InputError: the host's file cannot be used.
        BuildIdRefusal: it is another build.
        UsageError: an argument is not what it must be.
    """

    def __init__(
        self,
        host: StrPath,
        *,
        symbols: StrPath | None = None,
        build_id: str | None = None,
        cache: bool = True,
        session: Session | None = None,
    ) -> None:
        self.session = Session(mapped=True) if session is None else instance(Session, "Session", "session", session)
        phase("opens the host")
        self.host = self.session.host(host, symbols=symbols, build_id=build_id, cache=cache)
        self.facts = self.session.facts(cache=cache)

    def build(
        self,
        objects: Sequence[StrPath],
        aslr_reference: int | None = None,
        *,
        bti: BtiPolicy | str = BtiPolicy.AUTO,
        allow_missing: bool = False,
        **options: Unpack[Options],
    ) -> Built:
        """The stub object for a patch made of *objects*.

        Args:
            objects: relocatable objects and archives of the patch.
            aslr_reference: the anchor's runtime address, as the process reports it.
            bti: "auto", "on" or "off".
            allow_missing: leave symbols that the host does not have undefined instead of refusing.
            options: see :class:`~stubgen.options.Options`.

        Raises:
            UsageError: neither or both of *aslr_reference* and the slide are given; an option is unknown or is not
                what it must be.
            AnchorRefusal: the slide cannot be right.
            SymbolRefusal: a needed symbol is missing, ambiguous or cannot be expressed.
            InputError: an object cannot be used.
        """
        lenient = flag("allow_missing", allow_missing)
        policy = choice(BtiPolicy, "bti", bti)
        judged = self._judge("build", objects, aslr_reference, options, None)
        refuse_problems(judged, allow_missing=lenient)
        return self.emit(judged, bti=policy)

    def judge(
        self,
        objects: Sequence[StrPath],
        aslr_reference: int | None = None,
        *,
        link: Callable[[], LinkFiles] | None = None,
        **options: Unpack[Options],
    ) -> Resolution:
        """The verdicts alone: the phases up to resolve, with :meth:`build`'s arguments.

        *link* says which files the host was linked from. It is asked only where the host leaves a name unanswered.
        """
        return self._judge("judge", objects, aslr_reference, options, link)

    def _judge(
        self,
        caller: str,
        objects: Sequence[StrPath],
        aslr_reference: int | None,
        options: Mapping[str, object],
        link: Callable[[], LinkFiles] | None,
    ) -> Resolution:
        wanted = read_options(caller, options)
        inputs, reference = path_list("objects", objects), optional(number, "aslr_reference", aslr_reference)
        slide = self._slide(reference, wanted)
        phase("reads the patch's objects")
        supplied = self.session.supplied(wanted.libraries)
        roots = [as_bytes(prefix + name) for name in wanted.exports for prefix in C_PREFIXES[self.host.image.format]]
        needed = self.session.needed(
            inputs,
            whole_archive=wanted.whole_archive,
            roots=roots,
            wrapped=[as_bytes(name) for name in wanted.wrapped],
        )
        if wanted.previous:
            phase("opens earlier patches")
            previous = self.session.previous(wanted.previous, self.host, slide, self.facts)
            needed = needed._replace(previous=previous)
        phase("looks for what the host lacks")
        needed = self.session.borrowed(needed, self.host, supplied, wanted.archives, link)
        if needed.untold:
            from stubgen.compare.alike import refuse_untold_defaults

            refuse_untold_defaults(needed)
        phase("judges each symbol")
        judge = partial(
            self.session.resolve,
            needed,
            self.host,
            slide,
            _answers(wanted),
            supplied=supplied,
            overrides={as_bytes(name): at for name, at in wanted.overrides.items()},
        )
        return judge() if not wanted.policies else _ruled(wanted.policies, needed, judge)

    def emit(
        self,
        resolution: Resolution,
        *,
        bti: BtiPolicy | str = BtiPolicy.AUTO,
        anchored: bool = False,
        identity: PatchIdentity | None = None,
        forwarded: Sequence[int] = (),
    ) -> Built:
        """The stub object for *resolution*: the phases bind (where it was judged for it), emit and verify.

        Args:
            resolution: the verdicts.
            bti: as in :meth:`build`.
            anchored: where no object of the patch defines the anchor, the stub object does, for the loader to find.
            identity: what the stub object's note says, and that of the patch that is linked with it.
            forwarded: addresses in the process, to which a jump table will lead by way of this patch.
        """
        image = self.host.image
        instance(Resolution, "judge", "resolution", resolution)
        bound = None
        if resolution.bound_targets is not None:
            from stubgen.bind import bind

            phase("binds the objects")
            bound = bind(resolution)
            resolution = _with_changed_values(_with_own_constants(resolution, bound), self.host)
        else:
            _refuse_local_exec(resolution)
        phase("writes the stubs")
        stub = emit(
            resolution.stubs,
            resolution.needed,
            slots=bound.slots if bound else (),
            host_features=image.features,
            bti=choice(BtiPolicy, "bti", bti).value,
            build_version=image.build_version,
            anchor=_anchor(resolution) if flag("anchored", anchored) else None,
            identity=identity,
            forwarded=forwarded,
            facts=self.facts,
        )
        phase("reads the stubs back")
        return Built(self.host, resolution, stub, verify(stub, self.facts), bound)

    def _slide(self, aslr_reference: int | None, wanted: BuildOptions) -> Slide:
        anchor, slide = wanted.anchor, wanted.slide
        if (aslr_reference is None) == (slide is None):
            raise UsageError("give either the anchor's runtime address (--aslr-reference) or the slide (--slide)")
        if slide is not None:
            if anchor is not None:
                raise UsageError("an anchor says nothing beside a given slide: drop --anchor or --slide")
            return slide_from_value(self.host, slide)
        assert aslr_reference is not None  # noqa: S101  # the first check leaves no other case
        return slide_from_anchor(self.host, aslr_reference, anchor)


C_PREFIXES = {"elf": ("",), "macho": ("", "_")}
"""Format -> what the symbol table may have in front of a name that ``dlsym`` takes."""


def _anchor(resolution: Resolution) -> Anchor | None:
    """The anchor that the stub object has to define; None where an object does, or nobody said which it is."""
    slide = resolution.slide
    if slide.anchor is None:
        return None
    name = as_bytes(slide.anchor)
    if any(name in image.definitions() for image in resolution.needed.images):
        return None
    return Anchor(name, slide.runtime_address)


def _with_own_constants(resolution: Resolution, bound: Bound) -> Resolution:
    """*resolution* less the constants of the host's to which not every reference could be bound."""
    if not bound.own_constants:
        return resolution
    own = {as_text(name) for name in bound.own_constants}
    return resolution._replace(
        shared_variables=tuple(
            variable._replace(forwarded=False, reason_not_kept=OWN_CONSTANT) if variable.name in own else variable
            for variable in resolution.shared_variables
        )
    )


def _with_changed_values(resolution: Resolution, host: Host) -> Resolution:
    """*resolution*, which says where an edited value has no effect: a variable is kept, others read a constant."""
    if not any(variable.writable is variable.forwarded for variable in resolution.shared_variables):
        return resolution
    from stubgen.compare.values import with_changed_values

    return with_changed_values(resolution, host)


def _ruled(policies: Sequence[Policy], needed: Needed, judge: Callable[..., Resolution]) -> Resolution:
    """What *judge* says, and the builder's policies."""
    from stubgen.policies import judge as judge_by_policies
    from stubgen.policies import tell_needed

    tell_needed(policies, needed)
    return judge_by_policies(policies, judge(), lambda rulings: judge(rulings=rulings))


def _answers(wanted: BuildOptions) -> Answers | BoundAnswers:
    if wanted.bind:
        return BoundAnswers(wanted.data, wanted.tls, wanted.keep_state, wanted.allow_static, wanted.linked)
    return Answers(wanted.data, wanted.tls, wanted.allow_static)


def _refuse_local_exec(resolution: Resolution) -> None:
    """Refuse objects whose own thread-locals would lie on the host's: GNU ld links them as they are, and says nothing.

    Raises:
        SymbolRefusal: its message has a line for each access.
    """
    if any(variable.thread_local for variable in resolution.needed.variables):
        accesses = [access for image in resolution.needed.images for access in image.local_exec_accesses()]
        if accesses:
            lines = [
                "the patch has thread-locals of its own, in code for the main program (local-exec): link bound copies "
                "(link, --bound-dir), or compile with -fPIC (rustc: -C relocation-model=pic)"
            ]
            raise SymbolRefusal("\n".join([*lines, *(f"  {access}" for access in accesses)]))


def create_undefined_symbol_stub(
    host: StrPath,
    objects: Sequence[StrPath],
    aslr_reference: int | None = None,
    *,
    symbols: StrPath | None = None,
    build_id: str | None = None,
    bti: BtiPolicy | str = BtiPolicy.AUTO,
    allow_missing: bool = False,
    **options: Unpack[Options],
) -> bytes:
    """The content of ``stub.o`` in one call; see :class:`StubBuilder` for arguments and errors."""
    builder = StubBuilder(host, symbols=symbols, build_id=build_id)
    built = builder.build(objects, aslr_reference, bti=bti, allow_missing=allow_missing, **options)
    return bytes(built.stub.content)


def refuse_problems(
    resolution: Resolution, *, allow_missing: bool = False, left_out: Collection[bytes] = frozenset()
) -> None:
    """Raise for the symbols with which the patch cannot work.

    *allow_missing* leaves those that are missing to the linker, but for *left_out*: names of which link-time
    optimisation left the host nothing, and that no library has as the host had them.

    Raises:
        SymbolRefusal: there are any; its message has a line for each, one for all that is left out, and it holds them
            as ``decisions``.
    """
    gone = _left_out(resolution)
    problems = [
        decision
        for decision in resolution.problems
        if not (allow_missing and decision.verdict is Verdict.MISSING and gone.get(decision.name) not in left_out)
    ]
    if problems:
        lines = [f"{counted(len(problems), 'needed symbol')} cannot be stubbed"]
        lines += [f"  {describe(decision)}" for decision in problems if decision.name not in gone]
        untold = {decision.name: gone[decision.name] for decision in problems if decision.name in gone}
        lines += [f"  {_describe_left_out(untold, resolution.needed)}"] if untold else []
        if any(decision.verdict is Verdict.MISSING for decision in problems if decision.name not in gone):
            lines.append("  a library on the patch's own link line may supply what is missing: name it with --library")
        raise SymbolRefusal("\n".join(lines), problems)


def _left_out(resolution: Resolution) -> dict[str, bytes]:
    """The missing symbols of which link-time optimisation left the host nothing -> what the linker knew them by."""
    needed = resolution.needed
    if not needed.left_out:
        return {}
    names = {as_text(reference.spelling): reference.name for reference in needed.references}
    missing = (decision.name for decision in resolution.problems if decision.verdict is Verdict.MISSING)
    return {name: names[name] for name in missing if names.get(name) in needed.left_out}


def _describe_left_out(names: Mapping[str, bytes], needed: Needed) -> str:
    """One line about what :func:`_left_out` gives, however many they are."""
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    files = list(dict.fromkeys(needed.left_out[name] for name in names.values()))
    text = (
        f"{', '.join(list(names)[:MOST_NAMES])}{more}: missing: link-time optimisation left the host nothing called "
        f"so; let the patch have the files that define that, compiled again: {', '.join(files)}"
    )
    further = [title for title in needed.left_out_with if title not in files]
    return text + (f"; and those that these need: {', '.join(further)}" if further else "")


def describe(decision: Decision) -> str:
    """One line about a verdict: name, verdict, reason, and what else there is to know."""
    text = f"{decision.name}: {decision.verdict.value}: {decision.reason}"
    if decision.candidates:
        label = "close names" if decision.verdict is Verdict.MISSING else "candidates"
        text += f"; {label}: {', '.join(decision.candidates)}"
    if decision.used_by:
        text += f"; used by {', '.join(decision.used_by)}"
    return text
