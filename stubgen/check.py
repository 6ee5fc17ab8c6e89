"""The check phase: whether the linked patch would load and do what it should.

"It linked" is not success: the link leaves unresolved symbols alone, so a typo becomes a failed ``dlopen`` on
the device, and a wrong slide becomes a jump into nowhere.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property

from stubgen.common.arguments import StrPath, name_list, path_list
from stubgen.common.files import read_input
from stubgen.common.phases import phase
from stubgen.common.row import Row
from stubgen.common.text import as_bytes, as_text, counted
from stubgen.errors import InputError, MalformedInput, PatchRefusal, UsageError
from stubgen.finding import Finding
from stubgen.host import Host, open_host
from stubgen.host.previous import PreviousPatch
from stubgen.host.slide import Slide
from stubgen.image import Candidate, FileType, Image, Kind, Reference
from stubgen.image.archive import is_archive
from stubgen.image.identity import identity_in
from stubgen.image.opening import open_image
from stubgen.loading import loading_findings
from stubgen.options import addresses, previous_patches
from stubgen.origin.account import Account, Inputs, LinkInput, make_account, names_of, symbols_of
from stubgen.origin.content import content_findings
from stubgen.origin.exports import as_spelled, why_not_exported
from stubgen.origin.findings import constructor_findings, origin_findings
from stubgen.origin.sources import Source
from stubgen.origin.symbols import Symbol
from stubgen.resolve.previous import NO_PATCHES, Previous
from stubgen.session import Session
from stubgen.stub.facts import LibraryFacts, known_facts
from stubgen.stub.find import Stub, find_stubs
from stubgen.stub.slots import parse_symbol, slots_of
from stubgen.symbols.forwarded import forwarded_address
from stubgen.symbols.placed import placed
from stubgen.symbols.versions import split_pin


class Checked(Row):
    """The answer about one patch."""

    patch: str
    """Its path."""
    findings: tuple[Finding, ...]
    """What each check found, in the order of the report."""
    stubs: tuple[Stub, ...]
    """The trampolines in it."""
    slide: int | None
    """The slide that all stubs agree on; None without stubs."""
    account: Account | None = None
    """Where everything in the patch comes from."""

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against the patch."""
        return all(finding.ok for finding in self.findings)


def check_patch(
    patch: StrPath,
    host: StrPath | Host,
    *,
    slide: Slide | None = None,
    exports: Sequence[str] = (),
    libraries: Sequence[StrPath] = (),
    overrides: Mapping[str, int] | None = None,
    previous: Sequence[PreviousPatch] = (),
    pinned: Sequence[str] = (),
    objects: Sequence[StrPath] = (),
    stub: StrPath | None = None,
    link_map: StrPath | None = None,
    facts: LibraryFacts | None = None,
) -> Checked:
    """Hold a linked patch against its host.

    Args:
        patch: the linked shared library.
        host: the program that it will be loaded into.
        slide: the slide that its stubs were built for; without it the stubs are held against each other.
        exports: names that the builder will look up in the patch.
        libraries: shared libraries that will be loaded and may supply what the patch leaves undefined.
        overrides: name -> runtime address of the function that replaced the host's, from earlier patches.
        previous: the patches that the process loaded before, in that order; needs *slide*.
        pinned: what the patch leaves to the loader with a version that it pins, as ``name@version``.
        objects: the objects that the patch was linked from, bound copies or originals, and the archives that the
            linker searched: with them everything in the patch has to be accounted for.
        stub: the stub object that it was linked with.
        link_map: the map file that the linker wrote; relative names in it are taken from the present folder.
        facts: what is known about Capstone from earlier commands; None: what the user's cache folder has.

    Raises:
        InputError: a file is not what it must be.
        UsageError: an argument is not what it must be.
    """
    earlier, opened = previous_patches("previous", previous), NO_PATCHES
    if earlier:
        if slide is None:
            raise UsageError("previous is about one process: give its slide as well")
        host = host if isinstance(host, Host) else open_host(host)
        session = Session(mapped=True)
        opened = session.previous(earlier, host, slide, known_facts(facts))
    checked = check_linked(
        patch,
        host,
        lambda: _read_inputs(path_list("objects", objects), stub, link_map),
        lambda _: None,
        slide=slide,
        exports=exports,
        libraries=libraries,
        overrides=overrides,
        previous=opened,
        pinned=pinned,
        facts=facts,
    )
    if link_map is not None and checked.account is not None and not checked.account.mapped:
        raise MalformedInput(f"{os.fspath(link_map)}: is no map file of this patch's link: it names no input of it")
    return checked


