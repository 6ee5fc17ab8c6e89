"""Records a build's commands: executables in front of its linker and its compilers, and the records that they leave.

A build runs them for every link and compile, so this package imports next to nothing: of compiles, only when asked.
"""

from __future__ import annotations

from stubgen.capture.links import (
    KEPT,
    Capture,
    exporting_anchor,
    finish,
    linker_main,
    newest_capture,
    read_captures,
    record,
    refuse_another_build,
    warn_if_unrecorded,
)
from stubgen.capture.words import links, output_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from stubgen.capture.compiles import Compile, compiler_main, read_compiles, record_compile

__all__ = [
    "KEPT",
    "Capture",
    "Compile",
    "compiler_main",
    "exporting_anchor",
    "finish",
    "linker_main",
    "links",
    "newest_capture",
    "output_of",
    "read_captures",
    "read_compiles",
    "record",
    "record_compile",
    "refuse_another_build",
    "warn_if_unrecorded",
]


def __getattr__(name: str) -> object:
    """The object *name* of ``compiles``."""
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from stubgen.capture import compiles

    return getattr(compiles, name)
