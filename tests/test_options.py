"""The library's options mean what the command line's mean: what is none of them is refused in one sentence."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from synthetic import BASE, DATA, SIZE, Sym, elf_host, elf_object, put, undefined

import stubgen
from stubgen.keywords import Options
from stubgen.options import READERS, BuildOptions


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A host with a function and a variable; an object that calls the one and defines the other."""
    folder = tmp_path_factory.mktemp("files")
    symbols = [Sym("main", BASE + 0x100), Sym("f", BASE + 0x140), Sym("v", BASE + SIZE + 8, 1, section=DATA)]
    put(folder, "host", elf_host(symbols))
    put(folder, "patch.o", elf_object([undefined("f"), Sym("v", 0, 1, section=DATA)]))
    put(folder, "lacking.o", elf_object([undefined("g")]))
    return folder


@pytest.fixture(scope="module")
def builder(files: Path) -> stubgen.StubBuilder:
    """The host, opened."""
    return stubgen.StubBuilder(files / "host")


def test_the_tables_of_options_agree() -> None:
    """An option that one of them lacks is accepted and does nothing, or is refused and documented."""
    assert list(get_type_hints(Options)) == list(BuildOptions._fields) == list(READERS)


BAD: dict[str, tuple[dict[str, object], str]] = {
    "a typing error": ({"keep_stat": True, "bind": True}, "keep_stat: no keyword of build; did you mean keep_state?"),
    "a plural": ({"librarys": ["libm.so"]}, "librarys: no keyword of build; did you mean libraries?"),
    "another kind": ({"frobnicate": 1}, "frobnicate: no keyword of build; it knows anchor, slide,"),
    "bti": ({"bti": "maybe"}, "bti is 'maybe'; it is one of auto, on, off"),
    "data": ({"data": "bogus"}, "data is 'bogus'; it is one of auto, absolute, none"),
    "tls": ({"tls": "bogus"}, "tls is 'bogus'; it is one of auto, loader"),
    "state without bound copies": ({"keep_state": True}, "keep_state works by bound copies: give bind=True as well"),
    "one name": ({"exports": "main"}, "exports is the one name main; give a list of names"),
    "names that are none": ({"exports": [b"main"]}, "exports: b'main' is no name"),
    "one library": ({"libraries": "libc.so"}, "libraries is the one path libc.so; give a list of paths"),
    "a library that is none": ({"libraries": 7}, "libraries is 7; give a list of paths"),
    "a slide in words": ({"slide": "0x1000"}, "slide is '0x1000'; give a number"),
    "a slide that is a bool": ({"slide": True}, "slide is True; give a number"),
    "an anchor that is a number": ({"anchor": 5}, "anchor: 5 is no name"),
    "a flag in words": ({"whole_archive": "no"}, "whole_archive is 'no'; give True or False"),
    "allow_missing in words": ({"allow_missing": "no"}, "allow_missing is 'no'; give True or False"),
    "overrides": ({"overrides": ["f"]}, r"overrides is \['f'\]; give a mapping from names to runtime addresses"),
    "below memory": ({"overrides": {"f": -4}}, r"overrides\['f'\] is -0x4, where no instruction can be"),
    "above user space": ({"overrides": {"f": 1 << 48}}, r"overrides\['f'\] is 0x1000000000000, where no instruction"),
    "between instructions": ({"overrides": {"f": 0x1001}}, r"overrides\['f'\] is 0x1001, where no instruction can be"),
    "an address in words": ({"overrides": {"f": "0x1000"}}, r"overrides\['f'\] is '0x1000'; give a number"),
    "one earlier patch": (
        {"previous": "p.so"},
        "previous is the one PreviousPatch p.so; give a list of PreviousPatchs",
    ),
    "an earlier patch nowhere": (
        {"previous": ["p.so"]},
        r"previous: 'p.so' is no earlier patch; give Prev",
    ),
    "an earlier patch in words": ({"previous": [("p.so", "0x1000")]}, "previous is '0x1000'; give a number"),
    "a name in bytes": ({"overrides": {b"f": 4}}, "overrides: b'f' is no name"),
}


@pytest.mark.parametrize(("options", "complaint"), BAD.values(), ids=list(BAD))
def test_what_is_no_option_is_refused(
    files: Path, builder: stubgen.StubBuilder, options: dict[str, object], complaint: str
) -> None:
    """``keep_stat=True`` built a patch that forgot its state, without a word."""
    with pytest.raises(stubgen.UsageError, match=f"^{complaint}"):
        builder.build([files / "patch.o"], **{"slide": 0x1000, **options})  # type: ignore[arg-type]
    with pytest.raises(stubgen.UsageError, match=f"^{complaint}"):
        stubgen.create_undefined_symbol_stub(files / "host", [files / "patch.o"], **{"slide": 0x1000, **options})  # type: ignore[arg-type]


