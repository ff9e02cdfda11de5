"""A tuning that is stored: its record, its best settings, and the run of its final cells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genbench.commands.load import load
from genbench.commands.results import Results
from genbench.errors import NoDataError
from genbench.report.figures.appearance import make_appearance
from genbench.report.figures.figure import Figure
from genbench.report.figures.kinds import figure_of_tuning
from genbench.report.figures.options import Options
from genbench.report.tuning import tuning_markdown, tuning_text
from genbench.results.tuning import FINAL, TuningRecord, read_tuning


@dataclass(frozen=True)
class Tuning:
    """A tuning: its record, and the results of the final cells."""

    path: Path
    record: TuningRecord  # the content of ``tuning.json``

    @property
    def final(self) -> Results | None:
        """The best settings of each model with fresh seeds: the table to publish. None if there are no such cells."""
        path = self.path / FINAL
        return load(path) if (path / "run.json").is_file() else None

    @property
    def succeeded(self) -> bool:
        """Whether every study has a best trial, and every final cell is ok."""
        final = self.final
        return all(study.best is not None for study in self.record.studies) and (final is None or final.succeeded)

    def best(self, model: str) -> dict[str, Any]:
        """Return the best settings of a model; raise `NoDataError` if it has none."""
        for study in self.record.studies:
            if study.model == model and study.best is not None:
                return dict(study.trials[study.best].settings)
        raise NoDataError(f"No trial of '{model}' has a value.")

    def text(self) -> str:
        """Return the summary that the command prints."""
        return tuning_text(self.record)

    def figure(
        self,
        *,
        log_x: bool | None = None,
        log_y: bool | None = None,
        theme: str = "light",
        width: str | float = "two-column",
        height: float | None = None,
    ) -> Figure:
        """Return the best of k trials over k, as `genbench figure DIR --kind tuning` draws it.

        The arguments are those of `Results.figure`. Raises `NoDataError` if no trial has a value.
        """
        return figure_of_tuning(self.record, Options(log_x=log_x, log_y=log_y), make_appearance(theme, width, height))

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return self.text()

    def _repr_markdown_(self) -> str:
        return tuning_markdown(self.record)


def load_tuning(directory: str | Path) -> Tuning:
    """Return a tuning as it is stored; raise `UsageError` if there is none."""
    return Tuning(Path(directory).expanduser(), read_tuning(directory))
