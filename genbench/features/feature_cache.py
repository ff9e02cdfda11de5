"""The features of datasets, cached on disk: computed once, read by all later cells and runs.

The key of an entry contains everything that features depend on: the content of the data, the split, the extractor with
its weights and preprocessing, the batch size, the kind of device, and the versions of torch and of this code. Each
entry is one file, ``<cache>/features/<extractor>-<split>-<key>``, either `.safetensors` (features, memory-mapped) or
`.npz` (their Gaussian, which pytorch-fid can read too), written atomically, with its checksum. Entries may be deleted
at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import safetensors
import torch
from safetensors.torch import save
from torch import Tensor

from genbench.api.evaluation import Extractor, Statistics
from genbench.errors import DataError
from genbench.features.statistics_file import Spec, StoredStatistics, read_statistics, write_statistics
from genbench.results.files import atomic_write

FEATURES_VERSION = 1  # increased when feature extraction or the content of an entry changes
WEIGHTS = "weights_sha256"  # the key of an extractor's protocol that identifies its network


@dataclass(frozen=True)
class FeatureStore:
    """The cache entries of one dataset on one kind of device."""

    cache: Path
    data: str  # hash of the content
    device: str  # type
    batch_size: int

    def features(self, extractor: Extractor, split: str, rows: int, compute: Callable[[], Tensor]) -> Tensor:
        """Return float32 features (rows, d), from disk or by `compute`; a failed write costs only the entry."""
        path = self._path(extractor, split, ".safetensors")
        if path is None:
            return compute()
        found = _read_features(path, rows)
        if found is not None:
            return found
        features = compute().contiguous()
        metadata = {"spec": self._spec(extractor, split), "sha256": _checksum(features)}
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(path, save({"features": features}, metadata))
        return features

    def statistics(self, extractor: Extractor, split: str, fit: Callable[[], Statistics]) -> Statistics:
        """Return the Gaussian of the features, from disk or by `fit`; a failed write costs only the entry."""
        return self.described_statistics(extractor, split, lambda: StoredStatistics(fit()), lambda _: True).statistics

    def described_statistics(
        self,
        extractor: Extractor,
        split: str,
        fit: Callable[[], StoredStatistics],
        suffices: Callable[[Spec], bool],
    ) -> StoredStatistics:
        """Return the Gaussian and facts about the images, which `fit` puts into the spec, from disk or by `fit`.

        An entry whose facts do not suffice is computed again and replaced.
        """
        path = self._path(extractor, split, ".npz")
        if path is None:
            return fit()
        with contextlib.suppress(DataError):
            stored = read_statistics(path)
            if suffices(stored.spec):
                return stored
        found = fit()
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_statistics(path, found.statistics, {**json.loads(self._spec(extractor, split)), **found.spec})
        return found

    def _path(self, extractor: Extractor, split: str, suffix: str) -> Path | None:
        """Return the path of an entry; None if the extractor does not identify its weights."""
        if WEIGHTS not in extractor.protocol:
            return None
        inputs = [self._spec(extractor, split), self.batch_size, self.device, torch.__version__, _code_hash(extractor)]
        key = hashlib.sha256(json.dumps([FEATURES_VERSION, *inputs]).encode()).hexdigest()
        name = re.sub(r"[^\w.-]", "_", extractor.name)
        return self.cache / "features" / f"{name}-{split}-{key[:24]}{suffix}"

    def _spec(self, extractor: Extractor, split: str) -> str:
        spec = {**extractor.protocol, "extractor": extractor.name, "data": self.data, "split": split}
        return json.dumps(spec, sort_keys=True, default=str)


def _read_features(path: Path, rows: int) -> Tensor | None:
    """Return the memory-mapped features; None if they are missing or damaged."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            features: Tensor = file.get_tensor("features")
            stored = (file.metadata() or {}).get("sha256")
    except (OSError, safetensors.SafetensorError):
        return None
    if features.dtype != torch.float32 or features.ndim != 2 or len(features) != rows:
        return None
    return features if _checksum(features) == stored else None


def _checksum(features: Tensor) -> str:
    return hashlib.sha256(features.numpy().data).hexdigest()


def _code_hash(extractor: Extractor) -> str:
    """Return the hash of an extractor's source file, which its author may be editing."""
    try:
        return hashlib.sha256(Path(inspect.getfile(type(extractor))).read_bytes()).hexdigest()
    except (OSError, TypeError):  # it has no source file
        return ""
