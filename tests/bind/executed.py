"""Code of bound copies, linked by the specifications' formulas and executed in a CPU emulator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stubgen.bind.elf import bind_object
from stubgen.elf import constants as e
from stubgen.elf.writer import Object, Section, SymbolColumns, write
from stubgen.image import Kind
from stubgen.image.elf import ElfImage
from stubgen.resolve.verdicts import Target
from stubgen.stub.slots import Binder, Slot, parse_symbol

CODE, SLOTS, RESOLVER, STACK = 0x40_0000, 0x48_0FF8, 0x4C_0000, 0x7000_0000
"""Where things lie; the first slot ends a page, so that the next ones have another."""
HOST = 0x7F12_3456_7000
"""A page of the host's, in which its variables are."""
_ANSWER = (
    0xF9400400,  # ldr x0, [x0, #8]: the word behind a descriptor's first
    0xD65F03C0,  # ret
)


def elf_copy(section: Section, target: Target) -> tuple[ElfImage, Binder]:
    """The bound copy of an object that has *section*, whose relocations name the undefined ``v``."""
    kind = e.STT_TLS if target.kind is Kind.THREAD_LOCAL else e.STT_NOTYPE
    symbol = SymbolColumns([b"v"], st_info=e.STB_GLOBAL << 4 | kind)
    binder = Binder({b"v": target})
    content = bind_object(ElfImage(write(Object([section], global_symbols=[symbol])), "patch.o"), binder).content
    return ElfImage(content, "bound.o"), binder


def words_to_bytes(words: Sequence[int]) -> bytes:
    """Instructions, as they lie in memory."""
    return b"".join(word.to_bytes(4, "little") for word in words)


def placed(slots: Mapping[bytes, Slot]) -> dict[bytes, int]:
    """Symbol -> an address for its slot."""
    places, at = {}, SLOTS
    for symbol, slot in slots.items():
        places[symbol] = at
        at += parse_symbol(slot.symbol)[2]
    return places


def page(word: int, target: int, place: int) -> int:
    """``adrp`` with the page of *target*."""
    pages = ((target >> 12) - (place >> 12)) & 0x1F_FFFF
    return word & ~0x60FF_FFE0 | (pages & 3) << 29 | pages >> 2 << 5


def low(word: int, target: int, scale: int) -> int:
    """An addition, load or store with *target*'s offset in its page, in units of 1 << *scale* bytes."""
    assert not target % (1 << scale), hex(target)
    return word | (target & 0xFFF) >> scale << 10


def literal(word: int, target: int, place: int) -> int:
    """A load from *target*, which is near."""
    return word & ~0x00FF_FFE0 | (target - place >> 2 & 0x7FFFF) << 5


def near(word: int, target: int, place: int) -> int:
    """``adr`` of *target*."""
    distance = (target - place) & 0x1F_FFFF
    return word & ~0x60FF_FFE0 | (distance & 3) << 29 | distance >> 2 << 5


def x0_after(code: bytes, count: int, slots: Mapping[bytes, Slot], host: bytes = b"") -> int:
    """What x0 holds after the first *count* instructions; *host* is what its page begins with."""
    from unicorn import UC_ARCH_ARM64, UC_MODE_ARM, Uc
    from unicorn import arm64_const as reg

    cpu = Uc(UC_ARCH_ARM64, UC_MODE_ARM)
    for start in (CODE, SLOTS & -0x10000, RESOLVER, STACK - 0x10000, HOST):
        cpu.mem_map(start, 0x10000)
    cpu.mem_write(CODE, code)
    cpu.mem_write(RESOLVER, words_to_bytes(_ANSWER))
    cpu.mem_write(HOST, host)
    for symbol, place in placed(slots).items():
        size, value = parse_symbol(slots[symbol].symbol)[2], slots[symbol].value
        content = value.to_bytes(8, "little") if size == 8 else RESOLVER.to_bytes(8, "little")
        cpu.mem_write(place, content + value.to_bytes(16, "little")[: size - 8] if size > 8 else content)
    cpu.reg_write(reg.UC_ARM64_REG_SP, STACK - 0x1000)
    cpu.emu_start(CODE, CODE + 4 * count, count=200)
    assert cpu.reg_read(reg.UC_ARM64_REG_PC) == CODE + 4 * count
    return int(cpu.reg_read(reg.UC_ARM64_REG_X0))
