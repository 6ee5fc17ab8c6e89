"""Keystone and Capstone are asked once, done without where that is possible, and named when they are broken."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from array import array
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

import capstone
import pytest
from synthetic import BASE, Sym, elf_host, elf_object, put, undefined
from tools import need_module

from stubgen.cli import main
from stubgen.common.cache import FOLDER_VARIABLE, OWN_FOLDER
from stubgen.elf.reader import ElfFile
from stubgen.errors import BrokenLibrary, VerificationRefusal
from stubgen.stub import assembler, disassembler, facts, libraries
from stubgen.stub.decoding import decode
from stubgen.stub.emit import emit_elf
from stubgen.stub.facts import LibraryFacts
from stubgen.stub.trampoline import BRANCH_NUMBER, INSTRUCTIONS, MOVES, RECORDED, encode
from stubgen.stub.verify import verify_object

ROOT = Path(__file__).parents[2]
KEYSTONE = find_spec("keystone")
PACKAGES = {
    "keystone": (Path(KEYSTONE.origin if KEYSTONE and KEYSTONE.origin else "").parent, "keystone_engine-*.dist-info"),
    "capstone": (Path(capstone.__file__).parent, "capstone-*.dist-info"),
}
BUILD = ["build", "--host", "host", "--slide", "0x5500000000", "-o", "stub.o", "patch.o"]
PROGRAM = (
    "import sys; from stubgen.cli import main; status = main(sys.argv[1:]);"
    "print('imported', *sorted({'keystone', 'capstone'} & set(sys.modules)), file=sys.stderr); sys.exit(status)"
)


class Installation:
    """A Python that has what is asked for: stubgen, and of Keystone and Capstone the real ones, fakes or none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.packages = folder / "packages"
        self.cache = folder / "cache" / OWN_FOLDER
        self.packages.mkdir()
        put(folder, "host", elf_host([Sym("main", BASE + 0x100), Sym("f", BASE + 0x140), Sym("g", BASE + 0x180)]))
        put(folder, "patch.o", elf_object([undefined("f")]))

    def install(self, *names: str) -> None:
        """The real packages, as links: their files are the same ones for every such Python."""
        for name in names:
            need_module(name, {"keystone": "keystone-engine"}.get(name, name))
            package, information = PACKAGES[name]
            (self.packages / name).symlink_to(package)
            (found,) = package.parent.glob(information)
            (self.packages / found.name).symlink_to(found)

    def fake(self, name: str, content: str) -> None:
        """A package of that name that does what a broken one might."""
        (self.packages / name).mkdir()
        (self.packages / name / "__init__.py").write_text(content)

    def remove(self, name: str) -> None:
        """What pip uninstall does."""
        for path in self.packages.glob(f"{name}*"):
            path.unlink() if path.is_symlink() else shutil.rmtree(path)

    def run(self, *words: str, program: str = PROGRAM) -> tuple[int, str, list[str]]:
        """Exit status, the sentences on standard error, and which of the two libraries the program imported."""
        environment = {"PYTHONPATH": f"{self.packages}:{ROOT}", FOLDER_VARIABLE: str(self.cache.parent), "PATH": ""}
        command = [sys.executable, "-S", "-c", program, *words]  # -S: no site-packages
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, cwd=self.folder, env=environment, timeout=60
        )
        *said, last = done.stderr.splitlines()
        assert last.startswith("imported"), done.stderr
        return done.returncode, "\n".join(said), last.split()[1:]


@pytest.fixture
def there(tmp_path: Path) -> Installation:
    """Such a Python, with a host and a patch."""
    return Installation(tmp_path)


def test_the_recorded_encoding_is_keystones() -> None:
    """Where Keystone is not installed the recorded words alone stand between a user and a wild branch."""
    need_module("keystone", "keystone-engine")
    words = assembler.assemble([instruction.assembly for instruction in INSTRUCTIONS])
    assert [f"{word:08x}" for word in words] == [f"{instruction.word:08x}" for instruction in INSTRUCTIONS]


def test_the_second_build_loads_neither(there: Installation) -> None:
    """Their import takes longer than the build, and people run this on every save."""
    there.install("keystone", "capstone")
    assert there.run(*BUILD) == (0, "", ["capstone", "keystone"])
    first = (there.folder / "stub.o").read_bytes()
    assert there.run(*BUILD) == (0, "", [])
    assert (there.folder / "stub.o").read_bytes() == first
    assert there.run("verify", "stub.o") == there.run("inspect", "stub.o") == (0, "", [])


