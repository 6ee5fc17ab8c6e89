"""Records linker commands: an executable to give to a build as its linker, and the records that it leaves.

``hotpatch-stubgen-linker`` goes where a toolchain wants one program (``-C linker=``, ``CC``, ``--ld-path``). It is
told what to do by its environment, because its arguments are the linker's::

    STUBGEN_CAPTURE_DIR    the folder for the records, as an absolute path: builds change folders
    STUBGEN_REAL_LINKER    the linker that it stands in front of, as a path, a name on PATH, or a command with
                           arguments (``zig cc -target aarch64-linux-musl``)
    STUBGEN_EXPORT_ANCHOR  a symbol, such as ``main``, that programs shall export; a link that fails with what was added
                           for it is done again without

It writes one JSON file a link, copies the response files, which are temporary, runs the real linker, ends as that did,
and has added to the record how it ended and which build it wrote. Nothing that goes wrong with recording stops the
build: it warns and links. A build runs this for every link, so this module imports next to nothing.
"""

from __future__ import annotations

import os
import sys

from stubgen.capture.process import Wrapper
from stubgen.capture.records import (
    Kind,
    Recorded,
    add_record,
    file_identity,
    identity_of,
    number,
    read_folder,
    read_record,
    text,
    timestamp,
    variable,
    write_record,
)
from stubgen.capture.words import copy_response_files, links, output_of

NOTHING_CAPTURED = "none was captured: build with STUBGEN_CAPTURE_DIR set to that folder's absolute path"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from typing import Any, NoReturn

    from stubgen.capture.records import FileIdentity
    from stubgen.image.identity import HostIdentity
    from stubgen.linkplan import CapturedCommand
    from stubgen.linkplan.anchor import Exporting

ENVIRONMENT = (
    "PATH",
    "SDKROOT",
    "DEVELOPER_DIR",
    "TOOLCHAINS",
    "MACOSX_DEPLOYMENT_TARGET",
    "IPHONEOS_DEPLOYMENT_TARGET",
    "LIBRARY_PATH",
    "COMPILER_PATH",
    "GCC_EXEC_PREFIX",
    "LD_LIBRARY_PATH",
    "LD_RUN_PATH",
    "LDEMULATION",
    "COLLECT_NO_DEMANGLE",
    "CCC_OVERRIDE_OPTIONS",
    "ZERO_AR_DATE",
    "RC_DEBUG_OPTIONS",
    "SOURCE_DATE_EPOCH",
    "ZIG_GLOBAL_CACHE_DIR",
    "ZIG_LOCAL_CACHE_DIR",
    "ANDROID_NDK_ROOT",
    "HOME",
    "TMPDIR",
)
"""Variables that change a link, or without which a driver does not find its parts."""

KEPT = 32
"""Records of one output that are kept; the oldest go when another is written."""

LINK = Kind("link", ".link.json", 1, "hotpatch-stubgen-linker")

WRAPPER = Wrapper("hotpatch-stubgen-linker", "linker", "STUBGEN_REAL_LINKER must name the real linker")