def test_the_highest_address_can_be_overridden_to(files: Path, builder: stubgen.StubBuilder) -> None:
    """The bound is the first address that is none of user space, not the last one that is."""
    highest = (1 << 48) - 4
    judged = builder.judge([files / "patch.o"], slide=0x1000, overrides={"f": highest})
    assert [decision.runtime_address for decision in judged.decisions()] == [highest]


OBJECTS: dict[str, tuple[object, str]] = {
    "one path": ("patch.o", "objects is the one path patch.o; give a list of paths"),
    "one path object": (Path("patch.o"), "objects is the one path patch.o; give a list of paths"),
    "bytes": ([b"patch.o"], "objects: b'patch.o' is no path"),
    "nothing": (None, "objects is None; give a list of paths"),
}


@pytest.mark.parametrize(("objects", "complaint"), OBJECTS.values(), ids=list(OBJECTS))
def test_objects_that_are_no_list(builder: stubgen.StubBuilder, objects: object, complaint: str) -> None:
    """A string is a list of one-letter file names, which is not what anybody means."""
    with pytest.raises(stubgen.UsageError, match=complaint):
        builder.judge(objects, slide=0)  # type: ignore[arg-type]


@pytest.mark.parametrize("reference", ["0x1000", True, 1.0])
def test_a_reference_that_is_no_number(files: Path, builder: stubgen.StubBuilder, reference: object) -> None:
    """True is 1 to Python, and a wrong anchor to the process."""
    with pytest.raises(stubgen.UsageError, match=r"aslr_reference is .*; give a number"):
        builder.judge([files / "patch.o"], reference)  # type: ignore[arg-type]


def test_what_judge_and_link_do_not_take(files: Path, builder: stubgen.StubBuilder, tmp_path: Path) -> None:
    """``link --allow-missing`` is no option of the command, so it is none of the function."""
    with pytest.raises(stubgen.UsageError, match="allow_missing: no keyword of judge"):
        builder.judge([files / "patch.o"], slide=0, allow_missing=True)  # type: ignore[call-arg]
    record = stubgen.Capture(["true"], tmp_path, {})
    with pytest.raises(stubgen.UsageError, match="allow_missing: no keyword of link_patch"):
        stubgen.link_patch(builder, record, [files / "patch.o"], tmp_path / "p.so", slide=0, allow_missing=True)  # type: ignore[call-arg]
    with pytest.raises(stubgen.UsageError, match="links bound copies of the objects, always"):
        stubgen.link_patch(builder, record, [files / "patch.o"], tmp_path / "p.so", slide=0, bind=False)
    with pytest.raises(stubgen.UsageError, match="objects is the one path"):
        stubgen.link_patch(builder, record, files / "patch.o", tmp_path / "p.so", slide=0)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


CHECKS: dict[str, tuple[dict[str, object], str]] = {
    "a number for a slide": ({"slide": 0x1000}, "slide is 4096; give a Slide"),
    "one export": ({"exports": "f"}, "exports is the one name f; give a list of names"),
    "one library": ({"libraries": "libm.so"}, "libraries is the one path libm.so; give a list of paths"),
    "an override below memory": ({"overrides": {"f": -4}}, r"overrides\['f'\] is -0x4"),
}


@pytest.mark.parametrize(("options", "complaint"), CHECKS.values(), ids=list(CHECKS))
def test_check_refuses_the_same(files: Path, options: dict[str, object], complaint: str) -> None:
    """A check of "f" as a list finds no export called f, and says so of a sound patch."""
    with pytest.raises(stubgen.UsageError, match=complaint):
        stubgen.check_patch(files / "patch.o", files / "host", **options)  # type: ignore[arg-type]