@pytest.mark.parametrize("call", ["verify_object(content, 'stub.o')", "find_stubs(open_image(content, 'stub.o'))"])
def test_the_second_program_loads_neither(there: Installation, call: str) -> None:
    """Who calls the library in a process of his own pays for their import once as well, and says nothing for it."""
    there.install("keystone", "capstone")
    there.run(*BUILD, "--no-cache")
    program = PROGRAM.replace(
        "from stubgen.cli import main; status = main(sys.argv[1:])",
        f"from stubgen import *; status = 0; content = open('stub.o', 'rb').read(); {call}",
    )
    asked = ["capstone", "keystone"] if "verify" in call else ["capstone"]
    assert there.run(program=program) == (0, "", asked)
    assert there.run(program=program) == (0, "", [])


def test_what_killed_writers_left_of_the_facts_goes(tmp_path: Path) -> None:
    """Each command that is killed while it writes them leaves 33 KB, which nothing but `cache --clear` would remove."""
    old, fresh, foreign = (tmp_path / name for name in (".libraries.facts.0123abcd", ".libraries.facts.4567abcd", ".x"))
    for path in (old, fresh, foreign):
        path.write_text("")
    for path in (old, foreign):
        os.utime(path, (1, 1))
    LibraryFacts(tmp_path).words_were_read(bytes(facts.BITMAP_SIZE))
    assert {path.name for path in tmp_path.iterdir()} == {facts.NAME, fresh.name, foreign.name}


def test_what_two_threads_learn_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that writes while the other does would write without the other's words, or without its Keystone."""
    need_module("keystone", "keystone-engine")
    words = [bytes([bit]) + bytes(facts.BITMAP_SIZE - 1) for bit in (1, 2)]
    others = [
        Thread(target=LibraryFacts(tmp_path).words_were_read, args=[words[1]]),
        Thread(target=LibraryFacts(tmp_path).keystone_agreed),
    ]
    write_private = facts.write_private

    def slow(path: str, content: bytes) -> None:
        monkeypatch.setattr(facts, "write_private", write_private)
        for each in others:
            each.start()
            each.join(0.1)  # as long as it needs where it does not wait for this one
        write_private(path, content)

    monkeypatch.setattr(facts, "write_private", slow)
    LibraryFacts(tmp_path).words_were_read(words[0])
    for each in others:
        each.join()
    assert LibraryFacts(tmp_path).summary() == (True, 2)


def test_what_is_forgotten_while_another_thread_writes_stays_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer had read what is forgotten, and would put it back: a library that lies would be believed again."""
    LibraryFacts(tmp_path).words_were_read(bytes([1]) + bytes(facts.BITMAP_SIZE - 1))
    forgetting = Thread(target=LibraryFacts(tmp_path).forget)
    write_private = facts.write_private

    def slow(path: str, content: bytes) -> None:
        forgetting.start()
        forgetting.join(0.1)  # as long as it needs where it does not wait for this one
        write_private(path, content)

    monkeypatch.setattr(facts, "write_private", slow)
    LibraryFacts(tmp_path).words_were_read(bytes([2]) + bytes(facts.BITMAP_SIZE - 1))
    forgetting.join()
    assert LibraryFacts(tmp_path).summary() == (False, 0)


def test_a_new_word_is_read(there: Installation) -> None:
    """An instruction that nobody has read yet is read, and then known beside the others."""
    there.install("keystone", "capstone")
    there.run(*BUILD)
    put(there.folder, "patch.o", elf_object([undefined("f"), undefined("g")]))
    assert there.run(*BUILD)[2] == ["capstone"]
    assert there.run(*BUILD)[2] == []


def test_fresh_has_all_read_anew(there: Installation) -> None:
    """Who doubts the cache can have everything asked again without clearing it."""
    there.install("keystone", "capstone")
    there.run(*BUILD)
    assert there.run("verify", "stub.o", "--fresh") == (0, "", ["capstone", "keystone"])
    assert there.run(*BUILD)[2] == []


def test_no_cache_believes_and_keeps_nothing(there: Installation) -> None:
    """A build farm's ``--no-cache`` means that no file of an earlier run decides anything."""
    there.install("keystone", "capstone")
    assert there.run(*BUILD, "--no-cache") == (0, "", ["capstone", "keystone"])
    assert not there.cache.exists()
    there.run(*BUILD)
    assert there.run(*BUILD, "--no-cache")[2] == ["capstone", "keystone"]