def check_linked(
    patch: StrPath,
    host: StrPath | Host,
    inputs: Callable[[], Inputs],
    find_library: Callable[[str], str | None],
    *,
    slide: Slide | None,
    exports: Sequence[str],
    libraries: Sequence[StrPath],
    overrides: Mapping[str, int] | None,
    previous: Previous,
    pinned: Sequence[str],
    facts: LibraryFacts | None,
    linked: bool = False,
) -> Checked:
    """As :func:`check_patch`, for whoever knows the link.

    *linked*: the link took *libraries*, so that those count alone which patch or host need, by themselves or by
    another library. *inputs* reads what is known of it; *find_library* finds the file of a library that the patch or
    the host needs, by the name that it has there.

    Raises:
        InputError: a file is not what it must be.
        UsageError: an argument is not what it must be.
    """
    phase("checks the patch")
    if not isinstance(slide, Slide | None):
        raise UsageError(f"slide is {slide!r}; give a Slide, which slide_from_anchor and slide_from_value make")
    wanted, beside = name_list("exports", exports), path_list("libraries", libraries)
    replaced, kept = addresses("overrides", overrides), name_list("pinned", pinned)
    known = inputs()
    opened = host if isinstance(host, Host) else open_host(host)
    name = os.fspath(patch)
    image = open_image(patch)
    if image.file_type in (FileType.OBJECT, FileType.EXECUTABLE):
        kind = "a relocatable object" if image.file_type is FileType.OBJECT else "an executable"
        raise InputError(f"{name}: is {kind}; check takes the linked patch, a shared library")
    if image.format != opened.image.format:
        raise InputError(f"{name}: is of another format ({image.format}) than the host ({opened.image.format})")
    given = {at: open_image(at) for at in beside if not at.endswith(".tbd")}  # stubs: at link time
    by_name = {as_bytes(name): at for name, at in replaced.items()}
    question = _Question(
        opened, image, slide, wanted, given, by_name, previous, kept, known, find_library, facts, linked, {}
    )
    findings = tuple(finding for check in CHECKS for finding in check(question))
    return Checked(name, findings, question.stubs, question.slide_of_stubs, question.account)


def _read_inputs(objects: Sequence[str], stub: StrPath | None, link_map: StrPath | None) -> Inputs:
    """What the caller knows of the link that made the patch."""
    files = [(path, Source.OBJECT) for path in objects]
    files += [(os.fspath(stub), Source.STUB)] if stub is not None else []
    text = None if link_map is None else bytes(read_input(link_map)).decode("utf-8", "surrogateescape")
    held, archives = [], []
    for path, source in files:
        content = read_input(path)
        if is_archive(content):
            archives.append(path)
        else:
            held.append(LinkInput(path, path, source, open_image(content, path)))
    return Inputs(tuple(held), text, os.getcwd(), tuple(archives))


def refuse_findings(checked: Checked) -> None:
    """Raise when something speaks against the patch.

    Raises:
        PatchRefusal: its message has a line for each finding that does, and it holds all as ``findings``.
    """
    bad = [finding for finding in checked.findings if not finding.ok]
    if bad:
        lines = [f"  {finding.check}: {finding.message}" for finding in bad]
        raise PatchRefusal("\n".join([f"{checked.patch}: the linked patch is not sound", *lines]), checked.findings)


