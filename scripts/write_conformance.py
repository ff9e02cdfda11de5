"""Generate docs/conformance.md, the page of rules, from the list of checks in the code.

python scripts/write_conformance.py
"""

from __future__ import annotations

from pathlib import Path

from genbench.testing.rules_page import page

if __name__ == "__main__":
    (Path(__file__).parents[1] / "docs" / "conformance.md").write_text(page(), encoding="utf-8")
