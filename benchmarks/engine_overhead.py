"""What the engine costs: its step against a hand-written loop of the same step, interleaved in one process.

    python benchmarks/engine_overhead.py --out results/reference/engine-overhead.json

For each model, two copies of the same networks train on the same data: one through genbench's engine, one through a
loop written out below with every optimisation that the engine has (data on the device, channels_last, fused Adam,
fakes reused, the other player frozen). Short windows alternate in the order ABBA, so that a machine that slows down
slows both. The figure is the mean of log(engine / loop) over blocks, with its 95% t interval. The cost of the null
model's step, which does nothing, is given beside it.
"""

from __future__ import annotations

import argparse
import copy
import gc
import json
import math
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from genbench.execute.building import Built, build_cell
from genbench.execute.loading import LoadedData, load_data
from genbench.measure import machine
from genbench.plan.catalogue import Catalogue, discover
from genbench.plan.matrix import make_plan
from genbench.plan.request import make_request

Step = Callable[[], None]

# Two-sided 95% quantiles of Student's t, by degrees of freedom; beyond 120 that of the normal distribution is near.
T95 = {9: 2.262, 14: 2.145, 19: 2.093, 29: 2.045, 39: 2.023, 59: 2.001, 79: 1.990, 99: 1.984, 119: 1.980}


def main() -> None:
    """Measure every model and write the figures with the raw samples."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="gan,dcgan,vae")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--blocks", type=int, default=40, help="ABBA blocks per model")
    parser.add_argument("--window-seconds", type=float, default=0.25)
    parser.add_argument("--threads", type=int, default=machine.default_threads())
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    catalogue = discover()
    models = []
    for model in arguments.models.split(","):
        found = compare(model, catalogue, device, arguments.batch_size, arguments.blocks, arguments.window_seconds)
        models.append(found)
        print(
            f"{model:<8} engine / loop {found['ratio']:.4f}  95% interval [{found['low']:.4f}, {found['high']:.4f}]  "
            f"{1e3 * found['loop_seconds_per_step']:.3f} ms per step, {found['blocks']} blocks"
        )
    harness = null_step(catalogue, device) if "null" in catalogue.models else None
    if harness is not None:
        print(f"null     {1e6 * harness:.1f} µs per step: drawing a batch of one, loop and timers")
    report = {
        "command": " ".join(["python", *sys.argv]),
        "models": models,
        "null_seconds_per_step": harness,
        "batch_size": arguments.batch_size,
        "device": arguments.device,
        "threads": arguments.threads,
        "machine": machine.describe(),
    }
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


def compare(
    model: str, catalogue: Catalogue, device: torch.device, batch_size: int, blocks: int, window_seconds: float
) -> dict[str, Any]:
    """Return the ratio of the engine's time to the hand-written loop's, from interleaved windows."""
    built, data = prepare(model, catalogue, device, batch_size)
    engine = built.engine
    # The copies are made before either trains: same weights, same layout, same batch.
    loop = LOOPS[built.family_spec.name](built, data, device, batch_size)

    def engine_step() -> None:
        engine.step()

    steps = max(1, int(window_seconds / seconds_of(engine_step, 3, device, warm=5)))
    seconds_of(loop, steps, device)
    seconds_of(engine_step, steps, device)
    engine.read_terms()
    ratios, loops, engines = [], [], []
    gc.collect()
    gc.disable()
    for block in range(blocks):
        order = (engine_step, loop, loop, engine_step) if block % 2 else (loop, engine_step, engine_step, loop)
        spent = {id(engine_step): 0.0, id(loop): 0.0}
        for step in order:
            spent[id(step)] += seconds_of(step, steps, device)
        engine.read_terms()  # off the clock, as a window ends
        loop.read()
        ratios.append(math.log(spent[id(engine_step)] / spent[id(loop)]))
        engines.append(spent[id(engine_step)] / (2 * steps))
        loops.append(spent[id(loop)] / (2 * steps))
    gc.enable()
    mean = statistics.fmean(ratios)
    half = t95(blocks - 1) * statistics.stdev(ratios) / math.sqrt(blocks)
    return {
        "model": model,
        "ratio": math.exp(mean),
        "low": math.exp(mean - half),
        "high": math.exp(mean + half),
        "median_ratio": math.exp(statistics.median(ratios)),
        "blocks": blocks,
        "steps_per_window": steps,
        "loop_seconds_per_step": statistics.median(loops),
        "engine_seconds_per_step": statistics.median(engines),
        "log_ratios": ratios,
    }


def prepare(model: str, catalogue: Catalogue, device: torch.device, batch_size: int) -> tuple[Built, LoadedData]:
    """Build a cell as a worker would."""
    request = make_request({"models": model, "batch_size": batch_size, "device": device.type})
    (cell,) = make_plan(request, catalogue, device.type).cells
    data = load_data(cell.identity.dataset, cell.identity.image_shape, catalogue)
    return build_cell(cell.identity, catalogue, data, device), data


def seconds_of(step: Step, steps: int, device: torch.device, warm: int = 0) -> float:
    """Return the seconds that some steps take, between two synchronisations."""
    for _ in range(warm):
        step()
    synchronise(device)
    begin = time.perf_counter()
    for _ in range(steps):
        step()
    synchronise(device)
    return (time.perf_counter() - begin) / (1 if not warm else steps)


def synchronise(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Loop:
    """A hand-written step on copies of a cell's networks; keeps its losses on the device until `read`."""

    def __init__(self, built: Built, data: LoadedData, device: torch.device, batch_size: int) -> None:
        self.networks = {name: copy.deepcopy(network) for name, network in built.setup.networks.items()}
        self.pixels = data.train_pixels.to(device)
        self.device, self.batch_size = device, batch_size
        self.memory_format = built.memory_format
        self.rng = torch.Generator(device).manual_seed(1)
        self.order = torch.empty(0, dtype=torch.int64, device=device)
        self.position = 0
        self.losses: list[list[torch.Tensor]] = []
        low, high = built.model.value_range
        self.scale, self.shift = (high - low) / 255, low
        self.latent_dim = built.setup.latent_dim
        recipe = built.setup.recipe
        self.adam = {"lr": recipe["learning_rate"], "betas": (recipe["beta1"], recipe["beta2"]), "fused": True}

    def batch(self) -> torch.Tensor:
        """Return the next images."""
        if self.position + self.batch_size > len(self.order):
            self.order = torch.randperm(len(self.pixels), generator=self.rng, device=self.device)
            self.position = 0
        chosen = self.order[self.position : self.position + self.batch_size]
        self.position += self.batch_size
        images = self.pixels.index_select(0, chosen).to(torch.float32, memory_format=self.memory_format)
        return images.mul_(self.scale).add_(self.shift)

    def read(self) -> list[torch.Tensor]:
        """Return the losses since the last call, on the host."""
        read = [torch.stack(column).cpu() for column in zip(*self.losses, strict=True)]
        self.losses = []
        return read

    def __call__(self) -> None:
        """Run one step."""
        raise NotImplementedError