class _Asked(Row):
    """One patch, one host, and what the caller says of them."""

    host: Host
    patch: Image
    slide: Slide | None
    exports: tuple[str, ...]
    given: dict[str, Image]  # path -> a library that will be loaded beside the patch
    overrides: dict[bytes, int]
    previous: Previous
    pinned: tuple[str, ...]
    inputs: Inputs
    find_library: Callable[[str], str | None]
    facts: LibraryFacts | None
    linked: bool  # whether the given libraries took part in the link
    found: dict[str, Image | None]  # what find_library led to


class _Question(_Asked):
    """The same, and what several checks want to know of them."""

    @cached_property
    def stubs(self) -> tuple[Stub, ...]:
        return tuple(find_stubs(self.patch, self.facts))

    @cached_property
    def in_host(self) -> Mapping[bytes, list[Candidate]]:
        wanted = {split_pin(stub.name)[0] for stub in self.stubs}
        wanted.update(item.name for item in self.patch.imports())
        wanted.update(split_pin(parse_symbol(symbol)[0])[0] for symbol, _ in slots_of(self.patch))
        wanted |= names_of(self._symbols)
        self.previous.learn(wanted)
        return self.host.find_again(wanted)

    @cached_property
    def slide_of_stubs(self) -> int | None:
        """The slide that most stubs agree on."""
        telling = [stub for stub in self.stubs if self.override(stub.name) is None]
        votes = Counter(stub.target - address for stub in telling for address in self.addresses(stub.name))
        return max(votes, key=votes.__getitem__, default=None)

    @cached_property
    def supplied(self) -> set[bytes]:
        """What the given libraries export, as far as they will be loaded."""
        images = self.given
        if self.linked:
            images = {name: image for name, image in self.libraries.items() if name in self.loaded}
        return {name for image in images.values() for name in image.exports()}

    @cached_property
    def loaded(self) -> set[str]:
        """What patch and host need, by the names in them, and what that needs, as far as it can be found."""
        waiting, loaded = [*self.patch.needed_libraries, *self.host.image.needed_libraries], set[str]()
        while waiting:
            name = waiting.pop()
            if name not in loaded:
                loaded.add(name)
                image = self.library(name)
                waiting += image.needed_libraries if image is not None else ()
        return loaded

    @cached_property
    def libraries(self) -> dict[str, Image]:
        """The given libraries by every name that a patch may need them by."""
        found = {}
        for path, image in self.given.items():
            found[os.path.basename(path)] = image
            if image.install_name:
                found[image.install_name] = image
        return found

    @cached_property
    def account(self) -> Account:
        stubs = [stub.address for stub in self.stubs]
        return make_account(self.patch, self.inputs, self.in_host, stubs, self._symbols)

    @cached_property
    def _symbols(self) -> Sequence[Symbol]:
        """What the patch defines."""
        return tuple(symbols_of(self.patch))

    def library(self, name: str) -> Image | None:
        """The library that something needs as *name*, if it was given or can be found."""
        if name in self.libraries:
            return self.libraries[name]
        if name not in self.found:
            path = self.find_library(name)
            try:
                self.found[name] = None if path is None else open_image(path)
            except InputError:  # a linker script, a library for another machine: it says nothing
                self.found[name] = None
        return self.found[name]

    def supplier(self, name: bytes, needed: Sequence[str]) -> str | None:
        """The first of the libraries called *needed* that exports *name*; none of them if it cannot be found."""
        for library in needed:
            image = self.library(library)
            if image is not None and name in image.exports():
                return library
        return None

    def candidates(self, spelling: bytes) -> list[Candidate]:
        """The host's symbols that *spelling* can mean: ``foo@V1`` means that version alone."""
        place = placed(spelling)
        if place is not None:
            kind = Kind.THREAD_LOCAL if place.thread_local else Kind.DATA
            return [Candidate(spelling, place.value, kind, True, 0, "")]
        name, version = split_pin(spelling)
        found = self.in_host.get(name, [])
        if not version:
            return self._places(name, found)
        from stubgen.resolve.candidates import meaning

        return meaning(Reference(spelling, name, version, False), found).candidates

    def _places(self, name: bytes, found: list[Candidate]) -> list[Candidate]:
        """*found*, or where in the host a name that linkers define is."""
        from stubgen.resolve.linker_names import is_place, place_in

        if any(candidate.size for candidate in found) or not is_place(self.host.image.format, name):
            return found
        place = place_in(self.host.image, name, found)
        return found if place is None else [place]

    def addresses(self, spelling: bytes) -> list[int]:
        """Static addresses of the host's own definitions of *spelling*, and of its PLT entry for another image's.

        Each once, and with it one vote for a slide: what the loader can find is in both of the host's symbol tables.
        """
        own = [c for c in self.candidates(spelling) if c.kind is not Kind.IMPORT]
        entries = [self.host.image.found_by_loader(c).entry for c in own if c.replaceable]
        return list(dict.fromkeys([entry for entry in entries if entry is not None] + [c.address for c in own]))

    def override(self, spelling: bytes) -> int | None:
        """Where an earlier patch put the function that *spelling* means; None if none replaced it."""
        name, version = split_pin(spelling)
        found = self.overrides.get(name)
        if found is None and not version and self.previous:
            from stubgen.resolve.unanswered import earlier_answer

            earlier = earlier_answer(self.previous, name, self.in_host.get(name, []), self.host.image)
            if earlier is not None and earlier.candidate.kind is Kind.FUNCTION:
                return earlier.candidate.address + earlier.patch.slide
        return found

    def is_a_librarys(self, name: bytes) -> bool:
        """Whether a library that the patch needs has *name*, and the host at most a static symbol of it."""
        from stubgen.resolve.unanswered import may_be_static

        return may_be_static(self.candidates(name)) and self.supplier(name, self.patch.needed_libraries) is not None

    def is_the_hosts(self, name: bytes) -> bool:
        """Whether the host defines *name* for all of its files."""
        from stubgen.resolve.unanswered import may_be_static

        candidates = self.candidates(name)
        return bool(self.addresses(name)) and not self.left_to_loader(name) and not may_be_static(candidates)

    def left_to_loader(self, name: bytes) -> bool:
        """Whether *name* has no stub on purpose: the host imports it, or only the loader knows where it is."""
        by_name = (Kind.IFUNC, Kind.THREAD_LOCAL)  # only the loader knows where these are
        return any(c.kind is Kind.IMPORT or (c.kind in by_name and c.exported) for c in self.in_host.get(name, []))


