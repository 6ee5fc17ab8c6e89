"""The registers phase: callers that keep values where the old function left them alone, and the new one does not.

GCC compiles callers for the registers that a function of the same file really changes (``-fipa-ra``, on from ``-O1``;
with ``-flto`` of any file), and keeps values in the others. A runtime that leads such a call to another function, by
overwriting where the old one begins, destroys them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from stubgen.common.row import Row
from stubgen.compare import host_places
from stubgen.compare.parts import Imported
from stubgen.image import Image, names_llvm
from stubgen.image.dwarf_declarations import declared_function
from stubgen.image.dwarf_types import VariableType, signature_of
from stubgen.image.dwarf_units import subprogram
from stubgen.registers.access import names_of
from stubgen.registers.changed import VENEER, Changes
from stubgen.registers.live import RESULTS, Liveness, Signatures
from stubgen.registers.past import Past
from stubgen.registers.program import Branch, Program
from stubgen.registers.signatures import arguments_of, results_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from stubgen.stub.find import Stub


class Redirected(Row):
    """A function of the host whose calls are led to another one."""

    old: int  # static address in the host
    new: int  # static address in *image*
    image: Image  # where calls are led to: the patch, or an earlier one, or the host that those are led back to
    objects: Sequence[Image]  # whose debug information declares what the callers of its file call


class Reliance(Row):
    """A caller that relies on what a function leaves alone."""

    old: int
    """Static address of the function in the host."""
    caller: str
    """The function that keeps values while it calls: its symbol, or the section's name."""
    address: int
    """Static address of the call."""
    registers: tuple[str, ...]
    """Where they are: ``x2``, ``v16``, ``flags``."""
    sure: bool
    """Whether it is certain; otherwise these may as well hold what nobody uses."""


def relying_callers(host: Image, redirected: Iterable[Redirected], stubs: Iterable[Stub] = ()) -> list[Reliance]:
    """One caller of each function that relies on registers which the new one changes: a sure one, if there is any.

    Args:
        host: the program, or an earlier patch.
        redirected: its functions; those that LLVM compiled have no such callers.
        stubs: of an earlier patch, which stand for functions whose code is elsewhere.

    Raises:
        MalformedInput: host or what calls are led to is broken.
    """
    program, sought = Program(host), list(redirected)
    called = {branch.target for branch in program.branches_to({one.old for one in sought})}
    left_alone = Changes(program, at_most=False)
    stakes = list(_at_stake(host, (one for one in sought if one.old in called), left_alone))
    named = {stub.address: stub.name for stub in stubs}
    callers = [_Callers(host, program, left_alone, one, named) for one, _ in stakes]
    waiting: _Waiting = {}
    for number, (one, registers) in enumerate(stakes):
        waiting.setdefault(one.old, {})[number] = registers
    found: dict[int, Reliance] = {}
    seen: dict[tuple[int, int], int] = {}
    while waiting:
        above: _Waiting = {}
        for hit in program.branches_to(waiting):
            caller = program.body(hit.address).start
            for number, registers in waiting[hit.target].items():
                for reliance in callers[number].kept(hit, registers):
                    found[reliance.old] = max(found.get(reliance.old, reliance), reliance, key=_by_weight)
                left = registers & ~left_alone.of(caller) & ~seen.get((number, caller), 0)
                if left:
                    seen[number, caller] = seen.get((number, caller), 0) | left
                    each = above.setdefault(caller, {})
                    each[number] = each.get(number, 0) | left
        waiting = above
    return [found[old] for old in sorted(found)]


def without_ipa_ra(producer: bytes) -> bool:
    """Whether GCC compiled a unit without ``-fipa-ra``, by what ``DW_AT_producer`` has of its options.

    Where link-time optimisation made the code, those are the link's, and each function has its own.
    """
    language, *options = producer.split()[1:] or [b""]
    if not producer.startswith(b"GNU ") or language == b"GIMPLE":
        return False
    if any(option.startswith(b"-fpatchable-function-entry=") and option[-2:] != b"=0" for option in options):
        return True
    said = [option for option in options if option in (b"-fipa-ra", b"-fno-ipa-ra", b"-O0")]
    return bool(said) and said[-1] != b"-fipa-ra"


