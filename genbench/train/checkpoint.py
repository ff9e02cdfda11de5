"""Checkpoints: everything that training needs to go on as if it had never stopped, in one safetensors file.

Tensors are stored under dotted names; numbers and texts lie in the file's metadata as JSON, with a checksum of the
tensors. Nothing is pickled.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor, nn

from genbench.results.store import atomic_write
from genbench.train.engine import Engine

CHECKPOINT_VERSION = "1"


def save_weights(path: Path, networks: Mapping[str, nn.Module], about: Mapping[str, str]) -> None:
    """Write the networks' parameters and buffers as ``<network>.<name>``; `about` becomes the file's metadata."""
    _write(path, _flatten({name: network.state_dict() for name, network in networks.items()}), dict(about))


def save_checkpoint(path: Path, engine: Engine, extra: Mapping[str, Tensor], notes: Mapping[str, Any]) -> None:
    """Write the state of training: networks, averages, optimisers, data order, random states, and what the caller adds.

    Args:
        extra: further tensors by name.
        notes: further plain data.
    """
    data_tensors, data_numbers = engine.data.state()
    tensors: dict[str, Any] = {
        "network": {name: network.state_dict() for name, network in engine.networks.items()},
        "data": data_tensors,
        "rng": {"noise": engine.rng.get_state(), **_global_rng_tensors()},
        "extra": dict(extra),
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
        "notes": dict(notes),
    }
    _write(path, _flatten(tensors), {"version": CHECKPOINT_VERSION, "numbers": msgspec.json.encode(numbers).decode()})


def load_checkpoint(path: Path, engine: Engine) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Restore what `save_checkpoint` wrote into an engine built the same way; return the caller's tensors and data.

    Raises ValueError where the file is damaged, of another version, or of other networks.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        if metadata.get("version") != CHECKPOINT_VERSION:
            raise ValueError(f"version {metadata.get('version')!r}, not {CHECKPOINT_VERSION!r}")
        if metadata.get("checksum") != checksum(tensors):
            raise ValueError("its tensors are not those that were written")
        numbers = msgspec.json.decode(metadata["numbers"])
        for name, network in engine.networks.items():
            network.load_state_dict(_under(tensors, f"network.{name}."))
        if engine.average is not None:
            for name, network in engine.average.networks.items():
                network.load_state_dict(_under(tensors, f"average.{name}."))
        if isinstance(engine.augmentation, nn.Module):
            engine.augmentation.load_state_dict(_under(tensors, "augmentation."))
        for player in engine.players:
            player.updates = numbers["updates"][player.phase.name]
            if player.optimizer is not None and not player.phase.optimizer:
                _load_optimizer(player.optimizer, _under(tensors, f"optimizer.{player.phase.name}."))
        engine.data.load_state(_under(tensors, "data."), numbers["data"])
        engine.rng.set_state(tensors["rng.noise"])
        engine.step_number, engine.images_seen = numbers["step_number"], numbers["images_seen"]
        _load_global_rng(tensors, numbers["python_rng"])
    except (OSError, KeyError, TypeError, RuntimeError, msgspec.DecodeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    except Exception as error:  # safetensors raises its own type for a damaged header
        raise ValueError(str(error)) from error
    return _under(tensors, "extra."), numbers["notes"]


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    for parameter, held in optimizer.state.items():
        for key, value in held.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                # In the parameter's memory layout, say channels_last: fused optimisers pair values by their place.
                held[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _global_rng_tensors() -> dict[str, Tensor]:
    _, keys, position, has_gauss, gauss = np.random.get_state()
    found = {
        "torch": torch.get_rng_state(),
        "numpy": torch.from_numpy(np.asarray(keys, dtype=np.int64)),
        "numpy_position": torch.tensor([int(position), int(has_gauss)]),
        "numpy_gauss": torch.tensor([float(gauss)], dtype=torch.float64),
    }
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        found["cuda"] = torch.cuda.get_rng_state()
    return found


def _load_global_rng(tensors: Mapping[str, Tensor], python_state: list[Any]) -> None:
    torch.set_rng_state(tensors["rng.torch"])
    if "rng.cuda" in tensors and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.set_rng_state(tensors["rng.cuda"])
    position, has_gauss = tensors["rng.numpy_position"].tolist()
    keys = tensors["rng.numpy"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", keys, position, has_gauss, float(tensors["rng.numpy_gauss"])))
    version, internal, gauss = python_state
    random.setstate((version, tuple(internal), gauss))


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Tensor]:
    flat: dict[str, Tensor] = {}
    for name, value in tree.items():
        if isinstance(value, Tensor):
            flat[prefix + name] = value
        else:
            flat.update(_flatten(value, f"{prefix}{name}."))
    return flat


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _write(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    # Copies: two names may share memory (tied weights), which the format refuses.
    copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    atomic_write(path, safetensors.torch.save(copies, {**metadata, "checksum": checksum(copies)}))


def checksum(tensors: Mapping[str, Tensor]) -> str:
    """Return a CRC-32 over names and bytes, in the order of the names: tells damage, keeps nobody out."""
    checksum = 0
    for name in sorted(tensors):
        flat = tensors[name].reshape(-1).view(torch.uint8)
        checksum = zlib.crc32(flat.numpy().data, zlib.crc32(name.encode(), checksum))
    return f"crc32:{checksum:08x}"
