"""Names that compilers number: several statics of one function, lambdas, closures and unnamed types.

The numbers count from the top of a function or a file, so one more in front shifts those behind it, and the old name is
then another variable's. The first of a family has no number, which only its siblings give away::

    clang, C         f.n           f.n.1
    C++ (Itanium)    _ZZ1fvE1n     _ZZ1fvE1n_0         a lambda: $_0, UlvE_; an unnamed type: $_0, Ut_, ._anon_0
    Rust, v0         _RNvNv..3run5COUNT                _RNvNv..3runs_5COUNT
    Rust, legacy     _ZN1t3run5COUNT17h<hash>E         the same but for the hash

GCC numbers every static of a C function (``n.0``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from stubgen.common.row import Row
from stubgen.symbols.rust import LEGACY_MARK, RustName, legacy_hash, legacy_parts, v0_name
from stubgen.symbols.versions import THINLTO_SUFFIX, base_name

if TYPE_CHECKING:
    from stubgen.common.strings import NameTable

NUMBERED = "compilers number such variables anew in each build"
LAMBDA = "it belongs to a lambda, a block or an unnamed type, which compilers number anew in each build"
SEVERAL = "has several of that name, which compilers number anew in each build"
NESTED = "it belongs to a class or function inside a function, which compilers number anew in each build"

FEW = 8
"""Names up to which each family is looked for by itself, in a table's bytes: those searches take less than a pass."""

# Patterns are compiled where they are first needed: most patches need none of these.
_SUFFIX = rb"(?<!\.__uniq)\.\d+\Z"  # which is a hash of the file's path
_BLOCK = rb"_block_invoke(?:_\d+)?(?:\.|\Z)"
_ITANIUM = rb"L_?Z|L[a-z]+n?\d+E|S[0-9A-Z]*_|T\d*_|A\d+_|_\d|__\d+_|(?P<length>[1-9]\d*)"
"""What holds digits in an Itanium name: literals, substitutions, array types, discriminators, identifiers."""
_TYPE_INFO = rb"\A_ZT[IS](?!Z)"
"""A type's information and its name: what follows is the type."""
_DISCRIMINATOR = rb"_\d|__\d+_"
_LAST_OF_A_NUMBER = frozenset(b"%d" % digit for digit in range(10)) | {b"_"}
"""The last bytes of discriminators and suffixes."""
_MERGED = rb"_MergedGlobals(?:\.|\Z)"
_V0_CLOSURE = b"NC"
_LEGACY_HASH = rb"17h[0-9a-f]{16}E"
_THREAD_LOCAL = b"__RUST_STD_INTERNAL_VAL"
"""What the standard library's ``thread_local!`` calls its variable, in one of two closures for all variables."""


class _Parts(Row):
    """A mangled name, taken apart."""

    skeleton: bytes  # the name with # for each identifier
    identifiers: list[bytes]


def is_merged(name: bytes) -> bool:
    """Whether *name*, as LLVM spells it, is of several variables that it made one (``-mglobal-merge``)."""
    return re.match(_MERGED, name) is not None


def numbering(name: bytes) -> str:
    """Why *name* alone says that its variable is numbered anew in each build; empty if it does not."""
    name = _plain(base_name(name))
    if name[-1:].isdigit() and re.search(_SUFFIX, name):
        return NUMBERED
    if b"_block_invoke" in name and re.search(_BLOCK, name):
        return LAMBDA
    rust = v0_name(name)
    if rust is not None:
        return NUMBERED if rust.is_numbered else ""
    if not name.startswith(b"_Z") or legacy_hash(name) is not None:
        return ""
    return _itanium_numbering(re.sub(_TYPE_INFO, b"_Z", name))


