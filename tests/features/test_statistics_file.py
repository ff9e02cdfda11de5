"""Statistics files: exchanged with pytorch-fid; invalid Gaussians are rejected with the reason."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_fid import fid_score
from torch import Tensor

from genbench.errors import DataError
from genbench.features.statistics_file import read_statistics, write_statistics
from genbench.metrics.frechet import frechet_distance, statistics


def normal(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 1


def their_file(path: Path, **arrays: Any) -> Path:
    """A file as pytorch-fid writes it (`save_fid_stats`), or one with other arrays."""
    features = normal(200, 4).numpy()
    np.savez_compressed(path, **({"mu": features.mean(0), "sigma": np.cov(features, rowvar=False)} | arrays))
    return path


@pytest.mark.parametrize("n", [3, 200])
def test_statistics_are_read_back_bit_for_bit(tmp_path: Path, n: int) -> None:
    written, spec = statistics(normal(n, 4)), {"images": "200 of them", "weights_sha256": "abc", "grey": True}
    write_statistics(tmp_path / "s.npz", written, spec)
    found = read_statistics(tmp_path / "s.npz")
    assert found.spec == spec
    assert found.statistics.n == n
    assert torch.equal(found.statistics.mean, written.mean)
    assert torch.equal(found.statistics.factor, written.factor)
    assert [path.name for path in tmp_path.iterdir()] == ["s.npz"]


def test_files_are_exchanged_with_pytorch_fid(tmp_path: Path) -> None:
    features = normal(200, 4)
    write_statistics(tmp_path / "ours.npz", statistics(features))
    mean, covariance = fid_score.compute_statistics_of_path(str(tmp_path / "ours.npz"), None, 0, 0, "cpu")
    np.testing.assert_allclose(mean, features.mean(0).numpy(), rtol=1e-12)
    np.testing.assert_allclose(covariance, np.cov(features.numpy(), rowvar=False), rtol=1e-12, atol=1e-14)
    found = read_statistics(their_file(tmp_path / "theirs.npz"))
    assert (found.statistics.n, found.spec) == (None, {})
    assert frechet_distance(found.statistics, statistics(features)) == pytest.approx(0, abs=1e-12)


@pytest.mark.slow
def test_an_example_of_pytorch_fid_gives_its_result(tmp_path: Path) -> None:
    """Means 0 and 1 under one identity covariance of 2048 features: 2048 (tests of pytorch-fid)."""
    d = 2048
    for name, mean in (("a", np.zeros(d)), ("b", np.ones(d))):
        np.savez(tmp_path / f"{name}.npz", mu=mean, sigma=np.eye(d))
    a, b = (read_statistics(tmp_path / f"{name}.npz").statistics for name in "ab")
    assert frechet_distance(a, b) == pytest.approx(d, rel=1e-9)


def test_float32_statistics_and_singular_ones_are_read(tmp_path: Path) -> None:
    features = normal(200, 4)
    features[:, 2] = features[:, 1]
    covariance = np.cov(features.numpy(), rowvar=False).astype(np.float32)
    path = their_file(tmp_path / "s.npz", mu=features.mean(0).numpy().astype(np.float32), sigma=covariance)
    found = read_statistics(path).statistics
    assert found.mean.dtype == found.factor.dtype == torch.float64
    assert frechet_distance(found, statistics(features)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("arrays", "fault"),
    [
        ({"mu": np.zeros(3)}, r"mu has the shape \(3,\) and sigma \(4, 4\)"),
        ({"mu": np.zeros((1, 4))}, r"mu has the shape \(1, 4\)"),
        ({"sigma": np.eye(4)[:3]}, r"sigma \(3, 4\)"),
        ({"mu": np.array([0, 0, np.nan, 0])}, "mu has entries that are not finite"),
        ({"sigma": np.diag([1, np.inf, 1, 1])}, "sigma has entries that are not finite"),
        ({"mu": np.array(["a", "b", "c", "d"])}, "mu is of type <U1"),
        ({"sigma": np.triu(np.ones((4, 4)))}, "not symmetric"),
        ({"sigma": np.diag([1.0, 1, 1, -0.1])}, "negative variance"),
        ({"sigma": np.ones((4, 4)) * 2 - np.eye(4)}, "negative eigenvalues"),
        ({"n": 1}, "n is"),
        ({"n": 2.5}, "n is"),
        ({"spec": "{"}, "spec is not JSON"),
        ({"spec": "[]"}, "spec is not a JSON object"),
        ({"factor": np.eye(3)}, r"factor has the shape \(3, 3\)"),
        ({"factor": 2 * np.eye(4)}, "do not match"),
    ],
)
def test_invalid_gaussians_are_rejected(tmp_path: Path, arrays: dict[str, Any], fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        read_statistics(their_file(tmp_path / "s.npz", **arrays))


def test_missing_arrays_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", mean=np.zeros(3))
    with pytest.raises(DataError, match="contains no mu and no sigma, but mean"):
        read_statistics(tmp_path / "s.npz")
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_statistics(tmp_path / "none.npz")


class Harmful:
    """An object whose unpickling would leave a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return Path.touch, (self.trace,)


@pytest.mark.parametrize("key", ["mu", "factor", "spec", "else"])
def test_pickled_objects_are_rejected_and_never_executed(tmp_path: Path, key: str) -> None:
    harmful = np.empty((), dtype=object)
    harmful[()] = Harmful(tmp_path / "trace")
    path = their_file(tmp_path / "s.npz", **{key: harmful})
    with pytest.raises(DataError, match="contains pickled objects"):
        read_statistics(path)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.99])
def test_a_truncated_file_is_rejected(tmp_path: Path, kept: float) -> None:
    path = their_file(tmp_path / "s.npz")
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(DataError, match="truncated"):
        read_statistics(path)


def test_a_changed_byte_is_detected(tmp_path: Path) -> None:
    write_statistics(tmp_path / "s.npz", statistics(normal(50, 4)))
    content = bytearray((tmp_path / "s.npz").read_bytes())
    with zipfile.ZipFile(io.BytesIO(content)) as held:
        place = held.getinfo("factor.npy").header_offset + 250
    content[place] ^= 1
    (tmp_path / "s.npz").write_bytes(content)
    with pytest.raises(DataError, match="CRC"):
        read_statistics(tmp_path / "s.npz")


def test_the_spec_is_plain_json_in_the_file(tmp_path: Path) -> None:
    write_statistics(tmp_path / "s.npz", statistics(normal(50, 4)), {"split": "train"})
    with np.load(tmp_path / "s.npz", allow_pickle=False) as held:
        assert json.loads(str(held["spec"])) == {"split": "train"}
        assert sorted(held.files) == ["factor", "mu", "n", "sigma", "spec"]


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.write", full)
    with pytest.raises(OSError, match="No space"):
        write_statistics(tmp_path / "s.npz", statistics(normal(50, 4)))
    assert list(tmp_path.iterdir()) == []
