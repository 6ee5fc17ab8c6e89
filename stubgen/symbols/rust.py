"""Names that rustc made, taken apart by their grammars.

v0: RFC 2603, and what rustc added since (the rustc book, "v0 Symbol Format"). Legacy: an Itanium nested name whose
last identifier is a hash. A name that obeys neither is somebody else's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache, lru_cache

from stubgen.common.row import Row

TYPE_CHECKING = False
if TYPE_CHECKING:
    _Match = Callable[[bytes, int], re.Match[bytes] | None]

_DECIMAL = rb"0|[1-9][0-9]{0,8}"
_BASE_62 = rb"[0-9A-Za-z]{0,11}_"
_HEX = rb"[0-9a-f]*_"
_BASIC_TYPES = frozenset(b"abcdefhijlmnopstuvxyz")
_INTEGERS = {**dict.fromkeys(b"htmyojbce", False), **dict.fromkeys(b"aslxni", True)}
"""Types of constants that are hexadecimal numbers, and strings -> whether ``n`` may stand in front: it is signed."""
_PATHS = tuple(bytes([letter]) for letter in b"CNMXYI")
"""RFC 2603, <path>: the letters with which one begins."""
_ENDS = (b"", b".", b"$")
"""What may follow a name: nothing, or a vendor's suffix."""
_LEGACY_LENGTH = rb"[1-9][0-9]{0,8}"
_LEGACY_HASH = rb"17h[0-9a-f]{16}E"
LAST = 1 << 4
"""Names of the legacy mangling of which the answer is kept: several rules in turn ask for one's."""
LEGACY_MARK = b"17h"
"""How the hash of a name of the legacy mangling begins, with its length."""
_THREAD_LOCAL = b"__RUST_STD_INTERNAL_VAL"
"""What the standard library's ``thread_local!`` calls its variable, in one of two closures for all variables."""


class RustName(Row):
    """What a name of the v0 mangling says."""

    shape: bytes
    """The name less its numbers: names of one shape differ in nothing but what rustc counts anew in each build."""
    is_numbered: bool
    """Whether an identifier in it is not the first that is called so."""
    is_item: bool
    """Whether it is a crate's or module's own variable, of which there is but one of a name."""
    marker: bytes
    """What each name of this shape has in it."""


def is_rust_name(name: bytes) -> bool:
    """Whether *name* is mangled by rustc: unique in a program, with the crate and module in it."""
    return legacy_hash(name) is not None or v0_name(name) is not None


@lru_cache(LAST)
def legacy_hash(name: bytes) -> tuple[int, int] | None:
    """Where the hash of a name of the legacy mangling begins, and where the ``E`` behind it ends; None for others."""
    start = 1 if name.startswith(b"__ZN") else 0  # Mach-O
    if LEGACY_MARK not in name or not name.startswith(b"_ZN", start):
        return None
    position, (length, digest) = start + 3, legacy_parts()
    while (size := length(name, position)) is not None:
        found = digest(name, position) if name.startswith(LEGACY_MARK, position) else None
        if found is not None and name[found.end() : found.end() + 1] in _ENDS:
            return position, found.end()
        position = size.end() + int(size[0])
    return None


@cache
def legacy_parts() -> tuple[_Match, _Match]:
    """What finds an identifier's length, and what finds the hash: a large object has thousands of such names."""
    return re.compile(_LEGACY_LENGTH).match, re.compile(_LEGACY_HASH).match


def v0_name(name: bytes, start: int = 0) -> RustName | None:
    """*name* from byte *start* on, taken apart; None where it does not obey the grammar."""
    if name.startswith(b"__R", start):  # Mach-O
        start += 1
    if not name.startswith(b"_R", start):
        return None
    parser = _Parser(name, start + 2)
    try:
        return parser.name()
    except _NotMangled:
        return None


