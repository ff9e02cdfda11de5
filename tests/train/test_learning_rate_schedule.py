"""The learning rate at the ends and in the middle of each schedule, in closed form."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genbench.api.recipe import resolve_recipe
from genbench.train.learning_rate_schedule import learning_rate_factor, set_learning_rates


def at(images: int, budget: int = 1000, **recipe: Any) -> float:
    return learning_rate_factor(resolve_recipe(recipe))(images, budget)


def test_constant_is_one() -> None:
    assert [at(n) for n in (0, 500, 1000, 5000)] == [1.0] * 4


def test_linear() -> None:
    assert [at(n, schedule="linear") for n in (0, 250, 500, 1000, 1200)] == [1.0, 0.75, 0.5, 0.0, 0.0]
    late = {"schedule": "linear", "schedule_start": 600, "schedule_final": 0.2}
    assert [at(n, **late) for n in (0, 600, 800, 1000)] == pytest.approx([1.0, 1.0, 0.6, 0.2])


def test_cosine() -> None:
    assert [at(n, schedule="cosine") for n in (0, 500, 1000)] == pytest.approx([1.0, 0.5, 0.0])
    assert at(250, schedule="cosine", schedule_final=0.1) == pytest.approx(0.1 + 0.9 * (1 + math.sqrt(0.5)) / 2)


def test_step() -> None:
    drops = {"schedule": "step", "schedule_every": 300, "schedule_factor": 0.1}
    assert [at(n, **drops) for n in (0, 299, 300, 600, 900)] == pytest.approx([1.0, 1.0, 0.1, 0.01, 0.001])
    assert [at(n, schedule="step", schedule_every=300, schedule_factor=0.0) for n in (0, 300)] == [1.0, 0.0]


def test_the_warm_up_counts_the_steps_own_images() -> None:
    warm = {"schedule_warmup": 200, "batch_size": 50}
    assert [at(n, **warm) for n in (0, 50, 100, 150, 200)] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_the_warm_up_multiplies_a_decay() -> None:
    assert at(500, schedule="linear", schedule_warmup=1100, batch_size=50) == pytest.approx(0.5 * 0.5)


@pytest.mark.parametrize("start", [1000, 2000])
def test_there_is_no_decay_if_it_would_start_after_the_end(start: int) -> None:
    assert at(1000, schedule="linear", schedule_start=start) == 1.0


@given(
    schedule=st.sampled_from(["constant", "linear", "cosine", "step"]),
    images=st.lists(st.integers(0, 2000), min_size=2, max_size=2).map(sorted),
    start=st.integers(0, 1500),
    final=st.floats(0, 1),
    drop=st.floats(0, 1),
)
def test_a_decay_never_rises_and_stays_in_the_unit_interval(
    schedule: str, images: list[int], start: int, final: float, drop: float
) -> None:
    recipe = {
        "schedule": schedule,
        "schedule_start": start,
        "schedule_final": final,
        "schedule_every": 100,
        "schedule_factor": drop,
    }
    earlier, later = (at(n, **recipe) for n in images)
    assert 0 <= later <= earlier + 1e-12 <= 1 + 1e-12


def test_rates_are_set_from_the_base_each_time() -> None:
    optimizers = [torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr) for lr in (0.1, 0.4)]
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    for factor in (0.5, 0.25, 1.0):
        set_learning_rates(groups, [0.1, 0.4], factor)
        assert [group["lr"] for group in groups] == [0.1 * factor, 0.4 * factor]
