"""``link``: build, plan, the real link and check in one command."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stubgen.build import StubBuilder
from stubgen.capture import Capture, newest_capture
from stubgen.capture.outputs import identity_of_host
from stubgen.commands import SCHEMA, Outcome
from stubgen.commands.check import account_document, check_document, check_table, write_map
from stubgen.commands.jumptable import (
    add_table_options,
    led_by_kept_lines,
    relying_lines,
    table_document,
    table_lines,
    table_options,
)
from stubgen.commands.options import (
    add_build_options,
    add_decisions_option,
    add_explain_option,
    borrowed_documents,
    borrowed_lines,
    changed_value_notes,
    compared_notes,
    decision_documents,
    failure_document,
    few,
    identity_document,
    is_page,
    judge_options,
    keep_outputs_apart,
    listed_decisions,
    policy_documents,
    policy_lines,
    replaced_document,
    shared_variable_documents,
    shared_variable_notes,
    slide_document,
    verdict_counts,
    write_report,
)
from stubgen.commands.reach import reach_document, reach_lines
from stubgen.commands.sessions import (
    add_session_options,
    generation_document,
    generation_lines,
    generation_notes,
    has_placeholders,
    session_options,
    with_names,
)
from stubgen.common.arguments import StrPath
from stubgen.common.cancellation import tidy_at_signals
from stubgen.common.files import Outputs
from stubgen.common.placeholders import DIGITS
from stubgen.common.text import counted
from stubgen.errors import PatchRefusal, SymbolRefusal, UsageError
from stubgen.image.identity import HostIdentity
from stubgen.jumptable import TableOptions
from stubgen.jumptable.formats import encode_jump_table
from stubgen.link import Linked, stage_patch
from stubgen.link_steps import PatchLink
from stubgen.reach import Reach, find_reach
from stubgen.session import Session
from stubgen.terminal.sheet import Sheet, Text

if TYPE_CHECKING:
    import argparse

    from stubgen.generations.linking import LinkedGeneration
    from stubgen.generations.opening import Begun, SessionOptions
    from stubgen.keywords import Options
    from stubgen.resolve.verdicts import SharedVariable
    from stubgen.terminal.sheet import Block


def configure_parser(parser: argparse.ArgumentParser, *, objects: bool = True) -> None:
    """The command's options; ``patch`` makes the *objects* itself."""
    add_build_options(parser, objects=objects)
    add_explain_option(parser)
    add_decisions_option(parser)
    parser.add_argument(
        "--captured", required=True, metavar="PATH", help="the record of the host's link, or the folder of records"
    )
    parser.add_argument(
        "--output-name", metavar="NAME", help="in a folder of records: what the link wrote (default: the host's name)"
    )
    parser.add_argument(
        "--allow-rebuilt", action="store_true", help="use the captured link although it wrote another build of the host"
    )
    parser.add_argument("--extra", action="append", default=[], metavar="OBJ", help="a further input for the link")
    parser.add_argument(
        "--override-map",
        metavar="FILE",
        help="write which of the host's functions the patch replaces, with their addresses, for the next one",
    )
    parser.add_argument(
        "--jump-table", metavar="FILE", help="write where a runtime finds the functions that the patch replaces"
    )
    add_table_options(parser)
    add_session_options(parser)
    parser.add_argument(
        "--reach", action="store_true", help="say what in the host still leads to the functions that the patch replaces"
    )
    parser.add_argument(
        "--bound-dir", metavar="DIR", help="keep the bound copies there: Mach-O debug information names them"
    )
    parser.add_argument(
        "--keep-temps", action="store_true", help="keep what the linker reads, in OUT.temps: the link can be repeated"
    )
    parser.add_argument("--stub", metavar="FILE", help="keep the stub object")
    parser.add_argument("--map", metavar="FILE", help="write where everything in the patch comes from, as JSON")
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="OUT",
        help="the patch to write; {generation} and {digest} stand for the patch's own",
    )