class Capture:
    """One recorded link."""

    __slots__ = (
        "added",
        "argv",
        "directory",
        "environment",
        "identity",
        "inputs",
        "output",
        "path",
        "response_files",
        "status",
        "time",
    )

    argv: list[str]
    """The real linker's command, program first."""
    directory: Path
    """Where it ran."""
    environment: dict[str, str]
    """Those of its variables that change a link."""
    time: float
    """Seconds since 1970."""
    output: str
    """What ``-o`` said, or ``""``."""
    response_files: dict[str, Path]
    """Name after the ``@`` -> the copy."""
    path: Path | None
    """The record's own file."""
    status: int | None
    """How the linker ended, a signal's number negative; None where it has not, or an older version recorded it."""
    identity: HostIdentity | None
    """Which build it wrote; None where that is not known."""
    added: tuple[str, ...]
    """What was appended to the command for the host's sake."""
    inputs: dict[str, FileIdentity]
    """A word that names a file -> what told that from others when the link began; an older version has none."""

    def __init__(
        self,
        argv: Sequence[str],
        directory: str | Path,
        environment: Mapping[str, str],
        time: float = 0.0,
        output: str = "",
        response_files: Mapping[str, str | Path] | None = None,
        path: Path | None = None,
        status: int | None = None,
        identity: HostIdentity | None = None,
        added: Sequence[str] = (),
        inputs: Mapping[str, FileIdentity] | None = None,
    ) -> None:
        """Keep what is given.

        Raises:
            UsageError: one of them is not what it must be.
        """
        from pathlib import Path as PathType

        from stubgen.common import arguments as check

        copies = {} if response_files is None else response_files
        self.argv = list(check.listed("argv", argv, "word", check.word))
        self.directory = PathType(check.path("directory", directory))
        self.environment = check.mapping("environment", environment, "texts", check.word)
        self.time = check.seconds("time", time)
        self.output = check.word("output", output)
        named = check.mapping("response_files", copies, "paths", check.path)
        self.response_files = {name: PathType(copy) for name, copy in named.items()}
        self.path = None if path is None else PathType(check.path("path", path))
        self.status = check.optional(check.number, "status", status)
        self.identity = identity
        self.added = check.listed("added", added, "word", check.word)
        self.inputs = {} if inputs is None else dict(inputs)

    def files(self) -> list[Path]:
        """The files that it consists of."""
        return [*([self.path] if self.path else []), *self.response_files.values()]

    def command(self) -> CapturedCommand:
        """What a link plan is made from."""
        from stubgen.linkplan import CapturedCommand

        return CapturedCommand(self.argv, self.directory, self.response_files, self.environment, self.added)

    @classmethod
    def load(cls, path: str | Path) -> Capture:
        """The record in the file *path*.

        A record says what a link runs, so another user's is not believed, nor is one that anybody may write; the
        variables that it sets are those that a capture keeps, and its response files are those beside it.

        Raises:
            UnreadableInput: there is no such file, or whose it is forbids to believe it.
            MalformedInput: the file holds no record, or another version's.
        """
        return read_record(path, LINK, cls._of)

    @classmethod
    def _of(cls, file: Path, record: dict[str, Any]) -> Capture:
        return cls(
            argv=[text(word) for word in record["argv"]],
            directory=text(record["directory"]),
            environment={
                variable(file, LINK, name, ENVIRONMENT.__contains__): text(value)
                for name, value in record["environment"].items()
            },
            time=timestamp(record["time"]),
            output=text(record["output"]),
            response_files={text(name): _beside(file, text(copy)) for name, copy in record["response_files"].items()},
            path=file,
            status=_status(record.get("status")),
            identity=_identity(record.get("identity")),
            added=[text(word) for word in record.get("added", ())],
            inputs={
                text(word): found
                for word, value in (record.get("inputs") or {}).items()
                if (found := file_identity(value))
            },
        )


def _status(value: object) -> int | None:
    status = None if value is None else number(value)
    if status is not None and (status != int(status) or not -256 < status < 256):
        raise ValueError(value)
    return None if status is None else int(status)


def _identity(value: Any) -> HostIdentity | None:
    """Which build a record says that its link wrote."""
    if value is None:
        return None
    from stubgen.image.identity import named_identity

    return named_identity(text(value["kind"]), bytes.fromhex(text(value["value"])))


def _beside(file: Path, name: str) -> Path:
    """The response file *name* in the folder of the record *file*.

    Raises:
        MalformedInput: it is elsewhere.
    """
    from stubgen.errors import MalformedInput

    copy = file.parent / name
    if os.path.basename(name) != name or name in ("", ".", "..") or copy.is_symlink():
        raise MalformedInput(f"{file}: its response file {name} is not beside it, where a capture puts copies")
    return copy


def read_captures(directory: str | Path) -> list[Capture]:
    """Every sound record in *directory*, oldest first.

    Raises:
        UnreadableInput: there is no such folder.
        UsageError: *directory* is no path.
    """
    return _read_folder(directory)[0]


def _read_folder(directory: str | Path) -> tuple[list[Capture], str]:
    """Every sound record in *directory*, oldest first, and why another one is none."""
    captures, refused = read_folder(directory, LINK, Capture.load)
    captures.sort(key=lambda capture: capture.time)
    return captures, refused


def newest_capture(directory: str | Path, output_name: str, identity: HostIdentity | None = None) -> Capture:
    """The newest record in *directory* of a link that wrote *output_name*, and that very build if one did.

    *output_name* is a file name, or a path of which any number of folders is given. Cargo's hashed name
    (``app-0123456789abcdef``) answers to the plain one when nothing else does. *identity* tells the build that is
    wanted: debug and release programs have one name.

    Raises:
        UnreadableInput: there is no such folder, or no such record in it.
        UsageError: an argument is no path.
    """
    from stubgen.common.arguments import path
    from stubgen.errors import UnreadableInput

    (captures, refused), wanted = _read_folder(directory), path("output_name", output_name)
    for matches in (_same_output, _same_output_but_hash):
        found = [capture for capture in captures if matches(capture.output, wanted)]
        if found:
            finished = [capture for capture in found if _was_finished(capture)]
            same = [capture for capture in finished if identity is not None and capture.identity == identity]
            return (same or finished or found)[-1]
    known = ", ".join(sorted({os.path.basename(capture.output) for capture in captures if capture.output}))
    raise UnreadableInput(
        f"{directory}: no captured link wrote {output_name}; "
        + (f"those that were captured wrote {known}" if known else refused or NOTHING_CAPTURED)
    )