def test_without_keystone(there: Installation) -> None:
    """On Apple Silicon, aarch64 Linux and musl there is no Keystone to install; the stubs are the same."""
    there.install("keystone", "capstone")
    assert there.run(*BUILD)[0] == 0
    with_it = (there.folder / "stub.o").read_bytes()
    there.remove("keystone")
    assert there.run(*BUILD, "--no-cache") == (0, "", ["capstone"])
    assert (there.folder / "stub.o").read_bytes() == with_it
    assert there.run("verify", "stub.o", "--fresh") == (0, "", ["capstone"])


def test_a_folder_called_keystone_is_not_keystone(there: Installation) -> None:
    """Python imports any folder of that name, such as one in the working directory, as an empty package."""
    there.install("capstone")
    (there.packages / "keystone").mkdir()
    assert there.run(*BUILD) == (0, "", ["capstone"])


def test_without_capstone(there: Installation) -> None:
    """No stub is written that nobody has read back; what holds no stubs needs nobody to read it."""
    status, said, _ = there.run(*BUILD)
    assert (status, said) == (5, "hotpatch-stubgen: error: Capstone is not installed: pip install capstone")
    assert not (there.folder / "stub.o").exists()
    assert there.run("inspect", "patch.o")[0] == 0
    assert there.run("plan", "--object", "a.o", "-o", "p.so", "--", "cc", "-shared", "-o", "x", "b.o")[0] == 0


BROKEN = {
    "cannot be loaded": (
        "raise OSError('libx.so:\\n cannot open')",
        "cannot be loaded (OSError: libx",
    ),
    "is not for this Python": (
        "raise ImportError('ERROR: fail to load')",
        "(ImportError: ERROR: fail",
    ),
    "ends the process": ("raise SystemExit('no')", "cannot be loaded (SystemExit: no)"),
    "needs something": ("import nothing_of_the_kind", "No module named 'nothing_of_the_kind'"),
    "prints and is another": ("print('{')", "module '{name}' has no attribute '{engine}'"),
}
ENGINES = {"keystone": "Ks", "capstone": "Cs"}


@pytest.mark.parametrize("name", list(ENGINES))
@pytest.mark.parametrize("how", list(BROKEN))
def test_a_broken_library_is_one_sentence(there: Installation, name: str, how: str) -> None:
    """A traceback out of somebody else's package tells nobody what to install; printed JSON must stay JSON."""
    content, expected = BROKEN[how]
    (other,) = set(ENGINES) - {name}
    there.install(other)
    there.fake(name, content)
    status, said, _ = there.run(*BUILD)
    assert status == 5
    assert said.startswith(f"hotpatch-stubgen: error: {name.title()} ")
    assert expected.format(name=name, engine=ENGINES[name]) in said
    assert "\n" not in said
    assert not (there.folder / "stub.o").exists()
    assert there.run("inspect", "patch.o")[0] == 0


def test_what_a_library_prints_is_not_in_the_document(there: Installation) -> None:
    """``--json`` prints one document and nothing else, whatever a package has to say when it is imported."""
    there.install("keystone")
    there.fake("capstone", "print('{')")
    environment = {"PYTHONPATH": f"{there.packages}:{ROOT}", FOLDER_VARIABLE: ""}
    command = [sys.executable, "-S", "-m", "stubgen", *BUILD, "--json"]
    done = subprocess.run(command, check=False, capture_output=True, cwd=there.folder, env=environment)
    assert (done.returncode, json.loads(done.stdout)["error"]["kind"]) == (5, "BrokenLibrary")


WRONG_KEYSTONE = """
KS_ARCH_ARM64 = KS_MODE_LITTLE_ENDIAN = 0
class Ks:
    def __init__(self, arch, mode): pass
    def asm(self, text): return {answer}, len(text.splitlines())
"""
WRONG_CAPSTONE = """
CS_ARCH_ARM64 = CS_MODE_LITTLE_ENDIAN = 0
class Cs:
    def __init__(self, arch, mode): pass
    def disasm_lite(self, code, start): {answer}
"""
WRONG = {
    "other words": (
        "keystone",
        "list(bytes(4) * len(text.splitlines()))",
        "assembles 'hint #34' to 0x00000000, not",
    ),
    "too few words": ("keystone", "[0] * 4", f"makes 4 bytes of {len(INSTRUCTIONS)} instructions"),
    "no answer": ("keystone", "None", "does not assemble (TypeError"),
    "other instructions": ("capstone", "return [(at, 4, 'nop', '') for at in range(0, len(code), 4)]", "as 'nop', not"),
    "nothing": ("capstone", "return []", "as nothing, not as 'br x16'"),
    "no number": (
        "capstone",
        "return [(0, 4, 'movk', 'x16, #many, lsl #16')]",
        "prints what nobody understands",
    ),
    "a crash": ("capstone", "raise RuntimeError('x')", "does not disassemble (RuntimeError: x)"),
}


