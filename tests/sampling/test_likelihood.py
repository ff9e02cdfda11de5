"""Likelihood bounds on held-out images: in any grouping, and from a run."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import TINY, Done
from warm import run

from genbench.api.training import LikelihoodBound
from genbench.cell.evaluator import Evaluator
from genbench.cell.observations import Observations
from genbench.data.loading import LoadedData
from genbench.metrics.likelihood import bits_per_dim, elbo
from genbench.planning.planner import make_plan
from genbench.planning.request import make_request
from genbench.plugins.catalogue import Catalogue, discover
from genbench.sampling import likelihood
from genbench.train.builder import Built, build_cell

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return discover()


def noise(count: int, *shape: int) -> LoadedData:
    pixels = torch.randint(256, (count, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(count) % 10
    return LoadedData(pixels, labels, pixels, labels, 10, "", ())


def cell(catalogue: Catalogue, data: LoadedData, model: str = "vae", *settings: str, **recipe: Any) -> Built:
    wanted = {"models": model, "profile": "smoke", "batch_size": 8, **recipe}
    identity = make_plan(make_request(wanted, settings), catalogue, "cpu").cells[0].identity
    built = build_cell(identity, catalogue, data, CPU)
    for _ in range(3):
        built.engine.step()
    return built


def bound(built: Built, data: LoadedData, draws: int, count: int | None = None) -> LikelihoodBound:
    found = likelihood.likelihood_bounds(built, data, 0, CPU)
    assert found is not None
    return found[1](draws, count)


def test_the_bound_is_reproducible_and_does_not_change_the_model(catalogue: Catalogue) -> None:
    data = noise(20, 1, 28, 28)
    built = cell(catalogue, data, "conv-vae", "conv-vae.width=8", "conv-vae.hidden=16")  # has batch norm
    networks = built.setup.networks
    before = {f"{name}.{key}": value.clone() for name in networks for key, value in networks[name].state_dict().items()}
    one, other = bound(built, data, 3), bound(built, data, 3)
    assert torch.equal(one.log_weights, other.log_weights)
    assert (one.log_weights.dtype, one.log_weights.shape) == (torch.float64, (3, 20))
    assert all(network.training for network in networks.values())
    for name, network in networks.items():
        assert all(torch.equal(before[f"{name}.{key}"], value) for key, value in network.state_dict().items())
    assert not one.log_weights.is_inference()


def test_the_bound_of_an_image_does_not_depend_on_the_other_images(catalogue: Catalogue, monkeypatch: Any) -> None:
    data = noise(20, 1, 28, 28)
    built = cell(catalogue, data, "conv-vae", "conv-vae.width=8", "conv-vae.hidden=16")
    whole = bound(built, data, 3)
    monkeypatch.setattr(likelihood, "SAMPLING_BATCH", 7)  # two images at a time
    torch.testing.assert_close(bound(built, data, 3).log_weights, whole.log_weights, rtol=1e-5, atol=0)


PARTS = ((4, 3.0), (4, 5.0), (2, 9.0))  # latents, and their mean distortion


def test_more_latents_than_are_decoded_at_a_time_are_split_into_groups(catalogue: Catalogue, monkeypatch: Any) -> None:
    data = noise(8, 1, 28, 28)
    built = cell(catalogue, data, "vae", "vae.hidden=16")
    decoded: list[int] = []
    built.setup.networks["decoder"].register_forward_hook(lambda module, given, found: decoded.append(len(found)))
    monkeypatch.setattr(likelihood, "SAMPLING_BATCH", 4)
    many = bound(built, data, 10)
    assert decoded == [4, 4, 2] * 8
    assert many.log_weights.shape == (10, 8)
    assert len({float(value) for value in many.log_weights[:, 0]}) == 10
    parts = [LikelihoodBound(torch.zeros(k, 1), torch.tensor([v]), torch.ones(1), torch.zeros(1, 2)) for k, v in PARTS]
    assert float(likelihood._join_draws(parts, [4, 4, 2]).distortion) == pytest.approx((4 * 3 + 4 * 5 + 2 * 9) / 10)


def test_a_subset_is_a_fixed_random_choice_from_all(catalogue: Catalogue) -> None:
    chosen = likelihood.choose_images(1000, 100)
    assert torch.equal(chosen, likelihood.choose_images(1000, 100))
    assert torch.equal(chosen, chosen.unique())
    assert 20 < int((chosen < 500).sum()) < 80
    for count in (None, 1000, 5000):
        assert torch.equal(likelihood.choose_images(1000, count), torch.arange(1000))
    data = noise(20, 1, 28, 28)
    built = cell(catalogue, data, "vae", "vae.hidden=16")
    few = bound(built, data, 1, 6)
    rows = likelihood.choose_images(20, 6)
    torch.testing.assert_close(few.rate, bound(built, data, 1).rate[rows], rtol=1e-5, atol=0)


def test_a_vae_needs_at_least_the_eight_bits_of_uniform_noise(catalogue: Catalogue) -> None:
    """A bound on the likelihood is a bound: no model encodes noise below its entropy, however well it is trained."""
    data, fresh = noise(400, 1, 28, 28), noise(40, 1, 28, 28)
    fresh = dataclasses.replace(fresh, test_pixels=255 - data.test_pixels[:40])  # as uniform, and never trained on
    built = cell(catalogue, data, "vae", "vae.hidden=16", "elbo.likelihood=logistic", learning_rate=0.01)
    for _ in range(150):
        built.engine.step()
    found = bits_per_dim(elbo(bound(built, fresh, 8)), 784)
    error = float(found.std()) / math.sqrt(len(found))
    assert 8 - 4 * error < float(found.mean()) < 8.6


def test_averaged_weights_use_their_own_scale(catalogue: Catalogue) -> None:
    data = noise(16, 1, 28, 28)
    settings = ("vae.hidden=16", "elbo.likelihood=gaussian-learned")
    built = cell(catalogue, data, "vae", *settings, ema_half_life=1000.0, learning_rate=0.05)
    averaged = bound(built, data, 2)
    assert built.sampled_weights == "averaged"
    average = built.engine.average
    assert average is not None
    raw = {name: network.state_dict() for name, network in built.setup.networks.items()}
    assert not torch.equal(raw["loss"]["raw"], average.networks["loss"].state_dict()["raw"])
    for name, network in built.setup.networks.items():  # the same weights as the raw ones of a cell without averages
        network.load_state_dict(average.networks[name].state_dict())
    plain = dataclasses.replace(built, recipe=dataclasses.replace(built.recipe, sample_weights="raw"))
    torch.testing.assert_close(bound(plain, data, 2).log_weights, averaged.log_weights)


def test_a_conditional_model_is_given_the_labels_of_the_images(catalogue: Catalogue) -> None:
    data = noise(20, 1, 28, 28)
    built = cell(catalogue, data, "cvae", "cvae.hidden=16")
    assert data.test_labels is not None
    others = dataclasses.replace(data, test_labels=(data.test_labels + 1) % 10)
    assert not torch.allclose(bound(built, data, 2).distortion, bound(built, others, 2).distortion)


def test_adversarial_and_deterministic_models_have_no_bound(catalogue: Catalogue) -> None:
    data = noise(20, 1, 28, 28)
    assert likelihood.likelihood_bounds(cell(catalogue, data, "gan", "gan.width=8"), data, 0, CPU) is None
    assert (
        likelihood.likelihood_bounds(cell(catalogue, data, "vae", "vae.hidden=16", losses="wae-mmd"), data, 0, CPU)
        is None
    )


class Wrong:
    """A family whose bound has a rate of the wrong shape."""

    def bound(self, images: torch.Tensor, draws: int, rng: torch.Generator, labels: None = None) -> LikelihoodBound:
        return LikelihoodBound(torch.zeros(3, 5), torch.zeros(5), torch.zeros(4), torch.zeros(5, 2))


def test_a_part_of_another_shape_is_named() -> None:
    with pytest.raises(
        ValueError, match=r"`rate` of the bound is torch.float32 \(4,\), not floats \(5,\), for 3 latents"
    ):
        likelihood.checked_bound(Wrong(), torch.zeros(5, 1, 2, 2), 3, torch.Generator(), None)  # type: ignore[arg-type]


@pytest.mark.parametrize(("factor", "accepted"), [(1.0, True), (4.0, False), (0.0, False)])
def test_a_bound_whose_parts_do_not_add_up_is_no_bound(factor: float, accepted: bool) -> None:
    """log w = -distortion + log p(z)/q(z|x), here with the ratio weighted by a β that does not belong there."""
    rng = torch.Generator().manual_seed(0)
    rate = 1 + torch.rand(100, generator=rng)
    ratio = -rate + (2 * rate).sqrt() * torch.randn(64, 100, generator=rng)
    found = LikelihoodBound(factor * ratio - 500.0, torch.full((100,), 500.0), rate, torch.zeros(100, 2))
    if accepted:
        likelihood.require_parts_add_up(found)
    else:
        with pytest.raises(ValueError, match=r"elbo \+ rate \+ distortion is -?[\d.]+ ± "):
            likelihood.require_parts_add_up(found)


def test_each_evaluation_uses_the_current_weights(catalogue: Catalogue, tmp_path: Path) -> None:
    data = noise(20, 1, 28, 28)
    wanted = {"models": "vae", "profile": "smoke", "metrics": "elbo", "best_metric": "elbo", "evaluate_every": 8}
    request = make_request({**wanted, "samples": 16, "batch_size": 8}, ("vae.hidden=16",))
    identity = make_plan(request, catalogue, "cpu").cells[0].identity
    built = build_cell(identity, catalogue, data, CPU)
    best = tmp_path / "cell.best"
    evaluator = Evaluator(
        built, identity, data, catalogue, CPU, best, contextlib.nullcontext, Observations((1, 28, 28)), observes=False
    )
    for _ in range(4):
        built.engine.step()
        evaluator.evaluate()
    values = [point.estimates[0].value for point in evaluator.evaluations]
    assert len({*values}) == len(values) == 4
    assert evaluator.best is not None
    assert evaluator.best.estimates[0].value == max(values)


# ----------------------------------------------------------------------------------------------------------------------
# A run


NAMES = ["elbo", "rate", "distortion", "iwae-k64", "bits-per-dim", "active-units"]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    return run(
        *TINY,
        *("--models", "vae", "--losses", "elbo,wae-mmd", "--datasets", "shapes,gaussian-ring"),
        *("--metrics", "likelihood", "--images", "320", "--ema-half-life", "100"),
        *("--set", "vae.hidden=16", "--set", "shapes.size=16", "--set", "shapes.count=400"),
        *("--set", "gaussian-ring.count=200", "--set", "elbo.likelihood=logistic", "--set", "elbo.beta=4"),
        out=tmp_path_factory.mktemp("likelihood") / "run",
    )


def found(done: Done, loss: str, dataset: str) -> tuple[dict[str, Any], dict[str, str]]:
    cells = {(cell.identity.loss.name, cell.identity.dataset.name): cell for cell in done.run_cells}
    cell = cells[loss, dataset]
    assert cell.status == "ok", cell.reason
    return {e.metric: e for e in cell.estimates}, {u.metric: u.reason for u in cell.unavailable}


@pytest.mark.parametrize("dataset", ["shapes", "gaussian-ring"])
def test_a_run_measures_bounds_on_images_and_on_points(done: Done, dataset: str) -> None:
    values, missing = found(done, "elbo", dataset)
    assert missing == {}
    assert list(values) == [*NAMES, *(["mig"] if dataset == "shapes" else [])]
    assert values["elbo"].value <= values["iwae-k64"].value
    assert values["elbo"].value == pytest.approx(-values["rate"].value - values["distortion"].value, rel=0.02)
    dimensions = 256 if dataset == "shapes" else 2
    nats = values["bits-per-dim"].value * dimensions * torch.log(torch.tensor(2.0)).item()
    assert nats == pytest.approx(-values["elbo"].value)
    assert {e.n for e in values.values()} == {80 if dataset == "shapes" else 40}


def test_the_reason_why_a_deterministic_encoder_has_no_bound_is_stated(done: Done) -> None:
    values, missing = found(done, "wae-mmd", "shapes")
    assert values == {}
    assert {*missing} == {*NAMES, "mig"}
    assert all("its encoder is deterministic" in reason for reason in missing.values())


def test_reference_rows_have_no_bounds(done: Done) -> None:
    references = [json.loads(path.read_text()) for path in done.run.glob("references/*.json")]
    assert references
    assert all(row["estimates"] == row["unavailable"] == [] for reference in references for row in reference["rows"])