CALLS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a host that is a number": (lambda _: stubgen.open_host(3), "host: 3 is no path"),  # type: ignore[arg-type]
    "a host in bytes": (lambda d: stubgen.open_host(bytes(d / "host")), "host: b'.*' is no path"),  # type: ignore[arg-type]
    "a NUL in a path": (lambda _: stubgen.open_host("a\0b"), r"host: 'a\\x00b' is no path"),
    "no cache, in words": (lambda d: stubgen.open_host(d / "host", cache="no"), "cache is 'no'"),  # type: ignore[arg-type]
    "a copy, in words": (lambda d: stubgen.open_host(d / "host", copied="no"), "copied is 'no'"),  # type: ignore[arg-type]
    "a build id of bytes": (lambda d: stubgen.open_host(d / "host", build_id=b"ab"), "build id b'ab' is not hex"),  # type: ignore[arg-type]
    "an empty build id": (lambda d: stubgen.open_host(d / "host", build_id=""), "the build id is empty"),
    "a builder's build id": (lambda d: stubgen.StubBuilder(d / "host", build_id=3), "build id 3 is not hex"),  # type: ignore[arg-type]
    "a builder's cache": (lambda d: stubgen.StubBuilder(d / "host", cache=0), "cache is 0"),  # type: ignore[arg-type]
    "an empty session": (lambda d: stubgen.StubBuilder(d / "host", session={}), "session is {}; give a Session"),  # type: ignore[arg-type]
    "no resolution": (lambda d: stubgen.StubBuilder(d / "host").emit(None), "resolution is None; give a Resolution"),  # type: ignore[arg-type]
    "few hosts": (lambda _: stubgen.Session(hosts=-1), "hosts is -1; give 0 or more"),
    "hosts in words": (lambda _: stubgen.Session(hosts="4"), "hosts is '4'; give a number"),  # type: ignore[arg-type]
    "objects without end": (lambda _: stubgen.Session(object_bytes=None), "object_bytes is None; give a number"),  # type: ignore[arg-type]
    "mapped, in digits": (lambda _: stubgen.Session(mapped=1), "mapped is 1; give True or False"),  # type: ignore[arg-type]
    "a session's host": (lambda _: stubgen.Session().host(None), "host: None is no path"),  # type: ignore[arg-type]
    "a session's object": (lambda _: stubgen.Session().needed("a.o"), "objects is the one path a.o"),
    "a session's root": (lambda _: stubgen.Session().needed([], roots="main"), "roots is the one name main"),  # type: ignore[arg-type]
    "a session's library": (lambda _: stubgen.Session().supplied([3]), "libraries: 3 is no path"),  # type: ignore[list-item]
    "a session's facts": (lambda _: stubgen.Session().facts(cache="no"), "cache is 'no'"),  # type: ignore[arg-type]
    "an anchor in a path": (lambda d: stubgen.slide_from_anchor(d, 4096), "host is .*; give a Host, which open_host"),  # type: ignore[arg-type]
    "a reference in words": (
        lambda d: stubgen.slide_from_anchor(stubgen.open_host(d / "host"), "4"),
        "reference is '4'",
    ),  # type: ignore[arg-type]
    "an anchor in bytes": (lambda d: stubgen.slide_from_anchor(stubgen.open_host(d / "host"), 4, b"f"), "b'f' is no"),  # type: ignore[arg-type]
    "a slide in words": (lambda d: stubgen.slide_from_value(stubgen.open_host(d / "host"), "0"), "slide is '0'"),  # type: ignore[arg-type]
    "a slide of a path": (lambda d: stubgen.slide_from_value(d / "host", 0), "host is .*; give a Host"),  # type: ignore[arg-type]
    "an image of nothing": (lambda _: stubgen.open_image(None), "None is neither a path nor a file's content"),
    "stubs in a path": (lambda d: stubgen.find_stubs(d / "host"), "image is .*; give a Image, which open_image makes"),  # type: ignore[arg-type]
    "facts for stubs": (lambda d: stubgen.find_stubs(stubgen.open_image(d / "host"), True), "facts is True; give"),  # type: ignore[arg-type]
    "facts for verify": (lambda _: stubgen.verify_object(b"", "x", True), "facts is True; give a LibraryFacts"),  # type: ignore[arg-type]
    "facts in a number": (lambda _: stubgen.LibraryFacts(3), "folder: 3 is no path"),  # type: ignore[arg-type]
    "a folder of records": (lambda _: stubgen.read_captures(3), "directory: 3 is no path"),  # type: ignore[arg-type]
    "an output's name": (lambda d: stubgen.newest_capture(d, None), "output_name: None is no path"),  # type: ignore[arg-type]
    "a record's file": (lambda _: stubgen.Capture.load(3), "path: 3 is no path"),  # type: ignore[arg-type]
    "one word": (lambda _: stubgen.Capture("ld a.o", "/", {}), "argv is the one word ld a.o; give a list of words"),
    "a directory": (lambda _: stubgen.Capture(["ld"], 3, {}), "directory: 3 is no path"),  # type: ignore[arg-type]
    "an environment": (lambda _: stubgen.Capture(["ld"], "/", ["A=b"]), r"environment is \['A=b'\]; give a mapping"),  # type: ignore[arg-type]
    "a time": (lambda _: stubgen.Capture(["ld"], "/", {}, time="now"), "time is 'now'; give seconds"),  # type: ignore[arg-type]
    "response files": (lambda _: stubgen.Capture(["ld"], "/", {}, response_files=["x"]), "response_files is"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize(("call", "complaint"), CALLS.values(), ids=list(CALLS))
def test_what_public_functions_do_not_take(files: Path, call: Callable[[Path], object], complaint: str) -> None:
    """A wrong argument is told in a sentence, not by an AttributeError out of the middle of the library."""
    with pytest.raises(stubgen.UsageError, match=complaint):
        call(files)


def test_refusals_carry_their_decisions(files: Path, builder: stubgen.StubBuilder) -> None:
    """A builder that wants to offer the missing names must not read them out of an English sentence."""
    with pytest.raises(stubgen.SymbolRefusal) as caught:
        builder.build([files / "lacking.o"], slide=0)
    assert [(decision.name, decision.verdict) for decision in caught.value.decisions] == [
        ("g", stubgen.Verdict.MISSING)
    ]
    again = pickle.loads(pickle.dumps(caught.value))  # worker processes hand errors on like this
    assert str(again) == str(caught.value)
    assert again.decisions == caught.value.decisions


def test_an_image_from_a_path_or_its_content(files: Path) -> None:
    """Public functions take what a public function makes: find_stubs takes this."""
    content = (files / "host").read_bytes()
    for image in (stubgen.open_image(files / "host"), stubgen.open_image(content, "host")):
        assert (image.format, stubgen.find_stubs(image)) == ("elf", [])
    with pytest.raises(stubgen.UnreadableInput, match="no such file"):
        stubgen.open_image(files / "nothing")
    with pytest.raises(stubgen.MalformedInput, match=r"^the file: is neither an ELF nor a Mach-O file"):
        stubgen.open_image(b"something else")


def test_every_error_is_public() -> None:
    """What cannot be named cannot be caught."""
    from stubgen import errors

    classes = [name for name, value in vars(errors).items() if inspect.isclass(value)]
    assert set(classes) <= set(stubgen.__all__)
    assert set(classes) <= set(dir(stubgen))
    for name in classes:
        assert f" {name} " in (errors.__doc__ or ""), f"{name} is not in the drawn tree"


def test_what_public_functions_take_is_public() -> None:
    """A parameter whose type no public name makes is a function that nobody can call."""
    takers: list[Callable[..., object]] = [stubgen.find_stubs, stubgen.check_patch, stubgen.slide_from_anchor]
    for function in takers:
        for parameter in inspect.signature(function).parameters.values():
            for word in str(parameter.annotation).replace("|", " ").replace("[", " ").replace("]", " ").split():
                if word[:1].isupper() and word not in ("None", "Sequence", "Mapping", "StrPath"):
                    assert word in stubgen.__all__, f"{function.__name__}: {word}"


def link(builder: object, captured: object, output: object, **options: object) -> None:
    """``link_patch`` with arguments of any type."""
    stubgen.link_patch(builder, captured, ["p.o"], output, **options)  # type: ignore[arg-type]  # that is what is tested


Call = Callable[[stubgen.StubBuilder, stubgen.Capture, Path], object]
COMMAND: Any = ["ld"]
LINKS: dict[str, tuple[Call, str]] = {
    "a path for a builder": (lambda _, c, d: link("host", c, d / "p.so"), "builder is 'host'; give a StubBuilder"),
    "a path for a capture": (lambda b, _, d: link(b, "dir", d / "p.so"), "captured is 'dir'; give a Capture"),
    "no output": (lambda b, c, _: link(b, c, None), "output: None is no path"),
    "a number for a stub": (lambda b, c, d: link(b, c, d / "p.so", stub=3), "stub: 3 is no path"),
    "a number for a host": (lambda *_: stubgen.check_patch("p.so", 3), "no path"),
    "a list for a command": (lambda *_: stubgen.plan_link(COMMAND, COMMAND), "give a CapturedCommand"),
    "a list for a request": (
        lambda *_: stubgen.plan_link(stubgen.CapturedCommand(COMMAND), COMMAND),
        "request is .* give a PatchRequest",
    ),
    "a number for a host file": (lambda *_: stubgen.linker_os_for_host(3), "host: 3 is no path"),
}


@pytest.mark.parametrize(("call", "complaint"), LINKS.values(), ids=list(LINKS))
def test_links_and_plans_refuse_the_same(
    builder: stubgen.StubBuilder,
    tmp_path: Path,
    call: Call,
    complaint: str,
) -> None:
    """An AttributeError from deep inside says nothing about which argument was wrong."""
    with pytest.raises(stubgen.UsageError, match=complaint):
        call(builder, stubgen.Capture(["true"], tmp_path, {}), tmp_path)


def test_a_response_file_that_cannot_be_written(tmp_path: Path) -> None:
    """A plan too long for the system goes through a file; where there is no folder for it, one sentence says so."""
    plan = stubgen.build_link_plan(["ld.lld", "a.o", "-o", "x"], objects=["p.o"], output=tmp_path / "p.so")
    with pytest.raises(stubgen.UsageError, match="cannot be written: No such file or directory"):
        plan.command(tmp_path / "nowhere", limit=1)
    with pytest.raises(stubgen.UsageError, match="limit is 'x'; give a number"):
        plan.command(tmp_path, limit="x")  # type: ignore[arg-type]
