"""Speed never changes a byte: what the writers wrote before they worked on columns is what they write now."""

from __future__ import annotations

from array import array
from hashlib import sha256

import pytest

from stubgen.macho.reader import BuildVersion
from stubgen.resolve.verdicts import SlotKind
from stubgen.stub.emit import StubObject, emit_elf, emit_macho
from stubgen.stub.slots import Slot
from stubgen.stub.verify import verify

CONSTANTS = [
    Slot(b"__stubgen_slot.a", SlotKind.ADDRESS, 0x123456789ABC, b"a"),
    Slot(b"__stubgen_slot.b+8", SlotKind.THREAD_OFFSET, 24, b"b"),
]
DESCRIPTORS = [Slot(b"__stubgen_slot.c.tlsdesc", SlotKind.DESCRIPTOR, 40, b"c")]
VERSION = BuildVersion(1, 0x000D0000, 0)


def emitted(kind: str, count: int) -> StubObject:
    """*count* stubs of odd names and addresses that use all 48 bits."""
    names = [b"_f%d_%s" % (number, b"x" * (number % 97)) for number in range(count)]
    addresses = array("Q", [(number * 0x9E3779B97F4A7C15 >> 16) & 0xFFFFFFFFFFFC for number in range(count)])
    if kind == "elf":
        return emit_elf(names, addresses)
    if kind == "elf bti slots":
        absolutes = {"absolute_names": [b"v", b"w"], "absolute_addresses": [8, 1 << 40]}
        return emit_elf(names, addresses, features=1, slots=CONSTANTS + DESCRIPTORS, **absolutes)
    return emit_macho(names, addresses, VERSION, slots=CONSTANTS if kind == "macho slots" else ())


DIGESTS = {
    "elf": {
        0: "9cb396c0116371e4",
        1: "873d6c5697c11d3c",
        2: "decff84e0d45f005",
        1023: "5cb887394fb0d37e",
        1024: "4911f9ad6ba26259",
        1025: "29849f5194d50a23",
        16385: "f9d56b2d16f7fabc",
        70001: "9772e0f731032605",
    },
    "elf bti slots": {
        0: "24b9b26df18d9458",
        1: "dac5119b8657c45e",
        2: "056fa1046e954194",
        1023: "a7c63e982160e32d",
        1024: "d8fdafcf332b956d",
        1025: "dfe88a88bb3f1d55",
        16385: "177e933d7d51a410",
        70001: "2ffdb137055dfdc2",
    },
    "macho": {
        0: "c3b0c70910f5fffc",
        1: "682192cbe5cbc789",
        2: "9e6f79837cef7f53",
        1023: "142d58541238c259",
        1024: "959d90a2532c7581",
        1025: "2236449fea4a2d66",
        16385: "1ce84b9f204a390e",
        70001: "aef248ec09838d83",
    },
    "macho slots": {
        0: "b49e4c5ac839f8f8",
        1: "6be3d4bc441c51a5",
        2: "7f1f388a0b52eb5f",
        1023: "3dc2095634707e66",
        1024: "481239216248ca91",
        1025: "9b343ae5e3556ef3",
        16385: "129d64806b1b5f87",
        70001: "45ad0d603dc296f5",
    },
}
"""Kind -> stubs -> the beginning of the object's SHA-256.

The counts straddle the sizes of the chunks in which names and instructions are handled. A deliberate change of the
format changes these; a faster way to the same object must not.
"""


@pytest.mark.parametrize(("kind", "count"), [(kind, count) for kind in DIGESTS for count in DIGESTS[kind]])
def test_the_bytes_stay(kind: str, count: int) -> None:
    """A faster writer that writes another object is a new bug in every patch built from then on."""
    stub = emitted(kind, count)
    assert sha256(stub.content).hexdigest()[:16] == DIGESTS[kind][count]
    assert verify(stub).targets == stub.addresses
