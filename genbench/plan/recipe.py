"""The recipe: every training setting, with the same names in flags, TOML files and results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from genbench.options import Option, OptionValue, describe_options, option, resolve_options


@dataclass(frozen=True)
class Recipe:
    """One field per setting. Defaults are those of the DCGAN recipe (Radford et al. 2015)."""

    batch_size: int = option(64, "real images per update of a phase", minimum=1)
    images: int = option(60_000, "training budget: real images consumed", minimum=1)
    learning_rate: float = option(2e-4, "Adam step size", minimum=0)
    beta1: float = option(0.5, "Adam decay of the first moment", minimum=0, maximum=1)
    beta2: float = option(0.999, "Adam decay of the second moment", minimum=0, maximum=1)
    weight_decay: float = option(0.0, "L2 penalty added to the gradients by Adam", minimum=0)
    discriminator_steps: int = option(1, "discriminator updates per generator update, each on fresh images", minimum=1)
    ema_half_life: float = option(
        0.0,
        "images after which a past weight counts half in the averaged weights that are sampled; 0: no average",
        minimum=0,
    )
    ema_ramp: float = option(
        0.05, "the half-life is at most this share of the images seen so far; 0: no ramp", minimum=0
    )
    precision: Literal["fp32", "bf16"] = option("fp32", "fp32, or bf16 by autocast")
    engine: Literal["eager"] = option("eager", "how a step is executed")
    input: Literal["resident"] = option("resident", "resident: the data lie on the device as uint8")
    warmup_steps: int = option(10, "first steps that train but are not timed", minimum=0)
    samples: int = option(2_000, "images generated for the metrics", minimum=2)


RECIPE_SCHEMA: tuple[Option, ...] = describe_options(Recipe)
RECIPE_FIELDS: tuple[str, ...] = tuple(option.name for option in RECIPE_SCHEMA)


def resolve_recipe(*layers: Mapping[str, object], owner: str = "recipe") -> dict[str, OptionValue]:
    """Return every field's value; later layers win. Unknown fields and bad values raise `UsageError`."""
    merged: dict[str, object] = {}
    for layer in layers:
        merged.update(layer)
    return resolve_options(RECIPE_SCHEMA, merged, owner)
