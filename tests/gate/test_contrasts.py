"""Cells of a run compared over seeds, methods over datasets, and what it would take to see more."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from example_runs import cell, comparability, estimate, identity, stored

from genbench.errors import NoDataError, UsageError
from genbench.gate.contrasts import contrasts, rankings
from genbench.gate.from_run import measurements_of_run
from genbench.gate.judge import judge
from genbench.gate.limits import Limit, Limits
from genbench.gate.over_datasets import compare_over_datasets
from genbench.gate.power_forecast import forecast
from genbench.gate.samples import Sample, samples_of_runs
from genbench.report.gate.contrasts import text
from genbench.results.store import RunContents
from genbench.stats.power_of_t import paired_power
from genbench.stats.seed_comparison import compare_seeds

NOISE = (0.0, 0.31, -0.22, 0.54, -0.41)


def run(path: Path, means: dict[tuple[str, str], float], noise: tuple[float, ...] = NOISE, **facts: Any) -> RunContents:
    """Store a run with a cell for each model, dataset and seed; models differ by their mean and a little by seed."""
    cells = [
        cell(
            f"{model}-{dataset}-{seed}",
            identity(model, dataset=dataset, seed=seed),
            estimates=[estimate("fd-cnn", mean + value + _own(place, seed), facts.get("error", 0.1))],
            comparability=comparability(data_hash=dataset[0] * 64),
        )
        for place, ((model, dataset), mean) in enumerate(means.items())
        for seed, value in enumerate(noise)
    ]
    return stored(path, *cells).read()


def _own(place: int, seed: int) -> float:
    """Return what a model adds to a seed: a few hundredths, in no order."""
    return 0.03 * ((7 * seed + 3 * place) % 5 - 2)


def three(path: Path, **facts: Any) -> list[Sample]:
    means = {("gan", "mini"): 20.0, ("dcgan", "mini"): 15.0, ("vae", "mini"): 20.001}
    return samples_of_runs([run(path, means, **facts)])


def test_cells_that_share_seeds_are_paired_and_corrected_for_all_pairs(tmp_path: Path) -> None:
    samples = three(tmp_path)
    pairs = contrasts(samples)
    found = {(pair.one.model, pair.other.model): pair for pair in pairs}
    raw = compare_seeds(samples[0].values, samples[1].values)
    decided = found["gan", "dcgan"]
    assert decided.comparison == raw
    assert decided.comparison is not None
    assert decided.comparison.method == "paired t"
    assert decided.answer == "worse"
    assert decided.p_adjusted is not None
    assert decided.p_adjusted >= raw.p_value
    assert (decided.low, decided.high) == raw.difference.bounds(0.025)
    assert found["gan", "vae"].answer == "undecided"
    (group,) = rankings(samples, pairs)
    assert [sample.model for sample in group.samples] == ["dcgan", "gan", "vae"]
    assert group.letters == ("a", "b", "b")


def test_the_gate_uses_the_same_test_and_pairs_what_shares_seeds(tmp_path: Path) -> None:
    """Between seeds the values vary by 0.4, within a seed by 0.01: only the paired test sees a change of 0.1."""
    base = run(tmp_path / "base", {("gan", "mini"): 20.0})
    drift = tuple(value + 0.1 + 0.01 * value for value in NOISE)
    head = run(tmp_path / "head", {("gan", "mini"): 20.0}, noise=drift)
    limits = Limits(metrics={"fd-cnn": Limit(0.0, relative=False)})
    (finding,) = [f for f in judge(*map(measurements_of_run, (base, head)), limits) if f.quantity == "fd-cnn"]
    own = compare_seeds(*(samples_of_runs([side])[0].values for side in (base, head)))
    assert finding.verdict == "regressed"
    assert finding.difference == pytest.approx(own.difference.mean)
    assert finding.p_value == pytest.approx(own.p_value)
    assert finding.test == own.description == "paired t over 5 seeds"
    assert (finding.p_sign_flip, finding.p_wilcoxon) == (own.sign_flip, own.wilcoxon)
    assert finding.difference_low is not None
    assert 0 < finding.difference_low < finding.difference
    other = [
        cell(f"gan-{seed}", identity("gan", seed=seed + 9), estimates=[estimate("fd-cnn", 20.1 + value)])
        for seed, value in enumerate(NOISE)
    ]
    unpaired = stored(tmp_path / "other", *other).read()
    (finding,) = [f for f in judge(*map(measurements_of_run, (base, unpaired)), limits) if f.quantity == "fd-cnn"]
    assert (finding.verdict, finding.test) == ("inconclusive", "Welch's t")


def test_other_pixels_or_protocols_are_never_compared(tmp_path: Path) -> None:
    one = cell("gan-1", estimates=[estimate("fd-cnn", 20.0)])
    pixels = cell("vae-1", comparability=comparability(data_hash="e" * 64), estimates=[estimate("fd-cnn", 9.0)])
    protocol = cell("dcgan-1", estimates=[estimate("fd-cnn", 9.0, n=500)])
    samples = samples_of_runs([stored(tmp_path, one, pixels, protocol).read()])
    assert contrasts(samples) == []


def test_one_seed_is_no_verdict_and_missing_values_are_named(tmp_path: Path) -> None:
    cells = [
        cell("gan-0", identity("gan", seed=0), estimates=[estimate("fd-cnn", 20.0)]),
        cell("gan-1", identity("gan", seed=1), status="diverged", estimates=[]),
        cell("gan-2", identity("gan", seed=2), estimates=[estimate("fd-cnn", math.nan)]),
        cell("vae-0", identity("vae", seed=0), estimates=[estimate("fd-cnn", 9.0)]),
    ]
    contents = stored(tmp_path, *cells).read()
    assert samples_of_runs([contents], ["fd"])[0].left_out == ("seed 1: diverged", "seed 2: not measured")
    contents.cells.results["gan-2"] = cells[2]  # a file never says NaN
    samples = samples_of_runs([contents], ["fd"])
    assert samples[0].left_out == ("seed 1: diverged", "seed 2: nan")
    (pair,) = contrasts(samples)
    assert (pair.answer, pair.p_adjusted) == ("one seed", None)
    assert rankings(samples, [pair])[0].letters == ("", "")
    with pytest.raises(NoDataError, match="two seeds each"):
        forecast(samples, 0.05, 0.05, 0.8)


def test_an_unknown_metric_is_an_error_with_the_nearest_name(tmp_path: Path) -> None:
    contents = run(tmp_path, {("gan", "mini"): 20.0})
    with pytest.raises(UsageError, match="Did you mean 'fd-cnn'"):
        samples_of_runs([contents], ["fd-cn"])


def test_variance_components_come_from_the_stored_errors(tmp_path: Path) -> None:
    parts = three(tmp_path)[0].components
    assert parts is not None
    assert parts.sampling == pytest.approx(0.01)
    assert parts.training == pytest.approx(parts.total - 0.01)
    assert three(tmp_path / "unknown", error=None)[0].components is None


def test_methods_are_ranked_over_datasets_and_what_is_missing_is_named(tmp_path: Path) -> None:
    datasets = [f"{letter}set" for letter in "abcdef"]
    means = {(model, d): base + n for n, d in enumerate(datasets) for model, base in (("gan", 9.0), ("vae", 7.0))}
    means |= {("dcgan", "aset"): 1.0}
    found = compare_over_datasets(samples_of_runs([run(tmp_path, means)]))
    assert found.methods == ("vae · non-saturating", "gan · non-saturating")
    assert found.ranks.ranks == [1.0, 2.0]
    assert found.pairs[0].p_wilcoxon == found.pairs[0].p_adjusted == 2 / 2**6
    assert found.left_out == ("dcgan · non-saturating: no comparable value on bset, cset, dset, eset, fset",)
    with pytest.raises(NoDataError, match="at least two methods"):
        compare_over_datasets(samples_of_runs([run(tmp_path / "one", {("gan", "aset"): 1.0, ("vae", "aset"): 2.0})]))


def test_the_forecast_is_the_power_of_the_test_that_compare_does(tmp_path: Path) -> None:
    samples = three(tmp_path)
    plan = forecast(samples, 0.01, 0.05, 0.8, ["gan", "dcgan"])
    (pair,) = plan.pairs
    assert pair.difference == pytest.approx(0.01 * (samples[0].mean + samples[1].mean) / 2)
    assert pair.spread**2 == pytest.approx(0.02)  # what drawing samples explains is more than the differences show
    assert pair.sampling_share == pytest.approx(1.0)
    assert pair.seeds is not None
    assert paired_power(pair.difference, pair.spread, pair.seeds, 0.05) >= 0.8
    assert paired_power(pair.difference, pair.spread, pair.seeds - 1, 0.05) < 0.8
    assert paired_power(pair.sees, pair.spread, 5, 0.05) == pytest.approx(0.8, abs=1e-4)
    assert (pair.present, pair.seeds_with_all_samples) == (5, 2)
    first = plan.costs[0]
    assert (first.seeds, first.samples, first.images) == (pair.seeds, 2000 * pair.seeds, 60_000 * pair.seeds)
    assert first.hours == pytest.approx(pair.seeds * 61.25 / 3600)
    all_pairs = forecast(samples, 0.01, 0.05, 0.8)
    assert len(all_pairs.pairs) == 3
    assert all_pairs.pairs[0].seeds is not None
    assert all_pairs.pairs[0].seeds > pair.seeds  # the error is shared among three pairs


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((0.0, 0.05, 0.8), "--detect 0% is not valid"),
        ((0.05, 0.0, 0.8), "--error 0% is not valid"),
        ((0.05, 0.05, 1.0), "--power 100% is not valid"),
        ((0.05, 0.5, 0.4), "not above --error"),
    ],
)
def test_rates_that_make_no_sense_are_refused(given: tuple[float, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        forecast(three(tmp_path), *given)


def test_an_unknown_model_is_an_error_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'dcgan'"):
        forecast(three(tmp_path), 0.05, 0.05, 0.8, ["dcgn"])


def test_many_cells_are_summarised_and_get_no_unreadable_letters() -> None:
    draw = random.Random(0)
    samples = [
        replace(_SAMPLE, cell=f"c{n}", method=f"c{n}", values={seed: n / 2 + draw.gauss(0, 0.5) for seed in range(5)})
        for n in range(40)
    ]
    pairs = contrasts(samples)
    groups = rankings(samples, pairs)
    said = text(groups, pairs)
    assert f"{40 * 39 // 2 - 100} more pairs with larger p: --json has them." in said
    assert "No letters where more than 26 groups would be needed." in said
    few = samples[::13]
    pairs = contrasts(few)
    assert "more pairs" not in text(rankings(few, pairs), pairs)
    assert rankings(few, pairs)[0].letters == ("a", "b", "c", "d")


_SAMPLE = Sample("c", "c", "m", "mini", "fd", "lower", "", {}, dict.fromkeys(range(5), 0.1), 2000, 60_000, 60)
