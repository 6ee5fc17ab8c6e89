"""What is in a file as a document: everything, names as the file has them."""

from __future__ import annotations

from collections.abc import Sequence

from stubgen.commands.options import identity_document
from stubgen.common.text import as_text
from stubgen.image.identity import identity_in
from stubgen.listing.files import Archive
from stubgen.listing.patch import SLOT_KINDS, FoundSlot, origins
from stubgen.listing.selection import Selection
from stubgen.listing.symbols import Listed
from stubgen.stub.find import Stub


def archive_document(path: str, archive: Archive, selections: Sequence[Selection]) -> dict[str, object]:
    """An archive and its members; *selections* are those of the members that were opened."""
    left = iter(selections)
    return {
        "file": path,
        "format": "archive",
        "role": "archive",
        "size": archive.size,
        "members": [
            {"member": member.name, "size": member.size, "problem": member.why_not}
            if member.opened is None
            else {"member": member.name, **file_document(f"{path}({member.name})", next(left)), "problem": None}
            for member in archive.members
        ],
    }


def file_document(path: str, selection: Selection) -> dict[str, object]:
    """A file, and what of it was asked for."""
    opened = selection.opened
    image = opened.image
    identity = identity_in(image)
    linked = opened.role != "object"
    return {
        "file": path,
        "format": image.format,
        "role": opened.role,
        "title": opened.title,
        "size": opened.size,
        "build_id": image.build_id.hex() if image.build_id else None,
        "identity": identity_document(identity) if identity else None,
        "install_name": opened.install_name,
        "needed_libraries": list(opened.needed_libraries),
        "source_file": None if linked else as_text(image.source_file) or None,
        "stubs": [_stub_document(stub) for stub in selection.stubs],
        "slots": [_slot_document(slot) for slot in selection.slots],
        "origins": {source.value: count for source, count in origins(image, opened.stubs)} if opened.is_patch else None,
        "symbols": [_symbol_document(symbol) for symbol in selection.symbols],
    }


def _stub_document(stub: Stub) -> dict[str, object]:
    return {
        "name": as_text(stub.name),
        "section": stub.section,
        "address": stub.address,
        "target": stub.target,
        "bti": stub.bti,
        "weak": stub.weak,
        "hidden": stub.hidden,
    }


def _slot_document(slot: FoundSlot) -> dict[str, object]:
    return {
        "name": as_text(slot.name),
        "symbol": as_text(slot.symbol),
        "addend": slot.addend,
        "section": slot.section,
        "address": slot.address,
        "size": slot.size,
        "kind": SLOT_KINDS[slot.size],
        "value": slot.value,
        "kept": slot.kept,
    }


def _symbol_document(symbol: Listed) -> dict[str, object]:
    traits = symbol.traits
    return {
        "name": as_text(symbol.name),
        "version": symbol.version or None,
        "default": symbol.default,
        "address": symbol.address,
        "size": symbol.size,
        "kind": traits.kind,
        "binding": traits.binding,
        "visibility": traits.visibility,
        "section": traits.section or None,
        "defined": traits.defined,
        "exported": symbol.exported,
        "file": as_text(symbol.file) or None,
        "library": symbol.library or None,
    }
