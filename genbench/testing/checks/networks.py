"""Rules of networks: faults that have been copied from model to model."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genbench.testing.check import check
from genbench.testing.findings import NotApplicable, RuleViolation
from genbench.testing.layers import responding_layer, scaled
from genbench.testing.subject import Subject, rng

TRAINED = ("finite-steps",)
NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm, nn.modules.instancenorm._InstanceNorm)
GREATEST_EPSILON = 1e-2
IMAGES = 16


@check(
    "norm-epsilon",
    "models",
    what=f"No normalisation layer has an eps above {GREATEST_EPSILON:g}.",
    why="nn.BatchNorm2d(64, 0.8) sets eps, not momentum: features are shrunk, and this is in many published models.",
    mend="Write momentum=0.8, or leave the second argument away.",
    after=("builds",),
)
def norm_epsilon(subject: Subject) -> None:
    """Look at the layers."""
    for name, network in subject.networks().items():
        for path, module in network.named_modules():
            if isinstance(module, NORMS) and module.eps > GREATEST_EPSILON:
                raise RuleViolation(f"{name}.{path} has eps = {module.eps:g}")


@check(
    "raw-logits",
    "models",
    what="A discriminator ends in a linear layer: its logits are an affine function of what that layer returns.",
    why="Losses act on logits. Behind a sigmoid or a (leaky) ReLU they mean something else, and gradients vanish.",
    mend="Remove the last activation.",
    after=TRAINED,
)
def raw_logits(subject: Subject) -> None:
    """Scale what the last layer returns by -1, 1 and 3: an affine function has equal steps."""
    if subject.model.family != "adversarial":
        raise NotApplicable("there is no discriminator")
    discriminator = subject.networks()["discriminator"].eval()
    pixels, labels = subject.images(IMAGES, subject.shapes[0]), subject.labels(IMAGES)

    def logits() -> Tensor:
        with torch.no_grad():
            judged = discriminator(pixels) if labels is None else discriminator(pixels, labels)
        found: Tensor = judged[0] if isinstance(judged, tuple | list) else judged
        return found.flatten()

    layer = responding_layer([discriminator], logits)
    if layer is None:
        raise NotApplicable("no dense or convolutional layer makes the logits")
    found = []
    for factor in (-1.0, 1.0, 3.0):
        with scaled(layer, factor):
            found.append(logits())
    low, middle, high = found
    bend = ((high - middle) - (middle - low)).abs().max()
    if bend > 1e-3 * (high - low).abs().max() + 1e-6:
        raise RuleViolation("logits are no affine function of the last layer: an activation follows it")


@check(
    "labels-matter",
    "models",
    what="A conditional model makes other images for other labels, and reads images with regard to the label.",
    why="A model that ignores its labels is an unconditional one in the wrong row of the table.",
    mend="Feed the labels in: embedded beside the latents, as further channels, or by a projection.",
    after=TRAINED,
)
def labels_matter(subject: Subject) -> None:
    """Compare the labels 0 and 1."""
    if not subject.model.conditional:
        raise NotApplicable("the model is not conditional")
    networks = {name: network.eval() for name, network in subject.networks().items()}
    family = subject.family_on(networks)
    one, other = torch.zeros(4, dtype=torch.int64), torch.ones(4, dtype=torch.int64)
    pixels = subject.images(4, subject.shapes[0])
    with torch.no_grad():
        if torch.allclose(family.sample(4, rng(), one), family.sample(4, rng(), other), atol=1e-6):
            raise RuleViolation("samples are the same for the labels 0 and 1")
        if "discriminator" in networks:
            read = [networks["discriminator"](pixels, labels) for labels in (one, other)]
            if isinstance(read[0], tuple | list):  # it says the class, and is not told it
                return
        elif "encoder" in networks:
            read = [networks["encoder"](pixels, labels)[0] for labels in (one, other)]
        else:
            return
    if torch.equal(read[0], read[1]):
        raise RuleViolation(
            f"the {'discriminator' if 'discriminator' in networks else 'encoder'} does not look at the labels"
        )
