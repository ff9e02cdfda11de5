"""What plugins and genbench hand each other while a cell runs: images, batches, objectives, estimates; no torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, runtime_checkable

from genbench.options import OptionValue

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import torch
    from torch import Tensor, nn

    from genbench.specs import ModelSpec, Shape

Direction = Literal["lower", "higher"]  # which values are better
SetName = Literal["samples", "train", "test"]

# ----------------------------------------------------------------------------------------------------------------------
# Data


class Images(NamedTuple):
    """One split of a dataset, or one set of generated images."""

    pixels: Tensor | np.ndarray[Any, Any]  # uint8, (N, channels, height, width)
    labels: Tensor | np.ndarray[Any, Any] | None = None  # integers, (N,)


@dataclass(frozen=True)
class ImageData:
    """What a dataset's `load` returns."""

    train: Images
    test: Images  # held out: never trained on
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()  # what a reader of the results must know: files that were skipped, say
    factors: Mapping[str, Tensor] = field(default_factory=dict)  # of variation, of the held-out images: name -> (N,)


# ----------------------------------------------------------------------------------------------------------------------
# Learning


@dataclass(slots=True)
class Batch:
    """What a phase is given."""

    images: Tensor  # float, (B, channels, height, width), in the model's value range
    labels: Tensor | None  # int64, (B,); None unless the model is conditional
    rng: torch.Generator  # all randomness comes from here; it lives on the device
    last: bool  # no further repeat of this phase follows in this step
    shared: MutableMapping[str, Any]  # what one phase leaves for the next; emptied after each step
    progress: Tensor | None = None  # scalar on the device: the share of the budget consumed so far, in [0, 1)


class Objective(NamedTuple):
    """What a phase minimises, and the terms it is made of, which become curves."""

    total: Tensor  # scalar
    terms: Mapping[str, Tensor]  # scalars by name


@dataclass(frozen=True)
class Phase:
    """One player's update inside a step.

    `objective` must not read a tensor on the host (`.item()`, `.cpu()`, `print`): it runs inside a timed window.
    """

    name: str
    networks: tuple[str, ...]  # whose parameters this phase updates
    objective: Callable[[Batch], Objective]
    frozen: tuple[str, ...] = ()  # networks that it passes through and must not train
    every: int = 1  # runs in each step whose number divides by this
    repeats: int = 1  # updates per step, each on fresh images
    optimizer: str = ""  # the phase whose optimiser it shares: a lazy regulariser of the same player; empty: its own
    # Fields of the recipe that its optimiser wants otherwise than the recipe of the cell: optimizer, learning_rate,
    # beta1, beta2, momentum or weight_decay. They win over what users ask for: take them from options that users have.
    recipe: Mapping[str, OptionValue] = field(default_factory=dict)
    after_update: Callable[[], None] | None = None  # called after each optimiser step: clips weights, say


