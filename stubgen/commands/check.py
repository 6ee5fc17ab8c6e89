"""``check``: whether a linked patch would load and do what it should."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from stubgen.check import Checked, check_patch
from stubgen.commands import SCHEMA, Outcome
from stubgen.commands.options import (
    add_cache_option,
    add_previous_option,
    add_symbols_option,
    address,
    overrides,
    policy_documents,
    previous_patches,
    write_report,
)
from stubgen.common.files import Outputs, keep_apart
from stubgen.common.phases import phase
from stubgen.common.text import as_text
from stubgen.errors import PatchRefusal, UsageError
from stubgen.host import Host
from stubgen.host.slide import Slide, slide_from_anchor, slide_from_value
from stubgen.origin.account import Account
from stubgen.origin.sources import Origin
from stubgen.resolve.rulings import PolicyChange
from stubgen.session import Session
from stubgen.terminal.sheet import RED, YELLOW, Table, Text

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("patch", metavar="PATCH", help="the linked patch")
    parser.add_argument("--host", required=True, metavar="FILE", help="the program that it will be loaded into")
    add_symbols_option(parser)
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
    add_previous_option(parser)
    parser.add_argument("--export", action="append", default=[], metavar="SYM", help="a name that dlsym must find")
    parser.add_argument(
        "--library", action="append", default=[], metavar="FILE", help="a library that will be loaded beside it"
    )
    parser.add_argument(
        "--object",
        action="append",
        default=[],
        metavar="OBJ",
        help="an object that it was linked from, or an archive that was searched: with all of them, everything in it "
        "has to be accounted for",
    )
    parser.add_argument("--stub", metavar="FILE", help="the stub object that it was linked with")
    parser.add_argument("--link-map", metavar="FILE", help="the map file that its linker wrote")
    parser.add_argument("--map", metavar="FILE", help="write where everything in it comes from, as JSON")


def execute(arguments: argparse.Namespace, session: Session | None = None) -> Outcome:
    """Every finding; exit status 1 when one speaks against the patch."""
    if arguments.aslr_reference is not None and arguments.slide is not None:
        raise UsageError("give the anchor's runtime address (--aslr-reference) or the slide (--slide), not both")
    if arguments.anchor is not None and arguments.aslr_reference is None:
        raise UsageError("--anchor says nothing without the address at which the process has it: add --aslr-reference")
    given = [arguments.patch, arguments.host, *arguments.library, *arguments.object]
    given += [argument.rpartition("@")[0] for argument in arguments.previous]
    given += filter(None, (arguments.symbols, arguments.stub, arguments.link_map))
    keep_apart({"--map": arguments.map}, given)
    replaced, earlier = overrides(arguments.override), previous_patches(arguments.previous)
    if earlier and arguments.aslr_reference is None and arguments.slide is None:
        raise UsageError("--previous is about one process: add --aslr-reference or --slide")
    session = session or Session(mapped=True)
    phase("opens the host")
    host = session.host(arguments.host, symbols=arguments.symbols, cache=arguments.cache)
    checked = check_patch(
        arguments.patch,
        host,
        slide=_slide(arguments, host),
        exports=arguments.export,
        libraries=arguments.library,
        overrides=replaced,
        previous=earlier,
        objects=arguments.object,
        stub=arguments.stub,
        link_map=arguments.link_map,
        facts=session.facts(cache=arguments.cache),
    )
    outputs = Outputs()
    with outputs:
        write_map(arguments.map, checked, "check", arguments.patch, outputs)
    verdict = "sound" if checked.ok else "not sound"
    return Outcome(
        check_document(checked),
        [Text(f"{arguments.patch}: {verdict}"), check_table(checked)],
        0 if checked.ok else PatchRefusal.exit_status,
        kind="" if checked.ok else PatchRefusal.__name__,
        outputs=outputs,
    )


def write_map(
    path: str | None,
    checked: Checked,
    command: str,
    patch: str,
    outputs: Outputs,
    changes: Sequence[PolicyChange] = (),
    told: Callable[[Any], Any] = lambda value: value,
) -> None:
    """Let the account be among the *outputs*, as JSON, where ``--map`` asks for it; *told* is what becomes of it."""
    if path is not None and checked.account is not None:
        account = told(account_document(checked.account))
        document = {"schema": SCHEMA, "command": command, "patch": patch, **account}
        write_report(path, {**document, "policies": policy_documents(changes)}, outputs)


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
        "findings": [
            {"check": f.check, "ok": f.ok, "note": f.note, "message": f.message, "names": list(f.names)}
            for f in checked.findings
        ],
        "account": account_document(checked.account) if checked.account else None,
    }


def account_document(account: Account) -> dict[str, object]:
    """Where everything in the patch comes from, for ``--json`` and ``--map``."""
    in_host = {item.name: item.host for item in account.definitions}  # 200 objects may each have one of a name
    hosts = {
        name: [
            {"kind": c.kind.value, "address": c.address, "size": c.size, "section": c.section, "local": c.local}
            for c in host
        ]
        for name, host in in_host.items()
    }
    return {
        "from_link_map": account.mapped,
        "definitions": [
            {
                "name": as_text(item.name),
                "section": item.symbol.section,
                "address": item.symbol.address,
                "size": item.symbol.size,
                "kind": item.symbol.kind.value,
                "local": item.symbol.static,
                "origin": _origin_document(item.origin),
                "host": hosts[item.name],
            }
            for item in account.definitions
        ],
        "sections": [
            {
                "name": section.name,
                "address": section.address,
                "size": section.size,
                "parts": [{"origin": _origin_document(share.origin), "size": share.size} for share in section.shares],
            }
            for section in account.sections
        ],
        "initializers": [
            {
                "name": as_text(item.name),
                "address": item.constructor.address,
                "origin": _origin_document(item.origin),
            }
            for item in account.initializers
        ],
    }


def _origin_document(origin: Origin) -> dict[str, object]:
    return {"kind": origin.source.value, "file": origin.file, "member": origin.member}


def check_table(checked: Checked) -> Table:
    """The findings for a person."""
    rows = [("note" if f.note else "  ok" if f.ok else "  NO", f.check, f.message) for f in checked.findings]
    return Table(rows, colours=[YELLOW if f.note else "" if f.ok else RED for f in checked.findings])
