"""``build``: writes ``stub.o``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from stubgen.build import Built, StubBuilder, describe, refuse_problems
from stubgen.commands import SCHEMA, Outcome
from stubgen.commands.options import (
    add_build_options,
    add_decisions_option,
    add_explain_option,
    borrowed_documents,
    changed_value_notes,
    is_page,
    judge_options,
    keep_outputs_apart,
    listed_decisions,
    policy_documents,
    policy_lines,
    shared_variable_documents,
    shared_variable_notes,
    slide_document,
    verdict_counts,
    write_report,
)
from stubgen.common.cancellation import checkpoint
from stubgen.common.files import Outputs
from stubgen.common.text import counted
from stubgen.errors import SymbolRefusal, UsageError
from stubgen.session import Session
from stubgen.terminal.sheet import Sheet, Text

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    add_build_options(parser)
    add_explain_option(parser)
    add_decisions_option(parser)
    parser.add_argument(
        "--bound-dir", metavar="DIR", help="write bound copies of the objects there; link those, and data is right"
    )
    parser.add_argument("--allow-missing", action="store_true", help="leave symbols that the host lacks undefined")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="the stub object to write")


def execute(arguments: argparse.Namespace, session: Session | None = None) -> Outcome:
    """Build, verify and write; nothing is written when a needed symbol is refused."""
    if arguments.keep_state and arguments.bound_dir is None:
        raise UsageError("--keep-state works by bound copies: say where to write them with --bound-dir")
    if arguments.archive and arguments.bound_dir is None:
        raise UsageError("members of archives become bound copies: say where to write them with --bound-dir")
    keep_outputs_apart(arguments)
    options = judge_options(arguments)
    options["bind"] = arguments.bound_dir is not None
    builder = StubBuilder(
        arguments.host, symbols=arguments.symbols, build_id=arguments.build_id, cache=arguments.cache, session=session
    )
    judged = builder.judge(arguments.objects, arguments.aslr_reference, **options)
    listed = "all" if arguments.report else arguments.decisions if arguments.json else "none"
    verdicts: dict[str, object] = {
        "decisions": listed_decisions(judged, listed),
        "duplicates": shared_variable_documents(judged.shared_variables),
        "policies": policy_documents(judged.changes),
    }
    checkpoint()
    try:
        refuse_problems(judged, allow_missing=arguments.allow_missing)
    except SymbolRefusal as error:
        told = {"error": {"kind": type(error).__name__, "message": str(error)}}
        sheet: Sheet = []
        if arguments.explain:
            from stubgen.commands.explained import problems_sheet

            sheet = problems_sheet(judged, builder.host, [decision.name for decision in error.decisions])
        if arguments.json and listed != "all":
            verdicts["decisions"] = listed_decisions(judged, "all")
        return Outcome({**told, **verdicts}, sheet, error.exit_status, f"error: {error}", type(error).__name__)
    outputs = Outputs()
    with outputs:
        built = builder.emit(judged, bti=arguments.bti)
        checkpoint()
        copies = _stage(built, arguments, outputs)
        verdicts["duplicates"] = shared_variable_documents(built.resolution.shared_variables)
        document = _document(built, arguments.output, copies, verdicts)
        if is_page(arguments.report):
            from stubgen.report import make_page

            outputs.add(arguments.report, make_page({**document, "command": "build"}, mangled=arguments.mangled))
        else:
            write_report(arguments.report, {"schema": SCHEMA, "command": "build", **verdicts}, outputs)
    if arguments.report and arguments.decisions != "all":
        document["decisions"] = listed_decisions(judged, arguments.decisions)
    shared = built.resolution.shared_variables
    left = [f"note: {describe(d)}" for d in judged.problems] + shared_variable_notes(shared)
    left += changed_value_notes(shared)
    text: Sheet = [Text(_text(built, arguments.output, copies))]
    if arguments.explain:
        from stubgen.commands.explained import folded_verdicts

        text = [*text, *folded_verdicts(built.resolution)]
    return Outcome(document, text, complaint="\n".join(left), outputs=outputs)


def _stage(built: Built, arguments: argparse.Namespace, outputs: Outputs) -> Sequence[tuple[str, str]]:
    """Let the stub object and the bound copies be among the *outputs*; input and copy of each of these."""
    outputs.add(arguments.output, built.stub.content)
    if not built.bound:
        return ()
    from stubgen.bind import bound_paths, stage_bound

    copied = bound_paths([item.name for item in built.bound.objects], arguments.bound_dir)
    keep_outputs_apart(arguments, copies=copied)
    return stage_bound(built.bound, arguments.bound_dir, outputs)


def _document(
    built: Built, output: str, copies: Sequence[tuple[str, str]], verdicts: Mapping[str, object]
) -> dict[str, object]:
    """The ``--json`` document."""
    return {
        "output": output,
        "format": built.stub.format,
        "bytes": len(built.stub.content),
        "stubs": len(built.stub.names),
        "bti": built.stub.bti,
        **slide_document(built.resolution.slide),
        "bound": [{"input": name, "copy": copy} for name, copy in copies],
        "borrowed": borrowed_documents(built.resolution.needed),
        "verdicts": verdict_counts(built.resolution),
        **verdicts,
    }


def _text(built: Built, output: str, copies: Sequence[tuple[str, str]]) -> str:
    slide = built.resolution.slide
    verdicts = Counter(decision.verdict.value for decision in built.resolution.others)
    anchor = f" ({slide.anchor}: {slide.static_address:#x} -> {slide.runtime_address:#x})" if slide.anchor else ""
    lines = [
        f"{output}: {counted(len(built.stub.names), 'stub')}, {len(built.stub.content)} bytes, verified",
        f"slide {slide.value:#x}{anchor}",
    ]
    lines += policy_lines(built.resolution.changes)
    lines += [f"{count} {verdict}" for verdict, count in sorted(verdicts.items())]
    lines += [f"{name} -> {copy}" for name, copy in copies]
    return "\n".join(lines)
