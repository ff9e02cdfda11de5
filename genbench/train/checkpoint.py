"""Checkpoints: everything needed to resume training exactly, in one safetensors file.

Tensors are stored under dotted names; numbers and texts are in the file's metadata as JSON, with a checksum of the
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
from genbench.train.state import TrainingState, flatten, load_state, read_state, without_prefix

CHECKPOINT_VERSION = "1"

_PER_PROCESS = ("data.transform_rng",)  # in addition to `rng.…`: random states that differ between processes


def save_weights(path: Path, networks: Mapping[str, nn.Module], about: Mapping[str, str]) -> None:
    """Write the networks' parameters and buffers as ``<network>.<name>``; `about` becomes the file's metadata."""
    _write(path, flatten({name: network.state_dict() for name, network in networks.items()}), dict(about))


def save_checkpoint(path: Path, engine: Engine, extra: Mapping[str, Tensor], notes: Mapping[str, Any]) -> None:
    """Write the training state and what the caller adds.

    Args:
        extra: further tensors by name.
        notes: further plain data.
    """
    state = read_state(engine)
    numbers = {**state.numbers, "notes": dict(notes)}
    metadata = {"version": CHECKPOINT_VERSION, "numbers": msgspec.json.encode(numbers).decode()}
    _write(path, state.tensors | flatten({"extra": extra}), metadata)


def load_checkpoint(path: Path, engine: Engine) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Restore a checkpoint into an engine built the same way; return the caller's tensors and data.

    Raises ValueError if the file is damaged, has another version, or belongs to other networks.
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
    return without_prefix(tensors, "extra."), numbers["notes"]


def random_states(engine: Engine) -> bytes:
    """Return the random states that differ between the processes of a cell."""
    state = read_state(engine)
    tensors = {
        name: tensor for name, tensor in state.tensors.items() if name in _PER_PROCESS or name.startswith("rng.")
    }
    return safetensors.torch.save(tensors, {"python": msgspec.json.encode(state.numbers["python_rng"]).decode()})


def load_random_states(engine: Engine, states: bytes) -> None:
    """Restore `random_states`; raise ValueError if they do not belong to an engine built the same way."""
    try:
        size = int.from_bytes(states[:8], "little")  # of the header
        python_state = msgspec.json.decode(msgspec.json.decode(states[8 : 8 + size])["__metadata__"]["python"])
        state = read_state(engine)
        tensors = state.tensors | safetensors.torch.load(states)
        load_state(engine, TrainingState(tensors, state.numbers | {"python_rng": python_state}))
    except (KeyError, TypeError, RuntimeError, msgspec.DecodeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def weights_checksum(engine: Engine) -> str:
    """Return a checksum of the networks' parameters and buffers, including averaged ones."""
    held = {n: t for n, t in read_state(engine).tensors.items() if n.startswith(("network.", "average."))}
    return checksum({name: tensor.detach().cpu().contiguous() for name, tensor in held.items()})


def _write(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    # Copies, because two names may share memory (tied weights), which the format rejects.
    copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    atomic_write(path, safetensors.torch.save(copies, {**metadata, "checksum": checksum(copies)}))


def checksum(tensors: Mapping[str, Tensor]) -> str:
    """Return a CRC-32 over names and bytes, in the order of the names; it detects damage, not manipulation."""
    checksum = 0
    for name in sorted(tensors):
        flat = tensors[name].reshape(-1).view(torch.uint8)
        checksum = zlib.crc32(flat.numpy().data, zlib.crc32(name.encode(), checksum))
    return f"crc32:{checksum:08x}"