def _back_edge(question: _Question) -> Iterator[Finding]:
    names = {os.path.basename(question.host.path), os.path.basename(question.host.image.install_name or "")} - {""}
    for library in question.patch.needed_libraries:
        if os.path.basename(library) in names:
            yield Finding("back-edge", False, f"it loads the host itself: it needs {library}; drop that from the link")
            return
    libraries = ", ".join(question.patch.needed_libraries)
    yield Finding("back-edge", True, f"it needs {libraries}, not the host" if libraries else "it needs no library")


def _own_name(question: _Question) -> Iterator[Finding]:
    own, host = question.patch.install_name, question.host.image.install_name
    if own and own == host:
        message = f"its soname is the host's, {own}: the loader would return the host instead of the patch"
        yield Finding("own name", False, message)
    else:
        yield Finding("own name", True, f"its name, {own}, is not the host's" if own else "it has no name of its own")


def _taken_from_libraries(question: _Question) -> Iterator[Finding]:
    """What the two-level namespace has from a library although the host has its own: zig's linker prefers a dylib."""
    for item in question.patch.imports():
        if item.library is None or item.name in question.supplied or not question.is_the_hosts(item.name):
            continue
        name = as_text(item.name)
        message = (
            f"{name} comes from {item.library} although the host defines it: the linker took the library's rather than "
            f"the stub; link with ld64.lld, or call it otherwise"
        )
        yield Finding("undefined", False, message, (name,))


