"""A small plugin that registers one of everything and follows all rules; `test_mutants` modifies its text."""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import leaky_relu, softplus

import genbench

requires_api = "1.1"

KEPT = []


@dataclass(frozen=True)
class Options:
    width: int = genbench.option(16, "hidden values", minimum=2)


class Generator(nn.Module):
    def __init__(self, image_shape, latent_dim, num_classes, width):
        super().__init__()
        self.image_shape = image_shape
        self.embed = nn.Embedding(num_classes, 4) if num_classes else None
        self.hidden = nn.Linear(latent_dim + (4 if num_classes else 0), width, bias=False)
        self.norm = nn.BatchNorm1d(width)
        self.last = nn.Linear(width, math.prod(image_shape))

    def forward(self, latents, labels=None):
        if self.embed is not None:
            latents = torch.cat([latents, self.embed(labels)], 1)
        hidden = self.norm(self.hidden(latents)).relu()
        images = self.last(hidden).tanh()
        return images.unflatten(1, self.image_shape)


class Discriminator(nn.Module):
    def __init__(self, image_shape, num_classes, width):
        super().__init__()
        self.embed = nn.Embedding(num_classes, width) if num_classes else None
        self.body = nn.Linear(math.prod(image_shape), width)
        self.last = nn.Linear(width, 1)

    def forward(self, images, labels=None):
        hidden = leaky_relu(self.body(images.flatten(1)), 0.2)
        if self.embed is not None:
            hidden = hidden + self.embed(labels)
        return self.last(hidden).flatten()


def build(image_shape, latent_dim, num_classes, options):
    return {
        "generator": Generator(image_shape, latent_dim, num_classes, options.width),
        "discriminator": Discriminator(image_shape, num_classes, options.width),
    }


def create(options):
    def penalty(discriminator, real, fake, rng):  # Gulrajani et al. 2017, equation 3
        mixed = torch.lerp(fake, real, torch.rand(len(real), 1, 1, 1, generator=rng, device=real.device))
        points = mixed.requires_grad_()
        (gradient,) = torch.autograd.grad(discriminator(points).sum(), points, create_graph=True)
        return (gradient.flatten(1).norm(dim=1) - 1).square().mean()

    return genbench.AdversarialLoss(
        discriminator=lambda real, fake: softplus(-real).mean() + softplus(fake).mean(),
        generator=lambda fake, real: softplus(-fake).mean(),
        penalty=penalty,
    )


def create_laplace(options):
    def nll(images, logits):
        repeated = images.repeat(len(logits) // len(images), 1, 1, 1)
        return (10 * (repeated - logits.sigmoid()).abs() - math.log(5)).sum((1, 2, 3))

    def objective(posterior):
        variance = posterior.log_variance.exp()
        kl = 0.5 * (posterior.mean**2 + variance - 1 - posterior.log_variance).sum(1).mean()
        return genbench.Objective(nll(posterior.images, posterior.logits).mean() + kl, {"kl": kl})

    return genbench.VariationalLoss(objective, nll=nll, likelihood=genbench.Likelihood("laplace", "density"))


class Duel:
    """Adversarial training, implemented as a family of its own."""

    def __init__(self, setup):
        self.setup = setup
        self.generator, self.discriminator = setup.networks["generator"], setup.networks["discriminator"]

    def phases(self):
        return [
            genbench.Phase("critic", ("discriminator",), self.criticise),
            genbench.Phase("maker", ("generator",), self.make, frozen=("discriminator",)),
        ]

    def criticise(self, batch):
        fake = self.sample(len(batch.images), batch.rng)
        total = self.setup.loss(self.discriminator(batch.images)) + self.setup.loss(-self.discriminator(fake.detach()))
        return genbench.Objective(total, {})

    def make(self, batch):
        return genbench.Objective(self.setup.loss(self.discriminator(self.sample(len(batch.images), batch.rng))), {})

    def sample(self, count, rng, labels=None):
        return self.generator(torch.randn(count, self.setup.latent_dim, generator=rng, device=self.setup.device))

    def reconstruct(self, images, labels=None):
        raise NotImplementedError


def load(options, cache):
    rng = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (12, 1, 8, 8), generator=rng, dtype=torch.uint8)
    labels = torch.arange(12) % 3
    return genbench.ImageData(
        train=genbench.Images(pixels[:8], labels[:8]), test=genbench.Images(pixels[8:], labels[8:])
    )


def measure(evaluation):
    value = float(torch.as_tensor(evaluation.samples.pixels).float().mean())
    return genbench.Estimate(
        metric="brightness", value=value, standard_error=None, n=len(evaluation.samples.pixels), direction="higher"
    )


@dataclass(frozen=True)
class SpreadOptions:
    scale: float = genbench.option(1.0, "factor of all values", minimum=0)


def measure_spread(evaluation, extractor, options):
    features = evaluation.features(extractor, "samples")
    return [
        genbench.Estimate(name, options.scale * float(value), None, len(features), "higher")
        for name, value in (("spread-mean", features.std(0).mean()), ("spread-least", features.std(0).min()))
    ]


class Rows:
    """The mean of each of 28 rows, after bilinear resizing."""

    name, protocol, whiten = "fd-rows", {"rows": 28}, False

    def __call__(self, pixels):
        grey = pixels.float().mean(1, keepdim=True)
        return nn.functional.interpolate(grey, (28, 28), mode="bilinear").mean((1, 3))


SMALL = {"latent_dim": 4, "image_shapes": ((1, 8, 8), (3, 8, 8)), "options": Options}


@genbench.hookimpl
def genbench_families():
    yield genbench.FamilySpec(
        name="duel", summary="a game", create=Duel, networks=("generator", "discriminator"), averaged=("generator",)
    )


@genbench.hookimpl
def genbench_models():
    yield genbench.ModelSpec(
        name="tiny", summary="a small one", family="adversarial", build=build, default_loss="minimax", **SMALL
    )
    yield genbench.ModelSpec(
        name="labelled",
        summary="with labels",
        family="adversarial",
        build=build,
        default_loss="minimax",
        conditional=True,
        **SMALL,
    )
    yield genbench.ModelSpec(
        name="dueller", summary="of another family", family="duel", build=build, default_loss="plain", **SMALL
    )


@genbench.hookimpl
def genbench_losses():
    yield genbench.LossSpec(
        name="penalised", summary="with a penalty", family="adversarial", create=create, formula="E softplus(-D(x)) + …"
    )
    yield genbench.LossSpec(
        name="laplace", summary="absolute error", family="variational", create=create_laplace, formula="Σ 10|x - x̂| + …"
    )
    yield genbench.LossSpec(
        name="plain",
        summary="one side of the game",
        family="duel",
        create=lambda options: lambda logits: softplus(-logits).mean(),
        formula="E softplus(-D)",
    )


@genbench.hookimpl
def genbench_datasets():
    yield genbench.DatasetSpec(name="dots", summary="noise", image_shape=(1, 8, 8), load=load, classes=3)


@genbench.hookimpl
def genbench_metrics():
    yield genbench.MetricSpec(name="brightness", summary="mean grey value", measure=measure, direction="higher")
    yield genbench.MetricSpec(
        name="spread",
        summary="standard deviations",
        measure=measure_spread,
        direction="each",
        estimates={"spread-mean": "higher", "spread-least": "higher"},
        options=SpreadOptions,
        per_extractor=True,
        default=False,
    )


@genbench.hookimpl
def genbench_extractors():
    yield genbench.ExtractorSpec(name="rows", summary="means of rows", load=lambda device: Rows())
