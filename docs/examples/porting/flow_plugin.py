"""The flow of flow_script.py as a plugin with a family of its own: one phase, and a way to sample."""

import math
from dataclasses import dataclass

import torch
from torch import nn

import genbench


class Coupling(nn.Module):
    """The script's layer, and its inverse, which sampling needs."""

    def __init__(self, values, flip):
        super().__init__()
        self.flip = flip
        self.body = nn.Sequential(nn.Linear(values // 2, 128), nn.ReLU(), nn.Linear(128, values))

    def halves(self, values):
        """Return the half that is kept, and the other."""
        first, second = values.chunk(2, 1)
        return (second, first) if self.flip else (first, second)

    def joined(self, kept, changed):
        """Undo `halves`."""
        return torch.cat([changed, kept] if self.flip else [kept, changed], 1)

    def forward(self, values):
        """Return the new values, and the logarithm of the determinant for each image."""
        kept, changed = self.halves(values)
        scale, shift = self.body(kept).chunk(2, 1)
        return self.joined(kept, changed * scale.tanh().exp() + shift), scale.tanh().sum(1)

    def inverse(self, values):
        """Return what `forward` turns into these values."""
        kept, changed = self.halves(values)
        scale, shift = self.body(kept).chunk(2, 1)
        return self.joined(kept, (changed - shift) * (-scale.tanh()).exp())


class Flow(nn.Module):
    """The layers of the script, from images (B, channels, height, width) in [0, 1] to values (B, n) and back."""

    def __init__(self, image_shape, layers):
        super().__init__()
        self.image_shape, self.values = image_shape, math.prod(image_shape)
        self.layers = nn.ModuleList([Coupling(self.values, number % 2) for number in range(layers)])

    def forward(self, images, noise):
        """Return the values, and the logarithm of the density of the 256 grey levels, (B,), without the prior's."""
        unit = 0.05 + 0.9 * (images * 255 + noise).flatten(1) / 256  # dequantised, away from 0 and 1
        values = unit.logit()
        log_density = (-unit.log() - (1 - unit).log()).sum(1) + self.values * math.log(0.9 / 256)
        for layer in self.layers:
            values, log_determinant = layer(values)
            log_density = log_density + log_determinant
        return values, log_density

    def inverse(self, values):
        """Return images in [0, 1]."""
        for layer in reversed(self.layers):
            values = layer.inverse(values)
        return ((values.sigmoid() - 0.05) / 0.9).clamp(0, 1).unflatten(1, self.image_shape)


class Likelihood:
    """The family: what the script's loop does with a batch, and how images are drawn."""

    def __init__(self, setup):
        self.setup, self.flow, self.reduce = setup, setup.networks["flow"], setup.loss

    def phases(self):
        """Return the single phase: the script has one optimiser."""
        return [genbench.Phase("likelihood", ("flow",), self.objective)]

    def objective(self, batch):
        """Return bits per dimension; noise comes from `batch.rng`, never from torch's global generator."""
        noise = torch.rand(batch.images.shape, generator=batch.rng, device=batch.images.device)
        with torch.autocast(batch.images.device.type, enabled=False):  # sums over pixels need fp32
            values, log_density = self.flow(batch.images.float(), noise)
            log_density = log_density - 0.5 * (values.square() + math.log(2 * math.pi)).sum(1)
            return genbench.Objective(self.reduce(-log_density / (self.flow.values * math.log(2))), {})

    def sample(self, count, rng, labels=None):
        """Return images of values drawn from the prior."""
        values = torch.randn(count, self.flow.values, generator=rng, device=self.setup.device)
        return self.flow.inverse(values)


@dataclass(frozen=True)
class Options:
    """Options of the model."""

    layers: int = genbench.option(4, "coupling layers", minimum=1)


def build(image_shape, latent_dim, num_classes, options):
    """Return the one network of the family."""
    return {"flow": Flow(image_shape, options.layers)}


@genbench.hookimpl
def genbench_families():
    """Register the family."""
    yield genbench.FamilySpec(
        name="ported-flow", summary="maximum likelihood", create=Likelihood, networks=("flow",), uses=()
    )


@genbench.hookimpl
def genbench_models():
    """Register the model."""
    yield genbench.ModelSpec(
        name="coupling-flow",
        summary="affine coupling layers",
        family="ported-flow",
        build=build,
        default_loss="bits",
        image_shapes=((1, 28, 28), (3, 32, 32)),
        value_range=(0, 1),
        options=Options,
        recipe={"batch_size": 32, "learning_rate": 1e-3, "beta1": 0.9},
    )


@genbench.hookimpl
def genbench_losses():
    """Register the loss."""
    yield genbench.LossSpec(
        name="bits",
        summary="mean bits per dimension",
        formula="E -log₂ p(x) / n",
        family="ported-flow",
        create=lambda options: torch.mean,
    )
