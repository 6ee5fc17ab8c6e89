"""Many functions are replaced at once: the host is gone through for all of them together."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from counting import count_calls
from resolve.test_many_statics import program_and_patch
from resolve.test_same_file import Workshop

from stubgen import find_reach, open_host
from stubgen.host import Host
from stubgen.reach import Reach

FEW, MANY = 300, 900


def reach_into(made: list[Reach], host: Host, names: list[str]) -> None:
    """Put what leads to the functions *names* into *made*."""
    made.append(find_reach(host, names))


@pytest.mark.parametrize("compiler", ["gcc", "clang", "apple"])
def test_three_times_the_functions_are_three_times_the_work(tmp_path: Path, compiler: str) -> None:
    """Of 15,000 functions each was looked for among the clones and pointers of all the others."""
    calls = []
    prefix = "_" if compiler == "apple" else ""
    for number in (FEW, MANY):
        host = open_host(program_and_patch(tmp_path / str(number), compiler, number)[0])
        names = [f"{prefix}f{n}" for n in range(number)]
        made: list[Reach] = []
        calls.append(count_calls(partial(reach_into, made, host, names)))
        assert [one.name for one in made[0].functions] == names
    assert calls[1] < 1.2 * MANY / FEW * calls[0]


def test_clones_are_found_of_many_as_of_one(tmp_path: Path) -> None:
    """A clone that is missed goes on with what the old function did."""
    hidden = '__attribute__((noinline, visibility("hidden")))'
    lines = [
        f"{hidden} int g{n}(int a, int b) {{ for (int i = 0; i < b; ++i) a = a * 3 ^ i; return a; }} "
        f"int h{n}(int a) {{ return g{n}(a, {n + 2}); }}"
        for n in range(20)
    ]
    shop = Workshop(tmp_path)
    path = shop.link(shop.compile("a.c", "\n".join([*lines, "int enter(void) { return h0(1); }"]), "-O3"))
    host, names = open_host(path), [f"{letter}{n}" for n in range(20) for letter in "gh"]
    together = {one.name: one for one in find_reach(host, names).functions}
    assert sum(bool(one.clones) for one in together.values()) == 20
    for name in names:
        assert find_reach(host, [name]).functions == (together[name],)
