"""Windows-style commands: inputs and output go, nothing is added but the new ones."""

from __future__ import annotations

from stubgen.linkplan.additions import patch_inputs
from stubgen.linkplan.decisions import DROPS, HOST_INPUT
from stubgen.linkplan.edits import KEPT, Verdict, edits_of, make_plan
from stubgen.linkplan.options import Grammar, Role
from stubgen.linkplan.plan import Action, Edit, LinkPlan
from stubgen.linkplan.request import PatchRequest
from stubgen.linkplan.tokens import tokenize
from stubgen.linkplan.toolchain import CommandLine

OUTPUTS = ("out:", "implib:", "pdb:", "map:", "manifestfile:", "pgd:", "ilk:", "wholearchive:")
"""Options, behind ``/`` or ``-`` and in whichever case, that go: they name files of the full build."""


def plan_windows(line: CommandLine, request: PatchRequest) -> LinkPlan:
    """The plan of a Windows-style command."""
    tokens = tokenize(line.arguments, None, Grammar("Windows-style linker", ()))
    edits = edits_of(tokens, [_decide(argument) for argument in line.arguments], line)
    wanted = request.run_in(line.captured.directory)
    output = Edit(Action.ADDED, (), (f"/OUT:{wanted.output}",), "the patch")
    return make_plan(line, request, [*edits, *patch_inputs(wanted), output])


def _decide(argument: str) -> Verdict:
    """What becomes of one argument."""
    name = argument[1:].partition(":")[0]
    if argument[:1] in "/-" and "/" not in name:  # a path from a Unix host starts with a slash as well
        return DROPS[Role.OUTPUT] if argument[1:].lower().startswith(OUTPUTS) else KEPT
    return KEPT if argument.startswith("@") else HOST_INPUT