def rust_parts(name: bytes) -> tuple[bytes, ...]:
    """What *name*, of either mangling, is made of, less what tells its crate from others of that name; else nothing.

    Two names that differ in one of their parts are those of items of which one identifier differs.
    """
    start = 1 if name.startswith((b"__R", b"__ZN")) else 0
    digest = legacy_hash(name)
    if digest is None:
        rust = v0_name(name)
        return () if rust is None else tuple(rust.shape.split(b"\0"))
    found, position, length = [], start + 3, re.compile(_LEGACY_LENGTH)
    while position < digest[0] and (size := length.match(name, position)) is not None:
        position = size.end() + int(size[0])
        found.append(name[size.end() : position])
    return (*found, name[digest[1] :])


def crate_of(parts: Sequence[bytes]) -> bytes:
    """The name of the crate whose item has these :func:`rust_parts`."""
    root = parts.index(b"C") + 2 if b"C" in parts and parts[0] in _PATHS else 0
    return parts[root] if root < len(parts) else b""


class _NotMangled(Exception):
    """The grammar does not hold."""


class _Step(Row):
    """``N``: a namespace and an identifier, within a path."""

    namespace: int  # v: value, t: type, C: closure, S: shim, K: constant, ...
    piece: int  # where its disambiguator is among the pieces
    name: bytes


