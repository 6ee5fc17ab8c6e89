"""Verdicts and their reasons, for people and as documents: ``explain``, and ``--explain`` of ``build`` and ``link``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from stubgen.common.text import as_text, counted
from stubgen.explain import Considered, Explanation, Place, Standing, explain_symbols
from stubgen.image import Kind
from stubgen.resolve.resolution import Resolution
from stubgen.terminal.sheet import BOLD, GREEN, RED, YELLOW, Table, Text

if TYPE_CHECKING:
    from stubgen.host import Host
    from stubgen.image import Candidate
    from stubgen.terminal.sheet import Block, Sheet

COLOURS = {Standing.CHOSEN: GREEN, Standing.REFUSED: RED, Standing.UNDECIDED: YELLOW}
_EXPLAINED = 20
"""Symbols that a refused patch explains in full; a page each of a hundred would be read by nobody."""
_NAMED = 4
"""Names that a line has which stands for more."""


def folded_verdicts(resolution: Resolution) -> Sheet:
    """A line for each verdict and reason, with the symbols that have them."""
    held: dict[tuple[str, str], list[str]] = {}
    for decision in resolution.decisions():
        held.setdefault((decision.verdict.value, decision.reason), []).append(decision.name)
    for variable in resolution.shared_variables:
        if variable.forwarded or variable.writable:
            verdict = "host's variable" if variable.forwarded else "own variable"
            reason = variable.reason_not_kept or (
                "nothing speaks against it" if variable.forwarded else "not asked for"
            )
            held.setdefault((verdict, reason), []).append(variable.name)
    rows = []
    for (verdict, reason), names in held.items():
        more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
        rows.append((verdict, f"{len(names):,}", f"{reason}: {', '.join(names[:_NAMED])}{more}"))
    return [Text(""), Table(rows, indent=2, right=[1])]


def problems_sheet(resolution: Resolution, host: Host, names: Sequence[str], linked: Sequence[str] = ()) -> Sheet:
    """All about the first of *names*, symbols with which the patch cannot work; and how to ask about the others."""
    sheet = explanations_sheet(explain_symbols(resolution, host, names[:_EXPLAINED], linked), placed=True)
    more = len(names) - _EXPLAINED
    return [*sheet, Text(f"\nand {counted(more, 'symbol')} more: ask with explain")] if more > 0 else sheet


def explanations_sheet(explanations: Iterable[Explanation], *, placed: bool) -> Sheet:
    """All that is known of each symbol; *placed*: where the process has the host is known."""
    blocks: list[Block] = []
    for explanation in explanations:
        blocks += [*([Text("")] if blocks else []), *_sheet(explanation, placed)]
    return blocks


def _sheet(one: Explanation, placed: bool) -> Sheet:
    facts = [("why", one.reason), ("patch gets", one.consequence.gets)]
    decision = one.decision
    if decision is not None and decision.runtime_address is not None and placed:
        facts.append(("at run time", f"{decision.runtime_address:#x}"))
    if decision is not None and decision.patch:
        facts.append(("in", f"the earlier patch {decision.patch}"))
    if decision is not None and decision.policy:
        facts.append(("ruled by", f"policy {decision.policy}"))
    blocks: list[Block] = [Text(f"{one.name}: {one.verdict}", RED if one.is_problem else BOLD), Table(facts, indent=2)]
    if len(one.against) > 1:
        blocks += [Text("  speaks against it"), Table([("-", reason) for reason in one.against], indent=4)]
    blocks += _candidates(one)
    blocks += _places("  defined in the patch", [_defined(place) for place in one.definitions])
    blocks += _places("  referred to by the patch", list(_folded_uses(one.uses)))
    blocks += _places("  otherwise possible", [("-", way) for way in one.consequence.otherwise])
    if one.is_problem or one.against:
        close = decision.candidates if decision is not None and not one.considered else ()
        advice = [*(f"the host has {name}: is that meant?" for name in close), *one.consequence.advice]
        blocks += _places("  to do", [("-", each) for each in advice])
    return blocks


def _places(title: str, rows: Sequence[tuple[str, ...]]) -> Sheet:
    return [Text(title), Table(rows, indent=4)] if rows else []


def _candidates(one: Explanation) -> Sheet:
    if not one.considered:
        return [Text("  in the host: nothing of that name")]
    rows = []
    for each in one.considered:
        reason = "" if each.reason == one.reason else f": {each.reason}"
        rows.append((each.standing.value, f"{_candidate(each.candidate)}{reason}"))
    colours = [COLOURS.get(each.standing, "") for each in one.considered]
    return [Text("  in the host"), Table(rows, colours=colours, indent=4)]


def _candidate(candidate: Candidate) -> str:
    """One symbol of the host's: where, what, of which file and version."""
    mark = ("@@" if candidate.default else "@") + candidate.version if candidate.version else ""
    scope = "hidden" if candidate.hidden else "local" if candidate.local else "weak" if candidate.weak else "global"
    file = f" [{as_text(candidate.file)}]" if candidate.file else ""
    where = "elsewhere" if candidate.kind is Kind.IMPORT else f"{candidate.address:#x}"
    size = f", {counted(candidate.size, 'byte')}" if candidate.size else ""
    section = f" in {candidate.section}" if candidate.section else ""
    return f"{where} {scope} {candidate.kind.value} {as_text(candidate.name)}{mark}{section}{size}{file}"


