"""Samples during training: which are kept, that an interruption loses none, and that training does not notice."""

from __future__ import annotations

import contextlib
import io
import itertools
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from PIL import Image
from torch import Tensor

from genbench.cell import evaluator as evaluator_module
from genbench.cell.artifacts import write_training_samples
from genbench.cell.evaluator import Evaluator
from genbench.cell.observations import MOST_FRAMES, Observations, dispensable
from genbench.cell.training_loop import Training
from genbench.data.loading import LoadedData
from genbench.measure.memory import PeakMemory
from genbench.planning.planner import make_plan
from genbench.planning.request import make_request
from genbench.plugins.catalogue import Catalogue, combine
from genbench.plugins.loader import builtin_plugins, load_plugin
from genbench.process.worker_channel import StopRequested, WorkerChannel
from genbench.results.store import RunDirectory
from genbench.train.builder import build_cell
from genbench.train.checkpoint import weights_checksum
from genbench.train.divergence import Diverged
from genbench.train.training_evidence import TrainingEvidence

CPU = torch.device("cpu")
STEPS = 80  # 40 windows, of which every fourth is followed by an observation


class Silent:
    """A channel without a supervisor, which is asked to stop after some windows."""

    def __init__(self, windows: int = 1_000_000) -> None:
        self.left = windows

    @property
    def stop_requested(self) -> bool:
        return self.left <= 0

    def progress(self, message: object) -> None:
        self.left -= 1

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: None


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return combine(map(load_plugin, builtin_plugins()))


