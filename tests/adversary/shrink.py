"""Makes a finding small: what can go without the finding going with it goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from adversary.changes import changed, rewritten, with_digests
from adversary.interpret import HEADER
from adversary.model import Call, Constant, Program, functions_in, parts, variables_in
from adversary.plans import Plan, changed_files, is_usable


def shrink(plan: Plan, still: Callable[[Plan], bool], tries: int = 400) -> Plan:
    """The smallest plan found of which *still* says that it shows the same; it is asked at most *tries* times."""
    progress = True
    while progress and tries > 0:
        progress = False
        for smaller in _smaller(plan):
            if tries <= 0:
                break
            if not _is_plan(smaller):
                continue
            tries -= 1
            if still(smaller):
                plan, progress = smaller, True
                break
    return plan


def _is_plan(plan: Plan) -> bool:
    language = plan.build.language
    pairs = zip(plan.versions, plan.versions[1:], strict=False)
    return (
        len(plan.versions) > 1
        and all(is_usable(version, language) for version in plan.versions)
        and all(changed_files(before, after, language) for before, after in pairs)
    )


def _smaller(plan: Plan) -> Iterator[Plan]:
    """Plans that are a little smaller, those that lack most first."""
    for number in range(len(plan.versions)):
        yield plan._replace(versions=plan.versions[:number] + plan.versions[number + 1 :])
    if plan.versions[0].archived:
        yield _each(plan, lambda program: program._replace(archived=()))
    if plan.versions[0].shared:
        yield _each(plan, lambda program: program._replace(shared=()))
    names = dict.fromkeys(f.name for version in plan.versions for file in version.files for f in file.functions)
    for name in reversed(names):
        if not name.startswith("digest_"):
            yield _each(plan, lambda program, name=name: _without_function(program, name))
    files = dict.fromkeys(file.name for version in plan.versions for file in version.files)
    for name in files:
        if name != HEADER:
            yield _each(plan, lambda program, name=name: _without_file(program, name))
    variables = dict.fromkeys(v.name for version in plan.versions for file in version.files for v in file.variables)
    for name in variables:
        yield _each(plan, lambda program, name=name: _without_variable(program, name))
    statements = dict.fromkeys(
        (f.name, statement)
        for version in plan.versions
        for file in version.files
        for f in file.functions
        for statement in f.body
        if not f.name.startswith("digest_")
    )
    for function, statement in statements:
        yield _each(plan, lambda program, f=function, s=statement: _without_statement(program, f, s))
    build = plan.build
    for option in build.link_options:
        rest = tuple(each for each in build.link_options if each != option)
        yield plan._replace(build=build._replace(link_options=rest))
    for option in build.options:
        if option != "-g":
            rest = tuple(each for each in build.options if each != option)
            yield plan._replace(build=build._replace(options=rest))


def _each(plan: Plan, change: Callable[[Program], Program]) -> Plan:
    return plan._replace(versions=tuple(with_digests(change(version)) for version in plan.versions))


def _without_function(program: Program, name: str) -> Program:
    def uncalled(node: Any) -> Any:
        return Constant(5) if type(node) is Call and node.function == name else node

    for file in program.files:
        kept = tuple(rewritten(each, uncalled) for each in file.functions if each.name != name)
        kept = tuple(
            each._replace(body=tuple(statement for statement in each.body if name not in functions_in(statement)))
            for each in kept
        )
        variables = tuple(v for v in file.variables if v.function != name and name not in v.initial)
        program = changed(program, file.name, functions=kept, variables=variables)
    return program


def _without_file(program: Program, name: str) -> Program:
    found = [file for file in program.files if file.name == name]
    for function in found[0].functions if found else ():
        program = _without_function(program, function.name)
    for variable in found[0].variables if found else ():
        program = _without_variable(program, variable.name)
    files = tuple(file for file in program.files if file.name != name)
    archived, shared = (tuple(each for each in some if each != name) for some in (program.archived, program.shared))
    return program._replace(files=files, archived=archived, shared=shared)


def _without_variable(program: Program, name: str) -> Program:
    for file in program.files:
        functions = tuple(
            each._replace(body=tuple(statement for statement in each.body if name not in variables_in(statement)))
            for each in file.functions
        )
        variables = tuple(v for v in file.variables if v.name != name and name not in v.initial)
        program = changed(program, file.name, functions=functions, variables=variables)
    return program


def _without_statement(program: Program, function: str, statement: Any) -> Program:
    for file in program.files:
        functions = tuple(
            each._replace(body=tuple(part for part in each.body if part != statement))
            if each.name == function
            else each
            for each in file.functions
        )
        program = changed(program, file.name, functions=functions)
    return program


def size(plan: Plan) -> int:
    """How many nodes the plan's programs have."""
    return sum(1 for version in plan.versions for _ in parts(version))
