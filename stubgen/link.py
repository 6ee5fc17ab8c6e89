"""The whole path in one call: build the stubs, plan the link, run the linker, check the patch."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Unpack

from stubgen import __version__
from stubgen.bind import bound_paths, stage_bound, write_bound
from stubgen.build import Built, StubBuilder, describe, refuse_problems
from stubgen.capture import Capture, refuse_another_build
from stubgen.check import Checked, check_linked, refuse_findings
from stubgen.common import arguments
from stubgen.common.arguments import StrPath, choice, flag, instance, optional, path, path_list
from stubgen.common.files import (
    Outputs,
    keep_apart,
    read_input,
    write_output,
)
from stubgen.common.phases import phase
from stubgen.common.placeholders import OutputNames
from stubgen.common.text import as_bytes
from stubgen.errors import InputError, PatchRefusal, UsageError
from stubgen.image.identity import NO_SESSION, PatchIdentity
from stubgen.image.opening import open_image
from stubgen.linker import LinkFolder, library_finder, link_folder, run_linker
from stubgen.linkplan import (
    LinkPlan,
    PatchRequest,
    captured_objects,
    linker_os_for_host,
    plan_link,
    wrapped_symbols,
)
from stubgen.linkplan.link_files import link_files
from stubgen.linkplan.own_folders import own_folders
from stubgen.options import BtiPolicy, Options, read_options
from stubgen.origin.account import Inputs, LinkInput
from stubgen.origin.exports import read_exports
from stubgen.origin.sources import Source
from stubgen.replaced import Replaced, replaced_by, replaced_in
from stubgen.resolve.needed import open_objects
from stubgen.resolve.resolution import Resolution
from stubgen.resolve.verdicts import Decision, Verdict

if TYPE_CHECKING:
    from stubgen.image import Image
    from stubgen.jumptable import JumpTable, TableOptions
    from stubgen.linkplan.request import CapturedCommand


@dataclass(frozen=True, slots=True)
class Linked:
    """A linked and checked patch, and how it came about."""

    output: Path
    built: Built
    plan: LinkPlan
    command: tuple[str, ...]
    """What was run, in ``plan.directory``."""
    messages: str
    """What the linker printed; warnings, when it succeeded."""
    checked: Checked
    size: int
    """Bytes of the patch."""
    replaced: Replaced
    """The host's functions that the patch defines anew."""
    replaced_in_previous: tuple[tuple[str, Replaced], ...]
    """The path of each earlier patch, and those of its functions."""
    jump_table: JumpTable | None = None
    """Where a runtime finds them, if that was asked for."""
    digest: str = ""
    """SHA-256 of the patch, hexadecimal, if names of outputs might have it."""

    @property
    def replaces(self) -> dict[str, int]:
        """Those that other files call by their name -> virtual address in the patch: the override map."""
        return self.replaced.by_name


def link_patch(
    builder: StubBuilder,
    captured: Capture,
    objects: Sequence[StrPath],
    output: StrPath,
    aslr_reference: int | None = None,
    *,
    bti: BtiPolicy | str = BtiPolicy.AUTO,
    extra: Sequence[StrPath] = (),
    stub: StrPath | None = None,
    bound_dir: StrPath | None = None,
    keep_temps: bool = False,
    jump_table: TableOptions | None = None,
    session_id: bytes = NO_SESSION,
    generation: int = 0,
    allow_rebuilt: bool = False,
    **options: Unpack[Options],
) -> Linked:
    """Link a patch that is sound, from bound copies of its objects; the output appears only when it is.

    Symbols that the host lacks are left to the linker's own libraries, and the check after the link says
    whether one of them has them.

    Args:
        builder: the host, opened.
        captured: the link of the host, as the capture recorded it.
        objects: the patch's objects and archives.
        output: the patch to write.
        aslr_reference: as in :meth:`StubBuilder.build`, and so is *bti*.
        bti: see there.
        extra: further inputs for the link, before the objects.
        stub: where to keep the stub object; by default it is gone after the link.
        bound_dir: where to keep the bound copies; a Mach-O patch with debug information names them, so that
            without it two links differ and a debugger finds nothing.
        keep_temps: keep what the linker reads, in the folder ``OUTPUT.temps``, so that the link can be repeated.
        jump_table: make one, with these options.
        session_id: 16 bytes that tell the session that the patch belongs to from others, for its identity note; an
            earlier patch of another one is refused.
        generation: the patch's number in it.
        allow_rebuilt: use the captured link although it wrote another build of the host.
        options: see :class:`~stubgen.options.Options`; ``bind`` is always on, and cannot be turned off.

    Raises:
        BuildIdRefusal: the captured link wrote another build of the host.
        LinkerFailed: the linker could not be run or ended with an error; the message has its output, and so has
            ``output``.
        Cancelled: the caller's :class:`~stubgen.common.cancellation.Cancellation` was called off.
        PatchRefusal: the linked patch is not sound.
        StubgenError: whatever the phases before the link raise.
    """
    with Outputs() as outputs:
        linked = stage_patch(
            outputs,
            builder,
            captured,
            objects,
            output,
            aslr_reference,
            bti=bti,
            extra=extra,
            stub=stub,
            bound_dir=bound_dir,
            keep_temps=keep_temps,
            jump_table=jump_table,
            session_id=session_id,
            generation=generation,
            allow_rebuilt=allow_rebuilt,
            **options,
        )
        outputs.commit()
    return linked


