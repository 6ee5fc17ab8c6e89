"""What an account says against a patch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from stubgen.common.aarch64 import IMMEDIATE_AT, IMMEDIATE_LIMIT, LOAD, REGISTERS
from stubgen.common.columns import column
from stubgen.common.text import as_text, counted
from stubgen.finding import Finding
from stubgen.image import Candidate, Kind
from stubgen.origin.account import Account, Definition, Initializer
from stubgen.origin.sources import Origin, Source
from stubgen.stub.find import Stub

FOREIGN = frozenset({Source.MEMBER, Source.OTHER})
"""Neither the patch's own nor in every image by design."""
HARMLESS = frozenset({Source.LINKER, Source.START_UP, Source.RUNTIME})
"""What each image has of its own, as its makers meant it."""
OWN = frozenset({Source.OBJECT, Source.BORROWED, Source.UNTOLD})
UNKNOWN = frozenset({Source.UNKNOWN})
SHOWN = 8
"""Names that a sentence lists before it counts the rest."""


def origin_findings(
    account: Account, in_host: Mapping[bytes, Sequence[Candidate]], stubs: Sequence[Stub], slide: int | None
) -> Iterator[Finding]:
    """Whether everything in the patch is there for a known reason, and nothing of the host's is there twice.

    Args:
        account: the patch's.
        in_host: name -> what the host has of it.
        stubs: the trampolines that were decoded in the patch.
        slide: what was added to the host's addresses in them; None if nobody knows.
    """
    if not account.named:
        message = "its symbol table is stripped: nothing says where what it defines comes from"
        yield Finding("origin", True, message, note=True)
        return
    problems = [
        *_overridden(account),
        *_second_copies(account),
        *_dead_stubs(account, stubs, in_host, slide),
        *_without_origin(account),
        *_without_code(account),
    ]
    yield from problems
    if not problems:
        yield Finding("origin", True, _summary(account))


def constructor_findings(account: Account) -> Iterator[Finding]:
    """What runs when the patch is loaded or unloaded."""
    for item in account.initializers:
        name = as_text(item.name) or f"the function at {item.constructor.address:#x}"
        names = (as_text(item.name),) if item.name else ()
        source, when = item.origin.source, "unloaded" if item.constructor.at_end else "loaded"
        if source is Source.STUB:
            message = f"the host's {name} would run again when the patch is {when}"
            yield Finding("constructors", False, message, names)
        elif source in FOREIGN:
            message = f"{name} of {item.origin} would run when the patch is {when}; it is not the patch's own"
            yield Finding("constructors", False, message, names)
        elif source in UNKNOWN:
            message = f"{name} would run when the patch is {when}, and has no known origin"
            yield Finding("constructors", False, message, names)
        elif source in OWN and not item.constructor.at_end and not _sets_up_streams_alone(account, item):
            of = "" if source is Source.UNTOLD else f" of {item.origin}"
            message = f"{name}{of} runs when the patch is loaded"
            yield Finding("constructors", True, message, names, note=True)


def _sets_up_streams_alone(account: Account, item: Initializer) -> bool:
    """Whether a C++ file's initialiser does nothing but what ``<iostream>`` has each file do first."""
    found = [each for each in account.inputs.files if each.origin == item.origin]
    if len(found) != 1 or not item.name.startswith(_OF_FILE):
        return False
    from stubgen.compare import object_parts

    image = found[0].original or found[0].image
    (parts,) = object_parts([image])
    known = {b"_" + name if image.format == "macho" else name for name in _OF_STREAMS}
    waiting = [part for part in parts.functions() if item.name in part.names]
    seen, names = set(waiting), set[bytes]()
    while waiting:
        part = waiting.pop()
        uses = parts.uses(part)
        if uses is None or _acts(parts.content(part)):
            return False
        for use in uses:
            target = use.target.part
            if target is not None and target.sort is part.sort:
                waiting += {target} - seen
                seen.add(target)
            else:
                names.update((target.names or (b"",)) if target is not None else (use.target.name,))
    return bool(names) and names <= known


