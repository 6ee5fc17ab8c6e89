"""How Sphinx builds the documentation: ``make docs``."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from sphinx.application import Sphinx

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS), str(DOCS.parent)]

import api  # noqa: E402  # beside this file
import schema_tables  # noqa: E402

import stubgen  # noqa: E402

SOURCE = "https://github.com/hotpatch-stubgen/hotpatch-stubgen"

project = "stubgen"
author = "The stubgen authors"
copyright = "The stubgen authors, MIT licence"  # noqa: A001  # Sphinx's name for it
version = release = stubgen.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_argparse_cli"]
exclude_patterns = ["results"]
nitpicky = True
nitpick_ignore_regex = api.FOREIGN

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "signature"
python_use_unqualified_type_names = True

highlight_language = "none"

html_theme = "furo"
html_title = "stubgen"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"source_repository": SOURCE, "source_branch": "main", "source_directory": "docs/"}


def link_outwards(app: Sphinx, page: str, source: list[str]) -> None:
    """Lead links to files that are no pages (``../examples``) to the repository."""
    upwards = r"\.\./" * (page.count("/") + 1)
    source[0] = re.sub(rf"\]\({upwards}([\w./-]+)\)", rf"]({SOURCE}/blob/main/\1)", source[0])


def publish_schemas(app: Sphinx, failure: Exception | None) -> None:
    """Put the JSON schemas beside the pages."""
    if failure is None:
        shutil.copytree(DOCS / "schemas", Path(app.outdir, "schemas"), dirs_exist_ok=True)


def setup(app: Sphinx) -> None:
    """Sphinx's entry point."""
    app.connect("source-read", link_outwards)
    app.connect("build-finished", publish_schemas)
    api.setup(app)
    schema_tables.setup(app)
