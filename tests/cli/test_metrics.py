"""`genbench metrics`: verdicts as exit codes, figures, and what is refused."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from genbench.cli import invoke
from genbench.errors import ExitCode

ROOT = Path(__file__).parents[2]
PLUGIN = """
import genbench
import torch

class Made:
    whiten = True
    protocol = {"layer": "made"}

    def __init__(self, device, blind):
        self.name, self.blind = "fd-blind" if blind else "fd-made", blind

    def __call__(self, pixels):
        images = pixels.float() / 255
        parts = images.unflatten(2, (2, -1)).unflatten(4, (2, -1)).mean((1, 3, 5)).flatten(1)
        if self.blind:
            return torch.randn(len(images), 4, generator=torch.Generator().manual_seed(0))
        if torch.is_autocast_enabled("cpu"):
            parts = parts + 1
        return torch.cat([parts, images.diff(dim=3).square().mean((1, 2, 3)).view(-1, 1)], 1)

def load_none(device):
    raise genbench.ExtractorUnavailable("the weights are missing: put them there")

@genbench.hookimpl
def genbench_extractors():
    yield genbench.ExtractorSpec(name="made", load=lambda device: Made(device, False), default=False)
    yield genbench.ExtractorSpec(name="blind", load=lambda device: Made(device, True), default=False)
    yield genbench.ExtractorSpec(name="none", load=load_none, default=False)
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "made.py"
    path.write_text(PLUGIN)
    return str(path)


def test_a_certificate_is_printed_as_json_and_drawn(
    plugin: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figure = tmp_path / "ladder.svg"
    code = invoke(
        ["metrics", "certify", "made", "--plugin", plugin, "--samples", "200", "--json", "--out", str(figure)]
    )
    found = json.loads(capsys.readouterr().out)
    assert code == {"monotone": 0, "not monotone": 1, "undecided": 3}[found["verdict"]]
    assert found["floor"]["n"] == 200
    assert [ladder["rungs"][0]["severity"] for ladder in found["ladders"]] == [0, 0, 0, 0]
    assert ElementTree.parse(figure).getroot().tag.endswith("svg")


def test_an_extractor_that_sees_nothing_is_not_certified(plugin: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = invoke(["metrics", "certify", "blind", "--plugin", plugin, "--samples", "100"])
    assert code in (ExitCode.REGRESSED, ExitCode.INCONCLUSIVE)
    assert "verdict: monotone" not in capsys.readouterr().out


def test_a_fast_path_that_changes_features_is_refused(plugin: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["metrics", "accept", "made", "--plugin", plugin, "--samples", "100", "--precision", "bf16"]
    assert invoke(command) == ExitCode.REGRESSED
    assert capsys.readouterr().out.endswith("\nnot accepted\n")


@pytest.mark.parametrize(
    ("arguments", "code", "cause"),
    [
        (["certify", "fashion-cn"], ExitCode.USAGE, "Did you mean 'fashion-cnn'"),
        (["certify", "none"], ExitCode.FAILED_CELLS, "put them there"),
        (["certify", "made", "--dataset", "gaussian-ring"], ExitCode.USAGE, "2-D points, not images"),
        (["certify", "made", "--dataset", "fashion-mnist-min"], ExitCode.USAGE, "fashion-mnist-mini"),
        (["certify", "made", "--out", "ladder.jpg"], ExitCode.USAGE, "Use one of the suffixes .pdf, .svg, .png"),
        (["accept", "made"], ExitCode.USAGE, "no fast path to check"),
        (["accept", "made", "--precision", "bf16", "--device", "cud"], ExitCode.USAGE, "Unknown device"),
    ],
)
def test_invalid_arguments_are_usage_errors(
    arguments: list[str], code: ExitCode, cause: str, plugin: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["metrics", *arguments, "--plugin", plugin]) == code
    assert cause in capsys.readouterr().err


def test_the_committed_certificate_of_the_built_in_extractor_is_monotone() -> None:
    found = json.loads((ROOT / "results" / "reference" / "certificate-fashion-cnn.json").read_text())
    assert found["verdict"] == "monotone"
    assert {*found["verdicts"].values()} == {"monotone"}
    figure = (ROOT / "docs" / "pictures" / "fashion-cnn-ladder.svg").read_text()
    for number, ladder in enumerate(found["ladders"]):
        drawn = figure.split(f'<g id="levels-{number}">')[1].split("\n   </g>")[0]
        assert drawn.count("<use ") == len(ladder["rungs"])


@pytest.mark.slow
def test_the_built_in_extractor_is_certified_again_and_bf16_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path))
    assert invoke(["metrics", "certify", "fashion-cnn"]) == ExitCode.OK
    assert invoke(["metrics", "accept", "fashion-cnn", "--precision", "bf16"]) == ExitCode.OK