def execute(
    arguments: argparse.Namespace, session: Session | None = None, told: Callable[[Any], Any] = lambda value: value
) -> Outcome:
    """Link the patch; it appears only when it is sound. *told* is what becomes of each document that is written."""
    wanted_session = session_options(arguments)
    _keep_apart(with_names(arguments, None if wanted_session is None else "0"))
    options, wanted = judge_options(arguments), _table_options(arguments)
    builder = StubBuilder(
        arguments.host,
        symbols=arguments.symbols,
        build_id=arguments.build_id,
        cache=arguments.cache,
        session=session,
    )
    # By default that of the host, so it is the host's path that may be wrong.
    captured = captured_link(arguments, builder.host.identity)
    outputs = Outputs()
    with outputs, tidy_at_signals():
        try:
            linked, generation = _linked(outputs, arguments, wanted_session, builder, captured, wanted, options)
        except (SymbolRefusal, PatchRefusal) as error:
            explained = _explained(builder, captured, arguments, options) if arguments.explain else []
            if not explained:
                raise
            outputs.discard()
            return Outcome(
                failure_document(error), explained, error.exit_status, f"error: {error}", type(error).__name__
            )
        number = None if generation is None else str(generation.number)
        arguments = with_names(arguments, number, linked.digest[:DIGITS])
        _keep_apart(arguments, captured.files())
        reach = find_reach(linked.built.host, linked.replaced) if arguments.reach else None
        result = _Result(linked, generation, reach)
        document = result.document() if arguments.json or is_page(arguments.report) else result.summary()
        result.stage(arguments, document, outputs, told)
    words = [f"linker: {word}" for word in (*linked.plan.warnings, *linked.messages.splitlines())]
    notes = generation_notes(generation) if generation else []
    if arguments.decisions != "all" and arguments.json:
        document["decisions"] = listed_decisions(linked.built.resolution, arguments.decisions)
    shared = linked.built.resolution.shared_variables
    notes = [*shared_variable_notes(shared), *changed_value_notes(shared), *compared_notes(linked.compared), *notes]
    complaint = "\n".join([*words, *notes])
    return Outcome(document, result.text(explained=arguments.explain), complaint=complaint, outputs=outputs)


