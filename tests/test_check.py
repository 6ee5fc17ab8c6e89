"""The check of linked patches, on patches that each have one thing wrong."""

from __future__ import annotations

import re
from array import array
from pathlib import Path

import pytest
from tools import SYSROOT, need, run

from stubgen.build import StubBuilder
from stubgen.check import Checked, Finding, check_patch, refuse_findings
from stubgen.errors import InputError, PatchRefusal
from stubgen.host import open_host
from stubgen.host.slide import slide_from_value
from stubgen.link import _sound
from stubgen.resolve.verdicts import Decision, Verdict

HOST = """
#include <string.h>
int host_f(int x) { return x + 1; }
int host_g(int x) { return x * 2; }
void host_clear(void *p) { memset(p, 0, 64); }
int main(void) { return host_f(1) + host_g(2); }
"""
PATCH = """
#include <string.h>
int host_f(int); int host_g(int);
__attribute__((weak)) int maybe(void);
int patch_main(int x) { char b[200]; memset(b, x, 200); return host_f(x) + host_g(b[x]) + (maybe ? maybe() : 0); }
"""
SLIDE = 0x5500000000


class Bench:
    """A folder with a host, a patch object and its stubs, to be linked in good and bad ways."""

    def __init__(self, folder: Path) -> None:
        self.gcc = str(need("aarch64-linux-gnu-gcc"))
        self.folder = folder
        self.write("host.c", HOST)
        self.write("patch.c", PATCH)
        self.compile("-shared", "-fPIC", "-Wl,-soname,libhost.so,-Bsymbolic", "-o", "libhost.so", "host.c")
        self.compile("-O1", "-fPIC", "-c", "-o", "patch.o", "patch.c")
        self.host = folder / "libhost.so"
        self.stub(SLIDE)

    def write(self, name: str, text: str) -> None:
        """A source file."""
        (self.folder / name).write_text(text)

    def compile(self, *words: str) -> None:
        """Run the cross compiler."""
        run([self.gcc, *words], cwd=self.folder)

    def stub(self, slide: int) -> None:
        """The stub object for *slide*."""
        built = StubBuilder(self.host).build([self.folder / "patch.o"], slide=slide, allow_missing=True)
        (self.folder / "stub.o").write_bytes(built.stub.content)

    def link(self, *words: str) -> Path:
        """The patch, linked with *words*."""
        self.compile("-shared", "-o", "patch.so", "-Wl,-soname,patch.so", *words)
        return self.folder / "patch.so"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A fresh one."""
    return Bench(tmp_path)


def test_a_sound_patch_passes(bench: Bench) -> None:
    """A check that complains about good patches would be switched off."""
    host = open_host(bench.host)
    patch = bench.link("patch.o", "stub.o")
    checked = check_patch(patch, host, slide=slide_from_value(host, SLIDE), exports=["patch_main"])
    assert checked.ok, checked.findings
    assert [stub.name for stub in checked.stubs] == [b"host_f", b"host_g"]
    assert checked.slide == SLIDE
    refuse_findings(checked)


def failing(bench: Bench, patch: Path, **options: object) -> str:
    """The complaints about *patch*."""
    checked = check_patch(patch, bench.host, **options)  # type: ignore[arg-type]
    assert not checked.ok
    for finding in checked.findings:
        if not finding.ok and finding.check in ("undefined", "stubs", "slots", "lookups", "exports"):
            assert finding.message.startswith(finding.names), finding
    with pytest.raises(PatchRefusal) as caught:
        refuse_findings(checked)
    return str(caught.value)


def test_a_back_edge_to_the_host(bench: Bench) -> None:
    """Android would load a second copy of the host, or none: the patch would change the wrong one."""
    assert "back-edge: it loads the host itself: it needs libhost.so" in failing(
        bench, bench.link("patch.o", "stub.o", "-L.", "-lhost", "-Wl,--no-as-needed", "libhost.so")
    )


def test_the_hosts_own_soname(bench: Bench) -> None:
    """The loader would return the host that is already there, and nothing would change."""
    bench.compile("-shared", "-o", "patch.so", "-Wl,-soname,libhost.so,-Bsymbolic", "patch.o", "stub.o")
    assert "own name: its soname is the host's, libhost.so" in failing(bench, bench.folder / "patch.so")


def test_a_forgotten_stub_object(bench: Bench) -> None:
    """Without stub.o everything links, and dlopen looks the host's functions up, or fails."""
    text = failing(bench, bench.link("patch.o"))
    assert "host_f is left to the loader although the host defines it: its stub is not in the link" in text
    assert "host_g is left" in text


def test_a_symbol_that_nobody_has(bench: Bench) -> None:
    """ignore-all turns a typo into a failed dlopen on the device."""
    bench.write("typo.c", "int host_ff(int); int typo(int x) { return host_ff(x); }")
    bench.compile("-fPIC", "-c", "typo.c")
    patch = bench.link("patch.o", "stub.o", "typo.o")
    assert "undefined: host_ff is in no library that the patch names or the host loads" in failing(bench, patch)


def test_a_library_beside_the_patch_supplies(bench: Bench) -> None:
    """What a further library exports is not missing."""
    bench.write("typo.c", "int host_ff(int); int typo(int x) { return host_ff(x); }")
    bench.write("extra.c", "int host_ff(int x) { return x; }")
    bench.compile("-fPIC", "-c", "typo.c")
    bench.compile("-shared", "-fPIC", "-o", "extra.so", "extra.c")
    patch = bench.link("patch.o", "stub.o", "typo.o")
    assert check_patch(patch, bench.host, libraries=[bench.folder / "extra.so"]).ok


