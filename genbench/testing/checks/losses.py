"""Rules of losses, checked as functions of tensors."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from genbench.api.training import AdversarialLoss, Objective, Posterior, VariationalLoss
from genbench.seeds import seed_globals
from genbench.testing.check import check
from genbench.testing.findings import NotApplicable, RuleViolation
from genbench.testing.subject import TRAINING_IMAGES, Subject, noise, rng

BUILT = ("builds", "finite-steps")
EXTREME = 50.0  # a logit at which the sigmoid, or its complement, rounds to 0 or 1 in fp32
LATENTS = 5
SUM_TOLERANCE = 0.02  # of the sum of probabilities, which should be 1
SHAPE = (1, 3, 3)


@check(
    "extreme-logits",
    "losses",
    what=f"Value and gradient are finite for logits of ±{EXTREME:g}.",
    why="Such logits occur in every long training; log(1 - sigmoid(50)) is minus infinity in fp32.",
    fix="Write -log sigmoid(x) as softplus(-x), and -log(1 - sigmoid(x)) as softplus(x).",
    after=BUILT,
)
def extreme_logits(subject: Subject) -> None:
    """Evaluate the loss for confident predictions, correct and wrong ones."""
    for case, total, inputs in _evaluate_extremes(lambda: _fresh_loss(subject)):
        if not bool(total.isfinite()):
            raise RuleViolation(f"{case} is {float(total.detach()):g}")
        if total.requires_grad:
            gradients = torch.autograd.grad(total, inputs, allow_unused=True)
            if not all(bool(g.isfinite().all()) for g in gradients if g is not None):
                raise RuleViolation(f"{case} has a gradient that is not finite")


@check(
    "batch-duplication",
    "losses",
    what="Repeating the images of a batch does not increase the loss.",
    why="Terms are means over the batch: with a sum, the loss and the best learning rate depend on the batch size.",
    fix="Sum over pixels and latents if required, then take the mean over the batch.",
    after=BUILT,
)
def batch_duplication(subject: Subject) -> None:
    """Repeat a batch up to three times: a sum keeps growing, while an estimate from pairs levels off."""
    once, twice, three_times = (_evaluate_repeated(_fresh_loss(subject), times) for times in (1, 2, 3))
    for name, value in once.items():
        first, second = twice[name] - value, three_times[name] - twice[name]
        if abs(first) > 1e-3 * abs(value) + 1e-5 and first * second > 0 and abs(second) > 0.5 * abs(first):
            raise RuleViolation(
                f"{name} is {value:.4g} for a batch, {twice[name]:.4g} for the batch repeated twice, "
                f"{three_times[name]:.4g} for three times"
            )


@check(
    "penalty-per-sample",
    "losses",
    what="A penalty computes the norm of the gradient for each image, and draws a random point for each image.",
    why="One norm, or one random number, for the whole batch is a different penalty; published code has both errors.",
    fix="Sum over dim=(1, 2, 3) before the square root, take the mean last, and draw rand(len(real), 1, 1, 1).",
    after=BUILT,
)
def penalty_per_sample(subject: Subject) -> None:
    """Use a discriminator with a constant gradient on batches of two sizes, and record where it is evaluated."""
    loss = subject.create_loss()
    if not isinstance(loss, AdversarialLoss) or loss.penalty is None:
        raise NotApplicable("the loss has no penalty")
    weights = torch.linspace(0.1, 0.9, 9).view(1, *SHAPE)
    points: list[Tensor] = []

    def linear(images: Tensor) -> Tensor:
        points.append(images.detach())
        return (images * weights).sum((1, 2, 3))

    values = []
    for size in (1, 6):
        real, fake = torch.zeros(size, *SHAPE), torch.ones(size, *SHAPE)
        values.append(float(loss.penalty(linear, real, fake, rng()).detach()))
    if not math.isclose(*values, rel_tol=1e-4, abs_tol=1e-6):
        raise RuleViolation(
            f"although all gradients have the same norm, it is {values[0]:.4g} for 1 image and {values[1]:.4g} for 6"
        )
    for batch in (p for p in points if len(p) == 6):
        levels = batch.flatten(1).mean(1)
        if bool(((levels > 1e-3) & (levels < 1 - 1e-3)).all()) and bool((levels == levels[0]).all()):
            raise RuleViolation("all images of a batch are mixed with the same random number")


@check(
    "generator-penalty",
    "losses",
    what="A penalty on the generator is a mean over its points, and finite where the images do not depend on them.",
    why="With a sum, its weight depends on the batch size; and √0, whose slope is infinite, makes weights NaN.",
    fix="Take the mean over the batch last, and torch.linalg.vector_norm instead of the root of a sum of squares.",
    after=BUILT,
)
def generator_penalty(subject: Subject) -> None:
    """Use generators of one layer: one with fixed weights on batches of two sizes, and one with weights of 0."""
    loss = subject.create_loss()
    if not isinstance(loss, AdversarialLoss) or loss.generator_penalty is None:
        raise NotApplicable("the loss has no penalty on the generator")
    fixed = torch.linspace(-0.9, 0.9, LATENTS * 9).view(LATENTS, 9)

    def evaluate(weights: Tensor, size: int) -> Tensor:
        penalty = _fresh_loss(subject).generator_penalty
        points = torch.randn(size, LATENTS, generator=rng()).requires_grad_()
        return _total(penalty(lambda chosen: (chosen @ weights).view(-1, *SHAPE), points, rng(size)))

    few, many = (float(evaluate(fixed, size).detach()) for size in (16, 256))
    if many > 4 * few:
        raise RuleViolation(f"it is {few:.4g} for 16 images, and {many:.4g} for 256 of the same kind")
    constant = torch.zeros(LATENTS, 9, requires_grad=True)
    total = evaluate(constant, 4)
    (slope,) = torch.autograd.grad(total, constant, allow_unused=True) if total.requires_grad else (None,)
    if not bool(total.isfinite()) or (slope is not None and not bool(slope.isfinite().all())):
        raise RuleViolation("value or gradient is not finite for a generator whose images do not change")


@check(
    "nll-per-image",
    "losses",
    what="`nll` returns a finite value for each of K·B decoded images of B images; `likelihood` declares its kind.",
    why="`elbo` and `iwae-k64` weight several latents per image: values of different images must not be mixed.",
    fix="Use images.repeat(len(logits) // len(images), 1, 1, 1), and sum over dim=(1, 2, 3) only.",
    after=BUILT,
)
def nll_per_image(subject: Subject) -> None:
    """Evaluate three draws per image at once, and one by one."""
    loss = _likelihood_loss(subject)
    if loss.nll is None or loss.likelihood is None:
        present, missing = ("likelihood", "nll") if loss.nll is None else ("nll", "likelihood")
        raise RuleViolation(f"it has `{present}` but no `{missing}`, so no metric can use it")
    images = noise(4, SHAPE)
    logits = torch.randn(12, *SHAPE, generator=rng())
    with torch.no_grad():
        together = loss.nll(images, logits)
        if together.shape != (12,):
            raise RuleViolation(
                f"for 4 images and logits of 12 the shape of `nll` is {tuple(together.shape)}, not (12,)"
            )
        alone = [loss.nll(images[n % 4 : n % 4 + 1], logits[n : n + 1]) for n in range(12)]
    if not bool(together.isfinite().all()):
        raise RuleViolation("`nll` is not finite")
    apart = (together - torch.cat(alone)).abs()
    if bool((apart > 1e-3 * together.abs() + 1e-4).any()):
        worst = int(apart.argmax())
        raise RuleViolation(
            f"`nll` of decoded image {worst} of 12 (of image {worst % 4} of 4) is {float(together[worst]):.4g} in the "
            f"batch and {float(alone[worst]):.4g} alone"
        )


@check(
    "nll-normalised",
    "losses",
    what="exp(-nll) of a pixel sums to 1: over 256 grey levels if discrete, over the real numbers if a density.",
    why="A missing constant does not affect training, but changes every `elbo` and every number of bits per dimension.",
    fix="Add the constants, such as log σ√(2π), or declare 'cross-entropy' if it is not a likelihood of grey pixels.",
    after=("nll-per-image",),
)
def nll_normalised(subject: Subject) -> None:
    """Sum or integrate exp(-nll) for an image of one pixel."""
    loss = _likelihood_loss(subject)
    assert loss.nll is not None
    assert loss.likelihood is not None
    if loss.likelihood.kind == "cross-entropy":
        raise NotApplicable("a cross-entropy of grey pixels is not a likelihood")
    levels = torch.linspace(0, 1, 256, dtype=torch.float64)
    reach = torch.linspace(-19, 19, 30_001, dtype=torch.float64).sinh() * 1e-4  # ±10,000, denser near 0
    for logit in (-1.5, 0.5):
        if loss.likelihood.kind == "discrete":
            sums = [float(_densities(loss.nll, levels, logit).sum())]
        else:  # a density may be defined on [0, 1] only
            between = torch.linspace(0, 1, 30_001, dtype=torch.float64)
            centred = reach + torch.tensor(logit).sigmoid()
            sums = [
                float(torch.trapezoid(_densities(loss.nll, points, logit), points)) for points in (between, centred)
            ]
        if all(abs(found - 1) > SUM_TOLERANCE for found in sums):
            raise RuleViolation(f"for a pixel with the logit {logit:g} the probabilities sum to {sums[-1]:.4g}")


def _fresh_loss(subject: Subject) -> Any:
    """Return a new loss, with the same parameters each time: losses may keep state between calls."""
    seed_globals(0)
    return subject.create_loss()


def _players(loss: AdversarialLoss, real: Tensor, fake: Tensor) -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
    """Return the two players' losses for the logits of one scale, to be called."""
    one, other = ((real,), (fake,)) if loss.takes_scales else (real, fake)
    given = one if loss.relativistic else None
    return lambda: _total(loss.discriminator(one, other)), lambda: _total(loss.generator(other, given))