class _Result(NamedTuple):
    """A linked patch, what it is in its session, and who still reaches what it replaced, if that was asked for."""

    linked: Linked
    generation: LinkedGeneration | None
    reach: Reach | None

    def verdicts(self) -> dict[str, object]:
        """What became of each symbol, for ``--json`` and ``--report``."""
        resolution = self.linked.built.resolution
        return {
            "decisions": decision_documents(resolution.decisions()),
            "duplicates": shared_variable_documents(resolution.shared_variables),
            "policies": policy_documents(self.linked.policy_changes),
        }

    def summary(self) -> dict[str, object]:
        """What of the ``--json`` document ``patch`` asks for; of a large object the whole takes as long as a link."""
        linked, generation, _ = self
        told = generation_document(generation) if generation else {}
        return {"borrowed": borrowed_documents(linked.built.resolution.needed), **told}

    def document(self) -> dict[str, object]:
        """The ``--json`` document."""
        linked, generation, reach = self
        identity = linked.built.stub.identity
        return {
            "output": str(linked.output),
            "stubs": len(linked.built.stub.names),
            **slide_document(linked.built.resolution.slide),
            "identity": identity_document(identity) if identity else None,
            "verdicts": verdict_counts(linked.built.resolution),
            **self.verdicts(),
            "borrowed": borrowed_documents(linked.built.resolution.needed),
            "replaces": linked.replaces,
            **self.replaced(),
            "compared": list(linked.compared),
            "link_command": list(linked.command),
            "directory": str(linked.plan.directory) if linked.plan.directory else None,
            "linker_messages": linked.messages,
            "check": check_document(linked.checked),
            **(table_document(linked.jump_table) if linked.jump_table else {}),
            **(generation_document(generation) if generation else {}),
            **(reach_document(reach) if reach else {}),
        }

    def replaced(self) -> dict[str, object]:
        """What the patch replaces, and who relies on registers of that, for ``--json`` and ``--override-map``."""
        linked = self.linked
        earlier = zip(linked.replaced_in_previous, linked.relying_in_previous, strict=True)
        return {
            **replaced_document(linked.replaced, linked.relying, "host"),
            "previous": [
                {"patch": path, **replaced_document(found, relying, "copies")} for (path, found), relying in earlier
            ],
        }

    def stage(
        self,
        arguments: argparse.Namespace,
        document: Mapping[str, object],
        outputs: Outputs,
        told: Callable[[Any], Any],
    ) -> None:
        """Let the files that tell of the patch be among the *outputs*; *document* is :meth:`document`'s."""
        linked = self.linked
        if is_page(arguments.report):
            outputs.add(arguments.report, self.page(told, document, mangled=arguments.mangled))
        elif arguments.report is not None:
            verdicts = told(self.verdicts())
            write_report(arguments.report, {"schema": SCHEMA, "command": "link", **verdicts}, outputs)
        write_map(arguments.map, linked.checked, "link", str(linked.output), outputs, linked.policy_changes, told)
        if arguments.override_map is not None:
            replaced = told(self.replaced())
            write_report(arguments.override_map, {"schema": SCHEMA, "functions": linked.replaces, **replaced}, outputs)
        if linked.jump_table is not None and arguments.jump_table is not None:
            pid = arguments.pid if self.generation is None else self.generation.session.pid
            entries = tuple(entry._replace(object=told(entry.object)) for entry in linked.jump_table.entries)
            table = linked.jump_table._replace(entries=entries)
            outputs.add(arguments.jump_table, encode_jump_table(table, arguments.table_format, pid))

    def page(self, told: Callable[[Any], Any], document: Mapping[str, object], *, mangled: bool) -> bytes:
        """The page of the patch; it says who reaches the old code whether that was asked for or not."""
        from stubgen.report import make_page

        linked = self.linked
        reach = self.reach or find_reach(linked.built.host, linked.replaced)
        account = linked.checked.account
        whole = told({**document, **reach_document(reach), "command": "link"})
        edits = [edit._replace(after=tuple(told(list(edit.after)))) for edit in linked.plan.edits]
        plan = linked.plan._replace(args=tuple(told(list(linked.plan.args))), edits=tuple(edits))
        return make_page(whole, told(account_document(account)) if account else None, plan, mangled=mangled)

    def text(self, *, explained: bool) -> Sheet:
        """The same for a person."""
        linked, generation, reach = self
        told = [*(generation_lines(generation) if generation else []), *(reach_lines(reach) if reach else [])]
        text = [*_sheet(linked), *([Text("\n".join(told))] if told else [])]
        if explained:
            from stubgen.commands.explained import folded_verdicts
            from stubgen.commands.plan import plan_sheet

            text += [*folded_verdicts(linked.built.resolution), Text(""), *plan_sheet(linked.plan)]
        return text


def _keep_apart(arguments: argparse.Namespace, inputs: Iterable[StrPath] = ()) -> None:
    """Refuse outputs that would overwrite one of *inputs*, another input or each other."""
    written = {name: getattr(arguments, name) for name in ("stub", "override_map", "map", "jump_table")}
    keep_outputs_apart(arguments, [*inputs, *filter(None, [arguments.session])], **written)


def _linked(
    outputs: Outputs,
    arguments: argparse.Namespace,
    session: SessionOptions | None,
    builder: StubBuilder,
    captured: Capture,
    wanted: TableOptions | None,
    options: Options,
) -> tuple[Linked, LinkedGeneration | None]:
    """The patch, and what it is in its session."""
    given: dict[str, Any] = {
        "bti": arguments.bti,
        "extra": arguments.extra,
        "stub": arguments.stub,
        "bound_dir": arguments.bound_dir,
        "keep_temps": arguments.keep_temps,
        "allow_rebuilt": arguments.allow_rebuilt,
        "jump_table": wanted,
    }
    if session is None:
        _keep_apart(with_names(arguments, None), captured.files())
        objects, output, reference = arguments.objects, arguments.output, arguments.aslr_reference
        given["placeholders"] = {} if has_placeholders(arguments) else None
        given["as_built"] = getattr(arguments, "as_built", ())  # of patch, which compiles
        return stage_patch(outputs, builder, captured, objects, output, reference, **given, **options), None
    from stubgen.generations.linking import begin_generation, refuse_known_path, stage_generation

    objects, output, reference = arguments.objects, arguments.output, arguments.aslr_reference
    kept = getattr(arguments, "kept_objects", {})  # of patch, which compiles them into a folder that is gone then
    begun = begin_generation(outputs, session, builder, objects, reference, options, kept)
    named = with_names(arguments, str(begun.number))
    refuse_known_path(begun, named.output, named.lib)
    _keep_apart(named, [*captured.files(), *_files_of(begun)])
    generation = stage_generation(outputs, begun, builder, captured, objects, output, reference, **given, **options)
    return generation.linked, generation


