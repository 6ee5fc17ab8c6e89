"""A builder's own rules: what they are asked, what their answers do, and that all of it is told with their names."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from synthetic import BASE, Sym, elf_host, elf_object, macho_host, macho_object, put, undefined

import stubgen
from stubgen.cli import main
from stubgen.policies import GROUP, load_policy

SLIDE = 0x5500000000
MAIN, F, G = BASE + 0x100, BASE + 0x140, BASE + 0x180

KEEP_OUT = Path(__file__).parent.parent / "examples/policies/keep_out.py"
PIN = Path(__file__).parent.parent / "examples/policies/pin.py"


class Answering(stubgen.Policy):
    """Says of each symbol what *rulings* has, and keeps what it was told."""

    def __init__(self, rulings: dict[str, object]) -> None:
        self.rulings = rulings
        self.needs: list[str] = []
        self.proposed: dict[str, stubgen.Verdict] = {}

    def needed(self, names: Sequence[str]) -> None:
        """Keep them."""
        self.needs += names

    def verdict(self, proposed: stubgen.Decision) -> object:  # type: ignore[override]  # wrong answers are tried, too
        """What was said at the beginning."""
        self.proposed[proposed.name] = proposed.verdict
        return self.rulings.get(proposed.name)


@pytest.fixture(params=["elf", "macho"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str, str]:
    """A host with f and g, an object that needs f and h, and what C names begin with."""
    if request.param == "elf":
        host, patch = (
            elf_host([Sym("main", MAIN), Sym("f", F), Sym("g", G)]),
            elf_object([undefined("f"), undefined("h")]),
        )
        return put(tmp_path, "host", host), put(tmp_path, "patch.o", patch), ""
    host, patch = macho_host({"_main": 16, "_f": 32, "_g": 48}), macho_object(needed=["_f", "_h"])
    return put(tmp_path, "host", host), put(tmp_path, "patch.o", patch), "_"


def judged(files: tuple[str, str, str], *policies: stubgen.Policy) -> dict[str, stubgen.Decision]:
    """The verdicts with *policies*, by the names without their underscores."""
    host, patch, prefix = files
    resolution = stubgen.StubBuilder(host, cache=False).judge([patch], slide=SLIDE, policies=policies)
    return {decision.name.removeprefix(prefix): decision for decision in resolution.decisions()}


def test_a_policy_sees_what_is_needed_and_proposed(files: tuple[str, str, str]) -> None:
    """Rules are about names and verdicts; one that is never asked looks like one that agrees."""
    policy = Answering({})
    without, asked = judged(files), judged(files, policy)
    assert asked == without
    assert policy.needs == [f"{files[2]}f", f"{files[2]}h"]
    assert {name.removeprefix(files[2]): verdict for name, verdict in policy.proposed.items()} == {
        "f": stubgen.Verdict.TRAMPOLINE,
        "h": stubgen.Verdict.MISSING,
    }


def test_each_ruling(files: tuple[str, str, str]) -> None:
    """What is asked for happens, and the report says who asked."""
    prefix, where = files[2], 0x7F0000001000
    for ruling, verdict, address in (
        (stubgen.UseAddress(where, "it is there"), stubgen.Verdict.TRAMPOLINE, where),
        (stubgen.UseName(f"{prefix}g"), stubgen.Verdict.TRAMPOLINE, "g"),
        (stubgen.UseLoader(), stubgen.Verdict.LOADER, None),
        (stubgen.RefuseSymbol("not that one"), stubgen.Verdict.REFUSED, None),
    ):
        decision = judged(files, Answering({f"{prefix}h": ruling}))["h"]
        g = judged(files, Answering({f"{prefix}h": stubgen.UseName(f"{prefix}g")}))["h"].runtime_address
        assert decision.verdict is verdict
        assert decision.runtime_address == (g if address == "g" else address)
        assert decision.policy == "Answering"
        assert decision.reason.startswith("policy Answering: ")


def test_a_name_that_the_host_lacks_is_missing_still(files: tuple[str, str, str]) -> None:
    """A policy's typo must not end in a stub to nowhere."""
    decision = judged(files, Answering({f"{files[2]}f": stubgen.UseName(f"{files[2]}nix")}))["f"]
    assert decision.verdict is stubgen.Verdict.MISSING


