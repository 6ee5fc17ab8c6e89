"""LSP's frames: header lines, an empty line, and as many bytes as ``Content-Length`` says.

A message that cannot be used is skipped where its header says how long it is. Where it does not, nothing tells
where the next one begins, and the stream is over: looking for something that resembles a header could find it
inside a message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

LONGEST_HEADER = 8192  # bytes
LONGEST_MESSAGE = 1 << 24  # bytes; a request is a few paths
LONGEST_SKIP = 1 << 30  # bytes; a length above it is not one that anybody means

_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*\Z", re.DOTALL)
_HEADER_BEGINS = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]*(:|\r?\Z)")
_CHARSET = re.compile(rb'charset[ \t]*=[ \t]*"?([^";\s]*)', re.IGNORECASE)
_SHAPE = "a frame is 'Content-Length: N', an empty line and N bytes"


class Fault(NamedTuple):
    """Something that is no message."""

    reason: str
    final: bool  # the stream cannot be followed any further


def frame(content: bytes) -> bytes:
    """*content* in its frame."""
    return b"Content-Length: %d\r\n\r\n%b" % (len(content), content)


class Frames:
    """Takes bytes as they come and gives messages as they are complete."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._header: dict[bytes, bytes] = {}
        self._header_size = 0  # bytes
        self._length: int | None = None  # bytes of the message whose header is complete
        self._skip = 0  # bytes of a message that is not wanted
        self._over = False

    def feed(self, chunk: bytes) -> Iterator[bytes | Fault]:
        """The messages and faults that *chunk* completes; nothing after a final fault."""
        self._held += chunk
        while not self._over:
            if self._skip:
                skipped = min(self._skip, len(self._held))
                del self._held[:skipped]
                self._skip -= skipped
                if self._skip:
                    return
            if self._length is None:
                try:
                    if not self._read_header():
                        return
                    fault = self._end_header()
                except _Lost as lost:
                    fault = Fault(str(lost), final=True)
                if fault is not None:
                    self._over = fault.final
                    yield fault
            elif len(self._held) >= self._length:
                message = bytes(self._held[: self._length])
                del self._held[: self._length]
                self._length = None
                yield message
            else:
                return

    def end(self) -> Fault | None:
        """What is wrong with the stream's ending here."""
        if not self._over and (self._held or self._header or self._length is not None or self._skip):
            return Fault("the input ends in the middle of a message", final=True)
        return None

    def _read_header(self) -> bool:
        """Take header lines off; whether the header is complete.

        Raises:
            _Lost: this is no header.
        """
        while True:
            end = self._held.find(b"\n")
            if self._header_size + (len(self._held) if end < 0 else end) > LONGEST_HEADER:
                raise _Lost(f"a header is longer than {LONGEST_HEADER} bytes: {_SHAPE}")
            if end < 0:
                if not _HEADER_BEGINS.match(self._held):
                    raise _Lost(f"{_text(self._held)} begins no header line: {_SHAPE}")
                return False
            line = bytes(self._held[:end]).removesuffix(b"\r")
            del self._held[: end + 1]
            self._header_size += end + 1
            if not line:
                if self._header:
                    return True
                self._header_size = 0  # clients that end their JSON with a line break, and do not count it
                continue
            match = _HEADER.match(line)
            if match is None:
                raise _Lost(f"{_text(line)} is no header line: {_SHAPE}")
            name, value = match[1].lower(), match[2]
            if self._header.setdefault(name, value) != value and name == b"content-length":
                raise _Lost(f"the header says two lengths, {_text(self._header[name])} and {_text(value)}")

    def _end_header(self) -> Fault | None:
        """Begin the message that the complete header is about, or skip it.

        Raises:
            _Lost: the header does not say how long the message is.
        """
        header, self._header, self._header_size = self._header, {}, 0
        digits = header.get(b"content-length")
        if digits is None:
            raise _Lost(f"the header has no Content-Length: {_SHAPE}")
        if not digits.isdigit() or len(digits) > 20 or int(digits) > LONGEST_SKIP:
            raise _Lost(f"Content-Length is {_text(digits)}, not a number of bytes that a message can have")
        length = int(digits)
        charset = _CHARSET.search(header.get(b"content-type", b""))
        if charset is not None and charset[1].lower() not in (b"utf-8", b"utf8"):
            self._skip = length
            return Fault(f"the message's charset is {_text(charset[1])}; messages are UTF-8", final=False)
        if length > LONGEST_MESSAGE:
            self._skip = length
            return Fault(f"the message has {length} bytes; at most {LONGEST_MESSAGE} are taken", final=False)
        self._length = length
        return None


class _Lost(Exception):
    """Nothing tells where the next message begins."""


def _text(raw: bytes | bytearray) -> str:
    """*raw* for a sentence: short, quoted, printable."""
    return repr(bytes(raw[:40]))[1:] + ("..." if len(raw) > 40 else "")
