"""Each rule of what glibc, musl and bionic ask of a library, on files that differ in one field."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from linked import CODE, THREAD, THREADS, VARIABLES, Relocation, Sym, elf_linked, imported

from stubgen.elf import constants as e
from stubgen.elf import writer as elf_writer
from stubgen.finding import Finding
from stubgen.image import Image
from stubgen.image.opening import open_image
from stubgen.loading import loading_findings

TEXT, DATA, TLS, STACK = 0, 1, 3, 4
"""Numbers of the segments."""
TYPE, FLAGS, OFFSET, ADDRESS, SIZE, ALIGN = ((0, "I"), (4, "I"), (8, "Q"), (16, "Q"), (40, "Q"), (48, "Q"))
"""Fields of Elf64_Phdr: where, and how wide."""
GLIBC, MUSL, ANDROID = "/lib/ld-linux-aarch64.so.1", "/lib/ld-musl-aarch64.so.1", "/system/bin/linker64"
RWX, RW, RX, R = 7, 6, 5, 4


def file(*changes: tuple[int, tuple[int, str], int], symbols: tuple[Sym, ...] = (), **options: Any) -> Image:
    """A library, or a program, with some fields of its segments changed."""
    content = bytearray(elf_linked([Sym("f", CODE), *symbols], **options))
    for number, (at, width), value in changes:
        struct.pack_into(f"<{width}", content, 64 + 56 * number + at, value)
    return open_image(bytes(content), "file.so")


def said(patch: Image, host: Image, libraries: dict[str, Image] | None = None) -> list[tuple[str, bool, str]]:
    """What speaks against loading *patch*."""
    *found, last = list(loading_findings(patch, host, libraries or {}))
    if last != Finding("loading", True, "its segments, and what it asks of the loader, are as the host's"):
        found.append(last)
    else:
        assert all(finding.ok for finding in found)
    assert all(finding.note is finding.ok for finding in found)
    return [(finding.check, finding.ok, finding.message) for finding in found]


def host(*changes: tuple[int, tuple[int, str], int], loader: str = GLIBC, **options: Any) -> Image:
    """A program on that C library."""
    return file(*changes, program=True, interpreter=loader, **options)


def test_an_ordinary_patch() -> None:
    """A complaint about every patch would be switched off."""
    for loader in (GLIBC, MUSL):
        assert said(file(), host(loader=loader)) == []


NO_STACK, RWX_STACK = (STACK, TYPE, 0), (STACK, FLAGS, RWX)
STACK_OF: dict[str, tuple[list[Any], list[Any], str, str, bool]] = {
    "none": ([NO_STACK], [], GLIBC, "it has no PT_GNU_STACK", False),
    "executable": ([RWX_STACK], [], GLIBC, "PT_GNU_STACK is executable", False),
    "on musl": ([RWX_STACK], [], MUSL, "PT_GNU_STACK is executable", True),
    "on Android": ([NO_STACK, (TEXT, ALIGN, 16384), (DATA, ALIGN, 16384)], [], ANDROID, "it has no PT_GNU_STACK", True),
    "the host's as well": ([RWX_STACK], [NO_STACK], GLIBC, "", True),
    "the host's alone": ([], [RWX_STACK], GLIBC, "", True),
}


@pytest.mark.parametrize(("own", "hosts", "loader", "cause", "ok"), STACK_OF.values(), ids=[*STACK_OF])
def test_the_stack(own: list[Any], hosts: list[Any], loader: str, cause: str, ok: bool) -> None:
    """Glibc makes all stacks of the process executable for one such library."""
    message = f"{cause}: glibc would make the stacks of the whole process executable, or refuse it; -z noexecstack"
    assert said(file(*own), host(*hosts, loader=loader)) == ([("stack", ok, message)] if cause else [])


def test_writable_code() -> None:
    """SELinux refuses it, and so does Android."""
    message = "the segment at {} is writable and executable, which hardened systems do not load"
    assert said(file((TEXT, FLAGS, RWX)), host()) == [("segments", False, message.format("0x0"))]
    both = said(file((TEXT, FLAGS, RWX), (DATA, FLAGS, RWX)), host())
    assert [text for _, _, text in both] == [message.format("0x0"), message.format("0x3000")]
    assert said(file((TEXT, FLAGS, RWX)), host((DATA, FLAGS, RWX))) == []
    assert said(file((TLS, FLAGS, RWX)), host()) == []
    assert said(file((DATA, FLAGS, R)), host()) == []


def test_the_alignment_of_segments() -> None:
    """Where pages are larger than the patch's alignment dlopen fails, and the host runs."""
    small = (
        "its segments are aligned to {} bytes, the host's to {}: where pages are larger it is not loaded; link with "
        "-z max-page-size={}"
    )
    page = [(TEXT, ALIGN, 4096), (DATA, ALIGN, 4096)]
    large = [(TEXT, ALIGN, 65536), (DATA, ALIGN, 16384)]
    device = [(TEXT, ALIGN, 16384), (DATA, ALIGN, 16384)]
    assert said(file(*page), host(*page)) == []
    assert said(file(*large), host(*page)) == []
    assert said(file(*page), host(*large)) == [("alignment", False, small.format(4096, 16384, 16384))]
    assert said(file((TEXT, ALIGN, 4096)), host(*page)) == [("alignment", False, small.format(16, 4096, 4096))]
    assert said(file((TEXT, ALIGN, 0)), host((TEXT, ALIGN, 2))) == [("alignment", False, small.format(1, 2, 2))]
    no_segments = open_image(bytes(elf_writer.write(elf_writer.Object([]))), "x.o")
    assert said(file((TEXT, ALIGN, 1)), no_segments) == []
    neither = "its segments are aligned to 4096 bytes, as the host's: a device with pages of 16384 loads neither"
    assert said(file(*page), host(*page, loader=ANDROID)) == [("alignment", True, neither)]
    assert said(file(*device), host(*device, loader=ANDROID)) == []
    assert said(file(*page), host(*device, loader=ANDROID)) == [("alignment", False, small.format(4096, 16384, 16384))]


