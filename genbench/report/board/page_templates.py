"""Rendering the pages of a board: the templates escape everything, and the policy permits nothing from elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from genbench.report.html.page_data import as_script

_ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
PAGE_ROWS = 150  # of a table; what does not fit is on further pages
PAGE_BYTES = 400_000  # of its rows, where they can be long
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'"
)


def render(template: str, **values: Any) -> bytes:
    """Return a page; `root` is the way from it to the root of the board."""
    text = _environment().get_template(template).render(policy=POLICY, **values)
    return text.encode("utf-8", "replace")


def fragment(template: str, **values: Any) -> str:
    """Return a part of pages one folder below the root of the board."""
    return _environment().get_template(template).render(root="../", **values)


def call_script(function: str, data: Any) -> bytes:
    """Return a script that passes data to a function of ``board.js``: pages opened as files cannot read JSON files."""
    return f"genbenchBoard.{function}(JSON.parse({json.dumps(as_script(data))}));\n".encode()


def pages_of(rows: int) -> int:
    """Return how many pages a table of that many rows takes, at least one."""
    return max(1, -(-rows // PAGE_ROWS))


def divided(sizes: Iterable[int], most: int | None = None) -> list[range]:
    """Return the rows of each page, from their sizes in bytes; at most `most`, or `PAGE_ROWS`, are on one page.

    There is at least one page.
    """
    most = PAGE_ROWS if most is None else most
    pages, begin, total, end = [], 0, 0, 0
    for place, size in enumerate(sizes):
        if place > begin and (place - begin == most or total + size > PAGE_BYTES):
            pages.append(range(begin, place))
            begin, total = place, 0
        total, end = total + size, place + 1
    return [*pages, range(begin, end)]


def page_path(stem: str, number: int) -> str:
    """Return the path of one page of a table, counted from 0."""
    return f"{stem}.html" if number == 0 else f"{stem}-{number + 1}.html"


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("genbench.report.board"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    made.globals["page_path"] = page_path
    return made


def _shown(value: Any) -> Any:
    """Return what a template prints: text without characters that reorder or hide other text, or control anything."""
    is_text = isinstance(value, str) and not isinstance(value, Markup) and not value.isprintable()
    return _ACTING.sub(" ", value) if is_text else value
