"""The resolve phase: what each needed symbol becomes, and why.

Every needed symbol gets exactly one verdict. Those that become stubs are kept as columns; a
:class:`Decision` is made for a person who asks.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from stubgen.common.aarch64 import ADDRESS_LIMIT, LANDING_PADS, WORD
from stubgen.common.text import as_bytes, as_text
from stubgen.errors import AnchorRefusal, InputError
from stubgen.host import Host
from stubgen.host.slide import Slide
from stubgen.image import Candidate, Kind, Reference, Static, is_rust_name
from stubgen.resolve.needed import Needed
from stubgen.resolve.verdicts import (
    ABSOLUTE_VISIBILITY,
    IMAGE_NAMES,
    LINKER_PREFIXES,
    PROVIDED_NAMES,
    DataPolicy,
    Decision,
    Duplicate,
    Form,
    Policy,
    Target,
    TlsPolicy,
    Verdict,
)
from stubgen.symbols.similar import close_names, halves
from stubgen.symbols.versions import split_pin

_DEFINED_BY_STUBS = (Kind.FUNCTION, Kind.DATA, Kind.ABSOLUTE)

CLOSE_NAMES_FOR = 20  # missing symbols for which close names are sought
FEW_MISSING = 4  # up to which each has the host's names gone through; beyond, one search finds what is like any of them


@dataclass(frozen=True, slots=True)
class Resolution:
    """The verdict on every needed symbol."""

    slide: Slide
    names: list[bytes]  # trampolines, in order of first use
    addresses: array[int]  # their runtime addresses
    remarks: dict[bytes, str]
    """Why a trampoline goes where it goes, where the exact name alone does not say."""
    absolute_names: list[bytes]
    absolute_addresses: array[int]
    absolute_visibility: str  # "hidden" or "default"
    others: tuple[Decision, ...]
    """The verdicts other than trampoline."""
    targets: dict[bytes, Target]
    """Spelling -> what it means, for the symbols that only bound copies can reach."""
    bind: bool
    """Whether the verdicts hold for bound copies only."""
    duplicates: tuple[Duplicate, ...]
    """The variables that both the patch and the host define."""
    needed: Needed
    fixed: frozenset[bytes]
    """Spelling of what stays where it is in every process: absolute values, and what an earlier patch replaced."""

    def decisions(self) -> Iterator[Decision]:
        """All verdicts: trampolines, then the others, each in order of first use."""
        titles, users, remarks = self.needed.inputs, self.needed.users, self.remarks
        distance, usual = self.slide.value, "the host has one function of that name"
        for name, address in zip(self.names, self.addresses, strict=True):
            yield Decision(
                as_text(name),
                Verdict.TRAMPOLINE,
                remarks.get(name, usual),
                address - distance,
                address,
                (),
                tuple([titles[number] for number in users.get(name, ())]),
            )
        yield from self.others

    def moved(self, slide: Slide) -> Resolution | None:
        """The same verdicts for a process in which the host has another slide.

        None where an address would not be one of user space: then judge anew, and the refusal says which.
        """
        distance = slide.value - self.slide.value

        def places(names: Sequence[bytes], addresses: array[int]) -> list[int]:
            if self.fixed.isdisjoint(names):
                return [address + distance for address in addresses]
            pairs = zip(names, addresses, strict=True)
            return [address if name in self.fixed else address + distance for name, address in pairs]

        def decision(other: Decision) -> Decision:
            if other.runtime_address is None or as_bytes(other.name) in self.fixed:
                return other
            return other._replace(runtime_address=other.runtime_address + distance)

        def target(name: bytes, aim: Target) -> Target:
            return (
                aim if aim.form is not Form.ADDRESS or name in self.fixed else aim._replace(value=aim.value + distance)
            )

        trampolines = places(self.names, self.addresses)
        absolutes = places(self.absolute_names, self.absolute_addresses)
        targets = {name: target(name, aim) for name, aim in self.targets.items()}
        far = [aim.value for name, aim in targets.items() if aim.form is Form.ADDRESS and name not in self.fixed]
        if max([*trampolines, *absolutes, *far], default=0) >= ADDRESS_LIMIT:
            return None
        return replace(
            self,
            slide=slide,
            addresses=array("Q", trampolines),
            absolute_addresses=array("Q", absolutes),
            others=tuple(decision(other) for other in self.others),
            targets=targets,
        )

    @property
    def pins(self) -> bool:
        """Whether a trampoline's name pins an ELF symbol version; such are renamed in bound copies."""
        return self.bind and any(reference.version for reference in self.needed.references)

    @property
    def problems(self) -> tuple[Decision, ...]:
        """The symbols with which the patch cannot work."""
        return tuple(decision for decision in self.others if decision.is_problem)


