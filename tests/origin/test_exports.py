"""Names that a builder will look up are held against the objects before anything is linked."""

from __future__ import annotations

from pathlib import Path

import pytest
from tools import need, run, zig

import stubgen
from stubgen.origin.exports import read_exports, why_not_exported

SOURCE = """
__attribute__((visibility("hidden"))) int concealed(void) { return 1; }
__attribute__((used)) static int run_turn(void) { return 2; }
int finish_turn(void) { return 3; }
"""


@pytest.fixture(scope="module", params=["elf", "macho"])
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> stubgen.Image:
    """An object of a hidden, a static and a visible function."""
    folder = tmp_path_factory.mktemp("exports")
    (folder / "turn.c").write_text(SOURCE)
    compiler = [need("aarch64-linux-gnu-gcc")] if request.param == "elf" else [*zig(), "cc", "-target", "aarch64-macos"]
    run([*compiler, "-fPIC", "-c", "turn.c", "-o", "turn.o"], cwd=folder)
    return stubgen.open_image((folder / "turn.o").read_bytes(), "turn.o")


REFUSED = {
    "typo": ("finish_trun", "no object of the patch defines it; did you mean {}finish_turn?"),
    "stranger": ("xyzzy", "no object of the patch defines it; they export {}finish_turn"),
    "static": ("run_turn", "it is static in turn.o"),
}


@pytest.mark.parametrize(("name", "sentence"), REFUSED.values(), ids=list(REFUSED))
def test_what_nobody_would_find(image: stubgen.Image, name: str, sentence: str) -> None:
    """Found after the link, by a message that does not say why."""
    with pytest.raises(stubgen.UsageError) as caught:
        read_exports([name], [image])
    assert sentence.format("_" if image.format == "macho" else "") in str(caught.value)


def test_what_the_linker_left_out(image: stubgen.Image) -> None:
    """A wrapper that takes no notice of the object was answered with: did you mean finish_turn, for that very name."""
    assert why_not_exported("finish_turn", [image]).startswith("turn.o defines it, and the linker left it out")


def test_names_as_dlsym_takes_them(image: stubgen.Image) -> None:
    """Mach-O's C names begin with an underscore, which dlsym adds; both spellings mean the one function."""
    spelled = "_finish_turn" if image.format == "macho" else "finish_turn"
    assert read_exports(["finish_turn", spelled], [image]) == (spelled,)


def test_names_that_something_else_defines(image: stubgen.Image) -> None:
    """--defsym and the stub object's anchor are in no object."""
    assert read_exports(["main"], [image], {"main"}) == ("main",)


CXX = """
namespace shop { long price(long x) { return x; } long price(int x) { return x; } long total(long x) { return x; } }
"""


def test_names_as_people_write_them(tmp_path: Path) -> None:
    """Nobody knows the mangled name of what they wrote by heart."""
    need("c++filt")
    (tmp_path / "shop.cc").write_text(CXX)
    run([need("aarch64-linux-gnu-g++"), "-fPIC", "-c", "shop.cc", "-o", "shop.o"], cwd=tmp_path)
    image = stubgen.open_image(tmp_path / "shop.o")
    assert read_exports(["shop::total", "shop::price(int)"], [image]) == ("_ZN4shop5totalEl", "_ZN4shop5priceEi")
    with pytest.raises(stubgen.UsageError, match="may be _ZN4shop5priceEi or _ZN4shop5priceEl: give one of them"):
        read_exports(["shop::price"], [image])
