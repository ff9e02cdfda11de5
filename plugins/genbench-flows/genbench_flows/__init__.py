"""The family `flow`, its models and the loss `flow-nll`: names and options, without torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import genbench

requires_api = "1.1"


@dataclass(frozen=True)
class RealNVPOptions:
    """Options of the model `realnvp`."""

    width: int = genbench.option(32, "channels of the networks inside the coupling layers", minimum=4)
    couplings: int = genbench.option(4, "coupling layers at each resolution", minimum=2)


@dataclass(frozen=True)
class GlowOptions:
    """Options of the models `glow` and `cglow`."""

    width: int = genbench.option(32, "channels of the networks inside the coupling layers", minimum=4)
    steps: int = genbench.option(8, "steps of the flow at each level", minimum=1)
    levels: int = genbench.option(3, "levels, fewer if a side can't be halved as often", minimum=1)


@dataclass(frozen=True)
class FlowOptions:
    """Options of the loss `flow-nll`."""

    alpha: float = genbench.option(
        0.05, "distance of the pixel values from 0 and 1 before their logits are taken", minimum=1e-6, maximum=0.4
    )


@genbench.hookimpl
def genbench_families() -> Iterable[genbench.FamilySpec]:
    """Yield the family."""
    yield genbench.FamilySpec(
        name="flow",
        summary="an invertible network maps images to noise, so the likelihood of an image is exact",
        create="genbench_flows.family:Flow",
        networks=("flow",),
        exact=True,
    )


@genbench.hookimpl
def genbench_models() -> Iterable[genbench.ModelSpec]:
    """Yield the models."""
    yield genbench.ModelSpec(
        name="realnvp",
        family="flow",
        summary="affine coupling layers with checkerboard and channel-wise masks, at two resolutions",
        build="genbench_flows.realnvp:build",
        default_loss="flow-nll",
        value_range=(0.0, 1.0),
        recipe={"batch_size": 64, "learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999},
        paper="Dinh et al. 2017, arXiv:1605.08803",
        options=RealNVPOptions,
    )
    for name, conditional in (("glow", False), ("cglow", True)):
        yield genbench.ModelSpec(
            name=name,
            family="flow",
            summary="normalisation, invertible 1 × 1 convolutions and affine couplings at several resolutions"
            + (", conditional" if conditional else ""),
            build=f"genbench_flows.glow:{'build_conditional' if conditional else 'build'}",
            default_loss="flow-nll",
            image_shapes=genbench.ShapeRule(multiple_of=2, minimum=2),
            value_range=(0.0, 1.0),
            latent_dim=None,
            conditional=conditional,
            recipe={
                "batch_size": 64,
                "learning_rate": 1e-3,
                "beta1": 0.9,
                "beta2": 0.999,
                "clip_gradient": 100.0,
                "schedule_warmup": 3_200,
            },
            paper="Kingma & Dhariwal 2018, arXiv:1807.03039",
            options=GlowOptions,
        )


@genbench.hookimpl
def genbench_losses() -> Iterable[genbench.LossSpec]:
    """Yield the loss."""
    yield genbench.LossSpec(
        name="flow-nll",
        family="flow",
        summary="negative log-likelihood of dequantised images, in bits per pixel and channel",
        create="genbench_flows.family:FlowNLL",
        formula="-E_u[log p(y + u)] / (D ln 2) + 8, u ~ U(0, 1/256), log p(y) = log N(f(y); 0, I) + log |det ∂f/∂y|",
        source="Dinh et al. 2017, arXiv:1605.08803, equations 2 and 3, section 4.1; dequantisation: Theis et al. 2016, "
        "arXiv:1511.01844, section 3.1",
        options=FlowOptions,
    )
