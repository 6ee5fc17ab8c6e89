"""The trampoline's bytes: golden, decoded by Capstone, and refused when they are wrong."""

from __future__ import annotations

import subprocess
import sys
from array import array
from pathlib import Path

import capstone
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stubgen.errors import Refusal, VerificationRefusal
from stubgen.stub import decoding
from stubgen.stub.decoding import decode
from stubgen.stub.trampoline import (
    BRANCH_NUMBER,
    CHUNK,
    encode,
    host_descriptor_resolver,
    host_resolver_frame,
    template,
)

GOLDEN = {
    0x0: "d2800010 f2a00010 f2c00010 f2e00010 d61f0200",
    0x7B4091FF2C00: "d2858010 f2b23ff0 f2cf6810 f2e00010 d61f0200",
    0x0000FFFFFFFFFFFC: "d29fff90 f2bffff0 f2dffff0 f2e00010 d61f0200",
}
"""Address -> instruction words, from GNU as 2.40."""


@pytest.mark.parametrize(("address", "words"), GOLDEN.items(), ids=map(hex, GOLDEN))
def test_golden_bytes(address: int, words: str) -> None:
    """A changed encoding would send every patch of every user somewhere else."""
    expected = b"".join(int(word, 16).to_bytes(4, "little") for word in words.split())
    assert bytes(encode(array("Q", [address]))) == expected


def test_landing_pad_comes_first() -> None:
    """Without ``bti c`` as its first word a stub faults when a function pointer to it is called under BTI."""
    assert bytes(encode(array("Q", [0]), bti=True))[:4] == bytes.fromhex("5f2403d5")


addresses = st.lists(st.integers(0, (1 << 48) - 1), max_size=40)


@given(addresses, st.booleans())
def test_capstone_reads_the_address_that_was_encoded(values: list[int], bti: bool) -> None:
    """One wrong bit in the bulk arithmetic would crash the user's program with no diagnostic."""
    code = bytes(encode(array("Q", values), bti=bti))
    disassembler = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_LITTLE_ENDIAN)
    disassembler.detail = True
    words = template(bti).words
    instructions = list(disassembler.disasm(code, 0))
    assert len(instructions) == words * len(values)
    for number, value in enumerate(values):
        stub = instructions[words * number : words * (number + 1)][bti:]
        read = sum(move.operands[1].imm << move.operands[1].shift.value for move in stub[:4])
        assert read == value
        assert stub[4].mnemonic == "br"
        assert {move.reg_name(move.operands[0].reg) for move in stub} == {"x16"}


@given(addresses, st.booleans())
def test_decode_inverts_encode(values: list[int], bti: bool) -> None:
    """Verification that read other addresses than were written would refuse sound stubs."""
    assert decode(bytes(encode(array("Q", values), bti=bti)), bti=bti) == array("Q", values)


def test_chunks_join_without_a_seam() -> None:
    """Bulk encoding works in chunks; a wrong seam would break one stub in 65536."""
    values = array("Q", range(0, 4 * (2 * CHUNK + 3), 4))
    code = bytes(encode(values))
    assert len(code) == 20 * len(values)
    assert decode(code) == values
    for seam in (CHUNK - 1, CHUNK, 2 * CHUNK - 1, 2 * CHUNK):
        assert code[20 * seam : 20 * seam + 20] == bytes(encode(values[seam : seam + 1]))


def test_addresses_beyond_user_space_are_refused() -> None:
    """Four moves can hold 64 bits, but nothing above 2^48 is a function."""
    with pytest.raises(Refusal, match=r"0x1000000000000 is at or above 2\^48"):
        encode(array("Q", [1 << 48]))


WRONG = {
    "movz x17": (0, 0xD2800011),
    "movn x16": (0, 0x92800010),
    "movz w16": (0, 0x52800010),
    "orr alias": (0, 0xB2400BF0),
    "movk in the first place": (0, 0xF2800010),
    "movk lsl 32 in lsl 16's place": (1, 0xF2C00010),
    "movz in the second place": (1, 0xD2A00010),
    "ldr literal": (0, 0x58000050),
    "br x17": (4, 0xD61F0220),
    "blr x16": (4, 0xD63F0200),
    "ret": (4, 0xD65F03C0),
    "zero": (2, 0x00000000),
    "ones": (3, 0xFFFFFFFF),
}


@pytest.mark.parametrize(("position", "word"), WRONG.values(), ids=list(WRONG))
@pytest.mark.parametrize("stubs", [(0,), (2,), (0, 1, 2)], ids=["the first", "the last", "all alike"])
def test_a_wrong_instruction_is_found(position: int, word: int, stubs: tuple[int, ...]) -> None:
    """Verification that overlooks one instruction is worth nothing: it names stub, place and word."""
    code = bytearray(bytes(encode(array("Q", [0x1000, 0x2000, 0x3000]))))
    for stub in stubs:
        code[20 * stub + 4 * position : 20 * stub + 4 * position + 4] = word.to_bytes(4, "little")
    with pytest.raises(VerificationRefusal, match=f"stub {stubs[0]}: instruction {position} is {word:#010x}"):
        decode(code)


