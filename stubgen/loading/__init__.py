"""Whether a linked patch can be loaded where its host runs: segments, stack, alignment, signature, versions.

``elf`` and ``macho`` are twins: each has ``findings(patch, host, libraries)``. What a loader refuses, or does to
the whole process, speaks against the patch; what depends on a machine that nobody described here is a note.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from stubgen.finding import Finding
from stubgen.image import Image


def loading_findings(patch: Image, host: Image, libraries: Mapping[str, Image]) -> Iterator[Finding]:
    """What speaks against loading *patch* beside *host*.

    Args:
        patch: a linked image.
        host: of the same format.
        libraries: name that a patch may need -> that library.
    """
    if patch.format == "elf":
        from stubgen.loading.elf import findings
    else:
        from stubgen.loading.macho import findings
    found = list(findings(patch, host, libraries))
    yield from found
    if all(finding.ok for finding in found):
        yield Finding("loading", True, "its segments, and what it asks of the loader, are as the host's")
