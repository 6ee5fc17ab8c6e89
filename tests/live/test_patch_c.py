"""C and C++ programs that their own build systems built, patched in the living process by the names of edited files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from live.live import LiveHost, compiling, stubgen
from serve.serving import serving
from tools import PROGRAMS, SYSROOT, need, run

import stubgen as stubgen_library
from stubgen.compileplan.units import Unit

GCC, GXX = "aarch64-linux-gnu-gcc", "aarch64-linux-gnu-g++"


class Project:
    """A copy of a project, built with every compile and link recorded."""

    def __init__(self, folder: Path, sources: str) -> None:
        self.folder = folder
        self.captured = folder / "captured"
        shutil.copytree(PROGRAMS / sources, folder, dirs_exist_ok=True)
        shutil.copy(PROGRAMS / "table_runtime.c", folder)
        self.environment = {**os.environ, "STUBGEN_CAPTURE_DIR": str(self.captured)}
        self.host = folder / "host"
        self.databases: list[Path] = []

    def run(self, *command: str | Path) -> None:
        """Run one command of the build."""
        run(command, cwd=self.folder, env=self.environment)

    def edit(self, file: str, before: str, after: str) -> Path:
        """Change *file* in place."""
        path = self.folder / file
        assert before in path.read_text()
        path.write_text(path.read_text().replace(before, after))
        return path

    def patch(self, anchor: int, name: str, *changed: Path, options: Sequence[object] = ()) -> dict[str, object]:
        """Link a patch with its jump table; the command's JSON document."""
        words = [word for path in changed for word in ("--changed", path)]
        words += [word for path in self.databases for word in ("--compile-commands", path)]
        done = stubgen(
            *("patch", "--json", "--captured", self.captured, "--host", self.host, "--aslr-reference", hex(anchor)),
            *("--keep-state", "--jump-table", self.folder / f"{name}.json", *words, *options),
            *("-o", self.folder / f"{name}.so"),
        )
        document: dict[str, object] = json.loads(done.stdout)
        return document

    def apply(self, live: LiveHost, name: str, *changed: Path) -> list[str]:
        """Patch the living process; the names of what was compiled."""
        document = self.patch(live.anchor, name, *changed)
        assert document["status"] == 0, document
        assert live.tell(f"apply {self.folder / f'{name}.json'}") == "applied"
        return [unit["name"] for unit in document["recompiled"]]  # type: ignore[attr-defined]


FLAGS = "-O1 -g -fpie -fdata-sections -MMD"


def with_make(folder: Path, flags: str = FLAGS) -> Project:
    """Plain make: the compiler's launcher compiles and links."""
    need("make")
    project = Project(folder, "patched_c")
    archiver = str(need("aarch64-linux-gnu-ar"))
    project.run("make", f"CC={compiling(folder)} {need(GCC)}", f"AR={archiver}", f"CFLAGS={flags}")
    return project


def with_make_and_lto(folder: Path) -> Project:
    """Link-time optimisation, for which objects hold no code, and no dependency files."""
    return with_make(folder, "-O1 -g -fpie -fdata-sections -flto -save-temps=obj")


def with_compile_commands(folder: Path) -> Project:
    """Clang writes a compilation database as it compiles; only the link is recorded."""
    project = Project(folder, "patched_c")
    clang, pieces = str(need("clang-19")), []
    for name in ("table_runtime", "step", "price"):
        target = ["--target=aarch64-linux-gnu", f"--sysroot={SYSROOT}", "-isystem", f"{SYSROOT}/include"]
        options = ["-O1", "-g", "-fno-pic", "-fdata-sections", "-MJ", f"{name}.json"]
        project.run(clang, *target, *options, "-c", f"{name}.c", "-o", f"{name}.o")
        pieces.append((folder / f"{name}.json").read_text())
    database = folder / "compile_commands.json"
    database.write_text("[" + "".join(pieces).rstrip().rstrip(",") + "]")
    objects = ["table_runtime.o", "step.o", "price.o"]
    options = ["-no-pie", "-Wl,--export-dynamic-symbol=main"]
    project.run(*compiling(folder).split(), str(need(GCC)), *options, *objects, "-o", "host")
    project.databases = [database]
    return project


