"""The program: ``python -m stubgen``, and the console script ``hotpatch-stubgen``.

An interrupt ends it without a word at any moment, so whatever takes time to import is imported below.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def run() -> NoReturn:
    """Run the command that ``sys.argv`` names."""
    try:
        from stubgen.cli import run as run_command

        run_command()
    except KeyboardInterrupt:
        os._exit(130)  # as the shell has it: 128, and Ctrl-C's number


if __name__ == "__main__":
    run()