def _total(found: Tensor | Objective) -> Tensor:
    return found.total if isinstance(found, Objective) else found


def _likelihood_loss(subject: Subject) -> VariationalLoss:
    loss = subject.create_loss()
    if not isinstance(loss, VariationalLoss):
        raise NotApplicable("the loss is not variational")
    if loss.nll is None and loss.likelihood is None:
        raise NotApplicable("the loss is not based on a likelihood")
    return loss


def _densities(nll: Callable[[Tensor, Tensor], Tensor], points: Tensor, logit: float) -> Tensor:
    """Return exp(-nll) for images of one pixel; 0 where it is undefined."""
    with torch.no_grad():
        found = nll(points.float().view(-1, 1, 1, 1), torch.full((len(points), 1, 1, 1), logit))
    return (-found.double()).exp().nan_to_num(0.0, posinf=0.0)


def _evaluate_extremes(create: Callable[[], Any]) -> Iterator[tuple[str, Tensor, list[Tensor]]]:
    loss = create()
    if isinstance(loss, AdversarialLoss):
        for real_sign, fake_sign in itertools.product((-1, 1), repeat=2):
            loss = create()
            real, fake = (torch.full((4,), sign * EXTREME).requires_grad_() for sign in (real_sign, fake_sign))
            case = f"for real logits {real_sign * EXTREME:g} and fake logits {fake_sign * EXTREME:g} the"
            discriminator, generator = _players(loss, real, fake)
            yield f"{case} discriminator's loss", discriminator(), [real, fake]
            yield f"{case} generator's loss", generator(), [real, fake]
    elif isinstance(loss, VariationalLoss):
        for sign in (-1, 1):
            posterior = _posterior(loss)
            posterior.images[0] = 1.0 if sign < 0 else 0.0  # the worst possible reconstruction
            posterior.logits = torch.full_like(posterior.logits, sign * EXTREME).requires_grad_()
            posterior.mean = posterior.mean.requires_grad_()
            posterior.log_variance = posterior.log_variance.requires_grad_()
            inputs = [posterior.logits, posterior.mean, posterior.log_variance]
            yield f"for logits {sign * EXTREME:g} the loss", loss.objective(posterior).total, inputs
    else:
        raise NotApplicable("only adversarial and variational losses can be evaluated without their family")


