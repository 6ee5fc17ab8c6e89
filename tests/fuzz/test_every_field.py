"""No field of a file leads a reader or a phase to what the file has not."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz import engine, every_field, fields_archive, fields_elf, fields_macho, seeds
from fuzz.__main__ import main
from fuzz.targets import TARGETS, Target

from stubgen.common.record import Record
from stubgen.elf import records as elf_records
from stubgen.macho import records as macho_records

APART = 997
"""Of the inputs one in so many is tried here, and all by ``make fuzz FUZZ=--fields``."""


def test_some_fields() -> None:
    """The same few hundred each time. Twice in a row the fuzzer met what hours of it had not: one number, trusted."""
    faults = [
        f"{name}: {fault}: {one.seed}, {one.change}"
        for one in every_field.inputs(0, APART)
        for name in one.targets
        if (fault := engine.failure_of(TARGETS[name].run, one.content))
    ]
    assert not faults


def test_every_field_of_every_record() -> None:
    """A record that no seed has, or a field that is left out, would be trusted by whoever reads it first."""
    known = {
        (value.row.__name__, field.name)
        for module in (elf_records, macho_records)
        for value in vars(module).values()
        if isinstance(value, Record)
        for field in value.fields
    }
    readers = {b"\x7fELF": fields_elf, b"!<ar": fields_archive, b"!<th": fields_archive}
    seen = set()
    for kind in every_field.KINDS:
        for path in (seeds.SEEDS / kind).iterdir():
            content = path.read_bytes()
            seen |= {(place.record, place.field) for place in readers.get(content[:4], fields_macho).places(content)}
    assert not known - seen


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what was changed, and keeps it."""

    def trusting(content: bytes) -> int:
        return content[int.from_bytes(content[40:48], "little")]  # e_shoff

    monkeypatch.setattr(every_field, "KINDS", ("stub",))
    monkeypatch.setattr("fuzz.__main__.bounded", lambda: None)  # the test runner goes on
    monkeypatch.setitem(TARGETS, "verify", Target(trusting, ("stub",)))
    every_field.targets_of.cache_clear()
    assert main(["--fields", "--target", "verify", "--keep", str(tmp_path)]) == 1
    assert "Ehdr.e_shoff of the file at 0x28" in capsys.readouterr().out
    assert list(tmp_path.glob("findings/verify/*"))
