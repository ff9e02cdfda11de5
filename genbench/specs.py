"""The records that plugins exchange with genbench. No torch is needed to import them.

Wherever a record takes a callable it also takes a string ``"module:attribute"``, which is imported only when
something trains: a plugin whose specs are written so keeps `genbench list` fast.
"""

from __future__ import annotations

import dataclasses
import importlib
import math
import re
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias, cast

from genbench.errors import SpecError
from genbench.options import Option, OptionValue, describe_options

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

Shape: TypeAlias = tuple[int, int, int]  # channels, height, width
Direction = Literal["lower", "higher"]  # which values are better
OptionSchema: TypeAlias = type | tuple[Option, ...] | None

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_SIMPLE_TYPES: dict[str, tuple[type, ...]] = {  # fields whose annotation a spec can check by itself
    "str": (str,),
    "bool": (bool,),
    "int": (int,),
    "int | None": (int, type(None)),
    "str | None": (str, type(None)),
}


def _is_range(value: object) -> bool:
    numbers = isinstance(value, Sequence) and len(value) == 2 and all(type(n) in (int, float) for n in value)
    return numbers and value[0] < value[1]  # type: ignore[index]


def resolve(target: Callable[..., Any] | str) -> Callable[..., Any]:
    """Return the callable itself, importing it when it is given as ``"module:attribute"``."""
    if not isinstance(target, str):
        return target
    module, _, attribute = target.partition(":")
    found = getattr(importlib.import_module(module), attribute, None)
    if not callable(found):
        raise SpecError(f"'{target}' does not name a callable.", "Write it as 'package.module:function'.")
    return found  # type: ignore[no-any-return]


# ----------------------------------------------------------------------------------------------------------------------
# Specs: what the hooks yield


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What every spec has: a name that users type, and one line that says what it is."""

    name: str
    summary: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise SpecError(
                f"{type(self).__name__} has the name {self.name!r}.",
                "Use lower-case letters, digits, '-', '_' and '.', beginning with a letter or digit.",
            )
        for declared in dataclasses.fields(self):
            allowed = _SIMPLE_TYPES.get(str(declared.type))
            value = getattr(self, declared.name)
            if allowed is not None and type(value) not in allowed:  # bool is not int
                self._require(False, f"{declared.name} must be {declared.type}, not {value!r}.")

    def _require(self, condition: bool, what: str) -> None:
        if not condition:
            raise SpecError(f"{type(self).__name__} '{self.name}': {what}")

    def _require_shape(self, name: str, value: object) -> Shape:
        well_formed = isinstance(value, Sequence) and len(value) == 3 and all(type(n) is int and n > 0 for n in value)
        self._require(well_formed, f"{name} must be (channels, height, width), not {value!r}.")
        channels, height, width = cast("Shape", value)
        return channels, height, width

    def _require_recipe(self, recipe: object) -> None:
        self._require(isinstance(recipe, Mapping), f"recipe must be a mapping of recipe fields, not {recipe!r}.")

    def _require_target(self, name: str) -> None:
        target = getattr(self, name)
        well_formed = callable(target) or (isinstance(target, str) and bool(re.fullmatch(r"[\w.]+:\w+", target)))
        self._require(well_formed, f"{name} must be a callable or 'module:attribute', not {target!r}.")


@dataclass(frozen=True, kw_only=True)
class ConfigurableSpec(Spec):
    """A spec with options: a frozen dataclass whose fields are made by `genbench.option`."""

    options: OptionSchema = None

    @cached_property
    def option_schema(self) -> tuple[Option, ...]:
        """The options as plain data."""
        if isinstance(self.options, tuple) and all(isinstance(option, Option) for option in self.options):
            return self.options
        try:
            return describe_options(cast("type | None", self.options))
        except SpecError as error:
            raise SpecError(f"{type(self).__name__} '{self.name}': {error.cause}", error.cure) from None

    def make_options(self, values: Mapping[str, OptionValue]) -> Any:
        """Return the author's own options dataclass, filled with checked values (None where there are no options)."""
        return self.options(**values) if isinstance(self.options, type) else None


