"""Static functions of which a host's objects say, and not the host, which arguments they take."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from live.test_macho import toolchain
from resolve.test_convention import CLANG, HOST, PATCH, STATIC, compiled, linked, refused
from tools import need, run

from stubgen.borrow.homes import LinkFiles
from stubgen.build import StubBuilder
from stubgen.capture import Capture
from stubgen.image import Image, static_arguments
from stubgen.image.macho import MachOImage
from stubgen.jumptable import TableOptions
from stubgen.link import link_patch
from stubgen.macho import constants as c
from stubgen.macho.records import NLIST_64
from stubgen.resolve import judging
from stubgen.resolve.convention import DROPPED, UNKNOWN, UNKNOWN_WITHOUT_DSYM

SLIDE = 0x4000
ALL = [f"_{name}" for name in STATIC]
TAKING = [name for name in ALL if name != "_none"]
"""Those with arguments, whose code is another one with optimisation."""
MARKED = {"_dropped": DROPPED, "_result": DROPPED}
SAID = {
    "-O0 -g": {},
    "-O0 -gdwarf-5": {},
    "-O1 -g": {**MARKED, "_promoted": UNKNOWN, "_plain": UNKNOWN},
    "-O3 -gdwarf-5": {**MARKED, "_promoted": UNKNOWN, "_plain": UNKNOWN},
}
"""How the host's object is compiled -> what is refused then; ``none`` has no arguments to drop."""

LATER = "extern int later(int); int first(int x) { return later(x); }"
MEMBER = """
__attribute__((noinline)) static int in_member(int x, int y) { return x * y + 7; }
int later(int x) { return in_member(x, x + 3); }
"""
PATCH_OF_MEMBER = "int in_member(int, int); int patch(int x) { return in_member(x, 4); }"


def refused_of(
    host: Path, patch: Path, link: Callable[[], LinkFiles] | None = None, *, bind: bool = False, allow: bool = False
) -> dict[str, str]:
    """What is refused of the names that the object *patch* needs -> why."""
    judged = StubBuilder(host).judge([patch], slide=SLIDE, link=link, bind=bind, allow_static=allow)
    return refused(list(judged.decisions()))


class Build:
    """A program for macOS, from the source to the link."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tools = toolchain("lld")
        self.host = folder / "host"
        (folder / "patch").mkdir()

    def object(self, name: str, source: str, options: str = "-O0 -g") -> Path:
        """The object of *source*, whose function calls the linker has to fill in."""
        (self.folder / f"{name}.c").write_text(source)
        run([*self.tools.compile, *options.split(), "-c", f"{name}.c", "-o", f"{name}.o"], cwd=self.folder)
        return self.folder / f"{name}.o"

    def archive(self, *objects: Path, dated: bool = False) -> Path:
        """The archive of *objects*; *dated* with the time of each one's last change."""
        run([need("llvm-ar-19"), f"qcs{'U' if dated else 'D'}", "libparts.a", *objects], cwd=self.folder)
        return self.folder / "libparts.a"

    def link(self, *files: Path, options: str = "", dated: bool = False) -> Path:
        """The program; *dated*: it has the time of the objects' last change, as Apple's linkers write it."""
        environment = os.environ | {"ZERO_AR_DATE": "0" if dated else "1"}
        run([*self.tools.link, *options.split(), *files, "-o", self.host], cwd=self.folder, env=environment)
        return self.host

    def refused(
        self,
        patch: str = PATCH,
        *,
        link: Callable[[], LinkFiles] | None = None,
        bind: bool = False,
        allow: bool = False,
    ) -> dict[str, str]:
        """What is refused of the names that the source *patch* needs."""
        (self.folder / "patch" / "patch.c").write_text(patch)
        path = self.folder / "patch" / "patch.o"
        run([*self.tools.compile, "-O1", "-c", path.with_suffix(".c"), "-o", path])
        return refused_of(self.host, path, link, bind=bind, allow=allow)


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """A program that is to be built."""
    return Build(tmp_path)


def unknown(why: str, *names: str) -> dict[str, str]:
    """The same refusal of all *names*."""
    return dict.fromkeys(names or ALL, f"{UNKNOWN_WITHOUT_DSYM}; {why}")


@pytest.mark.parametrize("bind", [False, True])
@pytest.mark.parametrize("dated", [False, True])
@pytest.mark.parametrize("options", SAID)
def test_objects_say_what_a_dsym_says(build: Build, options: str, *, dated: bool, bind: bool) -> None:
    """Debug builds on macOS have no dSYM: each static function was refused, and people learned ``--allow-static``."""
    build.link(build.object("main", HOST, options), dated=dated)
    assert build.refused(bind=bind) == SAID[options]
    assert build.refused(bind=bind, allow=True) == (MARKED if SAID[options] else {})
    run([need("dsymutil-19"), build.host])
    (build.folder / "main.o").unlink()
    assert build.refused(bind=bind) == SAID[options]