@pytest.mark.parametrize("how", list(WRONG))
def test_a_library_that_answers_wrongly_is_named(there: Installation, how: str) -> None:
    """A stub that the two do not agree on must not be written, and the user's objects are not to blame."""
    name, answer, expected = WRONG[how]
    (other,) = set(ENGINES) - {name}
    there.install(other)
    there.fake(name, {"keystone": WRONG_KEYSTONE, "capstone": WRONG_CAPSTONE}[name].format(answer=answer))
    status, said, _ = there.run(*BUILD)
    assert (status, said.count("\n")) == (5, 0)
    assert expected in said
    assert not (there.folder / "stub.o").exists()


FAILING_KEYSTONE = """
from stubgen.stub.trampoline import INSTRUCTIONS
KS_ARCH_ARM64 = KS_MODE_LITTLE_ENDIAN = 0
class KsError(Exception): pass
class Ks:
    made = 0
    def __init__(self, arch, mode): Ks.made += 1
    def asm(self, text):
        if Ks.made <= {failures}: raise KsError('Unknown error')
        return [byte for each in INSTRUCTIONS for byte in each.word.to_bytes(4, 'little')], 0
"""


@pytest.mark.parametrize(("failures", "status"), [(2, 0), (3, 5)])
def test_keystone_may_fail_for_once(there: Installation, failures: int, status: int) -> None:
    """One patch of some thousands was refused because Keystone gave an error that it never gave again."""
    there.install("capstone")
    there.fake("keystone", FAILING_KEYSTONE.format(failures=failures))
    done, said, _ = there.run(*BUILD)
    assert done == status
    assert ("does not assemble (KsError: Unknown error)" in said) == (status == 5)


def test_another_library_is_not_believed(there: Installation) -> None:
    """After an update, or in another environment, what the old library did says nothing about the new one."""
    there.install("keystone", "capstone")
    there.run(*BUILD)
    for name in ENGINES:
        there.remove(name)
        there.fake(name, "raise OSError('gone')")
        assert there.run(*BUILD)[0] == 5
        there.remove(name)
        there.install(name)
        assert there.run(*BUILD)[2] == []


def copied(there: Installation) -> Path:
    """A Capstone whose files may be changed."""
    package, information = PACKAGES["capstone"]
    shutil.copytree(package, there.packages / "capstone", ignore=shutil.ignore_patterns("include", "__pycache__"))
    (there.packages / next(package.parent.glob(information)).name).mkdir()
    return there.packages / "capstone"


CHANGES: dict[str, Callable[[Path], object]] = {
    "touched": lambda package: os.utime(next((package / "lib").iterdir())),
    "its Python touched": lambda package: os.utime(package / "__init__.py"),
    "copied over": lambda package: (
        shutil.copy(next((package / "lib").iterdir()), package / "lib" / "y")
        and os.replace(package / "lib" / "y", next((package / "lib").glob("libcapstone*")))
    ),
    "another version": lambda package: next(package.parent.glob("capstone-*")).rename(
        package.parent / "capstone-5.9.9.dist-info"
    ),
}


@pytest.mark.parametrize("how", list(CHANGES))
def test_any_change_of_the_library_counts(there: Installation, how: str) -> None:
    """A library that was swapped in place, for one built with a patch for instance, is read with again."""
    package = copied(there)
    there.run(*BUILD)
    assert there.run(*BUILD)[2] == []
    CHANGES[how](package)
    assert there.run(*BUILD) == (0, "", ["capstone"])
    assert there.run(*BUILD)[2] == []


