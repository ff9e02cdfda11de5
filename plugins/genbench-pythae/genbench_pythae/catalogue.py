"""The wrapped pythae models, and what the wrapper needs to know about each; no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Latents = Literal["normal", "fitted", "pseudo-inputs"]  # where the latents of new images come from


@dataclass(frozen=True)
class Wrapped:
    """One model of pythae."""

    name: str
    model: str  # class in pythae.models
    config: str  # its config class
    summary: str
    paper: str
    latents: Latents = "normal"
    # For each player, the network that it trains and the loss that it minimises, by its key in the output of the
    # forward pass. The first is the autoencoder; the others are its children, which train separately.
    players: tuple[tuple[str, str], ...] = (("autoencoder", "loss"),)
    without: tuple[str, ...] = ()  # config fields that are not options


ADVERSARIAL = (("autoencoder", "autoencoder_loss"), ("discriminator", "discriminator_loss"))
KINGMA = "Kingma & Welling 2014, Auto-Encoding Variational Bayes, arXiv:1312.6114"

WRAPPED = (
    Wrapped("pythae-ae", "AE", "AEConfig", "autoencoder without a prior", "", latents="fitted"),
    Wrapped("pythae-vae", "VAE", "VAEConfig", "the plain VAE", KINGMA),
    Wrapped(
        "pythae-beta-vae",
        "BetaVAE",
        "BetaVAEConfig",
        "KL divergence times beta",
        "Higgins et al. 2017, beta-VAE, ICLR",
    ),
    Wrapped(
        "pythae-disentangled-beta-vae",
        "DisentangledBetaVAE",
        "DisentangledBetaVAEConfig",
        "KL divergence kept at a rising capacity",
        "Burgess et al. 2018, Understanding disentangling in beta-VAE, arXiv:1804.03599",
    ),
    Wrapped(
        "pythae-beta-tc-vae",
        "BetaTCVAE",
        "BetaTCVAEConfig",
        "KL divergence in three parts, each with a weight",
        "Chen et al. 2018, Isolating Sources of Disentanglement in VAEs, arXiv:1802.04942",
    ),
    Wrapped(
        "pythae-factor-vae",
        "FactorVAE",
        "FactorVAEConfig",
        "total correlation, estimated by a discriminator of the latents",
        "Kim & Mnih 2018, Disentangling by Factorising, arXiv:1802.05983",
        players=ADVERSARIAL,
    ),
    Wrapped(
        "pythae-info-vae",
        "INFOVAE_MMD",
        "INFOVAE_MMD_Config",
        "KL divergence and maximum mean discrepancy",
        "Zhao et al. 2019, InfoVAE, arXiv:1706.02262",
    ),
    Wrapped(
        "pythae-iwae",
        "IWAE",
        "IWAEConfig",
        "importance-weighted bound",
        "Burda et al. 2016, Importance Weighted Autoencoders, arXiv:1509.00519",
    ),
    Wrapped(
        "pythae-miwae",
        "MIWAE",
        "MIWAEConfig",
        "mean of several importance-weighted bounds",
        "Rainforth et al. 2018, Tighter Variational Bounds are Not Necessarily Better, arXiv:1802.04537",
    ),
    Wrapped(
        "pythae-piwae",
        "PIWAE",
        "PIWAEConfig",
        "one bound for the encoder, a tighter one for the decoder",
        "Rainforth et al. 2018, Tighter Variational Bounds are Not Necessarily Better, arXiv:1802.04537",
        players=(("autoencoder", "encoder_loss"), ("decoder", "decoder_loss")),
    ),
    Wrapped(
        "pythae-ciwae",
        "CIWAE",
        "CIWAEConfig",
        "between the ELBO and the importance-weighted bound",
        "Rainforth et al. 2018, Tighter Variational Bounds are Not Necessarily Better, arXiv:1802.04537",
    ),
    Wrapped(
        "pythae-vamp",
        "VAMP",
        "VAMPConfig",
        "prior that is a mixture of the posteriors of learnt pseudo-images",
        "Tomczak & Welling 2018, VAE with a VampPrior, arXiv:1705.07120",
        latents="pseudo-inputs",
        without=("linear_scheduling_steps",),
    ),
    Wrapped(
        "pythae-vae-lin-nf",
        "VAE_LinNF",
        "VAE_LinNF_Config",
        "posterior through planar and radial flows",
        "Rezende & Mohamed 2015, Variational Inference with Normalizing Flows, arXiv:1505.05770",
    ),
    Wrapped(
        "pythae-vae-iaf",
        "VAE_IAF",
        "VAE_IAF_Config",
        "posterior through inverse autoregressive flows",
        "Kingma et al. 2016, Improved Variational Inference with Inverse Autoregressive Flow, arXiv:1606.04934",
    ),
    Wrapped(
        "pythae-wae-mmd",
        "WAE_MMD",
        "WAE_MMD_Config",
        "autoencoder whose latents match the prior in maximum mean discrepancy",
        "Tolstikhin et al. 2018, Wasserstein Auto-Encoders, arXiv:1711.01558",
    ),
    Wrapped(
        "pythae-adversarial-ae",
        "Adversarial_AE",
        "Adversarial_AE_Config",
        "autoencoder whose latents a discriminator cannot distinguish from the prior's",
        "Makhzani et al. 2016, Adversarial Autoencoders, arXiv:1511.05644",
        players=ADVERSARIAL,
    ),
    Wrapped(
        "pythae-rae-l2",
        "RAE_L2",
        "RAE_L2_Config",
        "autoencoder with short latents and small decoder weights",
        "Ghosh et al. 2020, From Variational to Deterministic Autoencoders, arXiv:1903.12436",
        latents="fitted",
    ),
    Wrapped(
        "pythae-vq-vae",
        "VQVAE",
        "VQVAEConfig",
        "each latent is the nearest of a number of learnt values",
        "van den Oord et al. 2017, Neural Discrete Representation Learning, arXiv:1711.00937",
        latents="fitted",
    ),
)

BY_NAME = {wrapped.name: wrapped for wrapped in WRAPPED}