@pytest.mark.parametrize("options", ["", "-S"])
def test_columns_know_the_marks(build: Build, monkeypatch: pytest.MonkeyPatch, options: str) -> None:
    """Where many names are needed and static functions are allowed, those that lost arguments were called."""
    monkeypatch.setattr(judging, "FEW_NEEDED", 0)
    main = build.object("main", HOST, "-x c++ -O1 -g")
    build.link(main, options=options)
    patch = "int _ZL7droppedPKii(int *, int), _ZL5plainii(int, int); int patch(int *p) { return CALLS; }"
    patch = patch.replace("CALLS", "_ZL7droppedPKii(p, 1) + _ZL5plainii(2, 3)")
    files = LinkFiles(objects=(str(main),))
    assert build.refused(patch, link=lambda: files, allow=True) == {"__ZL7droppedPKii": DROPPED}


@pytest.mark.parametrize("dated", [False, True])
@pytest.mark.parametrize("options", ["-O0 -g", "-O2 -g"])
def test_members_of_archives(build: Build, options: str, *, dated: bool) -> None:
    """``libparts.a(part.o)`` is no file's name, and two members may have the same one."""
    (build.folder / "other").mkdir()
    main = build.object("main", LATER + "int main(int c, char **v) { return first(c); }")
    other = build.object("part", MEMBER.replace("in_member", "elsewhere").replace("later", "unused"))
    other = other.rename(build.folder / "other" / "part.o")
    members = [other, build.object("part", MEMBER, options)]
    archive = build.archive(*members, dated=dated)
    build.link(main, archive, dated=dated)
    assert build.refused(PATCH_OF_MEMBER) == ({} if options == "-O0 -g" else {"_in_member": UNKNOWN})
    archive.unlink()
    build.archive(other)
    why = f"{archive}(part.o) has {'changed since the host was linked' if dated else 'other code than the host'}"
    assert build.refused(PATCH_OF_MEMBER) == unknown(why, "_in_member")
    archive.unlink()
    build.archive(main)
    assert build.refused(PATCH_OF_MEMBER) == unknown(f"{archive} lacks part.o by now", "_in_member")
    archive.unlink()
    assert build.refused(PATCH_OF_MEMBER) == unknown(f"{archive} is gone", "_in_member")


def _touch(build: Build) -> str:
    os.utime(build.folder / "main.o", (1, 1))
    return "{} has changed since the host was linked"


def _remove(build: Build) -> str:
    (build.folder / "main.o").unlink()
    return "{} is gone"


def _recompile(build: Build) -> str:
    """As optimised as the host is not, in the same second."""
    time = (build.folder / "main.o").stat().st_mtime_ns
    build.object("main", HOST, "-O0 -g")
    os.utime(build.folder / "main.o", ns=(time, time))
    return "{} has other code than the host"


def _strip(build: Build) -> str:
    time = (build.folder / "main.o").stat().st_mtime_ns
    run([need("llvm-strip-19"), "-S", "main.o"], cwd=build.folder)
    os.utime(build.folder / "main.o", ns=(time, time))
    return "{} has no debug information of it"


def _put_host_there(build: Build) -> str:
    time = (build.folder / "main.o").stat().st_mtime_ns
    shutil.copy(build.host, build.folder / "main.o")
    os.utime(build.folder / "main.o", ns=(time, time))
    return "{} is no object any more"


def _break(build: Build) -> str:
    time = (build.folder / "main.o").stat().st_mtime_ns
    (build.folder / "main.o").write_bytes(b"no object")
    os.utime(build.folder / "main.o", ns=(time, time))
    return "{}: is neither an ELF nor a Mach-O file"


@pytest.mark.parametrize("change", [_touch, _remove, _recompile, _strip, _put_host_there, _break])
def test_another_object_is_no_evidence(build: Build, change: Callable[[Build], str]) -> None:
    """The object of a later compile says how *that* takes its arguments; the process runs what was linked."""
    options = "-O3 -g" if change is _recompile else "-O0 -g"
    build.link(build.object("main", HOST, options), dated=True)
    assert build.refused() == SAID.get(options, SAID["-O1 -g"])
    why = change(build).format(build.folder / "main.o")
    expected = unknown(why, *(TAKING if change is _recompile else ALL))
    assert build.refused() == expected
    files = LinkFiles(objects=(str(build.folder / "main.o"),))
    assert build.refused(link=lambda: files, bind=True) == expected, "the host knows better than its link"
    assert build.refused(allow=True) == {}


