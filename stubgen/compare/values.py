"""Which variables and constants begin with another value in the patch's objects than in the file that has them already.

A variable that is kept goes on with what the process has, and code outside the patch reads the host's constant, not the
patch's: an edit of either value links, and does nothing. A value is the bytes; what they point to counts by its name,
and by its content where it has none, as a string.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from stubgen.common.row import Row
from stubgen.common.text import as_bytes
from stubgen.compare import host_places, object_parts
from stubgen.compare.equality import Equality, is_named
from stubgen.compare.parts import HostPlaces, ObjectParts, Part
from stubgen.host import Host
from stubgen.image import Image, Kind
from stubgen.resolve.resolution import Resolution
from stubgen.resolve.storage import Storage
from stubgen.resolve.verdicts import SharedVariable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from stubgen.host.previous import EarlierPatch


class _Pair(Row):
    """What a part of an object is in a linked image."""

    part: Part
    name: bytes
    address: int  # static


def with_changed_values(resolution: Resolution, host: Host) -> Resolution:
    """*resolution*, whose shared variables say whether the value that they begin with has changed.

    Raises:
        MalformedInput: an object or the host is broken.
    """
    shared: dict[str, list[SharedVariable]] = {}
    for variable in resolution.shared_variables:
        if variable.static_address is not None and variable.writable is variable.forwarded:
            shared.setdefault(variable.patch, []).append(variable)
    changed: set[bytes] = set()
    earlier = {patch.path: patch for patch in resolution.needed.previous.patches}
    for path, variables in shared.items():
        if path:
            patch = earlier[path]
            changed |= _changed(resolution, variables, patch.image, _Outside(resolution, host, patch))
        else:
            changed |= _changed(resolution, variables, host.image)
    return resolution._replace(
        shared_variables=tuple(
            variable._replace(initial_value_changed=as_bytes(variable.name) in changed)
            for variable in resolution.shared_variables
        )
    )


class _Outside:
    """What the pointers of an earlier *patch* hold of names that are the host's or another patch's: addresses there."""

    def __init__(self, resolution: Resolution, host: Host, patch: EarlierPatch) -> None:
        self._slide = resolution.slide.value
        self._host = host
        self._others = [each for each in resolution.needed.previous.patches if each is not patch]

    def tell(self, names: Collection[bytes], places: HostPlaces) -> None:
        """Let *places*, of the patch, know where the process has *names*."""
        found = self._host.find_again(names)
        for other in self._others:
            other.learn(names)
        for name in names:
            there = [each.address + self._slide for each in found.get(name, ()) if each.kind is not Kind.IMPORT]
            there += [each.address + other.slide for other in self._others for each in other.find(name)]
            if there:
                places.also(name, there)


def _changed(
    resolution: Resolution, shared: Iterable[SharedVariable], image: Image, outside: _Outside | None = None
) -> set[bytes]:
    """The names of those in *shared* that *image*, of an earlier patch with *outside*, has with another value."""
    wanted = {as_bytes(variable.name): variable for variable in shared}
    defined: dict[int, tuple[Image, set[bytes]]] = {}
    sizes, storage = dict[bytes, int](), Storage(image)
    for own in resolution.needed.variables:
        known = wanted.get(own.name)
        if known is not None and (known.writable or not own.local):
            definer = own.defined_in.image
            defined.setdefault(id(definer), (definer, set()))[1].add(own.name)
            sizes[own.name] = storage.small_size(own)
    parts = object_parts([definer for definer, _ in defined.values()], resolution.needed.images)
    pairs = [
        _Pair(_shortened(each.initial_value(part), sizes[name]), name, wanted[name].static_address or 0)
        for each, (_, names) in zip(parts, defined.values(), strict=True)
        for part in each.all()
        for name in part.names
        if name in names
    ]
    places = host_places(image)
    referred = set(_referred(parts, [pair.part for pair in pairs]))
    places.learn({*(pair.name for pair in pairs), *referred})
    if outside is not None and referred:
        outside.tell(referred, places)
    equality = Equality(parts, places, by_name=True)
    return {pair.name for pair in pairs if _has_changed(pair, parts, places, equality)}


def _shortened(part: Part, size: int) -> Part:
    """*part* up to the *size* of its variable that debug information says, behind which Mach-O's may have more.

    zig's linker leaves there what it has of another object and does not use.
    """
    return part._replace(size=size) if 0 < size < part.size else part


def _has_changed(pair: _Pair, parts: Sequence[ObjectParts], places: HostPlaces, equality: Equality) -> bool:
    part, each = pair.part, parts[pair.part.object]
    sizes = {size for address, size in places.addresses(pair.name) if address == pair.address}
    address, room = places.initial_value(pair.address)
    if not sizes:  # it has another name there, and its size was compared
        return bool(equality.difference(part, address))
    if 0 not in sizes:  # ELF says how large they are
        return part.size not in sizes or bool(equality.difference(part, address))
    if room is not None and room < part.size:  # Mach-O's last bytes may be what aligns the next one
        rest = part._replace(start=part.start + room, size=part.size - room)
        if any(each.content(rest)) or each.uses(rest):
            return True
        part = part._replace(size=room)
    return bool(equality.difference(part, address))


def _referred(parts: Sequence[ObjectParts], roots: Iterable[Part]) -> Iterator[bytes]:
    """The names of what *roots* point to, themselves or by way of what has no name."""
    waiting = list(roots)
    seen = set(waiting)
    while waiting:
        part = waiting.pop()
        for use in parts[part.object].uses(part) or ():
            target = use.target.part
            if target is None:
                yield use.target.name
                continue
            yield from target.names
            if target not in seen and not is_named(target):
                seen.add(target)
                waiting.append(target)
