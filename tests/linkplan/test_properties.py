"""What must hold for any arguments at all: losing nothing, and deciding about each option by itself."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stubgen.linkplan import Action, Edit, LinkPlan, build_link_plan, driver_options, gnu_options, ld64_options
from stubgen.linkplan.additions import links_a_library
from stubgen.linkplan.options import Grammar, Option, Role
from stubgen.linkplan.tokens import render, tokenize

GNU, LD64, DRIVER = gnu_options.grammar(), ld64_options.grammar(), driver_options.grammar()
COMMANDS = {
    "gcc": (["aarch64-linux-gnu-gcc"], DRIVER, GNU),
    "clang": (["clang", "-target", "arm64-apple-macos12"], DRIVER, LD64),
    "ld.lld": (["ld.lld"], None, GNU),
    "ld64.lld": (["ld64.lld", "-arch", "arm64"], None, LD64),
}

OPERANDS = st.sampled_from(["x.o", "libz.so.1", "/a b/c.a", "@rpath/q.dylib", "10", "defs", "", "name", "main.c", "/"])
REFUSED_ROLES = {Role.COMPILE, Role.STATIC, Role.FORWARD_LIST, Role.FORWARD_NEXT, Role.TARGET, Role.END_OF_OPTIONS}
REFUSED_ROLES |= {Role.NO_LINK, Role.OUTPUT_FORMAT, Role.LAYOUT}
ANY_ARGUMENTS = st.lists(
    st.one_of(
        st.sampled_from([option.name for grammar in (GNU, LD64, DRIVER) for option in grammar.options()]),
        st.sampled_from(["-Wl,", "-Wl,-soname", "-Wl,a,-z,defs,b", "-Xlinker", "x.o", "-", "--", "-lfoo", "-o"]),
        OPERANDS,
    ),
    max_size=12,
)


@pytest.mark.parametrize("name", COMMANDS)
@given(arguments=ANY_ARGUMENTS)
def test_tokens_lose_nothing(name: str, arguments: list[str]) -> None:
    """With nothing to drop, the very same arguments come back, whatever they are."""
    _, driver, linker = COMMANDS[name]
    tokens = tokenize(arguments, driver, linker)
    assert [argument for rest in render(tokens, [True] * len(tokens.words)) for argument in rest] == arguments
    assert sorted(word for item in tokens.items for word in item.words) == list(range(len(tokens.words)))


def spelled(option: Option, value: str) -> list[list[str]]:
    """Every way to write *option* with *value*."""
    if option.form.both:
        return [[option.name + "arm64", value]]
    ways = []
    if option.form.separate or not option.form.joined:
        ways.append([option.name, *[value] * option.form.separate])
    if option.form.joined and option.form.separate <= 1 and value:
        ways.append([option.name + value])
    if option.form.equals:
        ways.append([f"{option.name}={value}"])
    return ways


def whole_options(grammar: Grammar) -> st.SearchStrategy[list[str]]:
    """Complete options of *grammar*, with operands, in any of their spellings."""
    options = [
        option
        for option in grammar.options()
        if option.role not in REFUSED_ROLES and option.name != "--no-dynamic-linker" and not option.form.optional
    ]
    return st.tuples(st.sampled_from(options), st.sampled_from(["x.o", "/a b/c.a", "10", "name"])).flatmap(
        lambda pair: st.sampled_from(spelled(*pair))
    )


def plan(prefix: list[str], groups: list[list[str]]) -> LinkPlan:
    """The plan of *groups* behind the program."""
    argv = [*prefix, *(argument for group in groups for argument in group)]
    return build_link_plan(argv, objects=["p.o"], output="p.so", soname="s")


def survivors(made: LinkPlan) -> list[str]:
    """Captured arguments that are still there."""
    return [argument for edit in made.edits if edit.action is not Action.ADDED for argument in edit.after]


@pytest.mark.parametrize("name", COMMANDS)
@given(data=st.data())
def test_options_are_judged_one_by_one(name: str, data: st.DataObject) -> None:
    """What happens to an option must not depend on its neighbours: the plan of a list is the list of plans.

    A layout script and the host's own name are the documented exceptions; they are left out here.
    """
    prefix, driver, linker = COMMANDS[name]
    groups = data.draw(st.lists(whole_options(driver or linker), max_size=6))
    kinds = {"-T", "--script", "--default-script", "-dT", "-shared", "-Bshareable", "-dylib", "-dynamiclib"}
    groups = [g for g in groups if not g[0].startswith(("-T", "-l", "-R")) and g[0] not in kinds]
    groups = [g for g in groups if not any("library" in g[0] or "framework" in g[0] for _ in g)]
    alone = [survivors(plan(prefix, [group]))[len(prefix) :] for group in groups]
    assert survivors(plan(prefix, groups))[len(prefix) :] == [argument for rest in alone for argument in rest]


@pytest.mark.parametrize("name", COMMANDS)
@given(data=st.data())
def test_an_unknown_flag_changes_nothing_else(name: str, data: st.DataObject) -> None:
    """A linker newer than the tables must not shift the arguments around its new option."""
    prefix, driver, linker = COMMANDS[name]
    groups = data.draw(st.lists(st.one_of(whole_options(driver or linker), OPERANDS.map(lambda o: [o])), max_size=6))
    position = data.draw(st.integers(0, len(groups)))
    flag = data.draw(st.sampled_from(["--zz-new-thing", "--zz-new=x.o", "-qqq", "-Wqqq"]))
    without = survivors(plan(prefix, groups))
    with_flag = survivors(plan(prefix, [*groups[:position], [flag], *groups[position:]]))
    assert with_flag.count(flag) == 1
    assert [argument for argument in with_flag if argument != flag] == without


@pytest.mark.parametrize("name", COMMANDS)
@given(data=st.data())
def test_planning_again_changes_nothing(name: str, data: st.DataObject) -> None:
    """Idempotent: a plan is a command like any other, and its own plan is itself."""
    prefix, driver, linker = COMMANDS[name]
    made = plan(prefix, data.draw(st.lists(whole_options(driver or linker), max_size=6)))
    again = build_link_plan(made.args, objects=["p.o"], output="p.so", soname="s")
    assert again.args == made.args


@given(st.lists(st.sampled_from(["-Wl,", "-l", "m", "--library", "=", ",", ".so", ".a", ".6", "x", "-L", "/", "-"])))
def test_an_argument_that_names_a_library_is_known(pieces: list[str]) -> None:
    """Objects behind a library under ``--as-needed`` get nothing from it: the patch would lack what it calls."""
    argument = "".join(pieces)
    expected = re.match(r"(-Wl,(.*,)?)?(-l|--library(=|$)|.*\.(so|a|so\.[\w.-]+)$)", argument)
    edit = Edit(Action.KEPT, (argument,), (argument,), "")
    assert links_a_library(edit) == (expected is not None)