C_BUILDS: dict[str, Callable[[Path], Project]] = {
    "make": with_make,
    "make and LTO": with_make_and_lto,
    "compile_commands": with_compile_commands,
}


@pytest.mark.parametrize("build", C_BUILDS.values(), ids=list(C_BUILDS))
def test_an_edited_c_program_runs_on_with_the_edit(build: Callable[[Path], Project], tmp_path: Path) -> None:
    """Whoever edits a file names that file: which commands compiled it, and how, is the tool's to know."""
    project = build(tmp_path)
    with LiveHost(project.host) as live:
        assert live.tell("call 1") == "1102"
        edited = project.edit("price.c", "+ 100", "+ 200")
        assert project.apply(live, "one", edited) == ["price.c"]
        assert live.tell("call 1") == "2202"  # the counter went on
        header = project.edit("rates.h", "? 2 : 3", "? 20 : 3")
        assert sorted(project.apply(live, "two", header)) == ["price.c", "step.c"]
        assert live.tell("call 1") == "3220"
        live.end()
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith((".", "stubgen"))]


@pytest.mark.parametrize("build", C_BUILDS.values(), ids=list(C_BUILDS))
def test_what_changed_need_not_be_named(build: Callable[[Path], Project], tmp_path: Path) -> None:
    """Whoever saves a dozen files does not list them: those that are newer than what they were compiled into count."""
    project = build(tmp_path)
    project.edit("rates.h", "? 2 : 3", "? 20 : 3")
    document = project.patch(0x5500000000, "one", options=["--objects", tmp_path / "kept"])
    assert sorted(path.name for path in tmp_path.glob("kept/*")) == []  # the anchor is wrong, so nothing is kept
    with LiveHost(project.host) as live:
        document = project.patch(live.anchor, "zero")
        assert "stubgen-objects" not in json.dumps(document), "a name that nobody finds any more is told"
        assert {name for unit in document["recompiled"] for name in unit["objects"]} == {"price.o", "step.o"}  # type: ignore[attr-defined]
        document = project.patch(live.anchor, "one", options=["--objects", tmp_path / "kept"])
        assert sorted(unit["name"] for unit in document["recompiled"]) == ["price.c", "step.c"]  # type: ignore[attr-defined]
    assert sorted(path.name for path in tmp_path.glob("kept/*")) == ["price.o", "step.o"]


def rebuild(project: Project, source: str) -> None:
    """Compile *source* again as the build did, and link nothing."""
    for database in project.databases:
        for entry in json.loads(database.read_text()):
            if entry["file"] == source:
                project.run(*entry["arguments"])
    if not project.databases:
        make(project, f"{Path(source).stem}.o")


def make(project: Project, *targets: str) -> None:
    """Run make with the launcher in front of the compiler."""
    archiver = str(need("aarch64-linux-gnu-ar"))
    project.run("make", f"CC={compiling(project.folder)} {need(GCC)}", f"AR={archiver}", f"CFLAGS={FLAGS}", *targets)


@pytest.mark.parametrize("build", [with_make, with_compile_commands])
def test_what_was_compiled_again_and_not_linked_is_no_less_edited(
    build: Callable[[Path], Project], tmp_path: Path
) -> None:
    """A build fails over one of two edited files: the other, newer than nothing any more, was left out in silence."""
    project = build(tmp_path)
    with LiveHost(project.host) as live:
        assert live.tell("call 1") == "1102"
        project.edit("price.c", "+ 100", "+ 200")
        rebuild(project, "price.c")
        project.edit("step.c", "1000 * taken", "1000 * ")
        with pytest.raises(AssertionError):
            rebuild(project, "step.c")
        project.edit("step.c", "1000 * ", "5000 * taken")
        assert sorted(project.apply(live, "one")) == ["price.c", "step.c"]
        assert live.tell("call 1") == "10202"
        live.end()


