"""A living C program is patched through the real loader, with each ELF linker.

The host's own link is captured, edited by the link plan and run again, so nothing here knows how to link a patch.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest
from live.live import (
    LiveHost,
    capture_executable,
    capturing,
    defined_by,
    libraries_of,
    looked_up_by,
    stubgen,
)
from tools import PROGRAMS, linker_folder, need, run

LINKERS = {"gnu": "bfd", "lld": "lld", "mold": "mold"}
"""What tests call a linker -> what ``-fuse-ld`` does."""

TAG = 0xB4 << 56
"""What Android's allocator puts into the top byte of a pointer."""

ANSWER = "add 42 scale 10.00 ten 9876543210 sum 6.88 wide 100..105 quad 1.5..6.0 each 306 hidden 15"
"""What patch.c answers when every call lands."""


EXPORTS = ("-Wl,--export-dynamic-symbol=host_chosen", "-Wl,--export-dynamic-symbol=host_scale")
"""What the host exports, as one with plug-ins does."""


class Program(NamedTuple):
    """A linked host and the record of its link."""

    path: Path
    captured: Path
    patch_objects: dict[str, Path]
    linker: str
    cpu: str | None = None

    def link(self, live: LiveHost, output: Path, patch: str = "patch", *options: object) -> str:
        """Make a patch for *live* with the command line alone; what the linker printed."""
        done = stubgen(
            *("link", "--json", "--host", self.path, "--captured", self.captured, "--aslr-reference", hex(live.anchor)),
            *("--export", "patch_main", *options, "-o", output, self.patch_objects[patch]),
        )
        assert done.returncode == 0, done.stderr
        return str(json.loads(done.stdout)["linker_messages"])


def compile_c(folder: Path, *names: str, options: tuple[str, ...] = ()) -> dict[str, Path]:
    """Compile test programs: name -> object."""
    objects = {}
    for name in names:
        source = next(PROGRAMS.glob(f"{name}.[cS]"))
        objects[name] = folder / f"{name}.o"
        run([need("aarch64-linux-gnu-gcc"), "-c", "-O1", "-fPIC", *options, source, "-o", objects[name]])
    return objects


def link_host(folder: Path, objects: dict[str, Path], linker: str, *options: str) -> tuple[Path, Path]:
    """Link a host as a build does whose linker is the capture executable: (host, record)."""
    gcc = str(need("aarch64-linux-gnu-gcc"))
    host = folder / "host"
    arguments = [
        *("-B", linker_folder(folder / "linkers"), f"-fuse-ld={LINKERS[linker]}", "-pie", "-Wl,--build-id=sha1"),
        *(f"-Wl,-Map={folder / 'host.map'},--gc-sections", *EXPORTS, *options),
        *(*objects.values(), "-o", host),
    ]
    run([capture_executable(folder), *arguments], env=capturing(folder / "captured", gcc))
    return host, next((folder / "captured").glob("*.json"))


@pytest.fixture(scope="module", params=LINKERS)
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Program:
    """The C host, linked by each linker in turn."""
    folder = tmp_path_factory.mktemp(request.param)
    objects = compile_c(folder, "host", "patch", "patch_data", "patch_local", "patch_ifunc")
    host, captured = link_host(folder, {"host": objects.pop("host")}, request.param)
    return Program(host, captured, objects, request.param)


def test_a_patch_calls_the_living_host(program: Program, tmp_path: Path) -> None:
    """The main job: every kind of call lands in the running program, which then goes on."""
    with LiveHost(program.path) as live:
        assert live.tell("call") == "add 2 hidden 43 calls 1 counter 41"
        program.link(live, tmp_path / "patch.so")
        assert live.patch(tmp_path / "patch.so") == ANSWER
        # host_add ran in the host itself, on the host's own state: once for "call", four times for the patch.
        assert live.tell("call") == "add 2 hidden 43 calls 6 counter 41"
        live.end()


def test_a_second_patch_replaces_the_first(program: Program, tmp_path: Path) -> None:
    """People save again and again: loaders may take a second patch of the same soname for the first one."""
    first, second = tmp_path / "1" / "patch.so", tmp_path / "2" / "patch.so"
    with LiveHost(program.path) as live:
        for patch, source, answer in ((first, "patch", ANSWER), (second, "patch_local", "static 42")):
            patch.parent.mkdir()
            program.link(live, patch, source)
            assert live.patch(patch) == answer
        live.end()
    assert libraries_of(first, "SONAME") != libraries_of(second, "SONAME") != []


