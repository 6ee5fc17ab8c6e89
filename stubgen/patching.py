"""From the names of the files that changed to the patch: recompile and link in one call."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Unpack

from stubgen.build import StubBuilder
from stubgen.capture.links import newest_capture
from stubgen.capture.outputs import identity_of_host
from stubgen.common.arguments import StrPath, instance, optional, path
from stubgen.common.files import Outputs
from stubgen.compileplan.members import patches_at
from stubgen.compileplan.recompile import Recompiled, old_members, recompiled, stage_objects
from stubgen.link import Linked, stage_patch
from stubgen.options import BtiPolicy

if TYPE_CHECKING:
    from stubgen.jumptable import TableOptions
    from stubgen.keywords import Options


class Patched(NamedTuple):
    """A patch, and what was compiled for it."""

    linked: Linked
    """The patch."""
    recompiled: Recompiled
    """What was compiled for it."""


def patch(
    builder: StubBuilder,
    captured: StrPath,
    changed: Sequence[StrPath],
    output: StrPath,
    aslr_reference: int | None = None,
    *,
    output_name: StrPath | None = None,
    compile_commands: Sequence[StrPath] = (),
    objects_dir: StrPath | None = None,
    bti: BtiPolicy | str = BtiPolicy.AUTO,
    extra: Sequence[StrPath] = (),
    stub: StrPath | None = None,
    bound_dir: StrPath | None = None,
    keep_temps: bool = False,
    jump_table: TableOptions | None = None,
    **options: Unpack[Options],
) -> Patched:
    """Compile again what reads the files *changed*, and link the patch; it appears only when it is sound.

    Args:
        builder: the host, opened.
        captured: the folder of the records of the build's links and compiles.
        changed: source files, headers too; none: those that are newer than the host's compiles.
        output: the patch to write.
        aslr_reference: as in :meth:`StubBuilder.build`.
        output_name: what the host's link wrote; by default the host's name.
        compile_commands: as for :func:`~stubgen.recompile`.
        objects_dir: where to keep the objects; by default they are gone after the link.
        bti: as for :func:`~stubgen.link.link_patch`, and so are the others.
        extra: see there.
        stub: see there.
        bound_dir: see there.
        keep_temps: see there.
        jump_table: see there.
        options: see :class:`~stubgen.options.Options`.

    Raises:
        CompilerFailed: a compiler could not be run or ended with an error.
        StubgenError: whatever :func:`~stubgen.recompile` and :func:`~stubgen.link_patch` raise.
    """
    instance(StubBuilder, "StubBuilder(host)", "builder", builder)
    folder, kept = path("captured", captured), optional(path, "objects_dir", objects_dir)
    wrote = optional(path, "output_name", output_name) or Path(builder.host.path).name
    link = newest_capture(folder, wrote, identity_of_host(builder.host.path))
    state = bool(options.get("keep_state", False))
    also: frozenset[str] = frozenset()
    while True:
        with (
            Outputs() as outputs,
            recompiled(
                folder,
                changed,
                link=link,
                compile_commands=compile_commands,
                keep_state=state,
                host=lambda: builder.host,
                earlier=lambda: patches_at([os.fspath(each[0]) for each in options.get("previous", ())]),
                as_built=state if jump_table is None else not jump_table.everything,
                also=also,
            ) as made,
        ):
            linked = stage_patch(
                outputs,
                builder,
                link,
                made.objects,
                output,
                aslr_reference,
                bti=bti,
                extra=extra,
                stub=stub,
                bound_dir=bound_dir,
                keep_temps=keep_temps,
                jump_table=None if jump_table is None else jump_table._replace(as_built=made.as_built),
                as_built=made.as_built,
                **options,
            )
            old = old_members(made, [member.name for member in linked.built.resolution.needed.borrowed])
            if not old:
                objects = made if kept is None else stage_objects(made, kept, outputs)
                outputs.commit()
                return Patched(linked, objects)
            outputs.discard()
            also |= old  # there are fewer of them each time
