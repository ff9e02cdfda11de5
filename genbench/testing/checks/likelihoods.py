"""Rules of likelihoods: what a family says about the probability of an image is possible, and adds up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias, cast

import torch
from torch import Tensor

from genbench.api.training import ExactLikelihoodFamily, Likelihood, LikelihoodBound, LikelihoodFamily
from genbench.plugins.loader import Kind
from genbench.sampling.inference import evaluation_mode
from genbench.sampling.likelihood import checked_bound, checked_log_likelihood, likelihood_family
from genbench.testing.check import check
from genbench.testing.findings import NotApplicable, RuleViolation
from genbench.testing.subject import Subject, noise, rng
from genbench.train.builder import Built
from genbench.train.network_checks import missing_methods

KINDS: tuple[Kind, ...] = ("models", "losses", "families")
LEVELS = 256
NOISE_LEVELS = (256, 128, 64, 32, 8)  # a model is judged most sharply by the noise that it describes best
STEPS = 3  # of training, after which the posterior is no longer the prior
LATENTS = 256  # decoded at a time, as in a run
ERRORS = 5.0  # standard errors of a mean of draws
ROUNDING = 1e-4  # of a sum over pixels in fp32

WithLikelihood: TypeAlias = LikelihoodFamily | ExactLikelihoodFamily


@dataclass(frozen=True)
class Judged:
    """A model after a few steps, whose likelihood is examined."""

    subject: Subject
    built: Built
    family: WithLikelihood
    likelihood: Likelihood

    @property
    def bounds(self) -> bool:
        """Whether its family is a `LikelihoodFamily`; otherwise it is an `ExactLikelihoodFamily`."""
        return self.subject.family.bounds

    def images(self, levels: Tensor) -> Tensor:
        """Return values in [0, 1], rounded to levels, in the model's value range."""
        low, high = self.subject.model.value_range
        return low + (high - low) * (levels * (LEVELS - 1)).round() / (LEVELS - 1)

    def log_weights(self, images: Tensor, draws: int, seed: int = 0) -> Tensor:
        """Return (draws, B) log weights, or the log-likelihood with as many draws of noise."""
        labels, random = self.subject.labels(len(images)), rng(seed)
        with evaluation_mode(self.built.sampled_networks.values()), torch.inference_mode():
            if self.bounds:
                return checked_bound(cast("LikelihoodFamily", self.family), images, draws, random, labels).log_weights
            family = cast("ExactLikelihoodFamily", self.family)
            return torch.stack([checked_log_likelihood(family, images, random, labels) for _ in range(draws)])

    def bound(self, images: Tensor, draws: int, seed: int = 0) -> LikelihoodBound:
        """Return the bound; raise `NotApplicable` for a model that computes its likelihood."""
        if not self.bounds:
            raise NotApplicable("its likelihood is not a bound")
        family, labels = cast("LikelihoodFamily", self.family), self.subject.labels(len(images))
        with evaluation_mode(self.built.sampled_networks.values()), torch.inference_mode():
            return checked_bound(family, images, draws, rng(seed), labels)


@check(
    "likelihood-contract",
    *KINDS,
    what="`bound` and `log_likelihood` return finite floats, for each of K draws and B images as documented.",
    why="Metrics combine the parts of a bound image by image; another shape would mix images, or cost every metric.",
    fix="Compare the shapes with `LikelihoodBound` and `ExactLikelihoodFamily` in docs/reference.md.",
    after=("finite-steps", "nll-per-image", "nll-normalised"),
)
def likelihood_contract(subject: Subject) -> None:
    """Ask for several draws, one draw, and one image."""
    judged = _judge(subject)
    levels = noise(4, subject.shapes[0])
    for draws, count in ((3, 4), (1, 4), (3, 1)):
        images = judged.images(levels[:count])
        try:
            found = [judged.log_weights(images, draws)]
            if judged.bounds:
                bound = judged.bound(images, draws)
                found += [part for part in (bound.distortion, bound.rate, bound.mean) if part is not None]
        except ValueError as error:
            raise RuleViolation(str(error)) from None
        if not all(bool(part.isfinite().all()) for part in found):
            raise RuleViolation(f"for {draws} draws of {count} images of noise it is not finite")


@check(
    "likelihood-per-image",
    *KINDS,
    what="The likelihood of an image, and its rate, do not depend on the other images of the batch.",
    why="Otherwise the value of a model changes with the order and the number of the held-out images.",
    fix="Keep the images apart: no mean over the batch, no batch statistics, and noise drawn image by image.",
    after=("likelihood-contract",),
)
def likelihood_per_image(subject: Subject) -> None:
    """Evaluate two images together with two others, and alone."""
    judged, draws = _judge(subject), LATENTS // 4
    own, others = noise(2, subject.shapes[0], 1), torch.ones(2, *subject.shapes[0])
    alone, together = judged.images(own), judged.images(torch.cat([own, others]))
    if judged.bounds:
        for name in ("rate", "mean"):
            one, other = (getattr(judged.bound(images, draws), name) for images in (alone, together))
            if one is None:
                continue
            one, other = one[:2], other[:2]
            if not torch.allclose(one, other, rtol=1e-3, atol=1e-4):
                raise RuleViolation(f"`{name}` changes by up to {float((one - other).abs().max()):.3g} with the others")
    first, second = judged.log_weights(alone, draws, 1), judged.log_weights(together, draws, 2)[:, :2]
    change = (first.mean(0) - second.mean(0)).abs()
    allowed = ERRORS * (first.var(0) / draws + second.var(0) / draws).sqrt() + ROUNDING * first.mean(0).abs()
    if bool((change > allowed + ROUNDING).any()):
        raise RuleViolation(
            f"the mean of {draws} draws changes by {float(change.max()):.4g} nats with the others; up to "
            f"{float(allowed.max()):.2g} is chance"
        )