def resolve(
    needed: Needed,
    host: Host,
    slide: Slide,
    policy: Policy | None = None,
    *,
    supplied: Mapping[bytes, str] | None = None,
    overrides: Mapping[bytes, int] | None = None,
) -> Resolution:
    """Judge every needed symbol.

    Args:
        needed: what the patch needs.
        host: the running program.
        slide: how far the loader moved it.
        policy: how the caller wants symbols answered.
        supplied: names that shared libraries on the patch's own link line export, each with its library.
        overrides: name -> runtime address of the function that replaced the host's, from earlier patches.

    Raises:
        InputError: patch and host are of different formats, or for different Apple platforms.
        AnchorRefusal: a runtime address would be at or above 2^48.
    """
    _check_same_target(needed, host)
    return _Resolver(needed, host, slide, policy or Policy(), supplied or {}, overrides or {}).run()


def _check_same_target(needed: Needed, host: Host) -> None:
    if needed.format != host.image.format:
        titles = {"elf": "an ELF", "macho": "a Mach-O"}
        raise InputError(
            f"{needed.inputs[0]}: is {titles[needed.format]} object, "
            f"but the host {host.path} is {titles[host.image.format]} file"
        )
    wanted = host.image.build_version
    for platform in needed.platforms:
        if wanted is not None and platform.platform != wanted.platform:
            from stubgen.macho.constants import PLATFORM_NAMES

            raise InputError(
                f"{needed.inputs[0]}: a patch object is for {PLATFORM_NAMES.get(platform.platform, platform)}, "
                f"but the host {host.path} is for {PLATFORM_NAMES.get(wanted.platform, wanted)}"
            )