def _undefined(question: _Question) -> Iterator[Finding]:
    taken = list(_taken_from_libraries(question))
    yield from taken
    sound = not taken
    total = 0
    for item in question.patch.imports():
        total += 1
        name = as_text(item.name)
        if item.weak and item.name in START_UP_REFERENCES:
            continue
        if item.library is not None or item.name in question.supplied:
            continue
        if question.left_to_loader(item.name):
            local = _only_for_the_host(question, item.name)
            if local:
                sound = False
                message = (
                    f"{name} is in {local}, which the host loads for itself alone: a library's own libraries are "
                    f"invisible to a patch that does not need them; link the patch with it"
                )
                yield Finding("undefined", False, message, (name,))
            continue
        if question.addresses(item.name) and not question.is_a_librarys(item.name):
            sound = False
            message = f"{name} is left to the loader although the host defines it: its stub is not in the link"
            yield Finding("undefined", False, message, (name,))
        elif not item.weak and question.supplier(item.name, question.patch.needed_libraries) is None:
            sound = False
            message = f"{name} is in no library that the patch names or the host loads: dlopen would fail"
            yield Finding("undefined", False, message, (name,))
    for library in question.patch.needed_libraries if question.patch.format == "elf" else ():
        if "/" in library:
            message = (
                f"it needs {library} by that path, for the library has no soname: it has to be there at run time too"
            )
            yield Finding("undefined", True, message, note=True)
    imported = {item.name for item in question.patch.imports()}
    for spelling in question.pinned:  # mold 1.10 makes address 0 of such a name, and says nothing
        if split_pin(as_bytes(spelling))[0] not in imported:
            sound = False
            message = (
                f"{spelling} is not left to the loader: the linker lost it, and a call to it would go to address 0"
            )
            yield Finding("undefined", False, message, (spelling,))
    if sound:
        message = f"what is left undefined ({counted(total, 'symbol')}) has a supplier or is weak"
        yield Finding("undefined", True, message if total else "nothing is left undefined")


START_UP_REFERENCES = frozenset(
    {
        b"__gmon_start__",
        b"_ITM_deregisterTMCloneTable",
        b"_ITM_registerTMCloneTable",
        b"_Jv_RegisterClasses",
        b"__cxa_finalize",
        b"__deregister_frame_info",
        b"__register_frame_info",
    }
)
"""Weak references of crti.o and crtbeginS.o, which each image may have unresolved; only a host that was linked with
-pg defines __gmon_start__."""
EVERYWHERE = ("libc.so", "ld-linux", "ld-musl", "libdl.so", "libpthread.so")
"""Libraries that the main program itself loads, so that everybody sees them."""


def _only_for_the_host(question: _Question, name: bytes) -> str | None:
    """The library of a host that is a library itself, if it alone supplies *name* and the patch does not need it.

    ``dlopen`` with RTLD_LOCAL, as Android's System.loadLibrary and every plug-in loader call it, keeps what the host
    needs out of the global scope.
    """
    host, needed = question.host.image, question.patch.needed_libraries
    if host.format != "elf" or host.file_type is not FileType.LIBRARY or question.supplier(name, needed) is not None:
        return None
    own = next((item.library for item in host.imports() if item.name == name), None)
    beyond = [library for library in host.needed_libraries if library not in needed]
    library = own if own in beyond else None if own else question.supplier(name, beyond)
    return None if library is None or library.startswith(EVERYWHERE) else library


