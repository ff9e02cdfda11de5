"""Mode coverage: perfect samples, one mode, missing modes, and their standard errors."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from genbench.api.evaluation import Estimate, Unavailable
from genbench.api.images import Images
from genbench.metrics.evaluation import CellEvaluation
from genbench.metrics.modes import kl_divergence, measure_found, measure_kl, measure_quality, modes_found, tally

MODES = 8


def images(modes: Tensor) -> Images:
    """Return 1×1 images whose grey level is the mode, 255 for none."""
    return Images(torch.where(modes < 0, 255, modes).to(torch.uint8).view(-1, 1, 1, 1))


def mode_of(pixels: Tensor) -> Tensor:
    levels = pixels.flatten().long()
    return torch.where(levels == 255, -1, levels)


def evaluation(samples: Tensor, train: Tensor | None = None, **changes: Any) -> CellEvaluation:
    train = torch.arange(800) % MODES if train is None else train
    settings: dict[str, Any] = {
        "samples": images(samples), "train": images(train), "test": images(train), "device": torch.device("cpu"),
        "extractors": {}, "mode_of": mode_of,
    }  # fmt: skip
    return CellEvaluation(**{**settings, **changes})


def measured(samples: Tensor, train: Tensor | None = None) -> tuple[Estimate, Estimate, Estimate]:
    found = [metric(evaluation(samples, train)) for metric in (measure_found, measure_kl, measure_quality)]
    assert all(isinstance(estimate, Estimate) for estimate in found), found
    return tuple(found)  # type: ignore[return-value]


def test_perfect_samples_find_every_mode_without_divergence() -> None:
    found, kl, quality = measured(torch.arange(400) % MODES)
    assert (found.value, kl.value, quality.value) == (MODES, pytest.approx(0, abs=1e-12), 1.0)
    assert (found.standard_error, quality.standard_error) == (0.0, 0.0)
    assert [e.direction for e in (found, kl, quality)] == ["higher", "lower", "higher"]
    assert found.protocol["modes"] == MODES
    assert {e.n for e in (found, kl, quality)} == {400}


def test_one_mode_alone_diverges_by_the_logarithm_of_their_number() -> None:
    found, kl, quality = measured(torch.full((400,), 3))
    assert (found.value, kl.value, quality.value) == (1, pytest.approx(math.log(MODES)), 1.0)
    assert kl.standard_error == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("missing", range(1, MODES))
def test_missing_modes_are_counted_and_diverge_in_closed_form(missing: int) -> None:
    kept = MODES - missing
    found, kl, _ = measured(torch.arange(40 * kept) % kept)
    assert (found.value, kl.value) == (kept, pytest.approx(math.log(MODES / kept)))


def test_samples_in_no_mode_lower_the_quality_and_nothing_else() -> None:
    samples = torch.cat([torch.arange(400) % MODES, torch.full((100,), -1)])
    found, kl, quality = measured(samples)
    assert (found.value, kl.value, quality.value) == (MODES, pytest.approx(0, abs=1e-12), 0.8)
    # blocks of the jackknife delete a twentieth of 500 samples: the binomial error to about its own accuracy
    assert quality.standard_error == pytest.approx(math.sqrt(0.8 * 0.2 / 500), rel=0.5)


def test_the_divergence_is_from_the_training_images_own_shares() -> None:
    train = torch.tensor([0] * 300 + [1] * 100)
    _, kl, _ = measured(torch.tensor([0] * 30 + [1] * 10), train)
    assert kl.value == pytest.approx(0, abs=1e-12)
    _, kl, _ = measured(torch.tensor([0, 1] * 20), train)
    assert kl.value == pytest.approx(0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25))


def test_modes_that_the_training_images_lack_do_not_count() -> None:
    train = torch.tensor([0, 1, -1] * 50)
    found, kl, quality = measured(torch.tensor([0, 1, 7, 7] * 10), train)
    assert (found.value, kl.value, quality.value) == (2, pytest.approx(0, abs=1e-12), 0.5)


@given(
    st.lists(st.integers(-1, MODES - 1), min_size=1, max_size=60).filter(lambda modes: max(modes) >= 0), st.randoms()
)
def test_order_does_not_matter_and_values_keep_their_bounds(modes: list[int], random: Any) -> None:
    train = torch.arange(80) % MODES
    counted = tally(torch.tensor(modes), train)
    kl = kl_divergence(counted)
    assert -1e-12 <= kl <= math.log(MODES) + 1e-12
    assert 1 <= modes_found(counted) <= MODES
    assert kl >= math.log(MODES / modes_found(counted)) - 1e-12  # evenness over the modes found is the least
    shuffled = list(modes)
    random.shuffle(shuffled)
    assert kl_divergence(tally(torch.tensor(shuffled), train)) == kl


def test_the_error_of_the_divergence_is_the_spread_over_independent_draws() -> None:
    def draw(seed: int) -> Tensor:
        shares = torch.tensor([8.0, 4, 2, 1, 1, 0, 0, 0])
        return torch.multinomial(shares, 500, replacement=True, generator=torch.Generator().manual_seed(seed))

    drawn = [measured(draw(seed))[1] for seed in range(40)]
    spread = float(torch.tensor([estimate.value for estimate in drawn]).std())
    errors = [estimate.standard_error for estimate in drawn]
    assert sum(errors) / len(errors) == pytest.approx(spread, rel=0.35)  # type: ignore[arg-type]


def test_an_unavailable_value_has_a_reason() -> None:
    unknown = evaluation(torch.arange(8), mode_of=None)
    assert measure_found(unknown) == Unavailable("modes", "the modes of this dataset are not known.")
    nowhere = evaluation(torch.full((50,), -1))
    assert measure_found(nowhere).value == 0  # type: ignore[union-attr]
    assert measure_quality(nowhere).value == 0  # type: ignore[union-attr]
    assert isinstance(measure_kl(nowhere), Unavailable)
    assert "at fault" in measure_kl(evaluation(torch.arange(8), torch.full((50,), -1))).reason  # type: ignore[union-attr]


def test_too_few_samples_have_a_value_without_an_error() -> None:
    for estimate in measured(torch.tensor([0, 1])):
        assert estimate.standard_error is None
    # without its block, nothing is left in any mode: no divergence, so no error
    assert measured(torch.tensor([0, -1, -1, -1]))[1].standard_error is None
