"""What became of every captured argument, worked out from what became of every option; and the plan made of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from stubgen.common.row import Row
from stubgen.linkplan.library_file import LibraryFile
from stubgen.linkplan.options import Role
from stubgen.linkplan.plan import Action, Edit, LinkPlan
from stubgen.linkplan.request import PatchRequest
from stubgen.linkplan.response import ResponseFile
from stubgen.linkplan.tokens import Shape, Tokens, render
from stubgen.linkplan.toolchain import CommandLine


class Verdict(Row):
    """What becomes of one option or input."""

    stays: bool
    why: str
    """For people."""
    dropped_roles: tuple[Role, ...] = ()
    """The role for which it goes; none: it stays, or goes for another reason."""
    instead: str = ""
    """What takes its place; it counts as staying then."""


KEPT = Verdict(True, "")
"""No rule names it."""


def edits_of(tokens: Tokens, verdicts: Sequence[Verdict], line: CommandLine) -> list[Edit]:
    """What became of every captured argument, the program's and those in front of it first, in order."""
    owner, items, first_word = tokens.owner, tokens.items, tokens.first_word
    instead = {
        word: verdicts[index].instead
        for index in [index for index, verdict in enumerate(verdicts) if verdict.instead]
        for word in items[index].words
    }
    after = render(tokens, [verdicts[index].stays for index in owner], instead)
    files, file_of = line.expansion.files, line.expansion.file_of[line.toolchain.arguments :]
    arguments, shapes = tokens.arguments, tokens.shapes
    whole, kept, dropped = Shape.WHOLE, Action.KEPT, Action.DROPPED  # an enum's members are slow to look up
    edits = list(line.toolchain.edits)
    new = tuple.__new__  # half the time of calling the class
    position = 0
    count = len(arguments)
    while position < count:
        file = file_of[position]
        index = owner[first_word[position]]
        if file >= 0:
            end = position
            while end < count and file_of[end] == file:
                end += 1
            edits.append(_response_edit(files[file], _span(tokens, after, verdicts, position, end)))
        elif shapes[position] is whole and len(items[index].words) == 1:  # nearly every argument
            end = position + 1
            stays, why, roles, other = verdicts[index]
            argument = (arguments[position],)
            if other:
                edits.append(Edit(Action.REPLACED, argument, (other,), why))
            elif stays:
                edits.append(new(Edit, (kept, argument, argument, why, ())))
            else:
                edits.append(new(Edit, (dropped, argument, (), why, roles)))
        else:
            end = _end_of_item(tokens, position)
            edits.append(_edit(_span(tokens, after, verdicts, position, end)))
        position = end
    return edits


def _end_of_item(tokens: Tokens, position: int) -> int:
    """The argument after the last one that belongs wholly to the item at argument *position*."""
    owner = tokens.owner
    end, words = tokens.step(position)
    index = owner[words[0]]
    if any(owner[word] != index for word in words):  # a -Wl, list of several items
        return end
    last = tokens.items[index].words[-1]
    while words[-1] < last:
        following, words = tokens.step(end)
        if any(owner[word] != index for word in words):
            break
        end = following
    return end


class _Span(Row):
    """Consecutive arguments that one edit is about."""

    before: tuple[str, ...]
    after: tuple[str, ...]
    verdicts: Iterable[Verdict]
    """What becomes of the items that have words in it, in order."""

    def why(self, *, stays: bool) -> str:
        """The reasons of the items that stay, or of those that go."""
        return "; ".join(dict.fromkeys(v.why for v in self.verdicts if (v.stays and not v.instead) is stays and v.why))

    def dropped_roles(self) -> tuple[Role, ...]:
        """The roles of the items that go."""
        return tuple(dict.fromkeys(role for verdict in self.verdicts for role in verdict.dropped_roles))


def _span(
    tokens: Tokens, after: Sequence[tuple[str, ...]], verdicts: Sequence[Verdict], position: int, end: int
) -> _Span:
    """The arguments *position* to *end*."""
    owners = tokens.owner[tokens.first_word[position] : tokens.first_word[end]]
    return _Span(
        tuple(tokens.arguments[position:end]),
        tuple([argument for rest in after[position:end] for argument in rest]),
        {id(verdicts[owner]): verdicts[owner] for owner in owners}.values(),  # nearly all are one constant
    )


def _edit(span: _Span) -> Edit:
    """The edit of arguments of the command line itself."""
    before, after, _ = span
    if after == before:
        return Edit(Action.KEPT, before, after, span.why(stays=True))
    action = Action.REPLACED if after else Action.DROPPED
    return Edit(action, before, after, span.why(stays=False), span.dropped_roles())


def _response_edit(file: ResponseFile, span: _Span) -> Edit:
    """The edit of a response file."""
    text, (before, after, _) = (file.text,), span
    if after == before:
        if not file.copied:
            return Edit(Action.KEPT, text, text, "a response file with nothing to change")
        return Edit(
            Action.REPLACED, text, after, "the file may be gone when the patch is linked; these are its arguments"
        )
    why, roles = span.why(stays=False), span.dropped_roles()
    if not after:
        return Edit(Action.DROPPED, text, (), why, roles)
    count = len(before) - len(after)
    gone = f"{count} of its {len(before)} arguments go" if count else "parts of its arguments go"
    return Edit(Action.REPLACED, text, after, f"{gone}: {why}", roles)


def make_plan(
    line: CommandLine,
    request: PatchRequest,
    edits: Sequence[Edit],
    libraries: tuple[LibraryFile, ...] = (),
    wrapped: tuple[str, ...] = (),
) -> LinkPlan:
    """The plan that *edits* amount to."""
    args = tuple(argument for edit in edits for argument in edit.after)
    localize: tuple[str, ...] = ()
    if request.keep_global:
        from stubgen.linkplan.relocatable import localize_command

        inputs = [*request.extra, *request.objects]
        localize = localize_command(request.output, request.keep_global, inputs, objcopy=request.objcopy)
    return LinkPlan(
        args=args,
        output=request.output,
        edits=tuple(edits),
        directory=line.captured.directory,
        warnings=tuple(_warnings(line, args, edits)),
        os=request.os or line.toolchain.os,
        fixed=line.toolchain.fixed,
        localize=localize,
        wrapped=wrapped,
        libraries=libraries,
    )


def _warnings(line: CommandLine, args: Iterable[str], edits: Iterable[Edit]) -> Iterable[str]:
    """What could not be known of a command that became *args*."""
    start_up = Role.START_UP
    for edit in edits:
        if start_up in edit.dropped_roles:
            yield (
                f"{' '.join(edit.before)}: is an executable's, and what a shared library has instead does not lie "
                "beside it: without a __dso_handle of its own, the patch must not have static destructors"
            )
    missing = line.expansion.missing
    passed_on = frozenset(args) if missing else frozenset()
    for text in missing:
        if text in passed_on:
            yield f"{text}: no such response file, so the plan passes it on unread; it may name objects of the host"
    target = line.toolchain.target
    if "mingw" in target or "windows" in target:
        yield f"{target}: hot patches for Windows are not supported; the plan is a guess"
