"""The first half of the path in one call: host -> needed -> resolve -> emit -> verify."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict, Unpack

from stubgen.common.cancellation import checkpoint
from stubgen.common.text import as_bytes, counted
from stubgen.errors import SymbolRefusal, UsageError
from stubgen.host import Host
from stubgen.host.slide import Slide, slide_from_anchor, slide_from_value
from stubgen.resolve.resolver import Resolution
from stubgen.resolve.verdicts import DataPolicy, Decision, Policy, TlsPolicy, Verdict
from stubgen.session import Session
from stubgen.stub.emit import StubObject, emit
from stubgen.stub.verify import Verified, verify

if TYPE_CHECKING:
    from stubgen.bind import Bound

PathLike = str | os.PathLike[str]


class Options(TypedDict, total=False):
    """How a patch's symbols are answered; every one may be left out."""

    anchor: str | None
    """The anchor's name; by default ``whisker_aslr_anchor``, else ``main``."""
    slide: int | None
    """The slide in bytes, instead of an anchor's address."""
    data: DataPolicy | str
    """How references to the host's data are answered without bound copies."""
    libraries: Sequence[PathLike]
    """Shared libraries that the patch links; what they export is left to the loader."""
    bind: bool
    """Make bound copies of the objects, which reach the host's data and thread-locals; link those instead."""
    tls: TlsPolicy | str
    """How thread-locals of a host that is a shared library are answered."""
    keep_state: bool
    """Bound copies use the host's writable variables where patch and host both define them."""
    overrides: Mapping[str, int] | None
    """Name -> runtime address of the function that replaced the host's, from earlier patches."""
    whole_archive: bool
    """Take every member of archives, not only those that something refers to."""
    exports: Sequence[str]
    """Names that the patch must export; archives are searched for them."""


@dataclass(frozen=True, slots=True)
class Built:
    """A verified stub object and how it came about."""

    host: Host
    resolution: Resolution
    stub: StubObject
    verified: Verified
    bound: Bound | None
    """The patch's objects to link instead of the given ones; None where those were not asked for."""


