"""An edit of a variable that is taken back: the state is where the newest patch that has its own left it."""

from __future__ import annotations

from pathlib import Path

import pytest
from generations.program import SOURCES, Program
from live.live import LiveHost, stubgen
from tools import need, run

PRICE = 10


def object_of(program: Program, *edits: tuple[str, str], more: str = "", debug: str = "-g") -> Path:
    """The object of ``a.c``, edited."""
    source = SOURCES["a"] + more
    for old, new in edits:
        assert old in source
        source = source.replace(old, new)
    (program.folder / "a.c").write_text(source)
    options = ["-O1", debug, "-fPIC", "-ffunction-sections", "-fdata-sections", "-DP=0"]
    run([str(need("aarch64-linux-gnu-gcc")), "-c", *options, "a.c", "-o", "a.o"], cwd=program.folder)
    return program.folder / "a.o"


def counts(live: LiveHost) -> tuple[int, int, int]:
    """What ``count``, ``own`` and ``local`` are after one more step."""
    answer = int(live.tell("call 1")) - PRICE * 1000000
    return answer // 10000, answer // 100 % 100, answer % 100


def told(document: dict[str, object], name: str) -> dict[str, object]:
    """What a document says of the variable *name*."""
    assert document["status"] == 0, document
    (row,) = [row for row in document["duplicates"] if row["name"] == name]  # type: ignore[attr-defined]
    return row  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("number", "name", "old", "new"),
    [
        (1, "own", "static long own", "static short own"),
        (1, "own", "static long own", "static double own"),
        (0, "count", "long count", "int count"),
        (0, "count", "long count", "double count"),
        (2, "local", "__thread long local", "__thread int local"),
        (2, "local", "__thread long local", "long local"),
    ],
    ids=["size", "type", "size of a global", "type of a global", "size of a thread-local", "no thread-local"],
)
def test_another_form_and_back(program: Program, live: LiveHost, number: int, name: str, old: str, new: str) -> None:
    """The host's value from before the first patch came back, and the count of the patch between was gone, unsaid."""
    expected = [2, 2, 2]
    assert counts(live) == tuple(expected)
    loaded: list[str] = []
    for generation, form in enumerate((new, old, old, new), start=1):
        document = program.link(live, *loaded, object_of(program, (old, form)))
        if generation > 1:  # the first patch's is new to the host where it is no thread-local any more
            row = told(document, name)
            assert row["patch"] == str(program.folder / f"patch-{1 if generation == 2 else 2}.so")
            assert (row["forwarded"], not row["obstacle"]) == (generation == 3, generation == 3)
        loaded = ["--loaded", hex(program.apply(live, generation))]
        if generation != 3:
            expected[number] = 1
        for _ in range(2):
            expected = [value + 1 for value in expected]
            assert counts(live) == tuple(expected), generation


def test_a_patch_that_kept_nothing(program: Program, live: LiveHost) -> None:
    """The static variable of a patch without ``--keep-state`` is what its file counts in; the host's is older."""
    assert counts(live) == (2, 2, 2)
    words = ["--host", program.host, "--captured", program.captured, "--session", program.session]
    done = stubgen(
        *("link", *words, "--aslr-reference", hex(live.anchor), "--jump-table", program.folder / "1.json"),
        *("-o", program.folder / "patch-1.so", object_of(program)),
    )
    assert done.returncode == 0, done.stderr
    loaded = program.apply(live, 1)
    assert [counts(live), counts(live)] == [(2, 2, 3), (3, 3, 4)]
    document = program.link(live, "--loaded", hex(loaded), object_of(program, ("* 10 + P", "* 10")))
    assert told(document, "own")["patch"] == str(program.folder / "patch-1.so")
    assert told(document, "count")["patch"] is None, "the host's other files go on with theirs"
    assert told(document, "count")["lost"] == f"what {program.folder}/patch-1.so has in its own is lost"
    program.apply(live, 2)
    assert counts(live) == (3, 4, 5)


def test_another_name_and_back(program: Program, live: LiveHost) -> None:
    """What the process counted under the other name was given up for the host's older value, and nothing said so."""
    assert counts(live) == (2, 2, 2)
    document = program.link(live, object_of(program, ("own", "mine")))
    loaded = program.apply(live, 1)
    assert [counts(live), counts(live)] == [(3, 2, 3), (4, 3, 4)]
    document = program.link(live, "--loaded", hex(loaded), object_of(program))
    row = told(document, "own")
    assert row["forwarded"] is True
    assert row["lost"] == f"if it was called mine in {program.folder}/patch-1.so, what that has is lost"
    loaded = program.apply(live, 2)
    assert counts(live) == (5, 3, 5)
    document = program.link(live, "--loaded", hex(loaded), object_of(program))
    assert told(document, "own")["lost"] is None, "that was said, and nothing more was lost since"


def test_a_global_that_its_file_does_not_use(program: Program, live: LiveHost) -> None:
    """Nothing in the first patch's code tells that it kept it; its dead copy is nobody's state."""
    unused = ("count++, own++", "own++"), ("+ count * 10000", "")
    assert counts(live) == (2, 2, 2)
    document = program.link(live, object_of(program, *unused))
    assert told(document, "count")["patch"] is None
    loaded = program.apply(live, 1)
    assert counts(live) == (0, 3, 3)
    document = program.link(live, "--loaded", hex(loaded), object_of(program))
    assert told(document, "count")["patch"] is None
    assert told(document, "count")["lost"] is None
    program.apply(live, 2)
    assert counts(live) == (3, 4, 4)


