"""One link of a patch: judging, emitting, planning, running the linker and checking, each as a step."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

from stubgen.bind import write_bound
from stubgen.build import Built, StubBuilder, refuse_problems
from stubgen.capture import Capture
from stubgen.check import Checked, check_linked
from stubgen.common.arguments import StrPath
from stubgen.common.files import read_input, write_output
from stubgen.common.text import as_bytes
from stubgen.errors import InputError, LinkerFailed, UsageError
from stubgen.image import Image
from stubgen.image.identity import PatchIdentity
from stubgen.image.opening import open_image
from stubgen.kept_files import KeptFiles
from stubgen.linker import LinkerRun, LinkFolder, library_finder, run_linker
from stubgen.linkplan import (
    LinkPlan,
    PatchRequest,
    captured_objects,
    linker_os_for_host,
    plan_link,
    refuse_unloadable,
    wrapped_symbols,
)
from stubgen.linkplan.link_files import link_files
from stubgen.linkplan.own_folders import own_folders
from stubgen.linkplan.request import CapturedCommand
from stubgen.options import BtiPolicy, read_options
from stubgen.origin.account import Inputs, LinkInput
from stubgen.origin.exports import read_exports
from stubgen.origin.sources import Source
from stubgen.policies import Policy, edit_link
from stubgen.replaced import Replaced, replaced_by, replaced_in
from stubgen.resolve.objects import open_objects
from stubgen.resolve.resolution import Resolution
from stubgen.resolve.rulings import PolicyChange
from stubgen.resolve.verdicts import Verdict
from stubgen.without_code import HostsLink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from stubgen.keywords import Options


class PatchLink:
    """One link of a patch, step by step; each step knows what the ones before it found.

    Args:
        builder: the host, opened.
        captured: the link of the host.
        inputs: the patch's objects and archives.
        further: further inputs for the link.
        options: see :class:`~stubgen.options.Options`.

    Raises:
        UsageError: an option is not what it must be.
    """

    judged: Resolution
    exports: tuple[str, ...]
    """As the symbol table spells them."""
    built: Built
    copies: list[tuple[str, str]]
    """Name and path of each bound copy."""
    plan: LinkPlan
    edits: Sequence[PolicyChange]
    """What policies changed in it."""
    command: list[str]
    ran: LinkerRun

    def __init__(
        self,
        builder: StubBuilder,
        captured: Capture,
        inputs: Sequence[str],
        further: Sequence[str],
        options: Options,
    ) -> None:
        if options.setdefault("bind", True) is not True:
            raise UsageError("link_patch links bound copies of the objects, always: leave out bind")
        self.builder = builder
        self.captured = captured
        self.inputs = inputs
        self.further = further
        self.wanted = read_options("link_patch", options)
        self._options = options
        self._full_link, self._system = captured.command(), linker_os_for_host(builder.host.path)
        self.objects_of_host = [*self.wanted.linked, *captured_objects(self._full_link, self._system)]

    def judge(self, aslr_reference: int | None) -> Resolution:
        """Judge each symbol; those with which the patch cannot work are refused.

        Raises:
            StubgenError: as for :meth:`StubBuilder.judge`; nothing could load a patch into what the command links.
        """
        judged = self.verdicts(aslr_reference)
        self.exports = _spelled_exports(judged, self.wanted.exports, self.further, self._full_link)
        if judged.problems:  # where nothing can load a patch, no advice about a symbol helps
            refuse_unloadable(self._full_link, self._system)
        refuse_problems(judged, allow_missing=True, left_out=self._left_out(judged))
        self.judged = judged
        return judged

    def _left_out(self, judged: Resolution) -> set[bytes]:
        """The names of which link-time optimisation left the host nothing, and that no further input has."""
        names = set(judged.needed.left_out)
        for extra in self.further if names else ():
            names.difference_update(*(image.definitions() for image in _objects_in(extra)))
        return names

    def verdicts(self, aslr_reference: int | None) -> Resolution:
        """The verdict on each symbol, whatever it is.

        Raises:
            StubgenError: as for :meth:`StubBuilder.judge`.
        """
        full_link, system = self._full_link, self._system
        wrapped = list(dict.fromkeys([*self.wanted.wrapped, *wrapped_symbols(full_link, system)]))
        options = {**self._options, "wrapped": wrapped, "linked": self.objects_of_host}
        return self.builder.judge(
            self.inputs, aslr_reference, link=lambda: link_files(full_link, system), **cast("Options", options)
        )

    @property
    def read(self) -> list[StrPath]:
        """Every file that the link reads."""
        named = [*self.inputs, *self.further, *self.wanted.libraries, *self.wanted.archives]
        borrowed = [member.path for member in self.judged.needed.borrowed]
        earlier = [patch.path for patch in self.judged.needed.previous.patches]
        return [self.builder.host.path, *named, *self.captured.files(), *borrowed, *earlier]

    def emit(self, bti: BtiPolicy, identity: PatchIdentity, forwarded: Sequence[int]) -> Built:
        """Make the stub object and the bound copies."""
        built = self.builder.emit(self.judged, bti=bti, anchored=True, identity=identity, forwarded=forwarded)
        self.exports = (*self.exports, *_exported_anchor(built, self.exports))
        self.built = built
        return built

    def run(self, folder: LinkFolder, linked: Path, kept: KeptFiles) -> None:
        """Let the linker write *linked*, in *folder*.

        Raises:
            LinkerFailed: it could not be run or ended with an error.
            StubgenError: there is no plan for such a link.
        """
        built = self.built
        assert built.bound is not None  # noqa: S101  # judged for it
        self._stub = Path(folder.stands_for(folder.join("stub.o"), kept.stub or "stub.o"))
        write_output(self._stub, built.stub.content)
        self.copies = write_bound(built.bound, kept.seen_by_linker(folder.path, built.stub.format))
        kept.name_copies(built, self.copies, folder)
        request = PatchRequest(
            objects=[copy for _, copy in self.copies],
            output=linked,
            extra=[self._stub, *(os.path.abspath(each) for each in self.further)],
            libraries=[os.path.abspath(each) for each in self.wanted.libraries],
            exports=self.exports if self.wanted.exports else (),
            os=self._system,
            search=own_folders(self._full_link, self._system),
            host=os.path.abspath(self.builder.host.path),
            soname=_fresh_name(linked, built, self.inputs),
        )
        self.plan, self.edits = _planned(self._full_link, request, self.wanted.policies)
        self.command = self.plan.command(folder.path)
        named = kept.copies is not None
        self.ran = run_linker(self.command, self.plan, self.captured, folder, linked, named=named)

    def check(self, folder: LinkFolder, linked: Path) -> Checked:
        """What there is to say of *linked*.

        Raises:
            LinkerFailed: the linker wrote something else than a patch, and said nothing.
        """
        judged, wanted = self.judged, self.wanted
        files = tuple(_link_inputs(self.built, self._stub, self.copies, self.further))
        ours = Inputs(files, self.ran.link_map, self.plan.directory or os.getcwd(), self.ran.archives)
        try:
            return check_linked(
                linked,
                self.builder.host,
                lambda: ours,
                library_finder(self.plan, self.captured, folder),
                slide=judged.slide,
                exports=self.exports,
                libraries=wanted.libraries,
                overrides={**wanted.overrides, **_ruled_addresses(judged)},
                previous=judged.needed.previous,
                pinned=[d.name for d in judged.others if d.verdict is Verdict.LOADER and "@" in d.name],
                facts=self.builder.facts,
                linked=True,
            )
        except InputError as error:
            if not str(error).startswith(str(linked)):
                raise
            told = folder.told(f"{self.command[0]}: said nothing was wrong, but wrote no patch: {error}")
            raise LinkerFailed(told, command=self.command, status=0, output=self.ran.messages) from error

    def replaced(self, checked: Checked) -> tuple[Replaced, tuple[tuple[str, Replaced], ...]]:
        """What the patch replaces in the host, and in each earlier patch."""
        account = checked.account
        assert account is not None  # noqa: S101  # check_linked() makes one of every patch
        earlier = tuple((patch.path, replaced_in(account, patch)) for patch in self.judged.needed.previous.patches)
        link = HostsLink(self.objects_of_host, lambda: link_files(self._full_link, self._system))
        return replaced_by(account, self.builder.host, self.judged.slide.value, link), earlier


def _planned(
    full_link: CapturedCommand, request: PatchRequest, policies: Sequence[Policy]
) -> tuple[LinkPlan, Sequence[PolicyChange]]:
    """The plan as the builder's policies have it, and what they changed."""
    plan = plan_link(full_link, request)
    if not policies:
        return plan, ()
    args, changes = edit_link(policies, plan.args)
    return plan._replace(args=tuple(args)), changes


