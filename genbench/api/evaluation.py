"""What is measured of a trained model: estimates, the features that they rest on, and what a metric is given."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from genbench.api.images import Images

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import Tensor

    from genbench.api.training import Likelihood, LikelihoodBound

Direction = Literal["lower", "higher"]  # which values are better
SetName = Literal["samples", "train", "test"]


@dataclass(frozen=True)
class Estimate:
    """One number with what is needed to compare it."""

    metric: str  # the name it has earned
    value: float
    standard_error: float | None  # of sampling the evaluation set; None: not known
    n: int  # how many images it rests on
    direction: Direction
    protocol: dict[str, str | int | float | bool] = field(default_factory=dict)  # numbers compare only where it agrees
    debiased: float | None = None  # less the bias of a finite number of images; None: there is none, or it is not known
    null: float | None = None  # what as many images of a perfect generator are expected to score; None: not known

    @property
    def finite(self) -> bool:
        """Whether the value is a number at all."""
        return math.isfinite(self.value)


@dataclass(frozen=True)
class Unavailable:
    """Why a metric has no value here, and what would give it one."""

    metric: str
    reason: str


class ExtractorUnavailable(Exception):
    """An extractor's weights are not at hand; the message says how to get them."""


class Extractor(Protocol):
    """A loaded extractor."""

    @property
    def name(self) -> str:
        """The name that its Fréchet distance has earned, such as 'fd-fashion-cnn'."""

    @property
    def protocol(self) -> Mapping[str, str | int | float | bool]:
        """Hash of the weights, layer, preprocessing: distances compare only where it agrees."""

    @property
    def whiten(self) -> bool:
        """Whether features are whitened by the statistics of the training images."""

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return float features (N, d) of uint8 images (N, channels, height, width), any size and 1 or 3 channels."""


@runtime_checkable
class Classifier(Extractor, Protocol):
    """An extractor whose network also tells classes apart."""

    def logits(self, features: Tensor) -> Tensor:
        """Return class logits (N, classes), float32, of features (N, d) on any device."""


class Rows(Protocol):
    """A matrix (N, d) of features that is read a part at a time: a tensor, or a file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""

    def __len__(self) -> int:
        """How many rows there are."""

    def __getitem__(self, rows: Tensor | slice) -> Tensor:
        """Return rows by number, or consecutive ones, (n, d)."""


@dataclass(frozen=True)
class Statistics:
    """What a Fréchet distance knows of a set of images: the Gaussian fitted to their features, in factored form."""

    mean: Tensor  # (d,), float64
    factor: Tensor  # (r, d), float64; factorᵀ factor is the covariance (divided by n - 1)
    n: int | None  # how many images it rests on; None: not known, as in a file of another program


@dataclass(frozen=True)
class ExtractorData:
    """What an extractor that is trained on the data at hand is given."""

    dataset: str  # name
    hash: str  # of pixels and labels of both splits
    train: Images
    test: Images
    cache: Path  # a directory for what has been trained
    class_names: tuple[str, ...] = ()


class Evaluation(Protocol):
    """What a metric is given: sets of images, features computed once, and a source of randomness."""

    device: torch.device
    batch_size: int
    seed: int

    @property
    def samples(self) -> Images:
        """The generated images, uint8 as they would be saved."""

    @property
    def train(self) -> Images:
        """The training images."""

    @property
    def test(self) -> Images:
        """The held-out images."""

    @property
    def reconstructions(self) -> tuple[Tensor, Tensor] | None:
        """Held-out images and their reconstructions, float in [0, 1], or None where the model does not reconstruct."""

    def extractor(self, name: str) -> Extractor:
        """Return the loaded extractor, or raise `ExtractorUnavailable`."""

    def features(self, name: str, images: SetName) -> Tensor:
        """Return float64 features (N, d) on the CPU; computed once per cell."""

    def rows(self, name: str, images: SetName) -> Rows:
        """Return the same features as the network gave them, which may lie on disk: to be read a part at a time."""

    def statistics(self, name: str, images: SetName) -> Statistics:
        """Return the Gaussian fitted to these features; computed once, that of the data once for all cells."""

    def logits(self, name: str, images: SetName) -> Tensor | None:
        """Return float64 class logits (N, classes) on the CPU; None where the extractor is no classifier."""

    def bound(self, draws: int, count: int | None = None) -> LikelihoodBound | None:
        """Return the bound on held-out images from `draws` latents each, float64 on the CPU; computed once.

        On all of them, or on `count` that are drawn at random, the same for every model. None where the model bounds
        no likelihood (`likelihood` then says None too).
        """

    @property
    def likelihood(self) -> Likelihood | None:
        """The likelihood of the model, or None where it has none."""

    @property
    def factors(self) -> Mapping[str, Tensor]:
        """Known factors of variation of the held-out images, name -> (N,); empty where the dataset knows none."""

    def generator(self, purpose: str) -> torch.Generator:
        """Return a CPU generator seeded for this purpose."""

    def modes(self, images: SetName) -> Tensor | None:
        """Return the mode that each image belongs to, int64 (N,), -1: to none; None where the dataset has no modes."""
