"""A program's code, instruction by instruction: where each goes on, and who branches where."""

from __future__ import annotations

import random
from array import array
from pathlib import Path
from typing import cast

import pytest
from registers.test_callers import TARGETS, address, function, library

from stubgen.image import Code, Image
from stubgen.registers.program import SOMEWHERE, Branch, Program, Step

AT = 0x10000
FAR = 0x3FFFFFF
STEPS = {
    "nop": (0xD503201F, Step()),
    "b .+8": (0x14000002, Step(AT + 8, goes_on=False)),
    "b .-4": (0x17FFFFFF, Step(AT - 4, goes_on=False)),
    "bl .-4": (0x97FFFFFF, Step(called=AT - 4)),
    "bl .+8": (0x94000002, Step(called=AT + 8)),
    "b.eq .+8": (0x54000040, Step(AT + 8)),
    "cbz x0, .+8": (0xB4000040, Step(AT + 8)),
    "cbnz w1, .-8": (0x35FFFFC1, Step(AT - 8)),
    "tbz x0, 0, .+8": (0x36000040, Step(AT + 8)),
    "tbnz x0, 0, .-8": (0x3707FFC0, Step(AT - 8)),
    "adr x0, .+8": (0x10000040, Step()),
    "ldr x0, .+8": (0x58000040, Step()),
    "br x3": (0xD61F0060, Step(goes_on=False, register=3)),
    "br x30": (0xD61F03C0, Step(goes_on=False, register=30)),
    "braa x3, sp": (0xD71F087F, Step(goes_on=False, register=3)),
    "blr x4": (0xD63F0080, Step(called=SOMEWHERE)),
    "blraa x3, sp": (0xD73F087F, Step(called=SOMEWHERE)),
    "ret": (0xD65F03C0, Step(goes_on=False, returns=True)),
    "retaa": (0xD65F0BFF, Step(goes_on=False, returns=True)),
    "udf 7": (0x00000007, Step(goes_on=False)),
    "brk 1": (0xD4200020, Step(goes_on=False)),
    "svc 0": (0xD4000001, Step()),
    "nobody's, beside brk": (0xD4200001, Step()),
    "hlt 0": (0xD4400000, Step()),
}
"""Instruction -> its word at ``AT``, and where it goes on (Arm ARM C4.1.95)."""

CODE = {
    "first": "nop; bl third; b second; cbz x0, first; ret",
    "second": "bl first; bl second; b third; add x3, x1, w0, sxtb 2; br x3; nop; cbz x0, 2f; ret; 2: nop; b 1b; br x9",
    "third": "1: b 1b; bl first; bl elsewhere; bl last",
    "last": "add x2, x1, w0, uxtb 2; br x2; add x2, x1, w0, sxtw 2; br x3; add x2, x1, w0, sxth 2; br x2; ret",
}


@pytest.fixture(scope="module", params=TARGETS)
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """A library of ``CODE``, in one format."""
    form, folder = str(request.param), tmp_path_factory.mktemp("program")
    text = {name: body.replace("b 1b", "b ." if name == "second" else "b 1b") for name, body in CODE.items()}
    functions = [function(name, form, body) for name, body in text.items()]
    if form == "macho":
        for name in CODE:
            functions = [each.replace(f" {name}", f" _{name}").replace(f"{name}:", f"_{name}:") for each in functions]
    return library(Path(folder), form, "program", functions)


@pytest.fixture
def program(image: Image) -> Program:
    """Its code."""
    return Program(image)


@pytest.mark.parametrize("text", STEPS)
def test_where_an_instruction_goes_on(program: Program, text: str) -> None:
    """A way that is not followed is a register whose use nobody sees."""
    word, expected = STEPS[text]
    assert program.step(AT, word) == expected


def test_who_branches_where(program: Program, image: Image) -> None:
    """Forward and back, to the function itself and to others; a caller that is missed is told nothing."""
    first, second, third = (address(image, name) for name in ("first", "second", "third"))
    expected = [
        Branch(first + 4, third, is_call=True),
        Branch(first + 8, second, is_call=False),
        Branch(second, first, is_call=True),
        Branch(second + 4, second, is_call=True),
        Branch(second + 8, third, is_call=False),
        Branch(third, third, is_call=False),
        Branch(third + 4, first, is_call=True),
    ]
    assert list(program.branches_to({first, second, third})) == expected
    assert list(program.branches_to({second})) == [expected[1], expected[3]]
    assert not list(program.branches_to({second + 2}))


def test_words_and_bodies(program: Program, image: Image) -> None:
    """What is read beside a function is another's."""
    first, second, last = (address(image, name) for name in ("first", "second", "last"))
    assert program.word(first) == 0xD503201F
    assert program.word(second - 4) == 0xD65F03C0
    assert program.word(first + 2) is None
    assert program.word(0) is None
    assert program.word(1 << 40) is None
    assert program.body(second + 8) == range(second, second + 44, 4)
    assert program.body(first) == range(first, second, 4)
    assert program.body(last)[0] == last


def test_where_a_jump_by_a_register_may_lead(program: Program, image: Image) -> None:
    """A switch's cases begin where nothing else leads."""
    second, last = address(image, "second"), address(image, "last")
    assert list(program.entered_by_register(second)) == [second + 12, second + 20, second + 40], (
        "not 2, where cbz leads"
    )
    assert program.jumps_by_table(second + 16, 3)
    assert not program.jumps_by_table(second + 16, 4)
    assert not program.jumps_by_table(second + 40, 9)
    assert not program.jumps_by_table(last + 4, 2), "uxtb counts no words from a table"
    assert not program.jumps_by_table(last + 12, 3)
    assert program.jumps_by_table(last + 20, 2)


class _Words:
    """An image of nothing but code: *words* at ``AT``."""

    def __init__(self, words: list[int]) -> None:
        self.content = memoryview(array("I", words).tobytes())

    def code(self) -> list[Code]:
        """That code, and a run of none."""
        return [Code(2, AT + len(self.content), memoryview(b"")), Code(1, AT, self.content)]


def test_few_targets_are_sought_by_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """The few functions of a patch cost no object an instruction of a large host; what is found is the same."""
    chance, count = random.Random(7), 3 * (1 << 16) - 5
    words = [0xD503201F] * count
    for at in (*chance.sample(range(count), 9000), 0, 0xFFFF, 0x10000, count - 1):
        words[at] = (
            chance.choice([0x14000000, 0x94000000, 0x54000000, 0xB4000000]) | chance.randrange(-at, count - at) & FAR
        )
    words[4], words[5] = 0x94000000 | 1 << 16, 0x94000000 | (1 << 16) - 5  # to other targets of the same 16 bits
    words[6] = 0x94000000 | 0xFFFFFF8 & FAR
    targets = [AT + 4 * index for index in (4 + (1 << 16), 1 << 16, 0, count - 1, *chance.sample(range(count), 50))]
    image = cast("Image", _Words(words))
    few, many = Program(image), Program(image)
    monkeypatch.setattr("stubgen.registers.program.FEW", 0)
    expected = list(many.branches_to(targets))
    monkeypatch.undo()
    assert list(few.branches_to(targets)) == expected
    assert {AT + 16, AT + 20} < {branch.address for branch in expected}
    assert list(few.branches_to([AT - 8])) == [Branch(AT + 24, AT - 8, is_call=True)]
    assert "_branches" not in vars(few)
    assert "_branches" in vars(many)
