"""The whole path in one call: build the stubs, plan the link, run the linker, check the patch."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from stubgen import __version__
from stubgen.build import Built, StubBuilder, describe
from stubgen.capture import Capture, refuse_another_build
from stubgen.check import Checked, refuse_findings
from stubgen.common import arguments
from stubgen.common.arguments import StrPath, choice, flag, instance, optional, path, path_list
from stubgen.common.files import (
    Outputs,
    read_input,
)
from stubgen.common.phases import phase
from stubgen.common.placeholders import OutputNames
from stubgen.common.row import Row
from stubgen.common.text import as_bytes
from stubgen.errors import PatchRefusal, UsageError
from stubgen.image.identity import NO_SESSION, PatchIdentity
from stubgen.image.opening import open_image
from stubgen.kept_files import KeptFiles
from stubgen.link_steps import PatchLink
from stubgen.linker import LinkFolder, link_folder
from stubgen.linkplan import (
    LinkPlan,
)
from stubgen.options import BtiPolicy
from stubgen.policies import FinishedPatch, tell_finished
from stubgen.replaced import Replaced
from stubgen.resolve.resolution import Resolution
from stubgen.resolve.rulings import PolicyChange
from stubgen.resolve.verdicts import Decision

if TYPE_CHECKING:
    from stubgen.compare.changes import FunctionChange
    from stubgen.image import Image
    from stubgen.jumptable import JumpTable, TableOptions
    from stubgen.keywords import Options
    from stubgen.registers import Reliance


class Linked(Row):
    """A linked and checked patch, and how it came about."""

    output: Path
    """The patch."""
    built: Built
    """The stub object that it was linked with, and the verdicts."""
    plan: LinkPlan
    """What became of the captured command."""
    command: tuple[str, ...]
    """What was run, in ``plan.directory``."""
    messages: str
    """What the linker printed; warnings, when it succeeded."""
    checked: Checked
    """What the check found."""
    size: int
    """Bytes of the patch."""
    replaced: Replaced
    """The host's functions that the patch defines anew."""
    replaced_in_previous: tuple[tuple[str, Replaced], ...]
    """The path of each earlier patch, and those of its functions."""
    jump_table: JumpTable | None = None
    """Where a runtime finds them, if that was asked for."""
    relying: tuple[Reliance, ...] = ()
    """Callers of functions in ``replaced`` that rely on registers which the new ones change, as in a jump table."""
    relying_in_previous: tuple[tuple[Reliance, ...], ...] = ()
    """The same of ``replaced_in_previous``, one by one; empty where there is a jump table, which has the host's."""
    digest: str = ""
    """SHA-256 of the patch, hexadecimal, if names of outputs might have it."""
    policy_changes: tuple[PolicyChange, ...] = ()
    """What the builder's policies changed, in the verdicts and in the link."""
    led_by_kept: tuple[FunctionChange, ...] = ()
    """Changed functions to whose old selves variables lead that are kept as the host's; empty where there is a table,
    which has them."""
    compared: tuple[str, ...] = ()
    """Functions and constants of both whose address the patch's code compares: the process has the host's."""

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
    as_built: Collection[tuple[str, str]] = (),
    **options: Unpack[Options],
) -> Linked:
    """As :func:`link_patch`, for whoever has more to write: what it would write is among the *outputs*.

    The linker reads copies in a folder of this link's own: what others write meanwhile, another link into the same
    *bound_dir* among them, is not in the patch.

    *placeholders* have what stands for names in braces in *output*, *stub*, *bound_dir* and the table's library, the
    patch's own digest aside (:mod:`stubgen.common.placeholders`); None where braces are braces. The stub object gets a
    forwarder to each address in the process that is *forwarded*. *as_built*: see
    :class:`~stubgen.jumptable.TableOptions`; of what is told where no table is made.
    """
    _check_pair(builder, captured, allow_rebuilt)
    named, written = OutputNames(placeholders), path("output", output)
    kept = KeptFiles(optional(path, "stub", stub), optional(named.folder, "bound_dir", bound_dir))
    policy, keep = choice(BtiPolicy, "bti", bti), flag("keep_temps", keep_temps)
    link = PatchLink(builder, captured, path_list("objects", objects), path_list("extra", extra), options)
    judged, target = link.judge(aslr_reference), _target(named.early(written))
    kept.named(named.early).refuse_overwriting(target, link.read, judged)
    built = link.emit(policy, _identity(builder, judged, session_id, generation), forwarded)
    phase("plans the link")
    with link_folder(target, keep=keep) as folder:
        linked = Path(folder.stands_for(folder.join(target.name), written))
        link.run(folder, linked, kept)
        checked = link.check(folder, linked)
        named.learn(linked)
        written = named.at_end(written)
        target, kept = _target(written), kept.named(named.at_end)
        kept.refuse_overwriting(target, link.read, judged)
        checked = _sound(checked._replace(patch=written), judged.problems)
        replaced, earlier = link.replaced(checked)
        if jump_table is None:
            table, (relying, *relying_in_previous) = None, _relying(linked, target, built, replaced, earlier, as_built)
            led_by_kept = _led_by_kept(built, replaced, as_built)
        else:
            allow_static = link.wanted.allow_static
            table = _jump_table(linked, target, built, replaced, jump_table, named, allow_static=allow_static)
            relying, relying_in_previous, led_by_kept = table.relying, [() for _ in earlier], ()
        idle = dict if table is None or extra else partial(_idle, built, table, replaced, earlier, link.exports)
        compared = _compared(linked, built.host.image, [replaced, *(found for _, found in earlier)], judged, idle)
        built = _with_abandoned(built, replaced)
        command, plan = tuple(map(folder.told, link.command)), _told(link.plan, folder)
        tell_finished(link.wanted.policies, FinishedPatch(str(linked), written, link.exports, judged, command))
        phase("puts the files in their places")
        size = linked.stat().st_size
        outputs.move(linked, target)
        kept.stage(built, link.copies, outputs)
    return Linked(
        output=Path(written),
        built=built,
        plan=plan,
        command=command,
        messages=link.ran.messages,
        checked=checked,
        size=size,
        replaced=replaced,
        replaced_in_previous=earlier,
        jump_table=table,
        relying=relying,
        relying_in_previous=tuple(relying_in_previous),
        digest=named.digest,
        policy_changes=(*judged.changes, *link.edits),
        led_by_kept=led_by_kept,
        compared=compared,
    )