class AdversarialLoop(Loop):
    """A GAN's step as one would write it out by hand."""

    def __init__(self, built: Built, data: LoadedData, device: torch.device, batch_size: int) -> None:
        super().__init__(built, data, device, batch_size)
        self.generator, self.discriminator = self.networks["generator"], self.networks["discriminator"]
        self.d_parameters = list(self.discriminator.parameters())
        self.d_optimizer = torch.optim.Adam(self.d_parameters, **self.adam)  # type: ignore[arg-type]
        self.g_optimizer = torch.optim.Adam(self.generator.parameters(), **self.adam)  # type: ignore[arg-type]

    def __call__(self) -> None:
        """Update the discriminator, then the generator on the same fakes."""
        real = self.batch()
        fake = self.generator(torch.randn(self.batch_size, self.latent_dim, generator=self.rng, device=self.device))
        real_logits = self.discriminator(real).flatten()
        fake_logits = self.discriminator(fake.detach()).flatten()
        d_loss = softplus(-real_logits).mean() + softplus(fake_logits).mean()
        self.d_optimizer.zero_grad(set_to_none=True)
        d_loss.backward()
        self.d_optimizer.step()
        for parameter in self.d_parameters:
            parameter.requires_grad_(False)
        g_loss = softplus(-self.discriminator(fake).flatten()).mean()
        self.g_optimizer.zero_grad(set_to_none=True)
        g_loss.backward()
        self.g_optimizer.step()
        for parameter in self.d_parameters:
            parameter.requires_grad_(True)
        # The same four curves that the engine keeps.
        self.losses.append([d_loss.detach(), real_logits.detach().mean(), fake_logits.detach().mean(), g_loss.detach()])


class VariationalLoop(Loop):
    """A VAE's step as one would write it out by hand."""

    def __init__(self, built: Built, data: LoadedData, device: torch.device, batch_size: int) -> None:
        super().__init__(built, data, device, batch_size)
        self.encoder, self.decoder = self.networks["encoder"], self.networks["decoder"]
        parameters = nn.ModuleList([self.encoder, self.decoder]).parameters()
        self.optimizer = torch.optim.Adam(parameters, **self.adam)  # type: ignore[arg-type]

    def __call__(self) -> None:
        """Encode, draw, decode, and descend."""
        images = self.batch()
        mean, log_variance = self.encoder(images)
        noise = torch.randn(mean.shape, generator=self.rng, device=self.device)
        logits = self.decoder(mean + (log_variance / 2).exp() * noise)
        reconstruction = binary_cross_entropy_with_logits(logits, images, reduction="sum") / self.batch_size
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum() / self.batch_size
        loss = reconstruction + kl
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.losses.append([loss.detach(), reconstruction.detach(), kl.detach()])


LOOPS: dict[str, type[Loop]] = {"adversarial": AdversarialLoop, "variational": VariationalLoop}


def null_step(catalogue: Catalogue, device: torch.device, steps: int = 20_000) -> float:
    """Return the seconds that a step of the null model takes (plugins/genbench-null must be installed)."""
    from genbench.execute.registry import load_registry

    plugin = catalogue.models["null"].plugin
    real = load_registry([vars(plugin)])
    built, _ = prepare("null", real, device, 1)
    return seconds_of(built.engine.step, steps, device, warm=100)


def t95(degrees: int) -> float:
    """Return the 95% quantile for at least these degrees of freedom that is known, on the safe side."""
    return T95[max((d for d in T95 if d <= degrees), default=min(T95))]


if __name__ == "__main__":
    main()
