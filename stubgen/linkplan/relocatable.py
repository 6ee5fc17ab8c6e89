"""What follows a relocatable link: only chosen symbols stay global in the merged object.

A COMDAT group is known to later links by its signature symbol (gABI chapter 4, "Section Groups"). A signature
that became local would make every copy of the group look like its own, so signatures stay global.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from stubgen.common.files import read_input
from stubgen.common.text import as_text
from stubgen.elf.constants import SHT_GROUP
from stubgen.elf.reader import ElfFile


def group_signatures(path: str | os.PathLike[str]) -> list[str]:
    """The signature symbols of the COMDAT groups in the ELF object *path*; none for another format.

    Raises:
        UnreadableInput: the file cannot be read.
        MalformedInput: it is a broken ELF file.
    """
    content = read_input(path)
    if bytes(content[:4]) != b"\x7fELF":
        return []
    file = ElfFile(content, os.fspath(path))
    symbols = file.symbols
    if symbols is None:
        return []
    groups = [section.header.sh_info for section in file.sections if section.header.sh_type == SHT_GROUP]
    return sorted({as_text(symbols.name(index)) for index in groups} - {""})


def localize_command(
    merged: str | os.PathLike[str], keep_global: Sequence[str], inputs: Sequence[str], *, objcopy: str = "llvm-objcopy"
) -> tuple[str, ...]:
    """The command that makes every symbol of *merged* local but *keep_global* and the signatures of *inputs*."""
    present = [path for path in inputs if os.path.isfile(path)]
    names = dict.fromkeys([*keep_global, *(name for path in present for name in group_signatures(path))])
    return (objcopy, *(f"--keep-global-symbol={name}" for name in names), os.fspath(merged))
