"""A plugin whose models, losses, families and datasets each break the contract in one way.

`VIOLATIONS` names them, with the words that the error must contain.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import softplus

import genbench

VIOLATIONS: dict[str, tuple[str, ...]] = {}  # of models, losses and families: by the name of a model
DATASETS: dict[str, tuple[str, ...]] = {}
MODELS: list[genbench.ModelSpec] = []
LOSSES: list[genbench.LossSpec] = []
FAMILIES: list[genbench.FamilySpec] = []
LOADED: list[genbench.DatasetSpec] = []


def nets(image_shape: Any, latent_dim: int) -> dict[str, nn.Module]:
    values = math.prod(image_shape)
    return {
        "generator": nn.Sequential(nn.Linear(latent_dim, values), nn.Tanh(), nn.Unflatten(1, image_shape)),
        "discriminator": nn.Sequential(nn.Flatten(), nn.Linear(values, 1)),
    }


def build(image_shape, latent_dim, num_classes, options):
    return nets(image_shape, latent_dim)


def encode(image_shape, latent_dim, num_classes, options):
    values = math.prod(image_shape)
    return {
        "encoder": nn.Sequential(nn.Flatten(), nn.Linear(values, 2 * latent_dim), Halves()),
        "decoder": nn.Sequential(nn.Linear(latent_dim, values), nn.Sigmoid(), nn.Unflatten(1, image_shape)),
    }


class Halves(nn.Module):
    def forward(self, hidden):
        return hidden.chunk(2, 1)


def model(name: str, words: tuple[str, ...], build: Any, **fields: Any) -> None:
    """A model that breaks the contract."""
    MODELS.append(spec(name, build, **fields))
    VIOLATIONS[name] = words


def spec(name: str, build: Any, **fields: Any) -> genbench.ModelSpec:
    own = {"family": "adversarial", "default_loss": "non-saturating", "latent_dim": 4, "image_shapes": ((1, 28, 28),)}
    return genbench.ModelSpec(name=name, summary="broken", build=build, **{**own, **fields})


def loss(name: str, words: tuple[str, ...], create: Any, family: str = "adversarial") -> None:
    """A loss that breaks the contract, and a conforming model with it."""
    LOSSES.append(genbench.LossSpec(name=name, summary="broken", formula="x", family=family, create=create))
    adversarial = family == "adversarial"
    own = {} if adversarial else {"value_range": (0, 1)}
    MODELS.append(spec(name, build if adversarial else encode, family=family, default_loss=name, **own))
    VIOLATIONS[name] = words


class Matching:
    """A conforming family; the broken ones change one method."""

    def __init__(self, setup):
        self.setup, self.generator, self.distance = setup, setup.networks["generator"], setup.loss

    def phases(self):
        return [genbench.Phase("match", ("generator",), self.match)]

    def total(self, batch):
        return (self.sample(len(batch.images), batch.rng).mean(0) - batch.images.mean(0)).square().mean()

    def match(self, batch):
        return genbench.Objective(self.total(batch), {})

    def sample(self, count, rng, labels=None):
        return self.generator(torch.randn(count, self.setup.latent_dim, generator=rng, device=self.setup.device))


def family(name: str, words: tuple[str, ...], create: Any = None, reconstructs: bool = False, **methods: Any) -> None:
    """A family that breaks the contract by other methods, with a conforming model and loss."""
    create = create or type(name.title().replace("-", ""), (Matching,), methods)
    FAMILIES.append(
        genbench.FamilySpec(
            name=name, summary="broken", create=create, networks=("generator",), reconstructs=reconstructs
        )
    )
    LOSSES.append(genbench.LossSpec(name=name, summary="x", formula="x", family=name, create=lambda options: None))
    MODELS.append(spec(name, build, family=name, default_loss=name))
    VIOLATIONS[name] = words


def dataset(name: str, words: tuple[str, ...], load: Any, **fields: Any) -> None:
    """A dataset that breaks the contract."""
    LOADED.append(genbench.DatasetSpec(name=name, summary="broken", image_shape=(1, 8, 8), load=load, **fields))
    DATASETS[name] = words


HERE = "(contract_violations.py, line "

# Models
BUILD = ("Model '{}': build(image_shape, latent_dim, num_classes, options) ", HERE)
model("build-tuple", (*BUILD, "a tuple of Sequential, Sequential", 'Return {"generator": …'),
      lambda image_shape, latent_dim, num_classes, options: tuple(nets(image_shape, latent_dim).values()))  # fmt: skip
model("build-module", (*BUILD, "it returned an object of the class Linear"),
      lambda image_shape, latent_dim, num_classes, options: nn.Linear(1, 1))  # fmt: skip
model("build-none", (*BUILD, "it returned None", "Is a `return` missing?", "generator"),
      lambda image_shape, latent_dim, num_classes, options: None)  # fmt: skip
model("build-arity", (*BUILD, "cannot be called", "unexpected keyword argument 'num_classes'"),
      lambda image_shape, latent_dim: nets(image_shape, latent_dim))  # fmt: skip
model("build-missing", (*BUILD, "returned the networks generator", "the family 'adversarial' needs", "'discriminator'"),
      lambda image_shape, latent_dim, num_classes, options: {"generator": nets(image_shape, latent_dim)["generator"]},
)  # fmt: skip
model("build-class", (*BUILD, "'discriminator' that is the class Halves, not an instance of it"),
      lambda image_shape, latent_dim, num_classes, options: {**nets(image_shape, latent_dim), "discriminator": Halves},
)  # fmt: skip
model("build-function", (*BUILD, "'discriminator' that is a function", "not a torch.nn.Module"),
      lambda image_shape, latent_dim, num_classes, options: {**nets(image_shape, latent_dim), "discriminator": nets},
)  # fmt: skip


def build_shared(image_shape, latent_dim, num_classes, options):
    both = nn.Sequential(nn.Flatten(), nn.Linear(4, 784), nn.Tanh(), nn.Unflatten(1, image_shape))
    return {"generator": both, "discriminator": both}


def build_raising(image_shape, latent_dim, num_classes, options):
    raise ValueError("the width is odd")


def build_reserved(image_shape, latent_dim, num_classes, options):
    return {**nets(image_shape, latent_dim), "loss": nn.Linear(1, 1)}


class OnlyOne(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(784, 1)

    def forward(self, images, labels):
        return self.body(images.flatten(1))


def build_labelled(image_shape, latent_dim, num_classes, options):
    return {**nets(image_shape, latent_dim), "discriminator": OnlyOne()}


def build_levels(image_shape, latent_dim, num_classes, options):
    networks = nets(image_shape, latent_dim)
    networks["generator"].append(Levels())
    return networks


class Levels(nn.Module):
    def forward(self, images):
        return images.mul(0).to(torch.int64)


class Thrice(nn.Module):
    def forward(self, hidden):
        return hidden.chunk(3, 1)


def build_encoder(part):
    def build_variational(image_shape, latent_dim, num_classes, options):
        networks = encode(image_shape, latent_dim, num_classes, options)
        networks["encoder"] = nn.Sequential(nn.Flatten(), nn.Linear(784, 12), part)
        return networks

    return build_variational


VARIATIONAL = {"family": "variational", "default_loss": "elbo", "value_range": (0, 1)}
model("build-shared", (*BUILD, "the same network as 'generator' and as 'discriminator'"), build_shared)
model("build-raises", ("ValueError: the width is odd", HERE, "raised by build(", "model 'build-raises'"), build_raising)
model("build-reserved", (*BUILD, "a network named 'loss'"), build_reserved)
CALLED = "Model '{}': the network 'discriminator' cannot be called"
model("forward-arity", (CALLED, "'labels'", "conditional=False", HERE), build_labelled)


def build_sizes(image_shape, latent_dim, num_classes, options):
    return nets(image_shape, latent_dim + 1)


def build_half(image_shape, latent_dim, num_classes, options):
    return {name: network.half() for name, network in nets(image_shape, latent_dim).items()}


def build_narrow(image_shape, latent_dim, num_classes, options):
    return {**nets(image_shape, latent_dim), "discriminator": nn.Sequential(nn.Flatten(), nn.Linear(4, 1))}


INSIDE = "raised by the network '{}' of model '{{}}' " + HERE
model("build-sizes", ("RuntimeError", INSIDE.format("generator")), build_sizes)
model("build-half", ("RuntimeError", "dtype", INSIDE.format("generator")), build_half)
model("build-narrow", ("RuntimeError", INSIDE.format("discriminator")), build_narrow)
model("sample-integers", ("floating-point images", "int64", HERE), build_levels)
model(
    "posterior-single",
    ("Model '{}': the network 'encoder'", "(mean, log_variance)", HERE),
    build_encoder(nn.Identity()),
    **VARIATIONAL,
)
model(
    "posterior-three", ("Model '{}': the network 'encoder'", "3 values", HERE), build_encoder(Thrice()), **VARIATIONAL
)
model(
    "posterior-shape",
    ("Model '{}': the network 'encoder'", "6) where", "latent_dim", HERE),
    build_encoder(Halves()),
    **VARIATIONAL,
)

# Losses
CREATE = ("Loss '{}': create(options) ", HERE)
loss("create-dict", (*CREATE, "must return an AdversarialLoss", "a dict with 'discriminator'"),
     lambda options: {"discriminator": softplus})  # fmt: skip
loss("create-none", (*CREATE, "must return an AdversarialLoss", "it returned None"), lambda options: None)
loss("create-class", (*CREATE, "the class AdversarialLoss, not an instance"), lambda options: genbench.AdversarialLoss)
loss("create-arity", (*CREATE, "cannot be called", "0 positional arguments but 1 was given"), lambda: None)
loss("create-kind", (*CREATE, "must return a VariationalLoss", "AdversarialLoss"),
     lambda options: genbench.AdversarialLoss(softplus, softplus), "variational")  # fmt: skip
loss("create-number", (*CREATE, "set discriminator to a float, 1.0", "real_logits, fake_logits"),
     lambda options: genbench.AdversarialLoss(discriminator=1.0, generator=softplus))  # fmt: skip
loss("penalty-number", (*CREATE, "set penalty to an int, 10"),
     lambda options: genbench.AdversarialLoss(lambda r, f: f.mean() - r.mean(), lambda f, r: -f.mean(), penalty=10),
)  # fmt: skip


def players(discriminator=lambda r, f: f.mean() - r.mean(), generator=lambda f, r: -f.mean(), **fields):
    return lambda options: genbench.AdversarialLoss(discriminator=discriminator, generator=generator, **fields)


D, G = "Loss '{}': discriminator(real_logits, fake_logits) ", "Loss '{}': generator(fake_logits, real_logits) "
loss("d-vector", (D, "must return a scalar tensor", "shape (", "Take the mean", HERE), players(lambda r, f: f - r))
loss("d-float", (D, "it returned a float", ".item()", HERE), players(lambda r, f: float(f.mean().detach())))
loss("d-none", (D, "it returned None", "`return`", HERE), players(lambda r, f: None))
loss(
    "d-arity",
    (D, "cannot be called", "takes 1 positional argument but 2 were given", HERE),
    players(lambda r: r.mean()),
)
loss("d-integer", (D, "int64", HERE), players(lambda r, f: (r > f).sum()))
loss("d-raises", ("KeyError: 'margin'", HERE, "raised by discriminator(real_logits, fake_logits) of loss 'd-raises'"),
     players(lambda r, f: {}["margin"]))  # fmt: skip
loss(
    "g-arity",
    (G, "cannot be called", "takes 1 positional argument but 2 were given", HERE),
    players(generator=lambda f: -f),
)
loss("g-vector", (G, "must return a scalar tensor", HERE), players(generator=lambda f, r: -f))
loss("g-detached", ("objective(batch) of the phase 'generator'", "without a gradient"),
     players(generator=lambda f, r: -f.mean().detach()))  # fmt: skip
loss("penalty-vector", ("penalty(discriminator, real, fake, rng)", "must return a scalar", HERE),
     players(penalty=lambda d, real, fake, rng: d(real)))  # fmt: skip
loss("penalty-arity", ("penalty(discriminator, real, fake, rng)", "cannot be called", HERE),
     players(penalty=lambda d, real, fake: d(real).mean()))  # fmt: skip


def bound(objective):
    return lambda options: genbench.VariationalLoss(objective)


O = "Loss '{}': objective(posterior) "  # noqa: E741
loss("o-tensor", (O, "must return a genbench.Objective", "genbench.Objective(total, terms)", HERE),
     bound(lambda posterior: posterior.mean.mean()), "variational")  # fmt: skip
loss("o-pair", (O, "it returned a tuple of Tensor, dict", HERE),
     bound(lambda posterior: (posterior.mean.mean(), {})), "variational")  # fmt: skip
loss("o-terms", (O, "the term 'kl' that is a float", ".item()", HERE),
     bound(lambda p: genbench.Objective(p.logits.mean() + p.mean.mean(), {"kl": 0.5})), "variational")  # fmt: skip
loss("o-list", (O, "terms that are a list of", "Without terms", HERE),
     bound(lambda p: genbench.Objective(p.logits.mean(), [p.mean.mean()])), "variational")  # fmt: skip
loss("o-vector", (O, "a total that is a tensor of shape (", HERE),
     bound(lambda p: genbench.Objective(p.mean, {})), "variational")  # fmt: skip

# Families
F = "Family '{}': create(setup) returned "
P = "Family '{}': phases() "
J = "Family '{}': objective(batch) of the phase 'match' "
family("f-nosample", (F, "whose sample is None", HERE), sample=None)
family("f-nophases", (F, "whose phases is a list", HERE), phases=[])
family("f-none", (F, "None without a method phases", HERE), create=lambda setup: None)
family("f-noreconstruct", (F, "without a method reconstruct", HERE), reconstructs=True)
family("f-arity", ("Family '{}': create(setup) cannot be called", HERE), create=lambda: None)
family("p-one", (P, "must return a sequence of genbench.Phase", "return [phase]", HERE),
       phases=lambda self: genbench.Phase("match", ("generator",), self.match))  # fmt: skip
family("p-none", (P, "it returned None", HERE), phases=lambda self: None)
family("p-empty", (P, "at least one", HERE), phases=lambda self: [])
family("p-pairs", (P, "among them is a tuple of str, tuple", HERE), phases=lambda self: [("match", ("generator",))])
family("p-arity", (P, "cannot be called", HERE), phases=lambda self, batch: [])
family("p-string", (P, 'networks=("generator",)', HERE),
       phases=lambda self: [genbench.Phase("match", "generator", self.match)])  # fmt: skip
family("p-called", (P, "objective must be a function", HERE),
       phases=lambda self: [genbench.Phase("match", ("generator",), None)])  # fmt: skip
family("p-unknown", ("family 'p-unknown' names the unknown network 'maker'",),
       phases=lambda self: [genbench.Phase("match", ("maker",), self.match)])  # fmt: skip
family("p-repeats", (P, "repeats must be an integer, and is a float, 2.0", HERE),
       phases=lambda self: [genbench.Phase("match", ("generator",), self.match, repeats=2.0)])  # fmt: skip
family("j-tensor", (J, "must return a genbench.Objective", "genbench.Objective(total, terms)", HERE),
       match=lambda self, batch: self.total(batch))  # fmt: skip
family("j-pair", (J, "a tuple of Tensor, dict", HERE), match=lambda self, batch: (self.total(batch), {}))
family("j-none", (J, "it returned None", HERE), match=lambda self, batch: None)
family("j-arity", (J, "cannot be called", HERE), match=lambda self, batch, step: None)
family("j-float", (J, "a total that is a float", HERE),
       match=lambda self, batch: genbench.Objective(0.5, {}))  # fmt: skip
family("j-terms", (J, "the term 'size' that is an int, 3", HERE),
       match=lambda self, batch: genbench.Objective(self.total(batch), {"size": 3}))  # fmt: skip
family("j-detached", (J, "without a gradient, but the phase trains generator", HERE),
       match=lambda self, batch: genbench.Objective(self.total(batch).detach(), {}))  # fmt: skip
family(
    "j-device",
    (J, "a total on meta", "setup.device", HERE),
    match=lambda self, batch: genbench.Objective(self.total(batch).to("meta"), {}),
)
family("s-shape", ("generates images of shape (2, 784) instead of (2, 1, 28, 28)", HERE),
       sample=lambda self, count, rng, labels=None: Matching.sample(self, count, rng).flatten(1))  # fmt: skip
family("s-list", ("Family '{}': sample(count, rng, labels) must return", "a list of Tensor", HERE),
       sample=lambda self, count, rng, labels=None: [*Matching.sample(self, count, rng)])  # fmt: skip
family("s-arity", ("Family '{}': sample(count, rng, labels) cannot be called", HERE),
       sample=lambda self, count: None)  # fmt: skip
family("r-shape", ("Family '{}': reconstruct(images, labels) must return", "784)", HERE), reconstructs=True,
       reconstruct=lambda self, images, labels=None: images.flatten(1))  # fmt: skip
family("r-none", ("Family '{}': reconstruct(images, labels) must return", "it returned None", HERE), reconstructs=True,
       reconstruct=lambda self, images, labels=None: None)  # fmt: skip
family("u-arity", ("after_update() of the phase 'match'", "cannot be called", HERE),
       phases=lambda self: [genbench.Phase("match", ("generator",), self.match, after_update=lambda step: None)],
)  # fmt: skip

# Datasets
PIXELS = np.zeros((80, 1, 8, 8), np.uint8)
LABELS = np.arange(80) % 3


def images(pixels=PIXELS, labels=LABELS, test=None, **fields):
    test = genbench.Images(PIXELS, LABELS) if test is None else test
    return lambda options, cache: genbench.ImageData(train=genbench.Images(pixels, labels), test=test, **fields)


L = "Dataset '{}': load(options, cache) "
S = "Dataset '{}', split 'train': "
dataset("l-tuple", (L, "must return a genbench.ImageData", "a tuple of ndarray, ndarray", HERE),
        lambda options, cache: (PIXELS, LABELS))  # fmt: skip
dataset("l-none", (L, "it returned None", "`return`", HERE), lambda options, cache: None)
dataset("l-arity", (L, "cannot be called", HERE), lambda options: None)
dataset("l-raises", ("RuntimeError: no server", HERE, "raised by load(options, cache) of dataset 'l-raises'"),
        lambda options, cache: (_ for _ in ()).throw(RuntimeError("no server")))  # fmt: skip
dataset(
    "l-split",
    ("Dataset '{}', split 'test': ", "a genbench.Images", "ndarray of shape (80, 1, 8, 8)", HERE),
    images(test=PIXELS),
)
dataset("l-float", (S, "pixels are float64, not uint8", HERE), images(PIXELS / 255))
dataset("l-channels-last", (S, "(80, 8, 8, 1)", "(N, 1, 8, 8)", HERE), images(PIXELS.transpose(0, 2, 3, 1)))
dataset("l-text", (S, "pixels", "a list of str", HERE), images(["a.png"]))
dataset("l-empty", (S, "there are no images", HERE), images(PIXELS[:0], LABELS[:0]))
dataset("l-length", (S, "79 labels for 80 images", HERE), images(labels=LABELS[:79]))
dataset("l-floats", (S, "labels are float64", "not integers", HERE), images(labels=LABELS / 2))
dataset("l-bool", (S, "labels are bool", "not integers", HERE), images(labels=LABELS > 1))
dataset("l-names", (S, "labels are a list of str", "not integers", HERE), images(labels=["cat"] * 80))
dataset("l-one-hot", (S, "labels have the shape (80, 3)", HERE), images(labels=np.eye(3, dtype=np.int64)[LABELS]))
dataset("l-negative", (S, "label -1 was found", "0 to 2", HERE), images(labels=LABELS - 1), classes=3)
dataset(
    "l-beyond", (S, "label 3 was found", "declares 3 classes", "0 to 2", HERE), images(labels=LABELS + 1), classes=3
)
dataset(
    "l-class-names", ("Dataset '{}': ", "2 class_names", "3 classes", HERE), images(class_names=("a", "b")), classes=3
)
dataset("l-name-text", ("Dataset '{}': ", "class_names", "a str, 'abc'", HERE), images(class_names="abc"), classes=3)
dataset("l-signature", ("Dataset '{}': signature(options, cache) must return text", "an int, 3", HERE),
        images(), signature=lambda options, cache: 3)  # fmt: skip
dataset("l-signature-arity", ("Dataset '{}': signature(options, cache) cannot be called", HERE),
        images(), signature=lambda: "")  # fmt: skip


@genbench.hookimpl
def genbench_models():
    yield from MODELS


@genbench.hookimpl
def genbench_losses():
    yield from LOSSES


@genbench.hookimpl
def genbench_families():
    yield from FAMILIES


@genbench.hookimpl
def genbench_datasets():
    yield from LOADED
