"""The objects of a patch whose own file has no debug information, kept in a folder beside the session file.

Mach-O linkers leave debug information in the objects, which ``patch`` removes after the link and builds overwrite. What
later patches call of this one is held against them. A copy is named for its SHA-256, which the session file has.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence

from stubgen.common.arguments import StrPath
from stubgen.common.files import Outputs, read_input
from stubgen.generations.state import Generation, PatchSession, Unit
from stubgen.image import Image
from stubgen.resolve.objects import open_objects

ENDING = ".objects"
"""The folder is called like the session file, and this."""
_DIGITS = 64


def stage_telling(
    outputs: Outputs, session: str, patch: Image, objects: Sequence[StrPath], units: Sequence[Unit]
) -> None:
    """Let the *objects* of *patch* that tell more of it than itself be kept with the file *session*.

    Args:
        outputs: what is written.
        session: path of the session file.
        patch: as it was linked.
        objects: what it was linked from.
        units: the same, for the session.

    Raises:
        UsageError, OutputFailure: as for :meth:`~stubgen.common.files.Outputs.add`.
    """
    if patch.debug_info.units:
        return
    folder = _folder(session)
    for path, unit in zip(objects, units, strict=True):
        copy = os.path.join(folder, unit.digest)
        if os.path.exists(copy) or not any(each.debug_info.units for each in open_objects(os.fspath(path)).images):
            continue
        content = bytes(read_input(path))
        if hashlib.sha256(content).hexdigest() == unit.digest:  # else it was compiled again after the link
            outputs.add_folder(folder)
            outputs.add(copy, content)


def telling(session: str, generation: Generation) -> Iterator[tuple[str, str]]:
    """Path and SHA-256 of what may tell of a *generation*: the copy, and where the object itself was."""
    for unit in generation.units:
        yield os.path.join(_folder(session), unit.digest), unit.digest
        if unit.path:
            yield unit.path, unit.digest


def remove_unnamed(path: str, session: PatchSession) -> None:
    """Remove the copies beside the file *path* that no generation of its *session* names: of another process's patches.

    What cannot be removed stays, and is nobody's.
    """
    named = {unit.digest for generation in session.generations for unit in generation.units}
    folder = _folder(path)
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            if len(name) == _DIGITS and not name.strip("0123456789abcdef") and name not in named:
                os.unlink(os.path.join(folder, name))


def _folder(session: str) -> str:
    return os.path.realpath(session) + ENDING
