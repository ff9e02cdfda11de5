"""The adversarial family: a generator learns to generate images that a discriminator classifies as real.

A model's networks are `generator(latents) -> images` with latents (B, latent_dim), and `discriminator(images)`, which
returns what `discriminator.py` lists. Conditional networks take labels (B,) as a last argument. A discriminator with
class logits learns the classes of real images and fakes, and the generator learns to generate images of the requested
class (Odena et al. 2017, arXiv:1610.09585). A generator may also take noise (`genbench.NoisyGenerator`) and have
intermediate latents (`genbench.MappedGenerator`).

Goodfellow et al. 2014, "Generative Adversarial Nets", algorithm 1, with logits instead of probabilities. The
discriminator and the generator use the same fakes, with one generator pass per step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

import genbench
from genbench.builtin.families.discriminator import Discriminator, Judgement, no_labels
from genbench.builtin.families.latents import draw_latents
from genbench.builtin.families.per_sample import processes_independently
from genbench.builtin.families.scheduled_networks import follow_schedule, scheduled_networks


class Adversarial:
    """Two players: the discriminator's update, then the generator's on the same fakes."""

    def __init__(self, setup: genbench.Setup) -> None:
        if not isinstance(setup.loss, genbench.AdversarialLoss):
            raise TypeError(f"an adversarial loss must create an AdversarialLoss, not {type(setup.loss).__name__}")
        self.setup = setup
        self.loss: genbench.AdversarialLoss = setup.loss
        _check(self.loss, setup)
        self.generator = setup.networks["generator"]
        self.discriminator = setup.networks["discriminator"]
        self.judge = Discriminator(setup)
        self.augmentation = setup.augmentation
        self.conditional = setup.model.conditional
        self.gives_logits = setup.model.output == "logits"
        self.discriminates_independently = not self.conditional and processes_independently(self.discriminator)
        self.noise_dim = self.generator.noise_dim if isinstance(self.generator, genbench.NoisyGenerator) else 0
        self.lazy = self.loss.penalty is not None and self.loss.penalty_every > 1
        self.lazy_generator = self.loss.generator_penalty is not None and self.loss.generator_penalty_every > 1
        self.scheduled = scheduled_networks(setup)
        own = self.loss.module is not None and any(True for _ in self.loss.module.parameters())
        self.players = ("discriminator", "loss") if own else ("discriminator",)  # the discriminator's side

    def phases(self) -> Sequence[genbench.Phase]:
        """Return the phases of discriminator (repeated as in the recipe) and generator, each with its lazy penalty."""
        loss = self.loss
        clip = None if loss.clip_weights is None else self._clip_weights
        discriminator = genbench.Phase(
            "discriminator",
            self.players,
            self.discriminator_objective,
            repeats=self._discriminator_steps(),
            after_update=clip,
        )
        penalty = genbench.Phase(
            "penalty",
            self.players,
            self.penalty_objective,
            every=loss.penalty_every,
            optimizer="discriminator",
            after_update=clip,
        )
        generator = genbench.Phase("generator", ("generator",), self.generator_objective, frozen=self.players)
        generator_penalty = genbench.Phase(
            "generator_penalty",
            ("generator",),
            self.generator_penalty_objective,
            every=loss.generator_penalty_every,
            optimizer="generator",
        )
        phases = (discriminator, penalty) if self.lazy else (discriminator,)
        return (*phases, generator, generator_penalty) if self.lazy_generator else (*phases, generator)

    def discriminator_objective(self, batch: genbench.Batch) -> genbench.Objective:
        """Distinguish real from fake images, and predict their classes where the discriminator returns any."""
        follow_schedule(self.scheduled, batch)
        latents = self.latents(len(batch.images), batch.rng)
        # Only the last fakes of a step are kept for the generator, so only they need its graph.
        with torch.set_grad_enabled(batch.last):
            fake = self._generate(latents, batch.labels, noise := self._noise(len(latents), batch.rng))
        real, judged = self._discriminate_both(batch, fake.detach())
        total, own_terms = self._evaluate(self.loss.discriminator, real, judged)
        batch.shared["fake"] = fake
        if self.loss.discriminator_terms is not None or self.loss.generator_terms is not None:
            batch.shared["latents"], batch.shared["noise"] = latents, noise
        batch.shared["discriminator_loss"] = total.detach()
        terms = self._confidence_terms(real, judged) | own_terms
        if real.classes is not None and judged.classes is not None:
            terms["class_real"] = self._class_loss(real.classes, batch.labels)
            terms["class_fake"] = self._class_loss(judged.classes, batch.labels)
            total = total + terms["class_real"] + terms["class_fake"]
        if self.loss.discriminator_terms is not None:
            further = self._further(self.loss.discriminator_terms, batch, (real, judged), fake.detach())
            total, terms = total + further.total, terms | dict(further.terms)
        if self.augmentation is not None:
            self.augmentation.observe(real.all.detach() - (self.loss.boundary or 0.0))
            terms |= self.augmentation.terms()
        if self.loss.penalty is not None and not self.lazy:
            terms["penalty"] = self._penalty(batch)
            total = total + terms["penalty"]
        return genbench.Objective(total, terms)

    def penalty_objective(self, batch: genbench.Batch) -> genbench.Objective:
        """Weight the penalty by the number of discriminator updates that it represents (lazy regularisation).

        The gradients over k steps then sum to those with the penalty in each update
        (Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", appendix B).
        """
        follow_schedule(self.scheduled, batch)
        penalty = self._penalty(batch)
        weight = self.loss.penalty_every * self._discriminator_steps()
        return genbench.Objective(weight * penalty, {"penalty": penalty})

    def generator_objective(self, batch: genbench.Batch) -> genbench.Objective:
        """Make the discriminator, which is frozen here, classify fakes as real.

        The term `weighted_total` is αL_D + (1-α)L_G, where L_D is the loss of this step's (last) discriminator update;
        neither includes penalties or class terms.
        """
        follow_schedule(self.scheduled, batch)
        fake = self.judge(self._augment(batch.shared["fake"], batch.rng), batch.labels)
        real = None
        if self.loss.relativistic or self.loss.features is not None:
            real = self.judge(self._augment(batch.images, batch.rng), batch.labels)
        total, own_terms = self._evaluate(self.loss.generator, fake, real if self.loss.relativistic else None)
        terms = {"weighted_total": self._weighted_total(batch.shared["discriminator_loss"], total.detach())} | own_terms
        if self.loss.features is not None and real is not None and real.features is not None:
            assert fake.features is not None
            terms["features"] = self.loss.features(real.features, fake.features)
            total = total + terms["features"]
        if self.loss.generator_terms is not None:
            further = self._further(self.loss.generator_terms, batch, (real, fake), batch.shared["fake"])
            total, terms = total + further.total, terms | dict(further.terms)
        if fake.classes is not None:
            terms["class_fake"] = self._class_loss(fake.classes, batch.labels)
            total = total + terms["class_fake"]
        if self.loss.generator_penalty is not None and not self.lazy_generator:
            penalty, own_terms = self._generator_penalty(batch)
            terms |= {"penalty": penalty} | own_terms
            total = total + penalty
        return genbench.Objective(total, terms)

    def generator_penalty_objective(self, batch: genbench.Batch) -> genbench.Objective:
        """Weight the generator's penalty by the number of updates that it represents, as `penalty_objective` does."""
        follow_schedule(self.scheduled, batch)
        penalty, own_terms = self._generator_penalty(batch)
        return genbench.Objective(self.loss.generator_penalty_every * penalty, {"penalty": penalty} | own_terms)

    def check_networks(self, images: Tensor, labels: Tensor | None = None) -> None:
        """Raise `genbench.SpecError` if the discriminator does not return what its model declares."""
        self.judge.check(images, labels)

    def latents(self, count: int, rng: torch.Generator) -> Tensor:
        """Return `count` latents drawn from the prior, (count, latent_dim)."""
        return draw_latents(self.setup, count, rng)

    def generate(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return one image per latent in the model's value range; they depend on nothing else, not even on noise."""
        return self._generate(latents, labels, {})

    def sample(self, count: int, rng: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """Return `count` images generated from latents of the prior, and noise if the generator takes any."""
        latents, noise = self.latents(count, rng), self._noise(count, rng)
        return self._generate(latents, labels, noise) if noise else self.generate(latents, labels)

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Raise NotImplementedError: there is no encoder."""
        raise NotImplementedError("adversarial models do not reconstruct")

    def _noise(self, count: int, rng: torch.Generator) -> dict[str, Tensor]:
        """Return the generator's argument `noise`, if it takes any."""
        if not self.noise_dim:
            return {}
        return {"noise": torch.randn(count, self.noise_dim, generator=rng, device=self.setup.device)}

    def _generate(self, latents: Tensor, labels: Tensor | None, noise: Mapping[str, Tensor]) -> Tensor:
        given = (latents, labels) if self.conditional else (latents,)
        return self._in_range(self.generator(*given, **noise))

    def _in_range(self, images: Tensor) -> Tensor:
        return images.sigmoid() if self.gives_logits else images

    def _discriminate_both(self, batch: genbench.Batch, fake: Tensor) -> tuple[Judgement, Judgement]:
        """Apply the discriminator to real images and fakes, in one pass where that is equivalent, otherwise in two."""
        real, fake = self._augment(batch.images, batch.rng), self._augment(fake, batch.rng)
        if not self.discriminates_independently:
            return self.judge(real, batch.labels), self.judge(fake, batch.labels)
        return self.judge(torch.cat([real, fake]), None).halves()

    def _augment(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Return the images as the discriminator sees them."""
        # In fp32: otherwise real images and bf16 fakes would be distinguishable by their rounding.
        return images if self.augmentation is None else self.augmentation(images.float(), rng)

    def _class_loss(self, class_logits: Tensor, labels: Tensor | None) -> Tensor:
        """-E log P(class | image) (Odena et al. 2017, eq. 3)."""
        if labels is None:
            raise no_labels(self.setup.model)
        return cross_entropy(class_logits, labels)

    def _further(
        self,
        function: Callable[[genbench.AdversarialBatch], Tensor | genbench.Objective],
        batch: genbench.Batch,
        judged: tuple[Judgement | None, Judgement],
        fake: Tensor,
    ) -> genbench.Objective:
        """Return what a player minimises in addition.

        Further images have the noise of the fakes, so that only their latents differ, and a graph only if the fakes do.
        """
        real_judged, fake_judged = judged

        def generate(latents: Tensor) -> Tensor:
            with torch.set_grad_enabled(fake.requires_grad):
                return self._generate(latents, batch.labels, batch.shared["noise"])

        found = function(
            genbench.AdversarialBatch(
                real=batch.images,
                fake=fake,
                real_logits=None if real_judged is None else real_judged.all,
                fake_logits=fake_judged.all,
                latents=batch.shared["latents"],
                draw_latents=lambda: self.latents(len(batch.images), batch.rng),
                generate=generate,
                discriminate=lambda images: self.judge(self._augment(images, batch.rng), batch.labels).all,
                rng=batch.rng,
                value_range=self.setup.model.value_range,
            )
        )
        return found if isinstance(found, genbench.Objective) else genbench.Objective(found, {})

    def _evaluate(
        self, function: Callable[..., Tensor | genbench.Objective], first: Judgement, second: Judgement | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return a player's loss, of all scales together or summed over them, and the terms that it records."""
        if not self.loss.takes_scales:
            return _sum_over_scales(function, first, second)
        found = function(first.scales, None if second is None else second.scales)
        return (found.total, dict(found.terms)) if isinstance(found, genbench.Objective) else (found, {})

    def _penalty(self, batch: genbench.Batch) -> Tensor:
        assert self.loss.penalty is not None

        def discriminator(images: Tensor) -> Tensor:
            return self.judge(self._augment(images, batch.rng), batch.labels).all

        real, fake = batch.images.float(), batch.shared["fake"].detach().float()
        with torch.autocast(real.device.type, enabled=False):  # second derivatives need fp32
            return self.loss.penalty(discriminator, real, fake, batch.rng)

    def _generator_penalty(self, batch: genbench.Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss's penalty on the generator, for new latents, and the terms that it records."""
        assert self.loss.generator_penalty is not None
        network, count = self.generator, len(batch.images)
        with torch.autocast(batch.images.device.type, enabled=False):  # second derivatives need fp32
            points, noise = self.latents(count, batch.rng), self._noise(count, batch.rng)
            if mapped := isinstance(network, genbench.MappedGenerator):
                given = (points, batch.labels) if self.conditional else (points,)
                points = network.intermediate(*given, **noise)
            else:
                points.requires_grad_()

            def generator(chosen: Tensor) -> Tensor:
                own = {name: values[: len(chosen)] for name, values in noise.items()}
                if mapped:
                    return self._in_range(network.synthesise(chosen, **own))  # type: ignore[operator]
                return self._generate(chosen, None if batch.labels is None else batch.labels[: len(chosen)], own)

            found = self.loss.generator_penalty(generator, points, batch.rng)
        return (found.total, dict(found.terms)) if isinstance(found, genbench.Objective) else (found, {})

    def _confidence_terms(self, real: Judgement, fake: Judgement) -> dict[str, Tensor]:
        """Return the curves that show the discriminator's confidence; a logit at the boundary is classified wrongly.

        Where only differences of logits are meaningful (Wasserstein and relativistic losses), an image is classified
        correctly if its logit is on its own side of the mean logit of the other kind. Energies are not classified.
        """
        real_logits, fake_logits = real.all.detach(), fake.all.detach()
        mean_real, mean_fake = real_logits.mean(), fake_logits.mean()
        if self.judge.gives_energies:
            return {"real_energy": mean_real, "fake_energy": mean_fake}
        boundary = self.loss.boundary
        above, below = (mean_fake, mean_real) if boundary is None else (boundary, boundary)
        return {
            "real_logit": mean_real,
            "fake_logit": mean_fake,
            "margin": mean_real - mean_fake,
            "accuracy_real": (real_logits > above).mean(dtype=torch.float32),
            "accuracy_fake": (fake_logits < below).mean(dtype=torch.float32),
        }

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


def _sum_over_scales(
    function: Callable[..., Tensor | genbench.Objective], first: Judgement, second: Judgement | None
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return a player's loss, summed over the scales, and the terms that the loss itself records."""
    others = (None,) * len(first.scales) if second is None else second.scales
    total: Tensor | None = None
    terms: dict[str, Tensor] = {}
    for one, other in zip(first.scales, others, strict=True):
        found = function(one, other)
        value, own = found if isinstance(found, genbench.Objective) else (found, {})
        total = value if total is None else total + value
        for name, term in own.items():
            terms[name] = terms[name] + term if name in terms else term
    assert total is not None
    return total, terms


def _check(loss: genbench.AdversarialLoss, setup: genbench.Setup) -> None:
    """Refuse settings of a loss that would silently have no effect, or do harm."""
    for field in ("penalty_every", "generator_penalty_every"):
        if getattr(loss, field) < 1:
            raise genbench.GenbenchError(
                f"The loss has {field} = {getattr(loss, field)}.", "Use an integer of at least 1 (every step)."
            )
    if loss.clip_weights is not None and not loss.clip_weights > 0:
        raise genbench.GenbenchError(
            f"The loss has clip_weights = {loss.clip_weights}.", "Use a bound above 0, or None for no clipping."
        )
    if (loss.boundary is None or loss.energy is not None) and setup.recipe["augment_discriminator"] == "ada":
        raise genbench.GenbenchError(
            "augment_discriminator = ada counts the real images that the discriminator classifies as real; with this "
            "loss only differences of logits are meaningful, so there is nothing to count.",
            "Use diffaugment, or a loss whose discriminator is a classifier, such as non-saturating, hinge or r1.",
        )
