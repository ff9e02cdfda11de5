"""Escaping of text in each format: a plugin's names and messages may contain anything."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import NamedTuple

from genbench.report.table.layout import DAGGER

_MARKDOWN = re.compile(r"([\\`*\[\]|~]|(?<!\w)_|_(?!\w))")
_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "–": "--",
    "…": r"\ldots{}",
    "†": r"$^{\dagger}$",
}


_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


class Markup(NamedTuple):
    """How one format writes text and the mark of a footnote."""

    text: Callable[[str], str]
    mark: Callable[[str], str]


def markdown(text: str) -> str:
    """Escape what GitHub's Markdown would interpret as formatting, table borders or HTML."""
    return _MARKDOWN.sub(r"\\\1", text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def latex(text: str) -> str:
    """Escape what LaTeX would interpret as a command; write the symbols used in tables as mathematics."""
    return "".join(_LATEX.get(character, character) for character in text)


def spreadsheet(text: str) -> str:
    """Prevent a spreadsheet from evaluating text as a formula: put an apostrophe before a leading ``= + - @``.

    Spreadsheets also look behind white space, and at the full-width forms of these characters.
    """
    return f"'{text}" if text[:1] in ("\t", "\r", "\n") or text.lstrip().startswith(_FORMULA) else text


PLAIN = Markup(str, lambda mark: mark if mark == DAGGER else f" [{mark}]")
MARKDOWN = Markup(markdown, lambda mark: f"<sup>{mark}</sup>")
LATEX = Markup(latex, lambda mark: _LATEX.get(mark, f"$^{{{mark}}}$"))
HTML = Markup(html.escape, lambda mark: f"<sup>{mark}</sup>")
