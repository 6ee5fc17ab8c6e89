"""Variables that the host has under another name than the patch's object.

Link-time optimisation renames static variables that several files call alike, and debug information tells which is
which: such a one is the host's for certain, and so is one of C++ that is static on one side alone. rustc makes the hash
at the end of a name of the static's type as well. A variable that was renamed in the source cannot be told from a new
one beside a deleted one. These two are named, so that nobody loses what is in them without a word.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from operator import ne

from stubgen.common.text import as_text
from stubgen.image import THREAD_LOCAL_START, Candidate, Image, Kind, Variable
from stubgen.image.dwarf import occurrences
from stubgen.image.dwarf_places import places_of
from stubgen.symbols.cxx import cxx_name, is_external_cxx_name, other_linkages
from stubgen.symbols.numbering import is_merged, numbering
from stubgen.symbols.rust import crate_of, is_rust_name, legacy_hash, rust_parts
from stubgen.symbols.versions import base_name

_GCC_SUFFIX = b".lto_priv."
"""What GCC's link-time optimisation puts between a static's name and a number."""
_MERGED, _UNDERSCORE = b"_MergedGlobals", b"_"
_NUMBER = rb"(?:\.lto_priv)?\.\d+\Z"
"""What that, GCC (``count.0``) and LLVM (``calls.1``) put behind the names of static variables."""
LOST = "what the process has is lost"
_FEW = 3  # names that a reason lists


def plain_of(name: bytes) -> bytes:
    """The name of a static variable without what compilers and link-time optimisation put behind it."""
    return re.sub(_NUMBER, b"", name)


def in_family(name: bytes, other: bytes) -> bool:
    """Whether two names of static variables may be one in the source."""
    return plain_of(name) == plain_of(other)


def told_by_debug_info(
    host: Image, variables: Iterable[Variable], found: Mapping[bytes, Sequence[Candidate]]
) -> dict[bytes, Candidate]:
    """The static *variables* that link-time optimisation left in the host, and which of the host's each is.

    Args:
        host: the program; only ELF's symbols are looked at.
        variables: the patch's.
        found: what the host has under their names.
    """
    if host.format != "elf" or not host.debug_info.units:
        return {}
    placed: dict[int, list[Variable]] = {}
    for path, own in _by_file(each for each in variables if _may_be_renamed(each, found.get(each.name, ()))).items():
        places = places_of(host.debug_info, path)
        for variable in own:
            addresses = places.get(name_in_source(variable.name), set())
            if len(addresses) == 1:
                placed.setdefault(min(addresses), []).append(variable)
    there = host.variables_at(placed) if placed else []
    told = {}
    for address, claimed in placed.items():
        alike = [each for each in there if each.address == address]
        if len(alike) == len(claimed) == 1:
            name, file = claimed[0].name, claimed[0].file
            told[name] = alike[0]._replace(name=name, file=file, local=True, hidden=False)
    return told


def _may_be_renamed(variable: Variable, pool: Sequence[Candidate]) -> bool:
    """Whether it is a file's own, or was made that in the host, and the symbols name none of the host's as that."""
    if not variable.writable or variable.thread_local or b"." in variable.name or is_rust_name(variable.name):
        return False
    if not variable.defined_in.names.isdisjoint(other_linkages(variable.name)):
        return False  # in an unnamed namespace, and the file has another one outside of that
    if not variable.local:  # none of its name: it may have been static in C++
        return all(each.local and not each.hidden and not each.file for each in pool)
    return not any(each.local and not each.hidden and each.file == variable.file for each in pool)


def _by_file(variables: Iterable[Variable]) -> dict[bytes, list[Variable]]:
    """The path of a source file, as debug information has it, -> its variables."""
    found: dict[bytes, list[Variable]] = {}
    for variable in variables:
        path = variable.defined_in.image.debug_info.source_file
        if posixpath.isabs(path):
            found.setdefault(path, []).append(variable)
    return found


def name_in_source(name: bytes) -> bytes:
    """What the source calls a variable outside of functions and classes; another one's symbol."""
    parts = cxx_name(name)
    return name if parts is None or parts.scopes or parts.parameters else parts.identifier


