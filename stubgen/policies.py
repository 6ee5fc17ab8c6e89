"""A builder's own rules: what a policy is asked, and how its answers take the place of what was proposed.

Policies are asked in the order in which they were given, each after the answers of those before it, and all that they
change is told with their names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from stubgen.common.aarch64 import ADDRESS_LIMIT, WORD
from stubgen.common.arguments import listed
from stubgen.common.row import Row
from stubgen.common.text import as_bytes, as_text
from stubgen.errors import StubgenError, UnreadableInput, UsageError
from stubgen.resolve.needed import Needed
from stubgen.resolve.resolution import Resolution
from stubgen.resolve.rulings import PolicyChange, RefuseSymbol, Ruled, Ruling, UseAddress, UseLoader, UseName
from stubgen.resolve.verdicts import Decision

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    T = TypeVar("T")

PROTOCOL = 1
"""Version of what a policy is asked and may answer; a method that changes its meaning raises it."""

GROUP = "hotpatch_stubgen.policies"
"""The group of entry points in which an installed distribution names its policies."""


class FinishedPatch(Row):
    """A patch that was linked and is sound, before it is put in its place."""

    path: str
    """Where it lies at the moment."""
    output: str
    """Where it is going to be."""
    exports: tuple[str, ...]
    """What it was asked to export."""
    resolution: Resolution
    """Every verdict."""
    command: tuple[str, ...]
    """What linked it."""


class Policy:
    """A builder's own rules; a class of yours overrides what it has something to say about.

    A method may raise a :class:`~stubgen.errors.StubgenError` (:class:`~stubgen.errors.PatchRefusal` says no to the
    patch); any other exception is an error in the policy, and ends the command likewise.
    """

    protocol = PROTOCOL
    """The version that it was written for."""

    @property
    def name(self) -> str:
        """What reports call it; by default its class's name."""
        return type(self).__name__

    def needed(self, names: Sequence[str]) -> None:
        """The patch refers to *names* and defines none of them."""

    def verdict(self, proposed: Decision) -> Ruling | None:
        """What the symbol of *proposed* shall be instead; None leaves it at that."""
        return None

    def link(self, command: Sequence[str]) -> Sequence[str] | None:
        """The words that shall link the patch instead of *command*, the program first; None leaves it at that."""
        return None

    def finished(self, patch: FinishedPatch) -> None:
        """The patch is ready; an exception means that it is not written."""


def read_policies(name: str, value: object) -> tuple[Policy, ...]:
    """Policies, each an instance.

    Raises:
        UsageError: one is not, or was written for another version of the protocol.
    """
    return listed(name, value, "Policy", _policy)


def _policy(name: str, value: object) -> Policy:
    if not isinstance(value, Policy):
        raise UsageError(f"{name}: {value!r} is no policy; give an instance of a class derived from stubgen.Policy")
    if value.protocol != PROTOCOL:
        raise UsageError(f"policy {value.name}: was written for protocol {value.protocol}; this version has {PROTOCOL}")
    return value


def load_policy(text: str) -> Policy:
    """The policy that a command line names.

    Args:
        text: ``module:Class``, ``file.py:Class``, or the name of an entry point of the group
            ``hotpatch_stubgen.policies``; with ``=ARGUMENT`` behind it, the class is called with that text.

    Raises:
        UsageError: there is none, or it cannot be made.
        UnreadableInput: the file cannot be read.
    """
    place, equals, argument = text.partition("=")
    module, colon, attribute = place.rpartition(":")
    found = _attribute(text, module, attribute) if colon else _entry_point(place)
    if not callable(found):
        raise UsageError(f"--policy {text}: {place} is no class")
    try:
        return _policy(f"--policy {text}", found(argument) if equals else found())
    except StubgenError:
        raise
    except Exception as error:
        raise UsageError(f"--policy {text}: cannot be made: {type(error).__name__}: {error}") from error


def _attribute(text: str, module: str, attribute: str) -> Any:
    try:
        loaded = _loaded(module) if module.endswith(".py") else __import__(module, fromlist=[attribute])
    except OSError as error:
        raise UnreadableInput(f"--policy {text}: {module}: {error.strerror}") from error
    except Exception as error:
        raise UsageError(f"--policy {text}: {module} cannot be imported: {type(error).__name__}: {error}") from error
    try:
        return getattr(loaded, attribute)
    except AttributeError:
        raise UsageError(f"--policy {text}: {module} has no {attribute}") from None


