"""What becomes of the options of gcc and clang when a file is compiled again for a patch.

How many operands an option has is in the table of ``stubgen/linkplan/driver_options.py``; what is in no row here
stays as the build had it.
"""

from __future__ import annotations

from enum import Enum
from functools import cache

from stubgen.linkplan import driver_options
from stubgen.linkplan.gnu_options import KEYWORDS
from stubgen.linkplan.options import EQUALS, FLAG, JOINED, Form, Grammar


class Fate(Enum):
    """Why an option does not stay."""

    OUTPUT = "names the build's own output"
    STAGE = "says how far to go: a patch needs an object"
    SIDE = "writes a second file beside the build's"
    PIC = "says how addresses are made: a patch needs -fPIC"
    MODEL = "says how far data is: -fPIC needs the small code model"
    LTO = "leaves the code to the link"
    HEADER = "complains that a compiled header is not taken"


FATES: tuple[tuple[Fate, str], ...] = (
    (Fate.OUTPUT, "-o --output"),
    (Fate.STAGE, "-c --compile"),
    (
        Fate.SIDE,
        "-MD -MMD -MP -MG -MV -MF -MT -MQ -MJ --write-dependencies --write-user-dependencies -save-temps -save-temps= "
        "--save-temps -dumpdir -dumpbase -dumpbase-ext -aux-info --serialize-diagnostics -serialize-diagnostics "
        "-index-store-path -index-unit-output-path -gen-cdb-fragment-path -dependency-file -dependency-dot "
        "-foptimization-record-file= -fsave-optimization-record -fsave-optimization-record= -ftime-trace -ftime-trace= "
        "-fdump- -fprofile-note= -fstack-usage -fcallgraph-info -fcallgraph-info= -gsplit-dwarf -gsplit-dwarf= -Wa,-a",
    ),
    (Fate.PIC, "-fPIC -fpic -fPIE -fpie -fno-PIC -fno-pic -fno-PIE -fno-pie -mdynamic-no-pic"),
    (Fate.MODEL, "-mcmodel="),
    (
        Fate.LTO,
        "-flto -flto= -ffat-lto-objects -fno-fat-lto-objects -fuse-linker-plugin -fsplit-lto-unit -fwhole-program "
        "-fwhole-program-vtables -fvirtual-function-elimination -fthin-link-bitcode= -flto-partition= "
        "-flto-compression-level= -fthinlto-index=",
    ),
    (Fate.HEADER, "-Winvalid-pch"),
)
"""Options that do not stay; a name that ends in ``=`` or ``-`` is the beginning of the argument."""

DEPENDENCIES = frozenset({"-MD", "-MMD", "-M", "-MM", "-MP", "-MF", "-MT", "-MQ", "-MG"})
"""What ``-Wp,`` may hand to the preprocessor: the same options, between commas."""

_JOINED_TOO = ("-Wa,-a", "-fdump-")

OWN_ROWS = (
    (FLAG, "-save-temps --save-temps -fdebug-types-section"),
    (JOINED, " ".join(name for _, names in FATES for name in names.split() if name[-1] in "=-" or name in _JOINED_TOO)),
    (EQUALS, "-std"),
)


@cache
def grammar() -> Grammar:
    """The drivers' options, and the rows that only compiling needs."""
    from stubgen.linkplan.options import Role

    own: list[tuple[Role, Form, str]] = [(Role.PLAIN, form, names) for form, names in OWN_ROWS]
    return Grammar("compiler driver that compiles", [*driver_options.ROWS, *own], keywords=KEYWORDS)


@cache
def fates() -> dict[str, Fate]:
    """Option -> why it does not stay."""
    return {name: fate for fate, names in FATES for name in names.split()}
