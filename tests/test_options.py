"""The library's options mean what the command line's mean: what is none of them is refused in one sentence."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import get_type_hints

import pytest
from synthetic import BASE, DATA, SIZE, Sym, elf_host, elf_object, put, undefined

import stubgen
from stubgen.options import READERS, BuildOptions, Options


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
