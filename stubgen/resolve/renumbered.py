"""Statics whose names differ from the host's in what compilers add: a number, or the parameters of their function.

``n.1`` may be the host's ``n.0``, LLVM's ``s.0`` is a part of ``s``, and the static of ``f(long)`` that of ``f(int)``.
Where nothing tells, each begins anew, and is named, so that nobody loses without a word what the process has.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from stubgen.common.text import as_text
from stubgen.image import Candidate, Kind, Variable
from stubgen.resolve.other_forms import is_the_same
from stubgen.resolve.same_file import Files
from stubgen.symbols.cxx import function_static
from stubgen.symbols.rust import is_rust_name

_NUMBERED = re.compile(rb"(?P<base>[A-Za-z_$][\w$.]*?)(?:\.\d+)*")
NUMBERED = "compilers number such names anew in each build, and nothing tells whether it is the host's {}"
OF_OTHER_PARAMETERS = "its function has other parameters than in the host, which calls it {}"


def reasons_of_another_number(
    files: Files, new: Sequence[Variable], known: Collection[bytes], kept: Mapping[bytes, Candidate]
) -> Iterator[tuple[Variable, str]]:
    """Those of *new* that the host may have under another number, or in a function of other parameters, and why.

    Args:
        files: the host's.
        new: variables of the patch that the host has not under their names.
        known: the names that the patch's objects define or use.
        kept: which of the host's variables others of the patch are.
    """
    told = {each.name: key for each in new if (each.local or each.hidden) and (key := _key(each.name))}
    if not told:
        return
    host = files.host
    wanted, markers = frozenset(told.values()), list(dict.fromkeys(map(_marker, told.values())))
    alike: dict[tuple[bytes, ...], list[bytes]] = {}
    plain = {key[0] for key in wanted if len(key) == 1}
    for name in dict.fromkeys((*plain, *host.names_with(markers))):
        if (name not in known or _is_numbered(name)) and (key := _key(name)) in wanted:
            alike.setdefault(key, []).append(name)
    found = host.find({name for names in alike.values() for name in names})
    taken = {each.address for each in kept.values()}
    for variable in new:
        key = told.get(variable.name, ())
        kind = Kind.THREAD_LOCAL if variable.thread_local else Kind.DATA
        names = [
            name
            for name in alike.get(key, ())
            for each in found.get(name, ())
            if each.name == name and each.kind is kind and each.writable and each.address not in taken
            if name not in known or _is_numbered(variable.name)
            if each.local and is_the_same(files, variable.defined_in.image, each)
        ]
        if names:
            reason = OF_OTHER_PARAMETERS if _is_of_other_parameters(variable.name, names) else NUMBERED
            yield variable, reason.format(" or ".join(map(as_text, dict.fromkeys(sorted(names)))))


def _key(name: bytes) -> tuple[bytes, ...]:
    """What stays of a static's name in each build; empty for names without a number and a function."""
    if is_rust_name(name):
        return ()
    plain = name[1:] if name.startswith(b"__Z") else name
    static = function_static(plain)
    if static is not None:
        return (*static.function, static.identifier)
    match = _NUMBERED.fullmatch(name)
    return () if match is None or name.startswith((b"_Z", b"__Z")) else (match["base"],)


def _marker(key: tuple[bytes, ...]) -> bytes:
    """What all names of *key* have in them, but for that of a plain one without a number."""
    return key[0] + b"." if len(key) == 1 else b"E%d%s" % (len(key[-1]), key[-1])


def _is_numbered(name: bytes) -> bool:
    """Whether it is one of a family, so that the patch's of that name may be another one."""
    return re.search(rb"\.\d+$", name) is not None


def _is_of_other_parameters(name: bytes, others: Sequence[bytes]) -> bool:
    own = function_static(name.removeprefix(b"_") if name.startswith(b"__Z") else name)
    if own is None:
        return False
    theirs = (function_static(each[1:] if each.startswith(b"__Z") else each) for each in others)
    return any(each is not None and each.parameters != own.parameters for each in theirs)
