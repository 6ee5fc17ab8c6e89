"""Names that C++ compilers mangle (Itanium C++ ABI 5.1)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from stubgen.common.row import Row

_INTERNAL = rb"_GLOBAL__N_|L_?Z|L\d|U[lt]|\$_"
"""Unnamed namespaces, what has internal linkage or is named by such (5.1.2, ``L``), lambdas and unnamed types."""
_UNNAMED = b"_GLOBAL__N_1"
"""What GCC and clang call an unnamed namespace."""
_LENGTH = rb"[1-9]\d{0,8}"
_IDENTIFIER = rb"[A-Za-z]\w*"
_SUBSTITUTION = rb"S([0-9A-Z]*)_"
"""5.1.10: its number, to base 36 and one less, counts what stands in front of it, scopes first."""

_CALL_OFFSET = rb"(?:hn?\d+_|vn?\d+_n?\d+_)"
_THUNK = re.compile(rb"(_?_Z)T(?:%s|c%s%s)(?=[NL\d])" % (_CALL_OFFSET, _CALL_OFFSET, _CALL_OFFSET))
"""5.1.4.3: how far ``this`` is corrected, and the result as well where it is another class's (``c``)."""


class CxxName(Row):
    """The name of a variable or function that is a member of namespaces or classes, or of none."""

    scopes: tuple[bytes, ...]
    """Identifiers of what it is in, the outermost first, unnamed namespaces left out."""
    identifier: bytes
    parameters: bytes
    """What stands behind the name: a function's parameters; nothing for a variable."""


def is_external_cxx_name(name: bytes) -> bool:
    """Whether *name* has external linkage: a program has one such function (ODR), however often it was compiled."""
    return re.match(rb"__?Z", name) is not None and re.search(_INTERNAL, name[2:]) is None and b"_ZL" not in name


def function_of_thunk(name: bytes) -> bytes:
    """The virtual function to which the thunk *name* leads, with Mach-O's underscore if that has it; else nothing."""
    found = _THUNK.match(name)
    return found[1] + name[found.end() :] if found else b""


def cxx_name(name: bytes) -> CxxName | None:
    """*name* taken apart, whatever its linkage; None for templates, operators and what is in a function.

    A variable outside of namespaces that all files see is not mangled (5.1.1): such a name may be C's as well.
    """
    nested = name.startswith(b"_ZN")
    if not name.startswith(b"_Z"):
        return CxxName((), name, b"") if re.fullmatch(_IDENTIFIER, name) else None
    position, identifiers, length = 3 if nested else 2, [], re.compile(_LENGTH).match
    while True:
        static = name.startswith(b"L", position)
        size = length(name, position + static)
        if size is None:
            break
        position = size.end() + int(size[0])
        identifiers.append(name[size.end() : position])
        if static or not nested:
            break
    if not identifiers or position > len(name) or (nested and not name.startswith(b"E", position)):
        return None
    parameters = name[position + nested :]
    if parameters.startswith((b"I", b"B")) or (not nested and not parameters and not name.startswith(b"_ZL")):
        return None
    scopes = tuple(scope for scope in identifiers[:-1] if scope != _UNNAMED)
    return CxxName(scopes, identifiers[-1], parameters)


class FunctionStatic(Row):
    """The name of a static of a function (5.1.6, ``local-name``)."""

    function: tuple[bytes, ...]
    """Identifiers of what the function is in, and its own."""
    parameters: bytes
    """The function's, with what else stands behind its name."""
    identifier: bytes


def function_static(name: bytes) -> FunctionStatic | None:
    """*name* taken apart; None for all others, and for statics of templates, operators and constructors."""
    end = (
        re.fullmatch(rb"_Z(Z.*)E(%s)([A-Za-z_]\w*?)(_\d?|__\d+_)?" % _LENGTH, name) if name.startswith(b"_ZZ") else None
    )
    around = None if end is None else cxx_name(re.sub(rb"^_ZN[rVK]+", b"_ZN", b"_" + end[1]))
    if end is None or around is None or not around.parameters:
        return None
    length = int(end[2])
    rest = name[end.start(3) :]
    if length > len(rest) or re.fullmatch(rb"|_\d|__\d+_", rest[length:]) is None:
        return None
    return FunctionStatic((*around.scopes, around.identifier), around.parameters, rest[:length])


def other_linkages(name: bytes) -> frozenset[bytes]:
    """What the variable or function called *name* is called where its linkage is another one.

    All files see it, or it is static, or in an unnamed namespace. Nothing for names that :func:`cxx_name` leaves out.
    """
    parts = cxx_name(name)
    if parts is None:
        return frozenset()
    scopes, identifier, parameters = parts
    spelled = {_spelled(scopes, identifier, parameters, static=static) for static in (False, True)}
    numbers = [int(digits or b"0", 36) + bool(digits) for digits in re.findall(_SUBSTITUTION, parameters)]
    places = [(*scopes, _UNNAMED)] if all(number < len(scopes) for number in numbers) else []
    places += [] if numbers else [(_UNNAMED, *scopes)]
    spelled |= {_spelled(each, identifier, parameters, static=static) for each in places for static in (False, True)}
    return frozenset(spelled - {name} if name in spelled else ())


def relinked_function(name: bytes) -> frozenset[bytes]:
    """:func:`other_linkages` of a function, with Mach-O's underscore if *name* has it; nothing for C's, which stay."""
    prefix = b"_" if name.startswith(b"__Z") else b""
    if not name.startswith(prefix + b"_Z"):
        return frozenset()
    return frozenset(prefix + other for other in other_linkages(name.removeprefix(prefix)))


def _spelled(scopes: Sequence[bytes], identifier: bytes, parameters: bytes, *, static: bool) -> bytes:
    mark = b"L" if static else b""
    if scopes:
        around = b"".join(b"%d%s" % (len(scope), scope) for scope in scopes)
        return b"_ZN%s%s%d%sE%s" % (around, mark, len(identifier), identifier, parameters)
    if not static and not parameters:
        return identifier
    return b"_Z%s%d%s%s" % (mark, len(identifier), identifier, parameters)
