"""Linkers that misbehave, as shell scripts in front of a real one."""

from __future__ import annotations

import json
from pathlib import Path

HEAD = '#!/bin/sh\nfor word; do [ "$before" = -o ] && out=$word; before=$word; done\n'
"""Finds the output."""

LINKERS = {
    "writes nothing": ("exit 0", 4),
    "half an output": ('{real} "$@" && head -c 3000 "$out" > "$out.h" && mv "$out.h" "$out"', 4),
    "an empty output": (': > "$out"', 4),
    "another architecture": (
        'printf "\\177ELF\\002\\001\\001\\000\\000\\000\\000\\000\\000\\000\\000\\000" > "$out"; '
        'printf "\\003\\000\\076\\000%048d" 0 >> "$out"',
        4,
    ),
    "megabytes of words": ('head -c 5000000 /dev/zero | tr "\\000" "x" >&2; {real} "$@"', 0),
    "half a file and an error": ('echo half > "$out"; echo cannot >&2; exit 1', 4),
    "ended by a signal": ('echo half > "$out"; kill -SEGV $$', 4),
    "deletes its inputs": ('{real} "$@"; s=$?; for word; do case $word in *.o) rm -f "$word";; esac; done; exit $s', 4),
    "an output that is a folder": ('mkdir "$out"', 4),
    "the host for an output": ('cp host "$out"', 4),
    "links an object that nobody named": ('{real} "$@" part.o', 1),
    "defines what has a stub": ('{real} "$@" -Wl,--defsym=helper=main', 1),
    "wraps what has a stub": ('{real} "$@" -Wl,--wrap=helper', 1),
    "takes a script of its own": (
        'echo "SECTIONS { .text : { *(.text .text.*) } .rodata : { *(.rodata*) } }" > "$out.ld"; '
        '{real} "$@" "-Wl,-T,$out.ld"',
        1,
    ),
}
"""What it does -> the script, and the exit status of ``link``: 0 where nothing is the worse for it."""


IGNORED = {
    "-shared": 4,
    "-Wl,--unresolved-symbols": 0,
    "-Wl,--export-dynamic-symbol": 0,
    "-Wl,-soname": 0,
    "-Wl,-Map": 0,
    "@": 4,
    "stub.o": 4,
    "000-patch.o": 1,
}
"""What is in a word that it takes no notice of -> the exit status of ``link``."""


def ignoring(part: str) -> str:
    """A script that leaves out the words that have *part* in them, but never the output."""
    return (
        f'for word; do shift; case $previous$word in -o*) ;; *"{part}"*) continue;; esac; previous=; '
        '[ "$word" = -o ] && previous=-o; set -- "$@" "$word"; done; {real} "$@"'
    )


def misbehave(folder: Path, script: str) -> None:
    """Let the captured link in *folder* run *script* for its linker."""
    (record,) = (folder / "captured").glob("*.link.json")
    document = json.loads(record.read_text())
    (folder / "bad-gcc").write_text(f"{HEAD}{script.replace('{real}', document['argv'][0])}\n")
    (folder / "bad-gcc").chmod(0o755)
    document["argv"][0] = str(folder / "bad-gcc")
    record.write_text(json.dumps(document))
