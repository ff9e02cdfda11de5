"""Two processes with half a batch each take the same step as one process with both halves.

Tolerance: gradients and weights within 1e-5 of the largest entry of their tensor; the order of summation differs.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from two_ranks import CASES, STEPS, built, plugins

from genbench.api.training import Batch, Objective
from genbench.builtin.families import adversarial, variational
from genbench.plugins.catalogue import Catalogue
from genbench.train.engine import Eager, Engine
from genbench.train.process_group import World

TOLERANCE = 1e-5
MIN_SCALE = (
    1e-2  # tensors with smaller entries only, such as gradients of biases before batch norm, are rounding errors
)


class Half(World):
    """One of two ranks, only for building."""

    size = 2

    def __init__(self, rank: int) -> None:
        self.rank = rank


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return plugins()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ranks")
    script = Path(__file__).parents[2] / "support" / "two_ranks.py"
    done = subprocess.run([sys.executable, str(script), str(folder)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return folder


def sum_of_halves(catalogue: Catalogue, case: str) -> Engine:
    """Return an engine in one process whose objective is the mean over both halves of the batch."""
    engine, other = (built(catalogue, case, Half(rank)).engine for rank in range(2))
    engine.execution.close()
    engine.execution = Eager()
    images: list[Any] = [None, None]  # the batch of this half, and the corresponding one of the other
    shared: list[Any] = [None, None]

    def both(objective: Callable[[Batch], Objective]) -> Callable[[Batch], Objective]:
        def mean(batch: Batch) -> Objective:
            if images[0] is not batch.images:
                images[:] = [batch.images, other.data.next_batch()]
            if shared[0] is not batch.shared:
                shared[:] = [batch.shared, {}]
            other_batch = Batch(*images[1], other.rng, batch.last, shared[1], batch.progress)
            first, second = objective(batch), objective(other_batch)
            terms = {name: (value + second.terms[name]) / 2 for name, value in first.terms.items()}
            return Objective((first.total + second.total) / 2, terms)

        return mean

    for player in engine.players:
        player.phase = type(player.phase)(**{**vars(player.phase), "objective": both(player.phase.objective)})
    return engine


def after_steps(engine: Engine) -> dict[str, Tensor]:
    engine.step()
    found = {
        f"gradient {n}.{k}": p.grad.clone()
        for n, m in engine.networks.items()
        for k, p in m.named_parameters()
        if p.grad is not None
    }
    for _ in range(STEPS - 1):
        engine.step()
    found |= {f"{n}.{k}": p.detach() for n, m in engine.networks.items() for k, p in m.named_parameters()}
    return found | {f"term {name}": values for name, values in engine.read_terms().items()}


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    for name, value in expected.items():
        scale = float(value.abs().max())
        assert float((found[name] - value).abs().max()) <= TOLERANCE * max(scale, MIN_SCALE), name


WITH_STATE = ("codebook of averages", "averages in the loss", "averaged weights, clipped gradients, augmentation")
EXACT = [case for case in CASES if case not in WITH_STATE]


@pytest.mark.slow
@pytest.mark.parametrize("case", EXACT)
def test_gradients_and_weights_are_those_of_the_sum_of_the_halves(
    catalogue: Catalogue, trained: Path, case: str
) -> None:
    expected = after_steps(sum_of_halves(catalogue, case))
    assert any(name.startswith("gradient ") for name in expected)
    assert_same(load_file(trained / f"{case}.safetensors"), expected)


@pytest.mark.parametrize("case", ["gan without batch norm", "vae"])
def test_without_batch_norm_the_step_equals_one_on_the_whole_batch(
    catalogue: Catalogue, trained: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a loss that is a mean over images, with the noise that the two processes draw."""
    engine = built(catalogue, case).engine
    generators = [built(catalogue, case, Half(rank)).engine.rng for rank in range(2)]

    def halves(draw: Callable[[int, torch.Generator], Tensor], count: int) -> Tensor:
        return torch.cat([draw(count // 2, generator) for generator in generators])

    latents, noise = adversarial.draw_latents, variational.Variational._noise
    monkeypatch.setattr(
        adversarial, "draw_latents", lambda setup, count, rng: halves(lambda n, g: latents(setup, n, g), count)
    )
    monkeypatch.setattr(
        variational.Variational,
        "_noise",
        lambda self, count, mean, rng: halves(lambda n, g: noise(self, n, mean, g), count),
    )
    expected = after_steps(engine)
    assert_same(load_file(trained / f"{case}.safetensors"), expected)


def test_every_case_ends_with_the_same_weights_in_both_processes(trained: Path) -> None:
    """Includes codebooks, averaged weights and adaptive augmentation; the processes compare checksums."""
    assert {path.stem for path in trained.glob("*.safetensors")} == set(CASES)


def test_running_averages_include_the_images_of_both_processes(catalogue: Catalogue, trained: Path) -> None:
    """After one step, averages in the first network to run are the mean of those of the two halves."""
    case = "batch norm, two discriminator steps"
    found = load_file(trained / f"{case}.safetensors")
    halves = []
    for rank in range(2):
        engine = built(catalogue, case, Half(rank)).engine
        engine.execution.close()
        engine.execution = Eager()
        engine.step()
        halves.append({f"{n}.{k}": b for n, m in engine.networks.items() for k, b in m.named_buffers()})
    first = next(name for name in halves[0] if name.startswith("generator") and name.endswith("running_mean"))
    mean = (halves[0][first] + halves[1][first]) / 2
    torch.testing.assert_close(found[f"buffer {first}"], mean, rtol=1e-5, atol=1e-7)
    assert not torch.allclose(halves[0][first], mean, rtol=1e-3)