def test_without_a_date_the_code_tells(build: Build) -> None:
    """LLVM's linker writes no times unless asked: a recompiled object passed for the one that was linked."""
    build.link(build.object("main", HOST, "-O3 -g"))
    os.utime(build.object("main", HOST, "-O0 -g"), (1, 1))
    assert build.refused() == unknown(f"{build.folder / 'main.o'} has other code than the host", *TAKING)
    build.object("main", HOST, "-O3 -g")
    assert build.refused() == SAID["-O3 -gdwarf-5"]


@pytest.mark.parametrize("options", ["-O0", "-O3"])
def test_what_was_compiled_without_debug_information(build: Build, options: str) -> None:
    """Linkers name no object then, or not for its functions: the refusal says that ``-g`` is lacking."""
    main = build.object("main", HOST, options)
    build.link(main)
    assert build.refused() == unknown("the host names no object that it was linked from")
    build.link(main, build.object("other", "int other(void) { return 1; }"))
    assert build.refused() == unknown("the host names no object for it")


def test_each_object_speaks_for_its_own_functions(build: Build) -> None:
    """One optimised file of a debug build must not be taken for another one."""
    files = [build.object("main", HOST + LATER), build.object("part", MEMBER, "-O2 -g")]
    build.link(*files)
    both = PATCH_OF_MEMBER + PATCH.replace("int patch(", "int other(")
    assert build.refused(both) == {"_in_member": UNKNOWN}
    build.link(build.object("main", HOST + LATER, "-O1 -g"), build.object("part", MEMBER))
    assert build.refused(both) == SAID["-O1 -g"]


@pytest.mark.parametrize("options", ["-O0 -g", "-O3 -g"])
def test_direct_calls_are_led_to_what_kept_its_arguments(build: Build, options: str) -> None:
    """A runtime that overwrites the old function left every edited static function of a Mach-O host as it was."""
    main = build.object("main", HOST, options)
    build.link(main)
    captured = Capture([*build.tools.link, main, "-o", "host"], build.folder, {}, output="host")
    kept = main.read_bytes()
    edited = build.object("main", HOST.replace("+ 3", "+ 4"), "-O1 -g").rename(build.folder / "patch" / "main.o")
    main.write_bytes(kept)
    anchor = StubBuilder(build.host).host.find([b"_main"])[b"_main"][0].address + SLIDE
    linked = link_patch(
        *(StubBuilder(build.host), captured, [edited], build.folder / "patch.dylib", anchor),
        jump_table=TableOptions(everything=True, direct_calls=True),
    )
    assert linked.jump_table is not None
    led = {entry.name for entry in linked.jump_table.entries}
    left_out = {item.name: item.reason.partition(": ")[2] for item in linked.jump_table.undecided}
    said = SAID["-O1 -g" if options == "-O3 -g" else options]
    assert {name: left_out.get(name) for name in said} == said
    assert led.isdisjoint(said)
    assert "_plain" in led or said, led


def test_an_object_without_a_name_is_not_the_one_before(build: Build) -> None:
    """Functions of an object of which the linker says nothing must not be looked for in its neighbour."""
    build.link(build.object("main", HOST + LATER), build.object("part", MEMBER))
    content = bytearray(build.host.read_bytes())
    image = StubBuilder(build.host).host.image
    assert isinstance(image, MachOImage)
    table = image.file.symbols
    assert table is not None
    last = [index for index, n_type in enumerate(table.n_type) if n_type == c.N_OSO][-1]
    content[content.index(bytes(table.raw)) + NLIST_64.size * last + NLIST_64.offset("n_type")] = 0x3C  # N_OPT
    build.host.write_bytes(content)
    assert build.refused(PATCH_OF_MEMBER) == unknown("the host names no object for it", "_in_member")
    assert build.refused() == {}


def test_zigs_linker_names_folder_and_file_apart(build: Build) -> None:
    """The pip toolchain's linker writes two entries in front of the object's, and its time."""
    zig = toolchain("zig")
    main = build.object("main", HOST)
    run([*zig.link, main, "-o", build.host])
    assert build.refused() == {}
    os.utime(main, (1, 1))
    assert build.refused() == unknown(f"{main} has changed since the host was linked")


