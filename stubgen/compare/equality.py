"""Whether what lies in a host is what an object has: the same bytes but for relocated fields, and those mean the same.

A field means the same where the host's leads to what the object's symbol names. What no name tells, as a string or a
table of jumps, is compared by its content, and so is a constant that has a name. Where anything cannot be read back the
answer is "no": who leaves out what has not changed must be sure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from stubgen.common.row import Row
from stubgen.common.text import as_text
from stubgen.compare.fields import PAGE, SIZES, Field, Form, Says, is_back, read_field, veneer_of
from stubgen.compare.parts import HostPlaces, Imported, ObjectParts, Part, Sort, Target, Use
from stubgen.symbols.numbering import numbering
from stubgen.symbols.versions import is_part


class Place(Row):
    """A part, and the virtual address in the host where it may be."""

    part: Part
    address: int


class Evidence(Row):
    """What a field of the host tells of a target."""

    offset: int  # bytes from the target's start to what the object's field refers to
    field: Field


class Equality:
    """Compares parts of objects with places in the host; each pair once.

    Args:
        objects: all that parts may be of.
        host: the linked image.
        by_name: what a part refers to is the same if it has the same name; else, functions aside, if its content is.
            What has no name is looked at up to its first zero byte, and what cannot be read back counts as the same.
    """

    def __init__(self, objects: Sequence[ObjectParts], host: HostPlaces, *, by_name: bool = False) -> None:
        self.by_name = by_name
        self.objects = objects
        self.host = host
        self._known: dict[Place, str] = {}

    def difference(self, part: Part, address: int) -> str:
        """What differs first between *part* and what the host has at virtual *address*; empty if nothing does."""
        root = Place(part, address)
        if root not in self._known:
            self._compare_all(root)
        return self._known[root]

    def _compare_all(self, root: Place) -> None:
        """Compare *root*, and all that it is only equal with if that is."""
        found: dict[Place, str] = {}
        needed_by: dict[Place, list[Place]] = {}
        waiting = [root]
        while waiting:
            place = waiting.pop()
            if place in found:
                continue
            if place in self._known:
                found[place] = self._known[place]
                continue
            found[place], needs = self._compare(place)
            for need in needs:
                needed_by.setdefault(need, []).append(place)
            waiting += needs
        spreading = [place for place, reason in found.items() if reason]
        while spreading:
            place = spreading.pop()
            for user in needed_by.get(place, ()):
                if not found[user]:
                    found[user] = f"refers to {_title(place.part)}, which differs"
                    spreading.append(user)
        self._known.update(found)

    def _compare(self, place: Place) -> tuple[str, list[Place]]:
        """What differs in *place* itself, and what else has to be equal."""
        part = place.part
        start: int | None = place.address
        if part.sort is Sort.THREAD_LOCAL:
            start = self.host.thread_template(place.address, part.size)
        there = None if start is None else self.host.read(start, part.size)
        content = self.objects[part.object].content(part)
        if not content:  # zeroes, which no file has
            return "its initial value differs" if there is not None and any(there) else "", []
        if there is None or start is None:
            return ("the host's file has nothing there" if any(content) or self._refers(part) else ""), []
        return self._compare_content(place, start, content, there)

    def _refers(self, part: Part) -> bool:
        """Whether it has fields."""
        return self.objects[part.object].uses(part) != ()

    def _compare_content(
        self, place: Place, start: int, content: memoryview, there: memoryview
    ) -> tuple[str, list[Place]]:
        """Likewise for what has *content*; the host has *there* at virtual address *start*."""
        uses = self.objects[place.part.object].uses(place.part)
        if uses is None:
            return "" if self.by_name else "has a relocation that cannot be read back from a linked file", []
        if not _same_between(content, there, uses):
            return "its instructions or bytes differ", []
        evidence = self._read(start, uses, content, there)
        if evidence is None:
            return "a relocated field is another instruction there", []
        needs: list[Place] = []
        reasons = (self._judge(place, target, told, needs) for target, told in evidence.items())
        return next(filter(None, reasons), "") or self._compare_attached(place, needs), needs

    def _read(
        self, start: int, uses: Sequence[Use], content: memoryview, there: memoryview
    ) -> dict[Target, list[Evidence]] | None:
        """What the fields at virtual address *start* tell of each target; None where one is no such field."""
        evidence: dict[Target, list[Evidence]] = {}
        for use in uses:
            field = self._field(use, start + use.at, content, there)
            if field is None:
                return None
            meant = self._without_neighbours(use.target) if self.by_name else use.target
            evidence.setdefault(meant._replace(offset=0), []).append(Evidence(meant.offset, field))
        return {target: [_pages_told_apart(one, told) for one in told] for target, told in evidence.items()}

    def _without_neighbours(self, target: Target) -> Target:
        """*target*; a string of a section in which nothing is named by itself, as GCC's at ``-O0``."""
        part, offset = target.part, target.offset
        if part is None or part.names or part.sort is Sort.FUNCTION:
            return target
        end = bytes(self.objects[part.object].content(part)).find(0, max(offset, 0)) + 1 or part.size
        if not 0 <= offset < end:
            return target
        string = part._replace(start=part.start + offset, size=end - offset)
        return target if self.objects[part.object].uses(string) else Target(b"", string, 0)

    def _field(self, use: Use, place: int, content: memoryview, there: memoryview) -> Field | None:
        if use.form is Form.WORD64:
            return _pointer_field(self.host.pointer(place))
        before, after = (_integer(raw, use.at, SIZES.get(use.form, 4)) for raw in (content, there))
        veneer = veneer_of(use.form, after, place)
        if veneer is not None:
            moved = self.host.read(veneer, 8)
            if moved is None or not is_back(_integer(moved, 4, 4), veneer + 4, place):
                return None
            return read_field(use.form, before, _integer(moved, 0, 4), veneer)
        return read_field(use.form, before, after, place + use.base)

    def _judge(self, place: Place, target: Target, told: Sequence[Evidence], needs: list[Place]) -> str:
        """Why the host's fields do not lead to *target*, or empty; adds to *needs* what has to be equal then."""
        part = target.part
        if part is None:
            return "" if self._leads_to_name(target.name, told) else f"refers to {as_text(target.name)} elsewhere"
        if part == place.part:
            return "" if self._leads_to(place.address, part.names, told) else "refers to another place in itself"
        start = self._start_of(part, told)
        if start is None:
            return f"refers to {_title(part)} elsewhere"
        looked_into = part.sort is not Sort.FUNCTION and not self.by_name
        if looked_into or not is_named(part):
            needs.append(Place(part, start))
        if target.by_section and looked_into:
            return self._judge_neighbours(part, start, needs)
        return ""

    def _judge_neighbours(self, part: Part, start: int, needs: list[Place]) -> str:
        """The same for what code may reach from *part* by distance alone."""
        for other in self.objects[part.object].neighbours(part):
            address = start + other.start - part.start
            needs.append(Place(other, address))
            if other.sort is not Sort.CONSTANT and not any(
                address == there for name in other.names for there, _ in self.host.addresses(name)
            ):
                return f"{_title(other)} lies elsewhere beside {_title(part)}"
        return ""

    def _compare_attached(self, place: Place, needs: list[Place]) -> str:
        if place.part.sort is not Sort.FUNCTION:
            return ""
        own = list(self.objects[place.part.object].attached(place.part))
        there = self.host.attached(place.address)
        if len(own) != len(there):
            return "its exception table differs"
        needs += [Place(part, address) for part, address in zip(own, there, strict=True)]
        return ""

    def _leads_to_name(self, name: bytes, told: Sequence[Evidence]) -> bool:
        """Whether the fields lead to what *name* means in the host."""
        addresses: list[int | None] = [address for address, _ in self.host.addresses(name)]
        if self.host.has_import(name):  # programs without -fPIE have the PLT's entry for a function's address
            entries = (start for start in self._possible_starts(told) if self.host.behind(start) == Imported(name))
            addresses += [*entries, None]
        elif not addresses:
            return self._leads_nowhere(told)
        return any(self._leads_to(address, (name,), told) for address in addresses)

    def _start_of(self, part: Part, told: Sequence[Evidence]) -> int | None:
        """Where the fields say that *part* is; None where they disagree, or with the names that it has."""
        expected = sorted({address for name in part.names for address, _ in self.host.addresses(name)})
        for address in expected:
            if self._leads_to(address, part.names, told):
                return address
        if is_named(part) and (expected or part.sort is not Sort.CONSTANT):
            return None
        return next((start for start in self._possible_starts(told) if self._leads_to(start, (), told)), None)

    def _possible_starts(self, told: Sequence[Evidence]) -> Iterator[int]:
        """Where the target may begin, by each field or pair of fields that tells an address."""
        for offset in {one.offset for one in told}:
            fields = [one.field for one in told if one.offset == offset]
            yield from (field.value - offset for field in fields if field.says is Says.ADDRESS)
            entries = [field.value for field in fields if field.says is Says.GOT_ENTRY]
            pages = {field.value for field in fields if field.says in (Says.PAGE, Says.GOT_PAGE)}
            for page in pages:
                yield from (page + field.value - offset for field in fields if field.says is Says.LOW)
                entries += [page + field.value for field in fields if field.says is Says.GOT_LOW]
            for entry in entries:
                pointer = self.host.pointer(entry)
                if isinstance(pointer, int):
                    yield pointer - offset

    def _leads_to(self, start: int | None, names: Collection[bytes], told: Sequence[Evidence]) -> bool:
        """Whether all fields fit a target that begins at *start*, and one of them tells anything.

        The loader may look a target up by one of *names*, also where the host itself has it.
        """
        return any(one.field.says is not Says.NOTHING for one in told) and all(
            self._fits(_Meant(start, names, one.offset), one, told) for one in told
        )

    def _leads_nowhere(self, told: Sequence[Evidence]) -> bool:
        """Whether the fields are what linkers make of a weak symbol that nothing defines."""
        return all(one.field.says is Says.NOTHING or self._fits(_Meant(0, (), one.offset), one, told) for one in told)

    def _fits(self, meant: _Meant, one: Evidence, told: Sequence[Evidence]) -> bool:
        """Whether one field is what a linker writes for what is meant."""
        says, value, address = one.field.says, one.field.value, meant.address
        if says is Says.GOT_PAGE and not _got_lows(one.offset, told):
            says = Says.PAGE  # the load became an addition
        if says in (Says.GOT_PAGE, Says.GOT_LOW, Says.GOT_ENTRY):
            return any(self._holds(entry, meant) for entry in _entries(one, told))
        if says in (Says.ADDRESS, Says.IMPORT):
            found = Imported(one.field.name, value) if says is Says.IMPORT else self.host.behind(value)
            return meant.is_what(found) or (says is Says.ADDRESS and value == address)
        if says is Says.NOTHING or address is None:
            return says is Says.NOTHING
        return value == self._part_of(address, says, one.field.mask)

    def _part_of(self, address: int, says: Says, mask: int) -> int:
        """What a field that *says* one part of *address* holds."""
        if says is Says.THREAD:
            return (address + self.host.thread_start) & mask
        return address & -PAGE if says is Says.PAGE else address & (PAGE - 1)

    def _holds(self, entry: int, meant: _Meant) -> bool:
        """Whether the GOT entry at virtual address *entry* is that of what is meant."""
        return meant.is_what(self.host.pointer(entry)) or meant.address == self.host.thread_entry(entry) is not None


