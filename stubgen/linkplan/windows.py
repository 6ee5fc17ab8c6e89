"""Windows-style commands: inputs and output go, nothing is added but the new ones."""

from __future__ import annotations

from stubgen.linkplan.additions import patch_inputs
from stubgen.linkplan.decisions import DROPS, HOST_INPUT
from stubgen.linkplan.edits import KEPT, Verdict, edits_of, make_plan
from stubgen.linkplan.options import SEPARATE, Grammar, Role
from stubgen.linkplan.plan import Action, Edit, LinkPlan
from stubgen.linkplan.request import PatchRequest
from stubgen.linkplan.tokens import Item, tokenize
from stubgen.linkplan.toolchain import CommandLine, program_name

OUTPUTS = ("out:", "implib:", "pdb:", "map:", "manifestfile:", "pgd:", "ilk:", "wholearchive:")
"""Options, behind ``/`` or ``-`` and in whichever case, that go: they name files of the full build."""

COMPILER_OUTPUTS = ("Fe", "Fo", "Fd", "Fm")
"""The same of cl and clang-cl, which heed the case."""

COMPILERS = ("cl", "clang-cl")

GRAMMAR = Grammar("Windows-style linker", ((Role.OUTPUT, SEPARATE, "-o /o"),))  # clang-cl's


def plan_windows(line: CommandLine, request: PatchRequest) -> LinkPlan:
    """The plan of a Windows-style command."""
    tokens = tokenize(line.arguments, None, GRAMMAR)
    edits = edits_of(tokens, [_decide(item, tokens.words[item.words[0]]) for item in tokens.items], line)
    wanted = request.run_in(line.captured.directory)
    output = [f"/OUT:{wanted.output}"]
    if program_name(edits[len(line.toolchain.edits) - 1].after[-1]) in COMPILERS and "/link" not in line.arguments:
        output.insert(0, "/link")
    return make_plan(line, request, [*edits, *patch_inputs(wanted), Edit(Action.ADDED, (), tuple(output), "the patch")])


def _decide(item: Item, argument: str) -> Verdict:
    """What becomes of *item*, which begins with *argument*."""
    if item.option is not None:
        return DROPS[item.option.role]
    name = argument[1:].partition(":")[0]
    if argument[:1] in "/-" and "/" not in name:  # a path from a Unix host starts with a slash as well
        output = argument[1:].lower().startswith(OUTPUTS) or argument[1:3] in COMPILER_OUTPUTS
        return DROPS[Role.OUTPUT] if output else KEPT
    return KEPT if argument.startswith("@") else HOST_INPUT
