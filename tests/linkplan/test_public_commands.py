"""What must hold for every command that a real build issued.

The checks here know nothing of the option tables: they find options by their own short lists, so that a wrong
row in a table cannot hide itself.
"""

from __future__ import annotations

import re
import sys
from itertools import pairwise

import pytest
from linkplan.public_commands import COMMANDS, PLANNED, REFUSED, UNIX, Command

from stubgen.errors import PlanRefusal
from stubgen.linkplan import Action, LinkPlan, build_link_plan

OBJECTS = ["patch1.o", "patch2.o"]
ADDED = {"stub.o", *OBJECTS}


def plan_of(command: Command) -> LinkPlan:
    """The plan for *command* with two objects and a stub object."""
    return build_link_plan(command.argv, objects=OBJECTS, extra=["stub.o"], output="patch.so")


def flat(argv: tuple[str, ...] | list[str]) -> list[str]:
    """The words of *argv* as the linker sees them: ``-Wl,`` lists and ``-Xlinker`` opened."""
    words: list[str] = []
    for word in argv:
        if word.startswith("-Wl,"):
            words += word[4:].split(",")
        elif word != "-Xlinker":
            words.append(word)
    return words


def ids(commands: list[Command]) -> list[str]:
    """Names for the test report."""
    return [command.id for command in commands]


@pytest.mark.parametrize("command", PLANNED, ids=ids(PLANNED))
def test_edits_account_for_every_argument(command: Command) -> None:
    """An argument that no edit mentions vanished silently, and nobody could find out why the link changed."""
    plan = plan_of(command)
    before = [argument for edit in plan.edits for argument in edit.before]
    after = [argument for edit in plan.edits for argument in edit.after]
    assert before == command.argv
    assert tuple(after) == plan.args
    assert all(edit.why for edit in plan.edits if edit.action is not Action.KEPT)


@pytest.mark.parametrize("command", UNIX, ids=ids(UNIX))
def test_one_output_and_one_shared_directive(command: Command) -> None:
    """Two outputs overwrite the host's file; two kinds of output are an error in lld."""
    words = flat(plan_of(command).args)
    assert [following for word, following in pairwise(words) if word == "-o"] == ["patch.so"]
    assert not [word for word in words if re.match(r"-o[^bp]|--output", word)]
    kinds = {"-shared", "--shared", "-dynamiclib", "-dylib", "-bundle", "-pie", "-no-pie", "-static", "-r", "-execute"}
    kinds |= {"--relocatable", "-no_pie", "-static-pie", "-Bshareable"}
    assert len([word for word in words if word in kinds]) == 1


PAIRS = {
    "-lto_library",
    "-plugin",
    "-sectcreate",
    "-add_ast_path",
    "-dynamic-linker",
    "--dynamic-linker",
    "-alias",
    "--exclude-libs",
    "-rpath",
    "-L",
    "-F",
}
"""Options of the corpus whose operands look like inputs and stay."""


EVERY_IMAGES = re.compile(
    r"(crt(i|n|beginS|endS|begin_so|end_so|fastmath)|clang_rt\.crt(begin|end)[\w-]*)\.o$|(builtins[\w-]*|clang_rt\.(osx|iossim)|libgcc)\.a$"
)
"""What the host's link has too, and every image needs of its own."""


@pytest.mark.parametrize("command", UNIX, ids=ids(UNIX))
def test_no_input_that_was_not_asked_for(command: Command) -> None:
    """One object of the host in the patch is a duplicate of code that already runs, with its own globals."""
    words = flat(plan_of(command).args)
    inputs = [
        word
        for previous, word in pairwise(words)
        if re.search(r"\.(o|a|rlib|lo|bc|rmeta)(\.[\d.]+)?$", word)
        and not word.startswith("-")
        and not EVERY_IMAGES.search(word)
        and previous not in {*PAIRS, "-o", "-soname", "-install_name"}
    ]
    assert inputs == ["stub.o", *OBJECTS]


DIRECTIVES = re.compile(
    r"--unresolved-symbols|-undefined$|--no-undefined$|(-z)?defs$|(-z)?undefs$|--error-unresolved-symbols|"
    r"--no-allow-shlib-undefined"
)


@pytest.mark.parametrize("command", UNIX, ids=ids(UNIX))
def test_the_unresolved_directive_is_the_last_of_its_kind(command: Command) -> None:
    """A ``-z defs`` after it wins in GNU ld and lld, and every host symbol that stub.o leaves out is an error."""
    words = flat(plan_of(command).args)
    directives = [word for word in words if DIRECTIVES.match(word)]
    expected = "-undefined" if command.flavor == "darwin" else "--unresolved-symbols=ignore-all"
    if command.id != "cmake-ld-dreal-noundefined":  # passes a GNU option to ld64, which is its own affair
        assert directives == [expected]
    assert directives[-1] == expected
    if expected == "-undefined":
        assert words[words.index("-undefined") + 1] == "dynamic_lookup"


