"""Verification starts from the finished bytes and overlooks nothing."""

from __future__ import annotations

from array import array

import pytest
from synthetic import BASE, Sym, elf_host, elf_object

from macho.reader import BuildVersion
from stubgen.emit import StubObject, emit_elf, emit_macho
from stubgen.errors import MalformedInput, VerificationRefusal
from stubgen.verify import verify, verify_object

NAMES = [b"_alpha", b"_beta"]
ADDRESSES = array("Q", [0x1000, 0x7B4091FF2C00])


def stub_objects() -> dict[str, StubObject]:
    """One of each shape."""
    return {
        "elf": emit_elf(NAMES, ADDRESSES),
        "elf with bti": emit_elf(NAMES, ADDRESSES, features=1),
        "elf with absolutes": emit_elf(NAMES, ADDRESSES, absolute_names=[b"x"], absolute_addresses=[4]),
        "macho": emit_macho(NAMES, ADDRESSES, BuildVersion(1, 0, 0)),
    }


SHAPES = list(stub_objects())


@pytest.mark.parametrize("shape", SHAPES)
def test_what_was_emitted_verifies(shape: str) -> None:
    """Names and targets come back from the bytes alone."""
    stub = stub_objects()[shape]
    verified = verify(stub)
    assert (verified.names, verified.targets) == (NAMES, ADDRESSES)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_bit_of_the_code_counts(shape: str) -> None:
    """Whichever bit of a stub flips, verification against what was meant must notice."""
    stub = stub_objects()[shape]
    start = bytes(stub.content).find(emit_elf([b"x"], ADDRESSES[:1], features=int(stub.bti)).content[64:84])
    for bit in range(8 * 40):
        content = bytearray(stub.content)
        content[start + bit // 8] ^= 1 << bit % 8
        with pytest.raises(VerificationRefusal):
            verify(StubObject(content, stub.format, stub.names, stub.addresses, stub.bti))


def test_swapped_names_are_noticed() -> None:
    """Two stubs under each other's name would call the wrong function."""
    stub = emit_elf(NAMES, ADDRESSES)
    with pytest.raises(VerificationRefusal, match="other names"):
        verify(StubObject(stub.content, "elf", NAMES[::-1], ADDRESSES, bti=False))


def test_swapped_addresses_are_named() -> None:
    """The message says which stub goes where."""
    stub = emit_elf(NAMES, ADDRESSES)
    with pytest.raises(VerificationRefusal, match="_alpha branches to 0x1000, not to 0x7b4091ff2c00"):
        verify(StubObject(stub.content, "elf", NAMES, ADDRESSES[::-1], bti=False))


def test_other_objects_are_not_stub_objects() -> None:
    """``verify`` on a compiler's object or a linked file says what it is instead of "sound"."""
    with pytest.raises(VerificationRefusal):
        verify_object(elf_object([Sym("f", 0)]), "patch.o")
    with pytest.raises(VerificationRefusal, match="linked executable, not a stub object"):
        verify_object(elf_host([Sym("f", BASE)]), "host")


@pytest.mark.parametrize("shape", SHAPES)
def test_truncation_anywhere_is_an_error(shape: str) -> None:
    """A half-copied object must never verify, wherever the copy stopped."""
    content = stub_objects()[shape].content
    for size in range(len(content) - 1):
        with pytest.raises((MalformedInput, VerificationRefusal)):
            verify_object(content[:size], "stub.o")