def test_a_static_one_of_another_file(program: Program, live: LiveHost) -> None:
    """That of a new file of the first patch has the same name, and nothing else in common."""
    (program.folder / "new.c").write_text("static int own = 40; int new_one(void) { return own++; }")
    options = ["-O1", "-g", "-fPIC", "-ffunction-sections", "-fdata-sections"]
    run([str(need("aarch64-linux-gnu-gcc")), "-c", *options, "new.c", "-o", "new.o"], cwd=program.folder)
    assert counts(live) == (2, 2, 2)
    document = program.link(live, program.folder / "new.o", program.object("b", Q=1))
    assert document["status"] == 0, document
    loaded = program.apply(live, 1)
    row = told(program.link(live, "--loaded", hex(loaded), object_of(program)), "own")
    assert (row["forwarded"], row["patch"], row["lost"]) == (True, None, None)
    program.apply(live, 2)
    assert counts(live) == (3, 3, 3)


WITHOUT = ("static long own = 1; ", ""), ("own++, ", ""), (" + own * 100", "")


@pytest.mark.parametrize("debug", ["-g", "-g0"])
def test_deleted_and_back(program: Program, live: LiveHost, debug: str) -> None:
    """A variable that one patch had no more goes on with what the host counted before: that is to be known."""
    assert counts(live) == (2, 2, 2)
    program.link(live, object_of(program, *WITHOUT, debug=debug))
    loaded = program.apply(live, 1)
    assert counts(live) == (3, 0, 3)
    document = program.link(live, "--loaded", hex(loaded), object_of(program, debug=debug))
    row = told(document, "own")
    assert (row["forwarded"], row["lost"]) == (True, f"{program.folder}/patch-1.so is without it")
    loaded = program.apply(live, 2)
    assert counts(live) == (4, 3, 4)
    document = program.link(live, "--loaded", hex(loaded), object_of(program, debug=debug))
    assert told(document, "own")["lost"] is None, "that was said, and the last patch has it"


WITHOUT_GLOBAL = ("long count = 1; ", ""), ("count++, ", ""), (" + count * 10000", "")


@pytest.mark.parametrize("relink", [False, True], ids=["previous", "relinked"])
@pytest.mark.parametrize(("number", "name", "without"), [(0, "count", WITHOUT_GLOBAL), (1, "own", WITHOUT)])
def test_which_was_deleted_by_debug_information(
    program: Program, live: LiveHost, number: int, name: str, without: tuple[tuple[str, str], ...], relink: bool
) -> None:
    """A global one that its file does not use leaves no trace either; debug information tells the two apart."""
    options = ["--relink-earlier"] if relink else []
    expected = [2, 2, 2]
    assert counts(live) == tuple(expected)
    program.link(live, *options, object_of(program, *without))
    loaded = program.apply(live, 1)
    gone = [value + 1 for value in expected]
    gone[number] = 0
    assert counts(live) == tuple(gone)
    more = options or ["--loaded", hex(loaded)]
    row = told(program.link(live, *more, object_of(program)), name)
    assert (row["forwarded"], row["lost"]) == (True, f"{program.folder}/patch-1.so is without it")
    loaded = program.apply(live, 2)
    assert counts(live)[number] == expected[number] + 1
    more = options or ["--loaded", hex(loaded)]
    assert told(program.link(live, *more, object_of(program)), name)["lost"] is None, "that was said"


@pytest.mark.parametrize("relink", [False, True], ids=["previous", "relinked"])
def test_one_that_is_only_unused_is_not_deleted(program: Program, live: LiveHost, relink: bool) -> None:
    """The host's linker takes away what nobody uses, and a patch's does too: nothing is lost."""
    options = ["--relink-earlier"] if relink else []
    unused = ("count++, own++", "own++"), ("+ count * 10000", "")
    document = program.link(live, *options, object_of(program, *unused))
    assert document["status"] == 0, document
    loaded = program.apply(live, 1)
    more = options or ["--loaded", hex(loaded)]
    assert told(program.link(live, *more, object_of(program)), "count")["lost"] is None


def test_a_patch_of_another_file_is_without_nothing(program: Program, live: LiveHost) -> None:
    """Each patch but those of its file is without the variable, and so is one of a file that is called alike."""
    (program.folder / "more").mkdir()
    (program.folder / "more" / "a.c").write_text("int more(void) { return 1; }")
    words = ["-c", "-g", "-fPIC", program.folder / "more" / "a.c", "-o", program.folder / "more.o"]
    run([str(need("aarch64-linux-gnu-gcc")), *words])
    document = program.link(live, program.object("b", Q=1), program.folder / "more.o")
    assert document["status"] == 0, document
    loaded = program.apply(live, 1)
    row = told(program.link(live, "--loaded", hex(loaded), object_of(program)), "own")
    assert (row["forwarded"], row["lost"]) == (True, None)


@pytest.mark.parametrize(
    ("number", "name", "old", "new"), [(1, "own", "long own", "short own"), (0, "count", "long count", "int count")]
)
def test_each_patch_has_all_earlier_ones(
    program: Program, live: LiveHost, number: int, name: str, old: str, new: str
) -> None:
    """With ``--relink-earlier`` the host's older value came back, and nothing said so."""
    expected = [2, 2, 2]
    assert counts(live) == tuple(expected)
    for generation, form in enumerate((new, old, old), start=1):
        document = program.link(live, "--relink-earlier", object_of(program, (old, form)))
        row = told(document, name)
        lost = f"what {program.folder}/patch-1.so has in its own is lost" if generation == 2 else None
        assert (row["forwarded"], row["lost"]) == (generation > 1, lost)
        program.apply(live, generation)
        if generation == 1:
            before, expected[number] = expected[number], 1
        elif generation == 2:
            expected[number] = before
        expected = [value + 1 for value in expected]
        assert counts(live) == tuple(expected), generation