def put_back(path: Path) -> None:
    """Save *path* with an edit, and once more without."""
    before = path.read_bytes()
    path.write_bytes(before + b"\n#define FOR_A_MOMENT 1\n")
    path.write_bytes(before)


def test_a_file_that_was_put_back_did_not_change(tmp_path: Path) -> None:
    """An edit that was undone, and another branch looked at: all files that include the header were in the patch."""
    project = with_make(tmp_path)
    with LiveHost(project.host) as live:
        put_back(tmp_path / "rates.h")
        document = project.patch(live.anchor, "none")
        assert "nothing that host was compiled from has changed since" in document["error"]["message"]  # type: ignore[index]
        source = project.edit("price.c", "+ 100", "+ 200")
        for changed in ((), (source,)):
            document = project.patch(live.anchor, "one", *changed)
            assert [unit["name"] for unit in document["recompiled"]] == ["price.c"]  # type: ignore[attr-defined]
            assert document["notes"] == []
        named = project.patch(live.anchor, "two", tmp_path / "rates.h")
        assert len(named["recompiled"]) == 2, "who names it has it compiled"  # type: ignore[arg-type]
        project.edit("rates.h", "? 2 : 3", "? 20 : 3")
        assert sorted(project.apply(live, "three")) == ["price.c", "step.c"]
        live.end()


def bring(path: Path, content: bytes, way: str) -> None:
    """Have *content* at *path*, with the time that the file there has."""
    status = path.stat()
    other = path.with_name(f"{path.name}.other")
    other.write_bytes(content)
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    if way == "mv":
        other.replace(path)
    else:
        shutil.copy2(other, path)


@pytest.mark.parametrize("file", ["price.c", "rates.h"])
@pytest.mark.parametrize("way", ["mv", "cp -p"])
def test_an_edit_with_an_old_time_is_one(tmp_path: Path, way: str, file: str) -> None:
    """What ``tar`` and ``rsync -t`` bring has the time of its writing: a patch of other files was without it."""
    project = with_make(tmp_path)
    edits = {"price.c": (b"+ 100", b"+ 200", "10202"), "rates.h": (b"? 2 : 3", b"? 20 : 3", "10120")}
    before, after, answer = edits[file]
    with LiveHost(project.host) as live:
        assert live.tell("call 1") == "1102"
        bring(tmp_path / file, (tmp_path / file).read_bytes().replace(before, after), way)
        project.edit("step.c", "1000 * taken", "5000 * taken")
        assert sorted(project.apply(live, "one")) == ["price.c", "step.c"]
        assert live.tell("call 1") == answer
        live.end()


def test_what_was_in_a_header_of_which_the_build_left_no_list_is_not_known(tmp_path: Path) -> None:
    """Then its time counts; of the source itself it is known."""
    project = with_make(tmp_path, FLAGS.replace(" -MMD", ""))
    with LiveHost(project.host) as live:
        put_back(tmp_path / "price.c")
        document = project.patch(live.anchor, "one")
        assert "has changed since" in document["error"]["message"]  # type: ignore[index]
        put_back(tmp_path / "rates.h")
        assert sorted(project.apply(live, "two")) == ["price.c", "step.c"]
        live.end()


def test_a_later_compile_tells_nothing_of_what_the_host_was_made_of(tmp_path: Path) -> None:
    """A build compiled the edit, and then failed: its record has the digest of what the host lacks."""
    project = with_make(tmp_path)
    with LiveHost(project.host) as live:
        project.edit("price.c", "+ 100", "+ 200")
        rebuild(project, "price.c")
        put_back(tmp_path / "price.c")
        assert project.apply(live, "one") == ["price.c"]
        live.end()


