"""From the command that linked the host to the command that links the patch.

:func:`plan_link` is the whole of it, step by step: ``request`` holds what it is made from, ``toolchain`` says which
program runs and how it reads its arguments, ``response`` unfolds response files, ``tokens`` takes the arguments apart
by the option tables, ``decisions`` says what becomes of each, ``edits`` puts that into one account, ``additions`` adds
what a patch needs besides, ``plan`` is the outcome and ``explain`` prints it. Everything that no rule names stays as
it was and where it was.
"""

from __future__ import annotations

from collections.abc import Sequence

from stubgen.common.arguments import check_keywords, instance
from stubgen.linkplan.additions import additions, kept_options, libraries_behind, with_additions
from stubgen.linkplan.decisions import decide_all, make_context, without_added
from stubgen.linkplan.edits import edits_of, make_plan
from stubgen.linkplan.libraries import libraries_in, named_objects
from stubgen.linkplan.options import Role
from stubgen.linkplan.plan import Action, Edit, LinkerOs, LinkPlan, linker_os_for_host
from stubgen.linkplan.refusals import refuse_other_links
from stubgen.linkplan.request import CapturedCommand, PatchRequest
from stubgen.linkplan.tokens import Tokens, tokenize
from stubgen.linkplan.toolchain import CommandLine, Family, read_command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Unpack

    from stubgen.linkplan.wishes import PatchWishes, PlanWishes

__all__ = [
    "Action",
    "CapturedCommand",
    "Edit",
    "LinkPlan",
    "LinkerOs",
    "PatchRequest",
    "build_link_plan",
    "linker_os_for_host",
    "plan_link",
    "refuse_unloadable",
    "wrapped_symbols",
]


def build_link_plan(argv: Sequence[str], **wishes: Unpack[PlanWishes]) -> LinkPlan:
    """The command that links the patch, from the one that linked the host: :func:`plan_link` in one call.

    Args:
        argv: the captured command, **the program first**, wrappers in front of it allowed. The plan's ``args``
            start with the program too.
        wishes: the keywords of :class:`PatchRequest` and the others of :class:`CapturedCommand`; ``objects`` and
            ``output`` are needed.

    Raises:
        PlanRefusal: hot-patching cannot work for what the command links.
        UsageError: the command names no linker, or only compiles; a keyword is unknown or its value is wrong.
        MalformedInput: a response file includes itself.
        UnreadableInput: a response file exists and cannot be read.
    """
    known = (*PatchRequest._fields, *CapturedCommand._fields[1:])
    check_keywords("build_link_plan", wishes, known, required=("objects", "output"))
    captured = CapturedCommand(
        argv,
        directory=wishes.pop("directory", None),
        response_files=wishes.pop("response_files", None),
        environment=wishes.pop("environment", None),
        added=wishes.pop("added", ()),
    )
    patch: PatchWishes = wishes  # what is left
    return plan_link(captured, PatchRequest(**patch))


def plan_link(captured: CapturedCommand, request: PatchRequest) -> LinkPlan:
    """The command that links the patch, from the one that linked the host.

    Raises:
        PlanRefusal: hot-patching cannot work for what the command links.
        UsageError: the command names no linker, or only compiles.
        MalformedInput: a response file includes itself.
        UnreadableInput: a response file exists and cannot be read.
    """
    instance(CapturedCommand, "CapturedCommand(argv)", "captured", captured)
    instance(PatchRequest, "PatchRequest(objects=..., output=...)", "request", request)
    line = read_command(captured, request.os)
    if line.toolchain.family is Family.MSVC:
        from stubgen.linkplan.windows import plan_windows

        return plan_windows(line, request)
    return _plan_unix(line, request)


def _plan_unix(line: CommandLine, request: PatchRequest) -> LinkPlan:
    """The plan of a compiler driver's command, or of a GNU-style or ld64-style linker's."""
    tokens = _tokens(line)
    context = make_context(tokens, line, request)
    refuse_other_links(tokens, context)
    verdicts = without_added(tokens, decide_all(tokens.items, context), line.captured.added)
    kept = kept_options(tokens, verdicts)
    wished = bool(request.libraries or request.extra)
    added = additions(context, kept, libraries_behind(tokens, verdicts, context) if wished else ())
    edits = with_additions(edits_of(tokens, verdicts, line), added, context)
    libraries = libraries_in([*context.libraries.values(), *context.runtimes])
    return make_plan(line, request, edits, libraries, context.wrapped)


def captured_objects(captured: CapturedCommand, os: LinkerOs | None = None) -> tuple[str, ...]:
    """The paths of the objects that the captured command names, there or not.

    Raises:
        PlanRefusal, UsageError, InputError: as for :func:`plan_link`.
    """
    line = read_command(captured, os)
    if line.toolchain.family is Family.MSVC:
        return ()
    return tuple(named_objects(_tokens(line).items, captured.directory or ""))


def wrapped_symbols(captured: CapturedCommand, os: LinkerOs | None = None) -> tuple[str, ...]:
    """What ``--wrap`` names in the captured command: :attr:`LinkPlan.wrapped`, before there is a plan.

    Raises:
        PlanRefusal, UsageError, InputError: as for :func:`plan_link`.
    """
    line = read_command(captured, os)
    if line.toolchain.family is not Family.GNU or not any("wrap" in word for word in line.arguments):
        return ()
    tokens = _tokens(line)
    wrap = Role.WRAP
    return tuple(
        dict.fromkeys(
            value for item in tokens.items if item.option and item.option.role is wrap for value in item.values
        )
    )


def refuse_unloadable(captured: CapturedCommand, os: LinkerOs | None = None) -> None:
    """Refuse a command that links what no patch can be loaded into, before there is a plan.

    Raises:
        PlanRefusal, UsageError, InputError: as for :func:`plan_link`.
    """
    line = read_command(captured, os)
    if line.toolchain.family is not Family.MSVC:
        tokens = _tokens(line)
        refuse_other_links(tokens, make_context(tokens, line, PatchRequest(objects=["patch.o"], output="patch", os=os)))


def _tokens(line: CommandLine) -> Tokens:
    toolchain = line.toolchain
    return tokenize(
        line.arguments, toolchain.driver_grammar() if toolchain.driver else None, toolchain.linker_grammar()
    )
