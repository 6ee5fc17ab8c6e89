"""``verify``: decodes every stub of a stub object and checks its structure."""

from __future__ import annotations

from stubgen.commands import Outcome
from stubgen.common.files import read_input
from stubgen.common.text import counted
from stubgen.stub.facts import LibraryFacts
from stubgen.stub.verify import verify_object

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("file", metavar="FILE", help="a stub object")
    parser.add_argument(
        "--fresh",
        action="store_true",
        help="have Capstone read and Keystone assemble every instruction anew, whatever earlier commands found",
    )


def execute(arguments: argparse.Namespace) -> Outcome:
    """Say how many stubs there are, or what is wrong."""
    verified = verify_object(read_input(arguments.file), arguments.file, LibraryFacts.of_user(fresh=arguments.fresh))
    count = len(verified.names)
    pads = ", each with a landing pad (bti c)" if verified.bti else ""
    return Outcome(
        {"file": arguments.file, "stubs": count, "bti": verified.bti},
        f"{arguments.file}: sound; {counted(count, 'stub')} decoded{pads}",
    )