def moved(folder: Path, way: str) -> Project:
    """The program, its ``step.o`` made in another folder and brought from there to ``step.lo`` in some *way*."""
    project = Project(folder, "patched_c")
    compiler = [*compiling(folder).split(), str(need(GCC))]
    (folder / "objs").mkdir()
    for name, output in (("table_runtime", "table_runtime.o"), ("price", "price.o"), ("step", "objs/step.o")):
        project.run(*compiler, *FLAGS.split(), "-c", f"{name}.c", "-o", output)
    project.run(*way.split(), "objs/step.o", "step.lo")
    options = ["-pie", "-Wl,--export-dynamic-symbol=main"]
    project.run(*compiler, *options, "table_runtime.o", "step.lo", "price.o", "-o", "host")
    return project


def test_an_object_that_the_build_moved_is_found(tmp_path: Path) -> None:
    """Of zlib's shared library each file's patch was refused: its link names none of the compiles' outputs."""
    project = moved(tmp_path, "mv")
    with LiveHost(project.host) as live:
        assert live.tell("call 1") == "1102"
        edited = project.edit("step.c", "1000 * taken", "5000 * taken")
        for changed in ((edited,), ()):
            assert project.apply(live, f"patch{len(changed)}", *changed) == ["step.c"]
        assert live.tell("call 1") == "10102"
        project.edit("rates.h", "? 2 : 3", "? 20 : 3")
        document = project.patch(live.anchor, "header")
        assert {name for unit in document["recompiled"] for name in unit["objects"]} == {"price.o", "step.o"}  # type: ignore[attr-defined]
        assert document["notes"] == []
        live.end()


def test_a_copy_is_another_file(tmp_path: Path) -> None:
    """Nothing is guessed: another file's object may lie there."""
    project = moved(tmp_path, "cp")
    edited = project.edit("step.c", "1000 * taken", "5000 * taken")
    document = project.patch(0x5500000000, "one", edited)
    assert "objs/step.o, which the link of host does not name" in document["error"]["message"]  # type: ignore[index]


@pytest.mark.parametrize("record", ["*.compile.json", "*.link.json"])
def test_records_of_earlier_versions_are_read(record: str, tmp_path: Path) -> None:
    """They have nothing that tells a file from others, nor what was in it: times and names count, as ever."""
    project = moved(tmp_path, "mv")
    for path in project.captured.glob(record):
        document = {key: value for key, value in json.loads(path.read_text()).items() if key not in NEW_IN_RECORDS}
        path.write_text(json.dumps(document))
    edited = project.edit("step.c", "1000 * taken", "5000 * taken")
    document = project.patch(0x5500000000, "one", edited)
    assert "objs/step.o, which the link of host does not name" in document["error"]["message"]  # type: ignore[index]
    with LiveHost(project.host) as live:
        assert project.apply(live, "two", project.edit("price.c", "+ 100", "+ 200")) == ["price.c"]
        live.end()


NEW_IN_RECORDS = ("made", "read", "inputs")


def test_a_member_that_the_host_did_not_take_is_left_out(tmp_path: Path) -> None:
    """Nothing calls it, and it calls what this program has not: every edit of a header that it includes was refused."""
    need("make")
    project = Project(tmp_path, "patched_c")
    (tmp_path / "spare.c").write_text(
        '#include "rates.h"\nint absent(int);\nint spare(int n) { return absent(rate(n)); }\n'
    )
    make(project, "libprice.a", "spare.o")
    project.run(need("aarch64-linux-gnu-ar"), "rc", "libprice.a", "spare.o")
    make(project)
    with LiveHost(project.host) as live:
        assert live.tell("call 1") == "1102"
        header = project.edit("rates.h", "? 2 : 3", "? 20 : 3")
        output = tmp_path / "objects"
        done = stubgen("recompile", "--captured", project.captured, "--output-name", "host", "-o", output, header)
        assert done.returncode == 0
        assert "note: spare.c: not compiled again" in done.stderr
        assert sorted(path.name for path in output.iterdir()) == ["price.o", "step.o"]
        for number, changed in enumerate(((), (header,))):
            document = project.patch(live.anchor, f"{number}", *changed)
            assert document["status"] == 0, document
            assert sorted(unit["name"] for unit in document["recompiled"]) == ["price.c", "step.c"]  # type: ignore[attr-defined]
            assert [note for note in document["notes"] if "spare.c: not compiled again" in note]  # type: ignore[attr-defined]
        assert live.tell(f"apply {tmp_path / '1.json'}") == "applied"
        assert live.tell("call 1") == "2120"
        live.end()