def test_a_tagged_anchor_gives_the_same_patch(program: Program, tmp_path: Path) -> None:
    """Android reports tagged pointers; a tag kept in the slide sends every call into nowhere."""
    with LiveHost(program.path) as live:
        program.link(live, tmp_path / "patch.so", "patch", "--stub", tmp_path / "plain.o")
        live.anchor |= TAG
        program.link(live, tmp_path / "patch.so", "patch", "--stub", tmp_path / "tagged.o")
        assert (tmp_path / "tagged.o").read_bytes() == (tmp_path / "plain.o").read_bytes()
        assert live.patch(tmp_path / "patch.so") == ANSWER
        live.end()


def test_nothing_about_the_host_is_looked_up_at_load_time(program: Program, tmp_path: Path) -> None:
    """A patch that names the host needs the loader to find it, which Android's namespaces and RTLD_LOCAL forbid."""
    with LiveHost(program.path) as live:
        program.link(live, tmp_path / "patch.so")
    looked_up = looked_up_by(tmp_path / "patch.so")
    assert looked_up & {"snprintf", "__snprintf_chk"}, "the relocations were not read"
    assert not looked_up & defined_by(program.path)
    assert set(libraries_of(tmp_path / "patch.so")) <= {"libc.so.6", "ld-linux-aarch64.so.1"}
    assert libraries_of(program.path) == ["libc.so.6"]


def test_host_data_is_shared(program: Program, tmp_path: Path) -> None:
    """A patch with its own copy of a global applies and changes nothing; a function must keep its one address."""
    with LiveHost(program.path) as live:
        program.link(live, tmp_path / "patch.so", "patch_data")
        answer = "counter 42 42 zeros 10 private 105 goes on same function 1 1"
        assert live.patch(tmp_path / "patch.so") == answer
        assert live.tell("data") == "counter 42 zeros 10 private 105 thread 7 70 goes on"
        live.end()
    assert not looked_up_by(tmp_path / "patch.so") & defined_by(program.path)


THREAD_MODELS = {
    "descriptor": ["-fPIC", "-mtls-dialect=desc"],
    "initial-exec": ["-fPIC", "-ftls-model=initial-exec"],
    "local-exec": ["-fPIE", "-ftls-model=local-exec"],
}
"""How a compiler reaches thread-locals -> what asks for it; local-exec is what it does for executables."""


@pytest.mark.parametrize("model", THREAD_MODELS)
def test_thread_locals_of_the_host_are_shared(program: Program, tmp_path: Path, model: str) -> None:
    """An object compiled as for the executable has local-exec code, which no linker takes into a library as it is."""
    patch = compile_c(tmp_path, "patch_thread", options=tuple(THREAD_MODELS[model]))
    with LiveHost(program.path) as live:
        program._replace(patch_objects=patch).link(live, tmp_path / "patch.so", "patch_thread")
        assert live.patch(tmp_path / "patch.so") == "thread 8 80 own 2000"
        assert live.tell("thread") == "thread 8 80 own 2000"  # a new thread begins with what the program says
        assert live.tell("data") == "counter 41 zeros 0 private 5 thread 8 80 goes on"
        live.end()


def test_a_local_function_is_called(program: Program, tmp_path: Path) -> None:
    """Most of a program's functions are static or private, and no dynamic symbol names them."""
    with LiveHost(program.path) as live:
        program.link(live, tmp_path / "patch.so", "patch_local")
        assert live.patch(tmp_path / "patch.so") == "static 42"
        live.end()


def test_an_exported_ifunc_is_left_to_the_loader(program: Program, tmp_path: Path) -> None:
    """A stub would call the resolver and return an address where the user expects a result."""
    with LiveHost(program.path) as live:
        program.link(live, tmp_path / "patch.so", "patch_ifunc")
        assert live.patch(tmp_path / "patch.so") == "chosen 6000"
        live.end()


@pytest.mark.parametrize("code", ["-fPIC", "-fPIE"])
def test_the_changed_function_wins_over_an_exported_one(program: Program, tmp_path: Path, code: str) -> None:
    """The loader finds the host's function of that name first: the patch would apply and call the old one."""
    patch = compile_c(tmp_path, "patch_own", options=(code, "-fno-inline"))
    with LiveHost(program.path) as live:
        program._replace(patch_objects=patch).link(live, tmp_path / "patch.so", "patch_own")
        assert live.patch(tmp_path / "patch.so") == "scale 600.0 counter 2"
        live.end()


