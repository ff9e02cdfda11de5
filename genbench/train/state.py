"""The training state: written to checkpoints, and kept in memory while steps are tried out.

Tensors have dotted names; numbers are stored separately. Loading a state changes existing tensors of the engine in
place, because a captured graph continues to read and write them.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from genbench.measure.accelerator import modules_in_use
from genbench.train.engine import Engine


@dataclass(frozen=True)
class TrainingState:
    """Everything that a step changes in an engine."""

    tensors: dict[str, Tensor]
    numbers: dict[str, Any]

    def copy(self) -> TrainingState:
        """Return a copy that later steps do not change."""
        return TrainingState({name: tensor.detach().clone() for name, tensor in self.tensors.items()}, self.numbers)


def read_state(engine: Engine) -> TrainingState:
    """Return the engine's current state; its tensors are not copies."""
    data_tensors, data_numbers = engine.data.state()
    tensors: dict[str, Any] = {
        "network": {name: network.state_dict() for name, network in engine.networks.items()},
        "data": data_tensors,
        "rng": {"noise": engine.rng.get_state(), **_global_rng_tensors()},
        "optimizer": {
            player.phase.name: {
                str(index): {k: v for k, v in state.items() if isinstance(v, Tensor)}
                for index, state in player.optimizer.state_dict()["state"].items()
            }
            for player in engine.players
            if player.optimizer is not None and not player.phase.optimizer
        },
    }
    if isinstance(engine.augmentation, nn.Module):
        tensors["augmentation"] = engine.augmentation.state_dict()
    if engine.average is not None:
        tensors["average"] = {name: network.state_dict() for name, network in engine.average.networks.items()}
    numbers = {
        "step_number": engine.step_number,
        "images_seen": engine.images_seen,
        "updates": {player.phase.name: player.updates for player in engine.players},
        "data": data_numbers,
        "python_rng": random.getstate(),
    }
    return TrainingState(flatten(tensors), numbers)


def load_state(engine: Engine, state: TrainingState) -> None:
    """Load a state into the engine; errors of torch and KeyError are raised if it belongs to other networks."""
    tensors, numbers = state.tensors, state.numbers
    for name, network in engine.networks.items():
        network.load_state_dict(without_prefix(tensors, f"network.{name}."))
    if engine.average is not None:
        for name, network in engine.average.networks.items():
            network.load_state_dict(without_prefix(tensors, f"average.{name}."))
    if isinstance(engine.augmentation, nn.Module):
        engine.augmentation.load_state_dict(without_prefix(tensors, "augmentation."))
    for player in engine.players:
        player.updates = numbers["updates"][player.phase.name]
        if player.optimizer is not None and not player.phase.optimizer:
            _load_optimizer(player.optimizer, without_prefix(tensors, f"optimizer.{player.phase.name}."))
    engine.data.load_state(without_prefix(tensors, "data."), numbers["data"])
    engine.rng.set_state(tensors["rng.noise"])
    engine.step_number, engine.images_seen = numbers["step_number"], numbers["images_seen"]
    _load_global_rng(tensors, numbers["python_rng"])


@contextmanager
def state_kept(engine: Engine) -> Iterator[TrainingState]:
    """Restore the engine's state on exit, also after an error; yield that state.

    Losses that have not been read yet are set aside, so that inside only the losses of the steps inside are read.
    """
    kept = read_state(engine).copy()
    engine.execution.deliver()
    losses = [(player.totals, player.terms) for player in engine.players]
    for player in engine.players:
        player.totals, player.terms = [], defaultdict(list)
    try:
        yield kept
    finally:
        thaw(engine)
        engine.execution.deliver()
        load_state(engine, kept)
        for player, (totals, terms) in zip(engine.players, losses, strict=True):
            player.totals, player.terms = totals, terms


@contextmanager
def random_states_kept() -> Iterator[None]:
    """Restore the global random states of torch, NumPy and Python on exit, also after an error."""
    tensors, python_state = flatten({"rng": _global_rng_tensors()}), random.getstate()
    try:
        yield
    finally:
        _load_global_rng(tensors, python_state)


def thaw(engine: Engine) -> None:
    """Unfreeze the parameters that an interrupted step left frozen."""
    for player in engine.players:
        for parameter in player.frozen:
            parameter.requires_grad_(True)


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Load an optimiser's state; anything else that it holds becomes 0, as before the first update."""
    saved: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, key = name.partition(".")
        saved.setdefault(int(index), {})[key] = tensor
    places = [(parameter, group) for group in optimizer.param_groups for parameter in group["params"]]
    shapes = {number: (parameter.shape, torch.Size([])) for number, (parameter, _) in enumerate(places)}
    for place, tensors_of_place in saved.items():
        for key, value in tensors_of_place.items():
            if value.shape not in shapes.get(place, ()):
                raise ValueError(f"the optimiser's state {place}.{key} does not belong to this network")
    for number, (parameter, group) in enumerate(places):
        wanted: dict[str, Tensor] = saved.get(number, {})
        if not wanted and parameter not in optimizer.state:
            continue
        held = optimizer.state[parameter]
        for key, value in held.items():
            if isinstance(value, Tensor) and key not in wanted:
                value.zero_()
        for key, value in wanted.items():
            if isinstance(held.get(key), Tensor) and held[key].shape == value.shape:
                held[key].copy_(value)
            elif key == "step":
                counted_on_device = group.get("fused") or group.get("capturable")
                held[key] = value.to(parameter.device if counted_on_device else "cpu", torch.float32, copy=True)
            elif value.shape == parameter.shape:
                # In the parameter's memory layout, such as channels_last: fused optimisers pair values by position.
                held[key] = torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)
            else:
                held[key] = value.to(parameter.device, copy=True)


def _global_rng_tensors() -> dict[str, Tensor]:
    _, keys, position, has_gauss, gauss = np.random.get_state()
    found = {
        "torch": torch.get_rng_state(),
        "numpy": torch.from_numpy(np.asarray(keys, dtype=np.int64)),
        "numpy_position": torch.tensor([int(position), int(has_gauss)]),
        "numpy_gauss": torch.tensor([float(gauss)], dtype=torch.float64),
    }
    return found | {kind: module.get_rng_state() for kind, module in modules_in_use().items()}


def _load_global_rng(tensors: Mapping[str, Tensor], python_state: Sequence[Any]) -> None:
    torch.set_rng_state(tensors["rng.torch"])
    for kind, module in modules_in_use().items():
        if f"rng.{kind}" in tensors:
            module.set_rng_state(tensors[f"rng.{kind}"])
    position, has_gauss = tensors["rng.numpy_position"].tolist()
    keys = tensors["rng.numpy"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", keys, position, has_gauss, float(tensors["rng.numpy_gauss"])))
    version, internal, gauss = python_state
    random.setstate((version, tuple(internal), gauss))


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Tensor]:
    """Return nested tensors as a flat dict with dotted names."""
    flat: dict[str, Tensor] = {}
    for name, value in tree.items():
        if isinstance(value, Tensor):
            flat[prefix + name] = value
        else:
            flat.update(flatten(value, f"{prefix}{name}."))
    return flat


def without_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names start with the prefix, with the prefix removed."""
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
