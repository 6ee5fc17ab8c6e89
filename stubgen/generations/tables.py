"""Complete jump tables: what a patch replaces, and all else that holds in the process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from stubgen.errors import PatchRefusal
from stubgen.generations.opening import Begun
from stubgen.generations.redirections import Target, Targets, keys, runtime_address
from stubgen.generations.state import Forwarder, PatchSession
from stubgen.image.opening import open_image
from stubgen.jumptable import Entry, JumpTable, why_left_to_old
from stubgen.link import Linked
from stubgen.replaced import Replaced, Replacement

if TYPE_CHECKING:
    from stubgen.registers import Reliance


def with_led(linked: Linked, table: JumpTable) -> tuple[Linked, JumpTable]:
    """Both with those undecided functions as sure to which *table* leads callers of the host's.

    What the host alone leaves undecided, an earlier patch's function that is known to be the same one tells.
    """
    led = {(entry.old, entry.new) for entry in table.entries}
    sure, undecided = [], []
    for item in linked.replaced.undecided:
        copies = tuple(copy for copy in item.copies if (copy.static_address, item.address) in led)
        if copies:
            sure.append(item._replace(copies=copies, reason=""))
        else:
            undecided.append(item)
    if not sure:
        return linked, table
    told = {(item.object, item.name) for item in sure}
    replaced = Replaced((*linked.replaced.functions, *sure), tuple(undecided))
    left_out = tuple(item for item in table.undecided if (item.object, item.name) not in told)
    return linked._replace(replaced=replaced), table._replace(undecided=left_out)


def complete_table(
    begun: Begun,
    session: PatchSession,
    targets: Targets,
    linked: Linked,
    table: JumpTable,
    *,
    back: bool = False,
    direct_calls: bool = False,
) -> JumpTable:
    """*table* of the patch of *begun* with all else that holds in the process.

    Args:
        begun: as the session was before.
        session: as it is with the patch's functions.
        targets: where each function's callers shall be led.
        linked: the patch.
        table: of its own functions alone.
        back: whether callers of the host's functions are led to the host where they were led elsewhere.
        direct_calls: as in ``TableOptions``; such a runtime puts back itself what the table no longer has.

    Raises:
        PatchRefusal: the linker left out what leads to an earlier patch, or with *direct_calls* the file
            of one is gone or has changed.
    """
    forwarders = _forwarders(linked)
    found = {entry.old: entry for entry in table.entries}
    led = {}
    for key, function, target in keys(session, targets, back=back):
        name = session.functions[function].name
        if direct_calls and target == Target(0, key):
            continue  # a jump there would lead to itself
        led[key] = key, function, target
        if target.generation == begun.number:
            found.setdefault(key, Entry(name, str(linked.output), key, target.address))
            continue
        address = forwarders.get(runtime_address(session, target))
        if address is None:
            raise PatchRefusal(
                f"{linked.output}: the linker left out the forwarder of {name}, to which nothing in the patch refers: "
                f"link with --no-gc-sections"
            )
        found[key] = Entry(name, _owner(session, target), key, address)
    known = {entry.old for entry in table.entries}  # the table says of the patch's functions who relies on the host's
    others = [row for row in led.values() if row[0] not in known]
    relying = _relying(begun, session, linked, table, others, strict=direct_calls) if others else []
    left_out = []
    for one in relying if direct_calls else ():
        entry = found.pop(one.old)
        left_out.append(Replacement(entry.name, entry.object, False, entry.new, (), False, why_left_to_old(one)))
    return table._replace(
        entries=tuple(found[key] for key in sorted(found)),
        undecided=(*table.undecided, *left_out),
        relying=(*table.relying, *relying),
    )


def _relying(
    begun: Begun,
    session: PatchSession,
    linked: Linked,
    table: JumpTable,
    led: Iterable[tuple[int, int, Target]],
    *,
    strict: bool,
) -> list[Reliance]:
    """The callers, in the host and in earlier patches, that rely on registers which functions change."""
    from stubgen.generations.relying import Images, relying_in_process

    needed = linked.built.resolution.needed
    opened = {patch.path: patch.image for patch in needed.previous.patches}
    known = {each.number: opened[each.patch] for each in session.generations if each.patch in opened}
    patch = open_image(table.content, table.library)
    images = Images(session, {**known, 0: linked.built.host.image, begun.number: patch}, strict=strict)
    return list(relying_in_process(images, led, needed.images))


def _forwarders(linked: Linked) -> dict[int, int]:
    """Address in the process -> where in the patch is a stub that goes there."""
    return {stub.target: stub.address for stub in linked.checked.stubs}


def forwarders_of(begun: Begun, session: PatchSession, targets: Targets, linked: Linked) -> tuple[Forwarder, ...]:
    """Where the patch leads on callers of what it has not itself; of two functions that are one there, neither's."""
    at = _forwarders(linked)
    led = {
        (function, target)
        for _, function, target in keys(session, targets, back=True)
        if target.generation != begun.number
    }
    rows = [Forwarder(function, at.get(runtime_address(session, target), 0), *target) for function, target in led]
    count = Counter(row.address for row in rows)
    return tuple(sorted(row for row in rows if row.address and count[row.address] == 1))


def _owner(session: PatchSession, target: Target) -> str:
    """The file that has a function."""
    return session.generations[target.generation - 1].patch if target.generation else session.host.path
