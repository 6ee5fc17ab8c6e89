"""What is fuzzed: each reader, editor and check, given bytes that anybody could hand it.

A target returns, or raises one of stubgen's errors. Anything else is a finding.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from fuzz import phases
from fuzz.inputs import builder, file, fixture, folder

from stubgen.build import StubBuilder
from stubgen.capture import depfile
from stubgen.capture.compiles import Compile
from stubgen.capture.links import Capture
from stubgen.check import check_patch
from stubgen.common.cache import cache_folder
from stubgen.compileplan import ninja_deps
from stubgen.compileplan.compile_commands import read_compile_commands
from stubgen.elf.reader import ElfFile
from stubgen.errors import StubgenError
from stubgen.generations.state import encode_session, read_session
from stubgen.host.index import build_index
from stubgen.host.slide import Slide
from stubgen.image import Image
from stubgen.image.archive import is_archive, is_thin, members, members_at, symbol_index
from stubgen.image.dwarf_differences import difference
from stubgen.image.dwarf_types import signature_of, type_of_variable
from stubgen.image.dwarf_units import subprogram
from stubgen.image.identity import identity_in
from stubgen.image.intermediate import intermediate_names, is_compiled_at_link
from stubgen.image.opening import arm64_slice, open_image
from stubgen.image.text_stub import is_text_stub, text_stub_exports
from stubgen.linkplan import CapturedCommand, plan_link
from stubgen.linkplan.request import PatchRequest
from stubgen.linkplan.response import split_gnu, split_windows
from stubgen.listing.files import Archive, open_any
from stubgen.macho.reader import MachOFile
from stubgen.origin.link_map import read_link_map
from stubgen.serve.frames import Frames
from stubgen.serve.messages import RpcError, parse
from stubgen.stub.facts import NAME as FACTS
from stubgen.stub.facts import LibraryFacts
from stubgen.stub.verify import verify_object
from stubgen.symbols.rust import is_rust_name, legacy_hash, v0_name


class Target(NamedTuple):
    """One thing that reads what others wrote."""

    run: Callable[[bytes], object]
    seeds: tuple[str, ...]
    """Kinds of seeds, as ``seeds.KINDS`` names them."""


# readers


def drain(value: object, depth: int = 3) -> None:
    """Ask an iterator for all that it has."""
    if (depth and isinstance(value, Iterator)) or (depth and isinstance(value, tuple)):
        for one in value:
            drain(one, depth - 1)


def _public(thing: object, but: frozenset[str] = frozenset()) -> None:
    """Read every public property of *thing*, and call every public method that needs nothing.

    Each may refuse for itself: what is broken in one table says nothing of the others.
    """
    for name in dir(type(thing)):
        if name.startswith("_") or name in but:
            continue
        try:
            value = getattr(thing, name)
            if callable(value) and _needs_nothing(type(thing), name):
                value = value()
            drain(value)
        except StubgenError:
            pass


@cache
def _needs_nothing(owner: type, name: str) -> bool:
    code = getattr(getattr(owner, name), "__code__", None)
    return code is not None and code.co_argcount == 1 and not code.co_kwonlyargcount


def read_elf(content: bytes) -> None:
    """Every table of an ELF file."""
    elf = ElfFile(content, "x.elf")
    _public(elf)
    for section in elf.sections:
        elf.content(section)
    for table in (elf.symbols, elf.dynamic_symbols):
        if table is not None:
            _public(table)
            for index in range(min(len(table), 100)):
                table.entry(index), table.name(index), table.file_of(index)


def read_macho(content: bytes) -> None:
    """Every table of a Mach-O file."""
    macho = MachOFile(content, "x.macho")
    _public(macho)
    for section in macho.sections:
        macho.content(section)
    if macho.symbols is not None:
        _public(macho.symbols)
        for index in range(min(len(macho.symbols), 100)):
            macho.symbols.entry(index), macho.symbols.name(index)


def read_image(content: bytes) -> None:
    """All that the phases ask of a file of either format."""
    image = open_image(arm64_slice(content, "x"), "x")
    _public(image)
    for ask in QUESTIONS:
        with suppress(StubgenError):  # each question is one of its own
            drain(ask(image))


def _names(image: Image) -> list[bytes]:
    return [name for name, _ in zip(image.names(), range(64), strict=False)]


def _variables(image: Image) -> None:
    for variable, _ in zip(image.variables(), range(64), strict=False):
        image.holds_labels(variable)


def _reach(image: Image) -> None:
    if image.reach is not None:
        reach = image.reach
        for piece, _ in zip(list(reach.functions()), range(64), strict=False):
            reach.targets(piece)


QUESTIONS: tuple[Callable[[Any], object], ...] = (
    lambda image: image.find(_names(image)),
    lambda image: image.contents(_names(image)),
    lambda image: image.names_at(
        {candidate.address for found in image.find(_names(image)).values() for candidate in found}
    ),
    lambda image: image.entries_of(".init_array"),
    lambda image: [image.thread_offset(value) for value in (0, 8, 1 << 62)],
    lambda image: [image.word_at(address) for address in range(0, 256, 8)],
    lambda image: image.static_code(),
    lambda image: [image.objects_of(each) for found in image.find(_names(image)).values() for each in found],
    identity_in,
    _variables,
    _reach,
)


def read_dwarf(content: bytes) -> None:
    """The debug information of an object: variables, functions, and types held against themselves."""
    image = open_image(content, "x")
    debug = image.debug_info
    for unit in debug.units:
        for address in [*debug.variables(unit)][:16]:
            kind = type_of_variable(debug, address)
            if kind is not None:
                difference(kind, kind)
        for address in [*debug.functions(unit)][:16]:
            subprogram(debug, address)
            signature_of(debug, address)
    _public(debug)


def read_archive(content: bytes) -> None:
    """The members of an archive, and its index."""
    is_archive(content), is_thin(content)
    index = symbol_index(content, "x.a")
    if index is not None:
        members_at(content, "x.a", set(list(index.values())[:64]))
    for _ in members(content, "x.a"):
        pass


def read_any(content: bytes) -> None:
    """Whatever ``inspect`` is given."""
    opened = open_any(file("any", content))
    if isinstance(opened, Archive):
        _public(opened)
        return
    _public(opened)


# editors and phases


def bind_elf(content: bytes) -> None:
    """An object of the patch: needed names, verdicts, bound copies, the stub object."""
    _bind("sound-elf-host", file("patch-elf.o", content))


def bind_macho(content: bytes) -> None:
    """The same in Mach-O."""
    _bind("sound-macho-host", file("patch-macho.o", content))


def _bind(host: str, path: str) -> None:
    builder(host).build([path], slide=0, bind=True, keep_state=True, allow_missing=True, allow_static=True)


def host_elf(content: bytes) -> None:
    """The host's file, and a sound patch."""
    _judge(file("host-elf", content), fixture("sound-elf-patch.o"))