_Waiting = dict[int, dict[int, int]]
"""Address of a function of which callers are sought -> number of a redirected function that it calls, or is -> the
registers that its callers may rely on."""


def _by_weight(reliance: Reliance) -> tuple[bool, int]:
    return reliance.sure, -reliance.address


def _at_stake(host: Image, redirected: Iterable[Redirected], left_alone: Changes) -> Iterator[tuple[Redirected, int]]:
    """The functions that change more than the old ones did, and what: what surely is a result does not count."""
    debug = host.debug_info
    changes: dict[Image, Changes] = {}
    for one in redirected:
        if one.image not in changes:
            changes[one.image] = Changes(Program(one.image), at_most=True)
        registers = changes[one.image].of(one.new) & ~left_alone.of(one.old) & ~VENEER
        said = subprogram(debug, one.old) if registers else None
        if not registers or (said is not None and names_llvm(said.producer)):
            continue
        results = results_of(signature_of(debug, one.old))
        registers &= ~results.surely if results else -1
        if registers:
            yield one, registers


class _Callers:
    """What callers of a function keep in registers."""

    def __init__(
        self, host: Image, program: Program, left_alone: Changes, one: Redirected, stubs: Mapping[int, bytes]
    ) -> None:
        self.host = host
        self.stubs = stubs
        self.program = program
        self.one = one
        self.places = host_places(host)
        untold = host.compiled_by_llvm and signature_of(host.debug_info, one.old) is None
        self.untold_results = RESULTS if untold else 0  # LLVM's may be results that are as the arguments were
        self.liveness = Liveness(program, left_alone, Signatures(self._is_elsewhere, self._arguments, self._results))

    def kept(self, hit: Branch, registers: int) -> Iterator[Reliance]:
        """What of *registers* is used behind a call; behind a jump nothing of the caller's runs."""
        if not hit.is_call or self._relies_on_nothing(self.program.body(hit.address).start):
            return
        uses = self.liveness.behind(hit.address, registers)
        past = Past(self.program, self.liveness, hit)
        read = uses.surely | past.defined(uses.forwarded) | past.unused(uses.perhaps)
        sure = read & ~self.untold_results
        perhaps = read | past.defined(uses.perhaps) | past.first_argument(uses.forwarded)
        for mask, certain in ((sure, True), (perhaps & ~sure, False)):
            if mask:
                place = self.program.labels.at(hit.address)
                yield Reliance(self.one.old, place.name, hit.address, names_of(mask), certain)

    def _relies_on_nothing(self, caller: int) -> bool:
        """Whether debug information says that the function at static address *caller* was compiled so."""
        said = subprogram(self.host.debug_info, caller)
        return said is not None and without_ipa_ra(said.producer)

    def _is_elsewhere(self, address: int) -> bool:
        return self._name_of_other(address) is not None

    def _name_of_other(self, address: int) -> bytes | None:
        """The name of the function elsewhere that a PLT's entry or a stub at *address* leads to."""
        behind = self.places.behind(address)
        return behind.name if isinstance(behind, Imported) else self.stubs.get(behind)

    def _declared(self, address: int) -> VariableType | None:
        """What an object of the patch declares of that function."""
        name = self._name_of_other(address)
        if name is None:
            return None
        symbol = name.removeprefix(b"_") if self.host.format == "macho" else name
        said = (declared_function(image.debug_info, symbol) for image in self.one.objects)
        return next((function for function in said if function is not None), None)

    def _arguments(self, address: int) -> int | None:
        return arguments_of(self._declared(address))

    def _results(self, address: int) -> int | None:
        start = self.program.body(address).start
        here = None if self._is_elsewhere(address) else signature_of(self.host.debug_info, start)
        results = results_of(here or self._declared(address))
        return None if results is None else results.perhaps
