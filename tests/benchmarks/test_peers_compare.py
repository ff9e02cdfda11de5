"""The trainers of `benchmarks/peers` have the same networks and train alike; their speed is not tested."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

_COMPARE = Path(__file__).parents[2] / "benchmarks" / "peers" / "compare.py"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(_COMPARE), "--threads", "1", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=250)


@pytest.mark.slow
@pytest.mark.parametrize(("case", "library"), [("lightning-vae", "lightning"), ("keras-vae", "keras")])
def test_a_trainer_of_a_library_does_the_same_work(case: str, library: str, tmp_path: Path) -> None:
    pytest.importorskip(library)
    out = tmp_path / "peers.json"
    done = run(
        "--only", case, "--check-steps", "60", "--blocks", "1", "--window-seconds", "0.05", "--step-tuning", "off",
        "--out", str(out),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())["cases"][case]
    assert found["flops_per_step"][library] == pytest.approx(found["flops_per_step"]["genbench"], rel=0.01)
    difference = found["agreement"]["autoencoder"]
    assert abs(difference["difference"]) < 4 * difference["standard_error"]


@pytest.mark.slow
def test_an_example_script_and_genbench_train_the_same_vae(tmp_path: Path) -> None:
    out = tmp_path / "peers.json"
    done = run(
        "--only", "vae", "--check-steps", "60", "--blocks", "1", "--window-seconds", "0.05", "--out", str(out)
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    case = json.loads(out.read_text())["cases"]["vae"]
    assert case["parameters"] == 652_824
    plain, ours = case["training"]["plain"], case["training"]["genbench"]
    assert ours["moved"] == pytest.approx(plain["moved"], rel=0.05)
    assert ours["end"]["autoencoder"] < 0.8 * ours["begin"]["autoencoder"]
    found = case["agreement"]["autoencoder"]
    assert abs(found["difference"]) < 4 * found["standard_error"]
    assert case["flops_per_step"]["plain"] == pytest.approx(case["flops_per_step"]["genbench"], rel=0.01)
    assert len(case["windows"]["genbench"]) == len(case["windows"]["plain"]) == 2


def test_an_unknown_case_is_named() -> None:
    done = run("--only", "vea")
    assert done.returncode == 2
    assert "unknown case vea; cases: vae, pythae, gan, dcgan, lightning-vae, " in done.stderr
