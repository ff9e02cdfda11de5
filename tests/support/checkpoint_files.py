"""Checkpoints whose numbers are changed, as a faulty disk or a careless edit might."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import safe_open


def metadata_of(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata())


def rewrite(path: Path, change: Callable[[dict[str, str]], object]) -> None:
    """Change the texts of a checkpoint; its tensors stay as they are."""
    metadata, tensors = metadata_of(path), safetensors.torch.load_file(path)
    change(metadata)
    path.write_bytes(safetensors.torch.save(tensors, metadata))


def with_numbers(path: Path, numbers: Any) -> None:
    """Write other numbers, with the checksum that belongs to them."""
    encoded = json.dumps(numbers)
    of_tensors = checksum_of_tensors(path)
    whole = f"{of_tensors}:{zlib.crc32(encoded.encode()):08x}"
    rewrite(path, lambda metadata: metadata.update(numbers=encoded, checksum=whole))


def checksum_of_tensors(path: Path) -> str:
    """Return the part of the checksum that earlier versions wrote."""
    return ":".join(metadata_of(path)["checksum"].split(":")[:2])


def numbers_of(path: Path) -> Any:
    return json.loads(metadata_of(path)["numbers"])
