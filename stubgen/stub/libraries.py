"""Keystone and Capstone as installed: which files they are, told without importing them, and their import.

To import both takes longer than to build a patch, so what they answered is remembered for exactly these files
(:mod:`stubgen.stub.facts`). Both keep their code in a shared library beside the Python that calls it.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from _thread import allocate_lock
from collections.abc import Iterator
from struct import Struct

from stubgen.common.row import Row
from stubgen.errors import BrokenLibrary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Library(Row):
    """A Python package around a shared library."""

    title: str
    package: str
    distribution: str  # as pip takes it
    sources: tuple[str, ...]  # the files of the package that decide what it answers, at most two
    folder: str  # the shared library's, below the package's
    variable: str  # the environment variable that names another shared library; empty if there is none
    advice: str  # what to do about it when it is broken


KEYSTONE = Library(
    "Keystone",
    "keystone",
    "keystone-engine",
    ("__init__.py", "keystone.py"),
    "",
    "",
    "install keystone-engine anew, or remove it: the recorded encoding serves as well",
)
CAPSTONE = Library(
    "Capstone",
    "capstone",
    "capstone",
    ("__init__.py",),
    "lib",
    "LIBCAPSTONE_PATH",
    "no stub is believed that Capstone has not read: install capstone anew",
)

IDENTITY = Struct("=32s15Q")
"""Version; then of up to three files: device, inode, bytes, times of content and status in nanoseconds."""

_SHARED = (".so", ".dylib", ".dll")
_LOADING = allocate_lock()


def is_installed(library: Library) -> bool:
    """Whether there is a package of that name; a mere folder, which Python calls a namespace, is none."""
    return _origin(library) is not None


def identity(library: Library) -> bytes | None:
    """What tells the installed *library* from any other, as :data:`IDENTITY` packs it.

    None where that cannot be told: it is absent, its shared library is somewhere else (Debian's python3-capstone) or
    named by the environment, or another module of its name is loaded already.
    """
    origin = _origin(library)
    if origin is None or (library.variable and os.environ.get(library.variable) is not None):
        return None
    loaded = sys.modules.get(library.package)
    if loaded is not None and getattr(loaded, "__file__", None) != origin:
        return None
    package = os.path.dirname(origin)
    try:
        version = _version(library, os.path.dirname(package))
        files = [os.path.join(package, source) for source in library.sources]
        files += _shared_libraries(os.path.join(package, library.folder))
        if version is None or len(files) != len(library.sources) + 1:
            return None
        states = [number for path in files for number in _state(path)]
    except OSError:
        return None
    return IDENTITY.pack(version, *states, *[0] * (15 - len(states)))


def _origin(library: Library) -> str | None:
    """The file that ``import`` would run for it, as ``importlib.util`` finds it, which takes long to import."""
    with contextlib.suppress(ImportError):
        for finder in sys.meta_path:
            spec = finder.find_spec(library.package, None)
            if spec is not None:
                return spec.origin if spec.has_location else None
    return None


def _version(library: Library, folder: str) -> bytes | None:
    """From the name of its ``.dist-info`` folder in *folder* (Core metadata); None unless there is exactly one."""
    start, end = f"{library.distribution.replace('-', '_')}-", ".dist-info"
    names = [name for name in _distributions(folder) if name.startswith(start)]
    version = names[0][len(start) : -len(end)].encode() if len(names) == 1 else b""
    return version if 0 < len(version) <= 32 else None


def _distributions(folder: str) -> list[str]:
    """The names of the ``.dist-info`` folders in *folder*, listed anew whenever it has changed."""
    state = _state(folder)
    known = _listed.get(folder)
    if known is None or known[0] != state:
        known = _listed[folder] = state, [name for name in os.listdir(folder) if name.endswith(".dist-info")]
    return known[1]


_listed: dict[str, tuple[tuple[int, ...], list[str]]] = {}
"""Folder -> its state, and its ``.dist-info`` folders: a hundred packages take longer to list than a stub to write."""


def _shared_libraries(folder: str) -> list[str]:
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if any(end in name for end in _SHARED)]


def _state(path: str) -> tuple[int, ...]:
    status = os.stat(path)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def load(library: Library) -> Any:
    """The package, imported; what it prints at that is dropped.

    Raises:
        BrokenLibrary: it is not there, or its import fails.
    """
    with broken(library, "cannot be loaded"), _LOADING, contextlib.redirect_stdout(io.StringIO()):
        __import__(library.package)
        return sys.modules[library.package]


@contextlib.contextmanager
def broken(library: Library, what: str) -> Iterator[None]:
    """Turn whatever a library raises into one sentence.

    Raises:
        BrokenLibrary: an exception left the ``with`` block.
    """
    try:
        yield
    except BrokenLibrary:
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name == library.package:
            raise BrokenLibrary(f"{library.title} is not installed: pip install {library.distribution}") from error
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise BrokenLibrary(f"{library.title} {what} ({why}): {library.advice}") from error
