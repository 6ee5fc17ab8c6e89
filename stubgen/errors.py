"""Every error that stubgen raises on purpose.

::

    StubgenError                 exit status
    ├── UsageError               2   the request contradicts itself or lacks something
    ├── InputError               3   a file is not what it must be
    │   ├── UnreadableInput          missing, a directory, no permission
    │   ├── MalformedInput           its structure is broken or cut off
    │   └── UnsupportedInput         sound, but not something this tool handles
    ├── Refusal                  1   the inputs are sound and the answer is no
    │   ├── AnchorRefusal            the slide cannot be right
    │   ├── BuildIdRefusal           the host is not the one that runs
    │   ├── SymbolRefusal            a needed symbol is missing, ambiguous or cannot be expressed
    │   ├── PlanRefusal              hot-patching cannot work for this link command
    │   ├── VerificationRefusal      a stub does not decode to what it should be
    │   ├── FieldOverflow            a value does not fit the field that the format gives it
    │   └── PatchRefusal             the linked patch would fail or do nothing
    ├── LinkerFailed             4   the real linker said no
    ├── CompilerFailed           4   a compiler said no
    ├── SystemFailure            5   the machine cannot do it; the request and the inputs may be right
    │   ├── OutputFailure            an output cannot be written: the disk is full, or failed
    │   └── BrokenLibrary            Keystone or Capstone cannot be loaded, or does not do what it must
    └── Cancelled              130   another thread no longer wants it (see ``stubgen.common.cancellation``)

A message is one sentence: what is wrong, where (file, section, symbol, offset), and what to do about it
when there is something to do.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as typing has it, without importing typing where a link is captured
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


class StubgenError(Exception):
    """The root: catch this to catch everything that is not a bug."""

    exit_status = 1
    """What the command line ends with."""


class UsageError(StubgenError):
    """The request contradicts itself or lacks something it needs."""

    exit_status = 2


class InputError(StubgenError):
    """A file cannot be used as what it was given for."""

    exit_status = 3


class UnreadableInput(InputError):
    """The file is missing, is a directory, or may not be read."""


class MalformedInput(InputError):
    """The file's structure is broken or cut off."""


class UnsupportedInput(InputError):
    """The file is sound but of a kind that this tool does not handle."""


class Refusal(StubgenError):
    """The inputs are sound and the answer is no."""


class AnchorRefusal(Refusal):
    """The anchor is missing or ambiguous, or the slide it gives cannot be right."""


class BuildIdRefusal(Refusal):
    """The host's build id (or UUID) is not the expected one."""


class SymbolRefusal(Refusal):
    """At least one needed symbol is missing, ambiguous or cannot be expressed."""

    def __init__(self, message: str, decisions: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.decisions = tuple(decisions)
        """The verdicts (``stubgen.Decision``) that speak against the patch, in order of first use."""


class PlanRefusal(Refusal):
    """Hot-patching cannot work for the captured link command."""


class VerificationRefusal(Refusal):
    """A stub object is not what it should be."""


class FieldOverflow(Refusal):
    """A value does not fit the field that the file format gives it."""


class PatchRefusal(Refusal):
    """The linked patch would fail to load, or would load and do nothing."""

    def __init__(self, message: str, findings: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.findings = tuple(findings)
        """Every finding (``stubgen.Finding``) about the patch; those whose ``ok`` is false speak against it."""


class LinkerFailed(StubgenError):
    """The real linker could not be run or ended with an error."""

    exit_status = 4

    def __init__(
        self, message: str, *, command: Sequence[str] = (), status: int | None = None, output: str = ""
    ) -> None:
        super().__init__(message)
        self.command = tuple(command)
        """What was run, the program first."""
        self.status = status
        """The linker's exit status, a signal's number negative; None where it did not run."""
        self.output = output
        """What it printed, on both streams."""


class CompilerFailed(StubgenError):
    """A compiler could not be run or ended with an error."""

    exit_status = 4

    def __init__(
        self, message: str, *, command: Sequence[str] = (), status: int | None = None, output: str = ""
    ) -> None:
        super().__init__(message)
        self.command = tuple(command)
        """What was run, the program first."""
        self.status = status
        """The compiler's exit status, a signal's number negative; None where it did not run."""
        self.output = output
        """What it printed, on both streams."""


class SystemFailure(StubgenError):
    """The machine cannot do it, although the request and the inputs may be right."""

    exit_status = 5


class OutputFailure(SystemFailure):
    """An output cannot be written: the disk is full, or failed."""


class BrokenLibrary(SystemFailure):
    """Keystone or Capstone cannot be loaded, or does not do what it must."""


class Cancelled(StubgenError):
    """Whoever asked for it no longer wants it; nothing is left half written."""

    exit_status = 130