def _stubs(question: _Question) -> Iterator[Finding]:
    expected = question.slide.value if question.slide else question.slide_of_stubs
    slide = expected or 0  # a stub that the host has a function for tells one
    sound = True
    for stub in question.stubs:
        name, addresses = as_text(stub.name), question.addresses(stub.name)
        if not stub.name or forwarded_address(stub.name) == stub.target or _is_anchor(question.slide, stub):
            continue  # the symbol table is stripped, so that nothing says where it should go; or it says so itself
        override = question.override(stub.name)
        if override is not None:
            if stub.target != override:
                sound = False
                wanted = f"{override:#x}, where an earlier patch replaced it"
                yield Finding("stubs", False, f"{name} branches to {stub.target:#x}, not to {wanted}", (name,))
        elif not addresses:
            sound = False
            yield Finding("stubs", False, f"{name} is a stub, but the host has no symbol of that name", (name,))
        elif stub.target - slide not in addresses:
            sound = False
            wanted = ", ".join(f"{address + slide:#x}" for address in addresses)
            message = f"{name} branches to {stub.target:#x}, but the host's is at {wanted}"
            yield Finding("stubs", False, message, (name,))
    if expected is not None and expected % question.host.image.page_size:
        sound = False
        message = f"they agree on slide {expected:#x}, which is not a multiple of the page size"
        yield Finding("stubs", False, message)
    if sound:
        at = f", all for slide {expected:#x}" if question.stubs and expected is not None else ""
        yield Finding("stubs", True, f"{counted(len(question.stubs), 'stub')} found and decoded{at}")


def _identity(question: _Question) -> Iterator[Finding]:
    """What the note of the patch says, and whether the linker kept that of the stub object."""
    identity, host = identity_in(question.patch), question.host.identity
    stubs = [identity_in(item.image) for item in question.inputs.files if item.source is Source.STUB]
    if identity is None:
        if any(stubs):
            message = "the linker dropped its identity note: a runtime that looks for one will refuse the patch"
            yield Finding("identity", True, message, note=True)
        return
    slide = question.slide.value if question.slide else question.slide_of_stubs
    contradiction = identity.contradiction(host, slide)
    if contradiction is not None:
        yield Finding("identity", False, f"it {contradiction}")
    elif any(stub is not None and stub != identity for stub in stubs):
        message = "its identity note is not the stub object's: the linker handed over another link's output"
        yield Finding("identity", False, message)
    elif not host.kind:
        yield Finding(
            "identity", True, "nothing tells this build of the host from others: link it with --build-id", note=True
        )
    elif identity.host == host:
        yield Finding("identity", True, f"it says that it is for this host, {host}")
    else:
        message = f"nobody can tell whether it is for this host: it says {identity.host}, and this is {host}"
        yield Finding("identity", True, message, note=True)


def _is_anchor(slide: Slide | None, stub: Stub) -> bool:
    """Whether it tells the loader's slide, so that it is the host's whatever replaced that."""
    return slide is not None and slide.anchor == as_text(stub.name) and stub.target == slide.runtime_address


def _slots(question: _Question) -> Iterator[Finding]:
    slide = question.slide.value if question.slide else question.slide_of_stubs
    sound, total = True, 0
    for symbol, address in slots_of(question.patch):
        total += 1
        name, addend, size = parse_symbol(symbol)
        raw = question.patch.read_at(address, size, "a slot")
        value = int.from_bytes(raw[8 if size > 8 else 0 :], "little")  # the first word of a descriptor is its resolver
        if slide is None or question.override(name) is not None:
            continue
        expected = _slot_values(question, name, addend, slide)
        if value not in expected:
            expected |= _values_of_renamed(question.host.image, slide, name, addend)
        if value not in expected:
            expected |= _values_by_debug_info(question, slide, name, addend)
        if value not in expected:
            sound = False
            title = as_text(name)
            wanted = ", ".join(map(_place, sorted(expected))) or "nowhere: the host has no such symbol"
            message = f"{title} is read at {_place(value)}, but the host's is at {wanted}"
            yield Finding("slots", False, message, (title,))
    if total and _misreads_slots(question):
        message = "gold encodes a load of an address (R_AARCH64_LD_PREL_LO19) wrongly: link with GNU ld, lld or mold"
        yield Finding("slots", False, message)
    elif sound and total:
        yield Finding("slots", True, f"{counted(total, 'slot')} found, each with what the host has there")