@dataclass(frozen=True, kw_only=True)
class ModelSpec(ConfigurableSpec):
    """Named networks of one family.

    `build(image_shape, latent_dim, num_classes, options)` returns the networks that the family names. It is called
    after seeding, on the CPU, with the shape of the dataset's images; `options` is an instance of the spec's own
    dataclass (None where it has none).
    """

    family: str  # 'adversarial', 'variational', or a plugin's
    build: Callable[..., Mapping[str, nn.Module]] | str
    default_loss: str  # a loss of the same family
    image_shapes: tuple[Shape, ...] | None = None  # the shapes that `build` accepts; None: any
    value_range: tuple[float, float] = (-1.0, 1.0)  # of the images that the networks take and return
    output: Literal["images", "logits"] = "images"  # 'logits': sigmoid makes images in [0, 1] of what is returned
    latent_dim: int = 100  # default; users change it with --set NAME.latent_dim=…
    prior: Literal["normal", "uniform"] = "normal"  # of the latents: N(0, 1) or U(-1, 1)
    recipe: Mapping[str, OptionValue] = field(default_factory=dict)  # recipe fields that this model wants otherwise
    conditional: bool = False  # networks take labels as their last argument
    paper: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(bool(self.family), "family must be named.")
        self._require_target("build")
        self._require(bool(self.default_loss), "default_loss must be named.")
        if self.image_shapes is not None:
            some = isinstance(self.image_shapes, Sequence) and len(self.image_shapes) > 0
            self._require(some, f"image_shapes must be some shapes, or None for any, not {self.image_shapes!r}.")
            shapes = tuple(self._require_shape("each of image_shapes", shape) for shape in self.image_shapes)
            object.__setattr__(self, "image_shapes", shapes)
        self._require(_is_range(self.value_range), f"value_range must be (low, high), not {self.value_range!r}.")
        low_high = (float(self.value_range[0]), float(self.value_range[1]))
        object.__setattr__(self, "value_range", low_high)
        self._require(self.output in ("images", "logits"), f"output is 'images' or 'logits', not {self.output!r}.")
        if self.output == "logits":
            self._require(low_high == (0.0, 1.0), "output='logits' means images in value_range (0, 1).")
        self._require(self.latent_dim > 0, f"latent_dim must be a positive integer, not {self.latent_dim}.")
        self._require(self.prior in ("normal", "uniform"), f"prior is 'normal' or 'uniform', not {self.prior!r}.")
        self._require_recipe(self.recipe)
        _ = self.option_schema


@dataclass(frozen=True, kw_only=True)
class LossSpec(ConfigurableSpec):
    """The objective of a family.

    `create(options)` returns what the family expects: an `AdversarialLoss` for 'adversarial', a `VariationalLoss` for
    'variational'.
    """

    family: str
    create: Callable[[Any], Any] | str
    formula: str = ""
    source: str = ""  # paper and equation
    recipe: Mapping[str, OptionValue] = field(default_factory=dict)  # recipe fields that this loss wants otherwise

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(bool(self.family), "family must be named.")
        self._require_target("create")
        self._require_recipe(self.recipe)
        _ = self.option_schema


@dataclass(frozen=True, kw_only=True)
class DatasetSpec(ConfigurableSpec):
    """Images and labels.

    `load(options, cache)` returns an `ImageData` of uint8 pixels; `cache` is a directory for downloads. Options named
    `size` and `channels` change the declared `image_shape`. With `argument`, the text behind a colon in
    ``name:text`` becomes the value of that option (``folder:photos``); it must not be empty.
    """

    image_shape: Shape
    load: Callable[..., ImageData] | str
    classes: int | None = None  # how many labels there are; None: not labelled, or known only after loading
    train_size: int | None = None  # None: known only after loading
    argument: str | None = None
    licence: str = ""
    source: str = ""  # how it is obtained
    synthetic: bool = False  # not data: good for throughput, worthless for quality, and labelled so in every table

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_target("load")
        object.__setattr__(self, "image_shape", self._require_shape("image_shape", self.image_shape))
        texts = [option.name for option in self.option_schema if option.type == "str"]
        self._require(
            self.argument is None or self.argument in texts, f"argument '{self.argument}' is not an option of type str."
        )

    def shape(self, values: Mapping[str, OptionValue]) -> Shape:
        """Return the image shape under these option values."""
        channels, height, width = self.image_shape
        size, chosen = values.get("size"), values.get("channels")
        if isinstance(size, int):
            height = width = size
        if isinstance(chosen, int):
            channels = chosen
        return channels, height, width