VALUED = {"-L", "-l", "-B", "-F", "-framework", "-weak_framework", "-isysroot", "-arch", "-target", "-rpath"}
VALUED |= {"-iframework", "-syslibroot", "-m", "-platform_version", "-macosx_version_min", "--sysroot", "-rpath-link"}
JOINED = re.compile(r"-(L|l|B(?!static|dynamic)|F|m|fuse-ld=|-target=|-sysroot=|rpath=|-ld-path=|R)(?!ap$).")
NOT_KEPT = re.compile(r"-l(crt1\.|:)|-map|-macosx_version_min")


def kept_words(argv: tuple[str, ...] | list[str]) -> list[str]:
    """Every option that must survive, with its operand, in order."""
    words = flat(argv)
    kept = []
    static = False
    for word, following in pairwise([*words, ""]):
        static = word in ("-Bstatic", "-static") or (static and word != "-Bdynamic")
        if static and word.startswith("-l") and word not in ("-lgcc", "-lclang_rt.builtins"):
            continue  # an archive, which no patch links
        if word in VALUED:
            kept.append(f"{word} {following}")
        elif JOINED.match(word) and not NOT_KEPT.match(word):
            kept.append(word)
    return kept


@pytest.mark.parametrize("command", UNIX, ids=ids(UNIX))
def test_search_paths_libraries_and_targets_stay_in_order(command: Command) -> None:
    """A lost ``-fuse-ld``, ``-target`` or ``-L`` links against another system, or not at all."""
    start = command.argv.index("--") + 2 if "--" in command.argv else 1  # behind a wrapper with options of its own
    before = kept_words(command.argv[start:])
    after = kept_words(plan_of(command).args)
    here = {library.found.partition(" in ")[0] for library in plan_of(command).archives}  # on this very machine
    assert after == [word for word in before if word not in here]


MAY_GO = re.compile(
    r"-o$|-o.|-(shared|dynamiclib|dylib|bundle|pie|no_pie|static|r|-relocatable)$|-undefined$|-z$|--no-undefined|"
    r"--error-unresolved-symbols|--version-script|--dynamic-list|-exported_symbols_list|--gc-sections|-dead_strip$|"
    r"--strip-(all|debug)|-soname|-install_name|-dylib_install_name|-(compatibility|current)_version|-Map|"
    r"--dependency-file|--out-implib|-object_path_lto|-dependency_info|-filelist|-force_load|-e$|-T|-lcrt1|-Xlinker$|"
    r"--?dynamic-linker|-alias$|-no_adhoc_codesign|-u$|--(trace|verbose)$|"
    r"-Bstatic|--?(no-)?whole-archive|-static-lib|-ObjC$|-all_load|-l|--icf="
)


@pytest.mark.parametrize("command", UNIX, ids=ids(UNIX))
def test_only_named_options_go(command: Command) -> None:
    """A tool that allow-lists options loses one after another; here whatever has no rule must stay."""
    program = next(position for position, edit in enumerate(plan_of(command).edits) if "links" in edit.why)
    for edit in plan_of(command).edits[program + 1 :]:
        if edit.action is Action.DROPPED:
            first = flat(edit.before)[0]
            assert MAY_GO.match(first) or not first.startswith("-"), edit


@pytest.mark.parametrize("command", UNIX, ids=ids(UNIX))
def test_planning_a_plan_changes_nothing_but_names(command: Command) -> None:
    """A builder that patches a patch's command must not lose one option a round."""
    plan = plan_of(command)
    again = build_link_plan(plan.args, objects=OBJECTS, extra=["stub.o"], output="patch.so")
    assert again.args == plan.args


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.id in REFUSED], ids=sorted(REFUSED))
def test_hopeless_commands_are_refused_with_the_reason(command: Command) -> None:
    """A plan for an iPhone or a WebAssembly module would cost its user hours."""
    with pytest.raises(PlanRefusal, match=REFUSED[command.id]):
        plan_of(command)


def test_windows_commands_are_only_stripped() -> None:
    """A Windows-style link gets no option that link.exe does not know."""
    for command in PLANNED:
        if command.flavor == "msvc":
            added = [a for edit in plan_of(command).edits if edit.action is Action.ADDED for a in edit.after]
            assert added == ["stub.o", *OBJECTS, "/OUT:patch.so"]


def test_report(capsys: pytest.CaptureFixture[str]) -> None:
    """The table that a reviewer reads: a rule gone wild shows as a number that does not fit."""
    rows = []
    for command in PLANNED:
        plan = plan_of(command)
        counts = {action: sum(len(e.before) for e in plan.edits if e.action is action) for action in Action}
        rows.append((command.id, len(command.argv), counts[Action.KEPT], counts[Action.DROPPED], len(plan.args)))
        assert counts[Action.KEPT] + counts[Action.DROPPED] + counts[Action.REPLACED] == len(command.argv)
    with capsys.disabled():
        lines = [f"{'command':44} tokens   kept dropped planned"]
        lines += [f"{name:44} {a:6} {b:6} {c:7} {d:7}" for name, a, b, c, d in rows]
        sys.stdout.write("\n" + "\n".join(lines) + "\n")
