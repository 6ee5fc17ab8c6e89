"""Windows-style commands: inputs and output go, nothing is added but the new ones."""

from __future__ import annotations

from collections.abc import Sequence

from stubgen.linkplan.decisions import DROPPED, KEPT, StrPath, placed
from stubgen.linkplan.edits import Action, Edit, Verdict
from stubgen.linkplan.options import Grammar, Role
from stubgen.linkplan.tokens import Tokens, tokenize
from stubgen.linkplan.toolchain import Toolchain

OUTPUTS = ("out:", "implib:", "pdb:", "map:", "manifestfile:", "pgd:", "ilk:", "wholearchive:")


def plan_windows(
    plain: Sequence[str],
    toolchain: Toolchain,
    objects: Sequence[StrPath],
    extra: Sequence[StrPath],
    output: StrPath,
    directory: str | None,
) -> tuple[Tokens, list[Verdict], list[Edit]]:
    """A Windows-style command: inputs and output go, nothing is added but the new ones."""
    arguments = plain[toolchain.arguments :]
    tokens = tokenize(arguments, None, Grammar("Windows-style linker", ()))
    verdicts: list[Verdict] = []
    for argument in arguments:
        if (
            argument[:1] in "/-" and "/" not in argument[1:].partition(":")[0]
        ):  # a path from a Unix host starts with a slash as well
            goes = argument[1:].lower().startswith(OUTPUTS)
            verdicts.append((False, DROPPED[Role.OUTPUT]) if goes else KEPT)
        else:
            verdicts.append((False, DROPPED[Role.INPUT]) if not argument.startswith("@") else KEPT)
    added = [Edit(Action.ADDED, (), (placed(path, directory),), "asked for") for path in extra]
    added += [Edit(Action.ADDED, (), (placed(path, directory),), "an object of the patch") for path in objects]
    added.append(Edit(Action.ADDED, (), (f"/OUT:{placed(output, directory)}",), "the patch"))
    return tokens, verdicts, added