@dataclass(frozen=True, kw_only=True)
class FamilySpec(Spec):
    """How networks learn and are used. `create(setup: Setup)` returns a `Family`."""

    create: Callable[[Setup], Family] | str
    networks: tuple[str, ...] = ()  # the names that a model's `build` must return
    reconstructs: bool = False  # its models map images to images

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_target("create")
        names = isinstance(self.networks, Sequence) and all(isinstance(name, str) for name in self.networks)
        self._require(names and not isinstance(self.networks, str), f"networks must be names, not {self.networks!r}.")
        object.__setattr__(self, "networks", tuple(self.networks))


@dataclass(frozen=True, kw_only=True)
class MetricSpec(Spec):
    """One number about a trained model. `measure(evaluation: Evaluation)` returns an `Estimate` or `Unavailable`."""

    measure: Callable[[Evaluation], Estimate | Unavailable] | str
    direction: Direction
    needs_reconstruction: bool = False  # asked only of families that reconstruct
    default: bool = True  # measured when no --metrics are named

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_target("measure")
        self._require(
            self.direction in ("lower", "higher"), f"direction {self.direction!r} is not 'lower' or 'higher'."
        )


@dataclass(frozen=True, kw_only=True)
class ExtractorSpec(Spec):
    """A frozen network that turns images into features. `load(device)` returns an `Extractor`.

    Every extractor gives a Fréchet distance, the metric ``fd-<name>``. `load` raises `ExtractorUnavailable` with the
    cure where its weights are not at hand.
    """

    load: Callable[..., Extractor] | str
    metric: str = ""  # name of its Fréchet distance; empty: fd-<name>. Only the Inception weights of 2015 earn 'fid'
    default: bool = True  # its distance is measured when no --metrics are named

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_target("load")
        object.__setattr__(self, "metric", self.metric or f"fd-{self.name}")
        self._require(self.metric == "fid" or self.metric.startswith("fd-"), f"metric '{self.metric}' is not 'fd-…'.")


# ----------------------------------------------------------------------------------------------------------------------
# Data


class Images(NamedTuple):
    """One split of a dataset, or one set of generated images."""

    pixels: Tensor | np.ndarray[Any, Any]  # uint8, (N, channels, height, width)
    labels: Tensor | np.ndarray[Any, Any] | None = None  # integers, (N,)


@dataclass(frozen=True)
class ImageData:
    """What a dataset's `load` returns."""

    train: Images
    test: Images  # held out: never trained on
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()  # what a reader of the results must know: files that were skipped, say


# ----------------------------------------------------------------------------------------------------------------------
# Learning


@dataclass
class Batch:
    """What a phase is given."""

    images: Tensor  # float, (B, channels, height, width), in the model's value range
    labels: Tensor | None  # int64, (B,)
    rng: torch.Generator  # all randomness comes from here; it lives on the device
    last: bool  # no further repeat of this phase follows in this step
    shared: MutableMapping[str, Any]  # what one phase leaves for the next; emptied after each step


class Objective(NamedTuple):
    """What a phase minimises, and the terms it is made of, which become curves."""

    total: Tensor  # scalar
    terms: Mapping[str, Tensor]  # scalars by name


@dataclass(frozen=True)
class Phase:
    """One player's update inside a step.

    `objective` must not read a tensor on the host (`.item()`, `.cpu()`, `print`): it runs inside a timed window.
    """

    name: str
    networks: tuple[str, ...]  # whose parameters this phase updates
    objective: Callable[[Batch], Objective]
    frozen: tuple[str, ...] = ()  # networks that it passes through and must not train
    every: int = 1  # runs in each step whose number divides by this
    repeats: int = 1  # updates per step, each on fresh images


@dataclass(frozen=True)
class Setup:
    """What a family is created from."""

    networks: Mapping[str, nn.Module]  # on the device
    loss: Any  # what the loss spec's `create` returned
    model: ModelSpec
    latent_dim: int
    num_classes: int
    recipe: Mapping[str, OptionValue]  # every recipe field by name
    device: torch.device


