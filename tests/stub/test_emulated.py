"""Stubs are decoded by Capstone and executed by Unicorn, from the bytes of finished objects.

Nothing of this project reads those objects here: pyelftools and LIEF say where the code and the symbols are.
"""

from __future__ import annotations

import io
from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tools import need_module

from stubgen.macho.reader import BuildVersion
from stubgen.stub.emit import StubObject, emit_elf, emit_macho

BTI = 1  # GNU_PROPERTY_AARCH64_FEATURE_1_BTI
MACOS_13 = BuildVersion(1, 13 << 16, 13 << 16)
CODE = 0x40_0000  # where the object's code is put
STACK = 0x7000_0000
PAGE = 0x1000  # bytes

EDGES = [0, 4, 0xFFFC, 0x1_0000, 0x7B40_91FF_2C00, 0xFFFF_0000_FFFC, 0x0000_FFFF_FFFF_FFFC, 0x5555_5555_5554]
"""Addresses with a 16-bit part of all zeros or all ones, and the smallest and the largest."""

ADDRESSES = st.lists(st.one_of(st.sampled_from(EDGES), st.integers(0, (1 << 46) - 1).map(lambda n: 4 * n)), max_size=12)
"""Instruction addresses below 2^48, equal ones among them: two names may mean one function."""

FORMS = ("elf", "elf-bti", "macho")


def stub_object(form: str, addresses: list[int]) -> StubObject:
    """A stub object for *addresses*, its names numbered."""
    column = array("Q", addresses)
    if form == "macho":
        return emit_macho([b"_function_%d" % n for n in range(len(column))], column, MACOS_13)
    names = [b"function_%d" % n for n in range(len(column))]
    return emit_elf(names, column, features=BTI if form == "elf-bti" else 0)


def code_and_starts(stub: StubObject) -> tuple[bytes, list[int]]:
    """The code of *stub*, and for each name in order the byte offset of its trampoline, read by others."""
    content = bytes(stub.content)
    if stub.format == "elf":
        from elftools.elf.elffile import ELFFile

        file = ELFFile(io.BytesIO(content))
        text, table = file.get_section_by_name(".text"), file.get_section_by_name(".symtab")
        starts = {symbol.name.encode(): symbol["st_value"] for symbol in table.iter_symbols()}
        return text.data(), [starts[name] for name in stub.names]
    import lief

    lief.logging.disable()  # it reads 65,535 relocations at most, and says so
    universal = lief.MachO.parse(list(content))  # owns what it hands out: it must outlive the lines below
    image = universal.at(0)
    text = image.get_section("__text")
    starts = {symbol.name.encode(): symbol.value - text.virtual_address for symbol in image.symbols}
    return bytes(text.content), [starts[name] for name in stub.names]


