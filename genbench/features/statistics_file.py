"""Feature statistics in a file format shared with pytorch-fid.

The format is an ``.npz`` with `mu` (d,) and `sigma` (d, d); pytorch-fid's files contain nothing else. Files written
here also contain the `factor` from which the distance is computed, so that it need not be recomputed, the number of
images `n`, and `spec`, a JSON text that describes the images and the extraction, which other published files lack.
"""

from __future__ import annotations

import contextlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genbench.api.evaluation import Statistics
from genbench.errors import DataError
from genbench.features.covariance_factor import factor_of
from genbench.results.files import atomic_write

# Tolerated deviation from a symmetric matrix without negative eigenvalues, relative to the largest entry: some programs
# store float32.
_ROUNDING = 1e-5

Spec = Mapping[str, str | int | float | bool]


@dataclass(frozen=True)
class StoredStatistics:
    """The content of a statistics file."""

    statistics: Statistics
    spec: Spec = field(default_factory=dict)  # empty in other programs' files


def write_statistics(path: Path, statistics: Statistics, spec: Spec | None = None) -> None:
    """Write a file atomically; if that fails, raise `OSError` and leave nothing behind."""
    mean, factor = statistics.mean.double().cpu(), statistics.factor.double().cpu()
    held: dict[str, Any] = {"mu": mean.numpy(), "sigma": (factor.T @ factor).numpy(), "factor": factor.numpy()}
    if statistics.n is not None:
        held["n"] = np.int64(statistics.n)
    held["spec"] = np.str_(json.dumps(dict(spec or {}), sort_keys=True))
    buffer = io.BytesIO()
    np.savez(buffer, **held)
    atomic_write(path, buffer.getvalue())


def read_statistics(path: Path) -> StoredStatistics:
    """Read a statistics file written here or by pytorch-fid.

    Raises `DataError` if the file cannot be read, contains pickled objects, lacks `mu` or `sigma`, or if these are not
    a mean and a covariance with the same number of features.
    """
    held = _load(path)
    missing = [name for name in ("mu", "sigma") if name not in held]
    if missing:
        found = ", ".join(sorted(held)) or "nothing"
        raise DataError(
            f"{path} contains no {' and no '.join(missing)}, but {found}.",
            "Statistics are an .npz with mu (d,) and sigma (d, d), as `python -m pytorch_fid --save-stats` writes it.",
        )
    mean, covariance = (_numbers(path, name, held[name]) for name in ("mu", "sigma"))
    d = len(mean) if mean.ndim == 1 else 0
    if d == 0 or covariance.shape != (d, d):
        raise _bad(path, f"mu has the shape {tuple(mean.shape)} and sigma {tuple(covariance.shape)}, not (d,), (d, d)")
    n = _count(path, held.get("n"))
    factor = _factor(path, held.get("factor"), covariance, n)
    return StoredStatistics(Statistics(mean, factor, n), _spec(path, held.get("spec")))


def _load(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    try:
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):
                raise _bad(path, "it is not an .npz, or it is truncated")
            file.seek(0)
            with contextlib.closing(np.load(file, allow_pickle=False)) as opened:
                return {name: opened[name] for name in opened.files}
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise _bad(path, str(error)) from error
        raise DataError(
            f"{path} contains pickled objects, which could execute arbitrary code: it was not read.",
            "Write the statistics again as plain arrays mu and sigma with numpy.savez.",
        ) from error
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError) as error:
        raise _bad(path, str(error) or "it is truncated") from error


def _numbers(path: Path, name: str, array: np.ndarray[Any, Any]) -> Tensor:
    if array.dtype.kind not in "fiu":
        raise _bad(path, f"{name} is of type {array.dtype}, not of real numbers")
    numbers = torch.from_numpy(np.array(array, dtype=np.float64))  # a writable copy
    if not bool(numbers.isfinite().all()):
        raise _bad(path, f"{name} has entries that are not finite")
    return numbers


def _factor(path: Path, stored: np.ndarray[Any, Any] | None, covariance: Tensor, n: int | None) -> Tensor:
    largest = float(covariance.abs().max())
    if float((covariance - covariance.T).abs().max()) > _ROUNDING * largest:
        raise _bad(path, "sigma is not symmetric, so it is not a covariance")
    if stored is not None:
        factor = _numbers(path, "factor", stored)
        if factor.ndim != 2 or factor.shape[1] != len(covariance):
            raise _bad(path, f"factor has the shape {tuple(factor.shape)}, but sigma {tuple(covariance.shape)}")
        if float((factor.T @ factor - covariance).abs().max()) > _ROUNDING * largest:
            raise _bad(path, "factor and sigma do not match")
        return factor
    if float(covariance.diagonal().min()) < -_ROUNDING * largest:
        raise _bad(path, "sigma has a negative variance, so it is not a covariance")
    factor = factor_of((covariance + covariance.T) / 2, None if n is None else n - 1)
    if float((factor.T @ factor - covariance).abs().max()) > len(covariance) * _ROUNDING * largest:
        raise _bad(path, "sigma has negative eigenvalues, so it is not a covariance")
    return factor


def _count(path: Path, stored: np.ndarray[Any, Any] | None) -> int | None:
    if stored is None:
        return None
    if stored.ndim != 0 or stored.dtype.kind not in "iu" or int(stored) < 2:
        raise _bad(path, f"n is {stored}, not a number of at least two images")
    return int(stored)


def _spec(path: Path, stored: np.ndarray[Any, Any] | None) -> Spec:
    if stored is None:
        return {}
    try:
        spec = json.loads(str(stored))
    except ValueError as error:
        raise _bad(path, "spec is not JSON") from error
    if not isinstance(spec, dict):
        raise _bad(path, "spec is not a JSON object")
    return spec


def _bad(path: Path, what: str) -> DataError:
    return DataError(f"{path} contains no valid feature statistics: {what}.", "Create it again, or use another file.")
