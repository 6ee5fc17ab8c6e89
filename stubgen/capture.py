"""Records linker commands: an executable to give to a build as its linker, and the records that it leaves.

``hotpatch-stubgen-linker`` goes where a toolchain wants one program (``-C linker=``, ``CC``, ``--ld-path``). It is
told what to do by its environment, because its arguments are the linker's::

    STUBGEN_CAPTURE_DIR    the folder for the records, as an absolute path: builds change folders
    STUBGEN_REAL_LINKER    the linker that it stands in front of, as a path, a name on PATH, or a command with
                           arguments (``zig cc -target aarch64-linux-musl``)

It writes one JSON file a link, copies the response files, which are temporary, and then becomes the real
linker. Nothing that goes wrong with recording stops the build: it warns and links. A build runs this for every
link, so this module imports next to nothing.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path
    from typing import NoReturn

    from stubgen.linkplan import CapturedCommand

SCHEMA = 1
"""Version of the record; a field that changes its meaning raises it."""

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

DEPTH = "STUBGEN_CAPTURE_DEPTH"
"""Set to the number of captures around this one, so that a real linker that leads back here ends."""

MAX_DEPTH = 4
"""A driver under capture may run a captured linker, and a wrapper may add one of each; more is a loop."""

NOT_LINKING = frozenset(
    {"-c", "-S", "-E", "-M", "-MM", "-fsyntax-only", "--version", "-dumpversion", "-dumpmachine", "-###", "--help"}
)
"""With one of these, a compiler driver links nothing; to a linker, some of them mean other things."""

KEPT = 32
"""Records of one output that are kept; the oldest go when another is written."""

MAX_TIME = 253_370_764_800  # seconds since 1970
"""The year 9999 begins: no record is from later."""

RECORD_SUFFIX = ".link.json"


class Capture:
    """One recorded link."""

    __slots__ = ("argv", "directory", "environment", "output", "path", "response_files", "time")

    argv: list[str]
    """The real linker's command, program first."""
    directory: Path
    """Where it ran."""
    environment: dict[str, str]
    """The variables of :data:`ENVIRONMENT` that were set."""
    time: float
    """Seconds since 1970."""
    output: str
    """What ``-o`` said, or ``""``."""
    response_files: dict[str, Path]
    """Name after the ``@`` -> the copy."""
    path: Path | None
    """The record's own file."""

    def __init__(
        self,
        argv: Sequence[str],
        directory: str | Path,
        environment: Mapping[str, str],
        time: float = 0.0,
        output: str = "",
        response_files: Mapping[str, str | Path] | None = None,
        path: Path | None = None,
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

    def files(self) -> list[Path]:
        """The files that it consists of."""
        return [*([self.path] if self.path else []), *self.response_files.values()]

    def command(self) -> CapturedCommand:
        """What a link plan is made from."""
        from stubgen.linkplan import CapturedCommand

        return CapturedCommand(self.argv, self.directory, self.response_files, self.environment)

    @classmethod
    def load(cls, path: str | Path) -> Capture:
        """The record in the file *path*.

        A record says what a link runs, so another user's is not believed, nor is one that anybody may write; the
        variables that it sets are those that a capture keeps, and its response files are those beside it.

        Raises:
            UnreadableInput: there is no such file, or whose it is forbids to believe it.
            MalformedInput: the file holds no record, or another version's.
        """
        import json
        from pathlib import Path as PathType

        from stubgen.common.arguments import path as checked_path
        from stubgen.common.files import open_input
        from stubgen.errors import MalformedInput, UsageError

        file = PathType(checked_path("path", path))
        content, status = open_input(file)
        _refuse_foreign(file, status)
        try:
            content = bytes(content)
            record = json.loads(content)
            schema = _number(record["schema"])
            if schema != SCHEMA:
                raise MalformedInput(
                    f"{file}: is a captured link of schema {schema}, and this version reads schema {SCHEMA}: "
                    "capture the link again"
                )
            return cls(
                argv=[_text(word) for word in record["argv"]],
                directory=_text(record["directory"]),
                environment={_variable(file, name): _text(value) for name, value in record["environment"].items()},
                time=_timestamp(record["time"]),
                output=_text(record["output"]),
                response_files={
                    _text(name): _beside(file, _text(copy)) for name, copy in record["response_files"].items()
                },
                path=file,
            )
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, UsageError) as error:
            raise MalformedInput(
                f"{file}: not a captured link; give a *{RECORD_SUFFIX} file that hotpatch-stubgen-linker wrote"
            ) from error


