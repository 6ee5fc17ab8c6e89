"""What every linked image has of its own: start-up objects, and libraries that are linked into each image by design.

They are the one exception to the rule that the host comes first: two images that each have them are as their makers
meant it, and an image without them is broken.
"""

from __future__ import annotations

from enum import Enum

from stubgen.common.row import Row


class EveryImage(Enum):
    """What kind of file it is that every image has."""

    START_UP = "start-up code"
    RUNTIME = "run-time library"


class Files(Row):
    """Files by the pattern of their name, and why each image has them."""

    pattern: str
    kind: EveryImage
    why: str
    closes: bool = False
    """It ends what another file begins, so it stands behind the image's own objects."""


ROWS = (
    Files(r"crti\.o", EveryImage.START_UP, "the prologues of the image's own _init and _fini"),
    Files(r"crtn\.o", EveryImage.START_UP, "the epilogues of the image's own _init and _fini", closes=True),
    Files(
        r"(?:clang_rt\.)?crtbegin(?:S|_so)?(?:-[\w-]+)?\.o",
        EveryImage.START_UP,
        "__dso_handle, by which __cxa_finalize knows the image, and the start of its exception tables",
    ),
    Files(
        r"(?:clang_rt\.)?crtend(?:S|_so)?(?:-[\w-]+)?\.o",
        EveryImage.START_UP,
        "the end of the image's own exception tables",
        closes=True,
    ),
    Files(
        r"crtfastmath\.o",
        EveryImage.START_UP,
        "flushes denormal numbers, as -ffast-math asks for; the host's link did the same",
    ),
    Files(r"swiftrt\.o|swift_begin\.o", EveryImage.START_UP, "registers the image's own Swift metadata"),
    Files(r"swift_end\.o", EveryImage.START_UP, "the end of the image's own Swift metadata", closes=True),
    Files(r"ldc_rt\.dso\.o", EveryImage.START_UP, "registers the image's own D modules"),
    Files(r"libgcc\.a", EveryImage.RUNTIME, "arithmetic that the compiler calls; hidden, and without state"),
    Files(
        r"libclang_rt\.(?:builtins|osx|ios|iossim|cc_kext)(?:-[\w-]+)?\.a|libcompiler_rt\.a",
        EveryImage.RUNTIME,
        "arithmetic that the compiler calls; hidden, and without state",
    ),
    Files(
        r"libubsan_rt\.a",
        EveryImage.RUNTIME,
        "zig's reports of undefined behaviour, which its driver links into each image; they end the process",
    ),
    Files(
        r"lib(?:c|pthread)_nonshared\.a",
        EveryImage.RUNTIME,
        "glibc's functions that must know which image calls them: atexit, at_quick_exit, pthread_atfork",
    ),
    Files(
        r"libssp_nonshared\.a", EveryImage.RUNTIME, "musl's and MinGW's __stack_chk_fail_local, hidden in each image"
    ),
)
"""The table; the first row that matches a base name counts."""


IN_A_LIBRARY = {
    "crtbegin.o": "crtbeginS.o",
    "crtbeginT.o": "crtbeginS.o",
    "crtend.o": "crtendS.o",
    "crtbegin_dynamic.o": "crtbegin_so.o",
    "crtbegin_static.o": "crtbegin_so.o",
    "crtend_android.o": "crtend_so.o",
}
"""Start-up code of an executable -> what a shared library has instead, in the same folder.

An executable's ``__dso_handle`` is 0: with it, a library's static destructors run at the end of the process, when
``dlclose`` has unmapped them (``tests/live/test_host_options.py``).
"""


STARTS = (
    *("crt", "clang_rt.crt", "swift", "ldc_rt"),
    *(
        "libgcc.",
        "libclang_rt.",
        "libcompiler_rt.",
        "libc_nonshared.",
        "libpthread_nonshared.",
        "libssp_nonshared.",
        "libubsan_rt.",
    ),
)
"""How the names of all of them begin: a fat build has 20,000 objects, and a pattern a row is too much for each."""


def of_every_image(path: str) -> Files | None:
    """The row for the file at *path*; None for one that only the host's own link has."""
    name = path.replace("\\", "/").rpartition("/")[2]
    if not name.startswith(STARTS):
        return None
    import re

    return next((row for row in ROWS if re.fullmatch(row.pattern, name)), None)