def _target(output: str) -> Path:
    """Where *output* is going to be: beside what a symbolic link leads to, so that it can be moved there."""
    return Path(os.path.realpath(output))


def _told(plan: LinkPlan, folder: LinkFolder) -> LinkPlan:
    """*plan* as people are told of it, without the names of files that are gone."""
    edits = (
        edit._replace(before=tuple(map(folder.told, edit.before)), after=tuple(map(folder.told, edit.after)))
        for edit in plan.edits
    )
    return plan._replace(args=tuple(map(folder.told, plan.args)), edits=tuple(edits))


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


def _jump_table(
    linked: Path,
    target: Path,
    built: Built,
    replaced: Replaced,
    wanted: TableOptions,
    named: OutputNames,
    *,
    allow_static: bool,
) -> JumpTable:
    """The jump table of the patch at *linked*, which will be at *target*; its library is *named* at the end.

    Raises:
        UsageError: the slide was given, so that there is no anchor.
        PatchRefusal: as :func:`~stubgen.jumptable.make_jump_table` does.
    """
    from stubgen.jumptable import TableOptions, make_jump_table

    wanted = instance(TableOptions, "TableOptions()", "jump_table", wanted)
    library = named.at_end(wanted.library)
    wanted = wanted._replace(library=library, allow_static=wanted.allow_static or allow_static)
    resolution = built.resolution
    if resolution.slide.anchor is None:
        raise UsageError("a jump table needs the anchor: give its runtime address instead of the slide")
    content = read_input(linked)
    patch = open_image(content, str(target))
    unchanged = {
        name
        for name, found in resolution.earlier.items()
        if (found.patch.path, found.candidate.address) in wanted.unchanged
    }
    elsewhere = resolution.elsewhere - unchanged
    objects, kept = _own_objects(resolution), _kept_as_hosts(resolution)
    table = make_jump_table(patch, built.host, replaced, objects, resolution.slide.anchor, wanted, kept, elsewhere)
    return table._replace(content=bytes(content))


