"""What the tests of hosts and their index share."""

from __future__ import annotations

from pathlib import Path

import pytest

from stubgen import image
from stubgen.common import cache as cache_module
from stubgen.host import index


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of its own, in which the smallest host is worth an index that vouches at once."""
    folder = tmp_path / "cache" / cache_module.OWN_FOLDER
    folder.parent.mkdir()
    monkeypatch.setenv(cache_module.FOLDER_VARIABLE, str(folder.parent))
    monkeypatch.setattr(index, "SMALLEST", 1)
    monkeypatch.setattr(image, "INDEX_PAYS", 0)
    monkeypatch.setattr(index, "SETTLED", 0.0)
    monkeypatch.setattr(index, "_missing", {})
    return folder
