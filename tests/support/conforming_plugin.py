"""A small plugin that registers one of everything and follows all rules; `test_mutants` modifies its text."""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import leaky_relu, softplus

import genbench

requires_api = "1.3"

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


class MappedGenerator(Generator):
    """The same, with noise and a mapping."""

    def __init__(self, *given):
        super().__init__(*given)
        self.mapping = nn.Linear(self.hidden.in_features, self.hidden.in_features)
        self.strength = nn.Parameter(torch.ones(()))
        self.register_buffer("fixed", torch.randn(self.noise_dim))

    @property
    def noise_dim(self):
        return self.last.in_features

    def intermediate(self, latents, *, noise=None):
        return self.mapping(latents)

    def synthesise(self, intermediate, *, noise=None):
        noise = self.fixed.expand(len(intermediate), -1) if noise is None else noise
        hidden = self.norm(self.hidden(intermediate) + self.strength * noise).relu()
        images = self.last(hidden).tanh()
        return images.unflatten(1, self.image_shape)

    def forward(self, latents, *, noise=None):
        return self.synthesise(self.intermediate(latents, noise=noise), noise=noise)


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


def build_mapped(image_shape, latent_dim, num_classes, options):
    return {
        "generator": MappedGenerator(image_shape, latent_dim, 0, options.width),
        "discriminator": Discriminator(image_shape, 0, options.width),
    }


def create_smooth(options):
    def penalty(generator, points, rng):  # the squared slope of the images along random directions
        images = generator(points)
        directions = torch.randn(images.shape, generator=rng, device=images.device)
        (products,) = torch.autograd.grad((images * directions).sum(), points, create_graph=True)
        slopes = torch.linalg.vector_norm(products.flatten(1), dim=1)
        return genbench.Objective(slopes.square().mean() / 100, {"slope": slopes.detach().mean()})

    return genbench.AdversarialLoss(
        discriminator=lambda real, fake: softplus(-real).mean() + softplus(fake).mean(),
        generator=lambda fake, real: softplus(-fake).mean(),
        generator_penalty=penalty,
        generator_penalty_every=2,
    )


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


@dataclass(frozen=True)
class Narrow:
    psi: float = genbench.option(0.5, "factor of the latents", minimum=0)


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

    def seen(self, batch):
        augment = self.setup.augmentation
        return self.discriminator(batch.images if augment is None else augment(batch.images, batch.rng))

    def criticise(self, batch):
        fake = self.sample(len(batch.images), batch.rng)
        total = self.setup.loss(self.discriminator(batch.images)) + self.setup.loss(-self.discriminator(fake.detach()))
        return genbench.Objective(total, {})

    def make(self, batch):
        return genbench.Objective(self.setup.loss(self.discriminator(self.sample(len(batch.images), batch.rng))), {})

    def sample(self, count, rng, labels=None):
        return self.generator(torch.randn(count, self.setup.latent_dim, generator=rng, device=self.setup.device))

    def sample_with(self, sampler, count, rng, labels=None):
        latents = torch.randn(count, self.setup.latent_dim, generator=rng, device=self.setup.device)
        return self.generator(sampler.options.psi * latents)

    def reconstruct(self, images, labels=None):
        return images.flip(3)


class JointDuel(Duel):
    """The same game, with both updates from one pass."""

    def phases(self):
        return [
            genbench.Phase("critic", ("discriminator",), self.criticise, joint="game"),
            genbench.Phase("maker", ("generator",), self.make, joint="game"),
        ]

    def criticise(self, batch):
        fake = batch.shared["fake"] = self.sample(len(batch.images), batch.rng)
        batch.shared["logits"] = self.discriminator(fake)
        real = self.setup.loss(self.discriminator(batch.images))
        return genbench.Objective(real + self.setup.loss(-batch.shared["logits"]), {})

    def make(self, batch):
        return genbench.Objective(self.setup.loss(batch.shared["logits"]), {})


