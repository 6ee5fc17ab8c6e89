"""Which constants of the patch are the host's: bytes, and what each of their pointers means; no compiler is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pytest
from resolve.test_keep_state_rules import candidate, variable
from synthetic import BASE, elf_host

from stubgen.errors import MalformedInput
from stubgen.image import Candidate, Content, Kind, Pointer, Variable, Word
from stubgen.image.elf import ElfImage
from stubgen.resolve.constants import Constants
from stubgen.resolve.same_file import Files

AT, OTHER, FUNCTION = BASE + 0x100, BASE + 0x200, BASE + 0x300
RAW = bytes(range(16))


class Host(ElfImage):
    """A host with these bytes and words."""

    there: Mapping[int, bytes] = {}
    words: Mapping[int, Word] = {}

    def read_at(self, address: int, size: int, what: str) -> memoryview:
        """The bytes."""
        if address not in self.there:
            raise MalformedInput("nothing is there")
        return memoryview(self.there[address][:size])

    def word_at(self, address: int) -> Word | None:
        """The word."""
        return self.words.get(address)


class Object(ElfImage):
    """An object with constants of these contents."""

    of: Sequence[Content] = ()

    def contents(self, names: Any) -> Any:
        """Those that are asked for."""
        return [each for each in self.of if each.name in names]


def constant(name: bytes = b"count", **facts: Any) -> Variable:
    """A constant of the patch's of 16 bytes."""
    return variable(**{"name": name, "size": 16, "writable": False, **facts})


def there(name: bytes = b"count", address: int = AT, **facts: Any) -> Candidate:
    """The host's."""
    return candidate(**{"size": 16, "writable": False, "address": address, **facts})._replace(name=name)


def content(name: bytes = b"count", raw: bytes = RAW, pointers: Mapping[int, Pointer] | None = None) -> Content:
    """What is in a constant."""
    return Content(name, raw, pointers or {}, False)


class Case(NamedTuple):
    """The constants of both, and whether ``count`` is the host's."""

    contents: Sequence[Content]
    bytes_there: Mapping[int, bytes]
    is_hosts: bool
    variables: Sequence[Variable] = (constant(),)
    found: Mapping[bytes, Sequence[Candidate]] = {b"count": [there()]}
    words: Mapping[int, Word] = {}
    elsewhere: Sequence[bytes] = ()


def pointing(name: bytes, addend: int = 0, *, own: bool = False, offset: int = 8) -> Content:
    """A constant with a pointer."""
    return content(pointers={offset: Pointer(name, addend, own)})


