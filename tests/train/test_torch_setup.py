"""The settings of torch inside a step: the same wherever steps are timed or counted, and restored afterwards."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import warm
from command_line import TINY
from other_settings import other_settings

from genbench.ab.live import LiveWorker
from genbench.ab.wire import Control, Failed, Open, Opened, Prepare, Prepared, Time
from genbench.testing.step import StepBenchmark
from genbench.train.torch_setup import denormals_are_flushed, step_settings

# A model that notes, in each pass of its discriminator, the settings of torch and the layout of its images.
PROBE = """
import json, math, os, warnings
import genbench
import torch
from torch import nn


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(1, 2, 4)
        self.rest = nn.Sequential(nn.Flatten(), nn.Linear(2 * 25 * 25, 1))

    def forward(self, images):
        if self.training and "PROBE" in os.environ:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                seen = {
                    "benchmark": torch.backends.cudnn.benchmark,
                    "products": torch.get_float32_matmul_precision(),
                    "convolutions": torch.backends.cudnn.allow_tf32,
                    "denormals": bool(torch.tensor(2.0**-140) * 0.5),
                    "channels_last": self.convolution.weight.is_contiguous(memory_format=torch.channels_last),
                }
            with open(os.environ["PROBE"], "a") as file:
                file.write(json.dumps(seen) + "\\n")
        return self.rest(self.convolution(images))


def build(image_shape, latent_dim, num_classes, options):
    generator = nn.Sequential(nn.Linear(latent_dim, math.prod(image_shape)), nn.Tanh(), nn.Unflatten(1, image_shape))
    return {"generator": generator, "discriminator": Discriminator()}


@genbench.hookimpl
def genbench_models():
    yield genbench.ModelSpec(name="probe", family="adversarial", build=build, default_loss="hinge", latent_dim=4)
"""
IN_A_STEP = {
    "benchmark": True, "products": "highest", "convolutions": False, "denormals": False, "channels_last": True,
}  # fmt: skip


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    (tmp_path / "probe.py").write_text(PROBE)
    return tmp_path / "probe.py"


@pytest.fixture(autouse=True)
def begin_with_other_settings() -> Iterator[None]:
    with other_settings():
        yield


def from_run(plugin: Path, probe: Path) -> None:
    done = warm.run(*TINY, "--plugin", str(plugin), "--models", "probe", out=plugin.parent / "run", PROBE=str(probe))
    assert done.code == 0, done.err


def from_dry_run(plugin: Path, probe: Path) -> None:
    command = ("run", "--in-process", "--dry-run", *TINY, "--plugin", str(plugin), "--models", "probe")
    done = warm.command(*command, PROBE=str(probe))
    assert done.returncode == 0, done.stderr


def from_ab(plugin: Path, probe: Path) -> None:
    worker = LiveWorker()
    given: dict[str, Any] = {"models": "probe", "plugins": [str(plugin)], "profile": "smoke", "metrics": "none"}
    with contextlib.ExitStack() as stack:
        stack.callback(worker.close)
        assert isinstance(answer := worker.answer(Prepare(given=given)), Prepared), answer
        assert isinstance(answer := worker.answer(Open(cell="probe", warmup=2)), Opened), answer


def from_calibrate(plugin: Path, probe: Path) -> None:
    """Its head is slowed, and its control is timed with the cell open."""
    worker = LiveWorker()
    given: dict[str, Any] = {"models": "probe", "plugins": [str(plugin)], "profile": "smoke", "metrics": "none"}
    with contextlib.ExitStack() as stack:
        stack.callback(worker.close)
        for question in (Prepare(given=given), Open(cell="probe", warmup=2), Control(1), Time(2, slowdown=0.05)):
            answer = worker.answer(question)
            assert not isinstance(answer, Failed), answer


class Benchmark:
    """What `genbench_step` uses of the fixture of pytest-benchmark."""

    stats = None

    def __init__(self) -> None:
        self.extra_info: dict[str, object] = {}

    def pedantic(self, target: Any, rounds: int, iterations: int, warmup_rounds: int) -> None:
        for _ in range(rounds * iterations):
            target()


def from_fixture(plugin: Path, probe: Path) -> None:
    StepBenchmark(Benchmark())("probe", plugin=plugin, rounds=1, steps=2, warmup_steps=1)


@pytest.mark.parametrize("route", [from_run, from_dry_run, from_ab, from_calibrate, from_fixture])
def test_every_step_that_is_timed_or_counted_has_the_same_settings(
    route: Any, plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = tmp_path / "seen.jsonl"
    monkeypatch.setenv("PROBE", str(probe))
    route(plugin, probe)
    seen = [json.loads(line) for line in probe.read_text().splitlines()]
    assert len(seen) > 2
    assert [line for line in seen if line != IN_A_STEP] == []
    assert (torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32) == (False, True)
    assert torch.get_float32_matmul_precision() == "medium"


def test_the_settings_of_a_step_in_tf32() -> None:
    with step_settings("tf32"):
        assert torch.get_float32_matmul_precision() == "high"
        assert torch.backends.cudnn.allow_tf32
    with step_settings("bf16"):
        assert torch.get_float32_matmul_precision() == "highest"
        assert not torch.backends.cudnn.allow_tf32
        assert denormals_are_flushed()
    assert not denormals_are_flushed()
