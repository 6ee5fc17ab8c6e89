"""One symbol of a file, as a list has it, and which of them somebody asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from operator import attrgetter

from stubgen.common.row import Row
from stubgen.common.text import as_bytes, as_text

KINDS = ("function", "data", "thread-local", "ifunc", "common", "absolute", "undefined")
"""What a symbol can be; what is only referred to has the kind that its reference says, if it says one."""


class Traits(Row):
    """What many symbols of a file have in common."""

    kind: str  # one of KINDS, or "other"
    binding: str  # "local", "global", "weak" or "unique"
    visibility: str  # "default", "hidden" (Mach-O: private extern), "protected" or "internal"
    section: str
    number: int  # the section's number or ordinal; 0 for none
    defined: bool


class Listed(Row):
    """One symbol."""

    name: bytes  # without its version
    address: int | None  # virtual address, in an ELF object byte offset into the section; None: it is nowhere yet
    size: int | None  # bytes; None where the format does not say
    traits: Traits
    version: str = ""
    default: bool = True  # the version is the one that a reference without one means
    exported: bool = False  # the loader finds it by name
    file: bytes = b""  # the source file of a local one, where the table says
    library: str = ""  # that supplies it, where the linker wrote that down

    @property
    def versioned(self) -> bytes:
        """Its name with its version, as GNU ld spells it."""
        return self.name + as_bytes(version_mark(self.version, self.default and self.traits.defined))


def version_mark(version: str, default: bool) -> str:
    """What GNU ld puts behind a name: its version, if it has one, and whether that is a definition's *default* one."""
    return f"{'@@' if default else '@'}{version}" if version else ""


ListedFields = tuple[bytes, int | None, int | None, Traits, str, bool, bool, bytes, str]
"""What a :class:`Listed` has, in its order."""


def listed(rows: Iterable[ListedFields]) -> list[Listed]:
    """A :class:`Listed` of each row; its own constructor, which counts the fields, takes three times as long."""
    return list(map(partial(tuple.__new__, Listed), rows))


class Wanted(Row):
    """Which symbols somebody asks for."""

    glob: str | None = None
    address: int | None = None
    kinds: tuple[str, ...] = ()
    names: frozenset[str] = frozenset()
    """Names that match the glob as people write them."""

    def __bool__(self) -> bool:
        return self.glob is not None or self.address is not None or bool(self.kinds)

    def matcher(self) -> Callable[[str], object]:
        """Whether a name matches the glob; all do where there is none."""
        if self.names:
            return self.names.__contains__
        import re
        from fnmatch import translate

        return re.compile(translate("*" if self.glob is None else self.glob)).match

    def takes_kind(self, traits: Traits) -> bool:
        """Whether symbols of these traits are asked for."""
        return not self.kinds or traits.kind in self.kinds or (not traits.defined and "undefined" in self.kinds)


def chosen(symbols: Iterable[Listed], wanted: Wanted) -> list[Listed]:
    """Those of *symbols* that are *wanted*; of an address, what covers it, or else what begins nearest before it."""
    found = [symbol for symbol in symbols if wanted.takes_kind(symbol.traits)] if wanted.kinds else list(symbols)
    if wanted.glob is not None:
        matches = wanted.matcher()
        found = [s for s in found if matches(as_text(s.name)) or (s.version and matches(as_text(s.versioned)))]
    return found if wanted.address is None else _at(found, wanted.address)


def _at(symbols: Sequence[Listed], address: int) -> list[Listed]:
    covering = [s for s in symbols if s.address is not None and s.address <= address < s.address + (s.size or 1)]
    if covering:
        return covering
    unsized = [s for s in symbols if s.address is not None and s.address < address and not s.size]
    nearest = max((s.address for s in unsized if s.address is not None), default=None)
    return [s for s in unsized if s.address == nearest]


ORDERS: dict[str, Callable[[Listed], object]] = {
    "name": attrgetter("name"),
    "address": lambda symbol: (symbol.address is None, symbol.address or 0),
    "size": lambda symbol: -(symbol.size or 0),
    "kind": lambda symbol: (symbol.traits.kind, symbol.name),
}
"""``--sort`` -> what of a symbol decides; the largest stand first."""


def ordered(symbols: list[Listed], order: str | None) -> list[Listed]:
    """*symbols* in that order; without one, in the file's."""
    return symbols if order is None else sorted(symbols, key=ORDERS[order])  # type: ignore[arg-type]  # comparable


class Use(Row):
    """One place in an object that means a symbol."""

    section: str
    offset: int  # bytes from the section's start
    function: bytes  # around it; empty where none is
    relocation: str  # its name in the format's specification
    addend: int  # bytes
    branch: bool  # a call or jump, which a trampoline can answer