@pytest.mark.parametrize("named", [True, False])
def test_a_member_that_the_patch_begins_to_need_is_not_taken_as_it_was(tmp_path: Path, named: bool) -> None:
    """It is in an archive of the host's link, compiled with the old header: the patch got it so, or was refused."""
    need("make")
    project = Project(tmp_path, "patched_c")
    (tmp_path / "spare.c").write_text('#include "rates.h"\nint spare(int n) { return rate(n); }\n')
    make(project, "libprice.a", "spare.o")
    project.run(need("aarch64-linux-gnu-ar"), "rc", "libprice.a", "spare.o")
    make(project)
    with LiveHost(project.host) as live:
        assert live.tell("call 1") == "1102"
        changed = [project.edit("rates.h", "int price(int n);", "int price(int n);\nint spare(int n);")]
        changed += [project.edit("rates.h", "? 2 : 3", "? 20 : 3"), project.edit("price.c", "+ 100", "+ spare(n)")]
        assert "spare.c" in project.apply(live, "one", *(changed if named else ()))
        assert live.tell("call 1") == "2040"
        live.end()


def test_objects_whose_compile_nobody_recorded_are_named(tmp_path: Path) -> None:
    """Recording began when some objects were there: an edited header is in them as it was, and nothing said so."""
    need("make")
    project = Project(tmp_path, "patched_c")
    project.run("make", f"CC={need(GCC)}", f"CFLAGS={FLAGS}", "step.o", "table_runtime.o")
    make(project)
    header = project.edit("rates.h", "? 2 : 3", "? 20 : 3")
    with LiveHost(project.host) as live:
        for number, changed in enumerate(((), (header,))):
            document = project.patch(live.anchor, f"{number}", *changed)
            assert [unit["name"] for unit in document["recompiled"]] == ["price.c"], document  # type: ignore[attr-defined]
            (note,) = document["notes"]  # type: ignore[misc]
            assert note.startswith("step.o, table_runtime.o: in the link of host without a record of a compile")
        source = project.edit("price.c", "+ 100", "+ 200")
        assert project.patch(live.anchor, "2", source)["notes"] == []
        live.end()


@pytest.mark.parametrize("flags", [FLAGS, FLAGS.replace(" -MMD", "")], ids=["-MMD", "no dependency files"])
def test_a_header_that_others_read_as_it_was_is_named(flags: str, tmp_path: Path) -> None:
    """An editor names the file that is saved: a parameter was added in the header too, and the caller passes none."""
    project = with_make(tmp_path, flags)
    with LiveHost(project.host) as live:
        header = project.edit("rates.h", "int price(int n);", "int price(int n, const int *more);")
        source = project.edit(
            "price.c", "int price(int n) { return tax(n)", "int price(int n, const int *more) { return tax(n) + *more"
        )
        (note,) = project.patch(live.anchor, "one", source)["notes"]  # type: ignore[misc]
        assert note.startswith("rates.h: changed since step.o was compiled, and not in this patch")
        project.edit("step.c", "price))(n)", "price))(n, &taken)")
        project.edit("step.c", "(int (*)(int))", "(int (*)(int, const int *))")
        for changed in ((), (header, source)):
            assert project.patch(live.anchor, "two", *changed)["notes"] == []
        live.end()