def _files_of(begun: Begun) -> list[str]:
    """What an output must not overwrite: patches that the process has, and objects that are linked again."""
    return [*(patch.patch for patch in begun.holding), *(unit.path for unit in begun.relinked)]


def _explained(builder: StubBuilder, captured: Capture, arguments: argparse.Namespace, options: Options) -> list[Block]:
    """All about the symbols with which the patch cannot work; nothing where it is refused for something else."""
    from stubgen.commands.explained import problems_sheet

    link = PatchLink(builder, captured, arguments.objects, (), options)
    judged = link.verdicts(arguments.aslr_reference)
    names = [decision.name for decision in judged.problems]
    return [*problems_sheet(judged, builder.host, names, link.objects_of_host)]


def _table_options(arguments: argparse.Namespace) -> TableOptions | None:
    if arguments.jump_table is None:
        about_table = arguments.lib or arguments.all or arguments.strict or arguments.direct_calls
        if about_table or (arguments.pid is not None and arguments.session is None):
            raise UsageError(
                "--lib, --all, --strict, --direct-calls and --pid are about a jump table: add --jump-table FILE"
            )
        return None
    return table_options(arguments)


def captured_link(arguments: argparse.Namespace, identity: HostIdentity | None = None) -> Capture:
    """The record of the host's link, of this very build if there is one of it."""
    path = Path(arguments.captured)
    if path.is_dir() or not (path.exists() or path.suffix == ".json"):
        identity = identity or identity_of_host(arguments.host)
        return newest_capture(path, arguments.output_name or Path(arguments.host).name, identity)
    return Capture.load(path)


def _sheet(linked: Linked) -> Sheet:
    resolution = linked.built.resolution
    title = (
        f"{linked.output}: {linked.size} bytes, {counted(len(linked.built.stub.names), 'stub')}, "
        f"slide {resolution.slide.value:#x}"
    )
    lines = policy_lines(linked.policy_changes)
    without_table = [*_relying_lines(linked), *led_by_kept_lines(linked.led_by_kept)]
    lines += table_lines(linked.jump_table) if linked.jump_table else without_table
    lines += kept_lines([variable for variable in resolution.shared_variables if variable.forwarded])
    return [
        Text("\n".join([title, *borrowed_lines(resolution.needed)])),
        check_table(linked.checked),
        *([Text("\n".join(lines))] if lines else []),
    ]


def kept_lines(kept: Sequence[SharedVariable]) -> list[str]:
    """The state that goes on, by name; of a C++ file there are tens of constants besides, for each class two."""
    told = [variable.name for variable in kept if variable.writable]
    constants = len(kept) - len(told)
    told += [counted(constants, "constant")] if constants else []
    unseen = [variable.name for variable in kept if not variable.type_compared]
    lines = [f"  kept as the host's: {', '.join(told)}"] if told else []
    if unseen:
        lines.append(f"  of these no debug information (-g) says whether the type is still the host's: {few(unseen)}")
    return lines


def _relying_lines(linked: Linked) -> list[str]:
    """Whom no direct call may be led to, in the host and in earlier patches."""
    earlier = [found for _, found in linked.replaced_in_previous]
    lines = []
    for found, relying in zip([linked.replaced, *earlier], [linked.relying, *linked.relying_in_previous], strict=True):
        names = {copy.static_address: item.name for item in found.functions for copy in item.copies}
        lines += relying_lines(names, relying)
    return list(dict.fromkeys(lines))