class Processor:
    """A processor with every register set to a value of its own."""

    def __init__(self, code: bytes) -> None:
        from unicorn import UC_ARCH_ARM64, UC_MODE_ARM, Uc
        from unicorn import arm64_const as reg

        self.pc = reg.UC_ARM64_REG_PC
        self.general = [reg.UC_ARM64_REG_X0 + n for n in range(29)] + [reg.UC_ARM64_REG_X29, reg.UC_ARM64_REG_X30]
        self.vectors = [reg.UC_ARM64_REG_Q0 + n for n in range(32)]
        self.others = {"sp": reg.UC_ARM64_REG_SP, "nzcv": reg.UC_ARM64_REG_NZCV}
        self.cpu = Uc(UC_ARCH_ARM64, UC_MODE_ARM)
        self.cpu.reg_write(reg.UC_ARM64_REG_CPACR_EL1, 3 << 20)  # vector registers do not trap
        self.cpu.mem_map(CODE, (len(code) + PAGE - 1) & -PAGE or PAGE)
        self.cpu.mem_write(CODE, code)
        self.cpu.mem_map(STACK - PAGE, PAGE)

    def map_target(self, address: int) -> None:
        """Put memory where *address* is: the processor looks at an instruction before it stops ahead of it."""
        page = address & -PAGE
        if not any(first <= page <= last for first, last, _ in self.cpu.mem_regions()):
            self.cpu.mem_map(page, PAGE)

    def state(self) -> dict[str, int]:
        """Every register but the program counter."""
        values = {f"x{n}": self.cpu.reg_read(number) for n, number in enumerate(self.general)}
        values |= {f"v{n}": self.cpu.reg_read(number) for n, number in enumerate(self.vectors)}
        return values | {name: self.cpu.reg_read(number) for name, number in self.others.items()}

    def run(self, start: int, instructions: int) -> tuple[dict[str, int], dict[str, int], int]:
        """State before and after *instructions* from byte offset *start*, and where execution is then."""
        for n, number in enumerate(self.general):
            self.cpu.reg_write(number, 0x0101_0101_0101_0101 * (n + 1))
        for n, number in enumerate(self.vectors):
            self.cpu.reg_write(number, 0x1001 * (n + 1) << 100 | 0xF00D * (n + 1))
        self.cpu.reg_write(self.others["sp"], STACK - 0x100)
        self.cpu.reg_write(self.others["nzcv"], 0b1010 << 28)
        before = self.state()
        self.cpu.emu_start(CODE + start, 0, count=instructions)
        return before, self.state(), self.cpu.reg_read(self.pc)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=40, deadline=None)
@given(addresses=ADDRESSES)
def test_every_stub_reaches_its_address_and_changes_only_x16(form: str, addresses: list[int]) -> None:
    """A clobbered register is a wrong argument, a lost return address or a broken caller: anything may follow."""
    need_module("unicorn", "unicorn")
    stub = stub_object(form, addresses)
    code, starts = code_and_starts(stub)
    processor = Processor(code)
    for start, address in zip(starts, addresses, strict=True):
        processor.map_target(address)
        before, after, reached = processor.run(start, 6 if form == "elf-bti" else 5)
        assert reached == address
        assert {name for name in after if after[name] != before[name]} <= {"x16"}
        assert after["x16"] == address


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=40, deadline=None)
@given(addresses=ADDRESSES)
def test_capstone_reads_every_stub_as_a_branch_to_its_address(form: str, addresses: list[int]) -> None:
    """A stub must be a plain veneer, the one indirect branch that a `bti c` landing pad accepts."""
    import capstone

    stub = stub_object(form, addresses)
    code, starts = code_and_starts(stub)
    disassembler = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_LITTLE_ENDIAN)
    disassembler.detail = True
    size = 24 if form == "elf-bti" else 20
    for start, address in zip(starts, addresses, strict=True):
        instructions = list(disassembler.disasm(code[start : start + size], start))
        if form == "elf-bti":
            pad = instructions.pop(0)
            assert f"{pad.mnemonic} {pad.op_str}" in ("bti c", "hint #0x22")
        *moves, branch = instructions
        assert (branch.mnemonic, branch.op_str) == ("br", "x16")
        assert [move.mnemonic for move in moves] in (["mov", *["movk"] * 3], ["movz", *["movk"] * 3])
        assert {move.reg_name(move.operands[0].reg) for move in moves} == {"x16"}
        assert [move.operands[1].shift.value for move in moves] == [0, 16, 32, 48]
        assert sum(move.operands[1].imm << move.operands[1].shift.value for move in moves) == address


@pytest.mark.parametrize("form", ["elf-bti", "macho"])
def test_stubs_stay_apart_in_a_large_object(form: str) -> None:
    """Encoding works on blocks of 65,536 stubs: a slip at a block's edge hits only those with huge programs."""
    count = (1 << 16) + 3
    addresses = [0x7000_0000_0000 + 0x1_0004 * n for n in range(count)]
    code, starts = code_and_starts(stub_object(form, addresses))
    processor = Processor(code)
    for n in (0, 1, (1 << 16) - 1, 1 << 16, count - 1):
        processor.map_target(addresses[n])
        _, _, reached = processor.run(starts[n], 6 if form == "elf-bti" else 5)
        assert reached == addresses[n]
