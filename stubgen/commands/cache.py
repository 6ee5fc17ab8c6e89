"""``cache``: the indexes of large hosts' names."""

from __future__ import annotations

import argparse
from pathlib import Path

from stubgen.commands import Outcome
from stubgen.common.files import cannot_be_written
from stubgen.errors import UsageError


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``cache``."""
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--clear", action="store_true", help="remove every index")
    form.add_argument(
        "--build", metavar="HOST", help="index this host now; a command that met it without an index does so by itself"
    )


def execute(arguments: argparse.Namespace) -> Outcome:
    """List the indexes, make one, or remove all."""
    from stubgen.host.index import FOLDER_VARIABLE, build_index, cache_folder, clear, indexes

    folder = cache_folder()
    if folder is None:
        raise UsageError(f"there is no cache folder: {FOLDER_VARIABLE} is empty, or there is no home folder")
    try:
        if arguments.clear:
            removed = clear(folder)
            return Outcome({"folder": str(folder), "removed": removed}, f"{folder}: removed {_indexes(removed)}")
        if arguments.build is not None:
            return _built(folder, arguments.build, build_index(arguments.build))
    except OSError as error:
        raise cannot_be_written(folder, error) from error
    held = indexes(folder)
    document = {
        "folder": str(folder),
        "bytes": sum(status.st_size for _, status in held),
        "indexes": [{"name": path.name, "bytes": status.st_size, "used": status.st_mtime} for path, status in held],
    }
    lines = [f"{status.st_size:>12,} bytes  {path.name}" for path, status in held]
    return Outcome(document, "\n".join([f"{folder}: {_indexes(len(held))}", *lines]))


def _built(folder: Path, host: str, index: Path | None) -> Outcome:
    if index is None:
        document: dict[str, object] = {"folder": str(folder), "host": host, "index": None}
        return Outcome(document, f"{host}: needs no index: to search so few symbols takes no longer than to open one")
    size = index.stat().st_size
    document = {"folder": str(folder), "host": host, "index": index.name, "bytes": size}
    return Outcome(document, f"{host}: indexed, {size:,} bytes in {index}")


def _indexes(number: int) -> str:
    return "1 index" if number == 1 else f"{number} indexes"