def stage_patch(
    outputs: Outputs,
    builder: StubBuilder,
    captured: Capture,
    objects: Sequence[StrPath],
    output: StrPath,
    aslr_reference: int | None = None,
    *,
    bti: BtiPolicy | str = BtiPolicy.AUTO,
    extra: Sequence[StrPath] = (),
    stub: StrPath | None = None,
    bound_dir: StrPath | None = None,
    keep_temps: bool = False,
    jump_table: TableOptions | None = None,
    session_id: bytes = NO_SESSION,
    generation: int = 0,
    allow_rebuilt: bool = False,
    placeholders: Mapping[str, str] | None = None,
    forwarded: Sequence[int] = (),
    **options: Unpack[Options],
) -> Linked:
    """As :func:`link_patch`, for whoever has more to write: what it would write is among the *outputs*.

    The linker reads copies in a folder of this link's own: what others write meanwhile, another link into the same
    *bound_dir* among them, is not in the patch.

    *placeholders* have what stands for names in braces in *output*, *stub*, *bound_dir* and the table's library, the
    patch's own digest aside (:mod:`stubgen.common.placeholders`); None where braces are braces. The stub object gets a
    forwarder to each address in the process that is *forwarded*.
    """
    _check_pair(builder, captured, allow_rebuilt)
    named = OutputNames(placeholders)
    # Beside what a symbolic link leads to, so that it can be moved there.
    target = Path(os.path.realpath(named.early(path("output", output))))
    inputs, further = path_list("objects", objects), path_list("extra", extra)
    kept = _Kept(optional(path, "stub", stub), optional(named.folder, "bound_dir", bound_dir))
    if options.setdefault("bind", True) is not True:
        raise UsageError("link_patch links bound copies of the objects, always: leave out bind")
    wanted = read_options("link_patch", options)
    policy, keep = choice(BtiPolicy, "bti", bti), flag("keep_temps", keep_temps)
    full_link, system = captured.command(), linker_os_for_host(builder.host.path)
    options["wrapped"] = list(dict.fromkeys([*wanted.wrapped, *wrapped_symbols(full_link, system)]))
    options["linked"] = objects_of_host = [*wanted.linked, *captured_objects(full_link, system)]
    judged = builder.judge(inputs, aslr_reference, link=lambda: link_files(full_link, system), **options)
    exports = _spelled_exports(judged, wanted.exports, further, full_link)
    refuse_problems(judged, allow_missing=True)
    read: list[StrPath] = [builder.host.path, *inputs, *further, *wanted.libraries, *wanted.archives]
    read += [*captured.files(), *_read_besides(judged)]
    kept.named(named.early).refuse_overwriting(target, read, judged)
    identity = _identity(builder, judged, session_id, generation)
    built = builder.emit(judged, bti=policy, anchored=True, identity=identity, forwarded=forwarded)
    exports = (*exports, *_exported_anchor(built, exports))
    phase("plans the link")
    with link_folder(target, keep=keep) as folder:
        stub_path = Path(folder.stands_for(folder.join("stub.o"), kept.stub or "stub.o"))
        write_output(stub_path, built.stub.content)
        assert built.bound is not None  # noqa: S101  # judged for it
        copies = write_bound(built.bound, kept.seen_by_linker(folder.path, built.stub.format))
        kept.name_copies(built, copies, folder)
        linked = Path(folder.stands_for(folder.join(target.name), os.fspath(output)))
        request = PatchRequest(
            objects=[copy for _, copy in copies],
            output=linked,
            extra=[stub_path, *(os.path.abspath(each) for each in further)],
            exports=exports if wanted.exports else (),
            os=system,
            search=own_folders(full_link, system),
            host=os.path.abspath(builder.host.path),
            soname=_fresh_name(target, built, inputs),
        )
        plan = plan_link(full_link, request)
        command = plan.command(folder.path)
        ran = run_linker(command, plan, captured, folder, linked, named=kept.copies is not None)
        ours = Inputs(
            tuple(_link_inputs(built, stub_path, copies, further)),
            ran.link_map,
            plan.directory or os.getcwd(),
            ran.archives,
        )
        checked = check_linked(
            linked,
            builder.host,
            lambda: ours,
            library_finder(plan, captured, folder),
            slide=judged.slide,
            exports=exports,
            libraries=wanted.libraries,
            overrides=wanted.overrides,
            previous=judged.needed.previous,
            pinned=[d.name for d in judged.others if d.verdict is Verdict.LOADER and "@" in d.name],
            facts=builder.facts,
        )
        named.learn(linked)
        written, target = named.at_end(os.fspath(output)), Path(os.path.realpath(named.at_end(os.fspath(output))))
        (kept := kept.named(named.at_end)).refuse_overwriting(target, read, judged)
        checked = _sound(replace(checked, patch=written), judged.problems)
        assert checked.account is not None  # noqa: S101  # check_linked() makes one of every patch
        replaced = replaced_by(checked.account, builder.host, judged.slide.value, objects_of_host)
        earlier = tuple((patch.path, replaced_in(checked.account, patch)) for patch in judged.needed.previous.patches)
        table = None if jump_table is None else _jump_table(linked, target, built, replaced, jump_table, named)
        phase("puts the files in their places")
        size = linked.stat().st_size
        outputs.move(linked, target)
        kept.stage(built, copies, outputs)
    told = tuple(map(folder.told, command))
    return Linked(Path(written), built, plan, told, ran.messages, checked, size, replaced, earlier, table, named.digest)


