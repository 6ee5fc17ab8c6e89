"""Jump tables: where in the patch a runtime finds the functions that took the place of the host's.

Who calls a function of the host looks its address up in the table and calls what it finds there. Addresses are static
ones, as in the files; the runtime adds how far the loader moved each image, which it sees by the anchor in both.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from stubgen.common.row import Row
from stubgen.common.text import as_bytes, as_text, counted
from stubgen.compare.changes import Change, FunctionChange, Known, find_changes, is_any_pointed_to
from stubgen.errors import PatchRefusal
from stubgen.host import Host
from stubgen.image import FunctionSymbol, Image, Kind
from stubgen.image.opening import open_image
from stubgen.replaced import Replaced, Replacement
from stubgen.symbols.cxx import function_of_thunk
from stubgen.symbols.rust import is_rust_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from stubgen.image.dwarf_differences import Run
    from stubgen.registers import Reliance
    from stubgen.stub.find import Stub

_OLD_ONE = "the host's callers go on calling the old one"


class TableOptions(Row):
    """What table is wanted."""

    library: str = ""
    """Path of the patch on the target; empty for where it is linked to."""
    everything: bool = False
    """Put in functions that did not change as well."""
    strict: bool = False
    """Refuse where it cannot be told which of the host's functions one takes the place of."""
    led: Collection[int] = ()
    """The host's addresses that an earlier table led elsewhere: what is there has to stay in."""
    direct_calls: bool = False
    """The runtime leads direct calls to the new functions as well, by overwriting where the old ones begin: leave out
    those whose callers keep values in registers that only the old one leaves alone."""
    allow_static: bool = False
    """And static functions of LLVM's of which nothing shows that they take the arguments that their source says."""
    unchanged: Collection[tuple[str, int]] = ()
    """Path of an earlier patch and static address of each function there that is as in the host."""
    as_built: Collection[tuple[str, str]] = ()
    """Path of an object, and of what the host's own options make of the same source: what changed is told by that."""


class Entry(Row):
    """One address of the host's that leads to the patch."""

    name: str
    object: str  # of the patch
    old: int  # static address in the host
    new: int  # static address in the patch


class JumpTable(Row):
    """What a runtime is told of a patch."""

    library: str
    """Path of the patch on the target."""
    anchor: str
    """The anchor's name."""
    host_anchor: int
    """The anchor's static address in the host."""
    patch_anchor: int
    """The anchor's static address in the patch."""
    entries: tuple[Entry, ...]
    """``name``, ``object``, ``old`` and ``new`` of each address of the host's that leads to the patch, in order."""
    changes: tuple[FunctionChange, ...]
    """What became of each function of the patch's objects (``names``, ``object``, ``change``, ``reason``)."""
    undecided: tuple[Replacement, ...]
    """The functions that were left out, each with a reason: nobody can tell whose place they take."""
    relying: tuple[Reliance, ...] = ()
    """Callers of GCC's hosts that keep values in registers which the new function changes and the old one does not
    (``caller``, ``address``, ``registers``, ``sure``; ``old`` says which function), one of each function: direct calls
    must not be led to it."""
    content: bytes = b""
    """The patch's bytes, for a format that carries them."""

    def changed(self, change: Change) -> list[FunctionChange]:
        """The functions with which that happened."""
        return [row for row in self.changes if row.change is change]


def make_jump_table(
    patch: Image,
    host: Host,
    replaced: Replaced,
    objects: Sequence[tuple[str, Image]],
    anchor: str,
    wanted: TableOptions,
    kept: Collection[bytes] = (),
    elsewhere: Collection[bytes] = (),
) -> JumpTable:
    """The jump table of a linked patch.

    Args:
        patch: its file.
        host: the program.
        replaced: what it replaces.
        objects: name and image of each of its objects, as the compiler wrote them.
        anchor: the anchor's name as the symbol tables spell it.
        wanted: what shall be in it.
        kept: the names of the objects' variables that the patch uses in the host.
        elsewhere: the names that mean something else in the patch than in the host.

    Raises:
        PatchRefusal: host or patch does not export the anchor, or a strict table would not be complete.
        MalformedInput: an object or the host is broken.
    """
    host_anchor, patch_anchor = _host_anchor(host, anchor), _anchor_address(patch, anchor)
    if patch_anchor is None:
        raise PatchRefusal(f"{patch.name}: does not export {anchor}, by which a runtime sees where it was loaded")
    twins = () if wanted.everything else wanted.as_built
    changes = find_changes(objects, host.image, _known(replaced), kept, elsewhere, _twins(twins))
    dropped = set() if wanted.everything else _dropped(changes) - _led(replaced, wanted.led)
    changed = [item for item in replaced.functions if (item.object, item.name) not in dropped]
    relying = relying_on_replaced(patch, host.image, changed, dict(objects))
    otherwise = _called_otherwise(replaced, changes, dict(objects), host)
    dropped |= {(item.object, item.name) for item in otherwise}
    if wanted.direct_calls:
        taken = [item for item in changed if (item.object, item.name) not in dropped]
        of_llvm = list(_of_another_convention(taken, host, allow_static=wanted.allow_static))
        otherwise += of_llvm
        dropped |= {(item.object, item.name) for item in of_llvm}
        kept_apart = _left_to_the_old([item for item in changed if (item.object, item.name) not in dropped], relying)
        otherwise += kept_apart
        dropped |= {(item.object, item.name) for item in kept_apart}
    undecided = (*(item for item in replaced.undecided if (item.object, item.name) not in dropped), *otherwise)
    if wanted.strict and undecided:
        lines = [f"  {item.name} ({item.object}): {item.reason}" for item in undecided]
        raise PatchRefusal("\n".join([f"{counted(len(lines), 'function')} would be left out of the table:", *lines]))
    entries = {
        copy.static_address: Entry(item.name, item.object, copy.static_address, item.address)
        for item in replaced.functions
        if (item.object, item.name) not in dropped
        for copy in item.copies
    }
    in_order = tuple(entries[old] for old in sorted(entries))
    return JumpTable(
        wanted.library or patch.name, anchor, host_anchor, patch_anchor, in_order, tuple(changes), undecided, relying
    )


