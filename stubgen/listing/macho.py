"""The symbols of a Mach-O file, one after another. Twin of ``listing.elf``."""

from __future__ import annotations

from collections.abc import Iterator

from stubgen.image.macho import MachOImage
from stubgen.listing.symbols import Listed, Traits
from stubgen.macho import constants as c


def symbols(image: MachOImage) -> Iterator[Listed]:
    """Every symbol that is no debugger's entry."""
    table, dylibs = image.file.symbols, image.file.dylibs
    if table is None:
        return
    traits: dict[tuple[int, int, int], Traits] = {}
    linked = image.file.header.filetype != c.MH_OBJECT
    columns = (table.names(), table.n_type, table.n_sect, table.n_desc, table.n_value)
    for name, n_type, n_sect, n_desc, value in zip(*columns, strict=True):
        if n_type & c.N_STAB:
            continue
        undefined = n_type & c.N_TYPE in (c.N_UNDF, c.N_PBUD)
        common = undefined and bool(value) and not linked
        key = n_type, n_sect, (n_desc & _WEAK[undefined]) | common
        shared = traits.get(key)
        if shared is None:
            shared = traits[key] = _traits(image, n_type, n_sect, weak=bool(n_desc & _WEAK[undefined]), common=common)
        if common:
            yield Listed(name, None, value, shared)
        elif undefined:
            ordinal = n_desc >> 8 if linked else 0  # two-level namespace: 1 for the first dylib
            library = dylibs[ordinal - 1].name if 0 < ordinal <= len(dylibs) else ""
            yield Listed(name, None, None, shared, library=library)
        else:
            exported = linked and bool(n_type & c.N_EXT) and not n_type & c.N_PEXT
            yield Listed(name, value, None, shared, exported=exported)


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
