"""The published JSON schemas: what commands print and write is what they say, no key less and none more."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from synthetic import macho_host, macho_object, put
from walkthrough import Walkthrough, reader

from stubgen.commands import COMMANDS
from stubgen.jumptable.formats import DOCUMENTS

DOCS = Path(__file__).parent.parent / "docs"
SCHEMAS = {
    path.name.removesuffix(".schema.json"): json.loads(path.read_text()) for path in (DOCS / "schemas").iterdir()
}

LINK = "link --host shop --captured captured --aslr-reference 0x5500000acc --export checkout --keep-state"
TOLD = "--report report.json --map map.json --override-map override.json"
PATCHED = "--report p.json --map pm.json --override-map po.json --jump-table pt.json --table-format pairs"
LOADED = """$(readelf -sW s1.so | awk '$8 == "main" {print "0x5501000" substr($2, 14); exit}')"""
CALLS = {
    "link": f"{LINK} {TOLD} --reach --jump-table subsecond.json --stub stub.o -o one.so checkout.o",
    "link of a second patch": f"{LINK} --previous one.so@0x5501000000 -o two.so checkout.o",
    "link in a session": f"{LINK} --session session.json -o s1.so checkout.o",
    "session": "session session.json",
    "session of a loaded patch": f"session session.json loaded {LOADED}",
    "session that leads back": "session session.json undo -o undo.so --jump-table undo.json",
    "link without a record": f"{LINK} --output-name other -o none.so checkout.o",
    "build": "build --host shop --slide 0x5500000000 --bound-dir bound --report built.json -o b.o checkout.o",
    "build that is refused": "build --host shop --slide 0x5500000000 -o c.o typo.o",
    "build for Mach-O": "build --host macho --slide 0x4000 -o d.o macho.o",
    "plan": "plan --captured captured --host shop --object checkout.o -o three.so",
    "recompile": "recompile --captured captured -o objects checkout.c",
    "patch": f"{LINK.replace('link', 'patch', 1)} {PATCHED} --changed checkout.c -o four.so",
    "patch with a page": f"{LINK.replace('link', 'patch', 1)} --report page.html --changed checkout.c -o six.so",
    "patch of a file that is wrong": f"{LINK.replace('link', 'patch', 1)} --changed wrong.c -o five.so",
    "jumptable": "jumptable --host shop --object checkout.o --stub stub.o -o pairs.json --table-format pairs one.so",
    "jumptable for Whisker": "jumptable --host shop --object checkout.o -o whisker.json --table-format whisker one.so",
    "jumptable for Dioxus": "jumptable --host shop --object checkout.o -o dev.json --table-format devserver one.so",
    "reach": "reach --host shop checkout add_tax",
    "check": "check --host shop --map checked.json one.so",
    "check of another slide": "check --host shop --slide 0x7000000000 one.so",
    "explain": "explain add_tax --host shop --captured captured --slide 0x5500000000 checkout.o",
    "explain of a variable": "explain orders --host shop checkout.o",
    "explain of what is missing": "explain add_taxes --host shop typo.o",
    "explain of nothing": "explain nobody --host shop checkout.o",
    "inspect": "inspect one.so",
    "inspect of a host": "inspect shop",
    "inspect of an archive": "inspect lib.a",
    "inspect of several files": "inspect checkout.o lib.a macho.o",
    "inspect of nothing": "inspect --symbol nobody shop",
    "verify": "verify stub.o",
    "verify of a host": "verify shop",
    "capture": "capture --dir again -- aarch64-linux-gnu-gcc shop.o checkout.o -o shop-again",
    "captures": "captures captured",
    "completion": "completion bash",
    "cache": "cache",
    "cache that is cleared": "cache --clear",
    "cache of a small host": "cache --build shop",
}
"""What is done -> the command, in the folder of the first patch; each looks at what those before it left."""

WRITTEN = {
    "report.json": "report",
    "built.json": "report",
    "map.json": "map",
    "checked.json": "map",
    "override.json": "override-map",
    "subsecond.json": "jump-table-subsecond",
    "pairs.json": "jump-table-pairs",
    "whisker.json": "jump-table-whisker",
    "session.json": "session-file",
    "dev.json": "jump-table-devserver",
}
"""A file that those wrote -> its schema."""


def strict(schema: Any) -> Any:
    """*schema*, with no key allowed that it does not name: what is printed is documented."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {key: strict(value) if key != "const" else value for key, value in schema.items()}
    closed = "properties" in schema and schema.get("type") == "object" and "additionalProperties" not in schema
    return {**parts, "additionalProperties": False} if closed else parts


REGISTRY: Registry[Any] = Registry().with_resources(
    [(schema["$id"], Resource.from_contents(strict(schema))) for schema in SCHEMAS.values()]
)


