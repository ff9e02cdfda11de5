"""What the packages in `plugins/` bring, so that a name which is not installed can be answered with its package.

A test compares this with what the packages register.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from genbench.plugins.loader import Kind


@dataclass(frozen=True)
class KnownPackage:
    """A package that adds to genbench."""

    distribution: str
    subject: str  # in a few words
    brings: Mapping[Kind, tuple[str, ...]]
    aliases: Mapping[str, str] = field(default_factory=dict)  # what papers call a metric -> its name here

    @property
    def installation(self) -> str:
        """How to install it."""
        name = self.distribution
        return f"pip install {name}, or in a clone of genbench: pip install -e plugins/{name}"

    def offers(self, kind: Kind) -> tuple[str, ...]:
        """Return the names of one kind; its extractors add metrics, of which the Fréchet distances are named."""
        distances = [f"fd-{name}" for name in self.brings.get("extractors", ())]
        return (*self.brings.get(kind, ()), *(distances if kind == "metrics" else ()))

    def name_of(self, kind: Kind, name: str) -> str | None:
        """Return how this package calls what a user named, or None if it does not bring it."""
        wanted = self.aliases.get(name.casefold(), name) if kind == "metrics" else name
        extractors = self.brings.get("extractors", ())
        of_extractor = kind == "metrics" and any(wanted.endswith(f"-{extractor}") for extractor in extractors)
        return wanted if wanted in self.offers(kind) or of_extractor else None


PACKAGES = (
    KnownPackage(
        "genbench-vision-features",
        "DINOv2, CLIP and every image network in timm",
        {
            "extractors": (
                "dinov2-small",
                "dinov2-base",
                "dinov2-large",
                "clip-vit-b32",
                "clip-vit-l14",
                "clip-vit-l14-336",
                "timm",
            )
        },
        {
            **dict.fromkeys(("fdd", "fd-dino", "fd-dinov2", "dinov2", "fd_dinov2"), "fd-dinov2-large"),
            **dict.fromkeys(("clip", "fd-clip", "fid-clip", "clip-fid"), "fd-clip-vit-l14"),
            "cmmd": "cmmd",
        },
    ),
    KnownPackage("genbench-orl-faces", "400 photographs of faces", {"datasets": ("orl-faces",)}),
    KnownPackage(
        "genbench-diffusion",
        "diffusion and consistency models, flow matching",
        {
            "families": ("diffusion", "consistency"),
            "models": ("diffusion", "conditional-diffusion", "ddpm", "consistency"),
            "losses": ("edm", "ddpm", "v-prediction", "flow-matching", "consistency"),
        },
    ),
    KnownPackage(
        "genbench-diffusers",
        "the U-Net and the schedulers of diffusers",
        {"families": ("diffusers",), "models": ("diffusers-unet",), "losses": ("diffusers",)},
    ),
    KnownPackage(
        "genbench-flows",
        "normalising flows",
        {"families": ("flow",), "models": ("realnvp", "glow", "cglow"), "losses": ("flow-nll",)},
    ),
    KnownPackage(
        "genbench-autoregressive",
        "PixelCNN++ and an image transformer",
        {
            "families": ("autoregressive",),
            "models": ("pixelcnn-pp", "cpixelcnn-pp", "image-transformer", "cimage-transformer"),
            "losses": ("autoregressive-nll",),
        },
    ),
    KnownPackage(
        "genbench-attention-gan",
        "SAGAN, BigGAN and Projected GAN",
        {"models": ("sagan", "sagan-unconditional", "biggan", "biggan-unconditional", "projected-gan")},
    ),
    KnownPackage(
        "genbench-adversarial",
        "VEEGAN and progressive growing",
        {"families": ("veegan",), "models": ("veegan", "pggan"), "losses": ("veegan",)},
    ),
    KnownPackage("genbench-r3gan", "R3GAN", {"models": ("r3gan",)}),
    KnownPackage(
        "genbench-stylegan",
        "StyleGAN2",
        {"models": ("stylegan2", "stylegan2-conditional"), "losses": ("stylegan2",)},
    ),
    KnownPackage(
        "genbench-wgan", "further Wasserstein losses", {"models": ("wgan-critic",), "losses": ("wgan-lp", "wgan-div")}
    ),
    KnownPackage(
        "genbench-autoencoders",
        "autoencoders with a discriminator, a learned prior, levels or codes",
        {
            "families": (
                *("vae-gan", "adversarial-autoencoder", "bigan", "regularised", "vamp", "ladder", "vq-vae-2"),
            ),
            "models": (
                *("vae-gan", "aae", "conditional-aae", "ali", "bigan", "rae", "vamp-vae", "ladder-vae"),
                *("vq-vae-2", "conditional-vq-vae-2"),
            ),
            "losses": ("learned-similarity", "aae", "joint-game", "rae", "vamp-elbo", "ladder-elbo", "vq-2"),
        },
    ),
    KnownPackage(
        "genbench-factor-vae",
        "FactorVAE",
        {"families": ("factor-vae",), "models": ("factor-vae",), "losses": ("factor",)},
    ),
    KnownPackage(
        "genbench-pythae",
        "the autoencoders of pythae",
        {
            "families": ("pythae",),
            "models": (
                *("pythae-ae", "pythae-vae", "pythae-beta-vae", "pythae-disentangled-beta-vae", "pythae-beta-tc-vae"),
                *("pythae-factor-vae", "pythae-info-vae", "pythae-iwae", "pythae-miwae", "pythae-piwae"),
                *(
                    "pythae-ciwae",
                    "pythae-vamp",
                    "pythae-vae-lin-nf",
                    "pythae-vae-iaf",
                    "pythae-wae-mmd",
                    "pythae-adversarial-ae",
                ),
                *("pythae-rae-l2", "pythae-vq-vae"),
            ),
            "losses": ("pythae",),
        },
    ),
    KnownPackage(
        "genbench-torchgan",
        "networks and losses of torchgan",
        {
            "models": ("torchgan-dcgan", "torchgan-cgan", "torchgan-acgan"),
            "losses": ("torchgan-minimax", "torchgan-least-squares", "torchgan-wasserstein"),
        },
    ),
    KnownPackage(
        "genbench-trackers",
        "TensorBoard, MLflow and Weights & Biases",
        {"reporters": ("tensorboard", "mlflow", "wandb")},
    ),
    KnownPackage("genbench-ray", "runs cells on a Ray cluster", {"executors": ("ray",)}),
    KnownPackage("genbench-slurm", "runs cells on a SLURM cluster", {"executors": ("slurm",)}),
)


def find_package(kind: Kind, name: str) -> tuple[KnownPackage, str] | None:
    """Return the package that brings what a user named, and how the package calls it."""
    for package in PACKAGES:
        if (found := package.name_of(kind, name)) is not None:
            return package, found
    return None


def not_installed(kind: Kind, installed: Iterable[str]) -> list[KnownPackage]:
    """Return the packages that bring something of this kind and are not among the installed distributions."""
    there = set(installed)
    return [package for package in PACKAGES if package.offers(kind) and package.distribution not in there]
