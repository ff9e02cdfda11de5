"""The checkpoint at the end of training: skipped if training was short, unless a stop is requested."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from checkpoint_files import numbers_of, with_numbers
from mutations import mutations

from genbench.cell.training_loop import Training
from genbench.data.loading import LoadedData
from genbench.measure.memory import PeakMemory
from genbench.planning.planner import make_plan
from genbench.planning.request import make_request
from genbench.plugins.catalogue import Catalogue, combine
from genbench.plugins.loader import builtin_plugins, load_plugin
from genbench.process.worker_channel import StopRequested, WorkerChannel
from genbench.train.builder import build_cell
from genbench.train.training_evidence import TrainingEvidence

STEPS = 3


class Silent:
    """A channel that ignores every message."""

    stop_requested = False

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: None


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return combine(map(load_plugin, builtin_plugins()))


def training(catalogue: Catalogue, path: Path, checkpoint_seconds: float) -> Training:
    request = make_request({"models": "vae", "batch_size": 8, "set": {"vae": {"hidden": 8}}})
    (cell,) = make_plan(request, catalogue, "cpu").cells
    pixels = torch.randint(0, 256, (24, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    data = LoadedData(pixels, None, pixels, None, 0, "hash", ())
    built = build_cell(cell.identity, catalogue, data, torch.device("cpu"))
    return Training(
        memory=PeakMemory(torch.device("cpu")),
        engine=built.engine,
        evidence=TrainingEvidence(built.setup.networks),
        total_steps=STEPS,
        warmup_steps=1,
        resume_path=path,
        checkpoint_seconds=checkpoint_seconds,
        data_hash="hash",
        device=torch.device("cpu"),
    )


def test_a_short_training_is_saved_only_on_a_request_to_stop(catalogue: Catalogue, tmp_path: Path) -> None:
    path = tmp_path / "cell.resume.safetensors"
    short = training(catalogue, path, checkpoint_seconds=30)
    short.run(cast("WorkerChannel", Silent()))
    assert not path.exists()
    with short.save_on_stop():
        pass
    assert not path.exists()
    with contextlib.suppress(StopRequested), short.save_on_stop():
        raise StopRequested

    again = training(catalogue, path, checkpoint_seconds=30)
    again.resume()
    assert again.resumed_at_step == again.engine.step_number == STEPS
    pairs = zip(short.engine.networks.values(), again.engine.networks.values(), strict=True)
    for ours, theirs in pairs:
        assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_a_longer_training_is_saved_at_its_end(catalogue: Catalogue, tmp_path: Path) -> None:
    path = tmp_path / "cell.resume.safetensors"
    training(catalogue, path, checkpoint_seconds=0).run(cast("WorkerChannel", Silent()))
    assert path.exists()


def test_no_number_of_a_checkpoint_is_believed_against_the_plan(catalogue: Catalogue, tmp_path: Path) -> None:
    """Each number is changed, with the right checksum: the checkpoint resumes exactly, or is a ValueError."""
    path = tmp_path / "cell.resume.safetensors"
    training(catalogue, path, checkpoint_seconds=0).run(cast("WorkerChannel", Silent()))
    again = training(catalogue, path, checkpoint_seconds=30)
    numbers = numbers_of(path)
    refused = 0
    for mutation in mutations(numbers):
        if mutation.where.startswith("python_rng.1.") or mutation.where.startswith("notes.curves."):
            continue  # any such number is possible
        with_numbers(path, mutation.document)
        again.windows = []
        try:
            again.resume()
        except ValueError:
            refused += 1
            continue
        assert again.engine.step_number == STEPS, mutation.where
        assert again.engine.images_seen == sum(window.images for window in again.windows), mutation.where
        assert [player.updates for player in again.engine.players] == [STEPS], mutation.where
        assert isinstance(again.stopped_early, bool)
    assert refused > 100
    with_numbers(path, numbers)
    again.resume()


def test_a_checkpoint_beyond_the_plan_is_refused(catalogue: Catalogue, tmp_path: Path) -> None:
    path = tmp_path / "cell.resume.safetensors"
    training(catalogue, path, checkpoint_seconds=0).run(cast("WorkerChannel", Silent()))
    shorter = training(catalogue, path, checkpoint_seconds=30)
    shorter.total_steps = STEPS - 1
    with pytest.raises(ValueError, match=r"it states 3 steps, more than the 2 of the plan"):
        shorter.resume()


def test_a_pipe_in_place_of_a_checkpoint_does_not_block(catalogue: Catalogue, tmp_path: Path) -> None:
    path = tmp_path / "cell.resume.safetensors"
    os.mkfifo(path)
    with pytest.raises(ValueError, match="not a regular file"):
        training(catalogue, path, checkpoint_seconds=30).resume()