class Coder:
    """A variational family of its own: a bound on the probability of levels."""

    likelihood = genbench.Likelihood("rounded", "discrete")

    def __init__(self, setup):
        self.setup = setup
        self.encoder, self.decoder = setup.networks["encoder"], setup.networks["decoder"]

    def phases(self):
        return [genbench.Phase("code", ("encoder", "decoder"), self.objective)]

    def objective(self, batch):
        bound = self.bound(batch.images, 1, batch.rng)
        return genbench.Objective((bound.distortion + bound.rate).mean(), {"rate": bound.rate.mean()})

    def bound(self, images, draws, rng, labels=None):
        mean, log_variance = self.encoder(images).chunk(2, 1)
        noise = torch.randn((len(images), draws, mean.shape[1]), generator=rng, device=images.device).transpose(0, 1)
        latents = mean + (log_variance / 2).exp() * noise
        log_ratio = 0.5 * (noise.square() + log_variance - latents.square()).sum(2)
        rate = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)
        decoded = self.decoder(latents.flatten(0, 1)).sigmoid()
        distortion = self.nll(images.repeat(draws, 1, 1, 1), decoded).view(draws, -1)
        return genbench.LikelihoodBound(log_ratio - distortion, distortion.mean(0), rate, mean)

    def nll(self, images, decoded):  # the probability of a level falls with its squared distance from the mean
        levels = torch.linspace(0, 1, 256, device=images.device)
        sums = (-20 * (levels - decoded[..., None]).square()).logsumexp(-1)
        return (20 * (images - decoded).square() + sums).sum((1, 2, 3))

    def sample(self, count, rng, labels=None):
        latents = torch.randn(count, self.setup.latent_dim, generator=rng, device=self.setup.device)
        return self.decoder(latents).sigmoid()

    def reconstruct(self, images, labels=None):
        raise NotImplementedError


class Scaling(nn.Module):
    """The smallest flow: a scale and a shift for each value."""

    def __init__(self, image_shape):
        super().__init__()
        self.log_scale, self.shift = (nn.Parameter(0.1 * torch.randn(image_shape)) for _ in range(2))

    def forward(self, values):
        return (values - self.shift) * self.log_scale.exp(), self.log_scale.sum()

    def inverse(self, noise):
        return noise * (-self.log_scale).exp() + self.shift


class Meter:
    """A family that computes the likelihood of dequantised images."""

    likelihood = genbench.Likelihood("scaling", "dequantised")

    def __init__(self, setup):
        self.setup, self.flow = setup, setup.networks["flow"]

    def phases(self):
        return [genbench.Phase("flow", ("flow",), self.objective)]

    def objective(self, batch):
        return genbench.Objective(-self.log_likelihood(batch.images, batch.rng).mean(), {})

    def log_likelihood(self, images, rng, labels=None):
        noise = torch.rand(images.shape, generator=rng, device=images.device)
        logits = (0.05 + 0.9 * (255 * images + noise) / 256).logit()
        slopes = math.log(0.9) - nn.functional.logsigmoid(logits) - nn.functional.logsigmoid(-logits) - math.log(256)
        found, log_det = self.flow(logits)
        log_density = -0.5 * found.square() - 0.5 * math.log(2 * math.pi)
        return (log_density + slopes).sum((1, 2, 3)) + log_det

    def sample(self, count, rng, labels=None):
        noise = torch.randn((count, *self.setup.image_shape), generator=rng, device=self.setup.device)
        return ((self.flow.inverse(noise).sigmoid() - 0.05) / 0.9).clamp(0, 1)

    def reconstruct(self, images, labels=None):
        raise NotImplementedError


def build_coder(image_shape, latent_dim, num_classes, options):
    values = math.prod(image_shape)
    decoder = nn.Sequential(nn.Linear(latent_dim, values), nn.Unflatten(1, image_shape))
    return {"encoder": nn.Sequential(nn.Flatten(), nn.Linear(values, 2 * latent_dim)), "decoder": decoder}


def build_flow(image_shape, latent_dim, num_classes, options):
    return {"flow": Scaling(image_shape)}


def load(options, cache):
    rng = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (12, 1, 8, 8), generator=rng, dtype=torch.uint8)
    labels = torch.arange(12) % 3
    return genbench.ImageData(
        train=genbench.Images(pixels[:8], labels[:8]), test=genbench.Images(pixels[8:], labels[8:])
    )


