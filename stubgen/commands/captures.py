"""``captures``: lists the recorded linker commands."""

from __future__ import annotations

from stubgen.commands import Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``captures``."""
    parser.add_argument("directory", metavar="DIR", help="the folder of the records")
    parser.add_argument("--output-name", metavar="NAME", help="only the newest link that wrote NAME")


def execute(arguments: argparse.Namespace) -> Outcome:
    """List the records, oldest first."""
    import time

    from stubgen.capture import newest_capture, read_captures
    from stubgen.commands.options import host_document

    if arguments.output_name:
        captures = [newest_capture(arguments.directory, arguments.output_name)]
    else:
        captures = read_captures(arguments.directory)
    documents = [
        {
            "path": str(capture.path),
            "output": capture.output,
            "directory": str(capture.directory),
            "time": capture.time,
            "arguments": len(capture.argv),
            "status": capture.status,
            "added": list(capture.added),
            "identity": host_document(capture.identity) if capture.identity else None,
            "linker": capture.argv[0] if capture.argv else "",
        }
        for capture in captures
    ]
    lines = [
        f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(capture.time))}  {len(capture.argv):>6} arguments  "
        f"{capture.output or '(no output)'}  {capture.path}{'  (failed)' if capture.status else ''}"
        for capture in captures
    ]
    complaint = "" if lines else f"{arguments.directory}: no link is recorded there"
    return Outcome({"captures": documents}, "\n".join(lines), complaint=complaint)
