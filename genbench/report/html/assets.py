"""The script and the style of pages: the files of ``static/``, after what they share with other formats."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from genbench.report import markup, palette
from genbench.report.html.page_data import as_script

_SCRIPTS = (
    "vendor/uplot/uPlot.iife.min.js", "elements.js", "theme.js", "charts.js", "table.js", "frontier.js", "curves.js",
    "samples.js", "cells.js", "main.js",
)  # fmt: skip
_STYLES = ("vendor/uplot/uPlot.min.css", "report.css")


@cache
def page_script() -> str:
    """Return the script of the report, which the board uses too."""
    shared = {
        "SERIES_COLOURS": len(palette.LIGHT.series),
        "LATEX_SYMBOLS": markup.LATEX_SYMBOLS,
        "MARKDOWN_SYMBOLS": markup.MARKDOWN_SYMBOLS,
        "FORMULA_STARTS": markup.FORMULA_STARTS,
    }
    constants = "".join(f"const {name} = {as_script(value)};\n" for name, value in shared.items())
    return f'"use strict";\n{constants}{_text(_SCRIPTS)}'


@cache
def page_style() -> str:
    """Return the style of the report, which the board uses too."""
    return f"{palette.css()}{_text(_STYLES)}"


def _text(names: Sequence[str]) -> str:
    folder = files("genbench.report.html").joinpath("static")
    return "\n".join(folder.joinpath(*name.split("/")).read_text("utf-8") for name in names)