def _itanium_numbering(name: bytes) -> str:
    skeleton, identifiers = _parts(_ITANIUM, name)
    if re.search(rb"U[lt]", skeleton) or any(identifier.startswith((b"$_", b"._")) for identifier in identifiers):
        return LAMBDA
    if b"Z" in skeleton[3:].replace(b"L_Z", b"").replace(b"LZ", b""):  # less what template arguments name
        return NESTED
    return NUMBERED if re.search(b"#(?:" + _DISCRIMINATOR + b")", skeleton) else ""


def has_sibling(name: bytes, table: NameTable) -> bool:
    """Whether *table* has another one of *name*'s family."""
    family = _family(base_name(name))
    others = set(_others(family, table.strings.content)) if family is not None else set()
    return bool(others) and next(table.find_indexes(others, ()), None) is not None


def function_numbering(name: bytes) -> str:
    """Why *name* alone says that its function is numbered anew in each build; empty if it does not.

    A member of a class inside a function has the number of the class in the middle of its name.
    """
    return numbering(name) or (NESTED if _plain(name).startswith(b"_ZZ") else "")


class Siblings:
    """Which of many variables have another one of their family in a symbol table; each table is read once.

    Args:
        names: the variables that will be asked about.
    """

    def __init__(self, names: Iterable[bytes]) -> None:
        self._names = names
        self._found: dict[int, tuple[NameTable, set[bytes]]] = {}  # the table is held: its identity stays its own

    def has(self, name: bytes, table: NameTable) -> bool:
        """As :func:`has_sibling` says."""
        name = base_name(name)
        if name not in self._families.names or len(self._families.names) <= FEW:
            return has_sibling(name, table)
        if id(table) not in self._found:
            self._found[id(table)] = (table, self._families.with_others(table.names()))
        return name in self._found[id(table)][1]

    @cached_property
    def _families(self) -> _Families:
        return _Families(self._names)


class _Families:
    """The families of many names; the kinds are those of :func:`_family`."""

    def __init__(self, names: Iterable[bytes]) -> None:
        self.names: set[bytes] = set()
        """Those that have a family, without ThinLTO's suffix."""
        self._hashed: dict[bytes, set[bytes]] = {}  # a name of Rust's legacy mangling, less its hash -> names
        self._heads: set[bytes] = set()  # of those names, what is in front of the hash
        self._shaped = _Shapes()
        for name in map(base_name, names):
            self._add(name)

    def _add(self, name: bytes) -> None:
        family = _family(name)
        if family is None:
            return
        self.names.add(name)
        if v0_name(name) is not None:
            self._shaped.add(name)
        elif (hashless := _hashless(name)) is not None:
            self._hashed.setdefault(hashless, set()).add(name)
            self._heads.add(hashless.partition(b"\0")[0])

    def with_others(self, table: Iterable[bytes]) -> set[bytes]:
        """The names of whose family *table* has another one."""
        found: set[bytes] = set()
        match = re.compile(rb"(.*?)(?:" + _DISCRIMINATOR + rb"|(\.\d+))", re.DOTALL).fullmatch
        by_hash, by_shape = bool(self._heads), bool(self._shaped)
        for name in map(base_name, table):
            numbered = match(name) if name[-1:] in _LAST_OF_A_NUMBER else None
            if numbered is not None and numbered[1] in self.names and _takes(numbered[1], suffix=bool(numbered[2])):
                found.add(numbered[1])
            if by_hash and self._may_be_hashed(name) and (hashless := _hashless(name)) is not None:
                found |= self._hashed.get(hashless, set()) - {name}
            if by_shape:
                found |= self._shaped.others(name)
        return found

    def _may_be_hashed(self, name: bytes) -> bool:
        """Whether one of the names looked for has what *name* has in front of something that begins like a hash."""
        at = name.find(LEGACY_MARK)
        while at >= 0:
            if name[:at] in self._heads:
                return True
            at = name.find(LEGACY_MARK, at + 1)
        return False