def _ruled_addresses(judged: Resolution) -> dict[str, int]:
    """The runtime addresses that policies chose, by the symbol's name."""
    ruled = (decision for decision in judged.decisions() if decision.policy) if judged.policies else ()
    return {d.name: d.runtime_address for d in ruled if d.runtime_address is not None}


def _spelled_exports(
    judged: Resolution, exports: Sequence[str], further: Sequence[str], command: CapturedCommand
) -> tuple[str, ...]:
    """*exports* as the symbol table spells them.

    Raises:
        UsageError: nothing of the link will define one of them for the loader to find.
    """
    words = {part for word in command.argv for part in re.split("[=,]", word)}  # --defsym=new=old, -alias old new
    objects = [*judged.needed.images, *(image for extra in further for image in _objects_in(extra))]
    return read_exports(exports, objects, {*words, judged.slide.anchor or ""})


def _exported_anchor(built: Built, exports: Sequence[str]) -> list[str]:
    """The anchor, where the stub object defines it: a runtime sees by it where the patch was loaded."""
    anchor = built.resolution.slide.anchor
    defined = anchor is not None and as_bytes(anchor) in built.stub.names[-1:]
    return [anchor] if anchor is not None and defined and anchor not in exports else []


def _link_inputs(
    built: Built, stub_path: Path, copies: Sequence[tuple[str, str]], further: Sequence[str]
) -> Iterator[LinkInput]:
    """What the command gives to the linker: stub object, bound copies, and what the caller named besides."""
    yield LinkInput(stub_path.name, str(stub_path), Source.STUB, open_image(built.stub.content, stub_path.name))
    bound = built.bound.objects if built.bound else ()
    needed = built.resolution.needed
    own = len(bound) - len(needed.borrowed)  # which stand behind the patch's own
    for number, (item, (name, copy), original) in enumerate(zip(bound, copies, needed.images, strict=True)):
        source = Source.OBJECT if number < own else Source.BORROWED
        before = original if item.wrote_code else None
        yield LinkInput(name, copy, source, item.image or open_image(item.content, name), before)
    for extra in further:
        for image in _objects_in(extra):
            yield LinkInput(image.name, os.path.abspath(extra), Source.OBJECT, image)


def _objects_in(extra: str) -> list[Image]:
    try:
        return open_objects(extra).images
    except InputError:  # a library, a linker script
        return []


def _fresh_name(target: Path, built: Built, inputs: Sequence[StrPath]) -> str:
    """The patch's soname: another one for every content, or the loader returns the patch that it already has."""
    digest = hashlib.sha256(built.stub.content)
    for each in inputs:
        digest.update(read_input(each))
    borrowed = len(built.resolution.needed.borrowed)
    for item in built.bound.objects[-borrowed:] if built.bound and borrowed else ():
        digest.update(item.content)
    return f"{target.stem}.{digest.hexdigest()[:12]}{target.suffix}"
