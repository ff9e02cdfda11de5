"""The data of known entropy, and models that take about as many bits."""

from __future__ import annotations

import importlib.metadata
import math
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import genbench

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "benchmarks" / "likelihoods" / "gaussian_levels.py"
# Bits per dimension by which a model may miss the entropy after a sixth of the plan's training.
ALLOWED = {"vae": 0.25, "realnvp": 0.15, "glow": 0.15, "pixelcnn-pp": 0.25, "image-transformer": 0.15}


@pytest.fixture(scope="module")
def toy(request: pytest.FixtureRequest) -> dict[str, Any]:
    return runpy.run_path(str(PLUGIN), run_name="gaussian_levels_in_a_test")


def test_the_entropy_is_that_of_the_levels(toy: dict[str, Any]) -> None:
    """-E log₂ P of drawn images, P the Gaussian's mass in the cell of each level, here of one pixel and of two."""
    assert toy["entropy"](1) == pytest.approx(0.5 * math.log2(2 * math.pi * math.e * (16**2 + 8**2)))
    levels = toy["draw"](200_000, 1, torch.Generator().manual_seed(1)).double()
    normal = torch.distributions.Normal(128.0, math.hypot(16, 8))
    bits = -(normal.cdf(levels + 0.5) - normal.cdf(levels - 0.5)).log2()
    error = float(bits.std()) / math.sqrt(len(bits))
    assert float(bits.mean()) == pytest.approx(toy["entropy"](1), abs=4 * error)


def test_the_covariance_of_pixels_is_the_one_of_the_formula(toy: dict[str, Any]) -> None:
    images = toy["draw"](100_000, 2, torch.Generator().manual_seed(2)).double().flatten(1)
    expected = 16.0**2 + 8.0**2 * torch.eye(4, dtype=torch.float64)
    torch.testing.assert_close(torch.cov(images.T), expected + torch.eye(4) / 12, atol=4, rtol=0)
    determinant = torch.linalg.slogdet(2 * math.pi * math.e * expected).logabsdet
    assert toy["entropy"](4) == pytest.approx(float(determinant) / (2 * 4 * math.log(2)))


def test_the_table_in_the_docs_is_that_of_the_committed_run() -> None:
    command = [sys.executable, "benchmarks/likelihoods/entropy.py", "results/reference/likelihoods"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    documented = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    rows = [line for line in done.stdout.splitlines() if line.startswith("| `")]
    assert len(rows) == len(ALLOWED)
    for row in rows:
        assert row in documented


@pytest.mark.slow
def test_models_take_the_entropy_or_a_little_more(toy: dict[str, Any], tmp_path: Path) -> None:
    """The plan with a sixth of its images."""
    installed = {found.metadata["Name"] for found in importlib.metadata.distributions()}
    if missing := {"genbench-flows", "genbench-autoregressive"} - installed:
        pytest.skip(f"not installed: {', '.join(sorted(missing))}")
    asked = ["run", "--config", "benchmarks/plans/likelihoods.toml", "--images", "32000", "--out", str(tmp_path)]
    command = [sys.executable, "-m", "genbench", *asked]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    differences = {}
    for cell in genbench.load(tmp_path).cells:
        (found,) = [estimate for estimate in cell.estimates if estimate.metric == "bits-per-dim"]
        assert found.standard_error is not None
        differences[cell.identity.model.name] = (found.value - toy["entropy"](16), 4 * found.standard_error)
    assert set(differences) == set(ALLOWED)
    for model, (difference, error) in differences.items():
        assert -error < difference < ALLOWED[model] + error, model
