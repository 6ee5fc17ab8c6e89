"""``cache``: the indexes of large hosts' names, and the facts about Keystone and Capstone."""

from __future__ import annotations

import os

from stubgen.commands import Outcome
from stubgen.commands.options import add_symbols_option
from stubgen.common.files import cannot_be_written
from stubgen.common.phases import phase
from stubgen.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``cache``."""
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--clear", action="store_true", help="remove every index and every fact")
    form.add_argument(
        "--build", metavar="HOST", help="index this host now; a command that met it without an index does so by itself"
    )
    add_symbols_option(parser)


def execute(arguments: argparse.Namespace) -> Outcome:
    """List what is there, make an index, or remove all."""
    from stubgen.common.cache import FOLDER_VARIABLE, cache_folder, refusal
    from stubgen.host.index import build_index, clear, indexes
    from stubgen.stub import facts

    folder = cache_folder()
    if folder is None:
        why = f"there is no cache folder: {FOLDER_VARIABLE} is empty, or there is no home folder"
        raise UsageError(refusal() or why)
    try:
        if arguments.clear:
            removed, had_facts = clear(folder), facts.clear(folder)
            document: dict[str, object] = {"folder": folder, "removed": removed, "facts_removed": had_facts}
            return Outcome(document, f"{folder}: removed {_indexes(removed)}{' and the facts' if had_facts else ''}")
        if arguments.build is not None:
            phase("indexes the host's names")
            return _built(folder, arguments.build, build_index(arguments.build, arguments.symbols))
    except OSError as error:
        raise cannot_be_written(folder, error) from error
    held = indexes(folder)
    known = _facts(folder)
    document = {
        "folder": folder,
        "bytes": sum(status.st_size for _, status in held),
        "indexes": [{"name": name, "bytes": status.st_size, "used": status.st_mtime} for name, status in held],
        "facts": known,
    }
    lines = [f"{status.st_size:>12,} bytes  {name}" for name, status in held]
    if known is not None:
        agrees = "agrees" if known["keystone_agrees"] else "has not been asked"
        lines.append(
            f"{known['bytes']:>12,} bytes  {known['name']}  "
            f"Keystone {agrees}, Capstone has read {known['words']:,} words"
        )
    return Outcome(document, "\n".join([f"{folder}: {_indexes(len(held))}", *lines]))


def _facts(folder: str) -> dict[str, object] | None:
    """The facts about the installed libraries, for ``--json``."""
    from stubgen.stub import facts

    size = facts.size_of(folder)
    if size is None:
        return None
    agrees, words = facts.LibraryFacts(folder).summary()
    return {"name": facts.NAME, "bytes": size, "keystone_agrees": agrees, "words": words}


def _built(folder: str, host: str, index: str | None) -> Outcome:
    if index is None:
        document: dict[str, object] = {"folder": folder, "host": host, "index": None}
        return Outcome(document, f"{host}: needs no index: to search so few symbols takes no longer than to open one")
    name = os.path.basename(index)
    try:
        size = os.stat(index).st_size
    except FileNotFoundError:
        document = {"folder": folder, "host": host, "index": name, "bytes": 0}
        return Outcome(document, f"{host}: indexed in {index}, and another command has cleared that since")
    document = {"folder": folder, "host": host, "index": name, "bytes": size}
    return Outcome(document, f"{host}: indexed, {size:,} bytes in {index}")


def _indexes(number: int) -> str:
    return "1 index" if number == 1 else f"{number} indexes"
