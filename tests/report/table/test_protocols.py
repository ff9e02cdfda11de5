"""Two numbers under different protocols never stand in one column without a word: which field, and which values."""

from __future__ import annotations

from pathlib import Path

import pytest
from example_runs import cell, comparability, estimate, identity, stored

from genbench.api.evaluation import Estimate
from genbench.report.table.comparison_table import make_table
from genbench.report.table.layout import DAGGER, Table
from genbench.report.table.render import FORMATS, render
from genbench.results.schema import Best, CellResult, EvaluationPoint, Target
from genbench.results.store import read_runs

FD = {"extractor": "cnn", "weights": "1f0c", "resize": "bilinear to 28×28", "n_reference": 8000}
NLL = {"likelihood": "bernoulli", "draws": 64}

DIFFERENCES = pytest.mark.parametrize(
    ("metric", "protocol", "n", "said"),
    [
        ("fd-cnn", {**FD, "weights": "beef"}, 2000, "fd-cnn: weights differs (1f0c, beef)"),
        ("fd-cnn", FD, 500, "fd-cnn: images differs (2,000, 500)"),
        ("fd-cnn", {**FD, "resize": "none"}, 2000, "fd-cnn: resize differs (bilinear to 28×28, none)"),
        ("fd-cnn", {**FD, "batch_norm": "off"}, 2000, "fd-cnn: batch_norm differs (not stated, off)"),
        ("fd-cnn", {**FD, "n": 100}, 500, "fd-cnn: images differs (2,000, 500); n differs (not stated, 100)"),
        ("nll", {**NLL, "likelihood": "gaussian"}, 2000, "nll: likelihood differs (bernoulli, gaussian)"),
    ],
)  # fmt: skip


def usual(metric: str) -> Estimate:
    return estimate(metric, 30.0, protocol=FD if metric == "fd-cnn" else NLL)


def daggers(table: Table, key: str) -> list[bool]:
    return [DAGGER in row.values[key].marks for row in table.rows]


def texts(table: Table) -> list[str]:
    return [text for mark, text in table.footnotes if mark == DAGGER]


@DIFFERENCES
def test_cells_of_one_run(tmp_path: Path, metric: str, protocol: dict[str, object], n: int, said: str) -> None:
    other = estimate(metric, 31.0, protocol=protocol, n=n)
    run = stored(
        tmp_path / "run",
        cell("gan-1", estimates=[usual(metric)]),
        cell("vae-1", estimates=[other]),
        cell("dcgan-1", estimates=[]),
    )
    table = make_table(run.read())
    assert [DAGGER in row.values[metric].marks for row in table.rows if metric in row.values] == [True, True]
    assert texts(table) == [f"not comparable: {said}"]
    for format in FORMATS:
        assert "differs" in render(table, format)


@DIFFERENCES
def test_cells_of_two_runs(tmp_path: Path, metric: str, protocol: dict[str, object], n: int, said: str) -> None:
    first = stored(tmp_path / "monday", cell("gan-1", estimates=[usual(metric)]))
    other = estimate(metric, 31.0, protocol=protocol, n=n)
    second = stored(tmp_path / "tuesday", cell("gan-1", estimates=[other]))
    table = make_table(*read_runs([first.path, second.path]))
    assert daggers(table, metric) == [True, True]
    assert texts(table) == [f"not comparable: {said}"]


@DIFFERENCES
def test_over_seeds(tmp_path: Path, metric: str, protocol: dict[str, object], n: int, said: str) -> None:
    cells = [cell(f"gan-s{seed}", identity(seed=seed), estimates=[usual(metric)]) for seed in (0, 1)]
    other = estimate(metric, 99.0, protocol=protocol, n=n)
    cells += [cell(f"vae-s{seed}", identity("vae", seed=seed), estimates=[other]) for seed in (0, 1)]
    table = make_table(stored(tmp_path / "run", *cells).read(), over_seeds=True)
    assert daggers(table, metric) == [True, True]
    assert texts(table) == [f"not comparable: {said}"]


def test_seeds_under_different_protocols_make_no_mean(tmp_path: Path) -> None:
    other = estimate("fd-cnn", 99.0, protocol={**FD, "weights": "beef"})
    estimates = [[usual("fd-cnn")], [other], [], [usual("fd-cnn")]]
    cells = [cell(f"gan-s{s}", identity(seed=s), estimates=found) for s, found in enumerate(estimates)]
    table = make_table(stored(tmp_path / "run", *cells).read(), over_seeds=True)
    assert [(row.values["fd-cnn"].raw, row.values["seeds"].raw) for row in table.rows] == [(30.0, 3), (99.0, 1)]
    assert daggers(table, "fd-cnn") == [True, True]
    pixels = [cell(f"gan-s{s}", identity(seed=s), comparability=comparability(data_hash=8 * "de"[s])) for s in (0, 1)]
    apart = make_table(stored(tmp_path / "pixels", *pixels).read(), over_seeds=True)
    assert daggers(apart, "fd-cnn") == [True, True]


def evaluated(id: str, weights: str) -> CellResult:
    found = [estimate("fd-cnn", 30.0, protocol={**FD, "weights": weights})]
    points = [EvaluationPoint(step=10 * n, images=320 * n, estimates=found) for n in (1, 2)]
    return cell(
        id,
        identity(id.partition("-")[0], recipe={"evaluate_every": 320}),
        estimates=found,
        evaluations=points,
        best=Best(metric="fd-cnn", step=10, images=320, estimates=found),
    )


def test_what_follows_from_a_metric_does_not_compare_either(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", evaluated("gan-1", "1f0c"), evaluated("vae-1", "beef"))
    table = make_table(run.read(), targets=[Target(metric="fd-cnn", value=40.0, direction="lower")])
    for key in ("best fd-cnn", "images at best fd-cnn", "images to fd-cnn ≤ 40", "seconds to fd-cnn ≤ 40"):
        assert daggers(table, key) == [True, True], key
    assert daggers(table, "images/s") == [False, False]


def test_the_same_protocol_on_two_datasets_is_no_conflict(tmp_path: Path) -> None:
    other = estimate("fd-cnn", 31.0, protocol={**FD, "n_reference": 100})
    run = stored(tmp_path / "run", cell("gan-1"), cell("gan-2", identity(dataset="other"), estimates=[other]))
    assert make_table(run.read()).footnotes == ()
