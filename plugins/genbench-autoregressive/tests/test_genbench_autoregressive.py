"""Autoregressive models: causality, probabilities that sum to 1, samples from the network's own predictions, counts."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import genbench_autoregressive
import pytest
import torch
import warm
from genbench_autoregressive import PixelCNNOptions, TransformerOptions, pixelcnn, transformer
from genbench_autoregressive.family import Autoregressive, AutoregressiveNLL
from genbench_autoregressive.logistic_mixture import Mixture, draw, log_probability, outputs, split
from torch import Tensor

import genbench

MODELS = {spec.name: spec for spec in genbench_autoregressive.genbench_models()}
CPU = torch.device("cpu")
SHAPES = [(1, 4, 4), (3, 5, 7), (2, 9, 6)]  # even, odd, more than one block of attention
LABELS = torch.tensor([0, 2])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def levels_of(count: int, shape: genbench.Shape, seed: int = 0) -> Tensor:
    return torch.randint(256, (count, *shape), generator=generator(seed)).float()


def convolutions(shape: genbench.Shape, classes: int = 0) -> Any:
    torch.manual_seed(0)
    make = pixelcnn.build_conditional if classes else pixelcnn.build
    return make(shape, 1, classes, PixelCNNOptions(6, 2, 3))["predictor"].eval()


def attention(shape: genbench.Shape, classes: int = 0) -> Any:
    """Return a network whose predictions depend on what they may depend on."""
    torch.manual_seed(0)
    make = transformer.build_conditional if classes else transformer.build
    network = make(shape, 1, classes, TransformerOptions(8, 2, 2, 10))["predictor"].eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(10)
    return network


NETWORKS = pytest.mark.parametrize("network", [convolutions, attention])


@pytest.mark.parametrize("shape", SHAPES)
def test_predictions_of_pixelcnn_depend_on_earlier_pixels_and_on_all_of_those_nearby(shape: genbench.Shape) -> None:
    network = convolutions(shape).double()
    levels = levels_of(1, shape).double().requires_grad_()
    parameters = network.parameters_of(levels)
    assert parameters.dtype == torch.float64
    width = shape[2]
    for pixel in range(shape[1] * width):
        row, column = divmod(pixel, width)
        (gradient,) = torch.autograd.grad(parameters[0, :, row, column].square().sum(), levels, retain_graph=True)
        reached = (gradient[0].abs().sum(0) > 0).flatten()
        assert not reached[pixel:].any()
        for before, above in ((0, 1), (1, 0), (1, 1), (-1, 1)):  # left, above, and the neighbours of that
            if row >= above and 0 <= column - before < width:
                assert reached[(row - above) * width + column - before]


@pytest.mark.parametrize("shape", SHAPES)
def test_predictions_of_the_transformer_depend_on_earlier_values_only(shape: genbench.Shape) -> None:
    """Levels are indices, so the gradient is that of their embeddings, one for each value."""
    network = attention(shape).double()
    found: list[Tensor] = []
    network.levels.register_forward_hook(lambda _module, _inputs, output: found.append(output) or None)
    logits = network.logits(levels_of(1, shape))
    (embedded,) = found
    for number in range(logits.shape[1]):
        (gradient,) = torch.autograd.grad(logits[0, number].square().sum(), embedded, retain_graph=True)
        reached = gradient[0].abs().sum(1) > 0
        assert not reached[number:].any()
        start = max(0, (number // 10 - 1) * 10 - 1)  # two layers reach back further than the block before
        assert reached[start:number].all()


@NETWORKS
@pytest.mark.parametrize("shape", SHAPES)
def test_the_likelihood_of_an_image_is_that_of_its_values_in_order(network: Any, shape: genbench.Shape) -> None:
    """Changing the last pixel changes the factor of that pixel alone: over all its levels, P sums to P of the rest."""
    predictor = network((1, *shape[1:]))
    start = levels_of(1, (1, *shape[1:]))
    images = start.repeat(256, 1, 1, 1)
    images[:, 0, -1, -1] = torch.arange(256.0)
    other = start.clone()
    other[0, 0, -1, -2] = (other[0, 0, -1, -2] + 100) % 256
    with torch.inference_mode():
        rest = predictor(images).double().logsumexp(0)
        changed = predictor(torch.cat([other] * 256)).double()
    assert float(rest) < 0
    assert not torch.isclose(changed[0], rest)
    # The factors before the last pixel are the same in every image, so this is the sum of its probabilities.
    first = _log_probabilities_before_last(predictor, start)
    torch.testing.assert_close(rest, first, atol=1e-3, rtol=1e-5)


def _log_probabilities_before_last(predictor: Any, levels: Tensor) -> Tensor:
    """Return log P of all values but the last."""
    with torch.inference_mode():
        if isinstance(predictor, transformer.ImageTransformer):
            chosen = levels.long().flatten(1)[..., None]
            return predictor.logits(levels).log_softmax(2).gather(2, chosen)[0, :-1].double().sum()
        parts = split(predictor.parameters_of(levels), 1)
        total = torch.zeros((), dtype=torch.float64)
        for row in range(levels.shape[2]):
            for column in range(levels.shape[3] - (row == levels.shape[2] - 1)):
                pixel = Mixture(*(part[..., row : row + 1, column : column + 1] for part in parts))
                total += log_probability(pixel, levels[..., row : row + 1, column : column + 1]).double()[0]
        return total


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_pixelcnn_draws_from_the_predictions_of_the_whole_network(
    shape: genbench.Shape, classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor, given = convolutions(shape, classes), (LABELS,) if classes else ()
    used: list[Mixture] = []
    monkeypatch.setattr(pixelcnn, "draw", lambda mixture, rng: (used.append(mixture), draw(mixture, rng))[1])
    with torch.inference_mode():
        levels = predictor.sample(2, generator(), *given)
        expected = split(predictor.parameters_of(levels, *given), shape[0])
    for number, part in enumerate(expected):
        found = torch.cat([mixture[number] for mixture in used], -1).view(part.shape)
        torch.testing.assert_close(found, part, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_transformer_draws_from_the_predictions_of_the_whole_network(
    shape: genbench.Shape, classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor, given = attention(shape, classes), (LABELS,) if classes else ()
    used: list[Tensor] = []
    monkeypatch.setattr(transformer, "softmax", lambda x, dim: (used.append(x.softmax(dim)), used[-1])[1])
    with torch.inference_mode():
        levels = predictor.sample(2, generator(), *given)
        expected = predictor.logits(levels, *given).softmax(2)
    torch.testing.assert_close(torch.stack(used, 1), expected, atol=1e-5, rtol=1e-3)


def mixture_of(count: int, channels: int, mixtures: int = 2) -> Mixture:
    parameters = torch.randn(count, outputs(mixtures, channels), 1, 1, generator=generator(5))
    parts = split(parameters.double(), channels)
    return parts._replace(log_scales=parts.log_scales - 3)


@pytest.mark.parametrize("scale", [-7.0, -3.0, 0.0, 4.0])
def test_the_probabilities_of_all_levels_of_a_pixel_sum_to_one(scale: float) -> None:
    levels = torch.arange(256.0, dtype=torch.float64).view(-1, 1, 1, 1)
    parts = mixture_of(1, 1)
    parts = parts._replace(log_scales=torch.full_like(parts.log_scales, scale))
    assert float(log_probability(parts, levels).exp().sum()) == pytest.approx(1, abs=1e-6)


def test_the_probabilities_of_two_channels_sum_to_one() -> None:
    pairs = torch.cartesian_prod(torch.arange(256.0), torch.arange(256.0)).double().view(-1, 2, 1, 1)
    parts = Mixture(*(part.expand(len(pairs), *part.shape[1:]) for part in mixture_of(1, 2)))
    assert float(log_probability(parts, pairs).exp().sum()) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_drawn_with_their_probabilities(channels: int) -> None:
    """The frequencies of levels are their probabilities; E Q/P over draws from P is 1 for any other distribution Q."""
    count = 40_000
    parts = Mixture(*(part.expand(count, *part.shape[1:]) for part in mixture_of(1, channels)))
    drawn = draw(parts, generator(1))
    found = log_probability(parts, drawn)
    if channels == 1:
        levels = torch.arange(256.0, dtype=torch.float64).view(-1, 1, 1, 1)
        log_p = log_probability(mixture_of(1, 1), levels)
        expected = torch.bincount(drawn.flatten().long(), minlength=256).double() / count
        error = (log_p.exp() / count).sqrt() + 1 / count
        assert ((expected - log_p.exp()).abs() < 5 * error).all()
    other = parts._replace(log_scales=parts.log_scales - 0.1, means=parts.means + 0.01)
    ratio = (log_probability(other, drawn) - found).exp()
    assert float(ratio.mean()) == pytest.approx(1, abs=5 * float(ratio.std()) / math.sqrt(count))


@NETWORKS
def test_samples_are_levels_and_follow_from_the_generator_and_the_labels(network: Any) -> None:
    name = "cpixelcnn-pp" if network is convolutions else "cimage-transformer"
    networks = {"predictor": network((1, 4, 4), 3)}
    setup = genbench.Setup(networks, AutoregressiveNLL(None), MODELS[name], 16, 3, {}, CPU, image_shape=(1, 4, 4))
    player = Autoregressive(setup)
    assert isinstance(player, genbench.ExactLikelihoodFamily)
    with torch.inference_mode():
        images, again = (player.sample(2, generator(3), LABELS) for _ in range(2))
        assert torch.equal(images, again)
        assert not torch.equal(images, player.sample(2, generator(4), LABELS))
        torch.testing.assert_close((images * 255).round() / 255, images)
        assert images.min() >= 0
        assert images.max() <= 1
        one, other = (player.log_likelihood(images, generator(), labels) for labels in (LABELS, LABELS.flip(0)))
    assert not torch.allclose(one, other)


def test_the_authors_pixelcnn_has_54_million_parameters() -> None:
    """160 filters, 5 blocks, 10 mixtures, images of 3 channels, counted by layers, without weight normalisation."""
    f, n, mixtures = 160, 5, 10
    down, up = 3 * n, n + 2 * (n + 1)

    def convolution(inputs: int, outputs_: int, values: int) -> int:
        return inputs * outputs_ * values + outputs_

    def block(values: int, further: int) -> int:
        extra = convolution(2 * further, f, 1) if further else 0
        return convolution(2 * f, f, values) + convolution(2 * f, 2 * f, values) + extra

    vertical = down * block(6, 0) + up * block(6, f) + 4 * convolution(f, f, 6)
    horizontal = down * block(4, f) + up * block(4, 2 * f) + 4 * convolution(f, f, 4)
    first = convolution(4, f, 6) + convolution(4, f, 3) + convolution(4, f, 2)
    expected = vertical + horizontal + first + convolution(f, mixtures * 10, 1)
    with torch.device("meta"):
        network = pixelcnn.build((3, 32, 32), 1, 0, PixelCNNOptions(f, n, mixtures))["predictor"]
    assert sum(p.numel() for p in network.parameters()) == expected
    assert round(expected / 1e6) == 54


def test_the_layers_of_the_smallest_igpt_have_76_million_parameters() -> None:
    """24 layers of 512 features: attention 4·512² + 4·512, dense layers 8·512² + 5·512, two norms of 2·512 each."""
    f = 512
    layer = (4 * f * f + 4 * f) + (8 * f * f + 5 * f) + 4 * f
    around = f + 256 * f + (32 + 32 + 3) * f + 2 * f + 256 * f + 256  # start, levels, places, norm, logits
    with torch.device("meta"):
        network = transformer.build((3, 32, 32), 1, 0, TransformerOptions(f, 24, 8, 512))["predictor"]
    assert sum(p.numel() for p in network.parameters()) == 24 * layer + around
    assert round(24 * layer / 1e6) == 76


def test_what_cannot_be_combined_is_refused() -> None:
    with pytest.raises(TypeError, match="creates an AutoregressiveNLL, not NoneType"):
        Autoregressive(genbench.Setup({}, None, MODELS["pixelcnn-pp"], 4, 0, {}, CPU))
    centred = genbench.ModelSpec(name="centred", family="autoregressive", build=pixelcnn.build, default_loss="x")
    with pytest.raises(genbench.GenbenchError, match="value range of model 'centred'"):
        Autoregressive(genbench.Setup({}, AutoregressiveNLL(None), centred, 4, 0, {}, CPU))
    with pytest.raises(genbench.GenbenchError, match="no multiple of its 3 heads"):
        transformer.build((1, 4, 4), 1, 0, TransformerOptions(8, 1, 3, 4))
    with pytest.raises(genbench.GenbenchError, match="or the model 'pixelcnn-pp'"):
        pixelcnn.build_conditional((1, 4, 4), 1, 0, PixelCNNOptions())


def test_the_specs_import_no_torch() -> None:
    code = "import sys, genbench_autoregressive as g; list(g.genbench_models()); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_run_measures_an_exact_likelihood_in_the_column_of_a_bound(tmp_path: Path) -> None:
    out = tmp_path / "run"
    sets = ["image-transformer.width=8", "image-transformer.layers=1", "vae.hidden=16"]
    given = [part for setting in [*sets, "elbo.likelihood=logistic"] for part in ("--set", setting)]
    asked = ["--models", "image-transformer,vae", "--profile", "smoke", "--metrics", "likelihood"]
    data = ["--datasets", "shapes", "--set", "shapes.size=8", "--set", "shapes.count=200", "--images", "160"]
    quick = ["--samples", "8", "--in-process", "--threads", "1"]
    command = ["run", *asked, *given, *data, *quick, "--out", str(out)]
    done = warm.command(*command)
    assert done.returncode == 0, done.stderr
    cells = [json.loads(path.read_text()) for path in (out / "cells").glob("*.json")]
    found = {cell["identity"]["model"]["name"]: {e["metric"]: e for e in cell["estimates"]} for cell in cells}
    assert len({estimates["bits-per-dim"]["protocol"]["likelihood"] for estimates in found.values()}) == 1
    assert "lower bound" in found["vae"]["bits-per-dim"]["remark"]
    assert found["image-transformer"]["bits-per-dim"]["remark"].startswith("exact")
    assert found["image-transformer"]["elbo"]["value"] == pytest.approx(found["image-transformer"]["iwae-k64"]["value"])