def refuse_another_build(captured: Capture, host: str, identity: HostIdentity) -> None:
    """Refuse the file *host*, whose build *identity* tells, where the captured link surely wrote another one.

    Raises:
        BuildIdRefusal: it is.
    """
    from stubgen.errors import BuildIdRefusal

    if captured.identity is not None and captured.identity.contradicts(identity):
        raise BuildIdRefusal(
            f"{host}: is {identity}, and the captured link wrote {captured.identity}: capture the link of this build "
            f"too, or add --allow-rebuilt if the program is still linked in the same way; if the process still runs "
            f"the other build, which --build-id tells, give that file"
        )


def _was_finished(capture: Capture) -> bool:
    """Whether the link that was recorded wrote its output: one that failed is not the one to edit."""
    if capture.status is not None:
        return capture.status == 0
    try:
        return os.stat(os.path.join(capture.directory, capture.output)).st_mtime >= capture.time - 2
    except OSError:
        return False


def _parts(path: str) -> list[str]:
    return [part for part in path.replace("\\", "/").split("/") if part not in ("", ".")]


def _same_output(recorded: str, wanted: str) -> bool:
    parts = _parts(wanted)
    return bool(parts) and _parts(recorded)[-len(parts) :] == parts


def _same_output_but_hash(recorded: str, wanted: str) -> bool:
    """Cargo adds ``-`` and sixteen hexadecimal digits to the stem."""
    recorded_parts, parts = _parts(recorded), _parts(wanted)
    if not recorded_parts or not parts:
        return False
    stem, dot, ending = recorded_parts[-1].partition(".")
    name, dash, mark = stem.rpartition("-")
    if not dash or len(mark) != 16 or mark.strip("0123456789abcdef"):
        return False
    return _same_output("/".join([*recorded_parts[:-1], name + dot + ending]), wanted)


def record(
    argv: Sequence[str],
    capture_directory: str | Path,
    *,
    directory: str | None = None,
    environment: Mapping[str, str] | None = None,
    exporting: Exporting | None = None,
) -> str:
    """Write the record of the link *argv*, and of what is appended to it for *exporting* the anchor; its file's path.

    The file appears at once and whole, under a name that no other link of the build has, or not at all. Of the
    records of one output the newest :data:`KEPT` stay.

    Raises:
        OSError: the folder cannot be written.
    """
    return begin_record(argv, capture_directory, directory, environment, exporting).path


def begin_record(
    argv: Sequence[str],
    capture_directory: str | Path,
    directory: str | None = None,
    environment: Mapping[str, str] | None = None,
    exporting: Exporting | None = None,
) -> Recorded:
    """:func:`record`, for :func:`complete` once the link has ended.

    Raises:
        OSError: the folder cannot be written.
    """
    here = directory or os.getcwd()
    variables = os.environ if environment is None else environment
    folder = os.fspath(capture_directory)
    output = output_of(argv, here)
    document: dict[str, object] = {
        "argv": [*argv, *(exporting.words if exporting else ())],
        "directory": here,
        "environment": {key: variables[key] for key in ENVIRONMENT if key in variables},
        "output": output,
        "inputs": _inputs(argv, here),
        **({"added": exporting.words, "not_exported": exporting.reason or None} if exporting else {}),
    }

    def copies(stem: str) -> dict[str, object]:
        return {"response_files": copy_response_files(argv, here, folder, stem)}

    return add_record(folder, LINK, os.path.join(here, output), document, kept=KEPT, copy=copies)


def _inputs(argv: Sequence[str], here: str) -> dict[str, FileIdentity]:
    """Each word of *argv* that is called like an object that a build may have moved, and what tells it from others."""
    words = (word for word in argv[1:] if word[:1] not in ("-", "@") and not word.endswith(NEVER_MOVED))
    named = {word: identity_of(os.path.join(here, word)) for word in words if "." in os.path.basename(word)}
    return {word: found for word, found in named.items() if found}


NEVER_MOVED = (".rcgu.o", ".rlib", ".a", ".so", ".dylib", ".tbd")
"""Endings of what no compile of C or C++ has made, or cargo alone."""