def reasons_afresh(host: Image, new: Sequence[Variable], known: Collection[bytes]) -> Iterator[tuple[Variable, str]]:
    """Those of *new* that may be what the host has under another name, and why they start afresh.

    Args:
        host: the program.
        new: variables of the patch that the host has not under their names.
        known: the names that the patch's objects define or use.
    """
    gone: dict[tuple[bytes, bytes], list[bytes]] = {}
    files: dict[tuple[bytes, bytes], list[Candidate]] = {}
    by_gcc = _renamed_by_gcc(host) if any(each.local and not is_rust_name(each.name) for each in new) else {}
    merged = _merged(host) if any(each.local for each in new) else []
    for variable in new:
        if reason := _reason_merged(variable, merged):
            yield variable, reason
            continue
        if is_rust_name(variable.name):
            reason = _hashed_otherwise(host, variable, known) or _renamed_item(host, variable, known)
        else:
            key = variable.file, variable.defined_in.image.debug_info.source_file
            if key not in gone:
                files[key] = host.variables_of(*key)
                there = (each.name for each in files[key] if _is_gone(each, known))
                gone[key] = list(dict.fromkeys(there))  # a dSYM has the host's symbols once more
            reason = _renamed(variable, gone[key], by_gcc) or _renamed_numbered(variable, files[key], known)
        if reason:
            yield variable, reason


def called_otherwise(image: Image, variable: Variable, known: Collection[bytes]) -> list[bytes]:
    """What *image*, an earlier patch that has the file of *variable* and not the variable, may call it.

    Args:
        image: the earlier patch.
        variable: the patch's, which the host has under its name.
        known: the names that the patch's objects define or use.
    """
    if is_rust_name(variable.name):
        return _with_another_hash(image, variable, known)
    path = variable.defined_in.image.debug_info.source_file
    return [each.name for each in image.variables_of(variable.file, path) if _is_gone(each, known)]


def _merged(host: Image) -> list[Candidate]:
    """What LLVM made of several of *host*'s static variables, where those have no names beside it, as on Mach-O."""
    if host.format != "macho":
        return []
    names = {name for name in host.names_with([_MERGED]) if is_merged(name.removeprefix(_UNDERSCORE))}
    return [host.in_its_file(each) for pool in host.find(names).values() for each in pool] if names else []


def _reason_merged(variable: Variable, merged: Sequence[Candidate]) -> str:
    """Why one of *merged* may hold a static *variable* that the host has not by its name; empty for none of them."""
    near = {each.name for each in merged if not variable.file or each.file in (variable.file, b"")}
    if not near or not variable.local or variable.thread_local:
        return ""
    told = _listed(sorted(near))
    return f"the host may have it in {told}, several variables under one name; compile the host with -mno-global-merge"


def _hashed_otherwise(host: Image, variable: Variable, known: Collection[bytes]) -> str:
    if _with_another_hash(host, variable, known):
        return "the host's has another hash at the end of its name, as where its type was another one"
    return ""


def _renamed_item(host: Image, variable: Variable, known: Collection[bytes]) -> str:
    """What the host has instead of a static of rustc's: items whose names differ in a single identifier."""
    if numbering(variable.name):
        return ""
    parts = rust_parts(variable.name)
    alike = {name for name in host.names_with([crate_of(parts)]) if _differs_once(parts, name)}
    kind = Kind.THREAD_LOCAL if variable.thread_local else Kind.DATA
    taken = {rust_parts(name) for name in known}
    found = host.find({name for name in alike if rust_parts(name) not in taken})
    gone = sorted(
        name for name, pool in found.items() if any(each.kind is kind and _is_gone(each, known) for each in pool)
    )
    if not gone:
        return ""
    return f"it is new in its crate, and gone from there is {_listed(gone)}: if it was called so, {LOST}"


