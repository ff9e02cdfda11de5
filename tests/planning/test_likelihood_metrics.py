"""Which cells measure bounds on the likelihood, and which measure the mutual information gap."""

from __future__ import annotations

from typing import Any

import pytest

import genbench
from genbench.errors import SpecError
from genbench.planning.planner import make_plan
from genbench.planning.request import make_request
from genbench.plugins.catalogue import Catalogue, combine
from genbench.plugins.loader import (
    LoadedPlugin,
    Plugin,
    builtin_plugins,
    load_plugin,
)

BOUNDS = ("elbo", "rate", "distortion", "iwae-k64", "bits-per-dim", "active-units")
ACME = Plugin("acme", "entry-point", "acme", "acme", "1.0")


def catalogue(**added: Any) -> Catalogue:
    return combine([*(load_plugin(plugin) for plugin in builtin_plugins()), LoadedPlugin(ACME, added)])


def metrics(model: str, dataset: str, given: str | None = "likelihood", **added: Any) -> tuple[str, ...]:
    request = make_request({"models": model, "datasets": dataset} | ({} if given is None else {"metrics": given}), ())
    (cell,) = make_plan(request, catalogue(**added), "cpu").cells
    assert not cell.reason
    return cell.identity.metrics


def test_one_word_selects_all_of_them_if_there_is_a_bound() -> None:
    assert metrics("vae", "fashion-mnist-mini") == BOUNDS
    assert metrics("vae", "gaussian-ring") == BOUNDS
    assert metrics("vae", "shapes") == (*BOUNDS, "mig")
    assert metrics("gan", "shapes") == ()
    assert metrics("vq-vae", "fashion-mnist-mini") == ()


def test_they_are_measured_if_named_and_the_gap_wherever_factors_are_known() -> None:
    assert metrics("vae", "fashion-mnist-mini", "elbo,psnr") == ("elbo", "psnr")
    assert not {*metrics("vae", "fashion-mnist-mini", None)} & {*BOUNDS, "mig"}
    assert {*metrics("vae", "shapes", None)} & {*BOUNDS, "mig"} == {"mig"}
    assert "mig" not in metrics("gan", "shapes", None)


def test_a_third_party_metric_joins_them_and_cannot_use_their_name() -> None:
    theirs = genbench.MetricSpec(name="acme-gap", measure=len, direction="lower", needs_bound=True, default=False)
    assert metrics("vae", "fashion-mnist-mini", metrics=[theirs]) == (*BOUNDS, "acme-gap")
    taken = genbench.MetricSpec(name="likelihood", measure=len, direction="lower")
    assert "likelihood" not in catalogue(metrics=[taken]).metrics


def test_the_best_weights_may_be_selected_by_the_bound() -> None:
    request = make_request({"models": "vae", "metrics": "elbo", "best_metric": "elbo", "evaluate_every": 1000}, ())
    (cell,) = make_plan(request, catalogue(), "cpu").cells
    assert not cell.reason


def test_factors_must_be_names() -> None:
    with pytest.raises(SpecError, match="factors must be a tuple of names"):
        genbench.DatasetSpec(name="acme", image_shape=(1, 2, 2), load=len, factors="x")  # type: ignore[arg-type]
