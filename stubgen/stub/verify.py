"""The verify phase: from the finished bytes, every stub is where it should be and branches where it should."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from stubgen.common.aarch64 import ADDRESS_LIMIT, WORD
from stubgen.common.columns import column_bytes, is_progression
from stubgen.common.row import Row
from stubgen.common.text import as_text
from stubgen.errors import VerificationRefusal
from stubgen.image import FileType
from stubgen.image.opening import open_image
from stubgen.stub.assembler import confirm_encoding
from stubgen.stub.decoding import decode
from stubgen.stub.facts import LibraryFacts, known_facts
from stubgen.stub.structure import Structure
from stubgen.stub.trampoline import CHUNK, template

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from stubgen.stub.emit import StubObject


class Verified(Row):
    """What was found in a sound stub object."""

    names: Sequence[bytes]
    """The trampolines, in order."""
    targets: array[int]
    """The runtime addresses that they branch to, as Capstone reads them."""
    bti: bool
    """Whether each begins with a landing pad."""
    slots: dict[bytes, int]
    """Slot's symbol -> the constant in it."""


def verify(stub: StubObject, facts: LibraryFacts | None = None) -> Verified:
    """Read *stub*'s bytes back and hold them against what it should define.

    Args:
        stub: the object.
        facts: what is known about Capstone from earlier commands.

    Raises:
        VerificationRefusal: a name or a target differs; the message says which.
        MalformedInput: the object's structure is broken.
        BrokenLibrary: Capstone cannot be loaded, or reads an instruction as another one.
    """
    found = _read(stub.content, "the stub object")
    if not found.strings.holds(found.starts, stub.names):
        raise VerificationRefusal("the stub object defines other names than it should")
    verified = Verified(stub.names, _targets(found, "the stub object", facts), found.bti, found.slots)
    if verified.targets != stub.addresses:
        pairs = zip(verified.names, verified.targets, stub.addresses, strict=True)
        name, target, address = next(pair for pair in pairs if pair[1] != pair[2])
        raise VerificationRefusal(f"{as_text(name)} branches to {target:#x}, not to {address:#x}")
    if verified.slots != {slot.symbol: slot.value for slot in stub.slots}:
        raise VerificationRefusal("the stub object holds other constants than it should")
    if found.identity != stub.identity:
        raise VerificationRefusal("the stub object's identity note says something else than it should")
    return verified


def verify_object(data: Any, name: str, facts: LibraryFacts | None = None) -> Verified:
    """Check the structure of a stub object and decode every stub in it.

    Args:
        data: the object's bytes.
        name: what to call it in a complaint.
        facts: what is known about Keystone and Capstone from earlier commands; None: what the user's cache folder has.

    Raises:
        BrokenLibrary: Keystone assembles, or Capstone reads, other instructions than those of a stub.
        VerificationRefusal: something is not as a stub object has it; the message says what.
        MalformedInput: the object's structure is broken.
        UsageError: an argument is not what it must be.
    """
    facts = known_facts(facts)
    confirm_encoding(facts)
    found = _read(data, name)
    names = found.strings.read(found.starts)
    if len(set(names)) != len(names):
        raise VerificationRefusal(f"{name}: defines a name twice")
    return Verified(names, _targets(found, name, facts), found.bti, found.slots)


def _read(data: Any, name: str) -> Structure:
    """The structure of a stub object, checked."""
    image = open_image(data, name, check_places=False)  # each symbol is held against what a stub's must be
    if image.file_type is not FileType.OBJECT:
        raise VerificationRefusal(
            f"{name}: is a linked {image.file_type.value}, not a stub object; try inspect or check"
        )
    if image.format == "elf":
        from stubgen.stub.verify_elf import structure
    else:
        from stubgen.stub.verify_macho import structure
    return structure(image, name)


def _targets(found: Structure, name: str, facts: LibraryFacts | None) -> array[int]:
    """Where the stubs go: one symbol a stub, in order, nothing between them; and every stub decodes."""
    stride, count = len(template(found.bti).code), len(found.starts)
    if not is_progression(found.values, stride) or len(found.code) != stride * count:
        raise VerificationRefusal(f"{name}: its symbols and its code do not pair up one stub to one name")
    targets = decode(found.code, bti=found.bti, facts=facts)
    for first in range(0, count, CHUNK):
        raw = bytes(column_bytes(targets[first : first + CHUNK]))
        if (raw[6::8] + raw[7::8]).strip(b"\0") or raw[0::8].translate(None, _WHOLE_WORDS):
            odd = next(target for target in targets if target >= ADDRESS_LIMIT or target % WORD)
            raise VerificationRefusal(f"{name}: a stub branches to {odd:#x}, where no instruction can be")
    return targets


_WHOLE_WORDS = bytes(range(0, 256, WORD))
"""The lowest bytes that addresses of instructions have."""
