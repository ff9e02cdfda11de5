"""What the engine costs: its step against a hand-written loop of the same step, interleaved in one process.

    python benchmarks/engine_overhead.py --out results/reference/engine-overhead.json

For each model, the same networks, optimisers and data are trained in turns by genbench's engine and by a loop written
out below with every optimisation that the engine has (data on the device, channels_last, fused Adam, fakes reused, the
other player frozen). Both use the very same tensors, so that no luck of memory placement favours one. Short windows
alternate in the order ABBA, so that a machine that slows down slows both. The figure is the median over blocks of the
ratio engine / loop with its distribution-free 95% interval. The cost of the null model's step, which does nothing, is
given beside it (plugins/genbench-null must be installed).
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from genbench.execute.building import Built, build_cell
from genbench.execute.loading import load_data
from genbench.execute.pool import SPIN_COUNT
from genbench.measure import machine
from genbench.plan.catalogue import Catalogue, discover
from genbench.plan.matrix import make_plan
from genbench.plan.request import make_request
from genbench.verdict.stats import median_interval

Step = Callable[[], None]


def main() -> None:
    """Measure every model and write the figures with the raw samples."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="gan,dcgan,vae")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--blocks", type=int, default=100, help="ABBA blocks per model")
    parser.add_argument("--window-seconds", type=float, default=0.1)
    parser.add_argument("--threads", type=int, default=machine.default_threads())
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if "GOMP_SPINCOUNT" not in os.environ and "OMP_WAIT_POLICY" not in os.environ:
        # OpenMP reads its settings when it is loaded: start again under those that workers get.
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "GOMP_SPINCOUNT": SPIN_COUNT})
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
        "openmp": machine.openmp_settings(),
        "machine": machine.describe(),
    }
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


def compare(
    model: str, catalogue: Catalogue, device: torch.device, batch_size: int, blocks: int, window_seconds: float
) -> dict[str, Any]:
    """Return the ratio of the engine's time to the hand-written loop's, from interleaved windows."""
    built = prepare(model, catalogue, device, batch_size)
    engine = built.engine
    loop = LOOPS[built.family_spec.name](built, device, batch_size)
    engine_step: Step = engine.step
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
        ratios.append(spent[id(engine_step)] / spent[id(loop)])
        engines.append(spent[id(engine_step)] / (2 * steps))
        loops.append(spent[id(loop)] / (2 * steps))
    gc.enable()
    found = median_interval(ratios)
    return {
        "model": model,
        "ratio": found.median,
        "low": found.low,
        "high": found.high,
        "confidence": found.confidence,
        "blocks": blocks,
        "steps_per_window": steps,
        "loop_seconds_per_step": statistics.median(loops),
        "engine_seconds_per_step": statistics.median(engines),
        "ratios": ratios,
    }


def prepare(model: str, catalogue: Catalogue, device: torch.device, batch_size: int) -> Built:
    """Build a cell as a worker would."""
    request = make_request({"models": model, "batch_size": batch_size, "device": device.type})
    (cell,) = make_plan(request, catalogue, device.type).cells
    data = load_data(cell.identity.dataset, cell.identity.image_shape, catalogue)
    return build_cell(cell.identity, catalogue, data, device)


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
    """A hand-written step on a cell's networks and optimisers; keeps its losses on the device until `read`."""

    def __init__(self, built: Built, device: torch.device, batch_size: int) -> None:
        self.networks = built.setup.networks
        self.optimizers = [player.optimizer for player in built.engine.players]
        self.pixels = built.engine.data.pixels
        self.device, self.batch_size = device, batch_size
        self.memory_format = built.memory_format
        self.rng = torch.Generator(device).manual_seed(1)
        self.order = torch.empty(0, dtype=torch.int64, device=device)
        self.position = 0
        self.losses: list[list[torch.Tensor]] = []
        low, high = built.model.value_range
        self.scale, self.shift = (high - low) / 255, low
        self.latent_dim = built.setup.latent_dim

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

    def __init__(self, built: Built, device: torch.device, batch_size: int) -> None:
        super().__init__(built, device, batch_size)
        self.generator, self.discriminator = self.networks["generator"], self.networks["discriminator"]
        self.d_parameters = list(self.discriminator.parameters())
        self.d_optimizer, self.g_optimizer = self.optimizers

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
        # The same curves that the engine keeps.
        d_loss, g_loss, real_logits, fake_logits = (v.detach() for v in (d_loss, g_loss, real_logits, fake_logits))
        real_mean, fake_mean = real_logits.mean(), fake_logits.mean()
        accuracies = ((real_logits > 0).float().mean(), (fake_logits < 0).float().mean())
        total = (d_loss + g_loss) / 2
        self.losses.append([d_loss, real_mean, fake_mean, real_mean - fake_mean, *accuracies, g_loss, total])


class VariationalLoop(Loop):
    """A VAE's step as one would write it out by hand."""

    def __init__(self, built: Built, device: torch.device, batch_size: int) -> None:
        super().__init__(built, device, batch_size)
        self.encoder, self.decoder = self.networks["encoder"], self.networks["decoder"]
        (self.optimizer,) = self.optimizers

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
    """Return the seconds that a step of the null model takes."""
    from genbench.execute.registry import load_registry

    plugin = catalogue.models["null"].plugin
    real = load_registry([vars(plugin)])
    built = prepare("null", real, device, 1)
    return seconds_of(built.engine.step, steps, device, warm=100)


if __name__ == "__main__":
    main()
