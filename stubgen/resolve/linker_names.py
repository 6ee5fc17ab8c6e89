"""Names that linkers define: which each image has of its own, and which mean a place in the host.

Start-up objects and compilers refer to names of which each image must have its own (``__dso_handle``). What programs
refer to, the bounds of sections (``__start_x``, ``section$start$SEG$x``), of segments and of the whole image, means the
host's: a patch's own section of that name is not the table that the code walks, and its own ``_end`` is nobody's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from stubgen.common.text import as_text
from stubgen.image import Candidate, Image, Kind, Pointed
from stubgen.resolve.verdicts import IMAGE_NAMES, IMAGE_PREFIXES, PROVIDED_NAMES

_BOUNDS = {
    "elf": {b"__start_": 0, b"__stop_": 1},
    "macho": {b"section$start$": 0, b"section$end$": 1},
}
"""How the name of a section's bound begins -> which of the two."""
_SEGMENT_BOUNDS = {b"segment$start$": 0, b"segment$end$": 1}
_HEADERS = frozenset(b"__mh_execute_header __mh_dylib_header __mh_bundle_header".split())
_SECTION_BOUNDS = {
    b"__preinit_array_start": (".preinit_array", 0),
    b"__preinit_array_end": (".preinit_array", 1),
    b"__init_array_start": (".init_array", 0),
    b"__init_array_end": (".init_array", 1),
    b"__fini_array_start": (".fini_array", 0),
    b"__fini_array_end": (".fini_array", 1),
    b"__bss_start": (".bss", 0),
    b"__bss_start__": (".bss", 0),
}
"""ELF: name -> the section whose bound it is in every linker, and which of the two."""


def is_images_own(format_: str, name: bytes) -> bool:
    """Whether every linked image must have its own *name*."""
    return name in IMAGE_NAMES[format_] or name.startswith(IMAGE_PREFIXES[format_])


def is_place(format_: str, name: bytes) -> bool:
    """Whether linkers define *name* as a place in the image: GNU ld's do so only where nothing else defines it."""
    return (
        bool(section_of(format_, name))
        or name in PROVIDED_NAMES[format_]
        or (format_ == "macho" and (name in _HEADERS or name.startswith(tuple(_SEGMENT_BOUNDS))))
    )


def may_be_linkers(format_: str, names: Iterable[bytes]) -> Collection[bytes]:
    """What linkers may define: all that they do by a name of its own, and those of *names* that begin like the rest."""
    bounds = (*_BOUNDS[format_], *_SEGMENT_BOUNDS)
    prefixes = (*bounds, *(each for each in IMAGE_PREFIXES[format_] if not each.startswith(bounds)))
    exact = IMAGE_NAMES[format_] | PROVIDED_NAMES[format_] | _HEADERS
    return exact.union([name for name in names if name.startswith(prefixes)])


def section_of(format_: str, name: bytes) -> str:
    """The section that *name* is a bound of: ELF, one that is called by a C identifier; empty where it is none."""
    for prefix in _BOUNDS[format_]:
        section = as_text(name.removeprefix(prefix))
        if name.startswith(prefix) and (format_ == "macho" or (section.isascii() and section.isidentifier())):
            return section.replace("$", ",", 1) if format_ == "macho" else section
    return ""


def place_in(image: Image, name: bytes, found: Sequence[Candidate]) -> Candidate | None:
    """Where in the host *name* is; None where it has neither the symbol, among *found*, nor what it would bound."""
    section = section_of(image.format, name)
    symbol = next((candidate for candidate in found if candidate.kind is not Kind.IMPORT), None)
    if symbol is not None and name not in _HEADERS:  # zig's symbol of the header lies somewhere else
        return symbol._replace(kind=Kind.DATA)
    address = _address(image, name, section)
    return None if address is None else Candidate(name, address, Kind.DATA, True, 0, section or "the image")


def _address(image: Image, name: bytes, section: str) -> int | None:
    """By the headers of sections and segments, where the linker left no symbol."""
    which = 0
    if section:
        span = image.section_span(section)
        which = next(which for prefix, which in _BOUNDS[image.format].items() if name.startswith(prefix))
    elif image.format == "macho" and name not in _HEADERS:
        which = next(which for prefix, which in _SEGMENT_BOUNDS.items() if name.startswith(prefix))
        span = image.segment_span(as_text(name.split(b"$", 2)[2]))
    elif name in _SECTION_BOUNDS:
        within, which = _SECTION_BOUNDS[name]
        span = image.section_span(within)
    else:
        begins = name in _HEADERS or name in (b"__ehdr_start", b"__executable_start")
        span = image.segment_span("") if begins else None
    return None if span is None else span[which]


def foreign_entry(images: Sequence[Image], host: Image, section: str) -> str:
    """What of the patch's own *section* the host's does not have: a symbol, or where one lacks; empty if nothing.

    An entry is the host's if it has one of that name and size in its section, with the same bytes and pointers to the
    same names and strings; a static one from a file of that name.
    """
    for image in images:
        for entry in image.entries_of(section):
            if not entry.name:
                return f"bytes without a name in {image.name}"
            known = [
                candidate
                for candidate in host.find({entry.name}).get(entry.name, ())
                if candidate.section == section
                and candidate.size == entry.size
                and (not entry.local or candidate.file == entry.file)
                and _is_alike(bytes(host.read_at(candidate.address, entry.size, section)), entry.content)
                and all(_points_to(host, candidate.address + at, to) for at, to in entry.pointers.items())
            ]
            if len(known) != 1:
                return f"{as_text(entry.name)} in {image.name}"
    return ""


def _is_alike(theirs: bytes, ours: Sequence[int | None]) -> bool:
    return all(own is None or own == their for own, their in zip(ours, theirs, strict=True))


def _points_to(host: Image, address: int, meant: Pointed) -> bool:
    """Whether the host's word at virtual *address* points to what is *meant*."""
    word = host.word_at(address)
    if word is None:
        return True
    if not meant.name:
        return not word.name and bytes(host.read_at(word.value, len(meant.text), "a string")) == meant.text
    if word.name:
        return word == (meant.name, meant.addend)
    pool = host.find({meant.name}).get(meant.name, ())
    places = [candidate.address for candidate in pool if candidate.kind is not Kind.IMPORT]
    return word.value - meant.addend in places if places else bool(pool)  # a program's own PLT entry of a library's