ALIKE = {AT: RAW}
POINTING = {AT: RAW[:8] + b"whatever"}
FOUND_F = {b"count": [there()], b"f": [there(b"f", FUNCTION)]}
BOTH = {b"count": [there()], b"other": [there(b"other", OTHER)]}
TWO = (constant(), constant(b"other"))
CASES = {
    "the same bytes": Case([content()], ALIKE, True),
    "other bytes": Case([content()], {AT: bytes(16)}, False),
    "no bytes there": Case([content()], {}, False),
    "no bytes here": Case([content(raw=b"")], ALIKE, False),
    "more than bytes": Case([content()._replace(opaque=True)], ALIKE, False),
    "nothing said of it": Case([], ALIKE, False),
    "two that are alike": Case([content(), content()], ALIKE, True, (constant(), constant())),
    "two of which one is not": Case([content(), content(raw=bytes(16))], ALIKE, False, (constant(), constant())),
    "two of which one is unknown": Case([content()], ALIKE, False, (constant(), constant())),
    "one that can be written": Case([content(), content()], ALIKE, False, (constant(), constant(writable=True))),
    "none in the host": Case([content()], ALIKE, False, found={}),
    "another kind in the host": Case(
        [content()], ALIKE, False, found={b"count": [there()._replace(kind=Kind.FUNCTION)]}
    ),
    "another name in the host": Case([content()], ALIKE, False, found={b"count": [there(b"count.llvm.1")]}),
    "another name beside it in the host": Case(
        [content()], ALIKE, True, found={b"count": [there(), there(b"count.llvm.1", OTHER)]}
    ),
    "a variable in the host": Case([content()], ALIKE, False, found={b"count": [there(writable=True)]}),
    "of another size": Case([content()], ALIKE, False, found={b"count": [there(size=8)]}),
    "a pointer to the same": Case([pointing(b"f")], POINTING, True, found=FOUND_F, words={AT + 8: Word(b"", FUNCTION)}),
    "other bytes beside a pointer": Case(
        [pointing(b"f")], {AT: bytes(16)}, False, found=FOUND_F, words={AT + 8: Word(b"", FUNCTION)}
    ),
    "a pointer in front of the same bytes": Case(
        [pointing(b"f", offset=0)], {AT: b"whatever" + RAW[8:]}, True, found=FOUND_F, words={AT: Word(b"", FUNCTION)}
    ),
    "a pointer in front of another byte": Case(
        [pointing(b"f", offset=0)],
        {AT: b"whatever" + b"x" + RAW[9:]},
        False,
        found=FOUND_F,
        words={AT: Word(b"", FUNCTION)},
    ),
    "a pointer in front of other bytes": Case(
        [pointing(b"f", offset=0)],
        {AT: b"whatever" + RAW[8:15] + b"x"},
        False,
        found=FOUND_F,
        words={AT: Word(b"", FUNCTION)},
    ),
    "a pointer behind that": Case(
        [pointing(b"f", 4)], POINTING, True, found=FOUND_F, words={AT + 8: Word(b"", FUNCTION + 4)}
    ),
    "a pointer to another place": Case(
        [pointing(b"f", 4)], POINTING, False, found=FOUND_F, words={AT + 8: Word(b"", FUNCTION)}
    ),
    "a pointer that cannot be read": Case([pointing(b"f")], POINTING, False, found=FOUND_F),
    "a pointer to what has no name": Case(
        [pointing(b"", own=True)], POINTING, False, found=FOUND_F, words={AT + 8: Word(b"", FUNCTION)}
    ),
    "a pointer to one of several": Case(
        [pointing(b"f")],
        POINTING,
        False,
        found={**FOUND_F, b"f": [there(b"f", FUNCTION), there(b"f", OTHER)]},
        words={AT + 8: Word(b"", FUNCTION)},
    ),
    "a pointer to nothing": Case([pointing(b"f")], POINTING, False, words={AT + 8: Word(b"", 0)}),
    "what the loader finds": Case([pointing(b"f", 4)], POINTING, True, found=FOUND_F, words={AT + 8: Word(b"f", 4)}),
    "another name for the loader": Case(
        [pointing(b"f")], POINTING, False, found=FOUND_F, words={AT + 8: Word(b"g", 0)}
    ),
    "another place for the loader": Case(
        [pointing(b"f", 4)], POINTING, False, found=FOUND_F, words={AT + 8: Word(b"f", 0)}
    ),
    "what an earlier patch replaced": Case(
        [pointing(b"f")], POINTING, False, found=FOUND_F, words={AT + 8: Word(b"f", 0)}, elsewhere=[b"f"]
    ),
    "what a library has": Case([pointing(b"f")], POINTING, True, words={AT + 8: Word(b"f", 0)}),
    "the patch's own that the loader finds": Case(
        [pointing(b"other", own=True), content(b"other")],
        {**POINTING, OTHER: bytes(16)},
        False,
        TWO,
        BOTH,
        {AT + 8: Word(b"other", 0)},
    ),
    "an import": Case(
        [pointing(b"f")],
        POINTING,
        False,
        found={b"count": [there()], b"f": [there(b"f", 0)._replace(kind=Kind.IMPORT)]},
        words={AT + 8: Word(b"", 0)},
    ),
    "a pointer to itself": Case([pointing(b"count", own=True)], POINTING, False, words={AT + 8: Word(b"", AT)}),
    "a pointer to another such": Case(
        [pointing(b"other", own=True), content(b"other")],
        {**POINTING, OTHER: RAW},
        True,
        TWO,
        BOTH,
        {AT + 8: Word(b"", OTHER)},
    ),
    "a pointer to the patch's own": Case(
        [pointing(b"other", own=True), content(b"other")],
        {**POINTING, OTHER: bytes(16)},
        False,
        TWO,
        BOTH,
        {AT + 8: Word(b"", OTHER)},
    ),
    "a pointer to a function of the patch's": Case(
        [pointing(b"f", own=True)], POINTING, False, found=FOUND_F, words={AT + 8: Word(b"", FUNCTION)}
    ),
    "another such that the loader finds": Case(
        [pointing(b"other", own=True), content(b"other")],
        {**POINTING, OTHER: RAW},
        True,
        TWO,
        BOTH,
        {AT + 8: Word(b"other", 0)},
        [b"other"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_nothing_but_its_address_tells_apart(name: str) -> None:
    """An address is an identity; but one whose bytes or pointers differ would be read as the old one."""
    case = CASES[name]
    host, image = Host(elf_host([]), "host"), Object(elf_host([]), "patch.o")
    host.there, host.words, image.of = case.bytes_there, case.words, case.contents
    variables: dict[bytes, list[Variable]] = {}
    for each in case.variables:
        variables.setdefault(each.name, []).append(each)
    constants = Constants([image], variables, case.found, Files(host), case.elsewhere)
    assert constants.place(b"count") == (AT if case.is_hosts else None)
    assert constants.place(b"count") == (AT if case.is_hosts else None)


def test_only_what_both_have_is_read() -> None:
    """An object's thousands of constants are not taken apart for one of them, nor for variables."""
    asked: list[set[bytes]] = []

    class Counting(Object):
        def contents(self, names: Any) -> Any:
            asked.append(set(names))
            return []

    host, image = Host(elf_host([]), "host"), Counting(elf_host([]), "patch.o")
    found = {b"count": [there()], b"v": [there(b"v", writable=True)]}
    variables = {each.name: [each] for each in (constant(), constant(b"fresh"), constant(b"v", writable=True))}
    Constants([image], variables, found, Files(host))
    assert asked == [{b"count"}]
    Constants([image], {b"fresh": [constant(b"fresh")]}, found, Files(host))
    assert asked == [{b"count"}]