class _Resolver:
    """One run of the phase: walks the references once and sorts them into columns."""

    def __init__(
        self,
        needed: Needed,
        host: Host,
        slide: Slide,
        policy: Policy,
        supplied: Mapping[bytes, str],
        overrides: Mapping[bytes, int],
    ) -> None:
        self.policy = policy
        self.supplied = supplied
        self.overrides = overrides
        self.targets: dict[bytes, Target] = {}
        self.needed = needed
        self.host = host
        self.slide = slide
        self.visibility = ABSOLUTE_VISIBILITY.get((host.image.format, host.image.libc))
        self.executable = host.image.executable_ranges()
        self.guarded = host.image.branch_targets_guarded
        self.names: list[bytes] = []
        self.addresses = array("Q")
        self.remarks: dict[bytes, str] = {}
        self.absolute_names: list[bytes] = []
        self.absolute_addresses = array("Q")
        self.others: list[Decision] = []
        self.missing: list[tuple[Reference, int]] = []
        self.fixed: set[bytes] = set()
        self.rules = {
            Kind.FUNCTION: self._function,
            Kind.DATA: self._datum,
            Kind.ABSOLUTE: self._absolute,
            Kind.THREAD_LOCAL: self._thread_local,
            Kind.IFUNC: self._ifunc,
            Kind.IMPORT: self._import,
        }

    def run(self) -> Resolution:
        names = {reference.name for reference in self.needed.references}
        found = self.host.find(names.union(static.name for static in self.needed.statics))
        for reference in self.needed.references:
            located = self.needed.located.get(reference.name)
            if located is not None:
                self.rules[located.kind](reference, located)
            else:
                self._judge(reference, found.get(reference.name, []))
        duplicates = tuple(self._duplicates(found))
        self._explain_missing()
        return Resolution(
            slide=self.slide,
            names=self.names,
            addresses=self.addresses,
            remarks=self.remarks,
            absolute_names=self.absolute_names,
            absolute_addresses=self.absolute_addresses,
            absolute_visibility=self.visibility or "default",
            others=tuple(self.others),
            targets=self.targets,
            bind=self.policy.bind,
            duplicates=duplicates,
            needed=self.needed,
            fixed=frozenset(self.fixed),
        )

    def _duplicates(self, found: Mapping[bytes, Sequence[Candidate]]) -> Iterator[Duplicate]:
        """The patch's variables that the host has too, and which of them are forwarded to the host's.

        Thread-locals are wherever that is sure; other writable ones on request (``--keep-state``).
        """
        by_name: dict[bytes, list[Static]] = {}
        for static in self.needed.statics:
            by_name.setdefault(static.name, []).append(static)
        for name, statics in by_name.items():
            first = statics[0]
            kind = Kind.THREAD_LOCAL if first.thread_local else Kind.DATA
            pool = [c for c in found.get(name, ()) if c.name == name and c.kind is kind]
            if not pool:
                continue
            target, obstacle = None, ""
            if first.thread_local:
                target = self._thread_target(pool[0])
            elif self.policy.bind and self.policy.keep_state and first.writable:
                target = Target(Kind.DATA, Form.ADDRESS, self._runtime(pool[0]))
            if target is not None:
                obstacle = (
                    _obstacle(statics, pool)
                    or self._growth(statics, pool[0])
                    or self._misalignment(statics, pool[0], target)
                    or self._siblings(name)
                )
                if not obstacle:
                    self.targets[name] = target._replace(kept=True)
            elif first.writable:
                obstacle = _obstacle(statics, pool)  # what speaks against asking for it; the rest would take a search
            forwarded = target is not None and not obstacle
            yield Duplicate(as_text(name), first.size, first.writable, forwarded, obstacle)

    def _growth(self, statics: Sequence[Static], candidate: Candidate) -> str:
        """Whether the patch's variable has surely outgrown the host's: Mach-O says no sizes, only what comes next."""
        least = max(static.least for static in statics)
        room = self.host.image.room(candidate.address) if least else None
        if room is None or least <= room:
            return ""
        return f"it has grown: the patch's has {least} bytes or more, and the host's at most {room}"

    def _misalignment(self, statics: Sequence[Static], candidate: Candidate, target: Target) -> str:
        """Whether the patch's code may rely on more alignment than the host's variable has: atomics then fault."""
        align = max(static.align for static in statics)
        place = target.value if target.form is Form.THREAD_OFFSET else candidate.address
        if place % align and not candidate.size:
            room = self.host.image.room(candidate.address)
            align = min(align, 1 << (room or align).bit_length() - 1)
        if not place % align:
            return ""
        return f"the patch may rely on its being at a multiple of {align} bytes, and the host's is at {place:#x}"

    def _siblings(self, name: bytes) -> str:
        """Whether the host's function has several variables of that name: any of them may be the patch's one."""
        from stubgen.symbols.numbering import SEVERAL, has_sibling

        tables = self.host.image.symbol_tables
        return f"the host {SEVERAL}" if any(has_sibling(name, table) for table in tables) else ""

    def _judge(self, reference: Reference, candidates: Sequence[Candidate]) -> None:
        name = reference.name
        if name in self.overrides:
            if self._can_be_named(reference, Kind.FUNCTION):
                self._override(reference)
            return
        if self._is_linkers_own(name, candidates):
            self._other(reference, Verdict.LINKER, "every linked image has its own, from the linker or start-up code")
            return
        pool, remark = narrow(reference, candidates)
        if reference.spelling in self.supplied and all(candidate.local for candidate in pool):
            self._other(reference, Verdict.LOADER, f"{self.supplied[reference.spelling]} supplies it")
            return
        if not pool:
            if reference.weak:
                self._other(reference, Verdict.WEAK_NULL, "the host has no such symbol and the reference is weak")
            else:
                self.missing.append((reference, len(self.others)))
                stripped = "" if self.host.image.has_full_symbols else ", but its full symbol table is stripped"
                self._other(reference, Verdict.MISSING, f"the host has no such symbol{stripped}")
            return
        if len({candidate.address for candidate in pool}) > 1:
            listed = tuple(_describe(candidate) for candidate in pool)
            self._other(
                reference,
                Verdict.AMBIGUOUS,
                f"the host has {len(pool)} of them at different addresses",
                listed,
            )
            return
        candidate = next((candidate for candidate in pool if candidate.exported), pool[0])
        if not self._can_be_named(reference, candidate.kind):
            return
        if remark:
            self.remarks[reference.spelling] = remark
        self.rules[candidate.kind](reference, candidate)

    def _can_be_named(self, reference: Reference, kind: Kind) -> bool:
        """Whether the stub object can define what *reference* means, a *kind*; refuse it if not."""
        version = split_pin(reference.spelling)[1]
        absolute = kind is not Kind.FUNCTION and self.policy.data is DataPolicy.ABSOLUTE
        if not version or kind not in _DEFINED_BY_STUBS or (self.policy.bind and not absolute):
            return True
        reason = f"it pins version {version}, and no linker takes a symbol of that name from an object"
        help_ = "drop --data absolute" if self.policy.bind else "bound copies (link, --bound-dir) call it otherwise"
        self._other(reference, Verdict.REFUSED, f"{reason}: {help_}")
        return False

    def _is_linkers_own(self, name: bytes, candidates: Sequence[Candidate]) -> bool:
        """Whether each linked image has its own *name*; a symbol with a type and a size is the program's."""
        format_ = self.needed.format
        if name in IMAGE_NAMES[format_] or name.startswith(LINKER_PREFIXES[format_]):
            return not any(candidate.kind is Kind.FUNCTION and candidate.size for candidate in candidates)
        return name in PROVIDED_NAMES[format_] and not any(candidate.size for candidate in candidates)

    def _override(self, reference: Reference) -> None:
        """An earlier patch replaced the host's function."""
        self.remarks[reference.spelling] = "an earlier patch replaced the host's"
        self.fixed.add(reference.spelling)
        self.names.append(reference.spelling)
        self.addresses.append(self.overrides[reference.name])

    def _function(self, reference: Reference, candidate: Candidate) -> None:
        address = candidate.address
        if address % WORD:
            self._refuse(
                reference,
                candidate,
                f"its address {address:#x} is not a multiple of 4: no instruction is there",
            )
        elif not any(start <= address < end for start, end in self.executable):
            self._refuse(reference, candidate, f"its address {address:#x} is in no executable segment")
        elif (
            self.guarded and bytes(self.host.image.read_at(address, WORD, as_text(reference.name))) not in LANDING_PADS
        ):
            self._refuse(
                reference,
                candidate,
                "the host has BTI and this function no landing pad, since only direct calls reach it there: "
                "a stub's branch to it would fault; make it visible outside its unit",
            )
        else:
            self.names.append(reference.spelling)
            self.addresses.append(self._runtime(candidate))

    def _datum(self, reference: Reference, candidate: Candidate) -> None:
        self._place(reference, candidate, self._runtime(candidate))

    def _absolute(self, reference: Reference, candidate: Candidate) -> None:
        self.fixed.add(reference.spelling)
        self._place(reference, candidate, candidate.address)

    def _place(self, reference: Reference, candidate: Candidate, address: int) -> None:
        """Answer a reference to host data by an absolute symbol, where that is right."""
        what = "an absolute value" if candidate.kind is Kind.ABSOLUTE else f"data in {candidate.section}"
        if self.policy.data is DataPolicy.NONE:
            self._refuse(reference, candidate, f"it is {what}, and --data none refuses all data")
        elif self.policy.bind and self.policy.data is DataPolicy.AUTO:
            kept = reference.name in self.needed.located
            self.targets[reference.spelling] = Target(Kind.DATA, Form.ADDRESS, address, kept)
            reason = f"it is {what}: bound copies read its address from a slot"
            self._other(reference, Verdict.SLOT, reason, static=candidate.address, runtime=address)
        elif self.host.image.format == "macho" or (self.policy.data is DataPolicy.AUTO and self.visibility is None):
            self._refuse(
                reference,
                candidate,
                f"it is {what}, and on {self._target()} an absolute symbol would be read at a wrong address",
            )
        else:
            self.absolute_names.append(reference.spelling)
            self.absolute_addresses.append(address)
            self._other(
                reference,
                Verdict.ABSOLUTE,
                f"it is {what}: defined as an absolute symbol, {self.visibility or 'default'} visibility",
                static=candidate.address,
                runtime=address,
            )

    def _thread_local(self, reference: Reference, candidate: Candidate) -> None:
        """Forward to the host's variable where its place is a constant."""
        target = (
            self._thread_target(candidate) if self.policy.bind and self.policy.data is not DataPolicy.NONE else None
        )
        if target is not None:
            self.targets[reference.spelling] = target
            reason = "it is thread-local: bound copies use the host's own descriptor"
            if target.form is Form.THREAD_OFFSET:
                reason = f"it is thread-local: in the main program, {target.value:#x} bytes from the thread pointer"
            self._other(reference, Verdict.TLS, reason, static=candidate.address)
            self.others[-1] = self.others[-1]._replace(forwarded=True)
        elif self.policy.tls is TlsPolicy.LOADER and candidate.exported:
            self._other(reference, Verdict.LOADER, "it is thread-local and exported: left to the loader, as asked")
        elif not self.policy.bind:
            reason = "it is thread-local: every thread has its own copy; bound copies (link, --bound-dir) reach it"
            self._other(reference, Verdict.TLS, reason, static=candidate.address)
        else:
            reason = (
                "it is thread-local in a shared library, where its offset from the thread pointer differs from "
                "process to process; --tls loader leaves it to the loader if the host exports it"
            )
            self._other(reference, Verdict.TLS, reason, static=candidate.address)

    def _thread_target(self, candidate: Candidate) -> Target | None:
        """What reaches the host's thread-local from any thread without help from the process, if anything does."""
        if not self.policy.bind or self.policy.data is DataPolicy.NONE:
            return None
        if self.host.image.format == "macho":
            return Target(Kind.THREAD_LOCAL, Form.ADDRESS, self._runtime(candidate))
        offset = self.host.image.thread_offset(candidate.address)
        return None if offset is None else Target(Kind.THREAD_LOCAL, Form.THREAD_OFFSET, offset)

    def _ifunc(self, reference: Reference, candidate: Candidate) -> None:
        resolver = f"it is an ifunc: {candidate.address:#x} is its resolver, not the function"
        if candidate.exported:
            self._other(reference, Verdict.LOADER, f"{resolver}; the host exports it, so the loader resolves it")
        else:
            self._refuse(
                reference,
                candidate,
                f"{resolver}, and the host does not export it: link the host with -rdynamic",
            )

    def _import(self, reference: Reference, candidate: Candidate) -> None:
        version = f" (version {candidate.version})" if candidate.version else ""
        reason = f"the host imports it itself{version}: the loader finds it in the same library"
        self._other(reference, Verdict.LOADER, reason)

    def _refuse(self, reference: Reference, candidate: Candidate, reason: str) -> None:
        self._other(reference, Verdict.REFUSED, reason, static=candidate.address)

    def _runtime(self, candidate: Candidate) -> int:
        address = candidate.address + self.slide.value
        if address >= ADDRESS_LIMIT:
            raise AnchorRefusal(
                f"{self.host.path}: {as_text(candidate.name)} would be at {address:#x}, at or above 2^48, where user "
                f"space ends: the anchor's address is wrong"
            )
        return address

    def _target(self) -> str:
        image = self.host.image
        if image.format == "macho":
            return "Mach-O"
        return f"Linux with {image.libc}" if image.libc else "an unknown C library"

    def _other(
        self,
        reference: Reference,
        verdict: Verdict,
        reason: str,
        candidates: tuple[str, ...] = (),
        *,
        static: int | None = None,
        runtime: int | None = None,
    ) -> None:
        remark = self.remarks.pop(reference.spelling, "")
        self.others.append(
            Decision(
                name=as_text(reference.spelling),
                verdict=verdict,
                reason=f"{reason} ({remark})" if remark else reason,
                static_address=static,
                runtime_address=runtime,
                candidates=candidates,
                used_by=_used_by(self.needed, reference.spelling),
            )
        )

    def _explain_missing(self) -> None:
        """Give the first missing symbols the host's names that look most like them."""
        sought = self.missing[:CLOSE_NAMES_FOR]
        image = self.host.image
        halved = {part for reference, _ in sought for part in halves(reference.name)}
        likely = image.names_with(halved) if len(sought) > FEW_MISSING else None
        for reference, position in sought:
            close = close_names(reference.name, image.names() if likely is None else likely)
            self.others[position] = self.others[position]._replace(candidates=close)


