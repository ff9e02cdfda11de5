"""What diffusers computes is what its own tutorial and pipelines compute, and agrees with genbench-diffusion."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import genbench_diffusers
import pytest
import torch
from torch import Tensor, nn

import genbench

pytest.importorskip("diffusers")
import diffusers
from genbench_diffusers import DDIMOptions, LossOptions, SchedulerOptions, UNetOptions
from genbench_diffusers.family import Diffusers
from genbench_diffusers.unet import build

(MODEL,) = genbench_diffusers.genbench_models()
SHAPE = (1, 28, 28)


def family(network: nn.Module | None = None, shape: genbench.Shape = SHAPE, **options: Any) -> Diffusers:
    torch.manual_seed(0)
    network = network or build(shape, 1, 0, UNetOptions(width=8, blocks=1))["unet"]
    device = torch.device("cpu")
    return Diffusers(
        genbench.Setup({"unet": network}, LossOptions(**options), MODEL, 1, 0, {}, device, image_shape=shape)
    )


def test_at_width_128_it_is_the_network_of_the_paper() -> None:
    with torch.device("meta"):
        network = build((3, 32, 32), 1, 0, UNetOptions(width=128))["unet"]
    assert sum(p.numel() for p in network.parameters()) == 35_746_307


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_the_loss_is_that_of_the_training_tutorial(prediction: str) -> None:
    player, rng = family(prediction_type=prediction), torch.Generator().manual_seed(1)
    images = torch.rand(4, *SHAPE, generator=rng) * 2 - 1
    total = player.objective(genbench.Batch(images, None, torch.Generator().manual_seed(2), True, {})).total
    again = torch.Generator().manual_seed(2)
    noise, times = torch.randn(images.shape, generator=again), torch.randint(1000, (4,), generator=again)
    share = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000), 0)[times].view(4, 1, 1, 1)
    noisy = share.sqrt() * images + (1 - share).sqrt() * noise
    targets = {
        "epsilon": noise,
        "sample": images,
        "v_prediction": share.sqrt() * noise - (1 - share).sqrt() * images,
    }
    predicted = player.unet(noisy, times)
    torch.testing.assert_close(total, (predicted - targets[prediction]).square().mean())


def test_samples_are_those_of_diffusers_own_pipeline() -> None:
    player = family()
    pipeline = diffusers.DDIMPipeline(player.unet.unet, diffusers.DDIMScheduler.from_config(player.scheduler.config))
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(2, torch.Generator().manual_seed(3), num_inference_steps=4, output_type="np").images
    with torch.inference_mode():
        ours = player.sample_with(genbench.Sampler("ddim", DDIMOptions(steps=4)), 2, torch.Generator().manual_seed(3))
    torch.testing.assert_close((ours / 2 + 0.5).permute(0, 2, 3, 1), torch.as_tensor(theirs), atol=1e-5, rtol=0)


class Gaussian(nn.Module):
    """The perfect prediction of the noise in N(0, ¼²) data."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("share", torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000), 0))

    def forward(self, images: Tensor, times: Tensor) -> Tensor:
        floor = times.long()
        share = self.share[floor].lerp(self.share[(floor + 1).clamp(max=999)], times.float() - floor)
        share = share.view(-1, 1, 1, 1)
        return (1 - share).sqrt() / (share / 16 + 1 - share) * images


