"""Objects that are broken in their parts: what was found by changing sound ones at random."""

from __future__ import annotations

from pathlib import Path

import pytest

from stubgen.compare import object_parts
from stubgen.image.opening import open_image

FINDINGS = Path(__file__).parent.parent / "fuzz" / "findings"


@pytest.mark.parametrize("name", ["bind-elf/code-without-marks", "bind-macho/symbol-of-no-section"])
def test_parts_of_a_broken_object(name: str) -> None:
    """Code in which no mapping symbol says where it begins, and a symbol of a section that is none, were tracebacks."""
    (parts,) = object_parts([open_image((FINDINGS / name).read_bytes(), name)])
    assert [parts.uses(part) for part in parts.all()]
