"""Types that a file only declares: GCC and clang describe a class with virtual functions where its virtual table is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from live.test_whole_tables import Project
from resolve.test_same_file import Workshop
from tools import need, run

from stubgen.build import StubBuilder
from stubgen.session import Session

CLASS = """
struct Item {{ virtual long price(); {more} virtual long stock(); {fields} }};
struct Known {{ long a; }};
"""
UNIT = '#include "item.h"\nlong Item::price() {{ return tax + {edit}; }}\nKnown known;\n'
USER = '#include "item.h"\nItem *current; Known *other; long ask() {{ return current->stock() + other->a + {edit}; }}\n'
STOCK = '#include "item.h"\nlong Item::stock() { return tax; }\n'

EDITS = {
    "a field": ("", "long rate = 1, tax = 2;", "Item has 24 bytes, and in the host 16"),
    "a virtual function": (
        "virtual long h() { return 1; }",
        "long tax = 2;",
        "Item has other virtual functions than in the host",
    ),
}


def compilers() -> dict[str, list[str]]:
    """Those that leave a class's description out of most files."""
    return {
        "gcc": [str(need("aarch64-linux-gnu-g++"))],
        "clang": [str(need("clang-19")), "--target=aarch64-linux-gnu"],
    }


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("edit", EDITS)
def test_a_class_that_another_file_describes(
    edit: str, compiler: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pointer to the process's objects was kept: new code read behind their end, or called another function."""
    more, fields, told = EDITS[edit]
    header = tmp_path / "item.h"
    header.write_text(CLASS.format(more="", fields="long tax = 2;"))
    driver = [str(need("aarch64-linux-gnu-g++")), "-Wl,--export-dynamic-symbol=main"]
    project = Project(tmp_path, driver, ("-x", "c++", "-g", "-O1", "-fdata-sections"))
    project.compiling = [*compilers()[compiler], *project.compiling[1:]]
    user, stock = tmp_path / "user.c", tmp_path / "stock.c"
    user.write_text(USER.format(edit=1))
    stock.write_text(STOCK)
    run([*project.compiling, "user.c", "stock.c"], cwd=tmp_path)
    project._link = [*driver, "main.o", "unit.o", "user.o", "stock.o", "-o", "app"]
    project.build(UNIT.format(edit=1))
    user.write_text(USER.format(edit=2))
    run([*project.compiling, "user.c", "stock.c"], cwd=tmp_path)
    others = ("--keep-state", str(tmp_path / "user.o"), str(tmp_path / "stock.o"))
    same = project.patch(UNIT.format(edit=2), capsys, *others)
    assert {row["name"] for row in same["duplicates"] if row["forwarded"] and row["writable"]} >= {"current", "other"}
    assert not same["left_out"]
    header.write_text(CLASS.format(more=more, fields=fields))
    run([*project.compiling, "user.c", "stock.c"], cwd=tmp_path)
    document = project.patch(UNIT.format(edit=2), capsys, *others)
    obstacles = {row["name"]: row["obstacle"] for row in document["duplicates"]}
    assert told in obstacles["current"]
    assert not obstacles["other"]
    left_out = {row["name"]: row["reason"] for row in document["left_out"]}
    assert told in left_out["_ZN4Item5priceEv"]
    assert edit != "a field" or told in left_out["_ZN4Item5stockEv"]
    assert "_ZN4Item5stockEv" not in {row["name"] for row in document["jump_table"]}


HEAD = """
struct node; struct node *make(void); int use(struct node *);
static struct node *head;
int fb(int x) { if (!head) head = make(); return use(head) + EDIT; }
int fn(struct node *n) { return use(n) + EDIT; }
"""
MAKER = """
struct node { long v; long w; };
static struct node n;
struct node *make(void) { return &n; }
int use(struct node *p) { return p->v++; }
"""
OWN = """
struct node { int key; MORE };
static struct node last;
int fa(int x) { last.key += x; return last.key; }
"""
NO_NODE = "static int total; int fa(int x) { total += x; return total; }\n"


def project_of_c(folder: Path, compiler: str, sources: Mapping[str, str], debug: str = "-g") -> Project:
    """A program of HEAD and of *sources*."""
    driver = [str(need("aarch64-linux-gnu-gcc")), "-Wl,--export-dynamic-symbol=main"]
    own = {"gcc": driver[:1], "clang": [str(need("clang-19")), "--target=aarch64-linux-gnu"]}
    project = Project(folder, driver, (debug, "-O1", "-fdata-sections"))
    project.compiling = [*own[compiler], *project.compiling[1:]]
    for name, text in sources.items():
        (folder / name).write_text(text)
    run([*project.compiling, *sources], cwd=folder)
    objects = [str(Path(name).with_suffix(".o")) for name in sources]
    project._link = [*driver, "main.o", "unit.o", *objects, "-o", "app"]
    project.build(HEAD.replace("EDIT", "1"))
    return project


def patch_of_c(
    folder: Path, compiler: str, sources: dict[str, tuple[str, str]], capsys: pytest.CaptureFixture[str]
) -> dict[str, Any]:
    """The document of a patch of HEAD and of those *sources* that differ between the program and the edit."""
    project = project_of_c(folder, compiler, {name: before for name, (before, _) in sources.items()})
    edited = {name: after for name, (before, after) in sources.items() if after != before}
    for name, after in edited.items():
        (folder / name).write_text(after)
    run([*project.compiling, *edited], cwd=folder)
    others = [str(folder / Path(name).with_suffix(".o")) for name in edited]
    return project.patch(HEAD.replace("EDIT", "2"), capsys, "--keep-state", *others)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize(
    "own",
    [(NO_NODE, OWN.replace("MORE", "")), (OWN.replace("MORE", ""), OWN.replace("MORE", "int more;"))],
    ids=["new", "edited"],
)
def test_structures_of_one_name_in_files_of_c(
    own: tuple[str, str], compiler: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A list's head began afresh, and what walks the list was left out, for another file's ``struct node``."""
    document = patch_of_c(tmp_path, compiler, {"a.c": own, "c.c": (MAKER, MAKER)}, capsys)
    assert "head" in {row["name"] for row in document["duplicates"] if row["forwarded"]}
    assert not document["left_out"]
    assert {"fb", "fn"} <= {row["name"] for row in document["jump_table"]}


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_a_structure_of_c_that_files_share(compiler: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The head stayed, and new code walked old nodes: objects have it at one offset, and were taken for one another."""
    after = MAKER.replace("long w;", "long w, more;")
    other = "struct node { long v; long w; };\nlong peek(struct node *p) { return p->v; }\n"
    sources = {"a.c": (other, other.replace("long w;", "long w, more;")), "c.c": (MAKER, after)}
    document = patch_of_c(tmp_path, compiler, sources, capsys)
    told = "node has 24 bytes, and in the host 16"
    assert told in next(row["obstacle"] for row in document["duplicates"] if row["name"] == "head")
    assert {row["name"] for row in document["left_out"]} >= {"fn"}


NODE = "struct node { long v; long w; MORE };\n"
PRIVATE = "struct node { double x; };\nstatic struct node own = {1};\nint fx(int x) { own.x += x; return own.x; }\n"
OTHER = '#include "node.h"\nlong peek(struct node *p) { return p->v; }\n'
WITHOUT = "struct node; long peek(struct node *); int more(struct node *p) { return peek(p); }\n"
WITH = '#include "node.h"\nint more(struct node *p) { return p->w; }\n'
OF_A_HEADER = {
    # what the patch has before and after the edit, and what else the host has
    "described only now": ({"more.c": (WITHOUT, WITH)}, {"other.c": OTHER}),
    "another's of that name": ({"other.c": (OTHER, OTHER)}, {"private.c": PRIVATE}),
    "both": ({"more.c": (WITHOUT, WITH)}, {"other.c": OTHER, "private.c": PRIVATE}),
}


@pytest.mark.parametrize("version", ["-gdwarf-5", "-gdwarf-4", "-gdwarf-3"])
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("way", OF_A_HEADER)
def test_a_structure_of_c_that_is_of_one_header(
    way: str, compiler: str, version: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """New code walked old nodes: what a header has is one type, whoever else has one of that name."""
    edited, others = OF_A_HEADER[way]
    maker = MAKER.replace("struct node { long v; long w; };", '#include "node.h"')
    sources = {"c.c": maker, **others, **{name: before for name, (before, _) in edited.items()}}
    obstacles = []
    for more in ("", "long z;"):
        folder = tmp_path / (more or "same").strip("; ")
        folder.mkdir()
        header = folder / "node.h"
        header.write_text(NODE.replace("MORE", ""))
        project = project_of_c(folder, compiler, sources, version)
        header.write_text(NODE.replace("MORE", more))
        for name, (_, after) in edited.items():
            (folder / name).write_text(after)
        run([*project.compiling, *edited], cwd=folder)
        objects = [str(folder / Path(name).with_suffix(".o")) for name in edited]
        document = project.patch(HEAD.replace("EDIT", "2"), capsys, "--keep-state", *objects)
        obstacles.append(next(row["obstacle"] for row in document["duplicates"] if row["name"] == "head"))
    assert not obstacles[0], "nothing was edited"
    assert "node has 24 bytes, and in the host 16" in (obstacles[1] or "")


USES = """
struct node;
struct node *make(void);
int use(struct node *);
static struct node *head;
int enter(void) { if (!head) head = make(); return use(head); }
"""
DESCRIBES = """
struct node {{ long value; {more} }};
static struct node first;
struct node *make(void) {{ return &first; }}
int use(struct node *node) {{ return node->value++; }}
"""


def test_a_session_asks_each_patch_what_it_describes(tmp_path: Path) -> None:
    """The first patch had the type as it was; a later one that changed it was taken to be alike."""
    shop = Workshop(tmp_path)
    user, other = shop.compile("user.c", USES, "-g"), shop.compile("other.c", DESCRIBES.format(more=""), "-g")
    builder = StubBuilder(shop.link(user, other), session=Session())

    def kept() -> dict[str, bool]:
        judged = builder.judge([user, other], slide=0x10000, bind=True, keep_state=True)
        return {variable.name: variable.forwarded for variable in judged.shared_variables}

    assert kept()["head"]
    shop.compile("other.c", DESCRIBES.format(more="long more;"), "-g")
    assert not kept()["head"]


SHARED_NAMES = """
namespace a { struct Base { long x; }; }
namespace b { struct Base { long y; }; }
struct Both : a::Base, b::Base { long z; };
struct Plain { int k; };
struct Own : Plain { int Plain; };
template <class T> struct Mix { T value; };
struct Two : Mix<int>, Mix<long> { int q; };
Both both; Own own; Two two;
extern "C" int enter() { return both.z++ + own.k++ + two.q++; }
"""


@pytest.mark.parametrize("options", [["-g"], ["-gdwarf-2"], ["-g", "-gsimple-template-names"]], ids=" ".join)
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_parts_that_share_a_name(compiler: str, options: list[str], tmp_path: Path) -> None:
    """Base classes of two namespaces, or a member called like a base: a class was said to differ from itself."""
    if compiler == "gcc" and len(options) > 1:
        options = options[:1]
    shop = Workshop(tmp_path, compiler)
    patch = shop.compile("unit.cc", SHARED_NAMES, *options)
    program = shop.link(patch)
    judged = StubBuilder(program).judge([patch], slide=0x10000, bind=True, keep_state=True)
    assert {variable.name: variable.forwarded for variable in judged.shared_variables} == {
        "both": True, "own": True, "two": True,
    }  # fmt: skip
    moved = shop.compile("unit.cc", SHARED_NAMES.replace("long y", "double y"), *options, output="m.o")
    judged = StubBuilder(program).judge([moved], slide=0x10000, bind=True, keep_state=True)
    assert not {variable.name: variable.forwarded for variable in judged.shared_variables}["both"]
    swapped = shop.compile(
        "unit.cc", SHARED_NAMES.replace("a::Base, b::Base", "b::Base, a::Base"), *options, output="s.o"
    )
    judged = StubBuilder(program).judge([swapped], slide=0x10000, bind=True, keep_state=True)
    assert not {variable.name: variable.forwarded for variable in judged.shared_variables}["both"]


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_a_structure_of_c_that_moved_to_a_new_file(compiler: str, tmp_path: Path) -> None:
    """Its file is none of the host's, and its list's head was kept with another layout."""
    shop = Workshop(tmp_path, compiler)
    user, other = shop.compile("user.c", USES, "-g"), shop.compile("other.c", DESCRIBES.format(more=""), "-g")
    builder = StubBuilder(shop.link(user, other))
    moved = shop.compile("moved.c", DESCRIBES.format(more="long more;"), "-g")
    judged = builder.judge([user, moved], slide=0x10000, bind=True, keep_state=True)
    assert not {variable.name: variable.forwarded for variable in judged.shared_variables}["head"]
