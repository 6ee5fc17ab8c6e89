"""The trampoline: assembled once by Keystone, filled in bulk, decoded by Capstone.

::

    [bti c]                 only under BTI, as hint #34: Keystone 0.9.2 does not know the mnemonic
    movz x16, #a0           x16 is IP0, which AAPCS64 reserves for veneers: no argument, no saved
    movk x16, #a1, lsl #16  register and no return address is touched
    movk x16, #a2, lsl #32
    movk x16, #a3, lsl #48
    br   x16                with x16 or x17, the one indirect branch that a `bti c` target accepts

Keystone costs 50-100 us a stub and Capstone 2 us an instruction, so neither runs once a stub. An instruction's
meaning depends on its word alone: Keystone assembles the template, whole columns of immediates are inserted
by integer arithmetic, and Capstone decodes each *distinct* word once, against which all stubs are checked.
"""

from __future__ import annotations

from array import array
from functools import cache
from typing import NamedTuple

from stubgen.binary import BytesLike, column, column_bytes
from stubgen.errors import Refusal, VerificationRefusal

WORD = 4  # bytes an instruction
IMMEDIATE_SHIFT = 5  # bits; Arm ARM C6.2, MOVZ and MOVK: imm16 is bits 5 to 20
ADDRESS_LIMIT = 1 << 48  # user space ends below it (TASK_SIZE with 48-bit virtual addresses)
CHUNK = 1 << 16  # stubs handled at a time, so that scratch integers stay in cache

_BRANCH = (
    "movz x16, #0",
    "movk x16, #0, lsl #16",
    "movk x16, #0, lsl #32",
    "movk x16, #0, lsl #48",
    "br x16",
)
_RESOLVER = ("ldr x0, [x0, #8]", "ret")
_LANDING_PAD = "hint #34"


class Template(NamedTuple):
    """A trampoline whose address is 0."""

    code: bytes
    immediates_at: int  # index of the first of the four words that hold 16 address bits each

    @property
    def words(self) -> int:
        """Instructions a stub."""
        return len(self.code) // WORD


@cache
def template(bti: bool) -> Template:
    """The trampoline's instructions as Keystone assembles them."""
    lines = (_LANDING_PAD, *_BRANCH) if bti else _BRANCH
    return Template(_assemble(lines), len(lines) - len(_BRANCH))


def _assemble(lines: tuple[str, ...]) -> bytes:
    """One instruction a line, as Keystone encodes it."""
    import keystone

    assembler = keystone.Ks(keystone.KS_ARCH_ARM64, keystone.KS_MODE_LITTLE_ENDIAN)
    encoded, count = assembler.asm("\n".join(lines))
    if encoded is None or count != len(lines) or len(encoded) != WORD * len(lines):
        raise VerificationRefusal(f"Keystone did not assemble {lines[-1]} and its like to one word an instruction")
    return bytes(encoded)


@cache
def descriptor_resolver(bti: bool) -> bytes:
    """The resolver of a TLS descriptor whose second half is the offset: called with its address in x0.

    It may change x0 and nothing else (AAELF64, "TLS descriptors").
    """
    return _assemble((_LANDING_PAD, *_RESOLVER) if bti else _RESOLVER)


def encode(addresses: array[int], *, bti: bool = False) -> bytes:
    """One trampoline for each runtime address (array ``Q``), one after another.

    Raises:
        Refusal: an address is at or above 2^48.
    """
    if addresses and max(addresses) >= ADDRESS_LIMIT:
        raise Refusal(f"runtime address {max(addresses):#x} is at or above 2^48, where user space ends")
    shape = template(bti)
    stride = len(shape.code)
    raw = column_bytes(addresses)
    parts = []
    for start in range(0, len(addresses), CHUNK):
        chunk = raw[8 * start : 8 * (start + CHUNK)]
        count = len(chunk) // 8
        immediates = bytearray(stride * count)
        for half in range(4):
            at = WORD * (shape.immediates_at + half)
            immediates[at::stride] = chunk[2 * half :: 8]
            immediates[at + 1 :: stride] = chunk[2 * half + 1 :: 8]
        shifted = int.from_bytes(immediates, "little") << IMMEDIATE_SHIFT
        code = shifted | int.from_bytes(shape.code * count, "little")
        parts.append(code.to_bytes(stride * count, "little"))
    return b"".join(parts)