def _acts(code: memoryview) -> bool:
    """Whether *code* does more than change its frame and call: stores elsewhere, or has the system do something.

    With ``-O3`` clang reaches a file's variables from another one's address.
    """
    for word in column("I", code[: len(code) & ~3]):
        is_access = word & _ACCESS_MASK == _ACCESS
        if is_access and word >> 5 & 0x1F not in _FRAME and word & ~_ADDRESSED != LOAD:
            return True
        if word >> 24 == _EXCEPTION or (word & _SYSTEM_MASK == _SYSTEM and word & ~_HINTS != _NOP):
            return True
    return False


_ACCESS, _ACCESS_MASK = 0x08000000, 0x0A000000  # loads and stores (Arm ARM C4.1)
_ADDRESSED = REGISTERS | IMMEDIATE_LIMIT - 1 << IMMEDIATE_AT
_FRAME = (29, 31)  # x29 and sp
_EXCEPTION = 0xD4  # svc and its kin
_SYSTEM, _SYSTEM_MASK = 0xD5000000, 0xFF200000  # msr, barriers, maintenance, hints; mrs, which reads alone, is none
_NOP, _HINTS = 0xD503201F, 0xFE0  # of which bti, paciasp and autiasp are
_OF_FILE = (b"_GLOBAL__sub_I_", b"__GLOBAL__sub_I_")
"""How compilers call what sets up a file's variables."""
_OF_STREAMS = frozenset(
    {
        *(b"_ZStL8__ioinit", b"_ZNSt8ios_base4InitC1Ev", b"_ZNSt8ios_base4InitD1Ev"),
        *(b"__cxa_atexit", b"__dso_handle"),
    }
)
"""What that refers to where the file has streams alone to set up ([ios::Init])."""


def _overridden(account: Account) -> Iterator[Finding]:
    """Names that have a stub and mean something else: a strong definition beat the weak one."""
    stubbed = _stub_names(account)
    for definition in account.definitions:
        source = definition.origin.source
        if definition.symbol.static or source is Source.STUB or definition.symbol.name not in stubbed:
            continue
        if source in HARMLESS:
            continue
        name = as_text(definition.name)
        message = f"{name} has a stub, but in the patch it is {_whose(definition)}, and the host's is not reached"
        yield Finding("origin", False, message, (name,))


def _whose(definition: Definition) -> str:
    source = definition.origin.source
    place = f"at {definition.symbol.address:#x}"
    return f"of unknown origin, {place}" if source is Source.UNKNOWN else f"that of {definition.origin}, {place}"


def _stub_names(account: Account) -> set[bytes]:
    """The names of the stub object's functions, as it spells them."""
    return {
        symbol.name
        for item in account.inputs.files
        if item.source is Source.STUB
        for symbol in item.symbols
        if symbol.kind is Kind.FUNCTION
    }


def _second_copies(account: Account) -> Iterator[Finding]:
    """What the host has and an archive or a foreign object defines anew."""
    stubbed = _stub_names(account)
    copies: dict[Origin, list[Definition]] = {}
    for definition in account.definitions:
        if definition.origin.source in FOREIGN and definition.symbol.name not in stubbed and _is_the_hosts(definition):
            copies.setdefault(definition.origin, []).append(definition)
    for origin, definitions in copies.items():
        names = list(dict.fromkeys(as_text(definition.name) for definition in definitions))
        message = f"{origin} brings {_listed(names)}, which the host has: the patch would work on a second copy"
        yield Finding("origin", False, message, tuple(names))