def _check_pair(builder: StubBuilder, captured: Capture, allow_rebuilt: bool) -> None:
    """See that host and captured link are of one build.

    Raises:
        UsageError: one of them is not what it must be.
        BuildIdRefusal: the link wrote another build.
    """
    instance(StubBuilder, "StubBuilder(host)", "builder", builder)
    instance(Capture, "newest_capture", "captured", captured)
    if not arguments.flag("allow_rebuilt", allow_rebuilt):
        refuse_another_build(captured, builder.host.path, builder.host.identity)


def _identity(builder: StubBuilder, judged: Resolution, session_id: bytes, generation: int) -> PatchIdentity:
    """What the patch's note says.

    Raises:
        UsageError: *session_id* or *generation* is not what it must be.
        PatchRefusal: an earlier patch is another session's.
    """
    if not isinstance(session_id, bytes) or len(session_id) != len(NO_SESSION):
        raise UsageError(f"session_id is {session_id!r}; a session is told from others by {len(NO_SESSION)} bytes")
    for patch in judged.needed.previous.patches:
        theirs = patch.identity.session if patch.identity else NO_SESSION
        if NO_SESSION not in (session_id, theirs) and theirs != session_id:
            raise PatchRefusal(
                f"{patch.path}: is a patch of another session, {theirs.hex()}; this one is {session_id.hex()}"
            )
    count = arguments.number("generation", generation)
    return PatchIdentity(judged.slide.value, builder.host.identity, count, session_id, __version__)


def _read_besides(judged: Resolution) -> list[str]:
    """The files that are read although nobody named them as inputs."""
    borrowed = [member.path for member in judged.needed.borrowed]
    return [*borrowed, *(patch.path for patch in judged.needed.previous.patches)]


