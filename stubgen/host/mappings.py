"""Where a process of this machine has the host's file, as Linux tells: a wrong anchor is found before it is used.

``/proc/PID/maps`` (proc_pid_maps(5)) has each mapping of a file with its offset in it. qemu-user maps the program as
the kernel does, at the program's own addresses unless it was given a guest base.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from stubgen.errors import AnchorRefusal
from stubgen.host import Host
from stubgen.host.slide import Slide

_GUEST_BASE = 1 << 32
"""Bytes from which a distance between two addresses may be an emulator's guest base."""


class _Mapping(NamedTuple):
    start: int
    end: int
    offset: int  # bytes into the file


def refuse_misplaced(host: Host, slide: Slide, pid: int | None) -> None:
    """Refuse an anchor that is not where process *pid* has it.

    Nothing is said of a process that is not here, that may not be looked at or that has not mapped the host's file.

    Raises:
        AnchorRefusal: the process has that part of the file elsewhere alone.
    """
    offset = host.image.file_offset(slide.static_address)
    if pid is None or offset is None:
        return
    here = [
        each.start + offset - each.offset
        for each in _mappings(pid, os.path.realpath(host.path))
        if each.offset <= offset < each.offset + each.end - each.start
    ]
    nearest = min((abs(slide.runtime_address - each) for each in here), default=0)
    if nearest and (nearest < _GUEST_BASE or not _is_emulated(pid)):
        raise AnchorRefusal(
            f"{host.path}: process {pid} has {slide.anchor} at {here[0]:#x}, not at {slide.runtime_address:#x}: the "
            f"address belongs to another symbol, another process or another build of the host"
        )


def _mappings(pid: int, path: str) -> Iterator[_Mapping]:
    """The mappings of the file at *path*; none where the system does not tell."""
    try:
        with open(f"/proc/{pid}/maps", "rb") as file:
            lines = file.read().splitlines()
    except OSError:
        return
    for line in lines:
        words = line.split(None, 5)
        if len(words) == 6 and words[5] == os.fsencode(path):
            start, _, end = words[0].partition(b"-")
            yield _Mapping(int(start, 16), int(end, 16), int(words[2], 16))


def _is_emulated(pid: int) -> bool:
    """Whether the process may be an emulator's: its own program is none for this tool's processors."""
    try:
        with open(f"/proc/{pid}/exe", "rb") as file:
            return file.read(20)[18:20] != b"\xb7\0"  # e_machine, EM_AARCH64
    except OSError:
        return True
