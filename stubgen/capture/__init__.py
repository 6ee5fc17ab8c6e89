"""Records a build's commands: executables that stand in front of its linker, and the records that they leave.

A build runs them for every link, so this package imports next to nothing.
"""

from stubgen.capture.links import (
    KEPT,
    Capture,
    linker_main,
    newest_capture,
    read_captures,
    record,
    warn_if_unrecorded,
)
from stubgen.capture.words import links, output_of

__all__ = [
    "KEPT",
    "Capture",
    "linker_main",
    "links",
    "newest_capture",
    "output_of",
    "read_captures",
    "record",
    "warn_if_unrecorded",
]
