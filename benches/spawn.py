"""Starts and times processes for the benchmark, from a process that is itself small.

Linux counts what a process held before it became another program into that program's peak memory, so children of
a large Python would all look as large as it. Run as ``python -I -S spawn.py``: one JSON request a line on standard
input (``command``, ``environment``, ``stdout``, ``stderr``), one answer a line on standard output (``status``,
``seconds``, ``peak``).
"""

from __future__ import annotations

import json
import os
import sys
import time

_UNIT = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is bytes on macOS, KiB on Linux


def _serve() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        command = request["command"]
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, request["stdout"], flags, 0o600),
            (os.POSIX_SPAWN_OPEN, 2, request["stderr"], flags, 0o600),
        ]
        started = time.perf_counter()
        child = os.posix_spawn(command[0], command, request["environment"], file_actions=actions)
        _, status, usage = os.wait4(child, 0)
        seconds = time.perf_counter() - started
        answer = {
            "status": os.waitstatus_to_exitcode(status),
            "seconds": seconds,
            "peak": usage.ru_maxrss * _UNIT,
        }
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