@pytest.mark.parametrize("how", ["no version", "two versions", "library elsewhere", "library named"])
def test_a_library_that_cannot_be_told_is_loaded_each_time(
    there: Installation, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian's Capstone has its shared library in another folder, which may change without the package's folder."""
    package = copied(there)
    monkeypatch.syspath_prepend(str(there.packages))
    monkeypatch.delitem(sys.modules, "capstone")
    assert libraries.identity(libraries.CAPSTONE) is not None
    information = next(there.packages.glob("capstone-*"))
    if how == "no version":
        information.rename(there.packages / "capstone-4.0.2.egg-info")
    elif how == "two versions":
        (there.packages / "capstone-1.dist-info").mkdir()
    elif how == "library elsewhere":
        shutil.rmtree(package / "lib")
    else:
        monkeypatch.setenv("LIBCAPSTONE_PATH", str(there.packages))
    assert libraries.identity(libraries.CAPSTONE) is None


def test_another_module_of_that_name_is_not_the_library(there: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a program has loaded as ``capstone`` answers, whatever lies in the folder: nothing is known of it."""
    copied(there)
    monkeypatch.syspath_prepend(str(there.packages))
    assert capstone.__file__ is not None
    assert libraries.identity(libraries.CAPSTONE) is None  # this process has the installed one
    monkeypatch.delitem(sys.modules, "capstone")
    assert libraries.identity(libraries.CAPSTONE) is not None


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Facts about the installed libraries, in a cache folder of their own; nothing is known from this process."""
    monkeypatch.setattr(disassembler, "_read", bytearray(facts.BITMAP_SIZE))
    folder = tmp_path / OWN_FOLDER
    learned = LibraryFacts(folder)
    assembler.confirm_encoding(learned)
    disassembler.confirm_words([5, BRANCH_NUMBER], learned)
    assert LibraryFacts(folder).summary() == (KEYSTONE is not None, 2)
    return folder / facts.NAME


def test_every_byte_counts(known: Path) -> None:
    """A disk that lost a bit must not make an instruction known that nobody has read."""
    content = known.read_bytes()
    for place in [
        *range(facts.HEADER.size),
        *range(facts.HEADER.size, facts.SIZE, 997),
        *range(facts.SIZE - 4, facts.SIZE),
    ]:
        known.write_bytes(content[:place] + bytes([content[place] ^ 0x40]) + content[place + 1 :])
        assert LibraryFacts(known.parent).summary() == (False, 0), place
    known.write_bytes(content)
    assert LibraryFacts(known.parent).summary() == (KEYSTONE is not None, 2)


def signed(content: bytes) -> bytes:
    """*content* with the checksum that belongs to it."""
    return content[:-4] + facts.CHECKSUM.pack(facts.crc32(content[:-4]))


FOREIGN: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut": lambda content: content[:-1],
    "longer": lambda content: content + b"\0",
    "zeros": lambda content: bytes(len(content)),
    "another program's": lambda content: signed(b"x" + content[1:]),
    "another version's": lambda content: signed(content[:8] + b"\x63" + content[9:]),
    "other instructions": lambda content: signed(content.replace(RECORDED, RECORDED[4:] + RECORDED[:4])),
    "of nobody": lambda content: signed(content[: facts.HEADER.size - 304] + bytes(304) + content[facts.HEADER.size :]),
}


@pytest.mark.parametrize("what", list(FOREIGN))
def test_a_foreign_file_is_not_believed(known: Path, what: str) -> None:
    """Whatever lies there, the words are read anew and the file is made anew."""
    known.write_bytes(FOREIGN[what](known.read_bytes()))
    again = LibraryFacts(known.parent)
    assert again.summary() == (False, 0)
    disassembler.confirm_words([7], again)
    disassembler.forget_words()
    disassembler.confirm_words([7], again)
    assert LibraryFacts(known.parent).summary()[1] == 1


def strange(path: Path, what: str) -> None:
    """Something else in the place of the file."""
    content = path.read_bytes()
    if what == "for others to write":
        path.chmod(0o620)
    elif what == "for all to write":
        path.chmod(0o602)
    else:
        path.unlink()
        if what == "symbolic link":
            (path.parent / "elsewhere").write_bytes(content)
            path.symlink_to(path.parent / "elsewhere")
        elif what == "folder":
            path.mkdir()
        else:
            os.mkfifo(path)


@pytest.mark.parametrize("what", ["for others to write", "for all to write", "symbolic link", "folder", "named pipe"])
def test_only_ones_own_file_is_believed(known: Path, what: str) -> None:
    """Who can write the file decides which stubs are believed; and nobody waits for a pipe that nobody writes to."""
    strange(known, what)
    again = LibraryFacts(known.parent)
    assert again.summary() == (False, 0)
    disassembler.forget_words()
    disassembler.confirm_words([7], again)
    assert LibraryFacts(known.parent).summary()[1] == (0 if what == "folder" else 1)
    assert not list(known.parent.glob(".*"))
    if what == "symbolic link":
        assert not known.is_symlink()
        assert (known.parent / "elsewhere").read_bytes() != known.read_bytes()


def test_another_users_file_is_not_believed(known: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a shared folder somebody else may have been first."""
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    assert LibraryFacts(known.parent).summary() == (False, 0)


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read-only home folder costs time, not the build."""
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(disassembler, "_read", bytearray(facts.BITMAP_SIZE))
    for folder in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/nowhere")):
        disassembler.forget_words()
        learned = LibraryFacts(folder)
        assembler.confirm_encoding(learned)
        disassembler.confirm_words([7], learned)
        assert facts.size_of(folder) is None


def test_writers_lose_nothing_that_was_there(known: Path) -> None:
    """Two commands at once may each lose what the other learned meanwhile, never what both found."""
    one, other = LibraryFacts(known.parent), LibraryFacts(known.parent)
    for learned, number in ((one, 70_000), (other, 140_000)):
        disassembler.confirm_words([number], learned)
    assert LibraryFacts(known.parent).summary() == (KEYSTONE is not None, 4)


def test_a_library_that_is_replaced_while_it_answers(known: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installer may replace Capstone between the look at its files and its answer: that is nobody's, so none's."""
    learned, before = LibraryFacts(known.parent), known.read_bytes()
    assert learned.summary() == (KEYSTONE is not None, 2)
    monkeypatch.setattr(facts, "identity", lambda library: bytes(libraries.IDENTITY.size - 1) + b"\1")
    disassembler.confirm_words([70_000], learned)
    learned.keystone_agreed()
    assert known.read_bytes() == before


def test_many_processes_at_once(there: Installation) -> None:
    """A parallel build starts many patches together: all answer, and the file is whole afterwards."""
    there.install("keystone", "capstone")
    for number in range(6):
        put(there.folder, f"patch{number}.o", elf_object([undefined("f" if number % 2 else "g")]))
    environment = {"PYTHONPATH": f"{there.packages}:{ROOT}", FOLDER_VARIABLE: str(there.cache.parent)}
    command = [sys.executable, "-S", "-m", "stubgen", *BUILD[:-3]]
    running = [
        subprocess.Popen(
            [*command, "-o", f"stub{number}.o", f"patch{number}.o"],
            cwd=there.folder,
            env=environment,
            stdout=subprocess.DEVNULL,
        )
        for number in range(6)
    ]
    assert [process.wait(timeout=60) for process in running] == [0] * 6
    assert [path.name for path in there.cache.iterdir()] == [facts.NAME]
    assert len((there.cache / facts.NAME).read_bytes()) == facts.SIZE
    there.run(*BUILD)
    assert there.run(*BUILD)[2] == []


def test_a_fresh_answer_that_is_wrong_removes_the_facts(known: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``verify --fresh`` finds out must reach the next command, which would believe the file."""
    monkeypatch.setattr(disassembler, "_texts", lambda words: [("nop", "")] * len(words))
    disassembler.confirm_words([5], LibraryFacts(known.parent))  # believed
    with pytest.raises(BrokenLibrary, match="Capstone reads 0xd28000b0 as 'nop', not as 'movz x16' with"):
        disassembler.confirm_words([5], LibraryFacts(known.parent, fresh=True))
    assert not known.exists()


def test_every_move_is_read_as_its_number_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """A word that is known under another one's number would never be read."""
    monkeypatch.setattr(disassembler, "_read", bytearray(facts.BITMAP_SIZE))
    asked: list[int] = []
    real = disassembler._texts
    monkeypatch.setattr(disassembler, "_texts", lambda words: asked.extend(words) or real(words))
    address = 0x7B4091FF2C04
    decode(bytes(encode(array("Q", [address]), bti=True)), bti=True)
    expected = [move.word | (address >> 16 * part & 0xFFFF) << 5 for part, move in enumerate(MOVES)]
    assert sorted(asked) == sorted([*expected, 0xD61F0200, 0xD503245F])


def test_texts_that_are_not_taken_apart_mean_what_they_should() -> None:
    """Capstone's words are compared first: a text in that table that meant something else would be believed."""
    moves = [part << 16 | immediate for part in range(4) for immediate in (0, 1, 9, 10, 0x1234, 0xFFFC, 0xFFFF)]
    for number in (*moves, BRANCH_NUMBER, BRANCH_NUMBER + 1):
        instruction, immediate = disassembler._instruction(number)
        assert disassembler._meaning(*disassembler._usual_text(number)) == (instruction.meaning, immediate)
    unusual = [
        number
        for number in moves
        if disassembler._texts([disassembler._word(number)]) != [disassembler._usual_text(number)]
    ]
    assert all(number & 0xFFFF < 10 for number in unusual)


@pytest.mark.parametrize("number", [5, 0x123, 0x10123, 0x30009, BRANCH_NUMBER])
def test_another_immediate_is_another_word(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Capstone that reads another number reads another address: its stubs would be believed."""
    text, other = disassembler._texts([disassembler._word(number), disassembler._word(number - 1)])
    for wrong in (other, (text[0], "x17"), ("movn", text[1]), ("", "")):
        monkeypatch.setattr(disassembler, "_texts", lambda words, wrong=wrong: [wrong] * len(words))
        monkeypatch.setattr(disassembler, "_read", bytearray(facts.BITMAP_SIZE))
        with pytest.raises(BrokenLibrary, match=f"Capstone reads {disassembler._word(number):#010x} as"):
            disassembler.confirm_words([number])
        monkeypatch.undo()


def test_a_word_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that read each word again at each request would spend its time in Capstone."""
    monkeypatch.setattr(disassembler, "_read", bytearray(facts.BITMAP_SIZE))
    asked: list[int] = []
    real = disassembler._texts
    monkeypatch.setattr(disassembler, "_texts", lambda words: asked.extend(words) or real(words))
    for numbers in ([5, 6], [6, 7], [5, 7, BRANCH_NUMBER], [5, BRANCH_NUMBER]):
        disassembler.confirm_words(numbers)
    assert sorted(asked) == sorted(map(disassembler._word, (5, 6, 7, BRANCH_NUMBER)))


def test_a_wrong_instruction_needs_no_capstone(monkeypatch: pytest.MonkeyPatch) -> None:
    """That a stub is wrong does not depend on whether Capstone is there to say what it is instead."""
    code = bytearray(bytes(encode(array("Q", [0x1000]))))
    code[16:20] = bytes(4)
    monkeypatch.setitem(sys.modules, "capstone", None)
    with pytest.raises(VerificationRefusal, match="stub 0: instruction 4 is 0x00000000, not br x16"):
        decode(code)


def test_the_stack_note_must_be_what_it_is(tmp_path: Path) -> None:
    """A note that is executable gives the patch an executable stack."""
    content = bytearray(emit_elf([b"f"], array("Q", [4])).content)
    file = ElfFile(bytes(content), "stub.o")
    (note,) = (section for section in file.sections if section.name == ".note.GNU-stack")
    content[file.header.e_shoff + 64 * note.number + 8] |= 4  # SHF_EXECINSTR
    with pytest.raises(VerificationRefusal, match=r"\.note\.GNU-stack has another type, flags or alignment"):
        verify_object(bytes(content), "stub.o")


def test_the_command_shows_and_clears_the_facts(
    known: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is on somebody's disk is theirs to see and to remove; what is not the tool's stays."""
    others = [
        known.parent / name for name in ("notes.index", ".hidden", f".{facts.NAME}.old", "a.host", f"{facts.NAME}2")
    ]
    for path in others:
        path.write_text("mine")
    left_behind = known.with_name(f".{facts.NAME}.0123abcd")
    left_behind.write_bytes(b"half")
    monkeypatch.setenv(FOLDER_VARIABLE, str(known.parents[1]))
    assert main(["cache", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["facts"]
    assert told == {"name": facts.NAME, "bytes": facts.SIZE, "keystone_agrees": KEYSTONE is not None, "words": 2}
    assert main(["cache"]) == 0
    agrees = "agrees" if KEYSTONE else "has not been asked"
    assert f"Keystone {agrees}, Capstone has read 2 words" in capsys.readouterr().out
    assert main(["cache", "--clear"]) == 0
    assert "removed 0 indexes and the facts" in capsys.readouterr().out
    assert sorted(known.parent.iterdir()) == sorted(others)
