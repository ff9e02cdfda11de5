"""Likelihood metrics: bits of known models, inequalities, active and inactive units."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from genbench.api.evaluation import Estimate, Unavailable
from genbench.api.images import Images
from genbench.api.training import Likelihood, LikelihoodBound, LogLikelihood
from genbench.errors import SpecError
from genbench.metrics import active_units, likelihood, mig
from genbench.metrics.evaluation import CellEvaluation

DISCRETE = Likelihood("logistic", "discrete")
PIXELS = torch.zeros(50, 3, 4, 4, dtype=torch.uint8)


def bound(log_weights: Tensor, means: Tensor | None = None) -> LikelihoodBound:
    images = log_weights.shape[1]
    return LikelihoodBound(
        log_weights,
        torch.full((images,), 7.0),
        torch.arange(images) * 1.0,
        torch.zeros(images, 2) if means is None else means,
    )


def evaluation(found: LikelihoodBound | None, kind: Likelihood = DISCRETE, **changes: Any) -> CellEvaluation:
    bounds = None if found is None else (kind, lambda draws, count: found)
    settings: dict[str, Any] = {
        "samples": Images(PIXELS), "train": Images(PIXELS), "test": Images(PIXELS), "device": torch.device("cpu")
    }  # fmt: skip
    return CellEvaluation(**settings, extractors={}, bounds=bounds, **changes)


def measured(measure: Callable[[Any], Any], *arguments: Any, **settings: Any) -> Estimate:
    found = measure(evaluation(*arguments, **settings))
    assert isinstance(found, Estimate), found
    return found


log_weights = st.lists(st.lists(st.floats(-1e4, 1e4), min_size=3, max_size=3), min_size=1, max_size=8).map(
    lambda rows: torch.tensor(rows, dtype=torch.float64)
)


@given(log_weights)
def test_the_importance_weighted_bound_lies_between_the_mean_and_the_greatest_log_weight(weights: Tensor) -> None:
    found = likelihood.importance_weighted(bound(weights))
    slack = 1e-9 * weights.abs().amax(0) + 1e-12
    assert bool((likelihood.elbo(bound(weights)) <= found + slack).all())
    assert bool((found <= weights.amax(0) + slack).all())


@given(log_weights, st.floats(-1e3, 1e3))
def test_a_constant_factor_moves_every_bound_by_its_logarithm(weights: Tensor, logarithm: float) -> None:
    for function in (likelihood.elbo, likelihood.importance_weighted):
        moved = function(bound(weights + logarithm)) - function(bound(weights))
        torch.testing.assert_close(moved, torch.full_like(moved, logarithm), atol=1e-8, rtol=1e-8)


def test_two_weights_by_hand() -> None:
    weights = torch.tensor([[math.log(1.0)], [math.log(3.0)]], dtype=torch.float64)
    assert float(likelihood.importance_weighted(bound(weights))) == pytest.approx(math.log(2.0))
    assert float(likelihood.elbo(bound(weights))) == pytest.approx(math.log(3.0) / 2)


def test_a_uniform_model_takes_eight_bits() -> None:
    uniform = torch.full((5, 50), -PIXELS[0].numel() * math.log(256), dtype=torch.float64)
    found = measured(likelihood.measure_bits_per_dim, bound(uniform))
    assert found.value == pytest.approx(8.0, abs=1e-12)
    assert found.direction == "lower"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Likelihood("gaussian", "density"), "not of 256 levels"),
        (Likelihood("bernoulli", "cross-entropy"), "grey pixels is not a likelihood"),
    ],
)
def test_only_a_likelihood_of_levels_has_bits(kind: Likelihood, reason: str) -> None:
    found = likelihood.measure_bits_per_dim(evaluation(bound(torch.zeros(5, 50)), kind))
    assert isinstance(found, Unavailable)
    assert reason in found.reason
    assert found.metric == "bits-per-dim"


MEASURES = {
    "elbo": (likelihood.measure_elbo, "higher"),
    "rate": (likelihood.measure_rate, "lower"),
    "distortion": (likelihood.measure_distortion, "lower"),
    "iwae-k64": (likelihood.measure_iwae, "higher"),
    "bits-per-dim": (likelihood.measure_bits_per_dim, "lower"),
}


RANDOM = torch.randn(64, 50, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", MEASURES)
def test_each_estimate_states_its_likelihood_and_number_of_images(name: str) -> None:
    measure, direction = MEASURES[name]
    found = measured(measure, bound(RANDOM - 100))
    assert (found.metric, found.direction, found.n) == (name, direction, 50)
    stated = "logistic (discrete)" if name in ("rate", "distortion") else "256 levels"
    assert found.protocol["likelihood"] == stated


def computed(likelihood: Likelihood, exact: bool = True) -> CellEvaluation:
    return evaluation(None).with_samples(
        Images(PIXELS), likelihoods=lambda draws, count: LogLikelihood(RANDOM - 100, likelihood, exact)
    )


FORMS = [
    evaluation(bound(RANDOM - 100)),
    evaluation(bound(RANDOM - 100), Likelihood("mixture", "discrete")),
    computed(Likelihood("pixels", "discrete")),
    computed(Likelihood("flow", "dequantised"), exact=False),
]


@pytest.mark.parametrize("name", ["elbo", "iwae-k64", "bits-per-dim"])
def test_likelihoods_of_256_levels_compare_whatever_their_form_and_say_what_they_are(name: str) -> None:
    """The table compares protocols; the remark of each value is its footnote."""
    found = [MEASURES[name][0](form) for form in FORMS]
    assert all(isinstance(value, Estimate) for value in found)
    assert all(value.protocol == found[0].protocol for value in found)
    assert [value.remark.partition(" ")[0] for value in found] == ["a", "a", "exact:", "the"]
    assert "(mixture)" in found[1].remark
    other = MEASURES[name][0](evaluation(bound(RANDOM - 100), Likelihood("gaussian", "density")))
    assert isinstance(other, Unavailable) or other.protocol != found[0].protocol


@pytest.mark.parametrize("name", ["rate", "distortion"])
def test_parts_of_different_forms_do_not_compare_and_a_model_without_latents_has_none(name: str) -> None:
    logistic, mixture, exact, _ = (MEASURES[name][0](form) for form in FORMS)
    assert logistic.protocol != mixture.protocol
    assert isinstance(exact, Unavailable)
    assert "without a posterior over latents" in exact.reason
    assert "without a posterior over latents" in active_units.measure(FORMS[2]).reason


@pytest.mark.parametrize("name", ["elbo", "iwae-k64", "bits-per-dim"])
def test_a_probability_above_one_is_no_value(name: str) -> None:
    found = MEASURES[name][0](evaluation(bound(RANDOM + 100)))
    assert isinstance(found, Unavailable)
    assert "above 1: its mean log P is 99.99" in found.reason


@pytest.mark.parametrize(("kind", "meant"), [("discret", "discrete"), ("Density", "density"), ("bits", "")])
def test_an_unknown_kind_is_an_error_at_once(kind: Any, meant: str) -> None:
    with pytest.raises(SpecError, match=rf"'mine' has the unknown kind '{kind}'") as error:
        Likelihood("mine", kind)
    assert meant in error.value.cause
    assert "dequantised" in error.value.cure


def test_the_error_is_that_of_a_mean_over_images() -> None:
    found = measured(likelihood.measure_rate, bound(torch.zeros(2, 50)))
    assert found.value == 24.5
    assert found.standard_error == pytest.approx(math.sqrt(50 * 51 / 12 / 50))  # of 0, 1, …, 49
    alone = measured(likelihood.measure_rate, bound(torch.zeros(2, 1)))
    assert alone.standard_error is None


def test_a_model_without_a_bound_gives_the_reason() -> None:
    for measure in (*(measure for measure, _ in MEASURES.values()), active_units.measure):
        found = measure(evaluation(None))
        assert isinstance(found, Unavailable)
        assert "has no likelihood bound" in found.reason


def test_estimates_without_importance_weights_or_latents_have_the_other_metrics_alone() -> None:
    """Their mean is the bound, and log E exp of its noise is none."""
    weights = torch.tensor([[-5.0], [-15.0]]).double()
    found = LikelihoodBound(weights, torch.tensor([7.0]), torch.tensor([3.0]), None, importance=False)
    assert measured(likelihood.measure_elbo, found).value == -10
    assert measured(likelihood.measure_rate, found).value == 3
    assert "a lower bound" in measured(likelihood.measure_bits_per_dim, found).remark
    for measure, reason in (
        (likelihood.measure_iwae, "without importance weights"),
        (active_units.measure, "noisy images"),
        (mig.measure, "noisy images"),
    ):
        missing = measure(evaluation(found, factors={"size": torch.arange(2)}))
        assert isinstance(missing, Unavailable)
        assert reason in missing.reason


def test_all_estimates_share_one_bound() -> None:
    asked: list[tuple[int, int | None]] = []

    def bounds(draws: int, count: int | None) -> LikelihoodBound:
        asked.append((draws, count))
        return bound(torch.zeros(draws, 50))

    given = evaluation(None).with_samples(Images(PIXELS), bounds=(DISCRETE, bounds))
    for measure, _ in MEASURES.values():
        measure(given)
    assert asked == [(64, 500)]
    assert likelihood.measure_elbo(given.with_samples(Images(PIXELS), bounds=(DISCRETE, bounds)))
    assert asked == [(64, 500)] * 2  # other weights, another bound
    assert given.with_samples(Images(PIXELS)).likelihood is None


@pytest.mark.parametrize("alive", [0, 1, 5, 8])
def test_as_many_units_are_active_as_depend_on_the_image(alive: int) -> None:
    means = 3 + 0.01 * torch.randn(50, 8, generator=torch.Generator().manual_seed(0))  # variance 10⁻⁴: the prior's
    means[:, :alive] += torch.randn(50, alive, generator=torch.Generator().manual_seed(1))
    found = measured(active_units.measure, bound(torch.zeros(1, 50), means))
    assert found.value == alive
    assert found.standard_error == 0.0
    assert found.n == 50


def test_the_threshold_is_a_variance_of_a_hundredth() -> None:
    spread = torch.tensor([[-1.0], [1.0]]).repeat(1000, 1)  # variance 2000 / 1999
    assert active_units.active_units(spread * 0.0999) == 0
    assert active_units.active_units(spread * 0.1001) == 1


def test_one_image_has_no_variance() -> None:
    found = active_units.measure(evaluation(bound(torch.zeros(1, 1), torch.zeros(1, 8))))
    assert isinstance(found, Unavailable)
