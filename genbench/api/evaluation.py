"""What is measured about a trained model: estimates, the features behind them, and what a metric receives."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar, runtime_checkable

from genbench.api.images import Images

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import Tensor

    from genbench.api.training import Likelihood, LikelihoodBound, LogLikelihood

Direction = Literal["lower", "higher"]  # which values are better
SetName = Literal["samples", "train", "test"]
T = TypeVar("T")


@dataclass(frozen=True)
class Estimate:
    """One measured value, with what is needed to compare it."""

    metric: str  # a name that the spec declares; stored is the full name, such as 'fd-fashion-cnn'
    value: float
    standard_error: float | None  # from sampling the evaluation set; None: unknown
    n: int  # number of images it was computed from
    direction: Direction
    protocol: dict[str, str | int | float | bool] = field(default_factory=dict)  # values compare only if it agrees
    debiased: float | None = None  # the value minus the bias of a finite sample; None: no bias, or unknown
    null: float | None = None  # expected value for a perfect generator and as many images; None: unknown
    remark: str = ""  # what a reader must know about the value, a footnote of it in tables; decides no comparison

    @property
    def finite(self) -> bool:
        """Whether the value is finite."""
        return math.isfinite(self.value)


@dataclass(frozen=True)
class Unavailable:
    """Why a metric has no value here, and what would make it available."""

    metric: str
    reason: str
    failed: bool = False  # set by genbench: its code raised an exception or broke the contract


class ExtractorUnavailable(Exception):
    """An extractor's weights are missing; the message says how to get them."""


class Extractor(Protocol):
    """A loaded extractor."""

    @property
    def name(self) -> str:
        """The name of its Fréchet distance, such as 'fd-fashion-cnn'."""

    @property
    def protocol(self) -> Mapping[str, str | int | float | bool]:
        """Hash of the weights, layer, preprocessing: distances are comparable only if it agrees."""

    @property
    def whiten(self) -> bool:
        """Whether features are whitened with the statistics of the training images."""

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return float features (N, d) of uint8 images (N, channels, height, width), any size and 1 or 3 channels."""


@runtime_checkable
class Classifier(Extractor, Protocol):
    """An extractor whose network is also a classifier."""

    def logits(self, features: Tensor) -> Tensor:
        """Return class logits (N, classes), float32, of features (N, d) on any device."""


class Rows(Protocol):
    """A matrix (N, d) of features that is read in parts: a tensor or a file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Numbers of rows and columns."""

    def __len__(self) -> int:
        """Number of rows."""

    def __getitem__(self, rows: Tensor | slice) -> Tensor:
        """Return rows by index, or a slice of them, (n, d)."""


@dataclass(frozen=True)
class Statistics:
    """A set of images as a Fréchet distance sees it: the Gaussian fitted to their features, in factored form."""

    mean: Tensor  # (d,), float64
    factor: Tensor  # (r, d), float64; factorᵀ factor is the covariance (divided by n - 1)
    n: int | None  # number of images; None: unknown, as in a file written by another program


def show_nothing(what: str, done: int, total: int) -> None:
    """Show no progress."""


@dataclass(frozen=True)
class ExtractorData:
    """What an extractor that trains on the cell's dataset receives."""

    dataset: str  # name
    hash: str  # of pixels and labels of both splits
    train: Images
    test: Images
    cache: Path  # a directory for trained weights
    class_names: tuple[str, ...] = ()
    show: Callable[[str, int, int], object] = show_nothing  # learns what is done, how much of it, and out of how much


class Evaluation(Protocol):
    """What a metric receives: sets of images, features computed once, and a source of randomness."""

    device: torch.device
    batch_size: int
    seed: int

    @property
    def samples(self) -> Images:
        """The generated images as uint8."""

    @property
    def train(self) -> Images:
        """The training images."""

    @property
    def test(self) -> Images:
        """The held-out images."""

    @property
    def reconstructions(self) -> tuple[Tensor, Tensor] | None:
        """Held-out images and their reconstructions, float in [0, 1], or None if the model does not reconstruct."""

    def extractor(self, name: str) -> Extractor:
        """Return the loaded extractor, or raise `ExtractorUnavailable`."""

    def features(self, name: str, images: SetName) -> Tensor:
        """Return float64 features (N, d) on the CPU; computed once per cell."""

    def rows(self, name: str, images: SetName) -> Rows:
        """Return the same features as the network computed them, possibly stored on disk: to be read in parts."""

    def statistics(self, name: str, images: SetName) -> Statistics:
        """Return the Gaussian fitted to these features; computed once per cell, for the data once for all cells."""

    def logits(self, name: str, images: SetName) -> Tensor | None:
        """Return float64 class logits (N, classes) on the CPU; None if the extractor is not a classifier."""

    def bound(self, draws: int, count: int | None = None) -> LikelihoodBound | None:
        """Return the likelihood bound of held-out images from `draws` latents each, float64 on the CPU; computed once.

        It covers all of them, or `count` of them drawn at random, the same for every model. None if the model does not
        bound a likelihood (`likelihood` is then None too).
        """

    @property
    def likelihood(self) -> Likelihood | None:
        """The likelihood of `bound`, or None if there is no bound."""

    def log_likelihood(self, draws: int, count: int | None = None) -> LogLikelihood | None:
        """Return the log-likelihood of the same held-out images, exact or bounded, float64 on the CPU; computed once.

        None if the model neither bounds nor computes a likelihood.
        """

    @property
    def factors(self) -> Mapping[str, Tensor]:
        """Known factors of variation of the held-out images, name -> (N,); empty if the dataset has none."""

    def generator(self, purpose: str) -> torch.Generator:
        """Return a CPU generator seeded for this purpose."""

    def of_data(self, key: str, compute: Callable[[], T]) -> T:
        """Return what `compute` returns from the training and held-out images alone; it is called once per cell.

        Evaluations during training repeat nothing that depends on the data only. `key` names the value: the metric, and
        whatever else the value depends on.
        """

    def modes(self, images: SetName) -> Tensor | None:
        """Return the mode of each image, int64 (N,), -1 for none; None if the dataset has no modes."""
