"""``plan``: the command that links the patch."""

from __future__ import annotations

import os
from functools import partial

from stubgen.commands import Outcome
from stubgen.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from stubgen.linkplan import CapturedCommand
    from stubgen.linkplan.plan import LinkPlan
    from stubgen.terminal.sheet import Sheet


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``plan``."""
    parser.usage = (
        "%(prog)s (--captured FILE_OR_DIR [--output-name NAME] | -- LINKER ARG...) --object OBJ... -o OUT [OPTION...]"
    )
    source = parser.add_argument_group("the captured command")
    source.add_argument("--captured", metavar="PATH", help="a record, or the folder of records with --output-name")
    source.add_argument(
        "--output-name", metavar="NAME", help="in a folder of records: what the link wrote (default: the host's name)"
    )
    source.add_argument("--directory", metavar="DIR", help="where the command after -- ran")
    source.add_argument("argv", nargs="*", metavar="ARG", help="the command itself, after --")
    patch = parser.add_argument_group("the patch")
    add = partial(patch.add_argument, nargs="+", action="extend", default=[])
    add("--object", dest="objects", metavar="OBJ", help="the patch's objects; at least one")
    add("--extra", metavar="OBJ", help="further inputs, before the objects: stub.o")
    patch.add_argument(
        "--library", action="append", default=[], metavar="FILE", help="a shared library that the patch links"
    )
    add("--export", dest="exports", metavar="SYM", help="a name that dlsym must find in the patch")
    patch.add_argument("-o", "--output", required=True, metavar="OUT", help="the patch that the command will write")
    patch.add_argument("--soname", metavar="NAME", help="its name for the loader (default: one made from OUT)")
    patch.add_argument("--host", metavar="FILE", help="drop libraries that are this file")
    patch.add_argument(
        "--allow-rebuilt", action="store_true", help="use a captured link that wrote another build of the host"
    )
    patch.add_argument("--os", choices=["macos", "linux", "other"], help="default: what the command says")
    patch.add_argument("--relocatable", action="store_true", help="merge everything into one object")
    patch.add_argument(
        "--keep-global", nargs="+", action="extend", default=[], metavar="SYM", help="with --relocatable"
    )
    patch.add_argument("--objcopy", default="llvm-objcopy", metavar="PROGRAM", help="with --keep-global")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--explain", action="store_true", help="say what became of every argument, and why")
    form.add_argument("--shell", action="store_true", help="print one line to paste into a shell")


def execute(arguments: argparse.Namespace) -> Outcome:
    """Plan, and print the plan in the form that was asked for."""
    from stubgen.linkplan import PatchRequest, plan_link
    from stubgen.linkplan.plan import document

    if arguments.keep_global and not arguments.relocatable:
        raise UsageError("--keep-global is for --relocatable; a shared library's symbols are chosen with --export")
    captured = _captured(arguments)
    request = PatchRequest(
        objects=arguments.objects,
        output=arguments.output,
        extra=arguments.extra,
        libraries=arguments.library,
        exports=arguments.exports,
        os=arguments.os,
        host=arguments.host,
        soname=arguments.soname,
        relocatable=arguments.relocatable,
        keep_global=arguments.keep_global,
        objcopy=arguments.objcopy,
    )
    plan = plan_link(captured, request)
    text: str | Sheet
    if arguments.explain:
        text = plan_sheet(plan)
    elif arguments.shell:
        from stubgen.linkplan.explain import shell_line

        text = shell_line(plan)
    else:
        text = "\n".join(plan.args)
    complaint = "\n".join(f"warning: {word}" for word in plan.warnings)
    return Outcome(document(plan) if arguments.json else {}, text, exact=not arguments.explain, complaint=complaint)


def plan_sheet(plan: LinkPlan) -> Sheet:
    """What became of every argument, and why; equal lines as one."""
    from stubgen.linkplan.explain import COLOURS, MARKS, folded, summary
    from stubgen.terminal.sheet import Table, Text

    lines = folded(plan)
    rows = [(f"{MARKS[line.action]} {line.action.value}", line.arguments, line.why) for line in lines]
    return [Table(rows, colours=[COLOURS[line.action] for line in lines], squeezed=1), Text(f"\n{summary(plan)}")]


def _captured(arguments: argparse.Namespace) -> CapturedCommand:
    """The command of the record, or of the command line."""
    if arguments.captured is None:
        if not arguments.argv:
            raise UsageError("give the captured command: --captured FILE, or the command itself after --")
        from stubgen.linkplan import CapturedCommand

        return CapturedCommand(arguments.argv, directory=arguments.directory)
    if arguments.argv or arguments.directory:
        raise UsageError("--captured holds the command and its folder; leave out --directory and what follows --")
    from stubgen.capture import Capture, newest_capture, refuse_another_build
    from stubgen.capture.outputs import host_identity_of_file

    identity = host_identity_of_file(arguments.host) if arguments.host else None
    if os.path.isdir(arguments.captured):
        name = arguments.output_name or (arguments.host and os.path.basename(arguments.host))
        if not name:
            raise UsageError(
                f"{arguments.captured}: is a folder; say which link of it with --output-name NAME or --host FILE"
            )
        captured = newest_capture(arguments.captured, name, identity)
    else:
        captured = Capture.load(arguments.captured)
    if identity is not None and not arguments.allow_rebuilt:
        refuse_another_build(captured, arguments.host, identity)
    return captured.command()