class _Kept(NamedTuple):
    """What is to be there after the link besides the patch."""

    stub: str | None  # file of the stub object
    copies: str | None  # folder of the bound copies, absolute

    def named(self, name: Callable[[str], str]) -> _Kept:
        """The same, the stub object's name being known."""
        return self if self.stub is None else self._replace(stub=name(self.stub))

    def refuse_overwriting(self, target: Path, inputs: Sequence[StrPath], judged: Resolution) -> None:
        """Refuse it, and the patch *target*, where it would overwrite one of *inputs*.

        Raises:
            UsageError: it would.
        """
        copies = bound_paths([image.name for image in judged.needed.images], self.copies) if self.copies else ()
        keep_apart({"output": target, "stub": self.stub}, inputs, copies)

    def seen_by_linker(self, folder: str, format_name: str) -> str:
        """The folder in *folder*, this link's own, for what the linker reads.

        A Mach-O patch names its objects; with *folder* cut off in front, they are those that are kept.
        """
        return f"{folder}{self.copies}" if self.copies and format_name == "macho" else os.path.join(folder, "bound")

    def name_copies(self, built: Built, copies: Sequence[tuple[str, str]], folder: LinkFolder) -> None:
        """People know each of *copies* as where it is kept, or as what it is a copy of."""
        assert built.bound is not None  # noqa: S101  # judged for it
        names = [name for name, _ in copies]
        titles = bound_paths([item.name for item in built.bound.objects], self.copies) if self.copies else names
        for title, (_, copy) in zip(titles, copies, strict=True):
            folder.stands_for(copy, title)

    def stage(self, built: Built, copies: Sequence[tuple[str, str]], outputs: Outputs) -> None:
        """Let it be among the *outputs*; *copies* were linked, and a debugger knows their times."""
        if self.stub is not None:
            outputs.add(self.stub, built.stub.content)
        if self.copies is not None:
            assert built.bound is not None  # noqa: S101  # judged for it
            stage_bound(built.bound, self.copies, outputs, like=[copy for _, copy in copies])


def _jump_table(
    linked: Path, target: Path, built: Built, replaced: Replaced, wanted: TableOptions, named: OutputNames
) -> JumpTable:
    """The jump table of the patch at *linked*, which will be at *target*; its library is *named* at the end.

    Raises:
        UsageError: the slide was given, so that there is no anchor.
        PatchRefusal: as :func:`~stubgen.jumptable.make_jump_table` does.
    """
    from stubgen.jumptable import TableOptions, make_jump_table

    wanted = instance(TableOptions, "TableOptions()", "jump_table", wanted)
    wanted = wanted._replace(library=named.at_end(wanted.library))
    resolution = built.resolution
    if resolution.slide.anchor is None:
        raise UsageError("a jump table needs the anchor: give its runtime address instead of the slide")
    own = len(resolution.needed.images) - len(resolution.needed.borrowed)
    objects = [(image.name, image) for image in resolution.needed.images[:own]]
    content = read_input(linked)
    patch = open_image(content, str(target))
    table = make_jump_table(patch, built.host, replaced, objects, resolution.slide.anchor, wanted)
    return table._replace(content=bytes(content))


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
        yield LinkInput(name, copy, source, open_image(item.content, name), original)
    for extra in further:
        for image in _objects_in(extra):
            yield LinkInput(image.name, os.path.abspath(extra), Source.OBJECT, image)


def _objects_in(extra: str) -> list[Image]:
    try:
        return open_objects(extra).images
    except InputError:  # a library, a linker script
        return []


def _sound(checked: Checked, problems: Iterable[Decision]) -> Checked:
    """*checked*, if nothing speaks against the patch; else what was known of the symbols before the link is told too.

    Raises:
        PatchRefusal: its message has a line for each finding and for each of the *problems* that one is about.
    """
    try:
        refuse_findings(checked)
    except PatchRefusal as error:
        named = {name for finding in checked.findings if not finding.ok for name in finding.names}
        notes = [f"  {describe(decision)}" for decision in problems if decision.name in named]
        raise PatchRefusal("\n".join([str(error), *notes]), checked.findings) from error
    return checked


def _fresh_name(target: Path, built: Built, inputs: Sequence[StrPath]) -> str:
    """The patch's soname: another one for every content, or the loader returns the patch that it already has."""
    digest = hashlib.sha256(built.stub.content)
    for each in inputs:
        digest.update(read_input(each))
    borrowed = len(built.resolution.needed.borrowed)
    for item in built.bound.objects[-borrowed:] if built.bound and borrowed else ():
        digest.update(item.content)
    return f"{target.stem}.{digest.hexdigest()[:12]}{target.suffix}"