def _is_the_hosts(definition: Definition) -> bool:
    """Whether the host has the very thing that an archive's member defines too.

    A name that only its own file sees is the host's where file, kind and size are the same: another static of the same
    name is nobody's business, and a constant has no state. What other objects see is the host's also where the host
    has it as local, as mold makes everything in a program that is not exported.
    """
    symbol = definition.symbol
    for candidate in definition.host:
        if candidate.kind in (Kind.IMPORT, Kind.ABSOLUTE):
            continue
        same = candidate.kind is symbol.kind
        if symbol.static:
            state = symbol.writable and candidate.writable and symbol.kind in (Kind.DATA, Kind.THREAD_LOCAL)
            if (
                state
                and same
                and candidate.size == symbol.size
                and candidate.local
                and symbol.file
                and candidate.file == symbol.file
            ):
                return True
        elif not candidate.local or same:
            return True
    return False


def _dead_stubs(
    account: Account, stubs: Sequence[Stub], in_host: Mapping[bytes, Sequence[Candidate]], slide: int | None
) -> Iterator[Finding]:
    """Stubs without a name, where another definition has the name that they were made for."""
    if slide is None or any(item.source is Source.STUB for item in account.inputs.files):
        return  # the stub object itself tells
    nameless = {stub.target - slide: stub for stub in stubs if not stub.name}
    for definition in account.definitions if nameless else ():
        if definition.symbol.static:
            continue
        for candidate in in_host.get(definition.name, ()):
            stub = nameless.get(candidate.address)
            if stub is not None and candidate.kind is Kind.FUNCTION:
                name = as_text(definition.name)
                message = f"the stub at {stub.address:#x} is dead code: in the patch {name} is {_whose(definition)}"
                yield Finding("origin", False, message, (name,))
                break


def _without_origin(account: Account) -> Iterator[Finding]:
    unknown = [d for d in account.definitions if d.origin.source in UNKNOWN]
    names, told = [as_text(d.name) for d in unknown], {d.symbol.section for d in unknown}
    advice = "" if account.mapped else "; where link took it from an archive, give its bound copies (--bound-dir)"
    if names:
        message = f"nothing says where {_listed(names)} {'comes' if len(names) == 1 else 'come'} from{advice}"
        yield Finding("origin", False, message, tuple(names))
    for section in account.sections:
        size = sum(share.size for share in section.shares if share.origin.source in UNKNOWN)
        if size and section.name not in told:
            message = f"nothing says where {counted(size, 'byte')} of section {section.name} come from{advice}"
            yield Finding("origin", False, message)


def _without_code(account: Account) -> Iterator[Finding]:
    """Objects of which nothing is in the patch, although something must be: what they export is linked or lost."""
    present = {definition.origin for definition in account.definitions}
    present |= {share.origin for section in account.sections for share in section.shares if share.size}
    objects = [item for item in account.inputs.files if item.source is Source.OBJECT]
    absent = [
        item.name
        for item in objects
        if item.origin not in present
        and any(s.kind is Kind.FUNCTION and s.exported and not s.weak for s in item.symbols)
    ]
    if absent and len(absent) == len(objects):
        yield Finding("origin", False, f"nothing of {_listed(absent)} is in the patch: it has no code of its own")
    elif absent:
        yield Finding("origin", False, f"nothing of {_listed(absent)} is in the patch")
    elif not objects and account.definitions:
        own = any(d.origin.source is Source.UNTOLD for d in account.definitions)
        if not own:
            yield Finding("origin", False, "it defines nothing but stubs and what every image has: no code of its own")


def _summary(account: Account) -> str:
    counts = Counter(definition.origin.source for definition in account.definitions)
    parts = [f"{_TITLES.get(source, source.value)} {number}" for source, number in counts.most_common()]
    return f"{counted(len(account.definitions), 'definition')}: {', '.join(parts)}"


_TITLES = {Source.OBJECT: "its objects", Source.STUB: "stubs", Source.UNTOLD: "its objects or archives"}


def _listed(names: Sequence[str]) -> str:
    """The first *names*, and how many more there are."""
    shown = ", ".join(names[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"