def relocated(*places: int, kind: int = 257, **options: Any) -> Image:
    """A library with relocations there."""
    return file(relocations=[Relocation(place, "f", kind) for place in places], **options)


def test_text_relocations() -> None:
    """The loader would write to memory that is not writable: compiled without -fPIC."""
    advice = ": loaders refuse to write to code; compile the patch with -fPIC"
    what = "it has relocations of memory that is not writable ({}, the first at {})" + advice
    check = ("text relocations", False)
    assert said(relocated(VARIABLES), host()) == []
    assert said(relocated(CODE), host()) == [(*check, what.format("1 place", "0x1000 in .text"))]
    assert said(relocated(VARIABLES - 8, CODE + 8), host()) == [(*check, what.format("2 places", "0x1008 in .text"))]
    assert said(relocated(VARIABLES - 1), host()) == [(*check, what.format("1 place", "0x2fff in .rodata"))]
    assert said(relocated(0), host()) == [(*check, what.format("1 place", "0x0"))]
    assert said(relocated(CODE, kind=0), host()) == []  # R_AARCH64_NONE
    for tag, value in ((e.DT_TEXTREL, 0), (e.DT_FLAGS, e.DF_TEXTREL)):
        assert said(file(tags=[(tag, value)]), host()) == [(*check, f"it has DT_TEXTREL{advice}")]
    both = relocated(CODE, tags=[(e.DT_TEXTREL, 0)])
    assert said(both, host()) == [(*check, f"it has DT_TEXTREL (1 place, the first at 0x1000 in .text){advice}")]
    assert said(file(tags=[(e.DT_FLAGS, e.DF_SYMBOLIC)]), host()) == []


LEVEL = Sym("level", 0, e.STT_TLS, section=THREAD)
TPREL = 1030  # R_AARCH64_TLS_TPREL64
STATIC_TLS: dict[str, tuple[dict[str, Any], bool]] = {
    "none": ({}, False),
    "a flag": ({"tags": [(e.DT_FLAGS, e.DF_STATIC_TLS)]}, True),
    "another flag": ({"tags": [(e.DT_FLAGS, e.DF_SYMBOLIC)]}, False),
    "its own block": ({"relocations": [Relocation(VARIABLES, "", TPREL)]}, True),
    "its own variable": ({"relocations": [Relocation(VARIABLES, "level", TPREL)], "symbols": (LEVEL,)}, True),
    "another's": ({"relocations": [Relocation(VARIABLES, "errno", TPREL)], "symbols": (imported("errno"),)}, False),
    "another's and its own": (
        {
            "relocations": [Relocation(VARIABLES, "errno", TPREL), Relocation(VARIABLES + 8, "", TPREL)],
            "symbols": (imported("errno"),),
        },
        True,
    ),
    "a pointer": ({"relocations": [Relocation(VARIABLES, "", 1027)]}, False),
}


