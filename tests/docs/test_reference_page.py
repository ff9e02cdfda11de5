"""docs/reference.md is up to date, and describes everything that is public."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import genbench
from genbench.plugins.loader import HOOKS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")


def test_the_page_is_what_the_script_writes() -> None:
    written = runpy.run_path(str(ROOT / "scripts" / "write_reference.py"))["page"]()
    assert written == PAGE, "run: python scripts/write_reference.py"


def test_every_public_name_and_every_hook_has_an_entry() -> None:
    entries = set(re.findall(r"^### `(\w+)`$", PAGE, flags=re.MULTILINE))
    aliases = set(re.findall(r"^`(\w+)` (?:is|marks) ", PAGE, flags=re.MULTILINE))
    assert set(genbench.__all__) - {"__version__"} <= entries | aliases
    assert set(HOOKS) <= entries


def test_every_field_of_an_entry_is_there_with_its_comment() -> None:
    assert (
        "| `image_shapes` | `tuple[Shape, ...] \\| ShapeRule \\| None` | `None` | "
        "the shapes that `build` accepts; None: any |" in PAGE
    )
    assert re.search(r"^\| `penalty` \|.*per-sample norms \|$", PAGE, flags=re.MULTILINE)  # a comment above its field
    for record in (genbench.ModelSpec, genbench.Phase, genbench.Setup, genbench.Estimate, genbench.AdversarialLoss):
        section = PAGE.split(f"### `{record.__name__}`\n", maxsplit=1)[1].split("\n### ")[0]
        for field in record.__annotations__:
            assert f"| `{field}` |" in section, f"{record.__name__}.{field}"
