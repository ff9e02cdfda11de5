"""Hand-written training steps with every optimisation of the engines and no framework code.

Data on the device, channels_last, fused optimisers, fakes reused, the other player frozen; compiled by the same calls
of torch.compile, or captured in one CUDA graph.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from genbench.builtin.families.per_sample import processes_independently
from genbench.train.builder import Built

Wrap = Callable[[Callable[..., Any]], Callable[..., Any]]


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function or network, compiled as the compile engine does it."""
    wrapped: Callable[..., Any] = torch.compile(function, dynamic=False, options={"fallback_random": True})
    return wrapped


def unchanged(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function itself."""
    return function


class Loop:
    """A training step on the networks and optimisers of a cell; losses stay on the device until `read`."""

    def __init__(self, built: Built, batch_size: int, wrap: Wrap = unchanged) -> None:
        """Take a cell that is ready to train, and a function to wrap its networks and losses with."""
        self.networks = built.setup.networks
        self.optimizers = [player.optimizer for player in built.engine.players if player.optimizer is not None]
        images: Any = built.engine.data  # loaded in full: it has `pixels`
        self.pixels = images.pixels
        self.device, self.batch_size = built.engine.rng.device, batch_size
        self.memory_format = built.memory_format
        self.rng = torch.Generator(self.device).manual_seed(1)
        self.order = torch.empty(0, dtype=torch.int64, device=self.device)
        self.position = 0
        self.losses: list[list[Tensor]] = []
        low, high = built.model.value_range
        self.scale, self.shift = (high - low) / 255, low
        self.latent_dim = built.setup.latent_dim

    def __call__(self) -> None:
        """Run one step."""
        self.losses.append(self.update(self.next_indices()))

    def next_indices(self) -> Tensor:
        """Return the indices of the next batch."""
        if self.position + self.batch_size > len(self.order):
            self.order = torch.randperm(len(self.pixels), generator=self.rng, device=self.device)
            self.position = 0
        chosen = self.order[self.position : self.position + self.batch_size]
        self.position += self.batch_size
        return chosen

    def batch(self, chosen: Tensor) -> Tensor:
        """Return these images, scaled to the value range of the model."""
        images = self.pixels.index_select(0, chosen).to(torch.float32, memory_format=self.memory_format)
        return images.mul_(self.scale).add_(self.shift)

    def update(self, chosen: Tensor) -> list[Tensor]:
        """Train on these images and return the values of the training curves."""
        raise NotImplementedError

    def read(self) -> list[Tensor]:
        """Return the losses since the last call, on the host."""
        read = [torch.stack(column).cpu() for column in zip(*self.losses, strict=True)]
        self.losses = []
        return read


class AdversarialLoop(Loop):
    """A GAN's step with the non-saturating loss."""

    def __init__(self, built: Built, batch_size: int, wrap: Wrap = unchanged) -> None:
        super().__init__(built, batch_size, wrap)
        self.generator, self.discriminator = (wrap(self.networks[name]) for name in ("generator", "discriminator"))
        self.d_loss = wrap(lambda real, fake: softplus(-real).mean() + softplus(fake).mean())
        self.g_loss = wrap(lambda fake: softplus(-fake).mean())
        self.d_parameters = list(self.networks["discriminator"].parameters())
        self.acts_per_image = processes_independently(self.networks["discriminator"])
        self.d_optimizer, self.g_optimizer = self.optimizers

    def update(self, chosen: Tensor) -> list[Tensor]:
        """Update the discriminator, then the generator on the same fakes."""
        real = self.batch(chosen)
        fake = self.generator(torch.randn(self.batch_size, self.latent_dim, generator=self.rng, device=self.device))
        if self.acts_per_image:
            real_logits, fake_logits = self.discriminator(torch.cat([real, fake.detach()])).flatten().chunk(2)
        else:
            real_logits = self.discriminator(real).flatten()
            fake_logits = self.discriminator(fake.detach()).flatten()
        d_loss = self.d_loss(real_logits, fake_logits)
        self.d_optimizer.zero_grad(set_to_none=True)
        d_loss.backward()
        self.d_optimizer.step()
        for parameter in self.d_parameters:
            parameter.requires_grad_(False)
        g_loss = self.g_loss(self.discriminator(fake).flatten())
        self.g_optimizer.zero_grad(set_to_none=True)
        g_loss.backward()
        self.g_optimizer.step()
        for parameter in self.d_parameters:
            parameter.requires_grad_(True)
        # The same training curves as the engine.
        d_loss, g_loss, real_logits, fake_logits = (v.detach() for v in (d_loss, g_loss, real_logits, fake_logits))
        real_mean, fake_mean = real_logits.mean(), fake_logits.mean()
        accuracies = ((real_logits > 0).float().mean(), (fake_logits < 0).float().mean())
        total = (d_loss + g_loss) / 2
        return [d_loss, real_mean, fake_mean, real_mean - fake_mean, *accuracies, g_loss, total]


class VariationalLoop(Loop):
    """A VAE's step with the ELBO of Bernoulli pixels."""

    def __init__(self, built: Built, batch_size: int, wrap: Wrap = unchanged) -> None:
        super().__init__(built, batch_size, wrap)
        self.encoder, self.decoder = (wrap(self.networks[name]) for name in ("encoder", "decoder"))
        self.loss = wrap(self.elbo)
        (self.optimizer,) = self.optimizers

    def update(self, chosen: Tensor) -> list[Tensor]:
        """Encode, sample, decode and update."""
        images = self.batch(chosen)
        mean, log_variance = self.encoder(images)
        noise = torch.randn(mean.shape, generator=self.rng, device=self.device)
        logits = self.decoder(mean + (log_variance / 2).exp() * noise)
        loss, reconstruction, kl = self.loss(images, logits, mean, log_variance)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return [loss.detach(), reconstruction.detach(), kl.detach()]

    def elbo(self, images: Tensor, logits: Tensor, mean: Tensor, log_variance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the loss and its two terms."""
        reconstruction = binary_cross_entropy_with_logits(logits, images, reduction="sum") / self.batch_size
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum() / self.batch_size
        return reconstruction + kl, reconstruction, kl


class GraphedLoop:
    """The step of another loop, captured in one CUDA graph: indices are copied in, losses are copied out.

    As in torch's documentation: warmed up on a side stream, with capturable optimisers and a generator that is
    registered with the graph.
    """

    def __init__(self, loop: Loop, warmup: int = 5) -> None:
        """Capture the step after `warmup` training steps."""
        self.loop = loop
        self.losses: list[Tensor] = []
        for optimizer in loop.optimizers:
            for group in optimizer.param_groups:
                group["capturable"] = True
        self.chosen = loop.next_indices().clone()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(warmup):
                loop.update(self.chosen)
        torch.cuda.current_stream().wait_stream(side)
        for optimizer in loop.optimizers:
            optimizer.zero_grad(set_to_none=True)
        self.graph = torch.cuda.CUDAGraph()
        self.graph.register_generator_state(loop.rng)
        with torch.cuda.graph(self.graph):
            self.values = torch.stack(loop.update(self.chosen))

    def __call__(self) -> None:
        """Run one step."""
        self.chosen.copy_(self.loop.next_indices())
        self.graph.replay()
        self.losses.append(self.values.clone())

    def read(self) -> list[Tensor]:
        """Return the losses since the last call, on the host."""
        read = list(torch.stack(self.losses, 1).cpu())
        self.losses = []
        return read


LOOPS: dict[str, type[Loop]] = {"adversarial": AdversarialLoop, "variational": VariationalLoop}


def make_reference_loop(built: Built, batch_size: int, engine: str) -> Loop | GraphedLoop:
    """Return the hand-written equivalent of an engine: eager, compile, graph or graph+compile."""
    loop = LOOPS[built.family_spec.name](built, batch_size, compiled if "compile" in engine else unchanged)
    return GraphedLoop(loop) if engine.startswith("graph") else loop
