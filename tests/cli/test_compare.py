"""`genbench compare` on the cells of runs, and `genbench power`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from example_runs import cell, comparability, estimate, identity, stored

from genbench.cli import invoke

MEANS = {"gan": 20.0, "dcgan": 15.0, "vae": 20.01}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "run"
    noise = (0.0, 0.31, -0.22, 0.54, -0.41)
    cells = [
        cell(
            f"{model}-{dataset}-{seed}",
            identity(model, dataset=dataset, seed=seed),
            estimates=[
                estimate("diversity", 1.0 + value, direction="higher"),
                estimate("fd-cnn", mean + value * (1 + mean / 100), 0.1),
            ],
            comparability=comparability(data_hash=dataset[0] * 64),
        )
        for dataset in ("mini", "other")
        for model, mean in MEANS.items()
        for seed, value in enumerate(noise)
    ]
    stored(path, *cells)
    return path


def test_one_run_is_compared_with_itself(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["compare", str(results)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("fd-cnn (lower is better) on mini\n")  # a distance, not the first metric
    assert "corrected for 6 pairs (Holm); 6 paired by seed (t)" in said
    assert invoke(["compare", str(results), "--json", "--metric", "fd-cnn,diversity"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [group["metric"] for group in found["groups"]] == ["fd-cnn", "fd-cnn", "diversity", "diversity"]
    first = found["groups"][0]["cells"][0]
    assert (first["model"], first["letters"]) == ("dcgan", "a")
    assert first["variance_components"]["sampling"] == pytest.approx(0.01)
    pair = next(pair for pair in found["pairs"] if pair["one"].startswith("gan") and pair["other"].startswith("dcgan"))
    assert pair["conclusion"] == "gan · non-saturating · mini is worse than dcgan · non-saturating · mini"
    assert pair["low"] < 5.0 < pair["high"]
    assert pair["p_value"] <= pair["p_adjusted"] < 0.05
    assert pair["p_sign_flip"] == pair["p_wilcoxon"] == 2 / 2**5


def test_methods_over_datasets(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["compare", str(results), "--over-datasets"]) == 0
    said = capsys.readouterr().out
    assert "Benavoli et al. 2016" in said
    assert "With 2 datasets Wilcoxon's p cannot fall below 0.50: no pair can be decided." in said
    assert invoke(["compare", str(results), "--over-datasets", "--json", "--metric", "fd"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [method["average_rank"] for method in found["methods"]] == [1.0, 2.0, 3.0]
    assert found["nemenyi"]["critical_difference"] == pytest.approx(2.343 * 1.0, abs=0.01)  # q √(k(k+1) / 6N) = q


def test_power(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["power", str(results), "--detect", "1%", "--models", "gan,dcgan", "--metric", "fd"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(
        "fd-cnn: to see a difference of 1 % with a probability of 80 %, and any false difference with at most 5 %"
    )
    assert "of the variance is from drawing samples" in said
    assert invoke(["power", str(results), "--detect", "1%", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["pairs"]) == 6
    assert all(pair["seeds_low"] <= pair["seeds"] <= pair["seeds_high"] for pair in found["pairs"])
    assert {"cell", "seeds", "samples", "images", "hours"} <= set(found["cells"][0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", "RUN", "--junit", "file.xml"], "--junit belongs to the comparison of two results"),
        (["compare", "RUN", "RUN", "RUN"], "3 results cannot be compared"),
        (["compare", "RUN", "RUN", "--metric", "fd"], "2 results cannot be compared by --metric"),
        (["compare", "RUN", "--metric", "fd-cn"], "Did you mean 'fd-cnn'?"),
        (["compare", "RUN", "--metric", ","], "--metric names no metric"),
        (["compare", "RUN", "--over-datasets", "--metric", "all"], "ranked by one metric"),
        (["power", "RUN", "--detect", "nan"], "--detect nan cannot be read"),
        (["power", "RUN", "--detect", "0%"], "--detect 0% is not valid"),
        (["power", "RUN", "--detect", "5%", "--metric", "divercity"], "Did you mean 'diversity'?"),
        (["power", "RUN", "--detect", "5%", "--metric", "all"], "about one metric"),
        (["power", "RUN", "--detect", "5%", "--models", "dcgn"], "Did you mean 'dcgan'?"),
    ],
)
def test_bad_input_names_cause_and_remedy(
    arguments: list[str], message: str, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke([str(results) if argument == "RUN" else argument for argument in arguments]) == 2
    assert message in capsys.readouterr().err


def test_two_results_show_difference_interval_p_and_a_conclusion(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = (0.0, 0.31, -0.22, 0.54, -0.41)
    for name, shift in (("base", 0.0), ("head", -5.0)):
        cells = [
            cell(
                f"gan-{seed}",
                identity("gan", seed=seed),
                estimates=[estimate("fd-cnn", 20.0 + value + shift * (1 + value / 50))],
            )
            for seed, value in enumerate(noise)
        ]
        stored(tmp_path / name, *cells)
    sides = [str(tmp_path / "base"), str(tmp_path / "head")]
    invoke(["compare", *sides])
    said = capsys.readouterr().out
    assert "gan · non-saturating · mini fd-cnn: head is better than base (difference -5.00 (-5.0" in said
    assert "p < 0.001, paired t over 5 seeds)." in said
    assert "p: of no difference at all, two-sided, corrected for 2 tests (Holm)" in said  # with the throughput
    invoke(["compare", *sides, "--json"])
    findings = json.loads(capsys.readouterr().out)["findings"]
    found = next(finding for finding in findings if finding["quantity"] == "fd-cnn")
    assert found["difference"] == pytest.approx(-5.0, abs=0.01)
    assert found["difference_low"] < found["difference"] < found["difference_high"] < 0
    assert found["p_value"] <= found["p_adjusted"]
    assert (found["p_sign_flip"], found["p_wilcoxon"]) == (0.0625, 0.0625)
    assert found["conclusion"].startswith("head is better than base")
    speed = next(finding for finding in findings if finding["quantity"] == "throughput")
    assert speed["test"] == "Welch's t"  # a seed decides nothing about speed
