"""Checkpoints: everything needed to resume training exactly, in one safetensors file.

Tensors are stored under dotted names; numbers and texts are in the file's metadata as JSON, with a checksum of the
tensors and one of that JSON. Nothing is pickled. What is read is also compared with the engine that it is for: a file
that states an impossible number of steps is as damaged as one with a wrong checksum.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from genbench.results.files import atomic_write, encode_line
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
    encoded = encode_line(numbers)
    metadata = {"version": CHECKPOINT_VERSION, "numbers": encoded.decode()}
    _write(path, state.tensors | flatten({"extra": extra}), metadata, encoded)


def load_checkpoint(path: Path, engine: Engine) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Restore a checkpoint into an engine built the same way; return the caller's tensors and data.

    Raises ValueError if the file is damaged, has another version, belongs to other networks, or states numbers that no
    training with this engine reaches.
    """
    try:
        if not path.is_file():
            raise ValueError("it is not a regular file")
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        if metadata.get("version") != CHECKPOINT_VERSION:
            raise ValueError(f"version {metadata.get('version')!r}, not {CHECKPOINT_VERSION!r}")
        stored, of_tensors, encoded = metadata.get("checksum", ""), checksum(tensors), metadata["numbers"].encode()
        if not stored.startswith(of_tensors):
            raise ValueError("its tensors are not those that were written")
        if stored not in (of_tensors, of_tensors + _numbers_part(encoded)):  # earlier versions covered the tensors only
            raise ValueError("its numbers are not those that were written")
        numbers = msgspec.json.decode(encoded, type=_Numbers)
        _require_possible(numbers, engine)
        load_state(engine, TrainingState(tensors, msgspec.structs.asdict(numbers)))
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    except ValueError as error:
        if isinstance(error, msgspec.MsgspecError | UnicodeError):
            raise ValueError(f"{type(error).__name__}: {error}") from error
        raise
    except Exception as error:  # whatever torch and the generators raise for state that does not fit
        raise ValueError(f"{type(error).__name__}: {error}") from error
    return without_prefix(tensors, "extra."), numbers.notes


class _Numbers(msgspec.Struct, frozen=True):
    """The numbers of a checkpoint: those of `genbench.train.state.TrainingState`, and the caller's."""

    step_number: int
    images_seen: int
    updates: dict[str, int]
    data: dict[str, int]
    python_rng: tuple[int, list[int], float | None]
    notes: dict[str, Any]


def _require_possible(numbers: _Numbers, engine: Engine) -> None:
    """Raise ValueError unless this engine has these counts after some number of steps."""
    if numbers.step_number < 0:
        raise ValueError(f"it states a negative number of steps, {numbers.step_number}")
    images, updates = engine.counts_after(numbers.step_number)
    if (numbers.images_seen, numbers.updates) != (images, updates):
        raise ValueError(
            f"it states {numbers.images_seen:,} images and {sum(numbers.updates.values()):,} updates after "
            f"{numbers.step_number:,} steps, which are {images:,} and {sum(updates.values()):,} in this training"
        )


def _numbers_part(encoded: bytes) -> str:
    """Return what the checksum of the numbers adds to that of the tensors."""
    return f":{zlib.crc32(encoded):08x}"


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
    except Exception as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def weights_checksum(engine: Engine) -> str:
    """Return a checksum of the networks' parameters and buffers, including averaged ones."""
    held = {n: t for n, t in read_state(engine).tensors.items() if n.startswith(("network.", "average."))}
    return checksum({name: tensor.detach().cpu().contiguous() for name, tensor in held.items()})


def _write(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str], numbers: bytes | None = None) -> None:
    # Copies, because two names may share memory (tied weights), which the format rejects.
    copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    whole = checksum(copies) + ("" if numbers is None else _numbers_part(numbers))
    atomic_write(path, _with_sorted_metadata(safetensors.torch.save(copies, {**metadata, "checksum": whole})))


def _with_sorted_metadata(data: bytes) -> bytes:
    """Return a safetensors file with its metadata in the order of their names; the library writes a random order."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    encoded = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    encoded += b" " * (-len(encoded) % 8)  # the tensors begin at a multiple of eight bytes
    return len(encoded).to_bytes(8, "little") + encoded + data[8 + size :]


def checksum(tensors: Mapping[str, Tensor]) -> str:
    """Return a CRC-32 over names and bytes, in the order of the names; it detects damage, not manipulation."""
    checksum = 0
    for name in sorted(tensors):
        flat = tensors[name].reshape(-1).view(torch.uint8)
        checksum = zlib.crc32(flat.numpy().data, zlib.crc32(name.encode(), checksum))
    return f"crc32:{checksum:08x}"
