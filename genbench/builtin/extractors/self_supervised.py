"""The extractor `self-supervised`: features of a small network trained on the images of the cell, without labels.

It learns by SimCLR: of many images it has to tell which two are crops of the same one (Chen et al. 2020,
arXiv:2002.05709, equation 1). Images are cropped and their brightness and contrast changed; they are neither mirrored
nor blurred, and colours are not exchanged, since a distance has to notice these. Like `classifier` it is trained once,
on the CPU, with a fixed seeded recipe, and cached. Its distance is named ``fd-ssl-<dataset>``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench import ExtractorData, ExtractorUnavailable
from genbench.builtin.extractors.classification import threads
from genbench.builtin.extractors.convolutional import FEATURES, ConvolutionalClassifier, prepare
from genbench.builtin.extractors.trained_features import SIZE, WIDTH, TrainedFeatures, ready, trained_once

RECIPE_VERSION = 1
PROJECTED = 256  # dimensions in which pairs are compared
BUDGET = 24_000  # training images in total, each in two crops: less than a minute on one CPU core
MOST_EPOCHS = 100  # limit for small sets
BATCH = 64
FEWEST = 16  # training images; fewer have too few others to be told from
LEARNING_RATE = 3e-3  # peak of one cycle
TEMPERATURE = 0.2
SMALLEST_CROP = 0.25  # of the area
BRIGHTNESS = 0.3  # largest relative change, also of the contrast


@dataclass(frozen=True)
class Facts:
    """Facts that are stored with the weights."""

    dataset: str
    data_hash: str
    channels: int
    recipe_version: int = RECIPE_VERSION
    torch: str = torch.__version__


class SelfSupervised(TrainedFeatures):
    """The loaded extractor; see `genbench.Extractor`."""

    def __init__(self, network: nn.Module, facts: Facts, sha256: str, dataset: str, device: torch.device) -> None:
        protocol: dict[str, str | int | float | bool] = {
            "weights_sha256": sha256[:16],
            "trained_on": facts.data_hash[:16],
            "recipe_version": facts.recipe_version,
            "method": "self-supervised, SimCLR",
            "layer": f"before the projection, {FEATURES} features",
        }
        network = ready(network, device)
        super().__init__(f"fd-ssl-{dataset}", network, network, facts.channels, protocol, device)


def load(device: torch.device, data: ExtractorData) -> SelfSupervised:
    """Return the network of this dataset: the cached one, or a new one.

    Raises `ExtractorUnavailable` for fewer than 16 training images, and for those with other than 1 or 3 channels.
    """
    count, channels = torch.as_tensor(data.train.pixels).shape[:2]
    if channels not in (1, 3):
        raise ExtractorUnavailable(f"images of '{data.dataset}' have {channels} channels; the network takes 1 or 3.")
    if count < FEWEST:
        raise ExtractorUnavailable(
            f"'{data.dataset}' has {count} training images; at least {FEWEST} are needed to learn features: "
            "use another extractor"
        )

    def train() -> tuple[nn.Module, dict[str, Any]]:
        return _train(data, channels), vars(Facts(data.dataset, data.hash, channels))

    cached = trained_once(data, ["self-supervised", RECIPE_VERSION], train)
    facts = Facts(**cached.facts)
    network = _network(facts.channels)
    network.load_state_dict(cached.tensors)
    return SelfSupervised(network, facts, cached.sha256, data.dataset, device)


def _network(channels: int) -> nn.Module:
    """Return the layers up to the features."""
    features = ConvolutionalClassifier(channels, SIZE, 1, WIDTH, normalised=True).features
    for layer in features:
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0  # the crops are noise enough
    return features.to(memory_format=torch.channels_last)


def _train(data: ExtractorData, channels: int) -> nn.Module:
    """Return the trained layers up to the features."""
    pixels = torch.as_tensor(data.train.pixels)
    count, rng = len(pixels), torch.Generator().manual_seed(0)
    size = min(BATCH, count // 2)
    per_epoch = count // size
    steps = max(1, min(BUDGET // size, MOST_EPOCHS * per_epoch))
    with threads(1), torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
        torch.manual_seed(0)  # initial weights use the global generator
        features = _network(channels).train()
        projection = nn.Sequential(
            nn.Linear(FEATURES, PROJECTED), nn.BatchNorm1d(PROJECTED), nn.ReLU(), nn.Linear(PROJECTED, PROJECTED)
        )
        weights = [*features.parameters(), *projection.parameters()]
        optimiser = torch.optim.AdamW(weights, lr=LEARNING_RATE, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps)
        order = torch.empty(0, dtype=torch.int64)
        for step in range(steps):
            data.show(f"training self-supervised features on {data.dataset}", step * size, steps * size)
            if len(order) < size:
                order = torch.randperm(count, generator=rng)
            chosen, order = order[:size], order[size:]
            images = prepare(pixels[chosen], channels, SIZE)
            pairs = torch.cat([_view(images, rng), _view(images, rng)]).contiguous(memory_format=torch.channels_last)
            loss = contrast(projection(features(pairs)), TEMPERATURE)
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()
    return features.eval()


def contrast(pairs: Tensor, temperature: float) -> Tensor:
    """Return the cross-entropy of finding each row's partner, among all other rows, by its cosine similarity.

    Row i and row i + N of `pairs` (2N, d) are partners.
    """
    rows = F.normalize(pairs, dim=1)
    similarity = (rows @ rows.T / temperature).fill_diagonal_(-torch.inf)
    partners = torch.arange(len(rows)).roll(len(rows) // 2)
    return F.cross_entropy(similarity, partners)


def _view(images: Tensor, rng: torch.Generator) -> Tensor:
    """Return a random crop of each image (N, C, H, W), at its size, with another brightness and contrast."""

    def uniform(low: float, high: float) -> Tensor:
        return torch.empty(len(images)).uniform_(low, high, generator=rng)

    side, ratio = uniform(SMALLEST_CROP, 1).sqrt(), uniform(-0.1, 0.1).exp()
    scales = torch.stack([(side * ratio).clamp(max=1), (side / ratio).clamp(max=1)])  # of width and height
    offsets = (1 - scales) * torch.stack([uniform(-1, 1), uniform(-1, 1)])
    crop = torch.cat([torch.diag_embed(scales.T), offsets.T.unsqueeze(2)], 2)  # (N, 2, 3)
    grid = F.affine_grid(crop, list(images.shape), align_corners=False)
    cropped = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    means = cropped.mean((1, 2, 3), keepdim=True)
    contrasts, brightness = (uniform(1 - BRIGHTNESS, 1 + BRIGHTNESS).view(-1, 1, 1, 1) for _ in range(2))
    return (means + (cropped - means) * contrasts) * brightness
