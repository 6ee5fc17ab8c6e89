"""``patch``: recompiles what changed and links the patch, in one command."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

from stubgen.commands import Outcome, link
from stubgen.commands.options import previous_patches
from stubgen.commands.recompile import add_compile_options, note_lines, recompiled_documents, recompiled_lines
from stubgen.commands.sessions import session_options, with_names
from stubgen.common.cancellation import tidy_at_signals
from stubgen.errors import StubgenError, SymbolRefusal
from stubgen.terminal.sheet import Retold, Sheet, Text, blocks_of

if TYPE_CHECKING:
    import argparse

    from stubgen.compileplan.members import EarlierPatches
    from stubgen.compileplan.recompile import Recompiled
    from stubgen.generations.relinking import KeptObject
    from stubgen.session import Session


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """Declare ``link``'s options, and those that say what changed in place of its objects."""
    link.configure_parser(parser, objects=False)
    parser.add_argument(
        "--changed",
        action="append",
        default=[],
        metavar="FILE",
        help="a file that changed, a header too; repeat it (default: those that are newer than the host's compiles)",
    )
    add_compile_options(parser)
    parser.add_argument("--objects", dest="objects_dir", metavar="DIR", help="keep the objects there; {generation}")


def execute(arguments: argparse.Namespace, session: Session | None = None) -> Outcome:
    """Recompile and link; nothing appears but a sound patch.

    Members of archives that the patch turns out to need, and that read what changed, are compiled in a second round.
    """
    from stubgen.session import Session

    session = session or Session(mapped=True)
    also: frozenset[str] = frozenset()
    with tidy_at_signals():
        while True:
            outcome, old = _attempt(arguments, session, also)
            if not old:
                return outcome
            also |= old  # there are fewer of them each time


def _attempt(arguments: argparse.Namespace, session: Session, also: frozenset[str]) -> tuple[Outcome, frozenset[str]]:
    """The patch, with the members *also*; and those without which it is none, as they are as before an edit."""
    from stubgen.compileplan.recompile import old_members, recompiled, stage_objects

    with recompiled(
        arguments.captured,
        arguments.changed,
        link=link.captured_link(arguments),
        compile_commands=arguments.compile_commands,
        keep_state=arguments.keep_state,
        host=partial(session.host, arguments.host, symbols=arguments.symbols, cache=arguments.cache),
        earlier=partial(_earlier_patches, arguments),
        as_built=not arguments.all and bool(arguments.keep_state or arguments.jump_table or arguments.session),
        also=also,
    ) as made:
        arguments.objects, arguments.as_built = made.objects, made.as_built
        arguments.kept_objects = _kept_objects(made, arguments.objects_dir)
        try:
            outcome = link.execute(arguments, session, made.told)
        except StubgenError as error:
            error.args = tuple(made.told(part) for part in error.args)
            if isinstance(error, SymbolRefusal):
                error.decisions = tuple(
                    one._replace(used_by=tuple(map(made.told, one.used_by))) for one in error.decisions
                )
            raise
        kept = made
        if outcome.outputs is not None:
            with outcome.outputs:
                borrowed: Any = outcome.document["borrowed"]
                old = old_members(made, [each["member"] for each in borrowed])
                if old:
                    outcome.outputs.discard()
                    return outcome, old
        if arguments.objects_dir is not None and outcome.outputs is not None:
            with outcome.outputs:
                folder = with_names(arguments, str(outcome.document.get("generation", ""))).objects_dir
                kept = stage_objects(made, folder, outcome.outputs)
    document = made.told({**outcome.document, "recompiled": recompiled_documents(kept), "notes": list(kept.notes)})
    told = [Retold(block, made.told) for block in blocks_of(outcome.text)]
    text: Sheet = [Text("\n".join(recompiled_lines(kept))), *told]
    said = (kept.messages.strip(), *note_lines(kept), outcome.complaint)
    complaint = made.told("\n".join(part for part in said if part))
    return outcome._replace(document=document, text=text, complaint=complaint), frozenset()


def _earlier_patches(arguments: argparse.Namespace) -> EarlierPatches:
    """The patches that the process has, by the options or by the session."""
    from stubgen.compileplan.members import EarlierPatches, patches_at

    wanted = session_options(arguments)
    given = [os.fspath(each.path) for each in previous_patches(arguments.previous)]
    if wanted is None:
        return patches_at(given)
    from stubgen.generations.opening import patches_in_process

    return EarlierPatches(*patches_in_process(wanted))


def _kept_objects(made: Recompiled, folder: str | None) -> dict[str, KeptObject]:
    """Object -> where it will be, and what it was compiled from, for patches that link it again."""
    from stubgen.compileplan.recompile import kept_objects
    from stubgen.compileplan.units import title_of
    from stubgen.generations.relinking import KeptObject

    after = made if folder is None else kept_objects(made, folder)
    return {
        path: KeptObject("" if folder is None else place, title_of(unit.name, unit.directory))
        for unit, there in zip(made.units, after.units, strict=True)
        for path, place in zip(unit.objects, there.objects, strict=True)
    }
