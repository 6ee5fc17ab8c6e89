"""Detours of local-exec accesses: run in a CPU emulator, and refused where nothing right can be made of an access."""

from __future__ import annotations

from pathlib import Path

import pytest
from bind import crafted
from bind.crafted import CODE as EXECUTABLE
from bind.crafted import THREAD, Part, Use, local
from tools import need, need_module, run

from stubgen.bind import local_exec
from stubgen.bind.elf import bind_object
from stubgen.bind.local_exec import detour
from stubgen.elf import constants as e
from stubgen.elf import relocations as r
from stubgen.image.elf import ElfImage
from stubgen.stub.slots import Binder

CODE, STACK, DESCRIPTOR = 0x40_0000, 0x7000_0000, 0x41_0000
OFFSET = 0x1234_5670
RESOLVER = (
    0xF9400400,  # ldr x0, [x0, #8]
    0xD2800021,  # mov x1, #1: a resolver may do so
    0xAB1F03FF,  # cmn xzr, xzr: and so
    0xD65F03C0,  # ret
)
ASK = 3  # index of the adrp


def with_descriptor(words: list[int]) -> bytes:
    """The code of a detour, linked against the descriptor; the resolver is two words behind it."""
    pages = (DESCRIPTOR - CODE) >> 12
    linked = [*words]
    linked[ASK] |= (pages & 3) << 29 | pages >> 2 << 5
    return b"".join(word.to_bytes(4, "little") for word in [*linked, 0, *RESOLVER])


REGISTERS = range(31)


@pytest.mark.parametrize("source", [None, *REGISTERS])
def test_a_detour_changes_one_register(source: int | None) -> None:
    """It stands in the middle of any function: a lost argument, return address or flag ends anywhere."""
    need_module("unicorn", "unicorn")
    from unicorn import UC_ARCH_ARM64, UC_MODE_ARM, Uc
    from unicorn import arm64_const as reg

    general = [*(reg.UC_ARM64_REG_X0 + n for n in range(29)), reg.UC_ARM64_REG_X29, reg.UC_ARM64_REG_X30]
    for destination in REGISTERS:
        for addend in (0, 24, 0x5018, -8, -0x3000) if destination in (1, 9) else (24,):
            words = detour(destination, source, addend)
            cpu = Uc(UC_ARCH_ARM64, UC_MODE_ARM)
            cpu.mem_map(CODE, 0x20000)
            cpu.mem_map(STACK - 0x1000, 0x1000)
            cpu.mem_write(CODE, with_descriptor(words))
            end = CODE + 4 * len(words)
            cpu.mem_write(DESCRIPTOR, (end + 4).to_bytes(8, "little") + OFFSET.to_bytes(8, "little"))
            before = [0x0101_0101_0101 * (n + 1) for n in REGISTERS]
            for number, value in zip(general, before, strict=True):
                cpu.reg_write(number, value)
            cpu.reg_write(reg.UC_ARM64_REG_SP, STACK - 0x100)
            cpu.reg_write(reg.UC_ARM64_REG_NZCV, 0b1010 << 28)
            cpu.emu_start(CODE, end)
            after = [cpu.reg_read(number) for number in general]
            expected = list(before)
            expected[destination] = (OFFSET + addend + (0 if source is None else before[source])) % (1 << 64)
            assert after == expected, (destination, addend)
            assert cpu.reg_read(reg.UC_ARM64_REG_SP) == STACK - 0x100
            assert cpu.reg_read(reg.UC_ARM64_REG_NZCV) == 0b1010 << 28


VARIABLE = '.section .tdata, "awT", @progbits\n.balign 16\nmine: .quad 5, 6\n.type mine, %tls_object\n'