def narrow(reference: Reference, candidates: Sequence[Candidate]) -> tuple[list[Candidate], str]:
    """The candidates that *reference* can mean, and what was done to find them where it was not the obvious."""
    pool = [candidate for candidate in candidates if candidate.name == reference.name]
    remark = ""
    if not pool and candidates:
        pool = list(candidates)
        remark = f"matched {as_text(pool[0].name)} once LLVM's ThinLTO suffix is dropped"
    if len(pool) <= 1 and not reference.version:
        return pool, remark
    versioned = {candidate.address for candidate in pool if candidate.version}
    pool = [candidate for candidate in pool if candidate.version or candidate.address not in versioned]
    if reference.version:
        pool = [candidate for candidate in pool if candidate.version in (reference.version, "")]
        remark = f"version {reference.version}"
    visible = [candidate for candidate in pool if not candidate.local]
    pool = visible or pool
    if not reference.version:
        defined = [candidate for candidate in pool if candidate.kind is not Kind.IMPORT]
        default = [candidate for candidate in defined if candidate.default]
        if default and len({c.address for c in pool}) > len({c.address for c in default}):
            remark = remark or f"the default version, {default[0].version}" if default[0].version else remark
        pool = default or (defined if len(defined) == len(pool) else [c for c in pool if c.kind is Kind.IMPORT])
    return pool, remark


