"""The section of the report of a tuning's final cells: what the trials found, and the best of k trials over k."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from genbench.errors import GenbenchError
from genbench.report.figures.appearance import make_appearance
from genbench.report.figures.kinds import figure_of_tuning
from genbench.report.figures.options import Options
from genbench.report.tuning import tuning_text
from genbench.results.store import LoadedRun
from genbench.results.tuning import FINAL, read_tuning


@dataclass(frozen=True)
class TuningSection:
    """What the page says about the tuning that chose the settings of a run."""

    text: str
    picture: str  # a data URL; empty if matplotlib is not installed, or no trial has a value
    caption: str


def tuning_sections(runs: Sequence[LoadedRun]) -> list[TuningSection]:
    """Return a section for each run that consists of the final cells of a tuning whose record is beside it."""
    found = []
    for run in runs:
        path = run.directory.path
        if path.name != FINAL:
            continue
        try:
            record = read_tuning(path.parent)
        except GenbenchError:  # the run was moved, or its record is damaged: the cells speak for themselves
            continue
        picture, caption = "", ""
        try:
            figure = figure_of_tuning(record, Options(), make_appearance("light", "two-column", None))
            picture = f"data:image/svg+xml;base64,{base64.b64encode(figure.to_bytes('svg')).decode()}"
            caption = figure.about.title
        except GenbenchError:
            pass
        found.append(TuningSection(tuning_text(record), picture, caption))
    return found