def _twins(as_built: Iterable[tuple[str, str]]) -> dict[str, Image]:
    """An object's name -> what the host's own options make of the same source."""
    return {title: open_image(twin) for title, twin in as_built}


def _known(replaced: Replaced) -> Callable[[str, bytes], Known]:
    """Where the host has a function, by the object of the patch that defines it and its name."""
    known: Mapping[tuple[str, str], Known] = {
        (item.object, item.name): Known([copy.static_address for copy in item.copies], item.reason)
        for item in (*replaced.undecided, *replaced.functions)
    }
    return lambda title, name: known.get((title, as_text(name)), Known())


def _dropped(changes: Sequence[FunctionChange]) -> set[tuple[str, str]]:
    """Object and name of each function that running code need not be sent to."""
    return {(row.object, name) for row in changes if not row.is_needed for name in row.names}


def _called_otherwise(
    replaced: Replaced, changes: Sequence[FunctionChange], objects: Mapping[str, Image], host: Host
) -> list[Replacement]:
    """The functions that the host's callers cannot call, by debug information: they pass what the old one takes.

    So do callers of one that is unchanged and hands it on, and those of a thunk, of which no debug information tells.
    New code calls the new one by its name all the same.
    """
    changed = {
        (row.object, name)
        for row in changes
        if row.change is Change.CHANGED or row.leads_to_change
        for name in row.names
    }
    named = {title: _by_name(image) for title, image in objects.items()}
    found: dict[bytes, Replacement] = {}
    thunks: list[tuple[Replacement, bytes]] = []
    run: Run = {}
    for item in replaced.functions:
        function = function_of_thunk(as_bytes(item.name))
        if function:
            thunks.append((item, function))
        elif (item.object, item.name) in changed:
            own = named[item.object].get(as_bytes(item.name), ())
            reason = _other_signature(item, objects[item.object], own, host, run)
            if reason:
                found[as_bytes(item.name)] = item._replace(reason=f"{_OLD_ONE}: {reason}")
    led = [item._replace(reason=found[function].reason) for item, function in thunks if function in found]
    return [*found.values(), *led]


def _by_name(image: Image) -> dict[bytes, list[FunctionSymbol]]:
    found: dict[bytes, list[FunctionSymbol]] = {}
    for function in image.functions():
        found.setdefault(function.name, []).append(function)
    return found


def _other_signature(item: Replacement, image: Image, functions: Iterable[FunctionSymbol], host: Host, run: Run) -> str:
    from stubgen.image.dwarf_differences import signature_difference
    from stubgen.image.dwarf_types import signature_of

    places = [image.place_of(function) for function in functions]
    own = next(filter(None, (signature_of(image.debug_info, place) for place in places)), None)
    debug = host.image.debug_info
    told = (signature_of(debug, copy.static_address) for copy in item.copies) if own else ()
    return next(filter(None, (signature_difference(own, each, run=run) for each in told if own and each)), "")


def _of_another_convention(
    functions: Iterable[Replacement], host: Host, *, allow_static: bool
) -> Iterator[Replacement]:
    """Those of *functions* whose direct callers may pass something else than the source says.

    LLVM changes what a static function takes as it and its callers are in one build. With ``-O3`` it passes what a
    pointer leads to, if nothing that may write there comes before the read: an edit decides that.
    """
    from stubgen.resolve.convention import reason_not_to_call

    asked = list(functions)
    known = host.image.find({as_bytes(item.name) for item in asked}) if host.image.compiled_by_llvm else {}
    for item in asked:
        addresses = {copy.static_address for copy in item.copies}
        found = known.get(as_bytes(item.name), ())
        reasons = (
            reason_not_to_call(one, host.image, allow_static=allow_static, static=item.local)
            for one in found
            if one.address in addresses
        )
        reason = next(filter(None, reasons), "")
        if reason:
            yield item._replace(reason=f"the host's callers go on calling the old one: {reason}")