def _takes(name: bytes, *, suffix: bool) -> bool:
    """Whether the others of *name*'s family have a *suffix* (C), or a discriminator (Itanium)."""
    plain = _plain(name)
    if v0_name(plain) is not None or legacy_hash(plain) is not None:
        return False
    return plain.startswith(b"_ZZ") is not suffix


def _hashless(name: bytes) -> bytes | None:
    """*name*, of Rust's legacy mangling, less its hash; None for others."""
    digest = legacy_hash(name)
    return None if digest is None else name[: digest[0]] + b"\0" + name[digest[1] :]


class _Shapes:
    """Names of Rust's v0 mangling by their shapes.

    To take a name apart costs much more than to see whether an identifier of it is one that those looked for have.
    """

    def __init__(self) -> None:
        self._names: dict[tuple[bool, bytes], set[bytes]] = {}
        self._markers: set[bytes] = set()
        self._length = re.compile(rb"(?=([1-9]\d{0,8}))").finditer

    def __bool__(self) -> bool:
        return bool(self._names)

    def add(self, name: bytes) -> None:
        """Look for the others of the shape of *name*, which is one of that mangling."""
        rust = v0_name(name)
        if rust is not None:
            self._names.setdefault((name.startswith(b"__R"), rust.shape), set()).add(name)
            self._markers.add(rust.marker)

    def others(self, name: bytes) -> set[bytes]:
        """Those names, other than *name*, that have its shape."""
        if not self._names or not name.startswith((b"_R", b"__R")) or not self._may_be_one(name):
            return set()
        rust = v0_name(name)
        return set() if rust is None else self._names.get((name.startswith(b"__R"), rust.shape), set()) - {name}

    def _may_be_one(self, name: bytes) -> bool:
        """Whether *name* has an identifier, behind its length, that is a marker."""
        return b"_R" in self._markers or any(
            name[start : start + int(length[1])] in self._markers
            for length in self._length(name)
            for start in (length.end(1), length.end(1) + 1)  # an underscore may stand between
        )


def with_siblings(names: Iterable[bytes], tables: Iterable[NameTable]) -> set[bytes]:
    """Those of *names*, of functions, of whose family one of *tables* has another one; each is read once.

    Only closures and what Rust's legacy mangling tells by a hash have siblings: ordinary functions of one scope have
    names of their own.
    """
    spelled: dict[bytes, set[bytes]] = {}  # a name without ThinLTO's suffix -> as it was given
    for name in names:
        spelled.setdefault(base_name(name), set()).add(name)
    hashed: dict[bytes, set[bytes]] = {}
    heads: dict[bytes, bytes] = {}  # a name -> what is in front of its hash
    shaped = _Shapes()
    for name in spelled:
        before = _before_hash(name)
        if before is not None:
            hashed.setdefault(before, set()).add(name)
            heads[name] = before
        elif _V0_CLOSURE in name:
            shaped.add(name)
    found: set[bytes] = set()
    by_shape = bool(shaped)
    seen: set[bytes] = set()  # the patch's tables and the host's have most names in common
    for table in tables if hashed or shaped else ():
        names_here = set(table.names()) - seen
        seen |= names_here
        for name in map(base_name, names_here):
            if name in heads:
                pool = hashed[heads[name]]
                if len(pool) > 1:
                    found |= pool - {name}
            elif heads and LEGACY_MARK in name and (before := _before_hash(name, hashed)) is not None:
                found |= hashed[before]
            if by_shape and _V0_CLOSURE in name:
                found |= shaped.others(name)
    return set().union(*(spelled[name] for name in found))


def _before_hash(name: bytes, among: Collection[bytes] | None = None) -> bytes | None:
    """What is in front of the hash of a function's name of Rust's legacy mangling; None for others.

    *among*: None too where it is none of these.
    """
    plain = _plain(name)
    at = plain.rfind(LEGACY_MARK)
    before = plain[: max(at, 0)]
    if not before or (among is not None and before not in among):
        return None
    return before if legacy_parts()[1](plain, at) else None


