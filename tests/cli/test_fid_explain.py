"""`genbench fid --explain` through the real network with random weights, its exit codes and errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_fid import fid_score
from random_inception import pytorch_fids_own, write_random_weights
from tiny_inception import use_tiny_inception
from torch import Tensor

from genbench.builtin.extractors import inception_weights
from genbench.cli import invoke


@pytest.fixture
def folders(tmp_path: Path) -> tuple[str, str]:
    rng = torch.Generator().manual_seed(0)
    for name, lowest in (("real", 0), ("fake", 90)):
        (tmp_path / name).mkdir()
        for number in range(4):
            pixels = torch.randint(lowest, 256, (20, 24, 3), generator=rng, dtype=torch.uint8)
            Image.fromarray(pixels.numpy()).save(tmp_path / name / f"{number}.png")
    return str(tmp_path / "real"), str(tmp_path / "fake")


@pytest.mark.slow
def test_random_weights_in_the_real_network_give_the_values_of_the_extractors(
    folders: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(inception_weights.VARIABLE, str(write_random_weights(tmp_path / "random.pth")))
    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path / "cache"))
    assert invoke(["fid", *folders, "--explain", "--json", "--device", "cpu"]) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert "not the published weights" in printed.err
    names = {name: one["value"] for one in found["distances"] for name in one["names"]}
    for extractor, tool in (
        ("inception", "here"), ("inception-clean", "clean-fid"), ("inception-legacy-tensorflow", "torch-fidelity")
    ):  # fmt: skip
        assert invoke(["fid", *folders, "--extractor", extractor, "--json", "--device", "cpu"]) == 0
        (estimate,) = json.loads(capsys.readouterr().out)["estimates"]
        assert names[tool] == pytest.approx(estimate["value"], rel=1e-4)
    for waterfall in found["waterfalls"]:
        assert sum(step["effect"] for step in waterfall["steps"]) == pytest.approx(waterfall["difference"])


def as_pytorch_fid(folder: str, weights: Path) -> Tensor:
    return torch.from_numpy(fid_score.get_activations(files_of(folder), pytorch_fids_own(weights), num_workers=0))


def as_clean_fid(folder: str, weights: Path) -> Tensor:
    """Clean-fid's resizing and scale, before pytorch-fid's network: its own has the same weights in TorchScript."""
    resize = pytest.importorskip("cleanfid.resize").make_resizer("PIL", False, "bicubic", (299, 299))
    network = pytorch_fids_own(weights)
    network.resize_input = network.normalize_input = False
    resized = [torch.tensor(resize(np.asarray(Image.open(path)))).permute(2, 0, 1) for path in files_of(folder)]
    with torch.inference_mode():
        return network((torch.stack(resized) - 128) / 128)[0].flatten(1)


def as_torch_fidelity(folder: str, weights: Path) -> Tensor:
    """Whose resizing is TensorFlow's."""
    peer = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    network = peer.FeatureExtractorInceptionV3("peer", ["2048"], feature_extractor_weights_path=str(weights))
    pixels = [torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1) for path in files_of(folder)]
    with torch.inference_mode():
        return network(torch.stack(pixels))[0]


def files_of(folder: str) -> list[Path]:
    return sorted(Path(folder).iterdir())


@pytest.mark.slow
def test_the_value_of_a_tool_is_the_tools_own(
    folders: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From files to distance, by each tool's own code with the same random weights; distances by torch-fidelity's."""
    peer = pytest.importorskip("torch_fidelity.metric_fid")
    weights = write_random_weights(tmp_path / "random.pth")
    monkeypatch.setenv(inception_weights.VARIABLE, str(weights))
    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path / "cache"))
    assert invoke(["fid", *folders, "--explain", "--json", "--device", "cpu"]) == 0
    found = json.loads(capsys.readouterr().out)["distances"]
    names = {name: one["value"] for one in found for name in one["names"]}
    theirs = {}
    for tool, features_of in (
        ("pytorch-fid", as_pytorch_fid), ("clean-fid", as_clean_fid), ("torch-fidelity", as_torch_fidelity)
    ):  # fmt: skip
        both = [features_of(folder, weights).double() for folder in folders]
        basis = torch.linalg.qr(torch.cat(both).T).Q  # 2048 features of eight images: nothing is lost in their span
        gaussians = [peer.fid_features_to_statistics(one @ basis) for one in both]
        theirs[tool] = peer.fid_statistics_to_metric(*gaussians, verbose=False)["frechet_inception_distance"]
        assert names[tool] == pytest.approx(theirs[tool], rel=1e-4)
    assert min(abs(theirs["pytorch-fid"] / theirs[tool] - 1) for tool in ("clean-fid", "torch-fidelity")) > 1e-3


def test_weights_that_are_not_published_are_not_comparable(
    folders: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_tiny_inception(monkeypatch, tmp_path)
    assert invoke(["fid", *folders, "--protocol", "clean-fid"]) == 4
    assert "not comparable: weights could not be done as stated" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--explain", "--metrics", "kid"], "--metrics has no meaning with --explain"),
        (["--explain", "--save-stats", "a.npz"], "--save-stats has no meaning"),
        (["--explain", "--n-real", "9"], "--n-real has no meaning"),
        (["--explain", "--set", "vendi.order=2"], "--set has no meaning"),
        (["--protocol", "pytorch-fit"], "Did you mean 'pytorch-fid'?"),
        (["--protocol", ""], "states nothing"),
        (["--figure", "a.svg"], "Add --explain"),
        (["--explain", "--figure", "a.gif"], "not the name of a figure"),
    ],
)
def test_what_is_refused(
    arguments: list[str], said: str, folders: tuple[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert invoke(["fid", *folders, *arguments]) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.out == ""


def test_one_side_has_nothing_to_explain(folders: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["fid", folders[0], "--explain"]) == 2
    assert "FAKE is missing" in capsys.readouterr().err