@pytest.mark.parametrize("name", list(genbench_diffusers.SCHEDULERS))
def test_every_scheduler_draws_the_variance_of_gaussian_data(name: str) -> None:
    # With few steps the new noise of DDPM is too small (fixed_small is the least variance of the reverse step).
    options = DDIMOptions(steps=100) if name == "ddim" else SchedulerOptions(steps=1000 if name == "ddpm" else 100)
    player = family(Gaussian(), (1, 4, 4))
    images = player.sample_with(genbench.Sampler(name, options), 2000, torch.Generator().manual_seed(0))
    assert float(images.std()) == pytest.approx(0.25, rel=0.06)
    again = player.sample_with(genbench.Sampler(name, options), 2000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(again, images, rtol=0, atol=0)


def levels_of(scheduler: Any) -> list[float]:
    """σ = √(1/ᾱ - 1) at the steps of a scheduler, and 0."""
    share = scheduler.alphas_cumprod[scheduler.timesteps.long()].double()
    return [*(1 / share - 1).sqrt().tolist(), 0.0]


def test_ddim_of_genbench_diffusion_takes_the_same_steps() -> None:
    sampler = pytest.importorskip("genbench_diffusion.sampler")
    scheduler = diffusers.DDIMScheduler(clip_sample=False)
    scheduler.set_timesteps(8)
    levels = levels_of(scheduler)
    noise = torch.randn(3, 1, 2, 2, generator=torch.Generator().manual_seed(0)).double()

    def denoise(x: Tensor, sigma: float) -> Tensor:
        return torch.sin(x / math.sqrt(1 + sigma**2))

    x = levels[0] / math.sqrt(1 + levels[0] ** 2) * noise  # √ᾱ σ ε
    for time, sigma in zip(scheduler.timesteps, levels, strict=False):
        root = math.sqrt(1 + sigma**2)  # 1 / √ᾱ
        predicted = (x * root - denoise(x * root, sigma)) / sigma
        x = scheduler.step(predicted, time, x).prev_sample
    ours = sampler.ddim(denoise, noise, levels, 0.0, torch.Generator())
    torch.testing.assert_close(x, ours, atol=1e-5, rtol=1e-5)


def test_dpm_solver_of_genbench_diffusion_takes_the_same_steps() -> None:
    sampler = pytest.importorskip("genbench_diffusion.sampler")
    scheduler = diffusers.DPMSolverMultistepScheduler(final_sigmas_type="zero", beta_start=1e-4, beta_end=0.02)
    scheduler.set_timesteps(20)
    levels = scheduler.sigmas.double().tolist()
    noise = torch.randn(3, 1, 2, 2, generator=torch.Generator().manual_seed(0)).double()

    def denoise(x: Tensor, sigma: float) -> Tensor:
        return torch.sin(x / math.sqrt(1 + sigma**2))

    x = levels[0] / math.sqrt(1 + levels[0] ** 2) * noise
    for time, sigma in zip(scheduler.timesteps, levels, strict=False):
        root = math.sqrt(1 + sigma**2)
        x = scheduler.step((x * root - denoise(x * root, sigma)) / sigma, time, x).prev_sample
    torch.testing.assert_close(x, sampler.dpm_solver(denoise, noise, levels), atol=1e-5, rtol=1e-5)


def test_the_network_of_genbench_diffusion_computes_the_same() -> None:
    """With the same weights and the groups of width 128, where diffusers too pads both sides when it strides."""
    ours = pytest.importorskip("genbench_diffusion.ddpm_unet").DDPMUNet(1, 28, 128, 1)
    torch.manual_seed(0)
    theirs = build((1, 28, 28), 1, 0, UNetOptions(width=128, blocks=1))["unet"].unet
    for down in theirs.down_blocks[:-1]:
        down.downsamplers[0].padding, down.downsamplers[0].conv.padding = 1, (1, 1)
    with torch.no_grad():
        pairs = list(zip(_layers_of_diffusers(theirs), _layers_of(ours), strict=True))
        for given, taken in pairs:
            taken.weight.copy_(given[0].view(taken.weight.shape))
            taken.bias.copy_(given[1])
        images, times = torch.randn(2, 1, 28, 28), torch.tensor([7, 911])
        torch.testing.assert_close(ours(images, times / 1000), theirs(images, times).sample, atol=1e-4, rtol=1e-4)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())


def _layers_of_diffusers(unet: Any) -> Any:
    """Yield weight and bias of every layer, in the order of genbench-diffusion."""

    def pair(layer: nn.Module) -> tuple[Tensor, Tensor]:
        return layer.weight, layer.bias  # type: ignore[return-value]

    def block(resnet: Any) -> Any:
        yield from map(pair, (resnet.norm1, resnet.conv1, resnet.time_emb_proj, resnet.norm2, resnet.conv2))
        if resnet.conv_shortcut is not None:
            yield pair(resnet.conv_shortcut)

    def attention(layer: Any) -> Any:
        yield pair(layer.group_norm)
        inputs = (layer.to_q, layer.to_k, layer.to_v)
        yield torch.cat([each.weight for each in inputs]), torch.cat([each.bias for each in inputs])
        yield pair(layer.to_out[0])

    def stages(side: Any) -> Any:
        for index, resnet in enumerate(side.resnets):
            yield from block(resnet)
            if getattr(side, "attentions", None):
                yield from attention(side.attentions[index])

    yield from map(pair, (unet.time_embedding.linear_1, unet.time_embedding.linear_2, unet.conv_in))
    for down in unet.down_blocks:
        yield from stages(down)
    for down in unet.down_blocks[:-1]:
        yield pair(down.downsamplers[0].conv)
    yield from block(unet.mid_block.resnets[0])
    yield from attention(unet.mid_block.attentions[0])
    yield from block(unet.mid_block.resnets[1])
    for up in unet.up_blocks:
        yield from stages(up)
    for up in unet.up_blocks[:-1]:
        yield pair(up.upsamplers[0].conv)
    yield from map(pair, (unet.conv_norm_out, unet.conv_out))


def _layers_of(unet: Any) -> list[nn.Module]:
    return [layer for layer in unet.modules() if getattr(layer, "weight", None) is not None]


def test_the_specs_import_neither_torch_nor_diffusers() -> None:
    code = (
        "import sys, genbench_diffusers as g; list(g.genbench_models()); list(g.genbench_families()); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'diffusers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
