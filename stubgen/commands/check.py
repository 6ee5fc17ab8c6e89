"""``check``: whether a linked patch would load and do what it should."""

from __future__ import annotations

import argparse

from stubgen.check import Checked, check_patch
from stubgen.commands import Outcome
from stubgen.commands.options import address, table
from stubgen.host import open_host
from stubgen.slide import slide_from_anchor


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("patch", metavar="PATCH", help="the linked patch")
    parser.add_argument("--host", required=True, metavar="FILE", help="the program that it will be loaded into")
    parser.add_argument("--aslr-reference", metavar="ADDR", help="hold the stubs against this process")
    parser.add_argument("--anchor", metavar="NAME", help="the anchor's symbol (default: whisker_aslr_anchor, main)")
    parser.add_argument("--export", action="append", default=[], metavar="SYM", help="a name that dlsym must find")
    parser.add_argument(
        "--library", action="append", default=[], metavar="FILE", help="a library that will be loaded beside it"
    )


def execute(arguments: argparse.Namespace) -> Outcome:
    """Every finding; exit status 1 when one speaks against the patch."""
    host = open_host(arguments.host)
    slide = None
    if arguments.aslr_reference is not None:
        slide = slide_from_anchor(host, address(arguments.aslr_reference), arguments.anchor)
    checked = check_patch(arguments.patch, host, slide=slide, exports=arguments.export, libraries=arguments.library)
    verdict = "sound" if checked.ok else "not sound"
    return Outcome(
        check_document(checked),
        "\n".join([f"{arguments.patch}: {verdict}", *check_lines(checked)]),
        0 if checked.ok else 1,
    )


def check_document(checked: Checked) -> dict[str, object]:
    """The findings for ``--json``."""
    return {
        "patch": checked.patch,
        "ok": checked.ok,
        "stubs": len(checked.stubs),
        "slide": checked.slide,
        "findings": [{"check": f.check, "ok": f.ok, "message": f.message} for f in checked.findings],
    }


def check_lines(checked: Checked) -> list[str]:
    """The findings for a person."""
    return table([("  ok" if f.ok else "  NO", f.check, f.message) for f in checked.findings])
