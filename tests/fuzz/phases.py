"""Targets that give a file to a phase of a link: it is compared, borrowed from, accounted for, or looked through.

Each with sound files of the same programs beside it, so that what it names is found there.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TypeVar

from fuzz.inputs import file
from synthetic import elf_object, macho_object, undefined

from stubgen.build import StubBuilder
from stubgen.check import check_patch
from stubgen.common.text import as_bytes
from stubgen.compare import Equality, host_places, object_parts
from stubgen.compare.parts import HostPlaces, ObjectParts
from stubgen.errors import StubgenError
from stubgen.host import Host, open_host
from stubgen.host.slide import Slide
from stubgen.image.opening import open_image
from stubgen.reach import find_reach
from stubgen.registers import Redirected, relying_callers

T = TypeVar("T")
SEEDS = Path(__file__).parent / "seeds"
LINKED = {"elf": SEEDS / "elf" / "emit-relocs", "macho": SEEDS / "macho" / "program"}
OBJECT = {"elf": SEEDS / "elf-object" / "gcc.o", "macho": SEEDS / "macho-object" / "m.o"}
LIBRARY = {"elf": SEEDS / "elf" / "bfd.so", "macho": SEEDS / "macho" / "chained.dylib"}
"""Format -> a sound file of the program ``fuzz.make_seeds.C``."""
LACKING = {"elf": SEEDS / "elf" / "emit-relocs", "macho": SEEDS / "macho" / "weak.dylib"}
"""Format -> a host that lacks a program: of ELF the one of C++, of Mach-O the one of C."""
NAMES = ("f", "actions", "main", "weak_default", "total", "host_value", "_Z3runi", "counter", "depth")
"""What the programs of ``fuzz.make_seeds`` define."""


@cache
def _host(format_: str) -> Host:
    return open_host(LINKED[format_], cache=False)


@cache
def _builder(format_: str) -> StubBuilder:
    return StubBuilder(LACKING[format_], cache=False)


@cache
def _places(format_: str) -> HostPlaces:
    return host_places(open_image(LINKED[format_]))


@cache
def _parts(format_: str) -> ObjectParts:
    return object_parts([open_image(OBJECT[format_])])[0]


def compare_object(content: bytes) -> None:
    """An object of the patch, held against the host part by part."""
    image = open_image(content, "x.o")
    (parts,) = object_parts([image])
    _compare(parts, _places(image.format))


def compare_host(content: bytes) -> None:
    """A linked file that a sound object is held against."""
    image = open_image(content, "x")
    places = host_places(image)
    _compare(_parts(image.format), places)
    names = list(image.names())[:32]
    found = {address: size for name in names for address, size in places.addresses(name)}
    for address, size in found.items():
        for question in (places.behind, places.pointer, places.initial_value, places.thread_entry, places.attached):
            _ask(question, address)
        _ask(places.thread_template, address, size)
    for _ in _ask(places.holders, found, names) or ():
        pass


def _compare(parts: ObjectParts, places: HostPlaces) -> None:
    equality = Equality([parts], places)
    for part in [*parts.all(), *parts.functions()]:
        for question in (parts.uses, parts.attached, parts.neighbours, parts.initial_value, parts.content):
            _ask(question, part)
        for name in part.names:
            for address, _ in places.addresses(name):
                _ask(equality.difference, part, address)


def _ask(question: Callable[..., T], *about: object) -> T | None:
    """The answer; each question may be refused for itself."""
    with suppress(StubgenError):
        return question(*about)
    return None


def borrow(content: bytes) -> None:
    """An object of the host's link, which has what the patch needs and a sound host lacks."""
    image = open_image(content, "x.o")
    names = [prefix + name for name in NAMES for prefix in ("", "_")]
    elf = image.format == "elf"
    patch = elf_object([undefined(name) for name in names]) if elf else macho_object({}, names)
    _builder(image.format).build(
        [file(f"needs-{image.format}.o", patch)],
        slide=0,
        bind=True,
        keep_state=True,
        allow_missing=True,
        allow_static=True,
        archives=[file(f"member-{image.format}.o", content)],
    )


def account(content: bytes) -> None:
    """An object that a sound patch says it was linked from."""
    kind = open_image(content, "x.o").format
    path = file(f"linked-{kind}.o", content)
    check_patch(LIBRARY[kind], _host(kind), slide=Slide(0, None, 0, 0), objects=[path])


def reach(content: bytes) -> None:
    """A host, looked through for what leads to its functions and for callers that rely on registers."""
    host = open_host(file("reached", content))
    for name in NAMES:
        _ask(find_reach, host, [name])
    found = host.image.find([as_bytes(prefix + name) for name in NAMES for prefix in ("", "_")])
    places = {candidate.address for pool in found.values() for candidate in pool}
    _ask(relying_callers, host.image, [Redirected(place, place, host.image, [host.image]) for place in places])
