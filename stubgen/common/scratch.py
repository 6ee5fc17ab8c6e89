"""Temporary folders, which go with what they were for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from stubgen.common.arguments import StrPath
from stubgen.common.cancellation import signals_held
from stubgen.errors import OutputFailure


@contextlib.contextmanager
def scratch_folder(prefix: str = "stubgen.", beside: StrPath | None = None) -> Iterator[str]:
    """A temporary folder in the folder *beside*, or in the system's; it is gone afterwards.

    No signal comes in the middle of its removal. What cannot be removed stays, alone: by then what the folder was for
    is done, or has failed for a reason of its own.

    Raises:
        OutputFailure: it cannot be made.
    """
    import tempfile

    with signals_held():
        try:
            folder = tempfile.TemporaryDirectory(prefix=prefix, dir=beside, ignore_cleanup_errors=True)
        except OSError as error:
            where = error.filename or "the system's folder for temporary files"
            raise OutputFailure(f"{where}: no temporary folder can be made: {error.strerror}") from error
    try:
        yield folder.name
    finally:
        with signals_held():
            folder.cleanup()
