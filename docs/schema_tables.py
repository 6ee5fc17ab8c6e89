"""The directive ``json-keys``: the keys of a JSON document as a table, from its published schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

FOLDER = Path(__file__).parent / "schemas"


def load(name: str) -> dict[str, Any]:
    """The schema in ``schemas/NAME.schema.json``."""
    schema: dict[str, Any] = json.loads((FOLDER / f"{name}.schema.json").read_text())
    return schema


def type_of(schema: Mapping[str, Any]) -> str:
    """The type of a value, in a word or two."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name.replace('_', ' ')}](#{name.replace('_', '-')})" if "#" in schema["$ref"] else "a table"
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(map(type_of, schema[key]))
    names = schema.get("type", "any")
    names = [names] if isinstance(names, str) else names
    if "array" in names and "items" in schema:
        return " or ".join(f"array of {type_of(schema['items'])}" if name == "array" else name for name in names)
    return " or ".join(names)


def rows(schema: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """A line of a Markdown table for each key, those of objects within it behind it."""
    required = schema.get("required", [])
    for name, value in schema.get("properties", {}).items():
        said = value.get("description", "").replace("|", "\\|")
        absent = "" if name in required else " (not always there)"
        yield f"| `{before}{name}` | {type_of(value)} | {said}{absent} |"
        yield from rows(value, f"{before}{name}.")
        yield from rows(value.get("items", {}), f"{before}{name}[].")


class JsonKeys(SphinxDirective):
    """``{json-keys} NAME`` or ``{json-keys} NAME#definition``."""

    required_arguments = 1
    option_spec: ClassVar[dict[str, Any]] = {}

    def run(self) -> list[nodes.Node]:
        """The table, and what the schema says of the whole."""
        name, _, definition = self.arguments[0].partition("#")
        schema = load(name)
        self.env.note_dependency(str(FOLDER / f"{name}.schema.json"))
        schema = schema["$defs"][definition] if definition else schema
        head = [schema.get("description", ""), "", "| key | holds | |", "|---|---|---|"]
        lines = StringList([*head, *rows(schema)], source=str(FOLDER / f"{name}.schema.json"))
        node = nodes.Element()
        self.state.nested_parse(lines, 0, node)
        return list(node.children)


def setup(app: Sphinx) -> None:
    """Declare the directive."""
    app.add_directive("json-keys", JsonKeys)