class _Parser:
    """One pass over a name, with a stack of what is still to come: no name is nested too deeply.

    Back references count bytes, so one number more in front changes them. In the shape they count the paths, types and
    constants that begin in front of what they mean.
    """

    def __init__(self, text: bytes, start: int) -> None:
        self.text = text
        self.start = start
        self.position = start
        self.pieces: list[bytes] = []
        self.nodes: dict[int, int] = {}  # where a path, type or constant begins -> how many begin in front of it
        self.steps: dict[int, _Step] = {}  # by their order in the name
        self.open: list[tuple[int, int]] = []  # of the steps whose identifier is still to come: order, namespace
        self.numbers: list[int] = []  # the pieces that are numbers
        self.stack: list[Callable[[], None]] = []
        self.decimal = re.compile(_DECIMAL).match
        self.base_62 = re.compile(_BASE_62).match
        self.hexadecimal = re.compile(_HEX).match

    def name(self) -> RustName:
        """What the whole name says."""
        self.run(self.path)
        leading = 0
        while self.text[self.start + 2 * leading] == ord("N"):
            leading += 1
        in_crate = self.text[self.start + 2 * leading] == ord("C")
        chain = [self.steps[order] for order in range(leading)]
        if self.peek() not in _ENDS:
            self.run(self.path)  # the crate that instantiated it
        if self.peek() not in _ENDS:
            raise _NotMangled
        wrapping = _wrapping(chain)
        fixed = {step.piece for step in chain[:wrapping]}
        numbers = [piece for piece in self.numbers if piece not in fixed]
        is_numbered = any(self.pieces[step.piece] for step in self.steps.values() if step.piece not in fixed)
        for piece in numbers:
            self.pieces[piece] = b""
        own = [step.namespace for step in chain[wrapping:]]
        names = [step.name for step in self.steps.values() if step.name != _THREAD_LOCAL]
        return RustName(
            shape=b"\0".join(self.pieces) + self.text[self.position :],
            is_numbered=is_numbered,
            is_item=in_crate and own[:1] == [ord("v")] and set(own[1:]) <= {ord("t")},
            marker=max(names, key=len, default=b"") or b"_R",
        )

    def run(self, first: Callable[[], None]) -> None:
        """Read *first* and all that belongs to it."""
        self.stack.append(first)
        while self.stack:
            self.stack.pop()()

    def expect(self, *parts: Callable[[], None]) -> None:
        """What comes next, in order."""
        self.stack.extend(reversed(parts))

    def peek(self) -> bytes:
        """The next byte; nothing at the end."""
        return self.text[self.position : self.position + 1]

    def next(self) -> int:
        """The next byte, which goes into the shape."""
        octet = self.peek()
        if not octet:
            raise _NotMangled
        self.position += 1
        self.pieces.append(octet)
        return octet[0]

    def eat(self, octet: bytes) -> bool:
        """Whether the next byte is *octet*, which goes into the shape then."""
        return self.peek() == octet and bool(self.next())

    def take(self, match: Callable[[bytes, int], re.Match[bytes] | None]) -> bytes:
        """What *match* finds here."""
        found = match(self.text, self.position)
        if found is None:
            raise _NotMangled
        self.position = found.end()
        return found[0]

    def number(self) -> int:
        """A disambiguator, if there is one; the piece that it is."""
        self.pieces.append(b"s" + self.take(self.base_62) if self.skip(b"s") else b"")
        return len(self.pieces) - 1

    def skip(self, octet: bytes) -> bool:
        """Whether the next byte is *octet*; if so, it is left out."""
        if self.peek() != octet:
            return False
        self.position += 1
        return True

    def identifier(self) -> None:
        """An identifier without a disambiguator."""
        self.eat(b"u")
        size = int(self.take(self.decimal))
        self.skip(b"_")
        name = self.text[self.position : self.position + size]
        if len(name) < size:
            raise _NotMangled
        self.position += size
        self.pieces.append(name)

    def begin(self) -> bool:
        """Note that a path, type or constant begins here; whether it is a back reference, which is read then."""
        self.nodes.setdefault(self.position - self.start, len(self.nodes))
        if not self.eat(b"B"):
            return False
        digits = self.take(self.base_62)[:-1]
        meant = _base_62(digits)
        if meant >= self.position - self.start - len(digits) - 2:
            raise _NotMangled
        self.pieces.append(b"%d" % self.nodes.get(meant, -1))
        return True

    def path(self) -> None:
        """<path>."""
        if self.begin():
            return
        kind = self.next()
        if kind == ord("C"):
            self.pieces.append(b"s" + self.take(self.base_62) if self.skip(b"s") else b"")  # which crate it is
            self.identifier()
        elif kind == ord("N"):
            self.open.append((len(self.steps) + len(self.open), self.namespace()))
            self.expect(self.path, self.step)
        elif kind in b"MX":
            self.numbers.append(self.number())
            self.expect(self.path, self.type, *([self.path] if kind == ord("X") else []))
        elif kind == ord("Y"):
            self.expect(self.type, self.path)
        elif kind == ord("I"):
            self.expect(self.path, self.arguments)
        else:
            raise _NotMangled

    def namespace(self) -> int:
        """The letter that says of what kind a step is."""
        kind = self.next()
        if not chr(kind).isalpha() or kind > 0x7F:
            raise _NotMangled
        return kind

    def step(self) -> None:
        """The identifier of ``N``."""
        order, namespace = self.open.pop()
        piece = self.number()
        self.numbers.append(piece)
        self.identifier()
        self.steps[order] = _Step(namespace, piece, self.pieces[-1])

    def arguments(self) -> None:
        """<generic-arg>s up to ``E``."""
        if self.eat(b"E"):
            return
        self.stack.append(self.arguments)
        if self.eat(b"L"):
            self.pieces.append(self.take(self.base_62))
        elif self.eat(b"K"):
            self.stack.append(self.constant)
        else:
            self.stack.append(self.type)

    def type(self) -> None:
        """<type>."""
        if self.begin():
            return
        kind = self.text[self.position] if self.peek() else 0
        rule = _TYPES.get(kind)
        if kind in _BASIC_TYPES:
            self.next()
        elif rule is None:
            self.path()
        else:
            self.next()
            rule(self)

    def reference(self) -> None:
        """``R`` and ``Q``: a lifetime, and a type."""
        if self.eat(b"L"):
            self.pieces.append(self.take(self.base_62))
        self.stack.append(self.type)

    def pointer(self) -> None:
        """``P``, ``O`` and ``S``: pointers, slices."""
        self.stack.append(self.type)

    def array(self) -> None:
        """``A``."""
        self.expect(self.type, self.constant)

    def types(self) -> None:
        """<type>s up to ``E``."""
        if not self.eat(b"E"):
            self.expect(self.type, self.types)

    def function(self) -> None:
        """``F``: a function's signature."""
        self.binder()
        self.eat(b"U")
        if self.eat(b"K") and not self.eat(b"C"):
            self.identifier()
        self.expect(self.types, self.type)

    def binder(self) -> None:
        """How many lifetimes are bound, if any."""
        if self.eat(b"G"):
            self.pieces.append(self.take(self.base_62))

    def dynamic(self) -> None:
        """``D``: traits up to ``E``, and a lifetime."""
        self.binder()
        self.expect(self.traits, self.lifetime)

    def traits(self) -> None:
        """<dyn-trait>s up to ``E``."""
        if not self.eat(b"E"):
            self.expect(self.path, self.associated, self.traits)

    def associated(self) -> None:
        """The types of a trait's own ones."""
        if self.eat(b"p"):
            self.identifier()
            self.expect(self.type, self.associated)

    def lifetime(self) -> None:
        """``L``."""
        if not self.eat(b"L"):
            raise _NotMangled
        self.pieces.append(self.take(self.base_62))

    def limited(self) -> None:
        """``W``: a type that a pattern limits."""
        self.expect(self.type, self.pattern)

    def pattern(self) -> None:
        """A range, several patterns, or what is not null."""
        kind = self.next()
        if kind == ord("R"):
            self.expect(self.constant, self.constant)
        elif kind == ord("O"):
            self.stack.append(self.patterns)
        elif kind != ord("N"):
            raise _NotMangled

    def patterns(self) -> None:
        """Patterns up to ``E``."""
        if not self.eat(b"E"):
            self.expect(self.pattern, self.patterns)

    def constant(self) -> None:
        """<const>."""
        if self.begin():
            return
        kind = self.next()
        if kind in _INTEGERS:
            if _INTEGERS[kind]:
                self.eat(b"n")
            self.pieces.append(self.take(self.hexadecimal))
        elif kind in b"RQ":
            self.stack.append(self.constant)
        elif kind in b"AT":
            self.stack.append(self.constants)
        elif kind == ord("V"):
            self.expect(self.path, self.fields)
        elif kind != ord("p"):
            raise _NotMangled

    def constants(self) -> None:
        """<const>s up to ``E``."""
        if not self.eat(b"E"):
            self.expect(self.constant, self.constants)

    def fields(self) -> None:
        """What a constant of an enumeration or a structure holds."""
        kind = self.next()
        if kind == ord("T"):
            self.stack.append(self.constants)
        elif kind == ord("S"):
            self.stack.append(self.named_fields)
        elif kind != ord("U"):
            raise _NotMangled

    def named_fields(self) -> None:
        """Identifiers with their constants, up to ``E``."""
        if not self.eat(b"E"):
            self.numbers.append(self.number())
            self.identifier()
            self.expect(self.constant, self.named_fields)


_TYPES: dict[int, Callable[[_Parser], None]] = {
    ord("R"): _Parser.reference,
    ord("Q"): _Parser.reference,
    ord("P"): _Parser.pointer,
    ord("O"): _Parser.pointer,
    ord("S"): _Parser.pointer,
    ord("A"): _Parser.array,
    ord("T"): _Parser.types,
    ord("F"): _Parser.function,
    ord("D"): _Parser.dynamic,
    ord("W"): _Parser.limited,
}
"""The letter of a type that is neither basic nor a path -> what follows it."""


def _wrapping(chain: list[_Step]) -> int:
    """How many of a name's outermost steps ``thread_local!`` added; their numbers say which of its ways it took."""
    if not chain or chain[0].name != _THREAD_LOCAL:
        return 0
    return next((place for place, step in enumerate(chain) if place and step.name), 0)


def _base_62(digits: bytes) -> int:
    """RFC 2603, <base-62-number>: nothing is 0, and ``0`` is 1."""
    value = 0
    for digit in digits:
        value = value * 62 + (digit - 48 if digit < 58 else digit - 29 if digit < 91 else digit - 87)
    return value + 1 if digits else 0