class Augmentation(Protocol):
    """A random, differentiable change of images in front of a discriminator, on real and generated ones alike."""

    def __call__(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Return changed images of the same shape, (B, channels, height, width), in the model's value range."""

    def observe(self, real_logits: Tensor) -> None:
        """Adapt the strength to how the discriminator judges real images, where the augmentation is adaptive."""

    def terms(self) -> Mapping[str, Tensor]:
        """Return what should become a curve: the current probability."""


@dataclass(frozen=True)
class Setup:
    """What a family is created from."""

    networks: Mapping[str, nn.Module]  # on the device; with a loss that has parameters, also `loss`
    loss: Any  # what the loss spec's `create` returned
    model: ModelSpec
    latent_dim: int
    num_classes: int
    recipe: Mapping[str, OptionValue]  # every recipe field by name
    device: torch.device
    train_size: int = 0  # training images
    image_shape: Shape = (0, 0, 0)  # of the dataset's images
    augmentation: Augmentation | None = None  # of what a discriminator sees; None: nothing


class Family(Protocol):
    """How networks learn (`phases`) and are used (`sample`, `reconstruct`)."""

    def phases(self) -> Sequence[Phase]:
        """Return the phases of a step, in order."""

    def sample(self, count: int, rng: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """Return `count` generated images in the model's value range; called in inference mode."""

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the images as the model sees them again; called only where the family reconstructs."""


@runtime_checkable
class LatentFamily(Family, Protocol):
    """A family that makes images from latents: only such models can be interpolated and truncated."""

    def latents(self, count: int, rng: torch.Generator) -> Tensor:
        """Return `count` latents drawn from the prior, (count, …)."""

    def generate(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return one image per latent in the model's value range; called in inference mode."""


@dataclass(frozen=True)
class LikelihoodBound:
    """What a likelihood model says of B images, from K latents each; nats, sums over pixels and latents."""

    log_weights: Tensor  # (K, B): log p(x|z) + log p(z) - log q(z|x); their mean over K is the ELBO
    distortion: Tensor  # (B,): -log p(x|z), mean over the K latents
    rate: Tensor  # (B,): KL(q(z|x) ‖ p(z))
    mean: Tensor  # (B, latent_dim): means of q(z|x)


@runtime_checkable
class LikelihoodFamily(Family, Protocol):
    """A family whose models bound the likelihood of an image, under the likelihood that their loss names."""

    @property
    def likelihood(self) -> Likelihood | None:
        """The kind of likelihood; None where this loss has none, or its encoder no distribution."""

    def bound(self, images: Tensor, draws: int, rng: torch.Generator, labels: Tensor | None = None) -> LikelihoodBound:
        """Return the bound on images (B, …) in the model's value range; called in inference mode."""


@dataclass(frozen=True)
class Likelihood:
    """What log p(x|z) means."""

    name: str  # such as 'gaussian'
    kind: Literal["discrete", "density", "cross-entropy"]  # of 256 levels; of real numbers; of grey pixels: none


@dataclass(frozen=True)
class AdversarialLoss:
    """The two players' losses, on logits of shape (B,), each a mean over the batch."""

    discriminator: Callable[[Tensor, Tensor], Tensor]  # (real_logits, fake_logits) -> scalar
    generator: Callable[[Tensor, Tensor | None], Tensor]  # (fake_logits, real_logits or None) -> scalar
    relativistic: bool = False  # the generator's loss is given real_logits too
    boundary: float | None = 0.0  # the logit between real and fake; None: only differences of logits mean anything
    # (discriminator, real, fake, rng) -> scalar, added to the discriminator's loss in fp32; takes per-sample norms
    penalty: Callable[[Callable[[Tensor], Tensor], Tensor, Tensor, torch.Generator], Tensor] | None = None
    penalty_every: int = 1  # lazy regularisation: a phase of its own in each k-th step, times the updates it stands for
    clip_weights: float | None = None  # the discriminator's parameters are kept in [-c, c] after each update
    alpha: float = 0.5  # of the weighted total αL_D + (1-α)L_G, which becomes a curve
    weighted: bool = False  # the two functions carry the factors α and 1 - α already


@dataclass(slots=True)
class Posterior:
    """What a variational loss is given for one batch of B images, each with K latents (`VariationalLoss.samples`)."""

    images: Tensor  # (B, channels, height, width), in [0, 1]
    logits: Tensor  # (K·B, channels, height, width), of the decoded means: sigmoid(logits) lies in [0, 1]
    mean: Tensor  # (B, latent_dim), of q(z|x)
    log_variance: Tensor  # (B, latent_dim), of q(z|x)
    latents: Tensor  # (K·B, latent_dim), drawn from q(z|x): the first B are one draw for each image, and so on
    prior: Tensor | None = None  # (B, latent_dim), drawn from the prior, where the loss asks for it
    train_size: int = 0  # training images
    progress: Tensor | None = None  # scalar: the share of the budget consumed so far, in [0, 1)


@dataclass(frozen=True)
class VariationalLoss:
    """The objective of a variational model; terms are sums over pixels or latents, means over the batch (nats)."""

    objective: Callable[[Posterior], Objective]
    samples: int = 1  # latents drawn per image
    deterministic: bool = False  # latents are the encoder's means, not draws
    uses_prior: bool = False  # `Posterior.prior` is filled
    module: nn.Module | None = None  # parameters of the loss itself, trained with the networks
    # (images in [0, 1], logits) -> -log p(x|z) of every decoded image, (N,); None: the loss is not a likelihood's
    nll: Callable[[Tensor, Tensor], Tensor] | None = None
    likelihood: Likelihood | None = None  # what `nll` means


# ----------------------------------------------------------------------------------------------------------------------
# Measuring


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