class _Meant(Row):
    """What a field is expected to mean."""

    start: int | None  # virtual address in the host; None where only the loader knows
    names: Collection[bytes]  # by which the loader may look it up
    offset: int  # bytes from there

    @property
    def address(self) -> int | None:
        """The virtual address itself."""
        return None if self.start is None else (self.start + self.offset) % (1 << 64)

    def is_what(self, found: int | Imported | None) -> bool:
        """Whether a pointer holds it, or what a branch ends at is it."""
        if isinstance(found, Imported):
            return found.name in self.names and found.offset == self.offset
        return found is not None and found == self.address


def _pages_told_apart(one: Evidence, told: Sequence[Evidence]) -> Evidence:
    """*one*; what may be a page or a whole address is the latter where no field of its place tells the rest."""
    lows = (other for other in told if other.offset == one.offset and other.field.says in (Says.LOW, Says.GOT_LOW))
    if not one.field.or_whole or any(lows):
        return one
    return one._replace(field=Field(Says.ADDRESS, one.field.value))


def _pointer_field(pointer: int | Imported | None) -> Field | None:
    if isinstance(pointer, int):
        return Field(Says.ADDRESS, pointer)
    return None if pointer is None else Field(Says.IMPORT, pointer.offset, name=pointer.name)


def _integer(raw: memoryview, at: int, size: int) -> int:
    return int.from_bytes(raw[at : at + size], "little")