def complaints(name: str, document: object) -> list[str]:
    """What speaks against *document* as one of the schema *name*."""
    validator = Draft202012Validator(strict(SCHEMAS[name]), registry=REGISTRY)
    return [
        f"{error.json_path}: {error.message[:300]}"
        for found in validator.iter_errors(document)
        for error in (found.context or [found])
    ]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Walkthrough:
    """Whoever has made the first patch, with a cache of their own."""
    at_work = reader(tmp_path_factory.mktemp("shop"))
    at_work.environment["STUBGEN_CACHE_DIR"] = str(at_work.folder / "cache")
    at_work.follow(DOCS / "start.md")
    at_work.output("aarch64-linux-gnu-ar rcsv lib.a checkout.o")
    put(at_work.folder, "macho", macho_host({"_main": 16, "_f": 32}))
    put(at_work.folder, "macho.o", macho_object(needed=["_f"]))
    return at_work


@pytest.fixture(scope="module")
def documents(shop: Walkthrough) -> dict[str, Any]:
    """What each of :data:`CALLS` prints."""
    calls = {what: words.partition(" ") for what, words in CALLS.items()}
    return {
        what: json.loads(shop.output(f"hotpatch-stubgen {name} --json {rest}"))
        for what, (name, _, rest) in calls.items()
    }


@pytest.mark.parametrize("what", CALLS)
def test_documents_are_as_published(what: str, documents: dict[str, Any]) -> None:
    """A client whose types are made from the schema fails at a key that it does not know, or lacks."""
    document = documents[what]
    assert not complaints(what.split(maxsplit=1)[0], document)
    assert ("error" in document) == (what in FAIL), document.get("error")


FAIL = (
    "explain of nothing",
    "patch of a file that is wrong",
    "link without a record",
    "build that is refused",
    "verify of a host",
)


@pytest.mark.parametrize("file", WRITTEN)
def test_written_files_are_as_published(file: str, documents: dict[str, Any], shop: Walkthrough) -> None:
    """Likewise for the files that runtimes and later links read."""
    assert documents
    assert not complaints(WRITTEN[file], json.loads((shop.folder / file).read_text()))


@pytest.mark.parametrize("file", ["p.json", "pm.json", "po.json", "pt.json", "page.html"])
def test_no_file_names_a_folder_that_is_gone(file: str, documents: dict[str, Any], shop: Walkthrough) -> None:
    """`patch` compiles into a folder of its own: who looks there for the object of a table finds nothing."""
    assert documents
    text = (shop.folder / file).read_text()
    assert "checkout.o" in text
    assert tempfile.gettempdir() not in text.replace(str(shop.folder), "")


def test_captured_links_are_as_published(documents: dict[str, Any], shop: Walkthrough) -> None:
    """Likewise for the record of a link, which builders make themselves where they run the linker."""
    (capture,) = documents["captures"]["captures"]
    assert not complaints("captured-link", json.loads((shop.folder / capture["path"]).read_text()))


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_are_sound(name: str) -> None:
    """A schema that is broken accepts everything; one without words explains nothing."""
    schema = SCHEMAS[name]
    Draft202012Validator.check_schema(schema)
    assert schema["$id"].endswith(f"/docs/schemas/{name}.schema.json")
    undescribed = [key for part in objects(schema) for key, value in part["properties"].items() if not told(value)]
    assert not undescribed


def objects(schema: Any) -> list[dict[str, Any]]:
    """Every part of *schema* that names keys."""
    parts = schema if isinstance(schema, list) else schema.values() if isinstance(schema, dict) else ()
    own = [schema] if isinstance(schema, dict) and isinstance(schema.get("properties"), dict) else []
    return own + [found for part in parts for found in objects(part)]


def told(value: dict[str, Any]) -> bool:
    """Whether a key has a description."""
    return bool(value.get("description"))


def test_every_document_has_a_schema() -> None:
    """A command, or a form of the jump table, that was added without one."""
    assert set(COMMANDS) - {"serve"} <= set(SCHEMAS)
    assert {f"jump-table-{name}" for name in DOCUMENTS} <= set(SCHEMAS)
    assert {words.split()[0] for words in CALLS.values()} == set(COMMANDS) - {"serve"}


BROKEN: dict[str, Callable[[dict[str, Any]], object]] = {
    "a key less": lambda document: document.pop("stubs"),
    "a key more": lambda document: document.update(extra=1),
    "another type": lambda document: document.update(stubs="2"),
    "another verdict": lambda document: document["decisions"][0].update(verdict="perhaps"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_wrong_document_is_told(how: str, documents: dict[str, Any]) -> None:
    """Else the tests above prove nothing."""
    document = json.loads(json.dumps(documents["link"]))
    BROKEN[how](document)
    assert complaints("link", document)