REFUSED = {
    "an access without an addition": (".text\nmrs x9, tpidr_el0\nldr x0, [x9, #:tprel_lo12:mine]", "LDST64_TPREL_LO12"),
    "low bits, high bits elsewhere": (".text\nadd x0, x0, #:tprel_lo12_nc:mine", "ADD_TPREL_LO12_NC"),
    "high bits of another page": (
        ".text\nadd x0, x0, #:tprel_hi12:mine, lsl #12\nadd x0, x0, #:tprel_lo12_nc:mine+4096",
        "ADD_TPREL_LO12_NC",
    ),
    "low bits that stand alone or behind high ones": (
        ".text\nadd x0, x0, #:tprel_hi12:mine, lsl #12\nadd x0, x0, #:tprel_lo12:mine",
        "ADD_TPREL_LO12",
    ),
    "an odd addend": (
        ".text\nadd x0, x0, #:tprel_hi12:mine, lsl #12\nldr x0, [x0, #:tprel_lo12_nc:mine+4]",
        "LDST64_TPREL_LO12_NC",
    ),
    "the stack pointer": (".text\nadd sp, x0, #:tprel_hi12:mine, lsl #12", "ADD_TPREL_HI12"),
    "another instruction": (".text\n.reloc ., R_AARCH64_TLSLE_ADD_TPREL_HI12, mine\nnop", "ADD_TPREL_HI12"),
    "a piece of a function": (
        '.section .init, "ax", @progbits\nadd x0, x0, #:tprel_hi12:mine, lsl #12',
        "ADD_TPREL_HI12",
    ),
    "more than 16 MiB away": (".text\nadd x0, x0, #:tprel_hi12:mine+0x2000000, lsl #12", "ADD_TPREL_HI12"),
}
"""What it is -> assembly and the relocation that must be refused."""


def assembled(folder: Path, text: str) -> ElfImage:
    """The object of some assembly with a thread-local of its own."""
    (folder / "patch.s").write_text(f"{VARIABLE}{text}\n")
    path = folder / "patch.o"
    run([need("clang-19"), "--target=aarch64-linux-gnu", "-c", folder / "patch.s", "-o", path])
    return ElfImage(path.read_bytes(), str(path))


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_rewritten_is_refused(name: str, tmp_path: Path) -> None:
    """GNU ld links it in silence and the program's memory is overwritten; the flag that helps is the same for all."""
    text, relocation = REFUSED[name]
    binder = Binder({})
    bind_object(assembled(tmp_path, text), binder)
    (refusal,) = binder.refusals
    assert f"R_AARCH64_TLSLE_{relocation} against mine: a library's thread-locals lie at no constant" in refusal
    assert refusal.endswith("compile with -fPIC (rustc: -C relocation-model=pic)")


@pytest.mark.parametrize("more", [0, 1])
def test_a_detour_is_within_reach_of_its_branch(more: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A branch holds 26 bits of words, with a sign (Arm ARM, B): the next bit is another instruction's."""
    assert 4 * local_exec._BRANCH_LIMIT == 128 << 20
    code = (0x91400000).to_bytes(4, "little").ljust(64, b"\0")
    monkeypatch.setattr(local_exec, "_BRANCH_LIMIT", len(code) // 4 + len(detour(0, 0, 0)) + more)
    uses = (Use(0, "v", r.R_AARCH64_TLSLE_ADD_TPREL_HI12),)
    parts = [Part(".text", EXECUTABLE, code, uses), Part(".tdata", THREAD)]
    copy = crafted.bound(parts, [local("v", 2, 0, e.STT_TLS)], {})
    assert bool(copy.refusals) is not bool(more)


def test_nothing_but_the_section_of_the_access_grows(tmp_path: Path) -> None:
    """The code around an access counts on where it is: only behind its section is there room."""
    text = (
        ".text\nf: mrs x0, tpidr_el0\nadd x0, x0, #:tprel_hi12:mine, lsl #12\nadd x0, x0, #:tprel_lo12_nc:mine+8\nret"
    )
    image = assembled(tmp_path, f"{text}\n.byte 1, 2, 3\n.data\n.quad f")
    bound = ElfImage(bind_object(image, Binder({})).content, "bound.o")
    for before, after in zip(image.file.sections, bound.file.sections, strict=True):
        assert before.name == after.name
        if before.name == ".text":
            old, new = bytes(image.file.content(before)), bytes(bound.file.content(after))
            assert len(old) % 4 == 3
            assert (new[:4], new[12 : len(old)]) == (old[:4], old[12:])
            assert int.from_bytes(new[4:8], "little") == 0x14000000 | (len(old) + 1 - 4) // 4
            assert int.from_bytes(new[8:12], "little") == 0x91002000, "add x0, x0, #8"
            back = int.from_bytes(new[-4:], "little") - (0x14000000 + (1 << 26))
            assert len(new) - 4 + 4 * back == 8
        elif before.name not in (".symtab", ".rela.text", ".strtab"):
            assert image.file.content(before) == bound.file.content(after)