def _refuse_foreign(file: Path, status: os.stat_result) -> None:
    """Refuse the record *file* where somebody else chose what it says; root could choose what this program is.

    Raises:
        UnreadableInput: somebody did, or could.
    """
    from stubgen.errors import UnreadableInput

    if status.st_uid not in (os.geteuid(), 0):
        raise UnreadableInput(
            f"{file}: is another user's record, and says which programs a link runs: capture the link yourself, "
            "or make the file yours"
        )
    if status.st_mode & 0o002:
        raise UnreadableInput(
            f"{file}: anybody may write this record, which says what programs a link runs: look at it, and chmod o-w it"
        )


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


def _text(value: object) -> str:
    """A text that can be a command's argument, a path or a variable's value."""
    if not isinstance(value, str):
        raise TypeError(value)
    if "\0" in value:
        raise ValueError(value)
    value.encode("utf-8", "surrogateescape")
    return value


def _variable(file: Path, value: object) -> str:
    """The name of an environment variable that the record *file* sets.

    Raises:
        MalformedInput: it is none that a capture keeps: ``LD_PRELOAD`` would run what its value names.
    """
    from stubgen.errors import MalformedInput

    name = _text(value)
    if not name or "=" in name:
        raise ValueError(name)
    if name not in ENVIRONMENT:
        raise MalformedInput(f"{file}: sets {name}, which no capture keeps: capture the link again")
    return name


def _number(value: object) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(value)
    return value


def _timestamp(value: object) -> float:
    """Seconds since 1970 that a calendar has a date for; NaN is none."""
    number = _number(value)
    if not 0 <= number < MAX_TIME:
        raise ValueError(number)
    return float(number)


def read_captures(directory: str | Path) -> list[Capture]:
    """Every sound record in *directory*, oldest first.

    Raises:
        UnreadableInput: there is no such folder.
        UsageError: *directory* is no path.
    """
    return _read_folder(directory)[0]


def _read_folder(directory: str | Path) -> tuple[list[Capture], str]:
    """Every sound record in *directory*, oldest first, and why another one is none."""
    from pathlib import Path as PathType

    from stubgen.common.arguments import path
    from stubgen.errors import InputError, UnreadableInput

    folder = PathType(path("directory", directory))
    if not folder.is_dir():
        raise UnreadableInput(f"{folder}: no such folder; nothing was captured there")
    captures, refused = [], ""
    for file in sorted(folder.glob(f"*{RECORD_SUFFIX}")):
        try:
            captures.append(Capture.load(file))
        except InputError as error:  # another version's, or one that is being written right now
            refused = str(error)
    captures.sort(key=lambda capture: capture.time)
    return captures, refused