def _slot_values(question: _Question, name: bytes, addend: int, slide: int) -> set[int]:
    """What may stand in a slot for *addend* bytes behind what the host, or an earlier patch, has as *name*."""
    sources = [(patch.image, patch.slide, patch.find(name)) for patch in question.previous.patches]
    sources.append((question.host.image, slide, question.candidates(name)))
    return {
        value
        for image, moved, candidates in sources
        for candidate in candidates
        for value in _values_for(image, moved, candidate, addend)
    }


def _values_of_renamed(host: Image, slide: int, name: bytes, addend: int) -> set[int]:
    """Likewise, of its variables that compilers number or link-time optimisation renamed, or of another linkage."""
    from stubgen.resolve.renamed import in_family, plain_of
    from stubgen.symbols.cxx import other_linkages

    named = {other for other in host.names_with([plain_of(name) + b"."]) if in_family(other, name)}
    others = other_linkages(name)
    pool = [candidate for found in host.find({*named, *others}).values() for candidate in found]
    own = [each for each in pool if each.kind is Kind.DATA and (each.local or each.name in others)]
    return {value for candidate in own for value in _values_for(host, slide, candidate, addend)}


def _values_by_debug_info(question: _Question, slide: int, name: bytes, addend: int) -> set[int]:
    """Likewise, of what the host's debug information calls so in a source of the patch: its symbol had a label."""
    from stubgen.image.dwarf_places import places_of
    from stubgen.resolve.renamed import name_in_source

    host = question.host.image
    if host.format != "elf" or not host.debug_info.units:
        return set()
    images = [item.image for item in question.inputs.files]
    paths = {image.debug_info.source_file for image in images if image.format == "elf"}
    places = (places_of(host.debug_info, path).get(name_in_source(name), ()) for path in paths if path[:1] == b"/")
    own = host.variables_at([place for found in places for place in found])
    return {value for candidate in own for value in _values_for(host, slide, candidate, addend)}


def _values_for(image: Image, slide: int, candidate: Candidate, addend: int) -> Iterator[int]:
    """What may stand in a slot for *addend* bytes behind *candidate*."""
    if candidate.kind is not Kind.THREAD_LOCAL or image.format == "macho":
        place = candidate.address + (0 if candidate.kind is Kind.ABSOLUTE else slide)
        yield ((place | candidate.tag) + addend) % _WORD
        word = image.found_by_loader(candidate).word if candidate.replaceable else None
        if word is not None:
            yield (word + slide + addend) % _WORD
        return
    offset = image.thread_offset(candidate.address)
    found = image.thread_descriptor(candidate) if offset is None else None
    if offset is not None:
        yield (offset + addend) % _WORD
    elif found is not None:
        yield (found[1] + addend) % _WORD | found[0] + slide << 64


_WORD = 1 << 64


def _place(value: int) -> str:
    """What a slot holds, for a message."""
    descriptor, distance = divmod(value, _WORD)
    return f"{distance:#x} from the descriptor at {descriptor:#x}" if descriptor else f"{value:#x}"


def _misreads_slots(question: _Question) -> bool:
    """Whether gold, which leaves its note, linked an object that reads a slot by a literal load."""
    from stubgen.elf.relocations import R_AARCH64_LD_PREL_LO19
    from stubgen.image.elf import ElfImage

    patch = question.patch
    if not isinstance(patch, ElfImage) or patch.file.section(".note.gnu.gold-version") is None:
        return False
    return any(
        R_AARCH64_LD_PREL_LO19 in table.kind
        for item in question.inputs.files
        if isinstance(item.image, ElfImage)
        for _, table in item.image.file.relocations()
    )


