"""``explain``: why a symbol of the patch has its verdict."""

from __future__ import annotations

from stubgen.build import StubBuilder
from stubgen.commands import Outcome
from stubgen.commands.explained import explanation_document, explanations_sheet
from stubgen.commands.options import add_build_options, judge_options
from stubgen.errors import SymbolRefusal, UsageError
from stubgen.explain import explain_symbols
from stubgen.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "symbol", metavar="SYMBOL", help="a symbol of the patch's objects, mangled or as people write it"
    )
    add_build_options(parser)
    parser.add_argument(
        "--captured", metavar="PATH", help="the record of the host's link, or the folder of records: judge as link does"
    )
    parser.add_argument(
        "--output-name", metavar="NAME", help="in a folder of records: what the link wrote (default: the host's name)"
    )
    parser.add_argument(
        "--unbound", action="store_true", help="judge as build does without bound copies: stubs alone answer"
    )


def execute(arguments: argparse.Namespace, session: Session | None = None) -> Outcome:
    """Judge, write nothing, and say why; exit status 1 when no object of the patch has the symbol."""
    if arguments.report is not None:
        raise UsageError("explain writes nothing: leave out --report")
    if arguments.unbound and arguments.captured is not None:
        raise UsageError("link always makes bound copies: leave out --unbound or --captured")
    options = judge_options(arguments)
    options["bind"] = not arguments.unbound
    placed = arguments.aslr_reference is not None or arguments.slide is not None
    if not placed:
        options["slide"] = 0  # no verdict goes by it
    builder = StubBuilder(
        arguments.host, symbols=arguments.symbols, build_id=arguments.build_id, cache=arguments.cache, session=session
    )
    linked: list[str] = []
    if arguments.captured is None:
        resolution = builder.judge(arguments.objects, arguments.aslr_reference, **options)
    else:
        from stubgen.commands.link import captured_link
        from stubgen.link_steps import PatchLink

        captured = captured_link(arguments, builder.host.identity)
        link = PatchLink(builder, captured, arguments.objects, (), options)
        resolution, linked = link.verdicts(arguments.aslr_reference), link.objects_of_host
    try:
        found = explain_symbols(resolution, builder.host, [arguments.symbol], linked)
    except SymbolRefusal as error:
        told = {"error": {"kind": type(error).__name__, "message": str(error)}}
        return Outcome(told, "", error.exit_status, f"error: {error}", type(error).__name__)
    document = {"explanations": [explanation_document(one, placed=placed) for one in found]}
    return Outcome(document, explanations_sheet(found, placed=placed))
