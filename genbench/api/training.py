"""How networks are trained: batches, phases, families, and the losses of the built-in families."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias, get_args, runtime_checkable

from genbench.api.options import OptionValue
from genbench.errors import SpecError, near_miss

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


@dataclass(slots=True)
class Batch:
    """What a phase receives."""

    images: Tensor  # float, (B, channels, height, width), in the model's value range
    labels: Tensor | None  # int64, (B,); None unless the model is conditional
    rng: torch.Generator  # on the device; the only source of randomness
    last: bool  # whether this is the last repeat of the phase in this step
    shared: MutableMapping[str, Any]  # passed on from phase to phase; emptied after each step
    progress: Tensor | None = None  # scalar on the device: fraction of the budget consumed so far, in [0, 1)


class Objective(NamedTuple):
    """What a phase minimises, and its terms, which are recorded as curves."""

    total: Tensor  # scalar
    terms: Mapping[str, Tensor]  # scalars by name


@dataclass(frozen=True)
class Phase:
    """One player's update inside a step.

    Consecutive phases with the same `joint` are computed from one forward pass: their objectives are evaluated one
    after the other on the same `Batch`, where the first leaves what the others need in `batch.shared`, with its graph.
    Each then gets its gradient with respect to its own networks alone, and only then do the networks change.

    `objective` must not read a tensor on the host (`.item()`, `.cpu()`, `print`): it runs inside a timed window.
    """

    name: str
    networks: tuple[str, ...]  # networks whose parameters this phase updates
    objective: Callable[[Batch], Objective]
    frozen: tuple[str, ...] = ()  # networks that it uses but must not train
    every: int = 1  # runs in every step whose number is a multiple of this
    repeats: int = 1  # updates per step, each with new images
    optimizer: str = ""  # the phase whose optimiser it shares, for a lazy regulariser; empty: its own
    # Recipe fields that differ for its optimiser: optimizer, learning_rate, beta1, beta2, momentum or weight_decay.
    # They replace the defaults of the recipe, the model and the loss; what a user changed from those wins.
    recipe: Mapping[str, OptionValue] = field(default_factory=dict)
    after_update: Callable[[], None] | None = None  # called after each optimiser step, for example to clip weights
    # Factors of learning_rate or weight_decay for its optimiser, such as {"learning_rate": 4}, whoever chose the value
    recipe_factors: Mapping[str, float] = field(default_factory=dict)
    joint: str = ""  # the name of a group of phases that share a forward pass; empty: it makes its own


@runtime_checkable
class ScheduledNetwork(Protocol):
    """A network that changes during training, such as one that grows.

    The built-in families call `set_progress` of every such network at the beginning of each phase. What it keeps
    belongs in a buffer: it is then saved with the weights, and images are sampled at the progress that was reached.
    """

    def set_progress(self, progress: Tensor) -> None:
        """Take the fraction of the budget consumed so far, a scalar in [0, 1) on the device; read nothing from it."""


class Augmentation(Protocol):
    """A random, differentiable change of the discriminator's inputs, both real and generated images."""

    def __call__(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Return changed images of the same shape, (B, channels, height, width), in the model's value range."""

    def observe(self, real_logits: Tensor) -> None:
        """Adapt the strength to the discriminator's logits of real images, if the augmentation is adaptive."""

    def terms(self) -> Mapping[str, Tensor]:
        """Return scalars to record as curves, such as the current probability."""


class Family(Protocol):
    """How networks are trained (`phases`) and used (`sample`, `reconstruct`)."""

    def phases(self) -> Sequence[Phase]:
        """Return the phases of a step, in order."""

    def sample(self, count: int, rng: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """Return `count` generated images in the model's value range; called in inference mode."""

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the model's reconstructions of the images; called only if the family reconstructs."""


@runtime_checkable
class LatentFamily(Family, Protocol):
    """A family that generates images from latents: only such models can be interpolated and truncated."""

    def latents(self, count: int, rng: torch.Generator) -> Tensor:
        """Return `count` latents drawn from the prior, (count, …)."""

    def generate(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return one image per latent in the model's value range; called in inference mode."""


@runtime_checkable
class CheckedFamily(Family, Protocol):
    """A family that checks what its networks return before a cell trains."""

    def check_networks(self, images: Tensor, labels: Tensor | None = None) -> None:
        """Raise `SpecError` if a network does not return what the family, the model or the loss needs.

        Called once, when a cell is built, in inference and evaluation mode, with a few images in the model's value
        range. The message names the network, what was expected and what was returned.
        """


@dataclass(frozen=True)
class Sampler:
    """A sampler that the family declares, as a user chose it."""

    name: str
    options: Any  # an instance of its options dataclass; None if it has none


@runtime_checkable
class SamplerFamily(Family, Protocol):
    """A family with several ways of drawing images from the same weights, which its spec declares as `samplers`."""

    def sample_with(self, sampler: Sampler, count: int, rng: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """Return `count` images drawn by this sampler, as `sample` does."""


@dataclass(frozen=True)
class LikelihoodBound:
    """A bound on the likelihood of B images, from K latents each; in nats, sums over pixels and latents."""

    log_weights: Tensor  # (K, B): log p(x|z) + log p(z) - log q(z|x); their mean over K is the ELBO
    distortion: Tensor  # (B,): -log p(x|z), mean over the K latents
    rate: Tensor  # (B,): KL(q(z|x) ‖ p(z))
    mean: Tensor | None  # (B, latent_dim): means of q(z|x); None: the latents are noisy images, which describe nothing
    # Whether `log_weights` are those of latents. Otherwise each is only an unbiased estimate of the ELBO, as from one
    # of the many steps of a diffusion model, and there is no importance-weighted bound
    importance: bool = True


@runtime_checkable
class LikelihoodFamily(Family, Protocol):
    """A family whose models bound the likelihood of an image, under the likelihood that their loss declares."""

    @property
    def likelihood(self) -> Likelihood | None:
        """The kind of likelihood; None if the loss has none, or the encoder is deterministic."""

    def bound(self, images: Tensor, draws: int, rng: torch.Generator, labels: Tensor | None = None) -> LikelihoodBound:
        """Return the bound on images (B, …) in the model's value range; called in inference mode."""


@dataclass(frozen=True)
class LogLikelihood:
    """The log-likelihood of B images, or a bound on it, from K draws each; in nats, sums over pixels."""

    log_weights: Tensor  # (K, B): log p(x), or log weights whose mean over K is a lower bound on it
    likelihood: Likelihood
    exact: bool  # each row is log p(x) itself
    importance: bool = True  # as of `LikelihoodBound`


@runtime_checkable
class ExactLikelihoodFamily(Family, Protocol):
    """A family whose models compute the likelihood of an image, such as flows and autoregressive models."""

    @property
    def likelihood(self) -> Likelihood | None:
        """The kind of likelihood; None if this model or loss has none. It is not a 'cross-entropy'."""

    def log_likelihood(self, images: Tensor, rng: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """Return log P(x), (B,), of images (B, …) in the model's value range; called in inference mode.

        In nats, sums over pixels. Of the kind 'dequantised' it is log p(x + u) + D log w of D values whose levels are w
        apart, with noise u in (-w/2, w/2) drawn from `rng`; it is called several times, each with new noise.
        """


@runtime_checkable
class NoisyGenerator(Protocol):
    """A generator of the family 'adversarial' that takes noise beside its latents, by the keyword `noise`.

    The noise, (B, noise_dim) values of N(0, 1), is drawn anew for each training and sampling pass: whatever the
    network decides at random follows from it. Where images must depend on the latents alone, as along an
    interpolation, there is none (`noise=None`), and the network uses noise of its own that is always the same.
    """

    noise_dim: int  # 0: it takes none


@runtime_checkable
class MappedGenerator(Protocol):
    """A generator of the family 'adversarial' that maps latents to intermediate ones first, then those to images.

    Calling it is the same as calling the one with what the other returns. Labels and noise are given only to
    conditional models and to a `NoisyGenerator`.
    """

    def intermediate(self, latents: Tensor, labels: Tensor | None = None, *, noise: Tensor | None = None) -> Tensor:
        """Return the intermediate latents (B, …) of latents (B, latent_dim)."""

    def synthesise(self, intermediate: Tensor, *, noise: Tensor | None = None) -> Tensor:
        """Return one image for each of the intermediate latents."""


LikelihoodKind: TypeAlias = Literal["discrete", "dequantised", "density", "cross-entropy"]


@dataclass(frozen=True)
class Likelihood:
    """What log p(x|z), or log p(x) of a model without latents, means. Raises `SpecError` for an unknown kind.

    - 'discrete': the probability of one of 256 levels
    - 'dequantised': the density of a level with uniform noise, times the width of the level; its mean over the noise is
      a lower bound on the probability of the level (Theis et al. 2016, arXiv:1511.01844, section 3.1)
    - 'density': a density over real values
    - 'cross-entropy': of grey pixels, which is not a likelihood
    """

    name: str  # such as 'gaussian'
    kind: LikelihoodKind

    def __post_init__(self) -> None:
        kinds = get_args(LikelihoodKind)
        if self.kind not in kinds:
            raise SpecError(
                f"Likelihood '{self.name}' has the unknown kind {self.kind!r}.{near_miss(str(self.kind), kinds)}",
                f"Kinds are {', '.join(kinds)}.",
            )

    @property
    def of_levels(self) -> bool:
        """Whether it is the likelihood of 256 levels: these compare, whatever their form, and have bits per value."""
        return self.kind in ("discrete", "dequantised")


@dataclass(frozen=True)
class AdversarialBatch:
    """What the further terms of an adversarial loss may use: a batch of both kinds, and both networks.

    In the discriminator's update, the generator makes images without a graph. In the generator's update, the
    discriminator is frozen.
    """

    real: Tensor  # (B, channels, height, width), in the model's value range
    fake: Tensor  # generate(latents), of the same shape; with its graph in the generator's update
    real_logits: Tensor | None  # discriminate(real), if the player's loss needed it
    fake_logits: Tensor  # discriminate(fake)
    latents: Tensor  # (B, latent_dim)
    draw_latents: Callable[[], Tensor]  # other latents of the prior, (B, latent_dim)
    generate: Callable[[Tensor], Tensor]  # latents (B, latent_dim) -> images, of the classes of this batch
    # images -> logits of all scales, flat, or energies (B,); after the recipe's augmentation
    discriminate: Callable[[Tensor], Tensor]
    rng: torch.Generator  # on the device; the only source of randomness
    value_range: tuple[float, float]  # of the images


@dataclass(frozen=True)
class AdversarialLoss:
    """The two players' losses, each a mean over the batch.

    Both are functions of logits: (B,), or (B·h·w,) of a discriminator that returns maps of h × w logits. With `energy`
    they are functions of energies (B,). With several scales they are called once for each, and summed; with
    `takes_scales` they are called once, with a tuple of the logits of each scale. Either may return an `Objective`
    instead of a scalar, whose terms are recorded as curves.
    """

    discriminator: Callable[[Any, Any], Tensor | Objective]  # (real_logits, fake_logits) -> scalar
    generator: Callable[[Any, Any], Tensor | Objective]  # (fake_logits, real_logits or None) -> scalar
    relativistic: bool = False  # the generator's loss also receives real_logits
    boundary: float | None = 0.0  # the logit between real and fake; None: only differences of logits have a meaning
    # (discriminator, real, fake, rng) -> scalar, added to the discriminator's loss in fp32; takes per-sample norms
    penalty: Callable[[Callable[[Tensor], Tensor], Tensor, Tensor, torch.Generator], Tensor] | None = None
    penalty_every: int = 1  # lazy regularisation: a phase in every k-th step, weighted by the updates it replaces
    # (generator, points, rng) -> scalar or `Objective`, added to the generator's loss in fp32. The points, one for each
    # image of a batch, are the intermediate latents of a `MappedGenerator`, and the latents of any other generator;
    # generator(points) returns images, also of the first few points alone
    generator_penalty: Callable[[Callable[[Tensor], Tensor], Tensor, torch.Generator], Tensor | Objective] | None = None
    generator_penalty_every: int = 1  # the same for the generator as `penalty_every` for the discriminator
    clip_weights: float | None = None  # the discriminator's parameters are clipped to [-c, c] after each update
    alpha: float = 0.5  # of the weighted total αL_D + (1-α)L_G, which is recorded as a curve
    weighted: bool = False  # the two functions already include the factors α and 1 - α
    # Parameters, trained in the discriminator's phase, and buffers for state that is kept between steps
    module: nn.Module | None = None
    # (images, reconstructions) -> energy of each image, (B,): for discriminators that return 'reconstructions'
    energy: Callable[[Tensor, Tensor], Tensor] | None = None
    # (real_features, fake_features) -> scalar, added to the generator's loss: for discriminators with 'features', or
    # with codes (B, …)
    features: Callable[[Tensor, Tensor], Tensor] | None = None
    takes_scales: bool = False  # both functions take tuples, with the logits of each scale
    # Added to the loss of one player; terms are recorded as curves
    discriminator_terms: Callable[[AdversarialBatch], Tensor | Objective] | None = None
    generator_terms: Callable[[AdversarialBatch], Tensor | Objective] | None = None


@dataclass(slots=True)
class Posterior:
    """What a variational loss receives for a batch of B images, each with K latents (`VariationalLoss.samples`)."""

    images: Tensor  # (B, channels, height, width), in [0, 1]
    logits: Tensor  # (K·B, channels, height, width), of the decoded means: sigmoid(logits) lies in [0, 1]
    mean: Tensor  # (B, latent_dim), of q(z|x)
    log_variance: Tensor  # (B, latent_dim), of q(z|x)
    latents: Tensor  # (K·B, latent_dim), drawn from q(z|x): the first B are one draw for each image, and so on
    prior: Tensor | None = None  # (B, latent_dim), drawn from the prior, if the loss sets `uses_prior`
    train_size: int = 0  # training images
    progress: Tensor | None = None  # scalar: fraction of the budget consumed so far, in [0, 1)


@dataclass(frozen=True)
class VariationalLoss:
    """The objective of a variational model; terms are sums over pixels or latents, means over the batch (nats)."""

    objective: Callable[[Posterior], Objective]
    samples: int = 1  # latents drawn per image
    deterministic: bool = False  # latents are the encoder's means instead of draws
    uses_prior: bool = False  # it needs `Posterior.prior`
    module: nn.Module | None = None  # parameters, trained with the networks, and state that is kept between steps
    # (images in [0, 1], logits) -> -log p(x|z) of every decoded image, (N,); None: the loss is not a likelihood
    nll: Callable[[Tensor, Tensor], Tensor] | None = None
    likelihood: Likelihood | None = None  # what `nll` measures