def test_a_variable_at_an_address(files: tuple[str, str, str]) -> None:
    """Bound copies read it there; without them it is refused where an absolute symbol would be wrong."""
    host, patch, prefix = files
    policy = Answering({f"{prefix}h": stubgen.UseAddress(0x7F0000001001, data=True)})
    builder = stubgen.StubBuilder(host, cache=False)
    resolution = builder.judge([patch], slide=SLIDE, policies=[policy], bind=True)
    decision = next(d for d in resolution.decisions() if d.name == f"{prefix}h")
    assert (decision.verdict, decision.runtime_address) == (stubgen.Verdict.SLOT, 0x7F0000001001)


def test_policies_are_chained(files: tuple[str, str, str]) -> None:
    """The second one sees what the first one made of it, and has the last word."""
    prefix = files[2]
    first = Answering({f"{prefix}h": stubgen.UseLoader()})
    second = Answering({f"{prefix}h": stubgen.RefuseSymbol()})
    decision = judged(files, first, second)["h"]
    assert second.proposed[f"{prefix}h"] is stubgen.Verdict.LOADER
    assert decision.verdict is stubgen.Verdict.REFUSED


def test_policies_about_other_symbols_both_hold(files: tuple[str, str, str]) -> None:
    """A second one that has something to say must not take back what the first one said."""
    prefix = files[2]
    first = Answering({f"{prefix}h": stubgen.UseLoader()})
    second = Answering({f"{prefix}f": stubgen.RefuseSymbol()})
    decisions = judged(files, first, second)
    assert (decisions["h"].verdict, decisions["f"].verdict) == (stubgen.Verdict.LOADER, stubgen.Verdict.REFUSED)


def test_stubs_go_where_policies_say(files: tuple[str, str, str]) -> None:
    """The verdict is not only told: the object branches there."""
    host, patch, prefix = files
    policy = Answering({f"{prefix}h": stubgen.UseAddress(0x7F0000001000)})
    built = stubgen.StubBuilder(host, cache=False).build([patch], slide=SLIDE, policies=[policy])
    stubs = {stub.name.decode(): stub.target for stub in stubgen.find_stubs(stubgen.open_image(built.stub.content))}
    assert stubs[f"{prefix}h"] == 0x7F0000001000
    (change,) = built.resolution.changes
    assert (change.policy, change.name, change.before, change.after) == (
        "Answering",
        f"{prefix}h",
        "missing",
        "trampoline",
    )


WRONG = {
    "no ruling": ("somewhere", "'somewhere' is no ruling"),
    "an address of no instruction": (stubgen.UseAddress(0x1002), "0x1002 is no address where an instruction can be"),
    "above user space": (stubgen.UseAddress(1 << 48, data=True), "is no address of user space"),
    "zero": (stubgen.UseAddress(0), "is no address"),
}


@pytest.mark.parametrize(("ruling", "sentence"), WRONG.values(), ids=list(WRONG))
def test_wrong_answers(files: tuple[str, str, str], ruling: object, sentence: str) -> None:
    """A mistake in a policy is told as one, with the policy's name, before anything is written."""
    with pytest.raises(stubgen.UsageError, match="policy Answering: ") as caught:
        judged(files, Answering({f"{files[2]}f": ruling}))
    assert sentence in str(caught.value)


class Failing(stubgen.Policy):
    """Has a mistake in it."""

    def verdict(self, proposed: stubgen.Decision) -> None:
        """Fail."""
        raise KeyError(proposed.name)


class Old(stubgen.Policy):
    """Was written for another version."""

    protocol = 0