def newest_capture(directory: str | Path, output_name: str) -> Capture:
    """The newest record in *directory* of a link that wrote *output_name*.

    *output_name* is a file name, or a path of which any number of folders is given. Cargo's hashed name
    (``app-0123456789abcdef``) answers to the plain one when nothing else does.

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
            finished = [capture for capture in found if _output_is_there(capture)]
            return (finished or found)[-1]
    known = ", ".join(sorted({os.path.basename(capture.output) for capture in captures if capture.output}))
    raise UnreadableInput(
        f"{directory}: no captured link wrote {output_name}; "
        + (f"those that were captured wrote {known}" if known else refused or "none was captured")
    )


def _output_is_there(capture: Capture) -> bool:
    """Whether the link that was recorded wrote its output: one that failed is not the one to edit."""
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
) -> str:
    """Write the record of the link *argv*; the path of its file.

    The file appears at once and whole, under a name that no other link of the build has, or not at all. Of the
    records of one output the newest :data:`KEPT` stay.

    Raises:
        OSError: the folder cannot be written.
    """
    import time
    from binascii import crc32

    here = directory or os.getcwd()
    variables = os.environ if environment is None else environment
    folder = os.fspath(capture_directory)
    os.makedirs(folder, exist_ok=True)
    output = output_of(argv, here)
    stem = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in os.path.basename(output))[:80]
    mark = crc32(os.fsencode(os.path.join(here, output)))
    series = f"{stem or 'link'}.{mark:08x}."
    name = f"{series}{time.time_ns():x}.{os.getpid():x}"
    document = {
        "schema": SCHEMA,
        "argv": list(argv),
        "directory": here,
        "environment": {key: variables[key] for key in ENVIRONMENT if key in variables},
        "time": time.time(),
        "output": output,
    }
    path = os.path.join(folder, name + RECORD_SUFFIX)
    try:
        document["response_files"] = _copy_response_files(argv, here, folder, name)
        _write_record(path, document)
    except BaseException:
        _remove_files(folder, [file for file in os.listdir(folder) if file.startswith(f"{name}.")])
        raise
    _prune(folder, series)
    return path


def _write_record(path: str, document: Mapping[str, object]) -> None:
    """Write *document* at *path*, whole."""
    import json

    temporary = f"{path}.tmp"
    with open(temporary, "w", encoding="utf-8", errors="surrogateescape") as file:
        json.dump(document, file, indent=1)
    os.replace(temporary, path)


def _prune(folder: str, series: str) -> None:
    """Remove the oldest records whose names begin with *series*, with their response files, beyond :data:`KEPT`."""
    times = {}
    for file in os.listdir(folder):
        if file.startswith(series) and file.endswith(RECORD_SUFFIX):
            moment, _, process = file[len(series) : -len(RECORD_SUFFIX)].partition(".")
            if _is_hexadecimal(moment) and _is_hexadecimal(process):
                times[f"{series}{moment}.{process}"] = int(moment, 16)
    old = sorted(times, key=lambda name: times[name])[:-KEPT]
    if old:
        copies = [file for file in os.listdir(folder) if file.endswith(".rsp") and file.startswith(series)]
        of = {name: [copy for copy in copies if copy.startswith(f"{name}.")] for name in old}
        _remove_files(folder, [file for name in old for file in (name + RECORD_SUFFIX, *of[name])])


def _is_hexadecimal(text: str) -> bool:
    return bool(text) and not text.strip("0123456789abcdef")


def _remove_files(folder: str, names: Iterable[str]) -> None:
    for name in names:
        try:
            os.unlink(os.path.join(folder, name))
        except OSError:  # another link of the build was faster
            continue


def _response_names(argv: Iterable[str], directory: str) -> Iterable[tuple[str, str]]:
    """(name after the ``@``, path) of every response file of *argv* that exists, nested ones included."""
    seen: set[str] = set()
    waiting = [word.removeprefix("-Wl,")[1:] for word in argv if word.startswith(("@", "-Wl,@"))]
    while waiting:
        name = waiting.pop()
        path = os.path.join(directory, name)
        if not name or name in seen or not os.path.isfile(path):
            continue
        seen.add(name)
        yield name, path
        from pathlib import Path as PathType

        from stubgen.linkplan.response import read, split_gnu

        waiting += [word[1:] for word in read(PathType(path), split_gnu) if word.startswith("@")]


def _copy_response_files(argv: Iterable[str], directory: str, folder: str, stem: str) -> dict[str, str]:
    """Copy the response files of *argv* into *folder*: name after the ``@`` -> file name of the copy."""
    copies = {}
    for number, (name, path) in enumerate(_response_names(argv, directory)):
        import shutil

        copy = f"{stem}.{number}.rsp"
        shutil.copyfile(path, os.path.join(folder, copy))
        copies[name] = copy
    return copies


def output_of(argv: Sequence[str], directory: str = "") -> str:
    """What the last ``-o``, ``--output=X``, ``-Wl,-o,X`` or ``/OUT:X`` says, response files included.

    This runs in front of every link, so it looks at these forms alone. Only where none of them is there, and
    something begins with ``-o``, the linker's options are looked up: ``-oX`` names an output, ``-object_path_lto``
    does not.
    """
    output = ""
    words = list(argv)
    if any(len(word) > 1 and word[0] == "@" for word in words):
        from stubgen.errors import StubgenError
        from stubgen.linkplan.response import expand

        try:
            words = expand(words, directory=directory or None).arguments
        except StubgenError:  # the linker will complain of it better
            return ""
    for position, word in enumerate(words):
        if word in ("-o", "--output"):
            output = words[position + 1] if position + 1 < len(words) else output
        elif word.startswith("--output="):
            output = word[9:]
        elif word[:5].lower() in ("/out:", "-out:"):
            output = word[5:]
        elif word.startswith("-Wl,-o,"):
            output = word[7:].partition(",")[0]
    if not output and any(word.startswith("-o") and word != "-o" for word in words):
        return _joined_output(words)
    return output


def _joined_output(argv: Sequence[str]) -> str:
    """What the last ``-oX`` of *argv* says, by the option tables of the program that it runs."""
    from stubgen.errors import StubgenError
    from stubgen.linkplan.options import Role
    from stubgen.linkplan.tokens import tokenize
    from stubgen.linkplan.toolchain import find_toolchain

    try:
        toolchain = find_toolchain(argv)
    except StubgenError:  # not a program that anything is known of
        return ""
    driver = toolchain.driver_grammar() if toolchain.driver else None
    items = tokenize(argv[toolchain.arguments :], driver, toolchain.linker_grammar()).items
    named = [item.values[-1] for item in items if item.option and item.option.role is Role.OUTPUT and item.values]
    return named[-1] if named else ""


def links(argv: Sequence[str]) -> bool:
    """Say whether the command *argv* links: as a build's CC, the capture executable sees it compile and answer too.

    >>> links(["gcc", "-c", "x.c"]), links(["ld.lld-19", "-S", "-o", "x", "x.o"])
    (False, True)
    """
    name = os.path.basename(argv[0]).removesuffix(".exe").rstrip("0123456789.-")
    if name.endswith(("ld", "collect2", "link")):
        return True
    words = argv[1:]
    return bool(words) and not any(word in NOT_LINKING or word.startswith(("-print-", "--print-")) for word in words)


def linker_main(argv: Sequence[str] | None = None) -> NoReturn:
    """Record the command and become the real linker: the console script ``hotpatch-stubgen-linker``.

    An interrupt ends it without a word, as it would have ended the linker.
    """
    try:
        _record_and_become(argv)
    except KeyboardInterrupt:
        import signal

        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    sys.exit(130)


def _record_and_become(argv: Sequence[str] | None) -> NoReturn:
    arguments = sys.argv[1:] if argv is None else list(argv)
    real = os.environ.get("STUBGEN_REAL_LINKER", "")
    folder = os.environ.get("STUBGEN_CAPTURE_DIR", "")
    if not real.strip():
        _exit_with_error("set STUBGEN_REAL_LINKER to the linker that this one stands in front of")
    command = _real_command(real)
    full = [*command, *arguments]
    if not links(full):
        become(full)  # as CC, this executable compiles as well
    if folder:
        warn_if_unrecorded(full, folder)
    else:
        _print_error("warning: STUBGEN_CAPTURE_DIR is not set, so this link is not recorded")
    become(full)


def warn_if_unrecorded(argv: Sequence[str], folder: str | Path) -> str | None:
    """:func:`record`, except that a failure becomes a warning; the path of the record, if there is one."""
    try:
        return record(argv, folder)
    except Exception as error:  # recording must never break the user's build, whatever fails
        _print_error(f"warning: this link is not recorded: {error}")
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
        _exit_with_error(f"STUBGEN_REAL_LINKER is {real!r}, which is no command: {str(error).lower()}")


def become(argv: Sequence[str]) -> NoReturn:
    """Replace this process by the command *argv*: same streams, same exit status, same process id.

    Ends the process with 4 if the command cannot be run, or if it is this executable again.
    """
    program = _find(argv[0])
    if program is None:
        _exit_with_error(f"{argv[0]}: no such linker; STUBGEN_REAL_LINKER must name one")
    depth = os.environ.get(DEPTH, "0")
    if _is_this_executable(program) or not depth.isdigit() or int(depth) >= MAX_DEPTH:
        _exit_with_error(
            f"{program}: leads back to this capture executable; STUBGEN_REAL_LINKER must name the real linker"
        )
    environment = {**os.environ, DEPTH: str(int(depth) + 1)}
    try:
        _restore_signals()
        if os.name == "posix":
            os.execve(program, list(argv), environment)  # noqa: S606 - becoming the user's linker is the point
        import subprocess

        sys.exit(subprocess.call(list(argv), executable=program, env=environment))
    except OSError as error:
        _exit_with_error(f"{program}: cannot be run: {error.strerror}")


def _restore_signals() -> None:
    """Let the linker have the signals that Python ignores, and that stay ignored in the program that it becomes.

    A linker that writes to a pipe without a reader, or beyond the size that a file may have, is to end by them.
    """
    import signal

    for name in ("SIGPIPE", "SIGXFSZ"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)


def _find(program: str) -> str | None:
    """The file that *program* names, through PATH where it is a bare name."""
    if os.path.dirname(program):
        return program if os.path.isfile(program) else None
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = os.path.join(folder, program)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


def _is_this_executable(program: str) -> bool:
    """Say whether the file *program* is the one that runs now."""
    try:
        return os.path.samefile(program, sys.argv[0])
    except OSError:
        return False


def _print_error(sentence: str) -> None:
    """Tell people, where they listen: standard error may be closed, or full."""
    try:
        shown = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in sentence)
        sys.stderr.write(f"hotpatch-stubgen-linker: {shown}\n")
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):  # full, closed, or None
        return


def _exit_with_error(sentence: str) -> NoReturn:
    _print_error(f"error: {sentence}")
    os._exit(4)  # what could not be printed is still buffered, and would change the status


if __name__ == "__main__":
    linker_main()