def _others(family: _Family, strings: bytes) -> Iterator[bytes]:
    """What may be a sibling's name in a string table: linkers let a name begin inside another one's string."""
    found = strings.find(family.marker)
    while found >= 0:
        end = strings.find(b"\0", found)
        end = len(strings) if end < 0 else end
        yield from _others_in(family, strings[strings.rfind(b"\0", 0, found) + 1 : end])
        found = strings.find(family.marker, end + 1)


def _others_in(family: _Family, string: bytes) -> Iterator[bytes]:
    """The ends of one string that are in *family*."""
    begin = string.find(family.prefix)
    while begin >= 0:
        if family.has(string, begin) and base_name(string[begin:]) != family.name:
            yield string[begin:]
        begin = string.find(family.prefix, begin + 1)


class _Family(Row):
    """The names that differ in nothing but a number, ThinLTO's aside."""

    name: bytes  # the one asked about, without ThinLTO's suffix
    marker: bytes  # is in each of them; not empty
    prefix: bytes  # likewise, and begins it
    has: Callable[[bytes, int], bool]  # whether the end of a string from a byte on is one of them


def _family(name: bytes) -> _Family | None:
    """The family of a variable that may be a function's; None for others."""
    plain = _plain(name)
    rust = v0_name(plain)
    if rust is not None:
        return None if rust.is_item else _v0_family(name, rust)
    digest = legacy_hash(plain)
    if digest is not None:
        return _legacy_family(name, plain, *digest)
    if plain.startswith(b"_ZZ"):
        return _matching(name, plain, re.escape(plain) + b"(?:" + _DISCRIMINATOR + b")", plain + b"_")
    if b"." in plain and not plain.startswith(b"_Z"):
        return _matching(name, plain, re.escape(plain) + _SUFFIX, plain + b".")
    return None


def _v0_family(name: bytes, rust: RustName) -> _Family:
    """The names that differ from *name*, one of Rust's v0 mangling, in disambiguators alone."""

    def differs_in_disambiguators(string: bytes, begin: int) -> bool:
        other = v0_name(string, begin)
        return other is not None and base_name(other.shape) == rust.shape

    return _Family(name, rust.marker, name[: name.index(b"_R") + 2], differs_in_disambiguators)


def _legacy_family(name: bytes, plain: bytes, start: int, end: int) -> _Family | None:
    """The names that differ from *name*, one of Rust's legacy mangling, in the hash alone."""
    if _THREAD_LOCAL in plain:
        return None
    head, rest = plain[:start], plain[end:]
    return _matching(name, plain, re.escape(head) + _LEGACY_HASH + re.escape(rest), head)


def _matching(name: bytes, plain: bytes, pattern: bytes, marker: bytes) -> _Family:
    """The names that match *pattern* behind what *name* has in front of its *plain* one."""
    underscore = name[: len(name) - len(plain)]

    def matches(string: bytes, begin: int) -> bool:
        return re.compile(underscore + pattern + THINLTO_SUFFIX).fullmatch(string, begin) is not None

    return _Family(name, marker, name[: len(underscore) + 2], matches)


def _parts(pattern: bytes, name: bytes) -> _Parts:
    skeleton, identifiers, position = bytearray(), [], 0
    matches = re.compile(pattern).match
    while position < len(name):
        match = matches(name, position)
        if match is None:
            end = position + 1
        else:
            end = match.end()
            length = int(match["length"] or 0)
            if length and end + length <= len(name):
                identifiers.append(name[end : end + length])
                skeleton += b"#"
                position = end + length
                continue
        skeleton += name[position:end]
        position = end
    return _Parts(bytes(skeleton), identifiers)


def _plain(name: bytes) -> bytes:
    """*name* without the underscore that Mach-O puts before mangled ones."""
    return name[1:] if name.startswith((b"__Z", b"__R")) else name
