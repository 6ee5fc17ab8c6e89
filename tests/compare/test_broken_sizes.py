"""A Mach-O host that says a section is larger than its file: it is read, or refused, as fast as a sound one."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from fuzz import engine
from live.test_macho import symbols, toolchain
from tools import run

from stubgen.borrow.presence import HostSymbols
from stubgen.compare import host_places
from stubgen.host import Host
from stubgen.image.macho import MachOImage
from stubgen.image.opening import open_image
from stubgen.macho import constants as c
from stubgen.macho.records import DYLD_INFO_COMMAND

LARGE = 1 << 40
"""Bytes. A descriptor at a time they take days."""
SOURCE = (
    "_Thread_local long first = 1, second[3] = {2}, third = 3; volatile long ran;"
    "__attribute__((constructor)) static void start(void) { ran = 1; }"
    "int main(void) { return (int)(first + second[0] + third); }"
)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program with thread-locals and an initialiser."""
    folder, tools = tmp_path_factory.mktemp("host"), toolchain("lld-opcodes")
    undefined = ["-undefined", "dynamic_lookup"]
    run([*tools.link, *undefined, "-o", "host", tools.object(folder, "m", SOURCE).name], cwd=folder)
    return folder / "host"


def enlarged(content: bytes, kind: int) -> bytes:
    """The program, whose section of type *kind* says that it has that many bytes, and its segment that it has more."""
    image = open_image(content, "host")
    assert isinstance(image, MachOImage)
    section = next(each.header for each in image.file.sections if each.header.flags & c.SECTION_TYPE == kind)
    segment = next(each for each in image.file.segments if 0 <= section.addr - each.vmaddr < each.vmsize)
    changed = bytearray(content)
    at = content.index(section.sectname + section.segname)
    changed[at + 40 : at + 48] = LARGE.to_bytes(8, "little")
    at = content.index(segment.segname + segment.vmaddr.to_bytes(8, "little"))
    changed[at + 24 : at + 32] = (2 * LARGE).to_bytes(8, "little")
    return bytes(changed)


def test_initial_values_end_where_the_file_does(host: Path) -> None:
    """With ``--keep-state`` the link did not end."""
    places = {name: address for name, address in symbols(host).items() if name in ("_first", "_second", "_third")}

    def values(content: bytes) -> list[tuple[int, int | None]]:
        found = host_places(open_image(content, "host"))
        return [found.initial_value(places[name]) for name in sorted(places)]

    content = host.read_bytes()
    broken = enlarged(content, c.S_THREAD_LOCAL_VARIABLES)
    assert not engine.failure_of(values, broken)
    (first, room), (second, more), (third, rest) = values(content)
    assert (second - first, room, third - second, more, rest) == (8, 8, 24, 24, 8)  # the last ends with its section
    assert [start for start, _ in values(broken)] == [first, second, third]


def test_memory_behind_the_file_is_zeroes(host: Path) -> None:
    """A large array of zeroes lies behind where the file ends; a host with one was said to be truncated."""
    image = open_image(enlarged(host.read_bytes(), c.S_THREAD_LOCAL_VARIABLES), "host")
    assert isinstance(image, MachOImage)
    assert image.file.memory_at(symbols(host)["_first"] + LARGE, 8) == bytes(8)


def test_initialisers_end_where_the_file_does(host: Path) -> None:
    """Nor did one that borrows from the host's archives."""
    content = host.read_bytes()

    def initialisers(changed: bytes) -> frozenset[int]:
        return HostSymbols(Host("host", open_image(changed, "host"))).initialisers

    assert len(initialisers(content)) == 1
    assert not engine.failure_of(initialisers, enlarged(content, c.S_MOD_INIT_FUNC_POINTERS))


def test_bound_pointers_are_no_more_than_the_file_has_room_for(host: Path) -> None:
    """Each opcode of five bytes may say that it binds as many: a few kilobytes of them took minutes."""
    content = bytearray(host.read_bytes())
    image = open_image(bytes(content), "host")
    assert isinstance(image, MachOImage)
    command = next(each for each in image.file.commands if each.cmd in (c.LC_DYLD_INFO, c.LC_DYLD_INFO_ONLY))
    info = image.file.read_command(DYLD_INFO_COMMAND, command, "LC_DYLD_INFO")
    skipping = bytes([c.BIND_OPCODE_DO_BIND_ULEB_TIMES_SKIPPING_ULEB, 0xFF, 0xFF, 0x7F, 0]) * 40_000
    binding = struct.pack("<2I", info.bind_off, info.bind_size)
    at = content.index(binding)
    content[at : at + 8] = struct.pack("<2I", len(content), len(skipping))

    def bound(changed: bytes) -> object:
        image = open_image(changed, "host")
        return host_places(image).pointer(image.first_address)

    assert not engine.failure_of(bound, bytes(content) + skipping)


def test_a_chain_ends_with_its_page(tmp_path: Path) -> None:
    """Pages that all say that they begin at the same place had the rest of the file followed once for each."""
    tools = toolchain("lld")
    source = "int main(void); void *const table[64] = {[0 ... 63] = (void *)main}; int main(void) { return !table[0]; }"
    run([*tools.link, "-o", "host", tools.object(tmp_path, "m", source).name], cwd=tmp_path)
    content, main = bytearray((tmp_path / "host").read_bytes()), symbols(tmp_path / "host")["_main"]

    def held() -> int:
        places = host_places(open_image(bytes(content), "host"))
        return len(list(places.holders({main}, ())))

    assert held() == 64
    image = open_image(bytes(content), "host")
    assert isinstance(image, MachOImage)
    offset = symbols(tmp_path / "host")["_table"] - image.first_address
    starts = struct.pack("<HHQ", 0x4000, c.DYLD_CHAINED_PTR_64, offset & -0x4000)
    at = content.index(starts)
    content[at : at + 2] = struct.pack("<H", (offset & 0x3FFF) + 8 * 16)
    assert held() == 16
