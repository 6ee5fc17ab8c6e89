"""``check``: whether a linked patch would load and do what it should."""

from __future__ import annotations

import argparse

from stubgen.check import Checked, check_patch
from stubgen.commands import Outcome
from stubgen.commands.options import add_cache_option, address, overrides, table
from stubgen.errors import PatchRefusal, UsageError
from stubgen.host import Host
from stubgen.host.slide import Slide, slide_from_anchor, slide_from_value
from stubgen.session import Session


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("patch", metavar="PATCH", help="the linked patch")
    parser.add_argument("--host", required=True, metavar="FILE", help="the program that it will be loaded into")
    add_cache_option(parser)
    parser.add_argument("--aslr-reference", type=address, metavar="ADDR", help="hold the stubs against this process")
    parser.add_argument("--anchor", metavar="NAME", help="the anchor's symbol (default: whisker_aslr_anchor, main)")
    parser.add_argument(
        "--slide", type=address, metavar="N", help="the slide itself, in bytes, instead of an anchor's address"
    )
    parser.add_argument(
        "--override",
        action="append",
        default=[],
        metavar="MAP@BASE",
        help="an earlier patch, loaded at BASE, that the patch was linked to call (link --override-map)",
    )
    parser.add_argument("--export", action="append", default=[], metavar="SYM", help="a name that dlsym must find")
    parser.add_argument(
        "--library", action="append", default=[], metavar="FILE", help="a library that will be loaded beside it"
    )


def execute(arguments: argparse.Namespace, session: Session | None = None) -> Outcome:
    """Every finding; exit status 1 when one speaks against the patch."""
    if arguments.aslr_reference is not None and arguments.slide is not None:
        raise UsageError("give the anchor's runtime address (--aslr-reference) or the slide (--slide), not both")
    if arguments.anchor is not None and arguments.aslr_reference is None:
        raise UsageError("--anchor says nothing without the address at which the process has it: add --aslr-reference")
    replaced = overrides(arguments.override)
    session = session or Session(mapped=True)
    host = session.host(arguments.host, cache=arguments.cache)
    checked = check_patch(
        arguments.patch,
        host,
        slide=_slide(arguments, host),
        exports=arguments.export,
        libraries=arguments.library,
        overrides=replaced,
        facts=session.facts(cache=arguments.cache),
    )
    verdict = "sound" if checked.ok else "not sound"
    return Outcome(
        check_document(checked),
        "\n".join([f"{arguments.patch}: {verdict}", *check_lines(checked)]),
        0 if checked.ok else PatchRefusal.exit_status,
        kind="" if checked.ok else PatchRefusal.__name__,
    )


def _slide(arguments: argparse.Namespace, host: Host) -> Slide | None:
    """The slide that the stubs are held against; None: against each other."""
    if arguments.slide is not None:
        return slide_from_value(host, arguments.slide)
    reference = arguments.aslr_reference
    return None if reference is None else slide_from_anchor(host, reference, arguments.anchor)


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
