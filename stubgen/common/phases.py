"""Which phase a command is in, for whoever wants to know: the times of ``--verbose``, the line on a terminal."""

from __future__ import annotations

from collections.abc import Callable

from stubgen.common.cancellation import checkpoint

Listener = Callable[[str], None]

_listeners: list[Listener] = []


def phase(name: str) -> None:
    """Begin the phase called *name*, in words that go on "it": "opens the host".

    Raises:
        Cancelled: nobody wants the result, so this is where it stops.
    """
    checkpoint()
    for listener in _listeners:
        listener(name)


def listen(listener: Listener) -> None:
    """Call *listener* at the beginning of each phase, in the thread that begins it."""
    _listeners.append(listener)


def unlisten(listener: Listener) -> None:
    """Call it no longer."""
    _listeners.remove(listener)
