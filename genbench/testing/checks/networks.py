"""Rules of networks: errors that have been copied from model to model."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from genbench.api.training import MappedGenerator, NoisyGenerator
from genbench.testing.check import check
from genbench.testing.findings import NotApplicable, RuleViolation
from genbench.testing.layers import find_last_layer, scaled_output
from genbench.testing.subject import BATCH, Subject, rng

TRAINED = ("finite-steps",)
NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm, nn.modules.instancenorm._InstanceNorm)
MAX_EPSILON = 1e-2
IMAGES = 16


@check(
    "norm-epsilon",
    "models",
    what=f"No normalisation layer has an eps above {MAX_EPSILON:g}.",
    why="nn.BatchNorm2d(64, 0.8) sets eps, not momentum, and shrinks the features; many published models do this.",
    fix="Write momentum=0.8, or remove the second argument.",
    after=("builds",),
)
def norm_epsilon(subject: Subject) -> None:
    """Inspect the layers."""
    for name, network in subject.networks().items():
        for path, module in network.named_modules():
            if isinstance(module, NORMS) and module.eps > MAX_EPSILON:
                raise RuleViolation(f"{name}.{path} has eps = {module.eps:g}")


@check(
    "raw-logits",
    "models",
    what="A discriminator ends with a linear layer: its logits are an affine function of that layer's output.",
    why="Losses expect logits. After a sigmoid or (leaky) ReLU the values mean something else, and gradients vanish.",
    fix="Remove the last activation.",
    after=TRAINED,
)
def raw_logits(subject: Subject) -> None:
    """Scale the output of the last layer by -1, 1 and 3: an affine function then has equal differences."""
    if subject.model.family != "adversarial":
        raise NotApplicable("there is no discriminator")
    if subject.model.discriminator_output.endswith("reconstructions"):
        raise NotApplicable("the discriminator returns images")
    discriminator = subject.networks()["discriminator"].eval()
    pixels, labels = subject.images(IMAGES, subject.shapes[0]), subject.labels(IMAGES)

    def logits() -> Tensor:
        with torch.no_grad():
            output = discriminator(pixels) if labels is None else discriminator(pixels, labels)
        first: Tensor = output[0] if isinstance(output, tuple | list) else output
        return first.flatten()

    layer = find_last_layer([discriminator], logits)
    if layer is None:
        raise NotApplicable("no dense or convolutional layer produces the logits")
    found = []
    for factor in (-1.0, 1.0, 3.0):
        with scaled_output(layer, factor):
            found.append(logits())
    low, middle, high = found
    curvature = ((high - middle) - (middle - low)).abs().max()
    if curvature > 1e-3 * (high - low).abs().max() + 1e-6:
        raise RuleViolation("the logits are not an affine function of the last layer: an activation follows it")


@check(
    "labels-matter",
    "models",
    what="In a conditional model, samples depend on the label, and so does the discriminator or encoder.",
    why="A model that ignores its labels is an unconditional model in the wrong row of the table.",
    fix="Use the labels: concatenate an embedding with the latents, add channels, or use a projection.",
    after=TRAINED,
)
def labels_matter(subject: Subject) -> None:
    """Compare the labels 0 and 1 after two steps: gains and shifts of classes may begin with the same values."""
    if not subject.model.conditional:
        raise NotApplicable("the model is not conditional")
    engine = subject.cell().engine
    for _ in range(2):
        engine.step()
    networks = {name: network.eval() for name, network in engine.networks.items()}
    family = subject.create_family(networks)
    one, other = torch.zeros(4, dtype=torch.int64), torch.ones(4, dtype=torch.int64)
    pixels = subject.images(4, subject.shapes[0])
    with torch.no_grad():
        if torch.allclose(family.sample(4, rng(), one), family.sample(4, rng(), other), atol=1e-6):
            raise RuleViolation("samples are the same for the labels 0 and 1")
        if "discriminator" in networks:
            read = [networks["discriminator"](pixels, labels) for labels in (one, other)]
            if isinstance(read[0], tuple | list):  # it predicts the class instead of taking it as input
                return
        elif "encoder" in networks:
            read = [networks["encoder"](pixels, labels)[0] for labels in (one, other)]
        else:
            return
    if torch.equal(read[0], read[1]):
        raise RuleViolation(f"the {'discriminator' if 'discriminator' in networks else 'encoder'} ignores the labels")


@check(
    "generator-inputs",
    "models",
    what="A generator's noise changes its images, none is needed, and its two parts return what it returns as a whole.",
    why="Images along an interpolation depend on latents alone, and penalties reach intermediate latents by the parts.",
    fix="Use `noise`, and fixed values if it is None; call `intermediate` and `synthesise` in `forward`.",
    after=TRAINED,
)
def generator_inputs(subject: Subject) -> None:
    """Train for two steps, because noise may have no effect at first, and generate images in all these ways."""
    engine = subject.cell().engine
    generator: Any = engine.networks.get("generator")
    noise_dim = generator.noise_dim if isinstance(generator, NoisyGenerator) else 0
    mapped = isinstance(generator, MappedGenerator)
    if subject.model.family != "adversarial" or not (noise_dim or mapped):
        raise NotApplicable("there is no generator with noise or intermediate latents")
    for _ in range(2):
        engine.step()
    labels = subject.labels(BATCH)
    latents = torch.randn(BATCH, subject.identity().latent_dim, generator=rng())
    given = (latents,) if labels is None else (latents, labels)
    noises = [{"noise": torch.randn(BATCH, noise_dim, generator=rng(seed))} for seed in (1, 2)] if noise_dim else []
    with torch.no_grad():
        training = [generator(*given, **noise) for noise in noises]
        generator.eval()
        images = [generator(*given, **noise) for noise in noises]
        if noises and torch.equal(*training) and torch.equal(*images):
            raise RuleViolation("images are the same for different noise")
        if not torch.equal(generator(*given), generator(*given)):
            raise RuleViolation("without noise, the same latents give different images")
        for noise in [{}, *noises] if mapped else []:
            parts = generator.synthesise(generator.intermediate(*given, **noise), **noise)
            if not torch.allclose(generator(*given, **noise), parts, atol=1e-6):
                raise RuleViolation("`synthesise` of what `intermediate` returns differs from the generator's images")