def test_only_a_newer_header_makes_the_compiler_be_asked_about_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A save of one file would else run the preprocessor over the whole program."""
    project = with_make(tmp_path, FLAGS.replace(" -MMD", ""))
    asked: list[str] = []
    present = Unit.present_dependencies
    monkeypatch.setattr(Unit, "present_dependencies", lambda unit: (asked.append(unit.name), present(unit))[1])

    def notes(edited: Path) -> tuple[str, ...]:
        asked.clear()
        return stubgen_library.recompile(project.captured, tmp_path / "objects", [edited], output_name="host").notes

    source = project.edit("price.c", "+ 100", "+ 200")
    assert (notes(source), asked) == ((), ["price.c"])
    project.edit("rates.h", "? 2 : 3", "? 20 : 3")
    (note,) = notes(source)
    assert note.startswith("rates.h: changed since step.o was compiled, and not in this patch")
    assert sorted(asked) == ["price.c", "step.c", "table_runtime.c"]
    project.edit("step.c", '#include "rates.h"', "#error unfinished")
    (note,) = notes(source)
    assert note.startswith("rates.h: changed since step.o was compiled, and the compiler does not say whether that")


def test_a_file_that_the_build_did_not_know(tmp_path: Path) -> None:
    """A header is added, and included by a file that is edited: both are named, or an editor names both."""
    project = with_make(tmp_path)
    header = tmp_path / "extra.h"
    header.write_text("#define EXTRA 300\n")
    edited = project.edit("price.c", '#include "rates.h"', '#include "rates.h"\n#include "extra.h"')
    project.edit("price.c", "+ 100", "+ EXTRA")
    with LiveHost(project.host) as live:
        assert live.tell("call 1") == "1102"
        assert project.apply(live, "one", header, edited) == ["price.c"]
        assert live.tell("call 1") == "2302"
        live.end()


def test_compiling_is_a_phase(tmp_path: Path) -> None:
    """Most of a patch's time is the compiler's: who looks for it would else find it where the command starts."""
    project = with_make(tmp_path)
    edited = project.edit("price.c", "+ 100", "+ 200")
    words = ["--captured", project.captured, "-o", tmp_path / "objects", edited]
    done = stubgen("recompile", "--verbose", *words)
    phases = [line.partition(" ms  ")[2] for line in done.stderr.splitlines()]
    assert phases[:3] == ["starts", "looks up how the host was compiled", "compiles price.c"]


def test_one_python_call_does_all(tmp_path: Path) -> None:
    """A hot-reload tool in Python starts no command, and gets the compilers' words as an exception."""
    project = with_make(tmp_path)
    project.edit("price.c", "+ 100", "+ 200")
    with LiveHost(project.host) as live:
        builder = stubgen_library.StubBuilder(project.host)
        patched = stubgen_library.patch(
            *(builder, project.captured, [tmp_path / "price.c"], tmp_path / "one.so", live.anchor),
            objects_dir=tmp_path / "objects",
            jump_table=stubgen_library.TableOptions(),
            keep_state=True,
        )
        assert patched.recompiled.objects == [str(tmp_path / "objects" / "price.o")]
        assert patched.linked.jump_table is not None
        table = stubgen_library.encode_jump_table(patched.linked.jump_table, "subsecond", None)
        (tmp_path / "one.json").write_bytes(table)
        assert live.tell(f"apply {tmp_path / 'one.json'}") == "applied"
        assert live.tell("call 1") == "1202"
        live.end()
    project.edit("price.c", "+ 200", "+ two")
    with pytest.raises(stubgen_library.CompilerFailed, match=r"price\.c:3:") as raised:
        stubgen_library.patch(builder, project.captured, [tmp_path / "price.c"], tmp_path / "two.so", live.anchor)
    assert raised.value.status == 1
    assert not (tmp_path / "two.so").exists()


