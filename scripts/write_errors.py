"""Generate docs/errors.md: every code of an error, from genbench/error_codes.toml.

python scripts/write_errors.py
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from genbench.commands.first_steps.error_codes import ErrorCode, error_codes

PAGE = Path(__file__).parents[1] / "docs" / "errors.md"
HEAD = """# Errors and their codes

The last line of an error message names a code, as in `More: genbench explain GB101`. That command prints what stands
here, without a network; `genbench explain` lists all codes, and `genbench.explain("GB101")` does the same in Python,
where an error has its code as `error.code`. In a run, the code of a cell that failed stands beside its status, and in
its file as [`code`](results.md#a-cells-file). A code keeps its meaning in later versions and is never given to another
kind of error.

This page is generated: `python scripts/write_errors.py`.

<!-- not run on this page: examples to adapt; their flags are checked -->
"""


def page() -> str:
    """Return the page."""
    return "\n".join([HEAD, *(part for subject in _subjects() for part in _section(*subject))])


def _subjects() -> list[tuple[str, list[ErrorCode]]]:
    return [(subject, [*codes]) for subject, codes in groupby(error_codes(), key=lambda code: code.subject)]


def _section(subject: str, codes: Sequence[ErrorCode]) -> list[str]:
    rows = "".join(f"| [{code.code}](#{code.code.lower()}) | {code.title} |\n" for code in codes)
    return [f"## {subject}\n", f"| code | what is wrong |\n|---|---|\n{rows}", *map(_entry, codes)]


def _entry(code: ErrorCode) -> str:
    causes, remedies = ("".join(f"- {point}\n" for point in points) for points in (code.causes, code.remedies))
    return "\n".join(
        [
            f"### {code.code}\n",
            f"**{code.title}** (`{code.name}`). {code.meaning}\n",
            f"Usual causes:\n\n{causes}",
            f"What helps:\n\n{remedies}",
            f"For example:\n\n    {code.example}\n",
            f"More: [{_title(code.page)}]({code.page}).\n",
        ]
    )


def _title(page: str) -> str:
    """Return the heading that a link leads to."""
    name, _, anchor = page.partition("#")
    lines = PAGE.with_name(name).read_text(encoding="utf-8").splitlines()
    headings = [line.lstrip("# ") for line in lines if line.startswith("#")]
    return next((heading for heading in headings if not anchor or anchor_of(heading) == anchor), "").replace("`", "")


def anchor_of(heading: str) -> str:
    """Return the anchor that GitHub and the site make of a heading."""
    return "".join(c for c in heading.lower().replace(" ", "-") if c.isalnum() or c in "-_")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