@pytest.mark.parametrize("bti", [False, True])
@pytest.mark.parametrize(("count", "stub"), [(1, 0), (3, 1), (CHUNK + 3, 7), (CHUNK + 3, CHUNK + 1)])
def test_each_bit_is_an_address_or_a_wrong_instruction(
    bti: bool, count: int, stub: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verification looks at columns of bytes: one bit that it does not look at, and a branch goes somewhere else."""
    monkeypatch.setattr(decoding, "confirm_words", lambda numbers, facts: None)
    values = array("Q", [(0x5500_1234_5678 + 0x1_0001_0004 * index) % (1 << 48) for index in range(count)])
    code = bytearray(bytes(encode(values, bti=bti)))
    stride = len(code) // count
    for bit in range(8 * stride):
        at, position = stride * stub + bit // 8, bit // 32
        part, shift = position - bti, bit % 32 - 5
        code[at] ^= 1 << bit % 8
        if 0 <= part < 4 and 0 <= shift < 16:
            changed = values[:]
            changed[stub] ^= 1 << 16 * part + shift
            assert decode(code, bti=bti) == changed
        else:
            with pytest.raises(VerificationRefusal, match=f"stub {stub}: instruction {position} is "):
                decode(code, bti=bti)
        code[at] ^= 1 << bit % 8


@pytest.mark.parametrize("bti", [False, True])
def test_the_frame_of_a_hosts_resolver_is_what_its_code_makes(bti: bool) -> None:
    """An exception or a profiler's signal in it would be unwound by another word than the return address."""
    first, last, size, saved_at = host_resolver_frame(bti)
    code = host_descriptor_resolver(bti)
    words = [int.from_bytes(code[at : at + 4], "little") for at in range(0, len(code), 4)]
    disassembler = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_LITTLE_ENDIAN)
    disassembler.detail = True
    for index, mnemonic in ((first - 1, "stp"), (last - 1, "ldp")):
        (instruction,) = disassembler.disasm(words[index].to_bytes(4, "little"), 0)
        registers = [instruction.reg_name(operand.reg) for operand in instruction.operands[:2]]
        assert (instruction.mnemonic, registers) == (mnemonic, ["x1", "lr"])
        assert abs(int(instruction.op_str.rpartition("#")[2].strip("]!"), 0)) == size
    assert saved_at == 8, "x30 is the second of two words"


def test_a_cut_stub_is_found() -> None:
    """Code that is not whole stubs must not verify."""
    with pytest.raises(VerificationRefusal, match="16 bytes, not a multiple of 20"):
        decode(bytes(encode(array("Q", [0])))[:16])


def test_threads_may_assemble_at_once() -> None:
    """Keystone in two threads at once ends the process with SIGSEGV, and a server's requests come at once."""
    pytest.importorskip("keystone", reason="Keystone is not installed (pip install keystone-engine)")
    program = """
import threading
from stubgen.stub import assembler
go = threading.Event()
def work():
    go.wait()
    for _ in range(20):
        assembler.assemble(["br x16"])
threads = [threading.Thread(target=work) for _ in range(8)]
[thread.start() for thread in threads]
go.set()
[thread.join() for thread in threads]
"""
    for _ in range(10):
        subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2])


@pytest.mark.parametrize("bit", [*range(48, 64)])
@pytest.mark.parametrize("others", [0, 0x5500_0000_1000])
def test_each_bit_above_user_space_is_refused(bit: int, others: int) -> None:
    """An address with one of them is another address once four moves have made it."""
    with pytest.raises(Refusal, match="at or above 2"):
        encode(array("Q", [others, others | 1 << bit, 0x1000]))
    with pytest.raises(Refusal, match="at or above 2"):
        encode(array("Q", [0x78 << 48]))
    encode(array("Q", [(1 << 48) - 1]))


@pytest.mark.parametrize("count", [1, 5, 4096, 10000])
@pytest.mark.parametrize("step", [0, 4, 0x104, 0x1_0001_0004])
def test_capstone_is_given_every_word(count: int, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A word that it does not read is vouched for by nobody but its author; nor may it read all that could be."""
    asked: list[int] = []
    monkeypatch.setattr(decoding, "confirm_words", lambda numbers, facts: asked.extend(numbers))
    addresses = [(0x5500_1234_5678 + step * (index % 60)) % (1 << 48) for index in range(count)]
    assert list(decoding.decode(bytes(encode(array("Q", addresses))), bti=False)) == addresses
    moves = {part << 16 | address >> 16 * part & 0xFFFF for address in addresses for part in range(4)}
    assert moves | {BRANCH_NUMBER} <= set(asked)
    assert len(asked) <= 1 + max(len(moves), 4 * (count // 32))
