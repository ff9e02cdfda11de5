"""Checkpoints: everything that training needs to go on as if it had never stopped, in one safetensors file.

Tensors are stored under dotted names; numbers and texts lie in the file's metadata as JSON, with a checksum of the
tensors. Nothing is pickled.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor, nn

from genbench.results.store import atomic_write
from genbench.train.engine import Engine
from genbench.train.state import TrainingState, flatten, load_state, read_state, under

CHECKPOINT_VERSION = "1"

_OWN = ("data.transform_rng",)  # beside what begins with `rng.`: the random numbers that each process has for itself


def save_weights(path: Path, networks: Mapping[str, nn.Module], about: Mapping[str, str]) -> None:
    """Write the networks' parameters and buffers as ``<network>.<name>``; `about` becomes the file's metadata."""
    _write(path, flatten({name: network.state_dict() for name, network in networks.items()}), dict(about))


def save_checkpoint(path: Path, engine: Engine, extra: Mapping[str, Tensor], notes: Mapping[str, Any]) -> None:
    """Write the state of training, and what the caller adds.

    Args:
        extra: further tensors by name.
        notes: further plain data.
    """
    state = read_state(engine)
    numbers = {**state.numbers, "notes": dict(notes)}
    metadata = {"version": CHECKPOINT_VERSION, "numbers": msgspec.json.encode(numbers).decode()}
    _write(path, state.tensors | flatten({"extra": extra}), metadata)


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
        load_state(engine, TrainingState(tensors, numbers))
    except (OSError, KeyError, TypeError, RuntimeError, msgspec.DecodeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    except Exception as error:  # safetensors raises its own type for a damaged header
        raise ValueError(str(error)) from error
    return under(tensors, "extra."), numbers["notes"]


def random_states(engine: Engine) -> bytes:
    """Return where this process's random numbers stand, those that it does not share with the others of its cell."""
    state = read_state(engine)
    tensors = {name: tensor for name, tensor in state.tensors.items() if name in _OWN or name.startswith("rng.")}
    return safetensors.torch.save(tensors, {"python": msgspec.json.encode(state.numbers["python_rng"]).decode()})


def load_random_states(engine: Engine, states: bytes) -> None:
    """Go on where `random_states` was called; raises ValueError where they are not of an engine built the same way."""
    try:
        size = int.from_bytes(states[:8], "little")  # of the header
        python_state = msgspec.json.decode(msgspec.json.decode(states[8 : 8 + size])["__metadata__"]["python"])
        state = read_state(engine)
        tensors = state.tensors | safetensors.torch.load(states)
        load_state(engine, TrainingState(tensors, state.numbers | {"python_rng": python_state}))
    except (KeyError, TypeError, RuntimeError, msgspec.DecodeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def weights_checksum(engine: Engine) -> str:
    """Return a checksum of all that training has changed in the networks: parameters and buffers, averages too."""
    held = {n: t for n, t in read_state(engine).tensors.items() if n.startswith(("network.", "average."))}
    return checksum({name: tensor.detach().cpu().contiguous() for name, tensor in held.items()})


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