def _relying(
    linked: Path,
    target: Path,
    built: Built,
    replaced: Replaced,
    earlier: Sequence[tuple[str, Replaced]],
    as_built: Collection[tuple[str, str]],
) -> list[tuple[Reliance, ...]]:
    """The callers, in the host and in each earlier patch, that rely on registers which the new functions change.

    Runtimes that overwrite where old functions begin need no table for it.
    """
    if not any(found.functions for found in (replaced, *(found for _, found in earlier))):
        return [(), *(() for _ in earlier)]
    from stubgen.jumptable import relying_on_replaced, relying_without_table
    from stubgen.stub.find import find_stubs

    resolution = built.resolution
    objects, kept = _own_objects(resolution), _kept_as_hosts(resolution)
    patch = open_image(read_input(linked), str(target))
    return [
        relying_without_table(patch, built.host, replaced, objects, kept, resolution.elsewhere, as_built),
        *(
            relying_on_replaced(patch, one.image, found.functions, dict(objects), find_stubs(one.image))
            for one, (_, found) in zip(resolution.needed.previous.patches, earlier, strict=True)
        ),
    ]


def _led_by_kept(built: Built, replaced: Replaced, as_built: Collection[tuple[str, str]]) -> tuple[FunctionChange, ...]:
    """The changed functions to whose old selves variables lead that are kept as the host's."""
    resolution = built.resolution
    objects, kept = _own_objects(resolution), _kept_as_hosts(resolution)
    if not kept or not replaced.functions:
        return ()
    from stubgen.jumptable import led_by_kept_without_table

    return led_by_kept_without_table(built.host, replaced, objects, kept, resolution.elsewhere, as_built)


def _own_objects(resolution: Resolution) -> list[tuple[str, Image]]:
    """Name and image of each object of the patch, without what was borrowed."""
    own = len(resolution.needed.images) - len(resolution.needed.borrowed)
    return [(image.name, image) for image in resolution.needed.images[:own]]


def _kept_as_hosts(resolution: Resolution) -> set[bytes]:
    """The names of the variables that the patch uses in the host."""
    return {as_bytes(row.name) for row in resolution.shared_variables if row.forwarded and not row.patch}


def _idle(
    built: Built,
    table: JumpTable,
    replaced: Replaced,
    earlier: Sequence[tuple[str, Replaced]],
    exports: Collection[str],
) -> dict[bytes, int]:
    """The patch's functions that never run, and how many bytes each has.

    The anchor is looked up for its address alone, and ``main`` runs already. Of what an earlier patch has and the host
    has not, the newest runs.
    """
    from stubgen.compare.led import never_led_to
    from stubgen.compared import runs_no_more

    judged = built.resolution
    known = {(item.object, item.name) for item in replaced.functions}
    led = {(entry.object, entry.name) for entry in table.entries}
    led |= {(item.object, item.name) for _, found in earlier for item in found.functions} - known
    led = {(title, name) for title, name in led if not runs_no_more(built.host, name)}
    own = _own_objects(judged)
    exported = {as_bytes(name) for name in exports if name != judged.slide.anchor}
    return never_led_to(own, judged.needed.images[len(own) :], led, exported)


def _compared(
    linked: Path, host: Image, replaced: Sequence[Replaced], judged: Resolution, idle: Callable[[], dict[bytes, int]]
) -> tuple[str, ...]:
    """What of host, earlier patches and patch the patch at *linked* compares the addresses of."""
    from stubgen.compared import names_compared

    return names_compared(open_image(read_input(linked), str(linked)), host, replaced, judged, idle)


def _with_abandoned(built: Built, replaced: Replaced) -> Built:
    """*built*, whose shared variables have those of the host's that the patch's functions no longer use."""
    from stubgen.abandoned import variables_abandoned

    judged = built.resolution
    found = variables_abandoned(built.host, replaced, judged, dict(_own_objects(judged)))
    if not found:
        return built
    return built._replace(resolution=judged._replace(shared_variables=(*judged.shared_variables, *found)))


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