def test_policies_that_fail(files: tuple[str, str, str]) -> None:
    """A traceback through our code sends people to us."""
    with pytest.raises(stubgen.UsageError, match=r"policy Failing: verdict of _?f: KeyError: "):
        judged(files, Failing())
    with pytest.raises(stubgen.UsageError, match="policy Old: was written for protocol 0; this version has 1"):
        judged(files, Old())
    with pytest.raises(stubgen.UsageError, match="is no policy; give an instance"):
        judged(files, Answering)  # type: ignore[arg-type]  # the class instead of an instance


def command(folder: Path, *words: str) -> list[str]:
    """Build a patch that needs f and h."""
    put(folder, "host", elf_host([Sym("main", MAIN), Sym("f", F), Sym("g", G)]))
    put(folder, "patch.o", elf_object([undefined("f"), undefined("h")]))
    return ["build", "--host", "host", "--slide", hex(SLIDE), "patch.o", "-o", "stub.o", "--json", *words]


def test_the_example_that_pins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A worked example that does not work teaches the wrong thing."""
    monkeypatch.chdir(tmp_path)
    Path("first.json").write_text(json.dumps({"functions": {"h": 0x680}}))
    status = main(command(tmp_path, "--policy", f"{PIN}:Pin=first.json@0x7f0000000000", "--report", "report"))
    document = json.loads(capsys.readouterr().out)
    assert status == 0
    for told in (document, json.loads(Path("report").read_text())):
        (change,) = told["policies"]
        assert (change["policy"], change["name"], change["after"]) == ("Pin", "h", "trampoline")
        (h,) = (decision for decision in told["decisions"] if decision["name"] == "h")
        assert (h["runtime_address"], h["policy"]) == (0x7F0000000680, "Pin")
        assert h["reason"] == "policy Pin: pinned to first"


def test_the_example_that_keeps_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Likewise."""
    monkeypatch.chdir(tmp_path)
    Path("list").write_text("# names\n\nf* # it moves money\n")
    assert main([*command(tmp_path, "--policy", f"{KEEP_OUT}:KeepOut=list", "--allow-missing")]) == 1
    message = json.loads(capsys.readouterr().out)["error"]["message"]
    assert "f: refused: policy KeepOut: f* is on list (it moves money); used by patch.o" in message
    assert not Path("stub.o").exists()


NOWHERE = {
    "no module": ("nowhere_at_all:X", "nowhere_at_all cannot be imported: ModuleNotFoundError"),
    "no class": (f"{PIN}:Nix", "has no Nix"),
    "no file": ("nowhere.py:X", "nowhere.py: No such file"),
    "no entry point": ("nix", "there is no such policy"),
    "an instance that is none": ("json:JSONDecoder", "is no policy"),
    "not called": ("json:__name__", "is no class"),
    "argument missing": (f"{PIN}:Pin", "cannot be made: TypeError"),
    "argument wrong": (f"{PIN}:Pin=map", "give the map and where"),
}


@pytest.mark.parametrize(("text", "sentence"), NOWHERE.values(), ids=list(NOWHERE))
def test_policies_that_are_not_there(text: str, sentence: str) -> None:
    """Each wrong name says which part of it is wrong."""
    with pytest.raises((stubgen.UsageError, stubgen.UnreadableInput)) as caught:
        load_policy(text)
    assert sentence in str(caught.value)


def test_an_installed_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution names its policies in an entry point; nobody needs to know where they are."""
    (tmp_path / "house_rules.py").write_text("from stubgen import Policy\nclass Rules(Policy):\n    pass\n")
    information = tmp_path / "house_rules-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: house-rules\nVersion: 1\n")
    (information / "entry_points.txt").write_text(f"[{GROUP}]\nhouse = house_rules:Rules\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load_policy("house").name == "Rules"
    with pytest.raises(stubgen.UsageError, match="installed are house"):
        load_policy("hous")
    sys.modules.pop("house_rules")
