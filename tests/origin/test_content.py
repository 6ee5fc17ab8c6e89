"""What is said of a patch whose bytes are held against its objects', where there are many of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stubgen.elf import writer
from stubgen.image.opening import open_image
from stubgen.origin.account import Account, Inputs, LinkInput
from stubgen.origin.content import content_findings
from stubgen.origin.sources import Source


class Counted(tuple[Any, ...]):
    """Definitions that count how often somebody goes through all of them."""

    __slots__ = ()
    passes = 0

    def __iter__(self) -> Iterator[Any]:
        Counted.passes += 1
        return super().__iter__()


def test_the_definitions_are_gone_through_once_however_many_objects_there_are() -> None:
    """A pass for each object: of a patch of 2,000 objects that is more than all the rest of the check."""
    image = open_image(bytes(writer.write(writer.Object([]))), "a.o")
    files = tuple(LinkInput(f"a{n}.o", f"a{n}.o", Source.OBJECT, image) for n in range(50))
    account = Account(Counted(), (), (), Inputs(files), mapped=True, named=True)
    assert not list(content_findings(account, image))
    assert Counted.passes == 1