@pytest.mark.parametrize(("options", "wanted"), STATIC_TLS.values(), ids=[*STATIC_TLS])
def test_static_thread_local_storage(options: dict[str, Any], wanted: bool) -> None:
    """Glibc has a little of it for libraries that come later, musl and bionic have none."""
    what = "it needs 64 bytes of static TLS (-ftls-model=initial-exec)"
    page = [(TEXT, ALIGN, 16384), (DATA, ALIGN, 16384)]
    glibc = f"{what}: glibc keeps some for libraries that are loaded later, and fails when that is used up"
    for loader, libc in ((GLIBC, ""), (MUSL, "musl"), (ANDROID, "android")):
        message = f"{what}, which {libc} gives to no library that is loaded later" if libc else glibc
        found = said(file(*page, **options), host(*page, loader=loader))
        assert found == ([("static TLS", not libc, message)] if wanted else [])
    assert said(file((TLS, TYPE, 0), **options), host()) == []
    assert THREADS == 0x4000


def needing(*versions: str, library: str = "libc.so.6") -> Image:
    """A library that needs these versions."""
    return file(symbols=tuple(imported(f"x{n}", library=library, version=v) for n, v in enumerate(versions)))


VERSIONS: dict[str, tuple[list[str], list[str], list[str]]] = {
    # the patch's, the host's, what is said
    "none": ([], ["GLIBC_2.17"], []),
    "the same": (["GLIBC_2.17"], ["GLIBC_2.17"], []),
    "an older": (["GLIBC_2.17"], ["GLIBC_2.34", "GLIBC_2.4"], []),
    "a newer": (["GLIBC_2.34"], ["GLIBC_2.17", "GLIBC_2.4"], ["no newer one than GLIBC_2.17"]),
    "by numbers": (["GLIBC_2.9"], ["GLIBC_2.17"], []),
    "by all numbers": (["GLIBC_2.17.1"], ["GLIBC_2.17"], ["no newer one than GLIBC_2.17"]),
    "of another series": (["GLIBCXX_3.4"], ["GLIBC_4.0"], ["none of these"]),
    "no numbers": (["PRIVATE"], ["GLIBC_4.0"], ["none of these"]),
    "of no host": (["GLIBC_2.17"], [], ["none of these"]),
    "two": (["GLIBC_2.36", "GLIBC_2.35"], ["GLIBC_2.34"], ["no newer one than GLIBC_2.34"] * 2),
}


@pytest.mark.parametrize(("own", "hosts", "expected"), VERSIONS.values(), ids=[*VERSIONS])
def test_versions_that_the_host_tells(own: list[str], hosts: list[str], expected: list[str]) -> None:
    """Where the host runs with an older C library the patch may not load; nobody knows, so it is a note."""
    program = host(symbols=tuple(imported(f"y{n}", library="libc.so.6", version=v) for n, v in enumerate(hosts)))
    newer = sorted(own)[-len(expected) :] if expected else []
    assert said(needing(*own), program) == [
        (
            "versions",
            True,
            f"it needs version {version} of libc.so.6, and the host asks for {text}: an older libc.so.6 does not have "
            "it",
        )
        for version, text in zip(newer, expected, strict=True)
    ]


def test_versions_of_another_library_tell_nothing() -> None:
    """Libm has numbers of its own."""
    program = host(symbols=(imported("y", library="libm.so.6", version="GLIBC_2.36"),))
    ((check, ok, message),) = said(needing("GLIBC_2.34"), program)
    assert (check, ok) == ("versions", True)
    assert "the host asks for none of these" in message


def test_versions_that_a_given_library_tells() -> None:
    """The library that will be there is known, and dlopen would say "version V2 not found"."""
    program = host(symbols=(imported("y", library="libv.so", version="V9"),))
    given = {"libv.so": file(versions=["V1", "V3"])}
    message = "it needs version V2 of libv.so, and file.so has none of that name"
    assert said(needing("V1", "V3", library="libv.so"), program, given) == []
    assert said(needing("V1", "V2", library="libv.so"), program, given) == [("versions", False, message)]
    assert [ok for _, ok, _ in said(needing("V9", library="libv.so"), program, given)] == [False]
    note = elf_writer.note(b"Android", 1, bytes(4), "note")
    for other in (file(), open_image(bytes(elf_writer.write(elf_writer.Object([]))), "x.o")):
        assert [ok for _, ok, _ in said(needing("V1", library="libv.so"), program, {"libv.so": other})] == [False]
    android = file(program=True, notes=[(".note.android.ident", note)])
    assert [check for check, _, _ in said(file((STACK, FLAGS, RWX)), android)] == ["stack", "alignment"]