def test_a_server_patches_and_tells_a_compilers_failure(tmp_path: Path) -> None:
    """Builders in other languages ask for the same; what the compiler said is in the error that they show."""
    project = with_make(tmp_path)
    known = {"captured": str(project.captured), "host": str(project.host), "output": str(tmp_path / "one.so")}
    with serving() as talk, LiveHost(project.host) as live:
        changed = [str(project.edit("price.c", "+ 100", "+ 200"))]
        asked = {**known, "changed": changed, "aslr_reference": live.anchor, "objects": str(tmp_path / "kept")}
        answer = talk.ask(1, "patch", **asked)["result"]
        assert [unit["objects"] for unit in answer["recompiled"]] == [[str(tmp_path / "kept" / "price.o")]]
        assert (tmp_path / "one.so").exists()
        answer = talk.ask(2, "recompile", captured=known["captured"], output=str(tmp_path / "made"), sources=changed)
        assert answer["result"]["objects"] == [str(tmp_path / "made" / "price.o")]
        project.edit("price.c", "+ 200", "+ two")
        error = talk.ask(3, "patch", **asked)["error"]
        assert (error["code"], error["data"]["kind"]) == (-32004, "CompilerFailed")
        assert "price.c:3:" in error["message"]


def test_a_file_that_does_not_compile_shows_the_compilers_words(tmp_path: Path) -> None:
    """A typo while hot-reloading is the compiler's to explain, and leaves the last patch as it is."""
    project = with_make(tmp_path)
    (tmp_path / "one.so").write_text("the last one")
    document = project.patch(0x5500000000, "one", project.edit("price.c", "+ 100", "+ hundred"))
    assert (document["status"], document["error"]["kind"]) == (4, "CompilerFailed")  # type: ignore[index]
    message = document["error"]["message"]  # type: ignore[index]
    assert "price.c:3:" in message
    assert "hundred" in message
    assert (tmp_path / "one.so").read_text() == "the last one"
    assert not (tmp_path / "one.json").exists()


def test_a_source_that_is_gone_is_named(tmp_path: Path) -> None:
    """GCC, asked what a file reads, says nothing of one that is not there, and ends with an error."""
    project = with_make(tmp_path, "-O1 -g -fpie")
    (tmp_path / "price.c").unlink()
    document = project.patch(0x5500000000, "one")
    assert document["status"] == 4
    assert str(document["error"]["message"]).endswith(f"\n{tmp_path / 'price.c'}: no such file")  # type: ignore[index]


def test_a_file_of_another_program_is_refused(tmp_path: Path) -> None:
    """Its functions are none of the host's: a patch of them links, and nothing in the process changes."""
    project = with_make(tmp_path)
    project.run("cp", "price.c", "other.c")
    project.run(*compiling(tmp_path).split(), str(need(GCC)), "-c", "other.c", "-o", "other.o")
    (tmp_path / "unknown.c").write_text("")
    document = project.patch(0x5500000000, "one", tmp_path / "other.c")
    assert document["status"] == 2
    message = document["error"]["message"]  # type: ignore[index]
    assert "other.o, which the link of host does not name" in message
    assert "give link the one that recompile makes" in message  # the build may have moved it
    document = project.patch(0x5500000000, "one", tmp_path / "unknown.c")
    assert "unknown.c: no recorded compile reads it" in document["error"]["message"]  # type: ignore[index]
    document = project.patch(0x5500000000, "one", tmp_path / "none.c")
    assert "none.c: no such file" in document["error"]["message"]  # type: ignore[index]