def _local_exec(question: _Question) -> Iterator[Finding]:
    """GNU ld leaves no trace in the patch of what it made of such code; the objects tell."""
    accesses = [access for item in question.inputs.files for access in item.image.local_exec_accesses()]
    if accesses:
        more = f" and {len(accesses) - 1} more" if len(accesses) > 1 else ""
        message = (
            f"{accesses[0]}{more}: code for the main program, which in a library reaches the program's thread-locals "
            f"instead of the patch's; link bound copies, or compile with -fPIC (rustc: -C relocation-model=pic)"
        )
        yield Finding("thread-locals", False, message)


def _looked_up(question: _Question) -> Iterator[Finding]:
    stubbed = sorted({stub.name for stub in question.stubs if stub.name} & question.patch.looked_up())
    for name in stubbed:
        message = f"{as_text(name)} is looked up by the loader although it has a stub"
        yield Finding("lookups", False, message, (as_text(name),))
    if not stubbed:
        yield Finding("lookups", True, "the loader looks no stub up")


def _own_definitions(question: _Question) -> Iterator[Finding]:
    """ELF: what the host exports is found first; Mach-O: dyld gives all images one of each weak definition."""
    replaceable = question.patch.replaceable()
    taken = sorted(replaceable & question.host.image.exports()) if replaceable else []
    for name in taken:
        message = (
            f"{as_text(name)} is defined in it, and the loader takes the host's old one instead: link bound copies "
            f"of the patch's objects (link, or build --bound-dir)"
        )
        yield Finding("own definitions", False, message, (as_text(name),))


def _exports(question: _Question) -> Iterator[Finding]:
    if not question.exports:
        return
    exported, inputs = question.patch.exports(), [item.image for item in question.inputs.files]
    spelled = [as_spelled(name, exported, question.patch.format) for name in question.exports]
    missing = [name for name in spelled if as_bytes(name) not in exported]
    for name in missing:
        why = why_not_exported(name, inputs) if inputs else "the patch does not export it"
        yield Finding("exports", False, f"{name} cannot be found by dlsym: {why}", (name,))
    if not missing:
        yield Finding("exports", True, f"{', '.join(spelled)} can be found by dlsym")


def _branch_protection(question: _Question) -> Iterator[Finding]:
    if question.patch.format != "elf" or not any(stub.bti for stub in question.stubs):
        return
    from stubgen.elf.constants import GNU_PROPERTY_AARCH64_FEATURE_1_BTI as BTI

    if question.patch.features & BTI:
        yield Finding("bti", True, "the patch keeps the BTI property")
    elif question.host.image.features & BTI:
        message = "the host has BTI, but the linked patch lost it: some input lacks the property"
        yield Finding("bti", False, message)
    else:
        yield Finding("bti", True, "the stubs have landing pads; the host does not ask for BTI")


def _origin(question: _Question) -> Iterator[Finding]:
    slide = question.slide.value if question.slide else question.slide_of_stubs
    yield from origin_findings(question.account, question.in_host, question.stubs, slide)
    yield from constructor_findings(question.account)
    yield from content_findings(question.account, question.patch)


def _loading(question: _Question) -> Iterator[Finding]:
    yield from loading_findings(question.patch, question.host.image, question.libraries)


CHECKS: tuple[Callable[[_Question], Iterator[Finding]], ...] = (
    _back_edge,
    _own_name,
    _undefined,
    _identity,
    _stubs,
    _slots,
    _local_exec,
    _looked_up,
    _own_definitions,
    _exports,
    _branch_protection,
    _origin,
    _loading,
)
"""Every check, in the order of the report."""
