"""Results compared with those of pytorch-fid, torch-fidelity and torchmetrics: same images, same random weights.

Where the convention is the same the values agree to 1e-5; where it is not, the test states the difference, and
docs/metrics.md explains it. The peers are in the extra `test`; a test whose peer is not installed is skipped.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_fid import fid_score
from random_inception import pytorch_fids_own, write_random_weights
from torch import Tensor, nn

from genbench.builtin.extractors import inception, inception_weights
from genbench.features.extract import extract
from genbench.metrics.class_score import class_score, score_of_splits
from genbench.metrics.frechet import frechet_distance, statistics
from genbench.metrics.kernel_distance import kernel_distance

pytestmark = pytest.mark.filterwarnings("ignore:The `disp` argument", "ignore:Metric `")

CPU = torch.device("cpu")
N, D = 300, 24  # of the features that are not Inception's: more rows than columns, as every peer's square root needs


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_weights(tmp_path_factory.mktemp("weights") / "random.pth")


@pytest.fixture(scope="module")
def pictures() -> tuple[Tensor, Tensor]:
    """Two sets of small colour images, the second paler."""
    rng = torch.Generator().manual_seed(5)
    real = torch.randint(256, (4, 3, 24, 20), generator=rng, dtype=torch.uint8)
    fake = torch.randint(100, 256, (3, 3, 24, 20), generator=rng, dtype=torch.uint8)
    return real, fake


@pytest.fixture
def extractor(weights: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv(inception_weights.VARIABLE, str(weights))
    return inception


def features(seed: int, shift: float = 0.0) -> Tensor:
    """Features like those of a network: positive, of unequal spread, correlated, float32."""
    rng = torch.Generator().manual_seed(seed)
    mixing = torch.randn(D, D, generator=torch.Generator().manual_seed(0))
    return (torch.randn(N, D, generator=rng) @ mixing + shift).relu() + 0.01 * torch.randn(N, D, generator=rng)


class Flat(nn.Module):
    """An extractor for torchmetrics whose features are the pixels."""

    num_features = D

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1).float()


def relative(found: float, expected: float) -> float:
    return abs(found - expected) / abs(expected)


# ----------------------------------------------------------------------------------------------------------------------
# pytorch-fid: the same, from files to distance


@pytest.mark.slow
def test_from_files_to_distance_as_pytorch_fid(
    extractor: Any, weights: Path, pictures: tuple[Tensor, Tensor], tmp_path: Path
) -> None:
    network = pytorch_fids_own(weights)
    gaussians, ours = [], []
    for name, pixels in zip("ab", pictures, strict=True):
        folder = tmp_path / name
        folder.mkdir()
        for number, image in enumerate(pixels):
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / f"{number}.png")
        files = sorted(folder.iterdir())
        theirs = fid_score.get_activations(files, network, batch_size=2, num_workers=0)
        own = extract(extractor.load(CPU), pixels, CPU, batch_size=2)
        assert np.linalg.norm(own.numpy() - theirs) < 1e-5 * np.linalg.norm(theirs)
        gaussians.append((theirs.mean(0), np.cov(theirs, rowvar=False)))
        ours.append(own)
    # Of 2048 features of a few images scipy's root is complex and slow: nothing is lost in the space they span.
    basis = torch.linalg.qr(torch.cat(ours).double().T).Q[:, :2].numpy()
    (mu, sigma), (other_mu, other_sigma) = [(mean @ basis, basis.T @ cov @ basis) for mean, cov in gaussians]
    expected = fid_score.calculate_frechet_distance(mu, sigma, other_mu, other_sigma)
    found = frechet_distance(*(statistics(one.double() @ torch.from_numpy(basis)) for one in ours))
    assert relative(found, expected) < 1e-5


def test_distance_of_features_as_pytorch_fid() -> None:
    one, other = features(1), features(2, 0.3)
    gaussians = [(f.double().numpy().mean(0), np.cov(f.double().numpy(), rowvar=False)) for f in (one, other)]
    expected = fid_score.calculate_frechet_distance(*gaussians[0], *gaussians[1])
    assert relative(frechet_distance(statistics(one), statistics(other)), float(expected)) < 1e-8


# ----------------------------------------------------------------------------------------------------------------------
# torch-fidelity


@pytest.mark.slow
def test_features_and_logits_of_the_tensorflow_variant_as_torch_fidelity(
    extractor: Any, weights: Path, pictures: tuple[Tensor, Tensor]
) -> None:
    peer = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    theirs = peer.FeatureExtractorInceptionV3(
        "peer", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(weights)
    )
    ours = extractor.load_legacy_tensorflow(CPU)
    with torch.inference_mode():
        expected, logits = theirs(pictures[0])
        found = ours(pictures[0])
        assert (found - expected).norm() < 1e-5 * expected.norm()
        assert (ours.logits(found) - logits).norm() < 1e-5 * logits.norm()
        plain = extractor.load(CPU)(pictures[0])  # its default is not pytorch-fid's: the resizing differs
        assert (plain - expected).norm() > 1e-3 * expected.norm()


def test_distance_as_torch_fidelity() -> None:
    peer = pytest.importorskip("torch_fidelity.metric_fid")
    one, other = features(1), features(2, 0.3)
    gaussians = [peer.fid_features_to_statistics(f.double()) for f in (one, other)]
    expected = peer.fid_statistics_to_metric(*gaussians, verbose=False)["frechet_inception_distance"]
    assert relative(frechet_distance(statistics(one), statistics(other)), expected) < 1e-8


def test_kernel_distance_of_whole_sets_as_torch_fidelity_of_one_subset_that_is_the_set() -> None:
    peer = pytest.importorskip("torch_fidelity.metric_kid")
    one, other = features(1).double(), features(2, 0.1).double()
    expected = peer.kid_features_to_metric(one, other, kid_subsets=1, kid_subset_size=N, verbose=False)
    found, _ = kernel_distance(one, other, [])
    assert relative(found, expected["kernel_inception_distance_mean"]) < 1e-8


def test_the_spread_of_torch_fidelitys_subsets_is_no_standard_error() -> None:
    peer = pytest.importorskip("torch_fidelity.metric_kid")
    one, other = features(1).double(), features(2, 0.1).double()
    blocks = list(torch.arange(N).chunk(20))
    error = kernel_distance(one, other, blocks)[1]
    assert error is not None
    by_size = [
        peer.kid_features_to_metric(one, other, kid_subsets=50, kid_subset_size=size, verbose=False) for size in (30, N)
    ]
    spreads = [found["kernel_inception_distance_std"] for found in by_size]
    assert spreads[0] > 2 * error  # of a tenth of the images
    assert spreads[1] < 1e-3 * error  # of subsets that are the whole set, shuffled


def test_class_score_of_splits_as_torch_fidelity() -> None:
    peer = pytest.importorskip("torch_fidelity.metric_isc")
    logits = features(3)
    expected = peer.isc_features_to_metric(logits, splits=10, shuffle=False)
    mean, deviation = score_of_splits(logits.double())
    assert relative(mean, expected["inception_score_mean"]) < 1e-8
    assert relative(deviation, expected["inception_score_std"]) < 1e-6
    whole = peer.isc_features_to_metric(logits, splits=1, shuffle=True)["inception_score_mean"]
    assert relative(class_score(logits), whole) < 1e-8  # which is what `is` reports


# ----------------------------------------------------------------------------------------------------------------------
# torchmetrics


def byte_images(seed: int, low: int = 0) -> Tensor:
    """Images of one row whose pixels are features: torchmetrics takes images only."""
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(low, 256, (N, 3, 1, D // 3), generator=rng, dtype=torch.uint8)


def test_distance_as_torchmetrics() -> None:
    peer = pytest.importorskip("torchmetrics.image.fid")
    real, fake = byte_images(1), byte_images(2, 20)
    metric = peer.FrechetInceptionDistance(feature=Flat())
    for half in (slice(0, N // 2), slice(N // 2, N)):
        metric.update(real[half], real=True)
        metric.update(fake[half], real=False)
    found = frechet_distance(statistics(real.flatten(1).double()), statistics(fake.flatten(1).double()))
    assert relative(found, float(metric.compute())) < 1e-5


def test_kernel_distance_as_torchmetrics() -> None:
    peer = pytest.importorskip("torchmetrics.image.kid")
    real, fake = byte_images(1), byte_images(2, 20)
    metric = peer.KernelInceptionDistance(feature=Flat(), subsets=1, subset_size=N)
    metric.update(real, real=True)
    metric.update(fake, real=False)
    found, _ = kernel_distance(fake.flatten(1).double(), real.flatten(1).double(), [])
    assert relative(found, float(metric.compute()[0])) < 1e-5


def test_class_score_as_torchmetrics_whose_deviation_divides_by_one_less() -> None:
    peer = pytest.importorskip("torchmetrics.image.inception")
    images = byte_images(3)
    metric = peer.InceptionScore(feature=Logits(), splits=10)
    metric.update(images)
    torch.manual_seed(0)  # it shuffles by the global generator
    order = torch.randperm(N)
    torch.manual_seed(0)
    mean, deviation = metric.compute()
    logits = Logits()(images)[order].double()
    expected, population = score_of_splits(logits)
    assert relative(expected, float(mean)) < 1e-5
    assert relative(population * (10 / 9) ** 0.5, float(deviation)) < 1e-4


class Logits(nn.Module):
    """Logits of moderate size from bytes."""

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1).float() / 40