def _differs_once(parts: Sequence[bytes], name: bytes) -> bool:
    """Whether *name* is one of rustc's that differs from another one's *parts* in a single one."""
    if sum(part not in name for part in parts) > 1:  # to take all names apart takes longer
        return False
    others = rust_parts(name)
    return len(others) == len(parts) and sum(map(ne, others, parts)) == 1


def _with_another_hash(image: Image, variable: Variable, known: Collection[bytes]) -> list[bytes]:
    """What *image* calls as *variable* but for the hash, less what the patch has by that very name.

    ``thread_local!`` with ``const`` makes two statics of one name and of other types, of which links leave one out.
    """
    digest = legacy_hash(variable.name)
    if digest is None:
        return []
    head, rest = variable.name[: digest[0]], variable.name[digest[1] :]
    alike = (name for name in image.names_with([head]) if name.startswith(head) and legacy_hash(name) == digest)
    others = (name for name in alike if name[digest[1] :] == rest and name != variable.name)
    return [name for name in others if name not in known]


_MADE = (b"$", b"DW.ref.")
"""How names of data begin that nobody wrote: mapping symbols, and what GCC and clang reach personality routines and
caught types by."""


def _is_gone(candidate: Candidate, known: Collection[bytes]) -> bool:
    """Whether somebody wrote the host's variable, and the patch has none of that name."""
    name = base_name(candidate.name).removesuffix(THREAD_LOCAL_START).partition(_GCC_SUFFIX)[0]
    shared = is_external_cxx_name(name) and not is_rust_name(name)
    written = not name.startswith(_MADE) and not numbering(name) and not shared
    return candidate.writable and written and name not in known


def _renamed_by_gcc(host: Image) -> dict[bytes, list[bytes]]:
    """Name of a static -> what GCC's link-time optimisation calls those of that name in *host*."""
    found: dict[bytes, list[bytes]] = {}
    for name in host.names_with([_GCC_SUFFIX]):
        for at in occurrences(name, _GCC_SUFFIX):
            found.setdefault(name[:at], []).append(name)
    return found


def _renamed(variable: Variable, gone: Sequence[bytes], by_gcc: Mapping[bytes, Sequence[bytes]]) -> str:
    """What the host, or its file, has instead of a variable of the patch's."""
    alike = by_gcc.get(variable.name, ()) if variable.local else ()
    if alike:
        listed = " or ".join(map(as_text, alike))
        return f"link-time optimisation renamed the host's, {listed}; compile host and patch with -g"
    if not gone or numbering(variable.name):
        return ""
    return _new_beside(variable, gone)


def _renamed_numbered(variable: Variable, there: Sequence[Candidate], known: Collection[bytes]) -> str:
    """Likewise of one with a number, such as each static of a C function of GCC's, less the numbers.

    Args:
        variable: the patch's.
        there: what the host has of its file.
        known: as for :func:`reasons_afresh`.
    """
    plain = _less_number(variable.name)
    if not plain or any(_less_number(each.name) == plain for each in there):
        return ""
    kept = {_less_number(name) for name in known}
    gone = dict.fromkeys(
        each.name for each in there if each.writable and _less_number(each.name) and _less_number(each.name) not in kept
    )
    return _new_beside(variable, [*gone]) if gone else ""


def _less_number(name: bytes) -> bytes:
    """What is in front of the number of a static variable's *name*; empty where a number is not all that was added."""
    plain = re.sub(rb"\.\d+\Z", b"", name)
    made = plain.startswith(_MADE) or plain.endswith((b".llvm", b".lto_priv")) or is_rust_name(name)
    return b"" if plain == name or made or numbering(plain) or is_external_cxx_name(plain) else plain


def _new_beside(variable: Variable, gone: Sequence[bytes]) -> str:
    file = as_text(posixpath.basename(variable.file)) or "its file"
    return f"it is new in {file}, and gone from there is {_listed(gone)}: if it was called so, {LOST}"


def _listed(names: Sequence[bytes]) -> str:
    return ", ".join(map(as_text, names[:_FEW])) + (f" and {len(names) - _FEW} more" if names[_FEW:] else "")
