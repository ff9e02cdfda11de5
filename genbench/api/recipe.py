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
    images: int = option(60_000, "training budget in real images consumed", minimum=1)
    discriminator_steps: int = option(1, "discriminator updates per generator update, each on fresh images", minimum=1)

    optimizer: Literal["adam", "adamw", "rmsprop", "sgd"] = option("adam", "optimiser")
    learning_rate: float = option(2e-4, "learning rate", minimum=0)
    discriminator_learning_rate: float | None = option(
        None, "learning rate of the discriminator (two time-scale update rule); none: learning_rate", minimum=0
    )
    beta1: float = option(0.5, "decay rate of the first moment (adam, adamw)", minimum=0, maximum=1)
    beta2: float = option(0.999, "decay rate of the second moment (adam, adamw)", minimum=0, maximum=1)
    momentum: float = option(0.0, "momentum (rmsprop, sgd)", minimum=0, maximum=1)
    weight_decay: float = option(0.0, "L2 penalty on the weights; decoupled weight decay with adamw", minimum=0)
    clip_gradient: float = option(0.0, "largest allowed gradient norm per phase; 0: no clipping", minimum=0)

    schedule: Literal["constant", "linear", "cosine", "step"] = option("constant", "learning-rate schedule")
    schedule_warmup: int = option(0, "images over which the learning rate warms up from 0", minimum=0)
    schedule_start: int = option(
        0, "images before linear or cosine decay starts; no decay if the budget ends first", minimum=0
    )
    schedule_final: float = option(
        0.0, "fraction of the learning rate left at the end of the budget (linear, cosine)", minimum=0, maximum=1
    )
    schedule_every: int = option(20_000, "images between two drops of the learning rate (step)", minimum=1)
    schedule_factor: float = option(
        0.5, "factor that each drop multiplies the learning rate by (step)", minimum=0, maximum=1
    )

    dropout: float = option(0.0, "dropout probability after each activation layer", minimum=0, maximum=0.99)
    orthogonal: float = option(0.0, "weight of the penalty on non-orthogonal rows of each weight matrix", minimum=0)

    augment_flip: float = option(0.0, "probability of mirroring a training image", minimum=0, maximum=1)
    augment_rotate: float = option(0.0, "largest rotation of a training image, in degrees", minimum=0, maximum=180)
    augment_scale: float = option(
        0.0, "largest relative change of a training image's side length", minimum=0, maximum=0.9
    )
    augment_crop: float = option(
        0.0, "largest shift of a training image as a fraction of its side, edges repeated", minimum=0, maximum=0.5
    )
    augment_discriminator: Literal["none", "diffaugment", "ada"] = option(
        "none", "differentiable augmentation of every discriminator input"
    )
    augment_policy: list[str] = option(  # noqa: RUF009
        ["color", "translation", "cutout"], f"transformations of diffaugment and ada ({', '.join(AUGMENT_POLICIES)})"
    )
    augment_target: float = option(0.6, "target mean of sign(D(real)) (ada)", minimum=-1, maximum=1)
    augment_speed: int = option(
        500_000, "images over which the augmentation probability can rise from 0 to 1 (ada)", minimum=1
    )

    ema_half_life: float = option(
        0.0,
        "half-life, in images, of the moving average of the weights; 0: no average",
        minimum=0,
    )
    ema_ramp: float = option(
        0.05, "limit of the half-life as a fraction of the images seen so far; 0: no limit", minimum=0
    )
    sample_weights: Literal["averaged", "raw"] = option("averaged", "weights to draw samples with, if both exist")
    sample_statistics: Literal["running", "batch"] = option(
        "running", "batch-norm statistics while sampling: running averages of training, or those of the sampled batch"
    )

    init_from: str = option("", "initial weights: RUN:CELL or a .safetensors file; empty: train from scratch")
    freeze: list[str] = option([], "patterns of parameters not to train, such as 'discriminator.0.*'")  # noqa: RUF009

    evaluate_every: int = option(
        0, "images between evaluations during training; 0: evaluate only at the end", minimum=0
    )
    best_metric: str = option(
        "", "metric that selects the best weights to keep in addition to the last; empty: keep only the last"
    )
    patience: int = option(
        0, "evaluations without improvement of best_metric before training stops early; 0: never stop early", minimum=0
    )

    precision: Literal["fp32", "tf32", "bf16"] = option(
        "fp32", "numeric precision: fp32, tf32 (matrix products and convolutions on a GPU use TF32) or bf16 (autocast)"
    )
    engine: Literal["eager", "compile", "graph", "auto"] = option(
        "eager", "how a training step is executed; auto: the fastest engine that trains as eager does"
    )
    step_tuning: Literal["auto", "off"] = option(
        "auto", "auto: a long training on a CPU first times ways to execute its step that differ only in rounding"
    )
    nproc: int = option(
        1, "processes per machine that train a cell together, on one GPU each or on CPU cores", minimum=1
    )
    nnodes: int = option(1, "machines that train a cell together; see --rdzv-endpoint", minimum=1)
    input: Literal["resident", "loader"] = option(
        "resident",
        "source of training images: resident on the device as uint8, or a DataLoader that reads the disk cache",
    )
    loader_workers: int = option(
        0, "DataLoader worker processes (input loader); 0: load in the training process", minimum=0, maximum=64
    )
    warmup_steps: int = option(
        10, "initial steps that are not timed; on a GPU they go on until a second has passed; 0: none", minimum=0
    )
    samples: int = option(2_000, "images generated for the metrics", minimum=2)
    energy_seconds: float = option(5.0, "duration of the energy measurement in seconds; 0: not measured", minimum=0)

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

FAMILY_FIELDS = ("discriminator_steps", "augment_discriminator")  # act only in families that use them

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
