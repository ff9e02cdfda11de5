"""Caching weights between runs, with facts about them and a checksum."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor


@dataclass(frozen=True)
class CachedWeights:
    """Weights, and facts about them."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]
    sha256: str  # of the weights alone


def read(path: Path) -> CachedWeights | None:
    """Return the content of a file; None where it is missing or damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads(file.metadata()["genbench"])
            tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
        cached = CachedWeights(tensors, dict(about["facts"]), weights_hash(tensors))
        return cached if about["checksum"] == _checksum(cached) else None
    except (OSError, SafetensorError, ValueError, TypeError, KeyError):
        return None


def write(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> CachedWeights:
    """Store weights, and return the stored ones: where another process was faster, those that it wrote.

    A damaged file is replaced. Where writing fails, nothing is stored, and the weights are trained again next time.
    """
    made = CachedWeights(
        {name: tensors[name].contiguous() for name in sorted(tensors)}, dict(facts), weights_hash(tensors)
    )
    # One entry, because safetensors writes several in an order that changes from run to run
    about = {"genbench": json.dumps({"checksum": _checksum(made), "facts": made.facts}, sort_keys=True)}
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.stem[:8]}-") as file:
            file.write(save(made.tensors, about))
            file.flush()
            os.fsync(file.fileno())
            if (found := read(path)) is not None:
                return found
            with contextlib.suppress(FileNotFoundError):
                path.unlink()  # damaged
            try:
                os.link(file.name, path)  # unlike a rename, this fails where the file exists by now
            except FileExistsError:
                return read(path) or made
    return made


def weights_hash(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 over name, type, shape and bytes of each tensor, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name};{tensor.dtype}{tuple(tensor.shape)};".encode())
        digest.update(tensor.reshape(-1).numpy().tobytes())
    return digest.hexdigest()


def _checksum(weights: CachedWeights) -> str:
    return hashlib.sha256(f"{weights.sha256};{json.dumps(weights.facts, sort_keys=True)}".encode()).hexdigest()
