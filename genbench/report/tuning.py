"""The summary of a tuning: equal budgets, the best of k trials, and what the best settings are worth anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tabulate import tabulate

from genbench.report.markup import markdown
from genbench.report.numbers import MISSING, count, significant, with_error
from genbench.report.table.layout import clean
from genbench.report.table.settings import setting_text
from genbench.results.tuning import BestOfTrials, Study, TuningRecord

NOT_INDEPENDENT = (
    "the trials of a study depend on each other, so no interval says what other trials would have found: the line is "
    "the best trial so far, which is optimistic"
)
VALIDATION = (
    "trials are trained on nine tenths of the training images, and the other tenth stands in for the held-out images, "
    "which no trial sees; a distance compares with the images that were trained on, as always"
)
OPTIMISTIC = (
    "The best trial is optimistic: it was chosen among the trials for its value, which includes the luck of one seed"
)
FRESH = "Final: the settings of the best trial, with seeds that no trial had, on all training images"
ASSUMPTION = (
    "The median of the best of k trials is over repeated random searches of the same space; its interval assumes that "
    "trials are independent, as those of random search are, and nothing about their distribution. An interval that is "
    "open towards better values means that so few trials do not bound how good the best of k may be"
)
_COLUMNS = ("model", "loss", "trials", "without a value", "images", "best trial", "final", "seeds")


def tuning_text(record: TuningRecord) -> str:
    """Return the summary for a terminal."""
    return "\n".join(_parts(record, "simple", clean)) + "\n"


def tuning_markdown(record: TuningRecord) -> str:
    """Return the summary as Markdown."""
    return "\n".join(_parts(record, "github", lambda text: markdown(clean(text)))) + "\n"


def _parts(record: TuningRecord, format: str, escape: Callable[[str], str]) -> Iterator[str]:
    budgets = " + ".join(f"{count(trials)} × {count(images)}" for images, trials in record.rungs)
    how = {"random": "random search", "tpe": "TPE"}[record.sampler]
    pruned = " with successive halving" if record.pruner == "halving" else ""
    yield escape(
        f"{record.metric}, {record.direction} is better, tuned on the validation split by {how}{pruned}: {budgets} "
        "images for each model"
    )
    yield ""
    rows = [[escape(cell) for cell in _row(study)] for study in record.studies]
    yield tabulate(rows, _COLUMNS, tablefmt=format, disable_numparse=True, colalign=("left", "left", *["right"] * 6))
    yield ""
    curves = [study for study in record.studies if study.curve]
    if curves:
        most = max(len(study.curve) for study in curves)
        chosen = [k for k in (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000) if k < most] + [most]
        rows = [[escape(study.model), *(escape(_interval(study.curve, k)) for k in chosen)] for study in curves]
        headings = ["median best of", *(str(k) for k in chosen)]
        yield tabulate(rows, headings, tablefmt=format, disable_numparse=True)
        yield ""
    for study in record.studies:
        if study.best is not None:
            settings = study.trials[study.best].settings.items()
            shown = ", ".join(f"{name} {setting_text(name, value)}" for name, value in settings)
            yield escape(f"{study.model}, trial {study.best}: {shown}") + "  "
    yield ""
    yield escape(f"Validation split: {VALIDATION}.")
    yield escape(f"{OPTIMISTIC}. {FRESH}: publish these.")
    yield escape(f"{ASSUMPTION}." if curves else f"{NOT_INDEPENDENT[0].upper()}{NOT_INDEPENDENT[1:]}.")


def _row(study: Study) -> list[str]:
    ended = [trial for trial in study.trials if trial.status != "running"]
    without = sum(trial.value is None and trial.status != "pruned" for trial in ended)
    best = study.trials[study.best] if study.best is not None and study.best < len(study.trials) else None
    final = study.final
    return [
        study.model,
        study.loss,
        str(len(ended)),
        str(without),
        count(study.images),
        MISSING if best is None or best.value is None else significant(best.value),
        MISSING if final is None else with_error(final.mean, final.standard_error),
        MISSING if final is None else str(final.seeds),
    ]


def _interval(curve: list[BestOfTrials], k: int) -> str:
    """Return ``41.2 (38.0 … 45.1)``; an end that the trials do not bound is left out."""
    if k > len(curve):
        return MISSING
    point = curve[k - 1]
    if point.median is None:
        return "a failed trial"
    if point.low is None and point.high is None:
        return f"{significant(point.median, 3)} (no interval)"
    ends = ["" if end is None else significant(end, 3) for end in (point.low, point.high)]
    return f"{significant(point.median, 3)} ({' … '.join(ends).strip()})"