def _same_between(content: memoryview, there: memoryview, uses: Sequence[Use]) -> bool:
    """Whether all bytes outside the fields are equal."""
    position = 0
    for use in uses:
        if content[position : use.at] != there[position : use.at]:
            return False
        position = use.at + SIZES.get(use.form, 4)
    return content[position:] == there[position:]


def _entries(one: Evidence, told: Sequence[Evidence]) -> Iterator[int]:
    """The GOT entries that *one* may be the address of, or a part of it."""
    if one.field.says is Says.GOT_ENTRY:
        return iter((one.field.value,))
    if one.field.says is Says.GOT_PAGE:
        return (one.field.value + low for low in _got_lows(one.offset, told))
    pages = {o.field.value for o in told if o.offset == one.offset and o.field.says is Says.GOT_PAGE}
    return (page + one.field.value for page in pages)


def _got_lows(offset: int, told: Sequence[Evidence]) -> set[int]:
    return {one.field.value for one in told if one.offset == offset and one.field.says is Says.GOT_LOW}


def is_named(part: Part) -> bool:
    """Whether its name says which one it is in another build; a part of a function is that function's content."""
    return any(not numbering(name) and not is_part(name) for name in part.names)


def _title(part: Part) -> str:
    return as_text(part.names[0]) if part.names else f"an unnamed {part.sort.value}"