def host_macho(content: bytes) -> None:
    """The same in Mach-O."""
    _judge(file("host-macho", content), fixture("sound-macho-patch.o"))


def _judge(host: str, patch: str) -> None:
    StubBuilder(host, cache=False).build([patch], slide=0, bind=True, allow_missing=True)


def check_elf(content: bytes) -> None:
    """A linked patch, held against a sound host."""
    _check(file("checked-elf.so", content), "sound-elf-host")


def check_macho(content: bytes) -> None:
    """The same in Mach-O."""
    _check(file("checked-macho.dylib", content), "sound-macho-host")


def _check(patch: str, host: str) -> None:
    check_patch(patch, builder(host).host, slide=Slide(0, None, 0, 0), exports=["g"], libraries=[patch])


def verify(content: bytes) -> None:
    """A stub object, read back."""
    verify_object(content, "stub.o")


def index(content: bytes) -> None:
    """A name index in the cache folder: whatever is in it, the host's names are found as they are without it."""
    with cache_of_its_own():
        index_made()[0].write_bytes(content)
        found = StubBuilder(fixture("sound-elf-large-host")).host.image.find([b"f1", b"f4000", b"f"])
    counts = {name: len(candidates) for name, candidates in found.items() if candidates}
    assert counts == {b"f1": 1, b"f4000": 1}  # an oracle


@cache
def index_made() -> tuple[Path, bytes]:
    """Where the large host's index is, and what was in it at first."""
    with cache_of_its_own():
        path = Path(build_index(fixture("sound-elf-large-host")) or "")
        return path, path.read_bytes()


def facts(content: bytes) -> None:
    """What the cache folder says of Capstone."""
    with cache_of_its_own():
        facts_made()[0].write_bytes(content)
        LibraryFacts.of_user().read_words()


@cache
def facts_made() -> tuple[Path, bytes]:
    """Where those facts are, and which they were at first."""
    with cache_of_its_own():
        known = LibraryFacts.of_user()
        known.words_were_read(known.read_words())
        path = Path(cache_folder() or "", FACTS)
        return path, path.read_bytes()


@contextmanager
def cache_of_its_own() -> Iterator[None]:
    """The folder of the inputs is the cache folder meanwhile."""
    before = os.environ.get("STUBGEN_CACHE_DIR")
    os.environ["STUBGEN_CACHE_DIR"] = folder()
    try:
        yield
    finally:
        os.environ["STUBGEN_CACHE_DIR"] = before or ""


# text


def text_of(content: bytes) -> str:
    """As a text file is read."""
    return content.decode("utf-8", "surrogateescape")