def training(catalogue: Catalogue, folder: Path, observes: bool | None = True) -> tuple[Training, Observations]:
    """Return a training that observes, or does not, or (None) has no evaluator at all."""
    request = make_request({"models": "vae", "batch_size": 8, "set": {"vae": {"hidden": 8}}})
    (cell,) = make_plan(request, catalogue, "cpu").cells
    pixels = torch.randint(0, 256, (24, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    data = LoadedData(pixels, None, pixels, None, 0, "hash", ())
    built = build_cell(cell.identity, catalogue, data, CPU)
    observations = Observations((1, 28, 28))
    evaluator = Evaluator(
        built,
        cell.identity,
        data,
        catalogue,
        CPU,
        folder / "best",
        contextlib.nullcontext,
        observations,
        observes=bool(observes),
    )
    loop = Training(
        memory=PeakMemory(CPU),
        engine=built.engine,
        evidence=TrainingEvidence(built.setup.networks),
        total_steps=STEPS,
        warmup_steps=2,
        resume_path=folder / "cell.resume.safetensors",
        checkpoint_seconds=1_000,
        data_hash="hash",
        device=CPU,
        evaluator=None if observes is None else evaluator,
    )
    return loop, observations


def run(loop: Training, windows: int = 1_000_000) -> None:
    loop.run(cast("WorkerChannel", Silent(windows)))


def kept(*steps: int) -> Observations:
    observations = Observations((1, 2, 2))
    for step in steps:
        observations.add(step, 8 * step, torch.full((64, 1, 2, 2), step % 256, dtype=torch.uint8))
    return observations


@pytest.mark.parametrize("count", [1, MOST_FRAMES, MOST_FRAMES + 1, 100, 1000])
def test_the_first_and_the_latest_frames_are_always_kept_and_the_others_are_spread_evenly(count: int) -> None:
    observations = kept(*range(count))
    steps = [frame.step for frame in observations.frames]
    assert (steps[0], steps[-1], len(steps)) == (0, count - 1, min(count, MOST_FRAMES))
    gaps = [after - before for before, after in itertools.pairwise(steps[:-1])]  # the latest may follow at any distance
    assert max(gaps, default=1) <= 2 * min(gaps, default=1)
    pixels = next(iter(observations.state().values()))
    assert [int(frame.unique()) for frame in pixels] == [step % 256 for step in steps]  # each with its own samples


def test_the_frame_in_the_densest_place_is_dispensable() -> None:
    assert dispensable([0, 10, 11, 12, 20]) == 2
    assert dispensable([0, 1, 2, 3]) == 2
    assert dispensable([0, 1, 100]) == 1


def test_a_training_keeps_frames_from_before_the_first_step_to_the_last(catalogue: Catalogue, tmp_path: Path) -> None:
    loop, observations = training(catalogue, tmp_path)
    run(loop)
    steps = [frame.step for frame in observations.frames]
    assert (steps[0], steps[-1]) == (0, STEPS)
    assert steps[1:-1] == [window.step for window in loop.windows[3::4] if window.step < STEPS]
    assert [frame.images for frame in observations.frames] == [8 * step for step in steps]


def test_training_does_not_notice_its_observations(catalogue: Catalogue, tmp_path: Path) -> None:
    found = set()
    for observes in (True, False, None):
        torch.manual_seed(0)
        loop, _ = training(catalogue, tmp_path, observes)
        run(loop)
        found.add((weights_checksum(loop.engine), tuple(torch.rand(3).tolist())))
    assert len(found) == 1


def test_a_model_that_draws_from_the_global_generators_is_not_disturbed_at_the_ends(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, observations = training(catalogue, tmp_path)
    draw = evaluator_module.draw

    def disturbing(*arguments: Any, **named: Any) -> Any:
        torch.rand(3)
        return draw(*arguments, **named)

    monkeypatch.setattr(evaluator_module, "draw", disturbing)
    before = torch.get_rng_state()
    assert loop.evaluator is not None
    loop.evaluator.observe_end()
    assert len(observations.frames) == 1
    assert torch.equal(before, torch.get_rng_state())


def test_a_resumed_training_leaves_the_file_of_an_uninterrupted_one(catalogue: Catalogue, tmp_path: Path) -> None:
    whole, uninterrupted = training(catalogue, tmp_path)
    run(whole)
    stopped, _ = training(catalogue, tmp_path)
    with pytest.raises(StopRequested):
        run(stopped, windows=10)
    again, resumed = training(catalogue, tmp_path)
    again.resume()
    assert len(resumed.frames) == 3  # before training, and after four and eight windows
    run(again)
    records = [one.write(tmp_path / f"{n}.webp") for n, one in enumerate((uninterrupted, resumed))]
    assert records[0] is not None
    assert records[0] == records[1]


def test_frames_that_do_not_fit_are_dropped_and_the_training_resumes(catalogue: Catalogue, tmp_path: Path) -> None:
    stopped, observations = training(catalogue, tmp_path)
    observations.image_shape = (1, 8, 8)
    observations._kept = lambda pixels: pixels[:4, :, :8, :8]  # type: ignore[method-assign]  # another version
    with pytest.raises(StopRequested):
        run(stopped, windows=10)
    again, resumed = training(catalogue, tmp_path)
    again.resume()
    assert again.resumed_at_step
    assert resumed.frames == []


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("positions", lambda t: t.flip(0)),
        ("positions", lambda t: t - 1),
        ("positions", lambda t: t + 100),
        ("positions", lambda t: t[:1]),
        ("positions", lambda t: t.float()),
        ("samples", lambda t: t.float()),
        ("samples", lambda t: t[:, :, :, :1]),
        ("samples", lambda t: t[0, 0, 0]),
    ],
)
def test_impossible_frames_of_a_checkpoint_are_dropped(name: str, change: Any) -> None:
    tensors = kept(0, 4, 8).state()
    tensors = {key: change(tensor) if key.startswith(name) else tensor for key, tensor in tensors.items()}
    again = kept(0)
    again.load_state(tensors, 10)
    assert again.frames == []


def test_samples_that_are_not_finite_end_the_training_and_the_frames_before_stay(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, observations = training(catalogue, tmp_path)
    draw, calls = evaluator_module.draw, []

    def diverging(*arguments: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) > 3:
            raise Diverged("generated images contain values that are not finite")
        return draw(*arguments, **named)

    monkeypatch.setattr(evaluator_module, "draw", diverging)
    with pytest.raises(Diverged):
        run(loop)
    assert len(observations.frames) == 3
    assert loop.evaluator is not None
    loop.evaluator.observe_end()  # no error
    assert len(observations.frames) == 3


def test_what_cannot_be_written_is_a_note(tmp_path: Path) -> None:
    observations = kept(0, 1)
    (tmp_path / "samples").touch()  # instead of the folder
    written, notes = write_training_samples(RunDirectory(tmp_path), "cell", observations)
    assert written is None
    assert notes == ["the samples during training could not be written: File exists"]
    assert write_training_samples(RunDirectory(tmp_path), "cell", kept()) == (None, [])


def test_points_are_scatter_plots_over_the_training_points(tmp_path: Path) -> None:
    def points(x: int) -> Tensor:
        return torch.tensor([[x, 128]] * 64, dtype=torch.uint8).view(64, 1, 1, 2)

    observations = Observations((1, 1, 2), train_points=points(200))
    for step in (0, 1):
        observations.add(step, 8 * step, points(50 + 50 * step))
    record = observations.write(tmp_path / "points.webp")
    assert record is not None
    assert (record.columns, record.rows, len(record.frames)) == (1, 1, 2)
    with Image.open(io.BytesIO((tmp_path / "points.webp").read_bytes())) as picture:
        assert picture.size == (record.width, 2 * record.height)
        red = torch.frombuffer(bytearray(picture.convert("RGB").tobytes()), dtype=torch.uint8).view(2, 264, 264, 3)
    places = red[..., 0].float().amax(dim=1).argmax(dim=1)  # the brightest column of each frame
    assert places.tolist() == pytest.approx([54, 104], abs=3)
