"""Ways to execute a training step on a processor that compute the same up to rounding, and differ in speed.

Each `Alternatives` lists the options of one choice for a given engine, in the state that the builder leaves it in; the
first option is the default, which a tie keeps. An option can be replaced by another between any two steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from genbench.results.schema import StepChoice
from genbench.train.engine import Engine
from genbench.train.engines.onednn_linear import AVAILABLE, OneDNNLinear, linear_layers, use_onednn
from genbench.train.memory_format import MEMORY_FORMATS, format_name, has_convolutions, use_memory_format


@dataclass(frozen=True)
class Alternatives:
    """One choice in the execution of a step.

    Attributes:
        name: as it is recorded.
        options: the options for an engine, the default first; fewer than two if there is nothing to choose.
        current: the option in use.
        use: replaces the option in use; values and random numbers do not change.
    """

    name: StepChoice
    options: Callable[[Engine], list[str]]
    current: Callable[[Engine], str]
    use: Callable[[Engine, str], None]


def step_alternatives(threads: int) -> tuple[Alternatives, ...]:
    """Return the choices for steps on a processor, in the order in which they are made.

    Args:
        threads: the most that a step may use.
    """
    counts = [str(count) for count in dict.fromkeys((threads, -(-threads // 2), 1))]
    return (
        Alternatives(
            "threads",
            lambda engine: counts,
            lambda engine: str(torch.get_num_threads()),
            lambda engine, option: torch.set_num_threads(min(threads, int(option))),
        ),
        Alternatives(
            "memory_format",
            lambda engine: ["channels_last", "contiguous"] if has_convolutions(engine.networks) else [],
            lambda engine: format_name(engine.memory_format),
            _use_memory_format,
        ),
        Alternatives(
            "small_maps",
            lambda engine: ["product", "convolution"] if _small_maps(engine) else [],
            lambda engine: "product" if all(layer.as_product for layer in _small_maps(engine)) else "convolution",
            _use_small_maps,
        ),
        Alternatives(
            "linear",
            lambda engine: ["blas", "onednn"] if _linear_layers(engine) else [],
            lambda engine: "onednn" if any(isinstance(m, OneDNNLinear) for m in _linear_layers(engine)) else "blas",
            _use_linear,
        ),
        Alternatives(
            "optimizer",
            lambda engine: ["fused", "foreach"] if _implementations(engine) else [],
            lambda engine: "fused" if all(group["fused"] for group in _implementations(engine)) else "foreach",
            _use_implementation,
        ),
    )


def use_options(engine: Engine, alternatives: tuple[Alternatives, ...], chosen: Mapping[str, str]) -> dict[str, str]:
    """Use these options, and the defaults of all other choices; return what is used other than the defaults.

    An option that this engine or machine does not have, as after a move to another machine, is its default.
    """
    used: dict[str, str] = {}
    for choice in alternatives:
        options = choice.options(engine)
        wanted = chosen.get(choice.name, "")
        if len(options) < 2:
            continue
        option = wanted if wanted in options else options[0]
        if choice.current(engine) != option:
            choice.use(engine, option)
        if option != options[0]:
            used[choice.name] = option
    return used


def _use_memory_format(engine: Engine, option: str) -> None:
    use_memory_format(engine, next(value for name, value in MEMORY_FORMATS.items() if name == option))


def _small_maps(engine: Engine) -> list[nn.Module]:
    """Return the layers that can be computed as a matrix product or as a convolution."""
    averaged = engine.average.networks.values() if engine.average is not None else ()
    networks = (*engine.networks.values(), *averaged)
    return [m for network in networks for m in network.modules() if isinstance(getattr(m, "as_product", None), bool)]


def _linear_layers(engine: Engine) -> list[nn.Linear]:
    """Return the layers that oneDNN or the BLAS can compute; under autocast torch chooses itself."""
    if not AVAILABLE or engine.precision != "fp32":
        return []
    return [layer for network in engine.networks.values() for layer in linear_layers(network)]


def _use_linear(engine: Engine, option: str) -> None:
    for layer in _linear_layers(engine):
        use_onednn(layer, option == "onednn")


def _implementations(engine: Engine) -> list[dict[str, object]]:
    """Return the groups of parameters of the optimisers, if torch has a fused implementation of all of these."""
    optimizers = dict.fromkeys(player.optimizer for player in engine.players if player.optimizer is not None)
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    return groups if all(isinstance(group.get("fused"), bool) for group in groups) else []


def _use_implementation(engine: Engine, option: str) -> None:
    for group in _implementations(engine):
        group["fused"], group["foreach"] = option == "fused", option == "foreach"


def _use_small_maps(engine: Engine, option: str) -> None:
    for layer in _small_maps(engine):
        layer.as_product = option == "product"  # type: ignore[assignment]