def test_objects_are_read_once(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """A patch may call hundreds of static functions of one file."""
    read: list[str] = []
    honest = static_arguments.described

    def described(image: Image) -> static_arguments.Functions:
        read.append(image.name)
        return honest(image)

    monkeypatch.setattr(static_arguments, "described", described)
    build.link(build.object("main", HOST))
    assert build.refused() == {}
    assert read == [str(build.folder / "main.o")]


CXX = MEMBER.replace("int later", 'extern "C" int later')
PATCH_OF_CXX = "int _ZL9in_memberii(int, int); int patch(int x) { return _ZL9in_memberii(x, 4); }"


@pytest.mark.parametrize("language", ["c", "c++"])
@pytest.mark.parametrize("home", ["object", "member"])
def test_the_links_objects_say_it_where_the_host_names_none(build: Build, home: str, language: str) -> None:
    """``-S`` takes the objects' names as well; a record of the link has them."""
    main = build.object("main", LATER + "int main(int c, char **v) { return first(c); }")
    source, patch = (MEMBER, PATCH_OF_MEMBER) if language == "c" else (CXX, PATCH_OF_CXX)
    name = "_in_member" if language == "c" else "__ZL9in_memberii"

    def made(options: str) -> LinkFiles:
        part = build.object("part", source, f"-x {language} {options}")
        (build.folder / "libparts.a").unlink(missing_ok=True)
        part = part if home == "object" else build.archive(part)
        objects = (str(main), *([str(part)] if home == "object" else []))
        return LinkFiles(objects=objects, libraries=() if home == "object" else (str(part),))

    files = made("-O0 -g")
    build.link(*map(Path, (*files.objects, *files.libraries)), options="-S")
    none = unknown("the host names no object that it was linked from", name)
    assert build.refused(patch) == none
    assert build.refused(patch, link=lambda: files) == {}
    files = made("-O2 -g")
    assert build.refused(patch, link=lambda: files) == none, "another compile's"
    build.link(*map(Path, (*files.objects, *files.libraries)), options="-S")
    assert build.refused(patch, link=lambda: files) == {name: UNKNOWN}
    files = made("-O0 -g")
    assert build.refused(patch, link=lambda: files) == none
    files = made("-O2")
    assert build.refused(patch, link=lambda: files) == none, "it says nothing"


@pytest.mark.parametrize("options", ["-O0 -g", "-O1 -g", "-O3 -gdwarf-5"])
def test_elf_hosts_that_were_linked_without_debug_information(tmp_path: Path, options: str) -> None:
    """The same of ELF: ``--strip-debug`` takes the DWARF, and the objects of the link still have it."""
    main = compiled(tmp_path, CLANG, "host", HOST, *options.split())
    host = linked(tmp_path, "lld", main, "-Wl,--strip-debug")
    patch = compiled(tmp_path, CLANG, "patch", PATCH, "-O1")
    files = LinkFiles(objects=(str(main),))

    assert refused_of(host, patch) == dict.fromkeys(STATIC, UNKNOWN)
    said = {name.removeprefix("_"): why for name, why in SAID[options].items()}
    assert refused_of(host, patch, lambda: files) == said
    assert refused_of(host, patch, lambda: files, allow=True) == {
        name: why for name, why in said.items() if why == DROPPED
    }
    compiled(tmp_path, CLANG, "host", HOST, "-O2" if options == "-O0 -g" else "-O0", "-g")
    assert refused_of(host, patch, lambda: files) == {name.removeprefix("_"): UNKNOWN for name in TAKING}, (
        "another compile's"
    )


def test_a_dsym_beside_an_unstripped_host(build: Build) -> None:
    """Only a stripped host's was looked at; another build's, which somebody left there, says nothing of this one."""
    main = build.object("main", HOST)
    build.link(main)
    run([need("dsymutil-19"), build.host])
    main.unlink()
    assert build.refused() == {}
    symbols = StubBuilder(build.host).host.image.symbol_tables
    assert len(symbols) == 1, "names are looked up in the host itself"
    build.link(build.object("main", HOST.replace("+ 3", "+ 4")))
    main.unlink()
    uuid = run([need("llvm-dwarfdump-19"), "--uuid", build.host]).split()[1].replace("-", "").lower()
    reasons = build.refused()
    assert set(reasons) == set(ALL)
    for reason in reasons.values():
        assert reason.startswith(f"{UNKNOWN_WITHOUT_DSYM}; {main} is gone; {build.host}.dSYM/")
        assert reason.endswith(f" and {build.host} is build {uuid}")


def test_a_debug_file_of_an_elf_host_that_has_its_symbols(tmp_path: Path) -> None:
    """``strip --strip-debug`` leaves the symbols: its debug file was not looked at."""
    host = linked(tmp_path, "lld", compiled(tmp_path, CLANG, "host", HOST, "-O0", "-g"), "-Wl,--build-id")
    need("aarch64-linux-gnu-as")
    objcopy, debug = need("aarch64-linux-gnu-objcopy"), tmp_path / "host.debug"
    run([objcopy, "--only-keep-debug", host, debug])
    run([objcopy, "--strip-debug", f"--add-gnu-debuglink={debug}", host])
    patch = compiled(tmp_path, CLANG, "patch", PATCH, "-O1")
    assert refused_of(host, patch) == {}
    debug.unlink()
    assert refused_of(host, patch) == dict.fromkeys(STATIC, UNKNOWN)