def relying_without_table(
    patch: Image,
    host: Host,
    replaced: Replaced,
    objects: Sequence[tuple[str, Image]],
    kept: Collection[bytes],
    elsewhere: Collection[bytes],
    as_built: Collection[tuple[str, str]] = (),
) -> tuple[Reliance, ...]:
    """What :attr:`JumpTable.relying` is where none is made, of all that changed; arguments as of a table.

    Raises:
        MalformedInput: an object or the host is broken.
    """
    relying = relying_on_replaced(patch, host.image, replaced.functions, dict(objects))
    if not relying:
        return ()
    unchanged = _dropped(find_changes(objects, host.image, _known(replaced), kept, elsewhere, _twins(as_built)))
    functions = (item for item in replaced.functions if (item.object, item.name) not in unchanged)
    changed = {copy.static_address for item in functions for copy in item.copies}
    return tuple(one for one in relying if one.old in changed)


def led_by_kept_without_table(
    host: Host,
    replaced: Replaced,
    objects: Sequence[tuple[str, Image]],
    kept: Collection[bytes],
    elsewhere: Collection[bytes],
    as_built: Collection[tuple[str, str]] = (),
) -> tuple[FunctionChange, ...]:
    """The changed functions to whose old selves kept variables lead, where no table says so; arguments as of a table.

    Raises:
        MalformedInput: an object or the host is broken.
    """
    if not replaced.functions or not is_any_pointed_to(objects, kept):
        return ()
    changes = find_changes(objects, host.image, _known(replaced), kept, elsewhere, _twins(as_built))
    return tuple(row for row in changes if row.pointed_to_by)


def relying_on_replaced(
    patch: Image,
    host: Image,
    functions: Sequence[Replacement],
    objects: Mapping[str, Image],
    stubs: Iterable[Stub] = (),
) -> tuple[Reliance, ...]:
    """The callers in *host*, or an earlier patch with *stubs*, that rely on registers which new *functions* change.

    A file that clang compiles for the patch it compiled for a host in which there is code of its.
    """
    by_llvm = {name for name, image in objects.items() if host.compiled_by_llvm and not image.compiled_by_gcc}
    named = [item for item in functions if not is_rust_name(as_bytes(item.name)) and item.object not in by_llvm]
    if not named:
        return ()
    from stubgen.registers import Redirected, relying_callers

    redirected = [
        Redirected(copy.static_address, item.address, patch, [objects[item.object]] if item.object in objects else [])
        for item in named
        for copy in item.copies
    ]
    return tuple(relying_callers(host, redirected, stubs))


def _left_to_the_old(functions: Iterable[Replacement], relying: Sequence[Reliance]) -> list[Replacement]:
    """Those of *functions* to which no direct call may be led."""
    by_address = {one.old: one for one in relying}
    found = []
    for item in functions:
        ones = [by_address[copy.static_address] for copy in item.copies if copy.static_address in by_address]
        if ones:
            found.append(item._replace(reason=why_left_to_old(ones[0])))
    return found


def why_left_to_old(one: Reliance) -> str:
    """Why direct calls are not led to the new function."""
    told = f"{reliance_text(one)} while it calls it: {WHY_THEY_RELY}"
    return f"its callers go on calling the old one: {told}"


def reliance_text(one: Reliance) -> str:
    """What a caller relies on."""
    return f"{one.caller} {'keeps' if one.sure else 'may keep'} values in {', '.join(one.registers)}"


WHY_THEY_RELY = (
    "GCC compiled the caller for the registers that the old function changes (-fipa-ra), and the new one changes more; "
    "compile the host with -fno-ipa-ra"
)


def _led(replaced: Replaced, addresses: Collection[int]) -> set[tuple[str, str]]:
    """Object and name of each function whose callers an earlier table led elsewhere: unchanged, it has changed back."""
    return {
        (item.object, item.name)
        for item in replaced.functions
        if any(copy.static_address in addresses for copy in item.copies)
    }


def _host_anchor(host: Host, anchor: str) -> int:
    """Static address of the host's anchor.

    Raises:
        PatchRefusal: the loader does not find it by name; the message has the linker's option that helps.
    """
    found = _anchor_address(host.image, anchor)
    if found is None:
        raise PatchRefusal(
            f"{host.path}: does not export {anchor}, by which a runtime sees where the program was loaded; "
            f"link it with {EXPORTING[host.image.format]}{anchor}, or have its link captured with "
            f"STUBGEN_EXPORT_ANCHOR={anchor}, which adds that; where a version script or a list says what it exports, "
            f"name it there"
        )
    return found


def _anchor_address(image: Image, anchor: str) -> int | None:
    """Static address of the anchor; None where the loader does not find it by name."""
    name = as_bytes(anchor)
    found = image.find({name}).get(name, [])
    return next((one.address for one in found if one.kind is not Kind.IMPORT and one.exported), None)


EXPORTING = {"elf": "-Wl,--export-dynamic-symbol=", "macho": "-Wl,-exported_symbol,"}
"""Format -> the driver's option, up to the symbol, with which a program exports a symbol."""
