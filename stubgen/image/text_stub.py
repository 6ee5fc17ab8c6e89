"""The names that an Apple text-based stub (``.tbd``) exports: what an SDK has in place of a library.

Versions 1 to 4 are YAML and 5 is JSON, as LLVM's ``TextStub.cpp`` and ``TextStubV5.cpp`` read them. Libraries that
the stub re-exports stand in the same file and count as its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

ARCHITECTURE = "arm64"  # also arm64e, for which code for arm64 links
PREFIXES = {"objc-classes": ("_OBJC_CLASS_$_", "_OBJC_METACLASS_$_"), "objc-eh-types": ("_OBJC_EHTYPE_$_",)}
"""Key of a list -> what the names in it become; every other list has them as they are."""
_LISTS = r"\b((?:weak-|weak-def-|thread-local-)?symbols|objc-classes|objc-eh-types):\s*\[(.*?)\]"
_JSON_PREFIXES = {"objc_class": PREFIXES["objc-classes"], "objc_eh_type": PREFIXES["objc-eh-types"]}


def is_text_stub(data: Any) -> bool:
    """Whether *data* begins like one."""
    head = bytes(data[:64])
    return head.startswith(b"--- ") or head.lstrip()[:1] == b"{"


def text_stub_exports(data: Any) -> set[bytes]:
    """The names that the stub exports for ARM64."""
    text = bytes(data).decode("utf-8", "surrogateescape")
    found = _of_json(text) if text.lstrip().startswith("{") else _of_yaml(text)
    return {name.encode("utf-8", "surrogateescape") for name in found}


def _of_yaml(text: str) -> Iterator[str]:
    for section in re.split(r"(?m)^(?=\S)", text):
        if not section.startswith(("exports:", "reexports:")):
            continue
        for block in re.split(r"- (?:targets|archs):", section)[1:]:
            targets, _, rest = block.partition("]")
            if ARCHITECTURE in targets:
                for kind, names in re.findall(_LISTS, rest, re.DOTALL):
                    for name in re.split(r"[\s,]+", names):
                        yield from (prefix + name.strip("'\"") for prefix in PREFIXES.get(kind, ("",)) if name)


def _of_json(text: str) -> Iterator[str]:
    import json

    try:
        document = json.loads(text)
        for library in (document["main_library"], *document.get("libraries", ())):
            for key in ("exported_symbols", "reexported_symbols"):
                for block in library.get(key, ()):
                    if any(target.startswith(ARCHITECTURE) for target in block.get("targets", (ARCHITECTURE,))):
                        yield from _of_json_block(block)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return


def _of_json_block(block: dict[str, Any]) -> Iterator[str]:
    for segment in ("data", "text"):
        for kind, names in block.get(segment, {}).items():
            for name in names:
                yield from (prefix + name for prefix in _JSON_PREFIXES.get(kind, ("",)))
