"""Specs: what the hooks yield. Importing them does not import torch.

Wherever a spec takes a callable it also takes a string ``"module:attribute"``, which is imported only when something
trains. A plugin that uses such strings keeps `genbench list` fast.
"""

from __future__ import annotations

import dataclasses
import importlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from genbench.api.discriminators import OUTPUT_KINDS, DiscriminatorOutput
from genbench.api.images import Shape
from genbench.api.options import Option, OptionValue, describe_options
from genbench.api.recipe import FAMILY_FIELDS
from genbench.api.restriction import Restriction
from genbench.api.shape_rule import ShapeRule
from genbench.errors import SpecError, near_miss

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from genbench.api.evaluation import Direction, Estimate, Extractor, Unavailable
    from genbench.api.images import ImageData
    from genbench.api.training import Augmentation, Family

OptionSchema: TypeAlias = type | tuple[Option, ...] | None

# Names of files begin with it; Windows reserves some words, also before a dot.
_NAME = re.compile(r"(?!(con|prn|aux|nul|com\d|lpt\d)\.)[a-z0-9][a-z0-9._-]*")
LONGEST_NAME = 50  # characters: the id of a cell, which names its files, contains the names of three specs
_LONGEST_METRIC = 2 * LONGEST_NAME + 1  # the names of metrics contain those of extractors, and name no file
_SIMPLE_TYPES: dict[str, tuple[type, ...]] = {  # annotations that every spec checks
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
    """Return the callable, importing it if it is given as ``"module:attribute"``."""
    if not isinstance(target, str):
        return target
    module, _, attribute = target.partition(":")
    found = getattr(importlib.import_module(module), attribute, None)
    if not callable(found):
        raise SpecError(f"'{target}' does not name a callable.", "Write it as 'package.module:function'.")
    return found  # type: ignore[no-any-return]


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What every spec has: a name that users type, and a one-line summary."""

    name: str
    summary: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise SpecError(
                f"{type(self).__name__} has the name {self.name!r}.",
                "Use lower-case letters, digits, '-', '_' and '.', starting with a letter or digit, and not "
                "with 'con.', 'nul.' or another name that Windows reserves.",
            )
        longest = _LONGEST_METRIC if isinstance(self, MetricSpec) else LONGEST_NAME
        if len(self.name) > longest:
            raise SpecError(
                f"{type(self).__name__} '{self.name[:20]}…' has a name of {len(self.name)} characters.",
                f"Names have at most {longest}, because the names of result files contain them.",
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

    def _require_restrictions(self, schema: Sequence[Option] = ()) -> None:
        """Check `restrictions`, a field of the specs of models, losses and families; `schema` is their options."""
        restrictions = self.restrictions  # type: ignore[attr-defined]
        well_formed = isinstance(restrictions, list | tuple) and all(isinstance(r, Restriction) for r in restrictions)
        self._require(well_formed, f"restrictions must be a tuple of genbench.Restriction, not {restrictions!r}.")
        object.__setattr__(self, "restrictions", tuple(restrictions))
        own = [option.name for option in schema]
        for restriction in restrictions:
            unknown = set(restriction.options) - set(own)
            self._require(
                not unknown,
                f"the restriction on '{restriction.setting}' depends on the unknown option "
                f"'{min(unknown, default='')}'.{near_miss(min(unknown, default=''), own)}",
            )

    def _require_names(self, name: str, value: object) -> tuple[str, ...]:
        names = isinstance(value, Sequence) and all(isinstance(part, str) for part in value)
        self._require(names and not isinstance(value, str), f"{name} must be a tuple of names, not {value!r}.")
        return tuple(cast("Sequence[str]", value))

    def _require_target(self, name: str) -> None:
        target = getattr(self, name)
        well_formed = callable(target) or (isinstance(target, str) and bool(re.fullmatch(r"[\w.]+:\w+", target)))
        self._require(well_formed, f"{name} must be a callable or 'module:attribute', not {target!r}.")


@dataclass(frozen=True, kw_only=True)
class ConfigurableSpec(Spec):
    """A spec with options: a frozen dataclass whose fields are declared with `genbench.option`."""

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
        """Return an instance of the author's options dataclass with checked values (None if it has no options)."""
        return self.options(**values) if isinstance(self.options, type) else None


@dataclass(frozen=True, kw_only=True)
class ModelSpec(ConfigurableSpec):
    """Named networks of one family.

    `build(image_shape, latent_dim, num_classes, options)` returns the networks that the family names. It is called
    after seeding, on the CPU, with the shape of the dataset's images. The argument `latent_dim` is the number of values
    of an image if that of the spec is None, and otherwise the spec's or what users set. `options` is an instance of the
    spec's options dataclass (None if it has none).
    """

    family: str  # 'adversarial', 'variational', or a plugin's
    build: Callable[..., Mapping[str, nn.Module]] | str
    default_loss: str  # a loss of the same family
    image_shapes: tuple[Shape, ...] | ShapeRule | None = None  # the shapes that `build` accepts; None: any
    value_range: tuple[float, float] = (-1.0, 1.0)  # of the images that the networks accept and return
    output: Literal["images", "logits"] = "images"  # 'logits': images in [0, 1] are the sigmoid of the output
    # Default, which users change with --set NAME.latent_dim=…; None: as many as an image has values, as in a flow
    latent_dim: int | None = 100
    prior: Literal["normal", "uniform"] = "normal"  # of the latents: N(0, 1) or U(-1, 1)
    recipe: Mapping[str, OptionValue] = field(default_factory=dict)  # recipe defaults that this model overrides
    conditional: bool = False  # networks receive labels as their last argument
    discriminator_output: DiscriminatorOutput | Literal[""] = ""  # '': 'logits' or 'class-logits', whichever it returns
    restrictions: tuple[Restriction, ...] = ()  # settings that it does not work with
    paper: str = ""
    orthogonal: tuple[str, ...] = ()  # the networks that the recipe's `orthogonal` applies to; empty: all

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(bool(self.family), "family must be named.")
        self._require_target("build")
        self._require(bool(self.default_loss), "default_loss must be named.")
        if self.image_shapes is not None and not isinstance(self.image_shapes, ShapeRule):
            some = isinstance(self.image_shapes, Sequence) and len(self.image_shapes) > 0
            self._require(
                some, f"image_shapes must be a list of shapes, a ShapeRule, or None for any, not {self.image_shapes!r}."
            )
            shapes = tuple(self._require_shape("each of image_shapes", shape) for shape in self.image_shapes)
            object.__setattr__(self, "image_shapes", shapes)
        self._require(_is_range(self.value_range), f"value_range must be (low, high), not {self.value_range!r}.")
        low_high = (float(self.value_range[0]), float(self.value_range[1]))
        object.__setattr__(self, "value_range", low_high)
        self._require(self.output in ("images", "logits"), f"output must be 'images' or 'logits', not {self.output!r}.")
        if self.output == "logits":
            self._require(low_high == (0.0, 1.0), "output='logits' requires value_range (0, 1).")
        positive = self.latent_dim is None or self.latent_dim > 0
        self._require(positive, f"latent_dim must be a positive integer or None, not {self.latent_dim}.")
        kinds = ", ".join(map(repr, OUTPUT_KINDS))
        self._require(
            self.discriminator_output in ("", *OUTPUT_KINDS),
            f"discriminator_output must be one of {kinds}, not {self.discriminator_output!r}.",
        )
        self._require(self.prior in ("normal", "uniform"), f"prior must be 'normal' or 'uniform', not {self.prior!r}.")
        object.__setattr__(self, "orthogonal", self._require_names("orthogonal", self.orthogonal))
        self._require_recipe(self.recipe)
        self._require_restrictions(self.option_schema)

    def default_latent_dim(self, image_shape: Shape) -> int:
        """Return the number of latents for images of this shape, unless users set another."""
        return math.prod(image_shape) if self.latent_dim is None else self.latent_dim


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
    recipe: Mapping[str, OptionValue] = field(default_factory=dict)  # recipe defaults that this loss overrides
    # What it takes of an adversarial model; empty: all kinds with logits, which are all that it is given
    discriminator_outputs: tuple[DiscriminatorOutput, ...] = ()
    restrictions: tuple[Restriction, ...] = ()  # settings that it does not work with

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(bool(self.family), "family must be named.")
        self._require_target("create")
        self._require_recipe(self.recipe)
        taken = self._require_names("discriminator_outputs", self.discriminator_outputs)
        unknown = [kind for kind in taken if kind not in OUTPUT_KINDS]
        self._require(
            not unknown,
            f"discriminator_outputs has the unknown kind {unknown[:1]}; the kinds are {', '.join(OUTPUT_KINDS)}.",
        )
        object.__setattr__(self, "discriminator_outputs", taken)
        self._require_restrictions(self.option_schema)


@dataclass(frozen=True, kw_only=True)
class DatasetSpec(ConfigurableSpec):
    """Images and labels.

    `load(options, cache)` returns an `ImageData` of uint8 pixels; `cache` is a directory for downloads. With
    `signature`, what `load` returned is cached on disk, memory-mapped, and reused as long as the signature stays the
    same, such as names, sizes and times of the files. Computing it must be fast. If it is empty, nothing is cached.
    Options named `size` and `channels` change the declared `image_shape`. With `argument`, the text after the colon in
    ``name:text`` becomes the value of that option (``folder:photos``); it must not be empty.
    """

    image_shape: Shape
    load: Callable[..., ImageData] | str
    classes: int | None = None  # number of classes; None: unlabelled, or known only after loading
    train_size: int | None = None  # None: known only after loading
    argument: str | None = None
    licence: str = ""
    source: str = ""  # where it comes from
    synthetic: bool = False  # not real data: useful for throughput only, and marked in every table
    signature: Callable[..., str] | str | None = None  # (options, cache) -> text that changes if the sources do
    points: bool = False  # each image is a point whose values are coordinates; shown as a scatter plot
    modes: int | None = None  # number of modes of the data; None: no known modes
    mode_of: Callable[[Tensor], Tensor] | str | None = None  # uint8 pixels (N, c, h, w) -> int64 (N,), -1 for none
    factors: tuple[str, ...] = ()  # known factors of variation: the names in `ImageData.factors`

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_target("load")
        object.__setattr__(self, "image_shape", self._require_shape("image_shape", self.image_shape))
        self._require((self.modes is None) == (self.mode_of is None), "modes and mode_of must be given together.")
        for target in ("mode_of", "signature"):
            if getattr(self, target) is not None:
                self._require_target(target)
        object.__setattr__(self, "factors", self._require_names("factors", self.factors))
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
class SamplerSpec(ConfigurableSpec):
    """A way in which a family draws images, besides its own `sample`: users name it with `--samplers`.

    `sample_with(sampler: Sampler, count, rng, labels)` of the family draws with it; see `SamplerFamily`.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.option_schema


@dataclass(frozen=True, kw_only=True)
class FamilySpec(Spec):
    """How networks are trained and used. `create(setup: Setup)` returns a `Family`."""

    create: Callable[[Setup], Family] | str
    networks: tuple[str, ...] = ()  # the names that a model's `build` must return
    reconstructs: bool = False  # its models map images to images
    bounds: bool = False  # it is a `LikelihoodFamily`: its models bound the likelihood of images
    exact: bool = False  # it is an `ExactLikelihoodFamily`: its models compute the likelihood of images
    averaged: tuple[str, ...] = ()  # the networks that generate images, which an EMA averages; empty: all
    dropout: tuple[str, ...] = ()  # the networks that the recipe's dropout applies to; empty: all
    samplers: tuple[SamplerSpec, ...] = ()  # it is a `SamplerFamily`: further ways of drawing images
    restrictions: tuple[Restriction, ...] = ()  # settings that it does not work with
    # Of 'discriminator_steps' and 'augment_discriminator', those that it uses, so that a cell notes a setting that does
    # nothing; None: unknown
    uses: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_target("create")
        samplers = self.samplers
        well_formed = isinstance(samplers, list | tuple) and all(isinstance(one, SamplerSpec) for one in samplers)
        self._require(well_formed, f"samplers must be a tuple of genbench.SamplerSpec, not {samplers!r}.")
        object.__setattr__(self, "samplers", tuple(samplers))
        names = [sampler.name for sampler in samplers]
        self._require(len(set(names)) == len(names), f"two samplers have the same name: {', '.join(names)}.")
        for field_name in ("networks", "averaged", "dropout", *(() if self.uses is None else ("uses",))):
            object.__setattr__(self, field_name, self._require_names(field_name, getattr(self, field_name)))
        for name in self.uses or ():
            self._require(
                name in FAMILY_FIELDS,
                f"uses names '{name}', which is not one of {', '.join(FAMILY_FIELDS)}.{near_miss(name, FAMILY_FIELDS)}",
            )
        self._require(not (self.bounds and self.exact), "a likelihood is either bounded (bounds) or exact, not both.")
        self._require_restrictions()


@dataclass(frozen=True, kw_only=True)
class MetricSpec(ConfigurableSpec):
    """One number about a trained model, or several that are measured together.

    `measure(evaluation: Evaluation)` returns an `Estimate` or `Unavailable` with the spec's name and direction. With
    the direction 'each' it returns a sequence of them, with the names and directions in `estimates`; a name may go on
    after a '-', as in ``precision-k5`` for ``precision``. If `options` are declared, an instance of them is the last
    argument.

    With `per_extractor`, the spec is a measurement of features: every extractor adds a metric ``<name>-<extractor>``,
    and `measure(evaluation, extractor)`, or `measure(evaluation, extractor, options)`, receives the extractor's name.
    Its estimates may be named without the extractor, which is then appended.
    """

    measure: Callable[..., Estimate | Unavailable | Sequence[Estimate | Unavailable]] | str
    direction: Direction | Literal["each"]
    estimates: Mapping[str, Direction] = field(default_factory=dict)  # with 'each': what it yields; empty: not declared
    per_extractor: bool = False  # measured once for each extractor
    needs_classes: bool = False  # with `per_extractor`: only for extractors that classify
    needs_reconstruction: bool = False  # measured only for families that reconstruct
    needs_pictures: bool = False  # not measured on datasets of points
    needs_modes: bool = False  # measured only on datasets with modes
    needs_bound: bool = False  # measured only for families with a likelihood; selected by `--metrics likelihood`
    needs_factors: bool = False  # measured only on datasets with known factors of variation
    default: bool = True  # measured if --metrics is not given; with `per_extractor`, for every default extractor

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_target("measure")
        self._require(
            self.direction in ("lower", "higher", "each"),
            f"direction {self.direction!r} is not 'lower', 'higher' or 'each'.",
        )
        self._require_estimates()
        self._require(self.per_extractor or not self.needs_classes, "needs_classes concerns extractors: per_extractor.")
        _ = self.option_schema

    def _require_estimates(self) -> None:
        well_formed = isinstance(self.estimates, Mapping) and all(
            isinstance(name, str) and _NAME.fullmatch(name) and direction in ("lower", "higher")
            for name, direction in self.estimates.items()
        )
        self._require(well_formed, f"estimates must map names to 'lower' or 'higher', not {self.estimates!r}.")
        object.__setattr__(self, "estimates", dict(self.estimates))
        self._require(not self.estimates or self.direction == "each", "estimates are for the direction 'each'.")
        unnamed = self.per_extractor and self.direction == "each" and not self.estimates
        self._require(not unnamed, "with per_extractor and the direction 'each', estimates must be declared.")


@dataclass(frozen=True, kw_only=True)
class ExtractorSpec(Spec):
    """A frozen network that maps images to features. `load(device)` returns an `Extractor`.

    Every extractor adds a Fréchet distance, the metric ``fd-<name>``, and other metrics of features. `load` raises
    `ExtractorUnavailable`, with the remedy, if its weights are missing. With `needs_data` it is called as
    `load(device, data: ExtractorData)`.
    """

    load: Callable[..., Extractor] | str
    metric: str = ""  # name of its Fréchet distance; empty: fd-<name>. 'fid…' is for the 2015 Inception weights
    default: bool = True  # its distance is measured if --metrics is not given
    made_for: tuple[str, ...] = ()  # with `default`: only on these datasets, and no other distance then; empty: on all
    classifies: bool = False  # it is a `Classifier`
    needs_data: bool = False  # it trains on the cell's dataset

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_target("load")
        object.__setattr__(self, "metric", self.metric or f"fd-{self.name}")
        object.__setattr__(self, "made_for", self._require_names("made_for", self.made_for))
        self._require(
            self.metric == "fid" or self.metric.startswith(("fid-", "fd-")), f"metric '{self.metric}' is not 'fd-…'."
        )


@dataclass(frozen=True, kw_only=True)
class ReporterSpec(ConfigurableSpec):
    """A reporter: it forwards the events of a run to a tracker. Used only if named in `--reporters`.

    `create(run: RunFacts, options)` returns an object with some of the methods `run_started`, `cell_started`,
    `window_finished`, `evaluated`, `cell_finished` and `run_finished`, each of which takes the record of that name in
    `genbench.api.events`. It runs in its own process, which is idle while a window is timed, unless `window_finished`
    takes longer than a second or a thread is left running. `create` raises `ReporterUnavailable`, with the cause and
    the remedy, if something is missing; this ends the run before anything is trained. Any other failure of a reporter
    only causes a warning.
    """

    create: Callable[..., Any] | str

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_target("create")
        _ = self.option_schema


@dataclass(frozen=True, kw_only=True)
class ExecutorSpec(ConfigurableSpec):
    """An executor: where the cells of a run are executed. Used only if named by `--executor`.

    `create(setup: ExecutorSetup, options)` returns an `Executor`. It runs in its own process. It raises
    `ExecutorUnavailable`, with the cause and the remedy, if its engine is missing or cannot be reached; this ends the
    run before anything is submitted.
    """

    create: Callable[..., Any] | str

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_target("create")
        _ = self.option_schema


@dataclass(frozen=True)
class Setup:
    """What a family receives when it is created."""

    networks: Mapping[str, nn.Module]  # on the device; also `loss`, if the loss has parameters
    loss: Any  # what the loss spec's `create` returned
    model: ModelSpec
    latent_dim: int
    num_classes: int
    recipe: Mapping[str, OptionValue]  # every recipe field by name
    device: torch.device
    train_size: int = 0  # training images
    image_shape: Shape = (0, 0, 0)  # of the dataset's images
    augmentation: Augmentation | None = None  # of the discriminator's inputs; None: none