def _loaded(path: str) -> Any:
    """The module in the file at *path*, which need not be where Python looks for modules."""
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("hotpatch_stubgen_policy", path)
    assert spec is not None  # noqa: S101  # the name ends with .py
    assert spec.loader is not None  # noqa: S101
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _entry_point(name: str) -> Any:
    from importlib.metadata import entry_points

    installed = {point.name: point for point in entry_points(group=GROUP)}
    if name not in installed:
        known = f"installed are {', '.join(sorted(installed))}" if installed else "none is installed"
        raise UsageError(f"--policy {name}: there is no such policy: {known}; or give module:Class or file.py:Class")
    try:
        return installed[name].load()
    except Exception as error:
        raise UsageError(f"--policy {name}: cannot be imported: {type(error).__name__}: {error}") from error


def tell_needed(policies: Sequence[Policy], needed: Needed) -> None:
    """Tell each policy what the patch needs."""
    names = list(map(as_text, needed.references.spellings))
    for policy in policies:
        _asked(policy, "needed", policy.needed, tuple(names))


def judge(
    policies: Sequence[Policy], proposed: Resolution, again: Callable[[Mapping[bytes, Ruled]], Resolution]
) -> Resolution:
    """*proposed* with what *policies* say.

    Args:
        policies: in order.
        proposed: the verdicts without them.
        again: judges anew, with rulings by spelling.

    Raises:
        UsageError: a policy raised something else than our errors, or answered something else than a ruling.
    """
    rulings: dict[bytes, Ruled] = {}
    resolution = proposed
    for policy in policies:
        new = dict(_rulings(policy, resolution))
        if new:
            rulings |= new
            resolution = again(rulings)
    return resolution._replace(changes=tuple(_changes(proposed, resolution)))


def _rulings(policy: Policy, resolution: Resolution) -> Iterator[tuple[bytes, Ruled]]:
    for decision in resolution.decisions():
        ruling = _asked(policy, f"verdict of {decision.name}", policy.verdict, decision)
        if ruling is not None:
            yield as_bytes(decision.name), Ruled(_checked(policy, decision, ruling), policy.name)


def _checked(policy: Policy, decision: Decision, ruling: object) -> Ruling:
    """*ruling*, if it can be one.

    Raises:
        UsageError: it cannot.
    """
    says = f"policy {policy.name}: {decision.name}"
    if not isinstance(ruling, UseAddress | UseName | UseLoader | RefuseSymbol):
        raise UsageError(f"{says}: {ruling!r} is no ruling: UseAddress, UseName, UseLoader or RefuseSymbol is one")
    if isinstance(ruling, UseAddress):
        step = 1 if ruling.data else WORD
        if not 0 < ruling.address < ADDRESS_LIMIT or ruling.address % step:
            what = "of user space (below 2^48)" if ruling.data else "where an instruction can be"
            raise UsageError(f"{says}: {ruling.address:#x} is no address {what}")
    return ruling


def _changes(proposed: Resolution, ruled: Resolution) -> Iterator[PolicyChange]:
    before = {decision.name: decision.verdict.value for decision in proposed.decisions()}
    for decision in ruled.decisions():
        if decision.policy:
            after = decision.verdict.value
            yield PolicyChange(decision.policy, "verdict", decision.name, before[decision.name], after, decision.reason)


def edit_link(policies: Sequence[Policy], command: Sequence[str]) -> tuple[list[str], list[PolicyChange]]:
    """*command* as policies have it, and what they changed.

    Raises:
        UsageError: a policy failed, or answered no command.
    """
    from difflib import SequenceMatcher

    words, told = list(command), []
    for policy in policies:
        answer = _asked(policy, "link", policy.link, tuple(words))
        if answer is None:
            continue
        new = list(listed(f"policy {policy.name}: link", answer, "word", _word))
        for kind, start, end, first, last in SequenceMatcher(None, words, new, autojunk=False).get_opcodes():
            if kind != "equal":
                gone, came = " ".join(words[start:end]), " ".join(new[first:last])
                told.append(PolicyChange(policy.name, "link", "", gone, came, ""))
        words = new
    return words, told


def _word(name: str, value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise UsageError(f"{name}: {value!r} is no word of a command")
    return value


def tell_finished(policies: Sequence[Policy], patch: FinishedPatch) -> None:
    """Tell each policy of the patch; one that raises keeps it from being written."""
    for policy in policies:
        _asked(policy, "finished", policy.finished, patch)


def _asked(policy: Policy, what: str, method: Callable[[Any], T], argument: object) -> T:
    """What *method* of *policy* answers.

    Raises:
        UsageError: it raised something else than our errors.
    """
    try:
        return method(argument)
    except StubgenError:
        raise
    except Exception as error:
        raise UsageError(f"policy {policy.name}: {what}: {type(error).__name__}: {error}") from error
