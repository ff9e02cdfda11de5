"""Feature statistics in a file format shared with pytorch-fid.

The format is an ``.npz`` with `mu` (d,) and `sigma` (d, d); pytorch-fid's files contain nothing else. Files written
here also contain the `factor` from which the distance is computed, so that it need not be recomputed, the number of
images `n`, and `spec`, a JSON text that describes the images and the extraction, which other published files lack.
"""

from __future__ import annotations

import io
import json
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
from genbench.features.stored_array import Archive, ArrayFault, Header, PickledArray, opened_archive, read_data
from genbench.results.files import atomic_write

# Tolerated deviation from a symmetric matrix without negative eigenvalues, relative to the largest entry: some programs
# store float32.
_ROUNDING = 1e-5
_MAX_FEATURES = 16_384  # their covariance takes 2 GiB
_MAX_SPEC = 1 << 22  # characters
_MAX_VALUE = 1e100  # its square is finite too
_NEEDED, _OPTIONAL = ("mu", "sigma"), ("factor", "n", "spec")

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
    mean, covariance = (_numbers(path, name, held[name]) for name in _NEEDED)
    n = _count(path, held.get("n"))
    factor = _factor(path, held.get("factor"), covariance, n)
    return StoredStatistics(Statistics(mean, factor, n), _spec(path, held.get("spec")))


def _load(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Return the arrays of statistics; others in the file are not inflated, only searched for pickles."""
    try:
        with opened_archive(path) as archive:
            missing = [name for name in _NEEDED if name not in archive.names]
            if missing:
                found = ", ".join(sorted(map(_shown, archive.names))) or "nothing"
                raise DataError(
                    f"{path} contains no {' and no '.join(missing)}, but {found}.",
                    "Statistics are an .npz with mu (d,) and sigma (d, d), as `python -m pytorch_fid --save-stats` "
                    "writes it.",
                    code="GB308",
                )
            headers = {name: archive.header(name) for name in (*_NEEDED, *_OPTIONAL) if name in archive.names}
            if any(header.dtype.hasobject for header in headers.values()) or _contains_pickle(archive, headers):
                raise PickledArray
            _check_shapes(path, headers)
            held = {}
            for name in headers:
                with archive.opened(name) as (file, header):
                    held[name] = read_data(file, header)
            return held
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.", code="GB701") from error
    except PickledArray as error:
        raise DataError(
            f"{path} contains pickled objects, which could execute arbitrary code: it was not read.",
            "Write the statistics again as plain arrays mu and sigma with numpy.savez.",
            code="GB307",
        ) from error
    except ArrayFault as error:
        raise _bad(path, str(error)) from error


def _contains_pickle(archive: Archive, known: Mapping[str, Header]) -> bool:
    """Whether one of the arrays that are not read is a pickle; other faults of theirs do not matter."""
    for name in archive.names:
        if name not in known:
            try:
                if archive.header(name).dtype.hasobject:
                    return True
            except PickledArray:
                return True
            except ArrayFault:
                continue
    return False


def _check_shapes(path: Path, headers: Mapping[str, Header]) -> None:
    """Raise `DataError` for shapes and types that do not fit together, before anything is inflated."""
    for name in ("mu", "sigma", "factor"):
        if name in headers and headers[name].dtype.kind not in "fiu":
            raise _bad(path, f"{name} is of type {headers[name].dtype}, not of real numbers")
    mean, covariance = (headers[name].shape for name in _NEEDED)
    d = mean[0] if len(mean) == 1 else 0
    if d == 0 or covariance != (d, d):
        raise _bad(path, f"mu has the shape {mean} and sigma {covariance}, not (d,), (d, d)")
    if d > _MAX_FEATURES:
        raise _bad(path, f"it has {d:,} features, more than the {_MAX_FEATURES:,} that are supported")
    factor = headers["factor"].shape if "factor" in headers else (0, d)
    if len(factor) != 2 or factor[1] != d or factor[0] > d:
        raise _bad(path, f"factor has the shape {factor}, but sigma {covariance}")
    if "n" in headers and headers["n"].shape != ():
        raise _bad(path, f"n has the shape {headers['n'].shape}, and is not a number of at least two images")
    if "spec" in headers and (headers["spec"].shape != () or headers["spec"].size > 4 * _MAX_SPEC):
        raise _bad(path, "spec is not a text of reasonable length")


def _shown(name: str) -> str:
    """Return the name of an array in a form that any terminal can show."""
    shown = name if name.isprintable() else ascii(name)[1:-1]
    return shown if len(shown) <= 40 else f"{shown[:39]}…"


def _numbers(path: Path, name: str, array: np.ndarray[Any, Any]) -> Tensor:
    numbers = torch.from_numpy(np.array(array, dtype=np.float64))  # a writable copy
    if not bool(numbers.isfinite().all()):
        raise _bad(path, f"{name} has entries that are not finite")
    if float(numbers.abs().amax() if numbers.numel() else 0) > _MAX_VALUE:
        raise _bad(path, f"{name} has entries above {_MAX_VALUE:g}, whose squares are not finite")
    return numbers


def _factor(path: Path, stored: np.ndarray[Any, Any] | None, covariance: Tensor, n: int | None) -> Tensor:
    largest = float(covariance.abs().max())
    if float((covariance - covariance.T).abs().max()) > _ROUNDING * largest:
        raise _bad(path, "sigma is not symmetric, so it is not a covariance")
    if stored is not None:
        factor = _numbers(path, "factor", stored)
        if float((factor.T @ factor - covariance).abs().max()) > _ROUNDING * largest:
            raise _bad(path, "factor and sigma do not match")
        return factor
    if float(covariance.diagonal().min()) < -_ROUNDING * largest:
        raise _bad(path, "sigma has a negative variance, so it is not a covariance")
    try:
        factor = factor_of((covariance + covariance.T) / 2, None if n is None else n - 1)
    except RuntimeError as error:  # torch's LinAlgError
        raise _bad(path, "the eigenvalues of sigma cannot be computed") from error
    if float((factor.T @ factor - covariance).abs().max()) > len(covariance) * _ROUNDING * largest:
        raise _bad(path, "sigma has negative eigenvalues, so it is not a covariance")
    return factor


def _count(path: Path, stored: np.ndarray[Any, Any] | None) -> int | None:
    if stored is None:
        return None
    if stored.dtype.kind not in "iu" or not 2 <= int(stored) < 1 << 53:
        raise _bad(path, f"n is {_shown(str(stored))}, not a number of at least two images")
    return int(stored)


def _spec(path: Path, stored: np.ndarray[Any, Any] | None) -> Spec:
    if stored is None:
        return {}
    try:
        spec = json.loads(str(stored))
    except (ValueError, RecursionError) as error:
        raise _bad(path, "spec is not JSON") from error
    if not isinstance(spec, dict):
        raise _bad(path, "spec is not a JSON object")
    if not all(isinstance(value, str | int | float | bool) for value in spec.values()):
        raise _bad(path, "spec has entries that are neither texts nor numbers")
    return spec


def _bad(path: Path, what: str) -> DataError:
    return DataError(
        f"{path} contains no valid feature statistics: {what}.", "Create it again, or use another file.", code="GB308"
    )
