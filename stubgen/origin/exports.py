"""The names that a builder will look up in the patch: as the symbol table spells them, or why nobody will find them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from stubgen.common.text import as_bytes, as_text
from stubgen.errors import UsageError
from stubgen.image import Image
from stubgen.origin.account import symbols_of
from stubgen.origin.symbols import Symbol
from stubgen.symbols.similar import close_names
from stubgen.terminal.names import demangled


def as_spelled(name: str, defined: Collection[bytes], format_name: str) -> str:
    """*name* as the symbol table has it: Mach-O's C names begin with an underscore, which ``dlsym`` adds by itself."""
    underscored = f"_{name}"
    is_c = format_name == "macho" and as_bytes(name) not in defined and as_bytes(underscored) in defined
    return underscored if is_c else name


def read_exports(names: Iterable[str], objects: Sequence[Image], others: Collection[str] = ()) -> tuple[str, ...]:
    """*names*, mangled or as people write them, as the symbol table spells them, each once.

    Args:
        names: what the builder will look up.
        objects: those of the patch, and further ones of its link.
        others: names that something else of the link will define.

    Raises:
        UsageError: none of the objects defines one of the names for the loader to find; the message says what it is.
    """
    wanted = list(names)
    if not wanted:
        return ()
    defined = {name for image in objects for name in image.definitions()}
    spelled = [as_spelled(name, defined, objects[0].format) for name in wanted]
    unknown = [name for name in spelled if as_bytes(name) not in defined and name not in others]
    meant = _mangled(unknown, defined) if unknown else {}
    spelled = [meant.get(name, name) for name in spelled]
    for name in spelled:
        if as_bytes(name) not in defined and name not in others:
            raise UsageError(f"--export {name}: {why_not_exported(name, objects)}")
    return tuple(dict.fromkeys(spelled))


def _mangled(names: Collection[str], defined: Iterable[bytes]) -> dict[str, str]:
    """For those of *names* that are how people write a C++ or Rust name of *defined*: that name.

    Raises:
        UsageError: one may be several of them.
    """
    written: dict[str, list[str]] = {}
    for mangled, name in demangled([as_text(name) for name in defined]).items():
        for form in {name, name.partition("(")[0]}:
            written.setdefault(form, []).append(mangled)
    found: dict[str, str] = {}
    for name in names:
        several = sorted(written.get(name, ()))
        if len(several) > 1:
            raise UsageError(f"--export {name}: may be {' or '.join(several)}: give one of them")
        if several:
            found[name] = several[0]
    return found


def why_not_exported(name: str, objects: Sequence[Image]) -> str:
    """Why the loader does not find *name* in a patch of *objects*, and what helps."""
    symbols = [(image, symbol) for image in objects for symbol in symbols_of(image)]
    spellings = [as_bytes(name), *([as_bytes(f"_{name}")] if objects and objects[0].format == "macho" else [])]
    same = [(symbol, image) for image, symbol in symbols if symbol.name in spellings]
    if same:
        return _told(*max(same, key=lambda each: each[0].exported))
    exported = {symbol.name for _, symbol in symbols if symbol.exported}
    close = next(filter(None, (close_names(each, exported) for each in spellings)), ())
    hint = f"; did you mean {' or '.join(close)}?" if close else _all_of_them([symbol for _, symbol in symbols])
    return f"no object of the patch defines it{hint}"


def _told(symbol: Symbol, image: Image) -> str:
    if symbol.exported:
        return (
            f"{image.name} defines it, and the linker left it out or made it local: a wrapper that does not take "
            f"what it is given, or an option of the host's"
        )
    if symbol.static:
        return f"it is static in {image.name}, so nobody finds it by name: drop the static, or find it by a jump table"
    return f"it is hidden in {image.name}: give it default visibility"


FEW = 6
"""So many names are a hint; more are a list."""


def _all_of_them(symbols: Sequence[Symbol]) -> str:
    names = sorted({as_text(symbol.name) for symbol in symbols if symbol.exported})
    return f"; they export {', '.join(names)}" if 0 < len(names) <= FEW else ""