def linker_main(argv: Sequence[str] | None = None) -> NoReturn:
    """Record the command and become the real linker: the console script ``hotpatch-stubgen-linker``."""
    WRAPPER.run(lambda: _record_and_become(argv))


def _record_and_become(argv: Sequence[str] | None) -> NoReturn:
    arguments = sys.argv[1:] if argv is None else list(argv)
    real = os.environ.get("STUBGEN_REAL_LINKER", "")
    folder = os.environ.get("STUBGEN_CAPTURE_DIR", "")
    if not real.strip():
        WRAPPER.exit_with_error("set STUBGEN_REAL_LINKER to the linker that this one stands in front of")
    command = _real_command(real)
    full = [*command, *arguments]
    if not links(full):
        WRAPPER.become(full)  # as CC, this executable compiles as well
    if not folder:
        WRAPPER.print_error("warning: STUBGEN_CAPTURE_DIR is not set, so this link is not recorded")
    run_link(WRAPPER, full, folder)


def run_link(wrapper: Wrapper, argv: Sequence[str], folder: str) -> NoReturn:
    """Record the link *argv* in *folder*, if one is given, run it, and end as it ended."""
    anchor = os.environ.get("STUBGEN_EXPORT_ANCHOR", "") if os.name == "posix" else ""
    exporting = exporting_anchor(argv, anchor)
    recorded = warn_if_unrecorded(argv, folder, exporting) if folder else None
    if os.name != "posix" or (recorded is None and exporting is None):
        wrapper.become(argv)
    wrapper.end_like(finish(argv, exporting, recorded, wrapper.attend))


def exporting_anchor(argv: Sequence[str], anchor: str) -> Exporting | None:
    """What to append to the link *argv* so that the program exports *anchor*; None where nobody knows."""
    if not anchor:
        return None
    try:
        from stubgen.linkplan.anchor import export_anchor
        from stubgen.linkplan.request import CapturedCommand

        return export_anchor(CapturedCommand(argv, os.getcwd()), anchor)
    except Exception as error:  # nothing must break the user's build
        WRAPPER.print_error(f"warning: {anchor} is not exported for a runtime: {error}")
        return None


def finish(
    argv: Sequence[str], exporting: Exporting | None, recorded: Recorded | None, run: Callable[[Sequence[str]], int]
) -> int:
    """*run* the link *argv* with what *exporting* appends, once more without if that fails, and complete its record.

    Returns its status.
    """
    added = exporting.words if exporting else ()
    status, more = run([*argv, *added]), {}
    if status > 0 and added:
        WRAPPER.print_error(f"warning: the link fails with {' '.join(added)}, and is done again without")
        status = run(argv)
        more = {"argv": list(argv), "added": [], "not_exported": f"the linker fails with {' '.join(added)}"}
    if recorded is not None:
        complete(recorded, status, more)
    return status


def complete(recorded: Recorded, status: int, changed: Mapping[str, object] | None = None) -> None:
    """Add to the record how its link ended, *status*, which build it wrote, and what else *changed*."""
    try:
        os.stat(recorded.path)  # the records of later links may have pushed it out
        document = recorded.document
        more: dict[str, object] = {**(changed or {}), "status": status}
        if not status and document["output"]:
            from stubgen.capture.outputs import identity_of_file

            found = identity_of_file(os.path.join(str(document["directory"]), str(document["output"])))
            more["identity"] = None if found is None else {"kind": found[0], "value": found[1]}
        write_record(recorded.path, {**document, **more})
    except Exception as error:  # recording must never break the user's build, whatever fails
        WRAPPER.print_error(f"warning: what this link wrote is not recorded: {error}")


def warn_if_unrecorded(argv: Sequence[str], folder: str | Path, exporting: Exporting | None = None) -> Recorded | None:
    """:func:`record`, except that a failure becomes a warning."""
    try:
        return begin_record(argv, folder, exporting=exporting)
    except Exception as error:  # recording must never break the user's build, whatever fails
        WRAPPER.print_error(f"warning: this link is not recorded: {error}")
        return None


def _real_command(real: str) -> list[str]:
    """STUBGEN_REAL_LINKER as a command: a path, a name on PATH, or words in shell quoting."""
    if os.path.sep in real and os.path.isfile(real):
        return [real]
    if " " not in real:
        return [real]
    import shlex

    try:
        return shlex.split(real)
    except ValueError as error:
        WRAPPER.exit_with_error(f"STUBGEN_REAL_LINKER is {real!r}, which is no command: {str(error).lower()}")
