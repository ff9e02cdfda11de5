"""The documentation site: `just site` builds it from the Markdown files of the repository, without a network."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]

project = "genbench"
author = copyright = "The genbench authors"
release = version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

# The source folder is the repository, so that links between its files are links between pages.
extensions = ["myst_parser"]
root_doc = "docs/index"
source_suffix = {".md": "markdown"}
include_patterns = ["docs/**", "plugins/*/README.md", "benchmarks/README.md", "*.md"]
exclude_patterns = ["README.md", "docs/examples", "docs/site"]

myst_enable_extensions = ["attrs_block", "deflist"]
myst_heading_anchors = 4  # as on GitHub, so that links to headings work in both places
myst_links_external_new_tab = True
suppress_warnings = ["myst.strikethrough"]
highlight_language = "none"  # blocks without a language are commands or output
nitpicky = True

html_theme = "furo"
html_title = f"genbench {release}"
html_static_path: list[str] = []
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True}
