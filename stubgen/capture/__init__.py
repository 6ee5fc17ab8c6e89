"""Records a build's commands: executables in front of its linker and its compilers, and the records that they leave.

A build runs them for every link and compile, so this package imports next to nothing.
"""

from stubgen.capture.compiles import Compile, compiler_main, read_compiles, record_compile
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