def response(content: bytes) -> None:
    """A response file, in both quotings."""
    split_gnu(text_of(content))
    split_windows(text_of(content))


def plan(content: bytes) -> None:
    """A captured command, one word a line."""
    words = [word.replace("\0", "") for word in text_of(content).split("\n")]
    request = PatchRequest(objects=["patch.o"], output="patch.so", extra=["stub.o"], exports=["f"])
    plan_link(CapturedCommand(words, directory=folder(), environment={}), request)


def capture(content: bytes) -> None:
    """The record of a link."""
    loaded = Capture.load(file("1.link.json", content))
    _ = loaded.command, loaded.files


def compiled(content: bytes) -> None:
    """The record of a compile."""
    Compile.load(file("1.compile.json", content))


def compile_commands(content: bytes) -> None:
    """A compilation database."""
    read_compile_commands(file("compile_commands.json", content))


def session(content: bytes) -> None:
    """The file of ``--session``; what was read is written again."""
    encode_session(read_session(file("session.json", content)))


def link_map(content: bytes) -> None:
    """A linker's map file."""
    read_link_map(text_of(content), {".text", ".data", ".bss", ".rodata"})


def dependencies(content: bytes) -> None:
    """What a compiler wrote of the files that it read."""
    text = text_of(content)
    depfile.real_paths(depfile.prerequisites(text)[:50], folder())
    depfile.variables(text)


def ninja(content: bytes) -> None:
    """Ninja's log of dependencies."""
    os.utime(file(".ninja_deps", content), ns=(0, next(_times)))  # what is known of a log goes by its time
    ninja_deps.dependencies_of("a.o", folder())


_times = itertools.count()


def frames(content: bytes) -> None:
    """What a client of ``serve`` sends, in pieces."""
    reader = Frames()
    size = content[0] % 64 + 1 if content else 1
    for start in range(1, len(content), size):
        for message in reader.feed(content[start : start + size]):
            if isinstance(message, bytes):
                _parsed(message)
    reader.end()


def messages(content: bytes) -> None:
    """One message of a client's."""
    _parsed(content)


def _parsed(content: bytes) -> None:
    with suppress(RpcError):
        parse(content)


def text_stub(content: bytes) -> None:
    """Apple's text-based stub of a library."""
    if is_text_stub(content):
        text_stub_exports(content)


def rust_names(content: bytes) -> None:
    """Symbols as rustc mangles them, one a line."""
    for name in content.split(b"\n"):
        is_rust_name(name), legacy_hash(name), v0_name(name)


def intermediate(content: bytes) -> object:
    """The names in an object whose code the linker makes."""
    names = intermediate_names(memoryview(content), "fuzzed")
    assert names is None or is_compiled_at_link(content), "a look at the names of sections passes over it"
    return names


TARGETS: dict[str, Target] = {
    "read-elf": Target(read_elf, ("any-elf",)),
    "read-macho": Target(read_macho, ("any-macho",)),
    "image": Target(read_image, ("any-elf", "any-macho")),
    "dwarf": Target(read_dwarf, ("debug",)),
    "archive": Target(read_archive, ("archive",)),
    "inspect": Target(read_any, ("any-elf", "any-macho", "archive")),
    "bind-elf": Target(bind_elf, ("elf-object",)),
    "bind-macho": Target(bind_macho, ("macho-object",)),
    "host-elf": Target(host_elf, ("elf",)),
    "host-macho": Target(host_macho, ("macho",)),
    "check-elf": Target(check_elf, ("elf",)),
    "check-macho": Target(check_macho, ("macho",)),
    "compare-object": Target(phases.compare_object, ("elf-object", "macho-object")),
    "compare-host": Target(phases.compare_host, ("elf", "macho")),
    "borrow": Target(phases.borrow, ("elf-object", "macho-object")),
    "account": Target(phases.account, ("elf-object", "macho-object")),
    "reach": Target(phases.reach, ("elf", "macho")),
    "verify": Target(verify, ("stub",)),
    "index": Target(index, ("index",)),
    "facts": Target(facts, ("facts",)),
    "response": Target(response, ("words",)),
    "plan": Target(plan, ("command",)),
    "capture": Target(capture, ("capture",)),
    "compile": Target(compiled, ("compile",)),
    "compile-commands": Target(compile_commands, ("compile-commands",)),
    "session": Target(session, ("session",)),
    "map": Target(link_map, ("map",)),
    "depfile": Target(dependencies, ("depfile",)),
    "ninja": Target(ninja, ("ninja",)),
    "frames": Target(frames, ("frames",)),
    "messages": Target(messages, ("message",)),
    "intermediate": Target(intermediate, ("intermediate",)),
    "text-stub": Target(text_stub, ("text-stub",)),
    "rust-names": Target(rust_names, ("rust-name",)),
}
"""Name -> target."""
