"""A whole run on a device that is not CUDA: nothing from the plan to the report assumes which type of device it is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from command_line import GENBENCH

from genbench.results.schema import CellResult

SCRIPT = Path(__file__).parents[1] / "support" / "run_on_other_device.py"
CELL = (
    *("run", "--in-process", "--models", "vae", "--set", "vae.hidden=16", "--profile", "smoke", "--images", "320"),
    *("--batch-size", "16", "--metrics", "fd-fashion-cnn,kd-fashion-cnn,prdc-fashion-cnn", "--ema-half-life", "100"),
)


def result(command: list[str], out: Path) -> CellResult:
    done = subprocess.run(
        [*command, *CELL, "--out", str(out)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (path,) = (out / "cells").glob("*.json")
    return msgspec.json.decode(path.read_bytes(), type=CellResult)


@pytest.mark.slow
def test_a_cell_is_trained_measured_and_counted_as_on_the_cpu(tmp_path: Path) -> None:
    found = result([sys.executable, str(SCRIPT)], tmp_path / "other")
    expected = result([*GENBENCH], tmp_path / "cpu")
    assert (found.status, found.identity.device, expected.identity.device) == ("ok", "meta", "cpu"), found.reason
    assert found.counters is not None and expected.counters is not None
    assert found.counters.host_reads == expected.counters.host_reads == 0
    assert found.flops_per_image == expected.flops_per_image
    values: dict[str, Any] = {estimate.metric: estimate.value for estimate in found.estimates}
    assert values == pytest.approx({estimate.metric: estimate.value for estimate in expected.estimates}, rel=0.02)
    assert len(values) == 6
    assert found.curves[-1].terms["autoencoder"] == pytest.approx(expected.curves[-1].terms["autoencoder"], rel=1e-3)
