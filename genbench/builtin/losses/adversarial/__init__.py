"""Adversarial losses: names, options, formulas and sources."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import genbench

_CREATE = "genbench.builtin.losses.adversarial.create:"
_CROSS_ENTROPY = "L_D = E softplus(-D(x)) + E softplus(D(G(z)))"
_SMOOTHED = f"{_CROSS_ENTROPY} (with label smoothing s: + s E D(x))"


def _without_ada(**options: str) -> tuple[genbench.Restriction, ...]:
    """Return the restriction of losses under which only differences of logits mean anything."""
    reason = (
        "ADA counts the real images that D classifies as real, and D has no decision boundary here; use diffaugment"
    )
    return (genbench.Restriction(setting="augment_discriminator", excludes=("ada",), reason=reason, options=options),)


def _energies_without_ada() -> tuple[genbench.Restriction, ...]:
    reason = "ADA counts the real images that D classifies as real, and an energy has no decision boundary"
    return (genbench.Restriction(setting="augment_discriminator", excludes=("ada",), reason=reason),)


_PAIRS = genbench.Restriction(setting="batch_size", minimum=2, reason="it compares the codes of two fakes")


@dataclass(frozen=True)
class CrossEntropyOptions:
    """Options of losses whose discriminator is a classifier: `minimax`, `non-saturating` and others."""

    label_smoothing: float = genbench.option(
        0.0,
        "D's target for real images is 1 minus this value; for fakes it stays 0 (one-sided)",
        minimum=0,
        maximum=0.99,
    )


@dataclass(frozen=True)
class WassersteinOptions:
    """Options of `wgan`."""

    clip: float = genbench.option(0.01, "D's parameters are clipped to [-clip, clip]", minimum=1e-6)


@dataclass(frozen=True)
class GradientPenaltyOptions:
    """Options of `wgan-gp`."""

    penalty_weight: float = genbench.option(10.0, "weight λ of the gradient penalty; 0: none", minimum=0)


@dataclass(frozen=True)
class DraganOptions(CrossEntropyOptions):
    """Options of `dragan`."""

    penalty_weight: float = genbench.option(10.0, "weight λ of the gradient penalty; 0: none", minimum=0)
    perturbation: float = genbench.option(
        0.5,
        "size of the noise around real images, in standard deviations of their pixels",
        minimum=0,
        unused_with={"penalty_weight": [0]},
    )


@dataclass(frozen=True)
class R1Options(CrossEntropyOptions):
    """Options of `r1`."""

    gamma: float = genbench.option(
        0.1, "weight of the penalty γ/2 E‖∇D(x)‖²; 0: none; larger images allow more, up to 10", minimum=0
    )
    penalty_every: int = genbench.option(
        16,
        "steps between two updates with the penalty, which is weighted accordingly; 1: every step",
        minimum=1,
        unused_with={"gamma": [0]},
    )


@dataclass(frozen=True)
class PairedOptions:
    """Options of `rpgan-r1-r2`."""

    gamma: float = genbench.option(
        1.0, "weight of the penalties γ/2 E‖∇D(x)‖² and γ/2 E‖∇D(G(z))‖²; 0: none", minimum=0
    )
    penalty_every: int = genbench.option(
        1,
        "steps between two updates with the penalties, which are weighted accordingly; 1: every step",
        minimum=1,
        unused_with={"gamma": [0]},
    )


@dataclass(frozen=True)
class WeightedOptions(CrossEntropyOptions):
    """Options of `weighted`."""

    alpha: float = genbench.option(
        0.5, "weight α of the discriminator's loss; the generator's is weighted by 1 - α", minimum=0.01, maximum=0.99
    )
    game: Literal["non-saturating", "minimax", "lsgan", "hinge", "relativistic"] = genbench.option(
        "non-saturating", "the loss whose two objectives are weighted"
    )


@dataclass(frozen=True)
class RegularisedOptions(CrossEntropyOptions):
    """Options of losses that add terms to another one."""

    game: Literal["non-saturating", "minimax", "lsgan", "hinge"] = genbench.option(
        "non-saturating", "the loss that is regularised"
    )


@dataclass(frozen=True)
class LeCamOptions(RegularisedOptions):
    """Options of `lecam`."""

    weight: float = genbench.option(0.3, "weight λ of the regularisation", minimum=0)
    decay: float = genbench.option(0.99, "decay of the averages per update of D", minimum=0, maximum=1)
    start: int = genbench.option(
        0, "updates of D without regularisation; the averages are kept from the first", minimum=0
    )


@dataclass(frozen=True)
class EquilibriumOptions:
    """Options of `began`."""

    gamma: float = genbench.option(0.5, "diversity ratio γ = E L(G(z)) / E L(x) at equilibrium", minimum=0, maximum=1)
    gain: float = genbench.option(0.001, "proportional gain λ of k, per update of D", minimum=0)


@dataclass(frozen=True)
class MarginOptions:
    """Options of `ebgan`."""

    margin: float = genbench.option(
        0.2, "energy m up to which D raises that of fakes, a mean squared error per value", minimum=0
    )


@dataclass(frozen=True)
class PullingOptions(MarginOptions):
    """Options of `ebgan-pt`."""

    pulling_away: float = genbench.option(0.1, "weight of the pulling-away term of the generator", minimum=0)


@dataclass(frozen=True)
class ShiftOptions(RegularisedOptions):
    """Options of losses with an augmentation T."""

    shift: int = genbench.option(4, "largest shift of T in pixels, besides a random flip", minimum=0)


@dataclass(frozen=True)
class CROptions(ShiftOptions):
    """Options of `cr`."""

    weight: float = genbench.option(10.0, "weight λ of the consistency of real images", minimum=0)


@dataclass(frozen=True)
class BCROptions(ShiftOptions):
    """Options of `bcr`, and some of those of `icr`."""

    real: float = genbench.option(10.0, "weight λ_r of the consistency of real images", minimum=0)
    fake: float = genbench.option(10.0, "weight λ_f of the consistency of fakes", minimum=0)


@dataclass(frozen=True)
class ZCROptions(RegularisedOptions):
    """Options of `zcr`."""

    discriminator: float = genbench.option(5.0, "weight λ_D of D's consistency with respect to latents", minimum=0)
    generator: float = genbench.option(0.5, "weight λ_G of G's sensitivity to latents", minimum=0)
    noise: float = genbench.option(0.05, "standard deviation σ of the noise that is added to latents", minimum=0)


@dataclass(frozen=True)
class ICROptions(BCROptions):
    """Options of `icr`."""

    discriminator: float = genbench.option(5.0, "weight λ_D of D's consistency with respect to latents", minimum=0)
    generator: float = genbench.option(0.5, "weight λ_G of G's sensitivity to latents", minimum=0)
    noise: float = genbench.option(0.05, "standard deviation σ of the noise that is added to latents", minimum=0)


@dataclass(frozen=True)
class ModeSeekingOptions(RegularisedOptions):
    """Options of `mode-seeking`."""

    weight: float = genbench.option(1.0, "weight λ of the inverse ratio of distances", minimum=0)


def specs() -> Iterable[genbench.LossSpec]:
    """Yield the losses of the adversarial family."""
    yield genbench.LossSpec(
        name="non-saturating",
        family="adversarial",
        summary="binary cross-entropy for D; G maximises log D(G(z))",
        create=_CREATE + "non_saturating",
        formula=f"{_SMOOTHED}, L_G = E softplus(-D(G(z)))",
        source="Goodfellow et al. 2014, arXiv:1406.2661, section 3; smoothing: Salimans et al. 2016, section 3.4",
        options=CrossEntropyOptions,
    )
    yield genbench.LossSpec(
        name="minimax",
        family="adversarial",
        summary="binary cross-entropy for D; G minimises log(1 - D(G(z)))",
        create=_CREATE + "minimax",
        formula=f"{_SMOOTHED}, L_G = -E softplus(D(G(z)))",
        source="Goodfellow et al. 2014, arXiv:1406.2661, equation 1; smoothing: Salimans et al. 2016, section 3.4",
        options=CrossEntropyOptions,
    )
    yield genbench.LossSpec(
        name="lsgan",
        family="adversarial",
        summary="squared distance of the logits to the targets 1 and 0",
        create=_CREATE + "lsgan",
        formula="L_D = ½ E (D(x) - 1)² + ½ E D(G(z))², L_G = ½ E (D(G(z)) - 1)²",
        source="Mao et al. 2017, arXiv:1611.04076, equation 9",
    )
    yield genbench.LossSpec(
        name="lsgan-pearson",
        family="adversarial",
        summary="lsgan with the targets 1, -1 and 0, a Pearson χ² divergence",
        create=_CREATE + "lsgan_pearson",
        formula="L_D = ½ E (D(x) - 1)² + ½ E (D(G(z)) + 1)², L_G = ½ E D(G(z))²",
        source="Mao et al. 2017, arXiv:1611.04076, equation 8",
    )
    yield genbench.LossSpec(
        name="hinge",
        family="adversarial",
        summary="D's logits are driven to margins of 1 and -1 and no further; G maximises the logit",
        create=_CREATE + "hinge",
        formula="L_D = E max(0, 1 - D(x)) + E max(0, 1 + D(G(z))), L_G = -E D(G(z))",
        source="Lim & Ye 2017, arXiv:1705.02894; Miyato et al. 2018, arXiv:1802.05957, equations 16 and 17",
    )
    yield genbench.LossSpec(
        name="wgan",
        family="adversarial",
        summary="Wasserstein distance estimated by a critic with clipped weights",
        create=_CREATE + "wgan",
        formula="L_D = E D(G(z)) - E D(x), parameters of D in [-clip, clip], L_G = -E D(G(z))",
        source="Arjovsky et al. 2017, arXiv:1701.07875, algorithm 1",
        options=WassersteinOptions,
        restrictions=_without_ada(),
        recipe={"optimizer": "rmsprop", "learning_rate": 5e-5, "discriminator_steps": 5},
    )
    yield genbench.LossSpec(
        name="wgan-gp",
        family="adversarial",
        summary="Wasserstein distance by a critic with a gradient penalty towards norm 1; use D without batch norm",
        create=_CREATE + "wgan_gp",
        formula="L_D = E D(G(z)) - E D(x) + λ E (‖∇D(εx + (1-ε)G(z))‖ - 1)², ε ~ U(0, 1) per image, L_G = -E D(G(z))",
        source="Gulrajani et al. 2017, arXiv:1704.00028, equation 3 and algorithm 1",
        options=GradientPenaltyOptions,
        restrictions=_without_ada(),
        recipe={
            "optimizer": "adam",
            "learning_rate": 1e-4,
            "beta1": 0.0,
            "beta2": 0.9,
            "discriminator_steps": 5,
        },
    )
    yield genbench.LossSpec(
        name="dragan",
        family="adversarial",
        summary="non-saturating, with a penalty that drives D's gradient norm near real images to 1",
        create=_CREATE + "dragan",
        formula=f"{_SMOOTHED} + λ E (‖∇D(x + δ)‖ - 1)², δ = ½ std(x) U(0, 1) per pixel, L_G = E softplus(-D(G(z)))",
        source="Kodali et al. 2017, arXiv:1705.07215, section 2.5; the noise as in the authors' code",
        options=DraganOptions,
    )
    yield genbench.LossSpec(
        name="r1",
        family="adversarial",
        summary="non-saturating, with a penalty on D's gradient at real images every k-th step",
        create=_CREATE + "r1",
        formula=f"{_SMOOTHED} + γ/2 E ‖∇D(x)‖², L_G = E softplus(-D(G(z)))",
        source="Mescheder et al. 2018, arXiv:1801.04406, equation 9; lazy: Karras et al. 2020, appendix B",
        options=R1Options,
        recipe={"optimizer": "adam", "beta1": 0.0, "beta2": 0.99},
    )
    yield genbench.LossSpec(
        name="relativistic",
        family="adversarial",
        summary="D estimates whether an image is more realistic than the average of the other kind",
        create=_CREATE + "relativistic",
        formula="L_D = E softplus(-(D(x) - E D(G(z)))) + E softplus(D(G(z)) - E D(x)), L_G: x and G(z) swapped",
        source="Jolicoeur-Martineau 2018, arXiv:1807.00734 (RaSGAN)",
        restrictions=_without_ada(),
    )
    yield genbench.LossSpec(
        name="rpgan-r1-r2",
        family="adversarial",
        summary="D compares pairs of a real and a fake image; penalties on its gradient at both (R3GAN)",
        create=_CREATE + "rpgan_r1_r2",
        formula="L_D = E softplus(D(G(z)) - D(x)) + γ/2 (E ‖∇D(x)‖² + E ‖∇D(G(z))‖²), L_G = E softplus(D(x) - D(G(z)))",
        source="Huang et al. 2024, arXiv:2501.05441, section 2; Jolicoeur-Martineau 2018, arXiv:1807.00734 (RpSGAN)",
        options=PairedOptions,
        restrictions=_without_ada(),
        recipe={"optimizer": "adam", "learning_rate": 2e-4, "beta1": 0.0, "beta2": 0.99},
    )
    yield genbench.LossSpec(
        name="lecam",
        family="adversarial",
        summary="another loss, with D's logits kept near the moving average of its mean logit of the other kind",
        create="genbench.builtin.losses.adversarial.lecam:lecam",
        formula="L_D of the chosen game + λ (E (D(x) - α_F)² + E (D(G(z)) - α_R)²), α_R and α_F moving averages of "
        "E D(x) and E D(G(z)); L_G of the game",
        source="Tseng et al. 2021, arXiv:2104.03310, equation 4",
        options=LeCamOptions,
    )
    yield from _consistency()
    yield genbench.LossSpec(
        name="mode-seeking",
        family="adversarial",
        summary="another loss, whose generator keeps images as far apart as their latents (MSGAN)",
        create="genbench.builtin.losses.adversarial.mode_seeking:mode_seeking",
        formula="L_D and L_G of the chosen game, L_G + λ / r, r = E |G(z) - G(z')| / |z - z'|, means of absolute "
        "differences",
        source="Mao et al. 2019, arXiv:1903.05628, equation 1",
        options=ModeSeekingOptions,
    )
    yield genbench.LossSpec(
        name="began",
        family="adversarial",
        summary="D reconstructs images; a controller keeps the errors of real images and fakes at a fixed ratio",
        create="genbench.builtin.losses.adversarial.energies:began",
        formula="L(v) = mean |v - D(v)|, L_D = E L(x) - k E L(G(z)), L_G = E L(G(z)), k ← clip(k + λ (γ E L(x) - "
        "E L(G(z))), 0, 1)",
        source="Berthelot et al. 2017, arXiv:1703.10717, section 3.4",
        options=EquilibriumOptions,
        restrictions=_energies_without_ada(),
        recipe={"learning_rate": 1e-4},
        discriminator_outputs=("reconstructions",),
    )
    yield genbench.LossSpec(
        name="ebgan",
        family="adversarial",
        summary="D reconstructs images, real ones well and fakes with an error of at least a margin",
        create="genbench.builtin.losses.adversarial.energies:ebgan",
        formula="L(v) = mean (v - D(v))², L_D = E L(x) + E max(0, m - L(G(z))), L_G = E L(G(z))",
        source="Zhao et al. 2017, arXiv:1609.03126, equations 1 and 2",
        options=MarginOptions,
        restrictions=_energies_without_ada(),
        discriminator_outputs=("reconstructions",),
    )
    yield genbench.LossSpec(
        name="ebgan-pt",
        family="adversarial",
        summary="ebgan whose generator pulls the codes of its fakes apart",
        create="genbench.builtin.losses.adversarial.energies:ebgan_pt",
        formula="L_D as ebgan, L_G = E L(G(z)) + λ mean over pairs i ≠ j of cos²(s_i, s_j), s the codes of fakes in D",
        source="Zhao et al. 2017, arXiv:1609.03126, equation 6",
        options=PullingOptions,
        restrictions=(*_energies_without_ada(), _PAIRS),
        discriminator_outputs=("coded-reconstructions",),
    )
    yield genbench.LossSpec(
        name="weighted",
        family="adversarial",
        summary="another loss with its two objectives weighted; Adam is scale-invariant, so use sgd for α to matter",
        create=_CREATE + "weighted",
        formula="α L_D for the discriminator, (1 - α) L_G for the generator, L_D and L_G those of the chosen game",
        source="the weighted total α L_D + (1 - α) L_G of introductory texts, as two objectives",
        options=WeightedOptions,
        restrictions=_without_ada(game="relativistic"),
    )


def _consistency() -> Iterable[genbench.LossSpec]:
    """Yield the losses with consistency regularisation."""
    create = "genbench.builtin.losses.adversarial.consistency_regularisation:"
    game = "L_D and L_G of the chosen game"
    real, fake = "λ E (D(x) - D(T(x)))²", "λ_f E (D(G(z)) - D(T(G(z))))²"
    latents = "λ_D E (D(G(z)) - D(G(z + δ)))², L_G - λ_G E (G(z) - G(z + δ))² per value, δ ~ N(0, σ²)"
    yield genbench.LossSpec(
        name="cr",
        family="adversarial",
        summary="another loss, whose D barely changes with a flip and shift T of real images",
        create=create + "cr",
        formula=f"{game}, L_D + {real}",
        source="Zhang et al. 2020, arXiv:1910.12027, equation 3",
        options=CROptions,
    )
    yield genbench.LossSpec(
        name="bcr",
        family="adversarial",
        summary="balanced consistency: cr for real images and for fakes",
        create=create + "bcr",
        formula=f"{game}, L_D + {real} + {fake}",
        source="Zhao et al. 2021, arXiv:2002.04724, section 3.1",
        options=BCROptions,
    )
    yield genbench.LossSpec(
        name="zcr",
        family="adversarial",
        summary="latent consistency: D barely changes with the latents of a fake, while G's image does",
        create=create + "zcr",
        formula=f"{game}, L_D + {latents}",
        source="Zhao et al. 2021, arXiv:2002.04724, section 3.2",
        options=ZCROptions,
    )
    yield genbench.LossSpec(
        name="icr",
        family="adversarial",
        summary="improved consistency: bcr and zcr",
        create=create + "icr",
        formula=f"{game}, L_D + {real} + {fake} + {latents}",
        source="Zhao et al. 2021, arXiv:2002.04724, section 3.3",
        options=ICROptions,
    )