def test_recompile_leaves_objects_for_link(tmp_path: Path) -> None:
    """Builders that link by themselves take the objects; of a compile for another program none is made."""
    project = with_make(tmp_path)
    output = tmp_path / "objects"
    done = stubgen(
        *("recompile", "--captured", project.captured, "--output-name", "host", "-o", output, tmp_path / "rates.h")
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in output.iterdir()) == ["price.o", "step.o"]
    text = run([str(need("llvm-readobj-19")), "--relocations", output / "step.o"])
    assert "R_AARCH64_ADR_GOT_PAGE" in text, "it was not compiled with -fPIC"


@pytest.fixture(scope="module")
def cmake_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A C++ program that CMake and ninja built, with the launcher in front of each compile and link."""
    folder = tmp_path_factory.mktemp("cmake")
    need("cmake", "ninja")
    project = Project(folder, "patched_cc")
    launcher = compiling(folder)
    kinds = [f"-DCMAKE_{language}_COMPILER_LAUNCHER={launcher}" for language in ("C", "CXX")]
    kinds += [f"-DCMAKE_{language}_LINKER_LAUNCHER={launcher}" for language in ("C", "CXX")]
    kinds += [f"-DCMAKE_C_COMPILER={need(GCC)}", f"-DCMAKE_CXX_COMPILER={need(GXX)}", "-DCMAKE_SYSTEM_NAME=Linux"]
    flags = "-O1 -g -fdata-sections"
    project.run("cmake", "-G", "Ninja", "-B", "build", f"-DCMAKE_CXX_FLAGS={flags}", f"-DCMAKE_C_FLAGS={flags}", *kinds)
    project.run("cmake", "--build", "build")
    project.host = folder / "build" / "host"
    return project


def test_a_cmake_project_is_patched_by_the_names_of_its_files(cmake_project: Project) -> None:
    """Ninja removes dependency files, the header is precompiled, and another program compiles the same source."""
    project = cmake_project
    with LiveHost(project.host) as live:
        assert live.tell("call 1") == "1102"
        assert project.apply(live, "one", project.edit("price.cc", "+ 100", "+ 200")) == [
            str(project.folder / "price.cc")
        ]
        assert live.tell("call 1") == "2202"
        names = project.apply(live, "two", project.edit("rates.hh", "? Low :", "? 10 * Low :"))
        assert sorted(map(os.path.basename, names)) == ["price.cc", "step.cc"]
        assert live.tell("call 1") == "3220"
        live.end()


def test_the_trials_of_a_build_system_leave_no_record(cmake_project: Project) -> None:
    """CMake compiles a dozen files of its own to learn about the compiler; they would bury the project's."""
    names = {path.name.partition(".")[0] for path in cmake_project.captured.glob("*.compile.json")}
    assert names == {"cmake_pch", "price", "step", "table_runtime", "unused"}


def test_a_folder_of_records_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A misspelt folder was answered with what is to be done where nothing was recorded, of another folder."""
    for more in ((), ("--output-name", "host")):
        done = stubgen("recompile", "--captured", tmp_path / "absent", *more, "-o", tmp_path / "objects", "price.c")
        assert done.returncode == 3
        assert f"{tmp_path / 'absent'}: no such folder; nothing was captured there" in done.stderr


def test_the_launcher_is_the_compiler(tmp_path: Path) -> None:
    """A build must not notice: same output, same status, same messages, whatever becomes of the record."""
    (tmp_path / "x.c").write_text("int x = y;\n")
    (tmp_path / "file").write_text("")
    command = [str(need(GCC)), "-c", "x.c", "-o", "x.o"]
    plain = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    for folder in ("captured", "file/below"):
        environment = {**os.environ, "STUBGEN_CAPTURE_DIR": str(tmp_path / folder)}
        done = subprocess.run(
            [*compiling(tmp_path).split(), *command], cwd=tmp_path, capture_output=True, check=False, env=environment
        )
        assert (done.returncode, done.stdout) == (plain.returncode, plain.stdout)
        assert plain.stderr in done.stderr
        assert (b"this compile is not recorded" in done.stderr) == (folder != "captured")
    assert len(list((tmp_path / "captured").iterdir())) == 1