@check(
    "likelihood-parts",
    *KINDS,
    what="The mean of the log weights is -(distortion + rate), up to the noise of the latents.",
    why="`elbo`, `rate` and `distortion` stand side by side; a weight of training, β, must not be in any of them.",
    fix="log weight = log p(x|z) + log p(z) - log q(z|x), distortion = -log p(x|z), rate = KL(q(z|x) ‖ p(z)).",
    after=("likelihood-contract",),
)
def likelihood_parts(subject: Subject) -> None:
    """Use single draws, for which log weight + distortion estimates -rate without the noise of the pixels."""
    judged = _judge(subject)
    images = judged.images(noise(4, subject.shapes[0], 2)).repeat(LATENTS // 4, 1, 1, 1)
    parts = [judged.bound(images, 1, seed) for seed in range(8)]
    sums = torch.cat([part.log_weights[0] + part.distortion + part.rate for part in parts])
    size = torch.cat([part.distortion.abs() + part.rate.abs() for part in parts]).mean()
    found, error = float(sums.mean()), float(sums.std()) / math.sqrt(len(sums))
    if abs(found) > ERRORS * error + ROUNDING * (1 + float(size)) / 10:
        raise RuleViolation(
            f"the mean of {len(sums)} log weights, plus distortion and rate, is {found:.4g} ± {error:.2g} nats, not 0"
        )


@check(
    "likelihood-sign",
    *KINDS,
    what="The probability of an image of 256 levels is at most 1: log P(x) and its bounds are not positive, and "
    "distortions not negative. A rate is never negative.",
    why="A positive value is impossible, and would be the best of its column.",
    fix="Look for a density instead of the probability of a level: multiply by the width of a level for each value.",
    after=("likelihood-contract", "likelihood-parts"),
)
def likelihood_sign(subject: Subject) -> None:
    """Look at black, grey and white images, and at noise."""
    judged, draws = _judge(subject), LATENTS // 8
    shades = torch.tensor([0.0, 0.25, 0.5, 1.0]).view(-1, 1, 1, 1).expand(-1, *subject.shapes[0])
    images = judged.images(torch.cat([shades, noise(4, subject.shapes[0], 3)]))
    if judged.bounds:
        bound = judged.bound(images, draws)
        if float(bound.rate.min()) < -ROUNDING * (1 + float(bound.distortion.abs().max()) / 10):
            raise RuleViolation(f"a rate is {float(bound.rate.min()):.4g}")
        if judged.likelihood.of_levels and float(bound.distortion.min()) < -ROUNDING:
            raise RuleViolation(f"the distortion of an image of 256 levels is {float(bound.distortion.min()):.4g}")
    if not judged.likelihood.of_levels:
        return
    weights = judged.log_weights(images, draws)
    excess = weights.mean(0) - ERRORS * weights.std(0) / math.sqrt(draws)
    if float(excess.max()) > ROUNDING:
        raise RuleViolation(f"log P of an image of 256 levels is {float(weights.mean(0)[excess.argmax()]):.4g}")


@check(
    "likelihood-of-noise",
    *KINDS,
    what="Uniform noise of n levels takes at least its entropy, log₂ n bits per value, under every model.",
    why="No model encodes data below their entropy, so one that claims to would win against every honest one.",
    fix="Look for missing constants: log(w) for each value whose levels are w apart, 2π, determinants, normalisers.",
    after=("likelihood-contract", "likelihood-parts", "likelihood-sign"),
)
def likelihood_of_noise(subject: Subject) -> None:
    """Evaluate noise that no model has seen, of all levels and of fewer around the middle one."""
    judged = _judge(subject)
    if not judged.likelihood.of_levels:
        raise NotApplicable(f"the likelihood is a {judged.likelihood.kind}, not of 256 levels")
    count, shape = LATENTS // 4, subject.shapes[0]
    for levels in NOISE_LEVELS:
        noise_levels = torch.randint(levels, (count, *shape), generator=rng(4)) + (LEVELS - levels) // 2
        values = judged.log_weights(judged.images(noise_levels / (LEVELS - 1)), 4).mean(0)
        bits = -values / (math.prod(shape) * math.log(2))
        found, error = float(bits.mean()), float(bits.std()) / math.sqrt(count)
        if found < math.log2(levels) - ERRORS * error - ROUNDING:
            raise RuleViolation(
                f"{count} images of noise of {levels} levels take {found:.4g} ± {error:.2g} bits per value; their "
                f"entropy is {math.log2(levels):g}"
            )


def _judge(subject: Subject) -> Judged:
    spec = subject.family
    if not (spec.bounds or spec.exact):
        raise NotApplicable(f"the family '{spec.name}' has no likelihood")
    built = subject.cell()
    for _ in range(STEPS):
        built.engine.step()
    family = likelihood_family(built)
    if family is None:
        missing = missing_methods(built.family_for_sampling(), spec)
        declared = "bounds" if spec.bounds else "exact"
        raise RuleViolation(f"the spec says {declared}=True, but there is no `{missing[0]}`")
    if family.likelihood is None:
        raise NotApplicable("this model has no likelihood with this loss")
    return Judged(subject, built, family, family.likelihood)
