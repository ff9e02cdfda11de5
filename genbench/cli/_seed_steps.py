"""The steps of `genbench compare` on the cells of runs, and of `genbench power`."""

from __future__ import annotations

from collections.abc import Sequence

from genbench.cli.output import echo, print_json
from genbench.errors import UsageError
from genbench.gate.samples import Sample, measured_metrics, samples_of_runs, usual_metric
from genbench.results.store import RunDirectory, named_apart


def read_samples(runs: Sequence[str], metrics: str | None) -> list[Sample]:
    """Return the samples of the metrics that the flag names; raise `UsageError` or `NoDataError`."""
    directories = [RunDirectory.open(run) for run in runs]
    contents = named_apart(directories, [directory.read() for directory in directories])
    if metrics is None:
        return samples_of_runs(contents, [usual_metric(measured_metrics(contents))])
    names = [name.strip() for name in metrics.split(",") if name.strip()]
    if not names:
        raise UsageError("--metric names no metric.", f"Choose from: {', '.join(measured_metrics(contents))}.")
    return samples_of_runs(contents, [] if names == ["all"] else names)


def compare_cells(runs: Sequence[str], metrics: str | None, as_json: bool) -> None:
    """Print how the cells of a run differ."""
    from genbench.gate.contrasts import contrasts, rankings
    from genbench.report.gate import contrasts as shown

    samples = read_samples(runs, metrics)
    pairs = contrasts(samples)
    groups = rankings(samples, pairs)
    if as_json:
        print_json(shown.document(groups, pairs))
    else:
        echo(shown.text(groups, pairs), nl=False)


def compare_methods(runs: Sequence[str], metrics: str | None, as_json: bool) -> None:
    """Print how methods differ over datasets."""
    from genbench.gate.over_datasets import compare_over_datasets
    from genbench.report.gate import over_datasets as shown

    samples = read_samples(runs, metrics)
    if len(names := dict.fromkeys(sample.metric for sample in samples)) > 1:
        raise UsageError("Methods are ranked by one metric.", f"Give --metric with one of: {', '.join(names)}.")
    found = compare_over_datasets(samples)
    if as_json:
        print_json(shown.document(found))
    else:
        echo(shown.text(found), nl=False)