def mode_of(pixels):
    return (pixels.float().mean((1, 2, 3)) > 127).long()


def measure(evaluation):
    value = float(torch.as_tensor(evaluation.samples.pixels).float().mean())
    return genbench.Estimate(
        metric="brightness", value=value, standard_error=None, n=len(evaluation.samples.pixels), direction="higher"
    )


@dataclass(frozen=True)
class SpreadOptions:
    scale: float = genbench.option(1.0, "factor of all values", minimum=0)


def measure_scatter(evaluation, extractor, options):
    features = evaluation.features(extractor, "samples")
    return [
        genbench.Estimate(name, options.scale * float(value), None, len(features), "higher")
        for name, value in (("scatter-mean", features.std(0).mean()), ("scatter-least", features.std(0).min()))
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
        name="duel",
        summary="a game",
        create=Duel,
        networks=("generator", "discriminator"),
        averaged=("generator",),
        reconstructs=True,
        uses=(),
        samplers=(genbench.SamplerSpec(name="narrow", summary="latents near 0", options=Narrow),),
    )
    yield genbench.FamilySpec(
        name="joint-duel",
        summary="a game in one pass",
        create=JointDuel,
        networks=("generator", "discriminator"),
        averaged=("generator",),
    )
    yield genbench.FamilySpec(
        name="coder", summary="codes levels", create=Coder, networks=("encoder", "decoder"), bounds=True
    )
    yield genbench.FamilySpec(name="meter", summary="measures levels", create=Meter, networks=("flow",), exact=True)


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
        name="mapped", summary="in two parts", family="adversarial", build=build_mapped, default_loss="smooth", **SMALL
    )
    yield genbench.ModelSpec(
        name="dueller", summary="of another family", family="duel", build=build, default_loss="plain", **SMALL
    )
    yield genbench.ModelSpec(
        name="joint-dueller", summary="in one pass", family="joint-duel", build=build, default_loss="joint", **SMALL
    )
    coding = {**SMALL, "value_range": (0, 1), "options": None}
    yield genbench.ModelSpec(
        name="coded", summary="linear", family="coder", build=build_coder, default_loss="own", **coding
    )
    yield genbench.ModelSpec(
        name="metered", summary="affine", family="meter", build=build_flow, default_loss="own-too", **coding
    )


@genbench.hookimpl
def genbench_losses():
    yield genbench.LossSpec(
        name="penalised", summary="with a penalty", family="adversarial", create=create, formula="E softplus(-D(x)) + …"
    )
    yield genbench.LossSpec(
        name="smooth",
        summary="with flat images",
        family="adversarial",
        create=create_smooth,
        formula="… + E ‖Jᵀy‖²",
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
    yield genbench.LossSpec(
        name="joint",
        summary="one side of the game in one pass",
        family="joint-duel",
        create=lambda options: lambda logits: softplus(-logits).mean(),
        formula="E softplus(-D(x))",
    )

    for name, family in (("own", "coder"), ("own-too", "meter")):
        yield genbench.LossSpec(
            name=name, summary="the family's", family=family, create=lambda options: None, formula="-log p"
        )


@genbench.hookimpl
def genbench_datasets():
    yield genbench.DatasetSpec(
        name="dots", summary="noise", image_shape=(1, 8, 8), load=load, classes=3, modes=2, mode_of=mode_of
    )


@genbench.hookimpl
def genbench_metrics():
    yield genbench.MetricSpec(name="brightness", summary="mean grey value", measure=measure, direction="higher")
    yield genbench.MetricSpec(
        name="scatter",
        summary="standard deviations",
        measure=measure_scatter,
        direction="each",
        estimates={"scatter-mean": "higher", "scatter-least": "higher"},
        options=SpreadOptions,
        per_extractor=True,
        default=False,
    )


@genbench.hookimpl
def genbench_extractors():
    yield genbench.ExtractorSpec(name="rows", summary="means of rows", load=lambda device: Rows())
