"""The symbols of a Mach-O file, one after another. Twin of ``listing.elf``."""

from __future__ import annotations

from array import array
from itertools import compress

from stubgen.common.columns import field_column
from stubgen.image.macho import MachOImage
from stubgen.listing.symbols import Listed, ListedFields, Traits, listed
from stubgen.macho import constants as c
from stubgen.macho.records import NLIST_64


def symbols(image: MachOImage) -> list[Listed]:
    """Every symbol that is no debugger's entry."""
    table = image.file.symbols
    if table is None:
        return []
    shared: dict[int, tuple[Traits, bool, str]] = {}
    linked = image.file.header.filetype != c.MH_OBJECT
    keys = field_column("I", table.raw, NLIST_64.size, NLIST_64.offset("n_type"))  # with n_sect and n_desc
    wanted = table.n_type.translate(_WANTED)
    names = table.strings.names(array("I", compress(table.n_strx, wanted)))
    rows: list[ListedFields] = []
    for name, key, value in zip(names, compress(keys, wanted), compress(table.n_value, wanted), strict=True):
        known = shared.get(key)
        if known is None:
            known = shared[key] = _shared(image, key & 0xFF, key >> 8 & 0xFF, key >> 16, linked=linked)
        traits, exported, library = known
        if traits.defined:
            rows.append((name, value, None, traits, "", True, exported, b"", ""))
        elif value and not linked:
            common = _traits(image, key & 0xFF, key >> 8 & 0xFF, weak=traits.binding == "weak", common=True)
            rows.append((name, None, value, common, "", True, False, b"", ""))
        else:
            rows.append((name, None, None, traits, "", True, False, b"", library))
    return listed(rows)


_WANTED = bytes(not n_type & c.N_STAB for n_type in range(256))
"""``n_type`` -> whether the symbol is no debugger's entry; of some tables most are."""


def _shared(image: MachOImage, n_type: int, n_sect: int, n_desc: int, *, linked: bool) -> tuple[Traits, bool, str]:
    """What symbols of these fields have in common, whether they are exported, and the library that has them."""
    undefined = n_type & c.N_TYPE in (c.N_UNDF, c.N_PBUD)
    traits = _traits(image, n_type, n_sect, weak=bool(n_desc & _WEAK[undefined]), common=False)
    if not undefined:
        return traits, linked and bool(n_type & c.N_EXT) and not n_type & c.N_PEXT, ""
    dylibs, ordinal = image.file.dylibs, n_desc >> 8 if linked else 0  # two-level namespace: 1 for the first dylib
    return traits, False, dylibs[ordinal - 1].name if 0 < ordinal <= len(dylibs) else ""


_WEAK = {True: c.N_WEAK_REF, False: c.N_WEAK_DEF}
"""Whether a symbol is undefined -> the bit of n_desc that makes it weak."""


def _traits(image: MachOImage, n_type: int, n_sect: int, *, weak: bool, common: bool) -> Traits:
    """What a symbol has in common with others of its type and section."""
    hidden, where = bool(n_type & c.N_PEXT), n_type & c.N_TYPE
    binding = "weak" if weak else "global" if n_type & c.N_EXT or hidden else "local"
    visibility = "hidden" if hidden else "default"
    if common or where in (c.N_UNDF, c.N_PBUD):
        return Traits("common" if common else "undefined", binding, visibility, "", 0, common)
    if where == c.N_SECT and 0 < n_sect <= len(image.file.sections):
        section = image.file.sections[n_sect - 1].name
        return Traits(image.kind_in(n_sect).value, binding, visibility, section, n_sect, True)
    return Traits("absolute" if where == c.N_ABS else "other", binding, visibility, "", 0, True)
