"""The maps of a frozen network: those of the extractor, differentiable in the images, and never trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from random_inception import write_random_weights
from torch import Tensor, nn

import genbench
from genbench.builtin.extractors import fashion_cnn, inception

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def maps() -> genbench.FeatureMaps:
    return genbench.feature_maps("fashion-cnn")


def images(*shape: int) -> Tensor:
    """Return images in [-1, 1] whose values are levels of 8 bits."""
    levels = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0))
    return levels.float() / 127.5 - 1


def test_the_last_map_leads_to_the_features_of_the_extractor(maps: genbench.FeatureMaps) -> None:
    """The layers that follow, of the extractor, turn it into what `fashion-cnn` measures with."""
    extractor = fashion_cnn.load(CPU)
    shown = images(4, 1, 28, 28)
    *_, last = maps(shown)
    pools = [index for index, layer in enumerate(extractor.network.features) if isinstance(layer, nn.MaxPool2d)]
    rest = extractor.network.features[pools[-1] + 1 :]
    expected = extractor(((shown + 1) * 127.5).round().to(torch.uint8))
    assert torch.allclose(rest(last), expected, atol=1e-4)


@pytest.mark.parametrize(("shape", "sides"), [((1, 28, 28), (14, 7, 3)), ((3, 64, 64), (32, 16, 8))])
def test_maps_have_the_stated_channels_and_sides(
    maps: genbench.FeatureMaps, shape: genbench.Shape, sides: tuple[int, ...]
) -> None:
    found = maps(images(2, *shape))
    assert [tuple(each.shape[1:]) for each in found] == [
        (channels, side, side) for channels, side in zip(maps.channels, sides, strict=True)
    ]


def test_the_images_get_a_gradient_and_the_network_none(maps: genbench.FeatureMaps) -> None:
    shown = images(2, 1, 28, 28).requires_grad_()
    sum(each.square().mean() for each in maps(shown)).backward()  # type: ignore[union-attr]
    assert shown.grad is not None
    assert bool((shown.grad.abs().sum((1, 2, 3)) > 0).all())
    assert list(maps.parameters()) == []
    assert not any(buffer.requires_grad for buffer in maps.buffers())


def test_training_mode_changes_nothing(maps: genbench.FeatureMaps) -> None:
    """Batch norms keep their statistics, and there is no dropout."""
    before, shown = {name: value.clone() for name, value in maps.state_dict().items()}, images(4, 1, 28, 28)
    in_evaluation = maps(shown)
    nn.Sequential(maps).train()
    assert all(torch.equal(one, other) for one, other in zip(maps(shown), in_evaluation, strict=True))
    assert all(torch.equal(value, before[name]) for name, value in maps.state_dict().items())


def test_colour_is_seen_as_its_luma(maps: genbench.FeatureMaps) -> None:
    grey = images(2, 1, 28, 28)
    for one, other in zip(maps(grey.expand(-1, 3, -1, -1)), maps(grey), strict=True):
        assert torch.allclose(one, other, atol=1e-4)


@pytest.mark.slow
def test_the_maps_of_inception_average_to_its_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENBENCH_INCEPTION_WEIGHTS", str(write_random_weights(tmp_path / "random.pth")))
    maps, shown = genbench.feature_maps("inception"), images(2, 1, 28, 28)
    with torch.no_grad():
        found = maps(shown)
        prepared = inception.STANDARD.prepare(((shown + 1) * 127.5).round().to(torch.uint8))
        features = inception.load(CPU).features_of_layers(prepared, inception.LAYERS)
    assert [tuple(each.shape[1:]) for each in found] == [(64, 73, 73), (192, 35, 35), (768, 17, 17), (2048, 8, 8)]
    averages = torch.cat(
        [each.mean((2, 3)) for each in found[2:]], 1
    )  # the first two are pooled before they are averaged
    assert torch.allclose(averages, features[:, -averages.shape[1] :], rtol=1e-3, atol=1e-3)


def test_without_weights_the_error_names_the_network_and_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENBENCH_INCEPTION_WEIGHTS", "/nowhere/inception.pth")
    with pytest.raises(genbench.GenbenchError, match=r"features of 'inception' are missing: .*/nowhere") as caught:
        genbench.feature_maps("inception")
    assert "choose other features" in caught.value.cure
