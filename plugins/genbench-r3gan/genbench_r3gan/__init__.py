"""R3GAN: residual networks without normalisation, for genbench's loss `rpgan-r1-r2`.

genbench reads this module without importing torch; the networks are in `networks`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import genbench

requires_api = "1.0"


@dataclass(frozen=True)
class R3GANOptions:
    """Options of `r3gan`."""

    width: int = genbench.option(16, "channels next to the image; up to four times as many in deeper layers", minimum=4)
    depth: int = genbench.option(2, "residual blocks per resolution", minimum=1)


@genbench.hookimpl
def genbench_models() -> Iterable[genbench.ModelSpec]:
    """Yield the model."""
    yield genbench.ModelSpec(
        name="r3gan",
        family="adversarial",
        summary="residual blocks with grouped convolutions and no normalisation, for 28, 32 and 64 pixels",
        build="genbench_r3gan.networks:build",
        default_loss="rpgan-r1-r2",
        image_shapes=tuple((channels, size, size) for size in (28, 32, 64) for channels in (1, 3)),
        latent_dim=64,
        recipe={
            "batch_size": 256,
            "learning_rate": 2e-4,
            "beta1": 0.0,
            "beta2": 0.99,
            "schedule": "cosine",
            "schedule_final": 0.25,  # 2e-4 to 5e-5
            "ema_half_life": 500_000.0,  # limited by the recipe's ramp to a share of the images seen
        },
        paper="Huang et al. 2024, The GAN is dead; long live the GAN! A Modern GAN Baseline, arXiv:2501.05441",
        options=R3GANOptions,
    )
