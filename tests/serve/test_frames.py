"""Where a message ends: whatever comes in whatever pieces, and a clear end where nothing tells."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stubgen.serve.frames import LONGEST_HEADER, LONGEST_MESSAGE, LONGEST_SKIP, Fault, Frames, frame

HEADERS = st.sampled_from(
    [
        b"Content-Length: %d\r\n\r\n",
        b"content-length:%d\n\n",
        b"Content-Type: application/vscode-jsonrpc; charset=utf-8\r\nContent-Length: %d\r\n\r\n",
        b"CONTENT-LENGTH:   %d  \r\nX-Other: a:b\r\n\r\n",
        b"\r\nContent-Length: %d\r\nContent-Length: %d\r\n\r\n",
    ]
)


def read(pieces: list[bytes]) -> list[bytes | Fault]:
    """Everything that comes out of *pieces*, the end included."""
    frames = Frames()
    found = [item for piece in pieces for item in frames.feed(piece)]
    last = frames.end()
    return [*found, *([last] if last else [])]


def cut(content: bytes, places: list[int]) -> list[bytes]:
    """*content* in pieces."""
    bounds = [0, *sorted(place % (len(content) + 1) for place in places), len(content)]
    return [content[start:end] for start, end in itertools.pairwise(bounds)]


@given(st.lists(st.tuples(HEADERS, st.binary(max_size=300))), st.lists(st.integers(0, 5000), max_size=30))
def test_pieces_do_not_matter(messages: list[tuple[bytes, bytes]], places: list[int]) -> None:
    """A pipe cuts where it likes: a message that depends on that is lost once in a thousand saves."""
    stream = b""
    for header, body in messages:
        stream += header % ((len(body),) * header.count(b"%d")) + body
    assert read(cut(stream, places)) == [body for _, body in messages]


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=10))
def test_any_bytes_give_the_same_whatever_the_pieces(stream: bytes, places: list[int]) -> None:
    """Random bytes end in one final fault or in messages, never in an exception or a hang."""
    whole = read([stream])
    assert read(cut(stream, places))[:-1] == whole[:-1]
    finals = [item for item in whole if isinstance(item, Fault) and item.final]
    assert len(finals) <= 1
    assert not finals or whole[-1] == finals[0]


@given(st.binary(max_size=200))
def test_what_we_write_we_can_read(body: bytes) -> None:
    """Our own frames are the protocol's."""
    assert read([frame(body)]) == [body]


GOOD = frame(b"{}")

LOST = {
    "no length": b"Content-Type: x\r\n\r\n{}" + GOOD,
    "negative": b"Content-Length: -1\r\n\r\n" + GOOD,
    "sign": b"Content-Length: +2\r\n\r\n{}" + GOOD,
    "words": b"Content-Length: two\r\n\r\n{}" + GOOD,
    "empty": b"Content-Length:\r\n\r\n{}" + GOOD,
    "absurd": b"Content-Length: %d\r\n\r\n" % (LONGEST_SKIP + 1) + GOOD,
    "digits": b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n" + GOOD,
    "other digits": "Content-Length: \u0663\r\n\r\n{}".encode() + GOOD,
    "two lengths": b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}" + GOOD,
    "no header at all": b'{"jsonrpc": "2.0"}\n' + GOOD,
    "json without a line break": b'{"jsonrpc"',
    "a line without a colon": b"Content-Length 2\r\n\r\n{}" + GOOD,
    "endless line": b"X" * (LONGEST_HEADER + 1),
    "endless header": b"X: y\r\n" * LONGEST_HEADER,
    "http": b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("stream", LOST.values(), ids=list(LOST))
@pytest.mark.parametrize("piece", [1, 1 << 20])
def test_a_lost_stream_ends_at_once(stream: bytes, piece: int) -> None:
    """Who looks for the next thing that resembles a header finds one inside a message, and does what it says."""
    found = read([stream[start : start + piece] for start in range(0, len(stream), piece)])
    assert len(found) == 1
    assert isinstance(found[0], Fault)
    assert found[0].final
    assert "Content-Length" in found[0].reason or "length" in found[0].reason


def test_what_is_too_long_is_skipped() -> None:
    """One message that is too long does not take the memory, nor the requests behind it."""
    stream = b"Content-Length: %d\r\n\r\n" % (LONGEST_MESSAGE + 5)
    frames = Frames()
    first = list(frames.feed(stream))
    assert len(first) == 1
    assert isinstance(first[0], Fault)
    assert not first[0].final
    for _ in range(17):
        assert list(frames.feed(bytes(LONGEST_MESSAGE // 17))) == []
        assert len(frames._held) == 0
    assert list(frames.feed(bytes(LONGEST_MESSAGE + 5 - LONGEST_MESSAGE // 17 * 17) + GOOD)) == [b"{}"]


def test_another_charset_is_skipped() -> None:
    """UTF-16 read as UTF-8 is nonsense; LSP names the charset in the header."""
    text = json.dumps({}).encode("utf-16-le")
    stream = b"Content-Type: application/json; charset=UTF-16\r\nContent-Length: %d\r\n\r\n" % len(text) + text
    found = read([stream + GOOD])
    assert [item.final for item in found if isinstance(item, Fault)] == [False]
    assert found[1:] == [b"{}"]


CUT = {"header": b"Content-Len", "line": b"Content-Length: 5\r\n", "body": b"Content-Length: 5\r\n\r\n{}"}


@pytest.mark.parametrize("stream", CUT.values(), ids=list(CUT))
def test_an_end_in_the_middle_is_told(stream: bytes) -> None:
    """A client that died while it wrote did not mean the half of a request that came."""
    assert read([GOOD + stream]) == [b"{}", Fault("the input ends in the middle of a message", True)]
