"""Escaping of text in each format: a plugin's names and messages may contain anything."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import NamedTuple

from genbench.report.table.layout import BEST, DAGGER

# These three are shared with the scripts of pages, which copy tables.
MARKDOWN_SYMBOLS = r"[\\`*\[\]|~]|(?<!\w)_|_(?!\w)"
LATEX_SYMBOLS = {
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
    "[": "{[}",  # after the end of a row, it would begin an argument
    "*": "{*}",
    "≤": r"$\le$",
    "≥": r"$\ge$",
    "√": r"$\surd$",
    "→": r"$\to$",
    "²": "$^{2}$",
}

_GREEK = [
    "alpha", "beta", "gamma", "delta", "varepsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu",
    "xi", "pi", "rho", "sigma", "tau", "upsilon", "varphi", "chi", "psi", "omega",
    "Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Phi", "Psi", "Omega",
]  # fmt: skip
LATEX_SYMBOLS |= {
    letter: rf"$\{name}$" for letter, name in zip("αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩ", _GREEK, strict=True)
}


FORMULA_STARTS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


class Markup(NamedTuple):
    """How one format writes text, the mark of a footnote, the best value of a column, and letters behind a value."""

    text: Callable[[str], str]
    mark: Callable[[str], str]
    best: Callable[[str], str]  # of text that is already escaped
    letters: Callable[[str], str]  # of significance groups


def markdown(text: str) -> str:
    """Escape what GitHub's Markdown would interpret as formatting, table borders or HTML."""
    escaped = re.sub(MARKDOWN_SYMBOLS, r"\\\g<0>", text, flags=re.ASCII)  # as scripts understand \w
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def latex(text: str) -> str:
    """Escape what LaTeX would interpret as a command; write the symbols used in tables as mathematics."""
    return "".join(LATEX_SYMBOLS.get(character, character) for character in text)


def spreadsheet(text: str) -> str:
    """Prevent a spreadsheet from evaluating text as a formula: put an apostrophe before a leading ``= + - @``.

    Spreadsheets also look behind white space, and at the full-width forms of these characters.
    """
    return f"'{text}" if text[:1] in ("\t", "\r", "\n") or text.lstrip().startswith(FORMULA_STARTS) else text


PLAIN = Markup(
    str, lambda mark: mark if mark == DAGGER else f" [{mark}]", lambda text: f"{text}{BEST}", lambda text: f" {text}"
)
MARKDOWN = Markup(
    markdown, lambda mark: f"<sup>{mark}</sup>", lambda text: f"**{text}**", lambda text: f"<sup>{text}</sup>"
)
LATEX = Markup(
    latex,
    lambda mark: LATEX_SYMBOLS.get(mark, f"$^{{{mark}}}$"),
    lambda text: rf"\textbf{{{text}}}",
    lambda text: f"$^{{\\mathrm{{{text}}}}}$",
)
HTML = Markup(
    html.escape,
    lambda mark: f"<sup>{mark}</sup>",
    lambda text: f"<strong>{text}</strong>",
    lambda text: f"<sup>{text}</sup>",
)