def decode(code: BytesLike, *, bti: bool = False) -> array[int]:
    """The address that each trampoline of *code* branches to, after Capstone has read every distinct word.

    Raises:
        VerificationRefusal: an instruction is not the one that belongs in its place; the message says which
            stub (index), what stands there and what should.
    """
    shape = template(bti)
    count, rest = divmod(len(code), len(shape.code))
    if rest:
        raise VerificationRefusal(f"the stubs' code is {len(code)} bytes, not a multiple of {len(shape.code)}")
    words = column("I", code)
    lanes = [words[position :: shape.words] for position in range(shape.words)]
    distinct = [_distinct(lane) for lane in lanes]
    decoded = _disassemble(set().union(*distinct))
    addresses = bytearray(8 * count)
    for position, lane in enumerate(lanes):
        half = position - shape.immediates_at
        expected = _expectation(half)
        fixed = int.from_bytes(shape.code[WORD * position : WORD * (position + 1)], "little")
        for word in distinct[position]:
            immediate = _immediate(word) if 0 <= half < 4 else 0
            if decoded[word] != (expected, immediate) or word != fixed | immediate << IMMEDIATE_SHIFT:
                stub = lane.index(word)
                stands = "nothing Capstone knows" if decoded[word] is None else str(decoded[word])
                raise VerificationRefusal(
                    f"stub {stub}: instruction {position} is {word:#010x} ({stands}), not {expected}"
                )
        if 0 <= half < 4:
            halves = _immediates(lane)
            addresses[2 * half :: 8] = halves[0::2]
            addresses[2 * half + 1 :: 8] = halves[1::2]
    return column("Q", addresses)


def _immediates(lane: array[int]) -> bytes:
    """Bits 5 to 20 of each word, as little-endian 16-bit values."""
    raw = column_bytes(lane)
    shifted = (int.from_bytes(raw, "little") >> IMMEDIATE_SHIFT).to_bytes(len(raw), "little")
    halves = bytearray(len(raw) // 2)
    halves[0::2] = shifted[0::4]
    halves[1::2] = shifted[1::4]
    return bytes(halves)


def _immediate(word: int) -> int:
    return word >> IMMEDIATE_SHIFT & 0xFFFF


def _expectation(half: int) -> str:
    """What belongs where the address's 16-bit part *half* is set; -1 is the landing pad, 4 the branch."""
    return ("movz x16", "movk x16 lsl 16", "movk x16 lsl 32", "movk x16 lsl 48", "br x16", "bti c")[half]


def _distinct(lane: array[int]) -> set[int]:
    """The different words of *lane*; cheaply so for the usual lane that holds but one."""
    if not lane:
        return set()
    one = column_bytes(lane[:1])
    return {lane[0]} if column_bytes(lane) == one * len(lane) else set(lane)


def _disassemble(words: set[int]) -> dict[int, tuple[str, int] | None]:
    """Each distinct word as (operation, immediate), in Capstone's reading; None where it knows none."""
    import capstone

    disassembler = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_LITTLE_ENDIAN)
    distinct = sorted(words)
    disassembler.skipdata = True  # an unknown word becomes data and the next one is still read
    code = column_bytes(array("I", distinct))
    decoded: dict[int, tuple[str, int] | None] = {}
    for address, _, mnemonic, operands in disassembler.disasm_lite(code, 0):
        decoded[distinct[address // WORD]] = _operation(mnemonic, operands)
    return decoded


def _operation(mnemonic: str, operands: str) -> tuple[str, int] | None:
    """Capstone's text in this module's words; it prints ``movz`` as its preferred alias ``mov``."""
    fields = operands.replace("#", "").split(", ")
    if mnemonic in ("bti", "hint"):
        return ("bti c", 0) if fields in (["c"], ["0x22"]) else (f"{mnemonic} {operands}", 0)
    if mnemonic in ("mov", "movz", "movk") and len(fields) >= 2 and fields[0] == "x16":
        operation = "movk x16" if mnemonic == "movk" else "movz x16"
        shift = fields[2] if len(fields) > 2 else "lsl 0"
        try:
            return operation + (f" {shift}" if shift != "lsl 0" else ""), int(fields[1], 0)
        except ValueError:  # mov x16, x17
            return f"{mnemonic} {operands}", 0
    return f"{mnemonic} {operands}", 0
