"""The documentation page of rules, generated from the list of checks."""

from __future__ import annotations

from genbench.plugins.catalogue import SINGULAR
from genbench.testing.check import Check
from genbench.testing.checks import CHECKS

INTRODUCTION = """\
# The rules of the conformance kit

`genbench plugin test NAME` and `genbench.testing.conformance` check these rules ([writing a plugin](plugins.md)).
This page is generated from the code: `python scripts/write_conformance.py`.
"""


def page() -> str:
    """Return the whole page as Markdown."""
    return "\n".join([INTRODUCTION, *(_section(check) for check in CHECKS)])


def _section(check: Check) -> str:
    kinds = ", ".join(SINGULAR[kind] for kind in check.kinds) or "plugin"
    prerequisites = f" Skipped if {' or '.join(f'`{name}`' for name in check.after)} failed." if check.after else ""
    return (
        f"## `{check.name}`\n\n"
        f"{check.what}\n\n"
        f"- Applies to: {kinds}.{prerequisites}\n"
        f"- Why: {check.why}\n"
        f"- How to fix it: {check.fix}\n"
    )
