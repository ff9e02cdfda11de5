"""LPIPS with random weights of AlexNet against torchmetrics, and the reasons where something is missing."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from torch import Tensor

from genbench.api.evaluation import Estimate, Unavailable
from genbench.api.images import Images
from genbench.metrics.evaluation import CellEvaluation
from genbench.metrics.networks import perceptual_similarity
from genbench.metrics.networks.perceptual_similarity import VARIABLE, measure

torchvision = pytest.importorskip("torchvision")
pytest.importorskip("torchmetrics")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in place of the published ones."""
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(torchvision.models.alexnet(weights=None).state_dict(), path)
    return path


def pairs(n: int, channels: int, side: int) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(side)
    originals = torch.rand(n, channels, side, side, generator=rng)
    return originals, (originals + 0.2 * torch.randn(originals.shape, generator=rng)).clamp(0, 1)


def measured(reconstructions: tuple[Tensor, Tensor] | None) -> Estimate | Unavailable:
    nothing = Images(torch.zeros(2, 1, 4, 4, dtype=torch.uint8))
    given = CellEvaluation(
        samples=nothing,
        train=nothing,
        test=nothing,
        reconstructions=reconstructions,
        device=torch.device("cpu"),
        extractors={},
    )
    return measure(given)


@pytest.mark.parametrize(("channels", "side"), [(3, 64), (1, 32)])
def test_it_is_what_torchmetrics_computes_with_the_same_weights(
    weights: Path, channels: int, side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchmetrics.functional.image.lpips import _LPIPS

    monkeypatch.setenv(VARIABLE, str(weights))
    monkeypatch.setattr(perceptual_similarity, "_AT_ONCE", 2)
    originals, reconstructions = pairs(3, channels, side)
    theirs = _LPIPS(pretrained=True, net="alex", pnet_rand=True)
    stored = torch.load(weights, weights_only=True)
    layers = [one for part in range(1, 6) for one in getattr(theirs.net, f"slice{part}").named_children()]
    for number, layer in layers:
        if hasattr(layer, "weight"):
            layer.load_state_dict({key: stored[f"features.{number}.{key}"] for key in ("weight", "bias")})
    wide = [images.expand(-1, 3, -1, -1) for images in (originals, reconstructions)]
    expected = theirs(*wide, normalize=True).flatten().double()
    found = measured((originals, reconstructions))
    assert isinstance(found, Estimate)
    assert found.value == pytest.approx(float(expected.mean()), rel=1e-5)
    assert found.standard_error == pytest.approx(float(expected.std()) / 3**0.5, rel=1e-4)
    assert found.protocol["weights_sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()[:16]
    same = measured((originals, originals))
    assert isinstance(same, Estimate)
    assert same.value == 0


def test_without_weights_it_says_which_file_to_put_where(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    found = measured(pairs(2, 3, 32))
    assert isinstance(found, Unavailable)
    place = tmp_path / "hub" / "checkpoints" / "alexnet-owt-7be5be79.pth"
    assert f"{place} is not a file; put https://download.pytorch.org" in found.reason
    place.parent.mkdir(parents=True)
    place.write_bytes(b"other")
    found = measured(pairs(2, 3, 32))
    assert isinstance(found, Unavailable)
    assert "instead of the 7be5be79… of its name" in found.reason
    monkeypatch.setenv(VARIABLE, str(tmp_path / "absent.pth"))
    found = measured(pairs(2, 3, 32))
    assert isinstance(found, Unavailable)
    assert f"correct {VARIABLE}" in found.reason
    (tmp_path / "absent.pth").write_bytes(b"damaged")
    found = measured(pairs(2, 3, 32))
    assert isinstance(found, Unavailable)
    assert "the weights cannot be loaded" in found.reason


def test_images_that_are_too_small_or_not_reconstructed_have_none() -> None:
    for given, reason in ((pairs(2, 3, 28), "at least 31 pixels; these are 3×28×28"), (None, "does not reconstruct")):
        found = measured(given)
        assert isinstance(found, Unavailable)
        assert reason in found.reason
