"""A host and a patch, made symbol by symbol, and what each check says of them."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from linked import CODE, CONSTANTS, DATA, RODATA, VARIABLES, Sym, elf_linked
from synthetic import put

from stubgen.check import Checked, check_linked, check_patch
from stubgen.elf import constants as e
from stubgen.host.slide import Slide
from stubgen.origin.account import Inputs
from stubgen.resolve.previous import NO_PATCHES
from stubgen.stub.trampoline import encode

SLIDE = 0x5500000000


F, G, MAIN, COUNTER = CODE + 0x40, CODE + 0x80, CODE + 0x100, VARIABLES + 8
"""Where the host has its own."""


WEAK, LOCAL = e.STB_WEAK, e.STB_LOCAL


OBJECT, TLS, IFUNC = e.STT_OBJECT, e.STT_TLS, e.STT_GNU_IFUNC


HIDDEN = e.STV_HIDDEN


GIVEN = Slide(SLIDE, None, 0, SLIDE)


def counter(name: str = "counter", value: int = COUNTER, **fields: int) -> Sym:
    """A variable of the host."""
    return Sym(name, value, **{"kind": OBJECT, "section": DATA, **fields})


def host(*more: Sym, without: Sequence[str] = (), **options: Any) -> bytes:
    """A program with f, g, main and counter, which needs libc.so.6, and *more*."""
    symbols = [Sym("f", F), Sym("g", G), Sym("main", MAIN), counter()]
    kept = [symbol for symbol in symbols if symbol.name not in without]
    return elf_linked([*kept, *more], **{"needed": ["libc.so.6"], "program": True, "code": bytes(4), **options})


def code(*targets: int, bti: bool = False) -> bytes:
    """Trampolines to addresses in the process."""
    return bytes(encode(array("Q", targets), bti=bti))


def stubs(**targets: int) -> dict[str, Any]:
    """The options of a patch that has these trampolines and a function of its own."""
    symbols = [Sym(name, CODE + 20 * number, bind=WEAK, other=HIDDEN, size=20) for number, name in enumerate(targets)]
    return {"symbols": [*symbols, Sym("patch_main", CODE + 0x400)], "code": code(*targets.values())}


def patch(*more: Sym, **options: Any) -> bytes:
    """A patch with *more* than its options say."""
    symbols = options.pop("symbols", [Sym("patch_main", CODE + 0x400)])
    return elf_linked([*symbols, *more], **{"needed": ["libc.so.6"], "soname": "patch.so", **options})


def said(checked: Checked, check: str) -> list[tuple[bool, str]]:
    """What one check says, and whether it speaks against the patch."""
    for finding in checked.findings:
        assert finding.ok or not finding.note
        assert finding.ok or finding.names or finding.check in UNNAMED or finding.message.startswith("they agree")
        assert all(name in finding.message for name in finding.names)
    return [(finding.ok, finding.message) for finding in checked.findings if finding.check == check]


UNNAMED = {"back-edge", "own name", "identity", "thread-locals", "bti", "origin", "alignment", "signature", "versions"}
"""Checks that may speak against a patch without naming a symbol."""


class Case:
    """A host, a patch and what else the caller gives."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = put(folder, "host", host())
        self.patch = put(folder, "patch.so", patch())

    def check(self, **options: Any) -> Checked:
        """The check of the files as they are."""
        return check_patch(self.patch, self.host, **options)

    def about(self, check: str, host: bytes | None = None, patch: bytes | None = None, **options: Any) -> list[Any]:
        """What one check says of *patch* and *host*."""
        if host is not None:
            put(self.folder, "host", host)
        if patch is not None:
            put(self.folder, "patch.so", patch)
        return said(self.check(**options), check)

    def linked(self, check: str, find: Mapping[str, bytes] | None = None, **options: Any) -> list[Any]:
        """As who knows the link asks: *find* has the libraries that are where the linker looks."""
        paths = {
            name: put(self.folder, f"found-{number}", raw) for number, (name, raw) in enumerate((find or {}).items())
        }
        plain: dict[str, Any] = {"slide": None, "exports": [], "libraries": [], "overrides": None, "pinned": []}
        known = {**plain, "previous": NO_PATCHES, "facts": None, **options}
        return said(check_linked(self.patch, self.host, Inputs, paths.get, **known), check)

    def given(self, name: str, *symbols: Sym, **options: Any) -> str:
        """The path of a library."""
        return put(self.folder, name, elf_linked(symbols, **options))


LEFT = "{} is left to the loader although the host defines it: its stub is not in the link"


NOWHERE = "{} is in no library that the patch names or the host loads: dlopen would fail"


TAKEN = (
    "{} comes from {} although the host defines it: the linker took the library's rather than the stub; link with "
    "ld64.lld, or call it otherwise"
)


SUPPLIED = "what is left undefined ({}) has a supplier or is weak"


SLOT = "__stubgen_slot."


READ = "{} is read at {}, but the host's is at {}"


FOUND = "1 slot found, each with what the host has there"


def slots(*rows: tuple[str, bytes]) -> dict[str, Any]:
    """The options of a patch with these slots, a symbol behind the prefix and its bytes each, and a stub for g."""
    known = stubs(g=SLIDE + G)
    symbols, content = known["symbols"], b""
    for name, raw in rows:
        at = CONSTANTS + len(content)
        symbols.append(Sym(SLOT + name, at, OBJECT, section=RODATA, other=HIDDEN, size=len(raw)))
        content += raw
    return {**known, "constants": content}


def words(*values: int) -> bytes:
    """64 bits each."""
    return b"".join((value % (1 << 64)).to_bytes(8, "little") for value in values)
