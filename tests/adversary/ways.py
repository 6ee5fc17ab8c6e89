"""The two ways to a patch, the library's calls and the commands that people type, and what stubgen says of it."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from adversary.toolchains import Build
from tools import run

from stubgen.build import StubBuilder
from stubgen.capture import Capture, record_compile
from stubgen.capture.links import begin_record, complete
from stubgen.cli import main
from stubgen.errors import LinkerFailed, StubgenError, UnsupportedInput
from stubgen.generations.linking import link_generation
from stubgen.generations.opening import SessionOptions
from stubgen.jumptable import TableOptions
from stubgen.link import link_patch
from stubgen.resolve.verdicts import SharedVariable


class Said(NamedTuple):
    """What stubgen says of a patch that it linked."""

    anchors: tuple[int, int]
    """Static addresses of ``main`` in host and patch."""
    entries: tuple[tuple[int, int], ...]
    """The jump table: the old function's static address and the new one's."""
    undecided: tuple[tuple[str, str, str], ...]
    """Object, symbol and reason for each function to which callers are not led."""
    shared: tuple[SharedVariable, ...]
    objects: Mapping[str, Path]
    """File -> its object in the patch."""


class Refused(Exception):
    """Stubgen did not link the patch, as is its right."""


class Failed(Exception):
    """Stubgen ended with a status that is no refusal's."""


class Wanted(NamedTuple):
    """What a patch is asked for."""

    number: int
    objects: Sequence[Path]
    """Those of what changed since the version that the patch is held against."""
    sources: Sequence[str]
    """What people edited for that: their files, or what those include."""
    anchor: int
    """Runtime address of ``main``."""
    loaded: int | None
    """That of ``main`` in the patch before."""


class Library:
    """The host is captured, and patches are linked, by the library's functions.

    Args:
        build: how.
        folder: where.
        symbols: the host's debug file.
    """

    def __init__(self, build: Build, folder: Path, symbols: Path | None) -> None:
        self._build = build
        self._folder = folder
        self._builder = StubBuilder(folder / "host", symbols=symbols, cache=False)

    def link(self, wanted: Wanted, captured: Sequence[str]) -> Said:
        """Link a patch of objects in the folder."""
        output = self._folder / f"patch{wanted.number}.so"
        objects = [str(path) for path in wanted.objects]
        capture = Capture(captured, self._folder, {}, output="host")
        relinked: tuple[str, ...] = ()
        common: dict[str, Any] = {"keep_state": self._build.keep_state, "anchor": self._build.anchor_symbol}
        try:
            if self._build.session == "none":
                options: dict[str, Any] = {"jump_table": TableOptions(), **common}
                linked = link_patch(self._builder, capture, objects, output, wanted.anchor, **options)
            else:
                again = self._build.session == "relink"
                session = SessionOptions(self._folder / "session", relink_earlier=again)
                if not again:
                    session = session._replace(loaded=wanted.loaded)
                made = link_generation(session, self._builder, capture, objects, output, wanted.anchor, **common)
                linked, relinked = made.linked, made.relinked
        except StubgenError as error:
            raise (Refused if _is_refusal(error) else Failed)(f"{type(error).__name__}: {error}") from error
        table = linked.jump_table
        assert table is not None
        return Said(
            (table.host_anchor, table.patch_anchor),
            tuple((entry.old, entry.new) for entry in table.entries),
            tuple((item.object, item.name, item.reason) for item in table.undecided),
            tuple(linked.built.resolution.shared_variables),
            {_file_of(path, path): Path(path) for path in (*objects, *relinked)},
        )


def _file_of(source: str, output: str) -> str:
    """The program's file of an object: its folder's name where that is what tells it from others."""
    return Path(source).parent.name if Path(source).stem == "part" else Path(output).stem


