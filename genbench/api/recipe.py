"""The recipe: every training setting, under the same name in flags, TOML files and results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from genbench.api.options import (
    Option,
    OptionValue,
    describe_options,
    option,
    resolve_options,
)

AUGMENT_POLICIES = ("color", "translation", "cutout", "flip", "rotation")  # what augment_policy may name


@dataclass(frozen=True)
class Recipe:
    """One field per setting. Defaults are those of the DCGAN recipe (Radford et al. 2015)."""

    batch_size: int = option(64, "real images per update of a phase", minimum=1)
    images: int = option(60_000, "training budget: real images consumed", minimum=1)
    discriminator_steps: int = option(1, "discriminator updates per generator update, each on fresh images", minimum=1)

    optimizer: Literal["adam", "adamw", "rmsprop", "sgd"] = option("adam", "how gradients become updates")
    learning_rate: float = option(2e-4, "step size", minimum=0)
    discriminator_learning_rate: float | None = option(
        None, "step size of the discriminator where it differs (two time-scales); none: learning_rate", minimum=0
    )
    beta1: float = option(0.5, "adam, adamw: decay of the first moment", minimum=0, maximum=1)
    beta2: float = option(0.999, "adam, adamw: decay of the second moment", minimum=0, maximum=1)
    momentum: float = option(0.0, "rmsprop, sgd: momentum", minimum=0, maximum=1)
    weight_decay: float = option(0.0, "L2 penalty on the weights; with adamw, decoupled decay", minimum=0)
    clip_gradient: float = option(0.0, "greatest norm of a phase's gradient; 0: not clipped", minimum=0)

    schedule: Literal["constant", "linear", "cosine", "step"] = option("constant", "course of the learning rate")
    schedule_warmup: int = option(0, "images over which the learning rate rises from 0", minimum=0)
    schedule_start: int = option(
        0, "images before a linear or cosine decay begins; at or after the budget's end: none", minimum=0
    )
    schedule_final: float = option(
        0.0, "linear, cosine: share of the learning rate at the budget's end", minimum=0, maximum=1
    )
    schedule_every: int = option(20_000, "step: images between two drops", minimum=1)
    schedule_factor: float = option(0.5, "step: what a drop multiplies the learning rate by", minimum=0, maximum=1)

    dropout: float = option(0.0, "share of activations dropped behind each activation layer", minimum=0, maximum=0.99)
    orthogonal: float = option(
        0.0, "weight of the penalty that keeps the rows of each weight matrix orthogonal", minimum=0
    )

    augment_flip: float = option(0.0, "probability that a training image is mirrored", minimum=0, maximum=1)
    augment_rotate: float = option(0.0, "training images are turned by up to this many degrees", minimum=0, maximum=180)
    augment_scale: float = option(
        0.0, "sides of training images are multiplied by a factor within this share of 1", minimum=0, maximum=0.9
    )
    augment_crop: float = option(
        0.0, "training images are shifted by up to this share of the side, edges repeated", minimum=0, maximum=0.5
    )
    augment_discriminator: Literal["none", "diffaugment", "ada"] = option(
        "none", "differentiable augmentation of all that the discriminator sees"
    )
    augment_policy: list[str] = option(  # noqa: RUF009
        ["color", "translation", "cutout"], f"diffaugment, ada: which changes ({', '.join(AUGMENT_POLICIES)})"
    )
    augment_target: float = option(0.6, "ada: share of real images to be told, E sign D(x)", minimum=-1, maximum=1)
    augment_speed: int = option(500_000, "ada: images in which the probability can rise from 0 to 1", minimum=1)

    ema_half_life: float = option(
        0.0,
        "images after which a past weight counts half in the averaged weights that are sampled; 0: no average",
        minimum=0,
    )
    ema_ramp: float = option(
        0.05, "the half-life is at most this share of the images seen so far; 0: no ramp", minimum=0
    )
    sample_weights: Literal["averaged", "raw"] = option("averaged", "which weights are sampled, where both exist")
    sample_statistics: Literal["running", "batch"] = option(
        "running", "batch norm while sampling: running averages of training, or statistics of the sampled batch"
    )

    init_from: str = option("", "start from the weights of RUN:CELL, or of a .safetensors file; empty: from scratch")
    freeze: list[str] = option([], "patterns of parameters that are not trained, such as discriminator.0.*")  # noqa: RUF009

    evaluate_every: int = option(0, "images between evaluations while training; 0: only at the end", minimum=0)
    best_metric: str = option("", "metric by which the best weights are kept beside the last; empty: not kept")
    patience: int = option(
        0, "evaluations without a better best_metric after which training stops; 0: never", minimum=0
    )

    precision: Literal["fp32", "tf32", "bf16"] = option(
        "fp32", "fp32; tf32: matrix products and convolutions of a GPU round to TF32; bf16 by autocast"
    )
    engine: Literal["eager", "compile", "graph", "auto"] = option(
        "eager", "how a step is executed; auto: the fastest way that trains as eager does"
    )
    nproc: int = option(1, "processes on each machine that train a cell together, on a GPU each or cores", minimum=1)
    nnodes: int = option(1, "machines whose processes train a cell together; see --rdzv-endpoint", minimum=1)
    input: Literal["resident", "loader"] = option(
        "resident", "resident: the data lie on the device as uint8; loader: a DataLoader reads them from the disk cache"
    )
    loader_workers: int = option(
        0, "loader: processes that gather batches; 0: the training one itself", minimum=0, maximum=64
    )
    warmup_steps: int = option(10, "first steps that train but are not timed", minimum=0)
    samples: int = option(2_000, "images generated for the metrics", minimum=2)
    energy_seconds: float = option(5.0, "length of the pass that measures energy; 0: not measured", minimum=0)

    @property
    def settings(self) -> dict[str, OptionValue]:
        """Every field's value by name, as in flags, TOML files and results."""
        return {name: getattr(self, name) for name in RECIPE_FIELDS}

    @property
    def processes(self) -> int:
        """Number of processes that train a cell, over all machines."""
        return self.nproc * self.nnodes


RECIPE_SCHEMA: tuple[Option, ...] = describe_options(Recipe)
RECIPE_FIELDS: tuple[str, ...] = tuple(option.name for option in RECIPE_SCHEMA)

RENAMED = {"input": {"stream": "loader"}}  # old values in stored runs -> their present names


def resolve_recipe(*layers: Mapping[str, object], owner: str = "recipe") -> Recipe:
    """Return the recipe with these settings; later layers win, and fields that no layer sets keep their defaults.

    So the stored settings of an older genbench, which had fewer fields, still make a recipe. Raises `UsageError` for
    unknown fields and invalid values.
    """
    merged: dict[str, object] = {}
    for layer in layers:
        merged.update(layer)
    for name, values in RENAMED.items():
        if isinstance(held := merged.get(name), str):
            merged[name] = values.get(held, held)
    return Recipe(**resolve_options(RECIPE_SCHEMA, merged, owner))  # type: ignore[arg-type]
