"""The mutants that no test can kill, and why each is harmless: ``survivors.toml``."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

FILE = Path(__file__).parent / "survivors.toml"


@cache
def explained() -> dict[tuple[str, str, str, str], str]:
    """Module, function, line as it stands, change -> why it changes nothing that matters."""
    rows = tomllib.loads(FILE.read_text()).get("survivor", [])
    return {(row["module"], row["function"], row["code"], row["change"]): row["reason"] for row in rows}
