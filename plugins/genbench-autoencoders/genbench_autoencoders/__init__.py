"""Autoencoders beyond the VAE: names and options, without torch. Each folder holds one family."""

from __future__ import annotations

from collections.abc import Iterable

import genbench
from genbench_autoencoders import adversarial, bigan, ladder, rae, vae_gan, vamp, vq_vae_2

requires_api = "1.3"

_FAMILIES = (vae_gan, adversarial, bigan, rae, vamp, ladder, vq_vae_2)


@genbench.hookimpl
def genbench_families() -> Iterable[genbench.FamilySpec]:
    """Yield the families."""
    for family in _FAMILIES:
        yield from family.families()


@genbench.hookimpl
def genbench_models() -> Iterable[genbench.ModelSpec]:
    """Yield the models."""
    for family in _FAMILIES:
        yield from family.models()


@genbench.hookimpl
def genbench_losses() -> Iterable[genbench.LossSpec]:
    """Yield the losses."""
    for family in _FAMILIES:
        yield from family.losses()
