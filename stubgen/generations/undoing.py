"""A patch without functions of its own, whose table leads back: to an earlier generation, or to the host."""

from __future__ import annotations

import os
from array import array

from stubgen.build import StubBuilder
from stubgen.capture import Capture
from stubgen.common.arguments import StrPath, instance, number
from stubgen.common.files import Outputs, write_output
from stubgen.common.placeholders import GENERATION
from stubgen.common.scratch import scratch_folder
from stubgen.errors import InputError, UsageError
from stubgen.generations.linking import (
    LinkedGeneration,
    new_generation,
    refuse_known_path,
    with_table,
)
from stubgen.generations.opening import SessionOptions, begin, stage_session
from stubgen.generations.redirections import keys, runtime_address, undone
from stubgen.generations.state import Fate, read_session
from stubgen.generations.tables import complete_table, forwarders_of
from stubgen.host import Host
from stubgen.host.slide import slide_from_anchor
from stubgen.jumptable import TableOptions
from stubgen.link import stage_patch
from stubgen.stub.emit import emit_elf, emit_macho


def stage_undo(
    outputs: Outputs,
    session: SessionOptions,
    builder: StubBuilder,
    captured: Capture,
    output: StrPath,
    aslr_reference: int,
    *,
    anchor: str,
    to: int = 0,
    stub: StrPath | None = None,
    jump_table: TableOptions | None = None,
) -> LinkedGeneration:
    """Link a patch whose table undoes every generation after *to*; it is a generation of its own.

    Raises:
        UsageError: there is no such generation, or nothing to undo.
        PatchRefusal: it is not known where the generation to lead back to was loaded.
        StubgenError: as :func:`~stubgen.link.stage_patch` does.
    """
    slide = slide_from_anchor(builder.host, aslr_reference, anchor)
    begun = begin(outputs, session, builder.host, slide, (), kept={}, keep_state=False)
    known = begun.session
    if not 0 <= to < begun.number - 1 or (to and known.generations[to - 1].fate is Fate.NOT_LOADED):
        raise UsageError(
            f"{begun.path}: cannot be led back to generation {to}: give --to 0, the host, or the number of an earlier "
            f"generation that was loaded"
        )
    targets = undone(known, begun.targets, to)
    addresses = {runtime_address(known, target) for _, _, target in keys(known, targets, back=True)}
    with scratch_folder() as folder:
        empty = os.path.join(folder, "undo.o")
        write_output(empty, _empty_object(builder.host))
        linked = stage_patch(
            outputs,
            builder,
            captured,
            [empty],
            output,
            aslr_reference,
            stub=stub,
            jump_table=jump_table or TableOptions(),
            placeholders={GENERATION: str(begun.number)},
            forwarded=sorted(addresses),
            session_id=bytes.fromhex(known.identity),
            generation=begun.number,
            anchor=anchor,
        )
    table = linked.jump_table
    assert table is not None  # noqa: S101  # it was asked for
    refuse_known_path(begun, linked.output, table.library)
    direct_calls = jump_table is not None and jump_table.direct_calls
    complete = complete_table(begun, known, targets, linked, table, back=True, direct_calls=direct_calls)
    generation = new_generation(begun, linked, table, captured, undo_to=to)
    generation = generation._replace(forwarders=forwarders_of(begun, known, targets, linked))
    after = known._replace(generations=(*known.generations, generation))
    stage_session(outputs, begun.path, after)
    return LinkedGeneration(with_table(linked, complete), after, begun.number, (), (), ())


def _empty_object(host: Host) -> bytes:
    """An object of the host's format that defines nothing.

    Raises:
        InputError: the host does not say which Apple platform it is for.
    """
    if host.image.format == "elf":
        return emit_elf([], array("Q"), features=host.image.features).content
    version = host.image.build_version
    if version is None:
        raise InputError(f"{host.path}: does not say which Apple platform it is for (LC_BUILD_VERSION)")
    return emit_macho([], array("Q"), version).content


def link_undo(
    session: SessionOptions,
    builder: StubBuilder,
    captured: Capture,
    output: StrPath,
    *,
    to: int = 0,
    stub: StrPath | None = None,
    jump_table: TableOptions | None = None,
) -> LinkedGeneration:
    """Link a patch that leads back to generation *to*, to the host with 0, and write the session file.

    Args:
        session: the session's file.
        builder: the host, opened.
        captured: the link of the host, as the capture recorded it.
        output: the patch to write; ``{generation}`` and ``{digest}`` give each a path of its own.
        to: the generation to lead back to.
        stub: where to keep the stub object.
        jump_table: how the table that leads back is made.

    Raises:
        UsageError: there is no such generation, or nothing to undo.
        PatchRefusal: it is not known where the generation to lead back to was loaded.
        StubgenError: as :func:`~stubgen.link.link_patch` does.
    """
    instance(SessionOptions, "SessionOptions()", "session", session)
    anchor = read_session(os.fspath(session.path)).anchor
    with Outputs() as outputs:
        generation = stage_undo(
            outputs,
            session,
            builder,
            captured,
            output,
            anchor.runtime_address,
            anchor=anchor.name,
            to=number("to", to),
            stub=stub,
            jump_table=jump_table,
        )
        outputs.commit()
    return generation