def _obstacle(statics: Sequence[Static], pool: Sequence[Candidate]) -> str:
    """Why the host's variable may not be the patch's one; empty where nothing speaks against it.

    A name alone does not make two variables one: a local's file must be the same as well, unless rustc made the
    name, and what one file shows to others the other must not keep to itself.
    """
    static, candidate = statics[0], pool[0]
    known = is_rust_name(static.name)
    file = (
        f"another file, {as_text(candidate.file)}" if candidate.file else "a file that its symbol table does not name"
    )
    if not candidate.file and static.file.startswith(b"/"):  # a Mach-O object's, from its debug information
        file += " (compile the host with -g)"
    reasons = (
        (len({c.address for c in pool}) > 1, f"the host has {len(pool)} variables of that name"),
        (len(statics) > 1 and any(s.local for s in statics), "several objects of the patch have one of that name"),
        (bool(static.obstacle), static.obstacle),
        (static.writable and not candidate.writable, "the host's is constant"),
        (
            bool(static.size and candidate.size and static.size != candidate.size),
            f"its size changed from {candidate.size} to {static.size} bytes",
        ),
        (not known and static.local and not candidate.local, "the host's is visible to other files"),
        (
            not known and static.local and bool(candidate.file) and not static.file,
            f"the host's is from {as_text(candidate.file)}, and the patch's object names no file "
            f"(Mach-O: compile it with -g)",
        ),
        (
            not known and static.local and (not static.file or static.file != candidate.file),
            f"the host's is from {file}",
        ),
        (
            not known and not static.hidden and bool(candidate.file) and static.file != candidate.file,
            f"the host's is from {file}, and not visible to others",
        ),
    )
    return next((reason for applies, reason in reasons if applies), "")


def _describe(candidate: Candidate) -> str:
    version = f"@{candidate.version}" if candidate.version else ""
    scope = "local" if candidate.local else "global"
    what = f"{scope} {candidate.kind.value}, {candidate.section}"
    return f"{as_text(candidate.name)}{version} at {candidate.address:#x} ({what})"


def _used_by(needed: Needed, spelling: bytes) -> tuple[str, ...]:
    return tuple([needed.images[number].name for number in needed.users.get(spelling, ())])
