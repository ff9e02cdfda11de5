"""The adversarial family: a generator learns to make images that a discriminator takes for real.

A model's networks are `generator(latents) -> images` with latents (B, latent_dim), and
`discriminator(images) -> logits` (B,) or (B, 1, …). Conditional networks take labels (B,) as a last argument. A
discriminator may also return (logits, class logits (B, classes)): it then learns the classes of real images and fakes,
and the generator learns to make images of the class that was asked for (Odena et al. 2017, arXiv:1610.09585).

Goodfellow et al. 2014, "Generative Adversarial Nets", algorithm 1, with logits in place of probabilities. The
discriminator and the generator learn from the same fakes: one generator pass per step.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

import genbench
from genbench.builtin.families.latents import draw_latents
from genbench.builtin.families.per_sample import acts_on_each

_PAIR = (tuple, list)


class Adversarial:
    """Two players: the discriminator's update, then the generator's on the same fakes."""

    def __init__(self, setup: genbench.Setup) -> None:
        if not isinstance(setup.loss, genbench.AdversarialLoss):
            raise TypeError(f"an adversarial loss creates an AdversarialLoss, not {type(setup.loss).__name__}")
        self.setup = setup
        self.loss: genbench.AdversarialLoss = setup.loss
        _check(self.loss, setup)
        self.generator = setup.networks["generator"]
        self.discriminator = setup.networks["discriminator"]
        self.augmentation = setup.augmentation
        self.conditional = setup.model.conditional
        self.gives_logits = setup.model.output == "logits"
        self.judges_one_by_one = not self.conditional and acts_on_each(self.discriminator)
        self.lazy = self.loss.penalty is not None and self.loss.penalty_every > 1

    def phases(self) -> Sequence[genbench.Phase]:
        """Return the discriminator's phase, repeated as the recipe says, its lazy penalty's, and the generator's."""
        loss = self.loss
        clip = None if loss.clip_weights is None else self._clip_weights
        discriminator = genbench.Phase(
            "discriminator",
            ("discriminator",),
            self.discriminator_objective,
            repeats=self._discriminator_steps(),
            after_update=clip,
        )
        penalty = genbench.Phase(
            "penalty",
            ("discriminator",),
            self.penalty_objective,
            every=loss.penalty_every,
            optimizer="discriminator",
            after_update=clip,
        )
        generator = genbench.Phase("generator", ("generator",), self.generator_objective, frozen=("discriminator",))
        return (discriminator, penalty, generator) if self.lazy else (discriminator, generator)

    def discriminator_objective(self, batch: genbench.Batch) -> genbench.Objective:
        """Tell real from fake images, and their classes where the discriminator knows any."""
        latents = self.latents(len(batch.images), batch.rng)
        # Only the last fakes of a step are kept for the generator, so only they need its graph.
        with torch.set_grad_enabled(batch.last):
            fake = self.generate(latents, batch.labels)
        (real_logits, real_classes), (fake_logits, fake_classes) = self._judge_both(batch, fake.detach())
        total = loss = self.loss.discriminator(real_logits, fake_logits)
        batch.shared["fake"] = fake
        batch.shared["discriminator_loss"] = loss.detach()
        terms = _judgement(real_logits.detach(), fake_logits.detach(), self.loss.boundary)
        if real_classes is not None and fake_classes is not None:
            terms["class_real"] = self._class_loss(real_classes, batch.labels)
            terms["class_fake"] = self._class_loss(fake_classes, batch.labels)
            total = total + terms["class_real"] + terms["class_fake"]
        if self.augmentation is not None:
            self.augmentation.observe(real_logits.detach() - (self.loss.boundary or 0.0))
            terms |= self.augmentation.terms()
        if self.loss.penalty is not None and not self.lazy:
            terms["penalty"] = self._penalty(batch)
            total = total + terms["penalty"]
        return genbench.Objective(total, terms)

    def penalty_objective(self, batch: genbench.Batch) -> genbench.Objective:
        """Weigh the penalty by the number of discriminator updates that it stands for (lazy regularisation).

        Over k steps the gradients then add up to what they would be with the penalty in each update
        (Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", appendix B).
        """
        penalty = self._penalty(batch)
        weight = self.loss.penalty_every * self._discriminator_steps()
        return genbench.Objective(weight * penalty, {"penalty": penalty})

    def generator_objective(self, batch: genbench.Batch) -> genbench.Objective:
        """Make the discriminator, which is frozen here, take fakes for real images.

        The term `weighted_total` is αL_D + (1-α)L_G, where L_D is the loss of this step's (last) discriminator update;
        penalties and class terms are no part of either.
        """
        fake_logits, fake_classes = self._judge(self._augment(batch.shared["fake"], batch.rng), batch.labels)
        real_logits = None
        if self.loss.relativistic:
            real_logits, _ = self._judge(self._augment(batch.images, batch.rng), batch.labels)
        total = loss = self.loss.generator(fake_logits, real_logits)
        terms = {"weighted_total": self._weighted_total(batch.shared["discriminator_loss"], loss.detach())}
        if fake_classes is not None:
            terms["class_fake"] = self._class_loss(fake_classes, batch.labels)
            total = total + terms["class_fake"]
        return genbench.Objective(total, terms)

    def latents(self, count: int, rng: torch.Generator) -> Tensor:
        """Return `count` latents of the prior, (count, latent_dim)."""
        return draw_latents(self.setup, count, rng)

    def generate(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return one image per latent in the model's value range."""
        images: Tensor = self.generator(latents, labels) if self.conditional else self.generator(latents)
        return images.sigmoid() if self.gives_logits else images

    def sample(self, count: int, rng: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """Return `count` images made from latents of the prior."""
        return self.generate(self.latents(count, rng), labels)

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Raise: a generator has no way back from images."""
        raise NotImplementedError("adversarial models do not reconstruct")

    def _judge(self, images: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return the discriminator's logits, flat and fp32, and its class logits where it has any."""
        judged = self.discriminator(images, labels) if self.conditional else self.discriminator(images)
        if isinstance(judged, _PAIR):
            logits, classes = judged
            return logits.float().flatten(), classes.float()
        return judged.float().flatten(), None

    def _judge_both(self, batch: genbench.Batch, fake: Tensor) -> Sequence[tuple[Tensor, Tensor | None]]:
        """Judge real images and fakes: in one pass where that is all the same, in two where batches have statistics."""
        real, fake = self._augment(batch.images, batch.rng), self._augment(fake, batch.rng)
        if not self.judges_one_by_one:
            return self._judge(real, batch.labels), self._judge(fake, batch.labels)
        logits, _ = self._judge(torch.cat([real, fake]), None)
        return [(part, None) for part in logits.chunk(2)]

    def _augment(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Return the images as the discriminator is to see them."""
        # In fp32: real images and bf16 fakes would otherwise be rounded differently, and so told apart.
        return images if self.augmentation is None else self.augmentation(images.float(), rng)

    def _class_loss(self, class_logits: Tensor, labels: Tensor | None) -> Tensor:
        """-E log P(class | image) (Odena et al. 2017, eq. 3)."""
        if labels is None:
            raise genbench.GenbenchError(
                f"The discriminator of '{self.setup.model.name}' returns class logits, but there are no labels.",
                "Declare the model with conditional=True, or return the logits alone.",
            )
        return cross_entropy(class_logits, labels)

    def _penalty(self, batch: genbench.Batch) -> Tensor:
        assert self.loss.penalty is not None

        def discriminator(images: Tensor) -> Tensor:
            return self._judge(self._augment(images, batch.rng), batch.labels)[0]

        real, fake = batch.images.float(), batch.shared["fake"].detach().float()
        with torch.autocast(real.device.type, enabled=False):  # second derivatives need fp32
            return self.loss.penalty(discriminator, real, fake, batch.rng)

    def _weighted_total(self, discriminator_loss: Tensor, generator_loss: Tensor) -> Tensor:
        if self.loss.weighted:
            return discriminator_loss + generator_loss
        return torch.lerp(generator_loss, discriminator_loss, self.loss.alpha)

    @torch.no_grad()
    def _clip_weights(self) -> None:
        """Keep the discriminator's trainable parameters in [-c, c] (Arjovsky et al. 2017, algorithm 1)."""
        bound = self.loss.clip_weights
        assert bound is not None
        weights: list[Tensor] = [p for p in self.discriminator.parameters() if p.requires_grad]
        torch._foreach_clamp_max_(weights, bound)
        torch._foreach_clamp_min_(weights, -bound)

    def _discriminator_steps(self) -> int:
        steps = self.setup.recipe["discriminator_steps"]
        assert isinstance(steps, int)
        return steps


def _judgement(real_logits: Tensor, fake_logits: Tensor, boundary: float | None) -> dict[str, Tensor]:
    """Return the curves that tell how sure the discriminator is; accuracies count a logit at the boundary as wrong.

    Where only differences of logits mean anything (Wasserstein and relativistic losses), an image is told when it lies
    on its own side of the mean logit of the other kind.
    """
    real, fake = real_logits.mean(), fake_logits.mean()
    above, below = (fake, real) if boundary is None else (boundary, boundary)
    return {
        "real_logit": real,
        "fake_logit": fake,
        "margin": real - fake,
        "accuracy_real": (real_logits > above).mean(dtype=torch.float32),
        "accuracy_fake": (fake_logits < below).mean(dtype=torch.float32),
    }


def _check(loss: genbench.AdversarialLoss, setup: genbench.Setup) -> None:
    """Refuse numbers of a loss that would silently do nothing, or harm."""
    if loss.penalty_every < 1:
        raise genbench.GenbenchError(
            f"The loss has penalty_every = {loss.penalty_every}.", "It is a whole number from 1: in every step."
        )
    if loss.clip_weights is not None and not loss.clip_weights > 0:
        raise genbench.GenbenchError(
            f"The loss has clip_weights = {loss.clip_weights}.", "It is a bound above 0, or None: not clipped."
        )
    if loss.boundary is None and setup.recipe["augment_discriminator"] == "ada":
        raise genbench.GenbenchError(
            "augment_discriminator = ada counts the real images that the discriminator takes for real; with this loss "
            "only differences of logits mean anything, so that there is nothing to count.",
            "Use diffaugment, or a loss whose discriminator is a classifier, such as non-saturating, hinge or r1.",
        )