def wrong_anchor(program: Program, live: LiveHost) -> list[str]:
    """The runtime address of another function, given as the anchor's."""
    lines = [line.split() for line in run([need("llvm-nm-19"), "--defined-only", program.path]).splitlines()]
    addresses = {name: int(address, 16) for address, _, name in lines}
    return ["--aslr-reference", hex(live.anchor - addresses["main"] + addresses["host_add"])]


def wrong_name(program: Program, live: LiveHost) -> list[str]:
    """The name of another function for the right address."""
    return ["--aslr-reference", hex(live.anchor), "--anchor", "host_add"]


def wrong_build(program: Program, live: LiveHost) -> list[str]:
    """The build id of another build."""
    return ["--aslr-reference", hex(live.anchor), "--build-id", "00" * 20]


@pytest.mark.parametrize(
    ("mistake", "kind", "words"),
    [
        (wrong_anchor, "AnchorRefusal", "not a multiple of the page size"),
        (wrong_name, "AnchorRefusal", "not a multiple of the page size"),
        (wrong_build, "BuildIdRefusal", "but the process runs build 0000"),
    ],
)
def test_a_mistaken_process_is_refused(program: Program, tmp_path: Path, mistake, kind: str, words: str) -> None:
    """Otherwise it becomes a crash, or "the patch applied and nothing changed"."""
    with LiveHost(program.path) as live:
        options = mistake(program, live)
    done = stubgen(
        *("link", "--json", "--host", program.path, "--captured", program.captured, *options),
        *("-o", tmp_path / "patch.so", program.patch_objects["patch"]),
    )
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["kind"]) == (1, kind)
    assert words in error["message"]
    assert not (tmp_path / "patch.so").exists()


@pytest.fixture(scope="module", params=LINKERS)
def protected(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Program:
    """The C host and patch with branch protection, on a processor that enforces it.

    mold 1.10 knows neither -z force-bti nor the property, and drops it.
    """
    folder = tmp_path_factory.mktemp(f"bti-{request.param}")
    objects = compile_c(
        folder, "host", "patch", "patch_data", "patch_local", "start_bti", options=("-mbranch-protection=standard",)
    )
    own = {name: objects.pop(name) for name in ("host", "start_bti")}
    host, captured = link_host(
        folder, own, request.param, "-nostartfiles", *(["-Wl,-z,force-bti"] if request.param != "mold" else [])
    )
    return Program(host, captured, objects, request.param, cpu="max")


def has_bti(file: Path) -> bool:
    """Say whether ``readelf`` finds the BTI property."""
    return "BTI" in run([need("readelf"), "-nW", file])


def test_branch_protection_survives(protected: Program, tmp_path: Path) -> None:
    """One stub without a landing pad faults on new processors; one object without the note turns BTI off."""
    with LiveHost(protected.path, cpu=protected.cpu) as live:
        assert "force-bti" not in protected.link(live, tmp_path / "patch.so")  # it names inputs without the property
        assert has_bti(tmp_path / "patch.so") == has_bti(protected.path)
        assert live.patch(tmp_path / "patch.so") == ANSWER
        live.end()


def test_branch_protection_can_be_given_up(protected: Program, tmp_path: Path) -> None:
    """``--bti off`` is for devices without it; the linker then warns, so its silence above means something."""
    with LiveHost(protected.path) as live:
        messages = protected.link(live, tmp_path / "patch.so", "patch", "--bti", "off")
        assert ("force-bti" in messages) == has_bti(protected.path)
        assert live.patch(tmp_path / "patch.so") == ANSWER


def test_a_function_without_a_landing_pad_is_refused(protected: Program, tmp_path: Path) -> None:
    """Under BTI compilers give static functions no landing pad: a stub that branches to one kills the program."""
    if not has_bti(protected.path):  # unguarded, so the branch is allowed
        assert protected.linker == "mold"
        with LiveHost(protected.path, cpu=protected.cpu) as live:
            protected.link(live, tmp_path / "patch.so", "patch_local")
            assert live.patch(tmp_path / "patch.so") == "static 42"
        return
    done = stubgen(
        *("build", "--host", protected.path, "--slide", "0x4000000000"),
        *("-o", tmp_path / "stub.o", protected.patch_objects["patch_local"]),
    )
    assert done.returncode == 1
    assert "host_static: refused: the host has BTI and this function no landing pad" in done.stderr
