"""``recompile``: compiles what changed again, as the build did, into objects for a patch."""

from __future__ import annotations

from stubgen.commands import Outcome
from stubgen.common.cancellation import tidy_at_signals
from stubgen.common.files import Outputs
from stubgen.common.text import counted

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from stubgen.compileplan.recompile import Recompiled


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``recompile``."""
    parser.add_argument("--captured", required=True, metavar="DIR", help="the folder of the build's records")
    parser.add_argument(
        "--output-name",
        metavar="NAME",
        help="what the host's link wrote: of several compiles of a file, the host's count",
    )
    parser.add_argument("--crate", action="append", default=[], metavar="NAME", help="a crate, instead of its files")
    add_compile_options(parser)
    parser.add_argument(
        "--keep-state", action="store_true", help="add the compilers' options that link --keep-state wants"
    )
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="the folder for the objects")
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help="a file that changed, a header too")


def add_compile_options(parser: argparse.ArgumentParser) -> None:
    """The options that say where compiles are listed: ``recompile`` and ``patch`` share them."""
    parser.add_argument(
        "--compile-commands",
        action="append",
        default=[],
        metavar="FILE",
        help="a compile_commands.json: how C and C++ files were compiled that have no record",
    )


def execute(arguments: argparse.Namespace) -> Outcome:
    """Compile; all objects appear, or none."""
    from stubgen.capture import newest_capture
    from stubgen.compileplan.recompile import recompiled, stage_objects, written_host

    link = newest_capture(arguments.captured, arguments.output_name) if arguments.output_name else None
    outputs = Outputs()
    with (
        outputs,
        tidy_at_signals(),
        recompiled(
            arguments.captured,
            arguments.sources,
            link=link,
            crates=arguments.crate,
            compile_commands=arguments.compile_commands,
            keep_state=arguments.keep_state,
            host=written_host(link) if link else None,
        ) as made,
    ):
        kept = stage_objects(made, arguments.output, outputs)
    document = {
        "output": arguments.output,
        "objects": kept.objects,
        "recompiled": recompiled_documents(kept),
        "notes": list(kept.notes),
    }
    complaint = "\n".join(part for part in (kept.messages.rstrip(), *note_lines(kept)) if part)
    return Outcome(document, "\n".join(recompiled_lines(kept)), complaint=complaint, outputs=outputs)


def recompiled_documents(made: Recompiled) -> list[dict[str, object]]:
    """What was compiled, for ``--json``."""
    return [
        {
            "name": unit.name,
            "command": list(unit.command),
            "directory": unit.directory,
            "objects": list(unit.objects),
            "messages": unit.messages,
        }
        for unit in made.units
    ]


def recompiled_lines(made: Recompiled) -> list[str]:
    """The same for a person."""
    return [f"recompiled {unit.name}: {counted(len(unit.objects), 'object')}" for unit in made.units]


def note_lines(made: Recompiled) -> list[str]:
    """What is to be known of the choice, for a person."""
    return [f"note: {note}" for note in made.notes]