def test_stubs_for_another_process(bench: Bench) -> None:
    """A slide from the run before sends every call into nowhere."""
    host = open_host(bench.host)
    text = failing(bench, bench.link("patch.o", "stub.o"), slide=slide_from_value(host, SLIDE + 0x1000))
    assert re.search(r"stubs: host_f branches to 0x55\w+, but the host's is at 0x55\w+", text)


def test_stubs_of_two_slides(bench: Bench) -> None:
    """A stale stub object beside a fresh one: without knowing the slide, they still contradict each other."""
    code = bytearray((bench.folder / "stub.o").read_bytes())
    from stubgen.stub.trampoline import encode

    host = open_host(bench.host)
    address = host.image.find([b"host_g"])[b"host_g"][0].address
    right, wrong = (bytes(encode(array("Q", [SLIDE + at]))) for at in (address, 0x10000 + address))
    place = code.find(right)
    assert place > 0
    code[place : place + len(wrong)] = wrong
    (bench.folder / "stub.o").write_bytes(code)
    text = failing(bench, bench.link("patch.o", "stub.o"))
    assert "stubs: host_" in text


def test_a_stub_for_a_function_that_the_host_lost(bench: Bench) -> None:
    """Checked against a newer host, a stub of a removed function is named."""
    patch = bench.link("patch.o", "stub.o")
    bench.write("host.c", HOST.replace("host_g", "host_h"))
    bench.compile("-shared", "-fPIC", "-Wl,-soname,libhost.so,-Bsymbolic", "-o", "libhost.so", "host.c")
    assert "host_g is a stub, but the host has no symbol of that name" in failing(bench, patch)


def test_an_export_that_is_not_there(bench: Bench) -> None:
    """A builder that looks a hidden function up gets null."""
    text = failing(bench, bench.link("patch.o", "stub.o"), exports=["patch_main", "host_f"])
    assert "exports: host_f cannot be found by dlsym" in text
    assert "patch_main" not in text


def test_text_relocations(bench: Bench) -> None:
    """A patch compiled without -fPIC needs its code written to, which Android and others refuse."""
    bench.write("abs.S", ".text\n.globl where\nwhere: .quad patch_main\n")
    bench.compile("-c", "abs.S")
    patch = bench.link("patch.o", "stub.o", "abs.o", "-Wl,-z,notext")
    assert "text relocations: it has DT_TEXTREL" in failing(bench, patch)


def test_a_visible_stub_is_looked_up(bench: Bench) -> None:
    """A stub that lost its hidden visibility is found through the loader, and may be somebody else's."""
    objcopy = str(need("llvm-objcopy-19"))
    run([objcopy, "--set-symbol-visibility=host_f=default", "stub.o"], cwd=bench.folder)
    assert "lookups: host_f is looked up by the loader although it has a stub" in failing(
        bench, bench.link("patch.o", "stub.o")
    )


def test_a_stripped_patch_still_shows_its_stubs(bench: Bench) -> None:
    """Stubs are found by their code, so that stripping does not turn the check blind."""
    patch = bench.link("patch.o", "stub.o", "-s")
    checked = check_patch(patch, bench.host)
    assert len(checked.stubs) == 2
    assert {stub.name for stub in checked.stubs} == {b""}


def test_what_is_no_linked_patch(bench: Bench) -> None:
    """Objects and files of the other format are told apart from bad patches."""
    with pytest.raises(InputError, match="is a relocatable object; check takes the linked patch"):
        check_patch(bench.folder / "patch.o", bench.host)


def test_a_program_is_not_a_patch(bench: Bench) -> None:
    """Mixing up the two files must not end in "sound"."""
    bench.compile("-pie", "-o", "host", "host.c")
    with pytest.raises(InputError, match="is an executable; check takes the linked patch, a shared library"):
        check_patch(bench.folder / "host", bench.host)


def test_a_large_library_goes_through_every_check() -> None:
    """No check may stumble over what a real library holds."""
    library = SYSROOT / "lib" / "libm.so.6"
    if not library.exists():
        need("aarch64-linux-gnu-gcc")
    assert check_patch(library, SYSROOT / "lib" / "libc.so.6").stubs == ()


def test_a_refused_link_says_what_was_known_of_the_symbols() -> None:
    """The close names of a typo are shown beside it; those of a symbol called "it" are not."""
    findings = (
        Finding("back-edge", False, "it loads the host itself: it needs libhost.so; drop that from the link"),
        Finding("undefined", False, "host_ff is in no library that the patch names", ("host_ff",)),
        Finding("undefined", True, "what is left undefined has a supplier", ("loads",)),
    )
    problems = [
        Decision(name, Verdict.MISSING, "the host has no such symbol", None, None, (close,), ())
        for name, close in (("it", "id"), ("host_ff", "host_f"), ("loads", "load"))
    ]
    with pytest.raises(PatchRefusal) as caught:
        _sound(Checked("patch.so", findings, (), None), problems)
    assert str(caught.value).splitlines() == [
        "patch.so: the linked patch is not sound",
        "  back-edge: it loads the host itself: it needs libhost.so; drop that from the link",
        "  undefined: host_ff is in no library that the patch names",
        "  host_ff: missing: the host has no such symbol; close names: host_f",
    ]
    _sound(Checked("patch.so", findings[2:], (), None), problems)