def _evaluate_repeated(loss: object, times: int) -> Mapping[str, float]:
    if isinstance(loss, AdversarialLoss):
        real, fake = (4 * noise(4, SHAPE, seed).mean((1, 2, 3)).repeat(times) - 2 for seed in (0, 1))
        discriminator, generator = _players(loss, real, fake)
        return {"the discriminator's loss": float(discriminator()), "the generator's loss": float(generator())}
    if isinstance(loss, VariationalLoss):
        posterior = _posterior(loss)
        for name in ("images", "logits", "mean", "log_variance", "latents", "prior"):
            draws = loss.samples if name in ("logits", "latents") else 1
            parts = getattr(posterior, name).chunk(draws)  # each draw is one block of all images
            setattr(posterior, name, torch.cat([part.repeat(times, *[1] * (part.ndim - 1)) for part in parts]))
        with torch.no_grad():
            objective = loss.objective(posterior)
        return {"the total": float(objective.total), **{f"'{n}'": float(t) for n, t in objective.terms.items()}}
    raise NotApplicable("only adversarial and variational losses can be evaluated without their family")


def _posterior(loss: VariationalLoss) -> Posterior:
    batch, random = 4, rng()
    mean = torch.randn(batch, LATENTS, generator=random)
    log_variance = torch.randn(batch, LATENTS, generator=random)
    drawn = torch.randn(loss.samples, batch, LATENTS, generator=random)
    return Posterior(
        images=(noise(batch, SHAPE) * 255).round() / 255,
        logits=torch.randn(loss.samples * batch, *SHAPE, generator=random),
        mean=mean,
        log_variance=log_variance,
        latents=(mean + (log_variance / 2).exp() * drawn).flatten(0, 1),
        prior=torch.randn(batch, LATENTS, generator=random),
        train_size=10 * TRAINING_IMAGES,
        progress=torch.tensor(0.5),
    )
