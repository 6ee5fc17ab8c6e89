"""Options and answers about patches of one process, and names of outputs that have placeholders in them."""

from __future__ import annotations

from stubgen.commands.options import address, each_of
from stubgen.common.placeholders import DIGEST, DIGITS, GENERATION, expand
from stubgen.common.text import counted
from stubgen.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from stubgen.generations.linking import LinkedGeneration
    from stubgen.generations.opening import SessionOptions

NAMES = ("output", "lib", "jump_table", "stub", "map", "override_map", "report", "bound_dir", "objects_dir")
"""Options whose values may have placeholders."""
EARLY = {DIGEST: "0" * DIGITS}
"""What stands for a placeholder until it is known."""


def add_session_options(parser: argparse.ArgumentParser) -> None:
    """The options of a link that is one of several for one process."""
    parser.add_argument(
        "--session",
        metavar="FILE",
        help="what was patched before in this process: earlier patches go in by themselves, tables are complete",
    )
    parser.add_argument(
        "--loaded",
        type=address,
        metavar="ADDR",
        help="session: where the process has the anchor of the newest patch (dlsym in its library)",
    )
    parser.add_argument(
        "--relink-earlier",
        action="store_true",
        help="session: link the objects of earlier patches again, for runtimes that do not say where they loaded one",
    )
    parser.add_argument(
        "--new-session", action="store_true", help="session: the process was started again, begin the file anew"
    )


def session_options(arguments: argparse.Namespace) -> SessionOptions | None:
    """The session that is meant; None where none is.

    Raises:
        UsageError: an option about a session, and no session.
    """
    if arguments.session is None:
        if arguments.loaded is not None or arguments.relink_earlier or arguments.new_session:
            raise UsageError("--loaded, --relink-earlier and --new-session are about a session: add --session FILE")
        return None
    if not arguments.session:
        raise UsageError("--session is empty; name the session's file")
    from stubgen.generations.opening import SessionOptions

    return SessionOptions(
        arguments.session, arguments.loaded, arguments.relink_earlier, arguments.new_session, arguments.pid
    )


def has_placeholders(arguments: argparse.Namespace) -> bool:
    """Whether any name has braces in it."""
    return any("{" in name or "}" in name for name in (getattr(arguments, each, None) or "" for each in NAMES))


def with_names(
    arguments: argparse.Namespace, generation: str | None, digest: str = EARLY[DIGEST]
) -> argparse.Namespace:
    """*arguments*, their placeholders expanded; without a session *generation* is None.

    Raises:
        UsageError: a name in braces is no placeholder, or is none here.
    """
    values = {DIGEST: digest, **({} if generation is None else {GENERATION: generation})}
    given = {name: getattr(arguments, name, None) for name in NAMES}
    return type(arguments)(
        **{**vars(arguments), **{name: expand(text, values) for name, text in given.items() if text}}
    )


def generation_document(generation: LinkedGeneration) -> dict[str, object]:
    """What a patch is in its session, for ``--json``."""
    return {
        "session": generation.session.identity,
        "generation": generation.number,
        "relinked": list(generation.relinked),
        "afresh": list(generation.afresh),
        "no_longer_replaced": list(generation.no_longer),
    }


def generation_lines(generation: LinkedGeneration) -> list[str]:
    """The same for a person."""
    table = generation.linked.jump_table
    own = str(generation.linked.output)
    entries = table.entries if table else ()
    objects = {item.object for item in generation.linked.replaced.functions}
    held = sum(entry.object != own and entry.object not in objects for entry in entries)
    led = f": its table has {counted(len(entries), 'pair')}, {held} of what earlier patches have" if entries else ""
    lines = [f"  generation {generation.number}{led}"]
    if generation.relinked:
        lines.append(f"  linked again: {', '.join(generation.relinked)}")
    if generation.no_longer:
        lines.append(f"  the host's again, as no object has them: {', '.join(generation.no_longer)}")
    return lines


def generation_notes(generation: LinkedGeneration) -> list[str]:
    """What of a patch may surprise."""
    afresh = generation.afresh
    notes = [f"note: {each_of(afresh)}: an earlier patch had it, and it starts afresh"] if afresh else []
    fixed = not generation.linked.built.host.image.position_independent
    if fixed and generation.session.pid is None:
        notes.append(
            "note: this host is at the same address in each process, so that nothing tells one that was started again "
            "but its number: give --pid"
        )
    return notes
