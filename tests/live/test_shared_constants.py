"""A constant that an earlier patch has as the host has it: a later patch means the host's, which all others know."""

from __future__ import annotations

from pathlib import Path

import pytest
from live.live import LiveHost
from live.test_archives import LINKERS, make
from live.test_state import COMPILERS
from live.test_state_names import recompiled

from stubgen import PreviousPatch, StubBuilder, link_patch

FLAGS = "-O1 -fPIC -fdata-sections"
HOST = "const long limits[2] = {4, 7}; const long *limits_of(void) { return limits; }"
USER = "long host_entry(long by) { return by; }"
FIRST = "const long limits[2] = {4, VALUE}; const long *volatile fresh = limits;"
FIRST += "const long *limits_of(void) { return fresh; } long patch_main(void) { return (long)patch_main; }"
SECOND = "extern const long limits[2]; const long *limits_of(void); long host_entry(long by) { return by + 1; }"
SECOND += "long patch_main(void) { return (limits == limits_of()) * 10 + limits[1]; }"


@pytest.mark.parametrize("value", [7, 8])
@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("linker", LINKERS)
def test_one_that_only_a_pointer_in_data_reaches(linker: str, compiler: str, value: int, tmp_path: Path) -> None:
    """No code of the first patch says that it shares it: the second one compared with the first one's dead copy."""
    program = make(tmp_path, {"a.c": HOST, "b.c": USER}, {}, "a.o b.o", linker=linker, flags=FLAGS)
    builder, previous = StubBuilder(program.path), list[PreviousPatch]()
    with LiveHost(program.path) as live:
        answers = []
        for number, name, text in ((1, "a.c", FIRST.replace("VALUE", str(value))), (2, "b.c", SECOND)):
            patch = recompiled(tmp_path, name, text, compiler, FLAGS)
            output = tmp_path / f"patch-{number}.so"
            options = {"exports": ["patch_main"], "keep_state": True, "previous": list(previous)}
            link_patch(builder, program.captured, [patch], output, live.anchor, **options)  # type: ignore[arg-type]
            answers.append(int(live.patch(output).split()[1]))
            previous.append(PreviousPatch(output, answers[-1], "patch_main"))
    assert answers[1] == 10 + value
