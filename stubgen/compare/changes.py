"""What an edit changed: each function of the patch's objects, and whether it leads to what has changed.

A function is unchanged where the host has it, by its bytes and by what its relocated fields mean, at one of the places
where it has that function. Who calls it need not be sent to the patch, unless it calls something there that changed, or
uses a variable of which the patch has its own: what one of them writes, the other would not read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from enum import Enum

from stubgen.common.row import Row
from stubgen.common.text import as_text
from stubgen.compare import host_places, object_parts
from stubgen.compare.equality import Equality
from stubgen.compare.parts import HostPlaces, ObjectParts, Part, Sort
from stubgen.compare.removed import find_removed
from stubgen.image import Image
from stubgen.symbols.cxx import is_external_cxx_name
from stubgen.symbols.rust import is_rust_name
from stubgen.symbols.versions import is_part

LOCAL_ALIAS = ".localalias"
"""What GCC calls by another name where it binds a library's calls to the file's own global function."""

NO_TWINS: Mapping[str, Image] = {}
REMOVED = "the host has it of this file, and the object has it no more"
MAPPED = "the host has none of that name"
BY_NAME = "nothing but its name says that the host's is this one"


class Change(Enum):
    """What became of a function."""

    ADDED = "added"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REMOVED = "removed"
    UNDECIDED = "undecided"  # nobody can tell which of the host's it is, so it counts as changed


class FunctionChange(Row):
    """A function of the patch's objects, or of the host's that one of them has no more."""

    names: tuple[str, ...]
    object: str
    change: Change
    reason: str  # what differs first, or why nobody can tell; empty for an unchanged one
    leads_to_change: bool
    """It is unchanged, and leads to what is not, or to a variable of the patch's own, however indirectly."""
    pointed_to_by: tuple[str, ...] = ()
    """The variables kept as the host's that begin with its address: what calls it through them calls the host's."""

    @property
    def is_needed(self) -> bool:
        """Whether code that calls the host's has to be sent to the patch's for the edit to take effect."""
        return self.change not in (Change.UNCHANGED, Change.REMOVED) or self.leads_to_change


class Known(Row):
    """What is known of where the host has a function."""

    addresses: Sequence[int] = ()  # static
    doubt: str = ""  # why nobody can tell


def find_changes(
    objects: Sequence[tuple[str, Image]],
    host: Image,
    known: Callable[[str, bytes], Known],
    kept: Collection[bytes] = (),
    elsewhere: Collection[bytes] = (),
    as_built: Mapping[str, Image] = NO_TWINS,
) -> list[FunctionChange]:
    """What became of each function of *objects*, in their order, and then what their files no longer have.

    Args:
        objects: name and image of each, as the compiler wrote it.
        host: the program.
        known: an object and the name of a function in it -> where the host has it.
        kept: the names of the variables of *objects* that the patch uses in the host; all others are its own.
        elsewhere: the names that mean something else in the patch than in the host: what an earlier patch replaced.
        as_built: an object's name -> what the host's own options make of the same source. Options of the patch's, such
            as ``-fPIC`` where the host has ``-fPIE``, make other instructions of a function that nobody edited.

    Raises:
        MalformedInput: an object or the host is broken.
    """
    parts = object_parts([image for _, image in objects])
    places = host_places(host)
    functions = [
        (number, part)
        for number, each in enumerate(parts)
        for part in each.functions()
        if not all(map(is_part, part.names))
    ]
    places.learn({name for each in parts for name in each.names()})
    equality = Equality(parts, places)
    found: dict[Part, FunctionChange] = {}
    for number, part in functions:
        title = objects[number][0]
        verdicts = [known(title, name) for name in part.names]
        change, reason = _judge(part, verdicts, equality)
        found[part] = FunctionChange(_names(part), title, change, reason, leads_to_change=False)
    twins = _Twins(as_built, places, known)
    for part, row in found.items():
        if row.change in (Change.CHANGED, Change.UNDECIDED) and twins.are_unchanged(row):
            found[part] = row._replace(change=Change.UNCHANGED, reason="")
    changed = [part for part, row in found.items() if row.change is not Change.UNCHANGED]
    own = [part for each in parts for part in _variables(each) if not any(name in kept for name in part.names)]
    users = _users(parts)
    edited = [part for part in _seen_elsewhere(users) if _is_edited(part, places, equality)]
    elsewhere = {*elsewhere, *(name for each in parts for name in each.commons() if name not in kept)}
    others = [part for part in _reached(parts) if _uses(part, parts[part.object], elsewhere)] if elsewhere else []
    for part in [*others, *_leading_to([*changed, *own, *edited, *others], users)]:
        if part in found and found[part].change is Change.UNCHANGED:
            found[part] = found[part]._replace(leads_to_change=True)
    for part, row in found.items():
        if row.change is Change.UNCHANGED and twins.lead_to_change(row):
            found[part] = row._replace(leads_to_change=True)
    for target, names in _pointed_to(parts, kept).items():
        if target in found and found[target].is_needed:
            found[target] = found[target]._replace(pointed_to_by=tuple(sorted(names)))
    gone = [
        FunctionChange((as_text(row.name),), row.object, Change.REMOVED, REMOVED, leads_to_change=False)
        for row in find_removed(objects, host)
    ]
    return [*found.values(), *gone]