def _defined(place: Place) -> tuple[str, ...]:
    symbol = place.definition
    if symbol is None or symbol.address is None:
        return place.object, "common"
    return place.object, f"{symbol.traits.section}+{symbol.address:#x}", f"{symbol.traits.binding} {symbol.traits.kind}"


def _folded_uses(places: Iterable[Place]) -> Iterable[tuple[str, ...]]:
    """A row for each function of an object and relocation, with the first place and how many there are."""
    held: dict[tuple[str, str, bytes, str, bool], list[int]] = {}
    for place in places:
        use = place.use
        if use is not None:
            key = place.object, use.section, use.function, use.relocation, use.branch
            held.setdefault(key, []).append(use.offset)
    for (name, section, function, relocation, branch), offsets in held.items():
        where = f"{section}+{offsets[0]:#x}" + (f" and {len(offsets) - 1} more" if len(offsets) > 1 else "")
        what = "call" if branch else "address"
        yield name, where, f"in {as_text(function)}" if function else "", what, relocation


def explanation_document(one: Explanation, *, placed: bool) -> dict[str, object]:
    """For ``--json``."""
    decision = one.decision
    return {
        "symbol": one.name,
        "verdict": one.verdict,
        "reason": one.reason,
        "problem": one.is_problem,
        "gets": one.consequence.gets,
        "otherwise": list(one.consequence.otherwise),
        "advice": list(one.consequence.advice) if one.is_problem or one.against else [],
        "against": list(one.against),
        "static_address": decision.static_address if decision else None,
        "runtime_address": decision.runtime_address if decision and placed else None,
        "close_names": list(decision.candidates) if decision and not one.considered else [],
        "patch": decision.patch or None if decision else None,
        "policy": decision.policy or None if decision else None,
        "candidates": [_candidate_document(each) for each in one.considered],
        "definitions": [_definition_document(place) for place in one.definitions],
        "uses": [_use_document(place) for place in one.uses],
    }


def _candidate_document(each: Considered) -> dict[str, object]:
    candidate = each.candidate
    return {
        "standing": each.standing.value,
        "reason": each.reason,
        "name": as_text(candidate.name),
        "version": candidate.version or None,
        "default": candidate.default,
        "address": candidate.address,
        "size": candidate.size,
        "kind": candidate.kind.value,
        "local": candidate.local,
        "hidden": candidate.hidden,
        "weak": candidate.weak,
        "exported": candidate.exported,
        "section": candidate.section or None,
        "file": as_text(candidate.file) or None,
    }


def _definition_document(place: Place) -> dict[str, object]:
    symbol = place.definition
    return {
        "object": place.object,
        "section": symbol.traits.section if symbol else None,
        "offset": symbol.address if symbol else None,
        "size": symbol.size if symbol else None,
        "kind": symbol.traits.kind if symbol else None,
        "binding": symbol.traits.binding if symbol else None,
    }


def _use_document(place: Place) -> dict[str, object]:
    use = place.use
    return {
        "object": place.object,
        "section": use.section if use else None,
        "offset": use.offset if use else None,
        "function": as_text(use.function) or None if use else None,
        "relocation": use.relocation if use else None,
        "addend": use.addend if use else None,
        "branch": use.branch if use else None,
    }
