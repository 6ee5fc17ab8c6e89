"""Callers in earlier patches that rely on registers of functions which the newest one replaces there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from stubgen.common.text import as_bytes
from stubgen.generations.redirections import key_of
from stubgen.generations.state import PatchSession
from stubgen.host.previous import EarlierPatch
from stubgen.image import Image
from stubgen.registers import Redirected, Reliance, relying_callers
from stubgen.symbols.rust import is_rust_name


def relying_in_earlier(
    session: PatchSession,
    patches: Sequence[EarlierPatch],
    patch: Image,
    objects: Sequence[Image],
    newest: Mapping[int, int],
) -> Iterator[Reliance]:
    """As :func:`~stubgen.registers.relying_callers`, of functions of earlier patches whose callers are led elsewhere.

    Args:
        session: as it is with the patch's functions.
        patches: those whose code runs.
        patch: the newest one.
        objects: its own.
        newest: key in the table -> static address in the patch; ``old`` and ``address`` of what is found are like keys.
    """
    images = {each.path: each.image for each in patches}
    for generation in session.generations:
        if generation.patch not in images:
            continue
        rust = {number for number, one in enumerate(session.functions) if is_rust_name(as_bytes(one.name))}
        keys = {
            place.address: key_of(session, generation, place.address)
            for place in generation.places
            if place.function not in rust
        }
        redirected = [Redirected(at, newest[key], objects) for at, key in keys.items() if key in newest]
        for one in relying_callers(images[generation.patch], patch, redirected):
            key = keys[one.old]
            yield one._replace(old=key, address=one.address + key - one.old)