def is_any_pointed_to(objects: Sequence[tuple[str, Image]], kept: Collection[bytes]) -> bool:
    """Whether a variable called one of *kept* begins with the address of a function of *objects*."""
    parts = object_parts([image for _, image in objects]) if kept else []
    return any(target.sort is Sort.FUNCTION for target in _pointed_to(parts, kept))


def _names(part: Part) -> tuple[str, ...]:
    """What a function is called, with what the source calls it in front."""
    return tuple(sorted(map(as_text, part.names), key=lambda name: LOCAL_ALIAS in name))


class _Twins:
    """The objects that the host's own options make of the patch's sources.

    One of their functions that the host has is what the source says by now, whatever other options make of it. What it
    calls here is asked too: where the patch's copy has something inlined, the host's may call it.
    """

    def __init__(self, images: Mapping[str, Image], places: HostPlaces, known: Callable[[str, bytes], Known]) -> None:
        titles, parts = list(images), object_parts(list(images.values()))
        places.learn({name for each in parts for name in each.names()})
        equality = Equality(parts, places)
        functions = [part for each in parts for part in each.functions() if not all(map(is_part, part.names))]
        self._unchanged: set[tuple[str, str]] = set()
        self._all: set[tuple[str, str]] = set()
        changed = []
        for part in functions:
            title = titles[part.object]
            verdicts = [_everywhere(title, name, places, known) for name in part.names]
            rows = {(title, as_text(name)) for name in part.names}
            self._all |= rows
            if _judge(part, verdicts, equality)[0] is Change.UNCHANGED:
                self._unchanged |= rows
            else:
                changed.append(part)
        # LLVM merges no constants: a virtual table's place is the one that an instruction says
        exact = [number for number, image in enumerate(images.values()) if image.compiled_by_llvm]
        leading = _leading_to(changed, _users(parts, exact)) if changed else set()
        self._leading = {(titles[part.object], as_text(name)) for part in leading for name in part.names}

    def are_unchanged(self, row: FunctionChange) -> bool:
        """Whether the host has the function of *row*, and its source is as it was."""
        own = self._all.intersection((row.object, name) for name in row.names)
        return bool(own) and own <= self._unchanged

    def lead_to_change(self, row: FunctionChange) -> bool:
        """Whether the host's leads to what has changed."""
        return any((row.object, name) in self._leading for name in row.names)


def _everywhere(title: str, name: bytes, places: HostPlaces, known: Callable[[str, bytes], Known]) -> Known:
    """Where the host has a function: where it is the patch's, or else, of one that the patch lacks, by its name."""
    found = known(title, name)
    return found if found.addresses else Known([address for address, _ in places.addresses(name)], BY_NAME)


def _pointed_to(parts: Sequence[ObjectParts], kept: Collection[bytes]) -> dict[Part, set[str]]:
    """What the variables called *kept* refer to -> their names."""
    found: dict[Part, set[str]] = {}
    homes = _homes(parts) if kept else {}
    for each in parts if kept else ():
        for part in _variables(each):
            if any(name in kept for name in part.names):
                for target in _targets(part, each, homes):
                    found.setdefault(target, set()).update(map(as_text, part.names))
    return found