class Family(Protocol):
    """How networks learn (`phases`) and are used (`sample`, `reconstruct`)."""

    def phases(self) -> Sequence[Phase]:
        """Return the phases of a step, in order."""

    def sample(self, count: int, rng: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """Return `count` generated images in the model's value range; called in inference mode."""

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the images as the model sees them again; called only where the family reconstructs."""


@dataclass(frozen=True)
class AdversarialLoss:
    """The two players' losses, on logits of shape (B,), each a mean over the batch."""

    discriminator: Callable[[Tensor, Tensor], Tensor]  # (real_logits, fake_logits) -> scalar
    generator: Callable[[Tensor, Tensor | None], Tensor]  # (fake_logits, real_logits or None) -> scalar
    relativistic: bool = False  # the generator's loss is given real_logits too
    # (discriminator, real, fake, rng) -> scalar, added to the discriminator's loss in fp32; takes per-sample norms
    penalty: Callable[[Callable[[Tensor], Tensor], Tensor, Tensor, torch.Generator], Tensor] | None = None


@dataclass(frozen=True)
class Posterior:
    """What a variational loss is given for one batch."""

    images: Tensor  # (B, channels, height, width), in [0, 1]
    logits: Tensor  # of the decoded means: sigmoid(logits) lies in [0, 1]
    mean: Tensor  # (B, latent_dim), of q(z|x)
    log_variance: Tensor  # (B, latent_dim), of q(z|x)
    latents: Tensor  # (B, latent_dim), drawn from q(z|x)


@dataclass(frozen=True)
class VariationalLoss:
    """The objective of a variational model; terms are sums over pixels or latents, means over the batch (nats)."""

    objective: Callable[[Posterior], Objective]


# ----------------------------------------------------------------------------------------------------------------------
# Measuring


@dataclass(frozen=True)
class Estimate:
    """One number with what is needed to compare it."""

    metric: str  # the name it has earned
    value: float
    standard_error: float | None  # of sampling the evaluation set; None: not known
    n: int  # how many images it rests on
    direction: Direction
    protocol: dict[str, str | int | float | bool] = field(default_factory=dict)  # numbers compare only where it agrees

    @property
    def finite(self) -> bool:
        """Whether the value is a number at all."""
        return math.isfinite(self.value)


@dataclass(frozen=True)
class Unavailable:
    """Why a metric has no value here, and what would give it one."""

    metric: str
    reason: str


class ExtractorUnavailable(Exception):
    """An extractor's weights are not at hand; the message says how to get them."""


class Extractor(Protocol):
    """A loaded extractor."""

    @property
    def name(self) -> str:
        """The name that its Fréchet distance has earned, such as 'fd-fashion-cnn'."""

    @property
    def protocol(self) -> Mapping[str, str | int | float | bool]:
        """Hash of the weights, layer, preprocessing: distances compare only where it agrees."""

    @property
    def whiten(self) -> bool:
        """Whether features are whitened by the statistics of the training images."""

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return float features (N, d) of uint8 images (N, channels, height, width), any size and 1 or 3 channels."""


class Evaluation(Protocol):
    """What a metric is given: sets of images, features computed once, and a source of randomness."""

    device: torch.device
    batch_size: int
    seed: int

    @property
    def samples(self) -> Images:
        """The generated images, uint8 as they would be saved."""

    @property
    def train(self) -> Images:
        """The training images."""

    @property
    def test(self) -> Images:
        """The held-out images."""

    @property
    def reconstructions(self) -> tuple[Tensor, Tensor] | None:
        """Held-out images and their reconstructions, float in [0, 1], or None where the model does not reconstruct."""

    def extractor(self, name: str) -> Extractor:
        """Return the loaded extractor, or raise `ExtractorUnavailable`."""

    def features(self, name: str, images: Literal["samples", "train", "test"]) -> Tensor:
        """Return float64 features (N, d) on the CPU; computed once per cell."""

    def generator(self, purpose: str) -> torch.Generator:
        """Return a CPU generator seeded for this purpose."""
