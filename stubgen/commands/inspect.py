"""``inspect``: lists the stubs in a stub object or a linked patch."""

from __future__ import annotations

import argparse
from fnmatch import fnmatchcase

from stubgen.commands import Outcome
from stubgen.commands.options import identity_document, identity_line, table
from stubgen.common.files import read_input
from stubgen.common.text import as_text, counted
from stubgen.errors import Refusal
from stubgen.image.identity import identity_in
from stubgen.image.opening import open_image
from stubgen.stub.facts import LibraryFacts
from stubgen.stub.find import find_stubs


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("file", metavar="FILE", help="a stub object, or a patch linked with one")
    parser.add_argument("--symbol", metavar="GLOB", help="only stubs whose name matches, such as '*alloc*'")


def execute(arguments: argparse.Namespace) -> Outcome:
    """List name, place and target of every stub; exit status 1 when there is none."""
    image = open_image(read_input(arguments.file), arguments.file)
    identity = identity_in(image)
    stubs = [(as_text(stub.name), stub) for stub in find_stubs(image, LibraryFacts.of_user())]
    if arguments.symbol is not None:
        stubs = [(name, stub) for name, stub in stubs if fnmatchcase(name, arguments.symbol)]
    document = {
        "file": arguments.file,
        "format": image.format,
        "role": image.file_type.value,
        "build_id": image.build_id.hex() if image.build_id else None,
        "identity": identity_document(identity) if identity else None,
        "needed_libraries": list(image.needed_libraries),
        "stubs": [
            {
                "name": name,
                "section": stub.section,
                "address": stub.address,
                "target": stub.target,
                "bti": stub.bti,
                "weak": stub.weak,
                "hidden": stub.hidden,
            }
            for name, stub in stubs
        ],
    }
    if not stubs and (identity is None or arguments.symbol is not None):
        matching = f" matching '{arguments.symbol}'" if arguments.symbol is not None else ""
        return Outcome(document, "", 1, f"{arguments.file}: holds no stub{matching}", Refusal.__name__)
    rows = [
        (f"{stub.address:#x}", "->", f"{stub.target:#x}", "bti" if stub.bti else "", name or "(stripped)")
        for name, stub in stubs
    ]
    title = f"{arguments.file}: {image.format} {image.file_type.value}, {counted(len(stubs), 'stub')}"
    lines = [identity_line(identity)] if identity else []
    return Outcome(document, "\n".join([title, *lines, *table(rows)]))