def _variables(each: ObjectParts) -> list[Part]:
    """The variables of an object; of a Mach-O thread-local the descriptor, through which all code reaches it."""
    found = [part for part in each.all() if part.sort in (Sort.VARIABLE, Sort.THREAD_LOCAL)]
    templates = {each.initial_value(part) for part in found if each.initial_value(part) != part}
    return [part for part in found if part not in templates]


def _judge(part: Part, verdicts: Sequence[Known], equality: Equality) -> tuple[Change, str]:
    addresses = sorted({address for known in verdicts for address in known.addresses})
    differences = [equality.difference(part, address) for address in addresses]
    doubt = next((known.doubt for known in verdicts if known.doubt), "")
    may_be_another = doubt and any(differences) and not any(map(_is_one_by_name, part.names))
    if "" in differences and not may_be_another:
        return Change.UNCHANGED, ""
    if doubt:
        return Change.UNDECIDED, doubt
    return (Change.CHANGED, differences[0]) if differences else (Change.ADDED, MAPPED)


def _is_one_by_name(name: bytes) -> bool:
    """Whether all of the host's functions of that name are copies of one."""
    return is_rust_name(name) or is_external_cxx_name(name)


def _uses(part: Part, each: ObjectParts, names: Collection[bytes]) -> bool:
    """Whether *part* refers to one of *names*, which its object leaves undefined."""
    return any(use.target.part is None and use.target.name in names for use in each.uses(part) or ())


def _users(parts: Sequence[ObjectParts], exact: Collection[int] = ()) -> dict[Part, list[Part]]:
    """What functions refer to, however indirectly -> what refers to it.

    The objects with the numbers *exact* reach nothing by its distance from something else.
    """
    found: dict[Part, list[Part]] = {}
    homes = _homes(parts)
    for part in _reached(parts, exact):
        for target in _targets(part, parts[part.object], homes, exact=part.object in exact):
            found.setdefault(target, []).append(part)
    return found


def _leading_to(changed: Iterable[Part], users: Mapping[Part, Sequence[Part]]) -> set[Part]:
    """What calls or refers to one of *changed*, however indirectly."""
    found: set[Part] = set()
    waiting = list(changed)
    while waiting:
        for user in users.get(waiting.pop(), ()):
            if user not in found:
                found.add(user)
                waiting.append(user)
    return found


def _seen_elsewhere(users: Mapping[Part, Sequence[Part]]) -> list[Part]:
    """The constants that other objects refer to by their names, without knowing what is in them."""
    return [
        part
        for part, referring in users.items()
        if part.sort is Sort.CONSTANT and not part.local and any(user.object != part.object for user in referring)
    ]


def _is_edited(part: Part, places: HostPlaces, equality: Equality) -> bool:
    """Whether the host has a constant of that name, and it is another one."""
    addresses = {address for name in part.names for address, _ in places.addresses(name)}
    return bool(addresses) and all(equality.difference(part, address) for address in sorted(addresses))


def _homes(parts: Sequence[ObjectParts]) -> dict[bytes, Part]:
    """Name -> the part that defines it for other objects."""
    return {name: part for each in parts for part in each.all() if not part.local for name in part.names}


def _reached(parts: Sequence[ObjectParts], exact: Collection[int] = ()) -> Iterator[Part]:
    """The objects' functions, and the data that they refer to, however indirectly and in whatever object."""
    homes, seen = _homes(parts), set()
    waiting: list[Part] = [part for each in parts for part in each.functions()]
    while waiting:
        part = waiting.pop()
        if part not in seen:
            seen.add(part)
            yield part
            targets = _targets(part, parts[part.object], homes, exact=part.object in exact)
            waiting += [target for target in targets if target.sort is not Sort.FUNCTION]


def _targets(part: Part, each: ObjectParts, homes: Mapping[bytes, Part], *, exact: bool = False) -> Iterator[Part]:
    """What *part* of the object *each* refers to."""
    for use in each.uses(part) or ():
        target = use.target.part or homes.get(use.target.name) or each.descriptor(use.target.name)
        if target is None:
            continue
        yield target
        if use.target.by_section and target.sort is not Sort.FUNCTION and not exact:
            yield from each.neighbours(target)
    yield from each.attached(part)
