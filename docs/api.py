"""The public names for autodoc: docstrings with their sections, and references that lead to public names."""

from __future__ import annotations

import re

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.ext.napoleon import Config, GoogleDocstring

import stubgen

FOREIGN = [
    (r"py:.*", r"(collections|os|pathlib|typing|contextlib|enum|array)\..*"),
    (r"py:.*", r"(array|bool|bytes|int|str|float|object|dict|list|set|frozenset|tuple|None|Exception|Path|memoryview)"),
    (r"py:.*", r"StrPath"),  # reference/python.md says what it is
]
"""What is Python's own and has no page here."""

INNER = re.compile(r"(?:stubgen\.)?(?:[a-z_]+\.)*[A-Z]\w+")
"""Classes that are no public names: they occur in signatures, and what they are may change."""

ATTRIBUTES = ("attribute", "data", "property")


def divide_into_sections(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Turn ``Args:`` and ``Raises:`` into fields; an attribute's first words before a colon are no type."""
    if what not in ATTRIBUTES:
        lines[:] = GoogleDocstring(lines, Config(napoleon_use_rtype=False), app, what, name, obj, options).lines()


def lead_to_public_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement
) -> nodes.Element | None:
    """The public name that a reference by a module's path means: ``stubgen.errors.Refusal`` is ``stubgen.Refusal``."""
    if node.get("refdomain") != "py":
        return None
    words = node["reftarget"].split(".")
    for start, word in enumerate(words):
        if word in stubgen.__all__:
            target = ".".join(["stubgen", *words[start:]])
            return env.get_domain("py").resolve_xref(env, node["refdoc"], app.builder, "obj", target, node, content)
    in_signature = node.get("reftype") == "class" and "refexplicit" not in node
    return content if in_signature and INNER.fullmatch(node["reftarget"]) else None


def setup(app: Sphinx) -> None:
    """Connect it."""
    app.connect("autodoc-process-docstring", divide_into_sections)
    app.connect("missing-reference", lead_to_public_name)