class StubBuilder:
    """Builds stub objects against one host, which is opened once.

    Args:
        host: the program's file, unstripped.
        build_id: the build id or UUID that the running process reports, in hex, to be held against the file.
        cache: use the user's cache folder: the host's name index, if somebody made one (:mod:`stubgen.host.index`), and
            what is known about Keystone and Capstone (:mod:`stubgen.stub.facts`).
        session: where hosts and objects are kept for other builders; by default one of its own.

    Raises:
        InputError: the host's file cannot be used.
        BuildIdRefusal: it is another build.
    """

    def __init__(
        self, host: PathLike, *, build_id: str | None = None, cache: bool = True, session: Session | None = None
    ) -> None:
        self.session = session or Session(mapped=True)
        self.host = self.session.host(host, build_id=build_id, cache=cache)
        self.facts = self.session.facts(cache=cache)

    def build(
        self,
        objects: Sequence[PathLike],
        aslr_reference: int | None = None,
        *,
        bti: str = "auto",
        allow_missing: bool = False,
        **options: Unpack[Options],
    ) -> Built:
        """The stub object for a patch made of *objects*.

        Args:
            objects: relocatable objects and archives of the patch.
            aslr_reference: the anchor's runtime address, as the process reports it.
            bti: "auto", "on" or "off".
            allow_missing: leave symbols that the host does not have undefined instead of refusing.
            options: see :class:`Options`.

        Raises:
            UsageError: neither or both of *aslr_reference* and the slide are given.
            AnchorRefusal: the slide cannot be right.
            SymbolRefusal: a needed symbol is missing, ambiguous or cannot be expressed.
            InputError: an object cannot be used.
        """
        judged = self.judge(objects, aslr_reference, **options)
        refuse_problems(judged, allow_missing=allow_missing)
        return self.emit(judged, bti=bti)

    def judge(
        self, objects: Sequence[PathLike], aslr_reference: int | None = None, **options: Unpack[Options]
    ) -> Resolution:
        """The verdicts alone: the phases up to resolve, with :meth:`build`'s arguments."""
        if isinstance(objects, str | os.PathLike):
            raise UsageError(f"objects is the one path {os.fspath(objects)}; give a list of paths")
        if not isinstance(aslr_reference, int | None):
            raise UsageError(f"aslr_reference is {aslr_reference!r}; give a number")
        slide = self._slide(aslr_reference, options.get("anchor"), options.get("slide"))
        supplied = self.session.supplied(options.get("libraries", ()))
        roots = [as_bytes(name) for name in options.get("exports", ())]
        checkpoint()
        needed = self.session.needed(objects, whole_archive=options.get("whole_archive", False), roots=roots)
        checkpoint()
        overrides = options.get("overrides") or {}
        policy = Policy(
            data=DataPolicy(options.get("data", DataPolicy.AUTO)),
            tls=TlsPolicy(options.get("tls", TlsPolicy.AUTO)),
            bind=options.get("bind", False),
            keep_state=options.get("keep_state", False),
        )
        return self.session.resolve(
            needed,
            self.host,
            slide,
            policy,
            supplied=supplied,
            overrides={as_bytes(name): at for name, at in overrides.items()},
        )

    def emit(self, resolution: Resolution, *, bti: str = "auto") -> Built:
        """The stub object for *resolution*: the phases bind (where it was judged for it), emit and verify."""
        image = self.host.image
        checkpoint()
        bound = None
        if resolution.bind:
            from stubgen.bind import bind

            bound = bind(resolution)
            checkpoint()
        stub = emit(
            resolution,
            slots=bound.slots if bound else (),
            host_features=image.features,
            bti=bti,
            build_version=image.build_version,
            facts=self.facts,
        )
        checkpoint()
        return Built(self.host, resolution, stub, verify(stub, self.facts), bound)

    def _slide(self, aslr_reference: int | None, anchor: str | None, slide: int | None) -> Slide:
        if (aslr_reference is None) == (slide is None):
            raise UsageError("give either the anchor's runtime address (--aslr-reference) or the slide (--slide)")
        if slide is not None:
            if anchor is not None:
                raise UsageError("an anchor says nothing beside a given slide: drop --anchor or --slide")
            return slide_from_value(self.host, slide)
        assert aslr_reference is not None  # noqa: S101  # the first check leaves no other case
        return slide_from_anchor(self.host, aslr_reference, anchor)


def create_undefined_symbol_stub(
    host: PathLike,
    objects: Sequence[PathLike],
    aslr_reference: int | None = None,
    *,
    build_id: str | None = None,
    bti: str = "auto",
    allow_missing: bool = False,
    **options: Unpack[Options],
) -> bytes:
    """The content of ``stub.o`` in one call; see :class:`StubBuilder` for arguments and errors."""
    builder = StubBuilder(host, build_id=build_id)
    built = builder.build(objects, aslr_reference, bti=bti, allow_missing=allow_missing, **options)
    return bytes(built.stub.content)


def refuse_problems(resolution: Resolution, *, allow_missing: bool = False) -> None:
    """Raise for the symbols with which the patch cannot work.

    Raises:
        SymbolRefusal: there are any; its message has a line for each.
    """
    problems = [
        decision for decision in resolution.problems if not (allow_missing and decision.verdict is Verdict.MISSING)
    ]
    if problems:
        lines = [f"{counted(len(problems), 'needed symbol')} cannot be stubbed"]
        lines += [f"  {describe(decision)}" for decision in problems]
        if any(decision.verdict is Verdict.MISSING for decision in problems):
            lines.append("  a library on the patch's own link line may supply what is missing: name it with --library")
        raise SymbolRefusal("\n".join(lines))


def describe(decision: Decision) -> str:
    """One line about a verdict: name, verdict, reason, and what else there is to know."""
    text = f"{decision.name}: {decision.verdict.value}: {decision.reason}"
    if decision.candidates:
        label = "close names" if decision.verdict is Verdict.MISSING else "candidates"
        text += f"; {label}: {', '.join(decision.candidates)}"
    if decision.used_by:
        text += f"; used by {', '.join(decision.used_by)}"
    return text