def _names_of_objects(units: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What ``patch`` calls an object that it made -> where it is."""
    made = [(path, unit["name"]) for unit in units for path in unit["objects"]]
    bases = [f"{Path(source).stem}.o" for _, source in made]
    return {
        f"{base} of {source}" if bases.count(base) > 1 else base: path
        for base, (path, source) in zip(bases, made, strict=True)
    }


def _is_refusal(error: StubgenError) -> bool:
    """Whether it is said by right: also of a member that is bitcode, and by linkers of what no library can supply."""
    # optimised away at link; or in an object of a host at a fixed address that the patch needs as well
    said = ("undefined hidden symbol", "recompile with -fPIC")
    by_linker = isinstance(error, LinkerFailed) and any(each in str(error) for each in said)
    return error.exit_status == 1 or isinstance(error, UnsupportedInput) or by_linker


class Commands:
    """The host's compiles and its link are recorded, and ``patch`` recompiles what changed and links it.

    Args:
        build: how.
        folder: where.
        symbols: the host's debug file.
    """

    def __init__(self, build: Build, folder: Path, symbols: Path | None) -> None:
        self._build = build
        self._folder = folder
        self._symbols = symbols
        self._objects: dict[str, Path] = {}

    def link(self, wanted: Wanted, _captured: Sequence[str]) -> Said:
        """Link a patch of what changed in the folder."""
        folder, number = self._folder, wanted.number
        words = ["patch", "--json", "--mangled", "--host", folder / "host", "--captured", folder / "captured"]
        words += [
            "--aslr-reference",
            f"{wanted.anchor:#x}",
            "--anchor",
            self._build.anchor_symbol,
            *(["--keep-state"] if self._build.keep_state else []),
            "--no-cache",
        ]
        words += [
            "--jump-table",
            folder / f"pairs{number}",
            "--table-format",
            "pairs",
            "-o",
            folder / f"patch{number}.so",
        ]
        words += ["--objects", folder / f"objects{number}"]
        words += ["--symbols", self._symbols] if self._symbols else []
        if self._build.session != "none":
            words += ["--session", folder / "session"]
        if self._build.session == "relink":
            words += ["--relink-earlier"]
        elif wanted.loaded is not None and self._build.session == "loaded":
            words += ["--loaded", f"{wanted.loaded:#x}"]
        if self._build.way == "named":
            words += [word for source in wanted.sources for word in ("--changed", folder / source)]
        document = _answer(words)
        table = json.loads((folder / f"pairs{number}").read_text())
        made = [Path(path) for unit in document["recompiled"] for path in unit["objects"]]
        self._objects.update(
            {_file_of(unit["name"], path): Path(path) for unit in document["recompiled"] for path in unit["objects"]}
        )
        told = [(i["object"], i["name"], i["reason"]) for i in (*document["undecided"], *document["left_out"])]
        again = {file for file, path in self._objects.items() if str(path) in document.get("relinked", ())}
        known = _names_of_objects(document["recompiled"])
        return Said(
            (table["anchor"]["host"], table["anchor"]["patch"]),
            tuple((row["old"], row["new"]) for row in table["functions"]),
            tuple(dict.fromkeys((known.get(path, path), name, why) for path, name, why in told)),
            tuple(map(_shared, document["duplicates"])),
            {file: path for file, path in self._objects.items() if path in made or file in again},
        )


def _answer(words: Sequence[object]) -> dict[str, Any]:
    """The document that a command prints."""
    out, complaints = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(complaints):
        status = main([str(word) for word in words])
    document: dict[str, Any] = json.loads(out.getvalue())
    if status == 0:
        return document
    error = document["error"]
    refused = status == 1 or error["kind"] == "UnsupportedInput"
    raise (Refused if refused else Failed)(f"{error['kind']}: {error['message']}")


def _shared(row: Mapping[str, Any]) -> SharedVariable:
    return SharedVariable(
        row["name"],
        row["size"],
        row["writable"],
        row["forwarded"],
        row["obstacle"],
        row["patch"] or "",
        initial_value_changed=row["initial_value_changed"],
    )


WAYS: dict[str, type[Library | Commands]] = {"library": Library, "newer": Commands, "named": Commands}
"""How a patch is made: by the library; by ``patch``, which is told what changed or finds it by time."""


def compile_host(build: Build, folder: Path, source: str, output: str, *, shared: bool) -> None:
    """Compile a file of the host, or of its shared library, as the launcher does that records it."""
    command = build.compile_command(source, output, patch=shared)
    if build.way != "library":
        record_compile(command, folder / "captured", directory=str(folder), environment={})
    run(command, cwd=folder)


def link_host(build: Build, folder: Path, command: list[str]) -> None:
    """Link the host, as the capture executable does."""
    if build.way == "library":
        run(command, cwd=folder)
        return
    recorded = begin_record(command, folder / "captured", str(folder), {})
    run(command, cwd=folder)
    complete(recorded, 0)
