"""``.ninja_deps``: what ninja keeps of compilers' dependency files, which it removes (ninja's ``deps_log.h``).

After ``# ninjadeps`` and a version come records, each behind its size in bytes. One with the size's top bit set has the
number of an output, its time and the numbers of what it was made from; any other is the next number's path, filled up
with NUL to four bytes, and a checksum. The last record of an output counts.
"""

from __future__ import annotations

import os
import struct
from functools import cache

from stubgen.common.text import as_text

SIGNATURE = b"# ninjadeps\n"
TIME_WORDS = {3: 1, 4: 2}
"""Version -> 32-bit words of an output's time."""

_DEPENDENCIES = 1 << 31  # bit of a record's size
_NAME = ".ninja_deps"


def dependencies_of(output: str, directory: str) -> list[str]:
    """What *output* was made from, both as ninja in *directory* names them; nothing where it does not say."""
    path = os.path.join(directory, _NAME)
    try:
        status = os.stat(path)
    except OSError:
        return []
    return _read(path, status.st_mtime_ns, status.st_size).get(os.path.normpath(output), [])


@cache
def _read(path: str, _modified: int, _size: int) -> dict[str, list[str]]:
    """Output -> what it was made from; a log that is broken or cut off says what stands before that."""
    with open(path, "rb") as file:
        content = file.read()
    start = len(SIGNATURE) + 4
    version = struct.unpack_from("<I", content, len(SIGNATURE))[0] if len(content) >= start else 0
    if not content.startswith(SIGNATURE) or version not in TIME_WORDS:
        return {}
    paths: list[str] = []
    found: dict[int, tuple[int, ...]] = {}
    while start + 4 <= len(content):
        size = struct.unpack_from("<I", content, start)[0]
        record = content[start + 4 : start + 4 + (size & ~_DEPENDENCIES)]
        start += 4 + len(record)
        if len(record) < 4 or len(record) % 4 or len(record) != size & ~_DEPENDENCIES:
            break
        if not size & _DEPENDENCIES:
            paths.append(as_text(record[:-4].rstrip(b"\0")))
            continue
        words = struct.unpack(f"<{len(record) // 4}I", record)
        found[words[0]] = words[1 + TIME_WORDS[version] :]
    known = range(len(paths))
    return {
        paths[output]: [paths[number] for number in numbers if number in known]
        for output, numbers in found.items()
        if output in known
    }
