"""Which metrics are measured on points, and on data with modes."""

from __future__ import annotations

from typing import Any

import genbench
from genbench.planning.planner import make_plan
from genbench.planning.request import make_request
from genbench.plugins.catalogue import Catalogue, combine
from genbench.plugins.loader import (
    LoadedPlugin,
    Plugin,
    builtin_plugins,
    load_plugin,
)
from genbench.plugins.worker_catalogue import load_builtin_plugins

MODES = {"modes", "mode-kl", "mode-quality"}
DATASETS = [
    genbench.DatasetSpec(name="ring", image_shape=(1, 1, 2), load=len, points=True, modes=8, mode_of=len),
    genbench.DatasetSpec(name="cloud", image_shape=(1, 1, 2), load=len, points=True),
    genbench.DatasetSpec(name="stacked", image_shape=(3, 28, 28), load=len, modes=1000, mode_of=len),
    genbench.DatasetSpec(name="photos", image_shape=(3, 28, 28), load=len),
]


def catalogue() -> Catalogue:
    plugin = Plugin("acme", "entry-point", "acme", "acme", "1.0")
    builtin = [load_plugin(plugin) for plugin in builtin_plugins()]
    return combine([*builtin, LoadedPlugin(plugin, {"datasets": list(DATASETS)})])


def metrics(dataset: str, **given: Any) -> set[str]:
    cells = make_plan(make_request({"models": "gan", "datasets": dataset, **given}, ()), catalogue(), "cpu").cells
    return set(cells[0].identity.metrics)


def test_modes_are_measured_only_on_data_that_have_them() -> None:
    assert {name: metrics(name) & MODES for name in ("ring", "cloud", "stacked", "photos")} == {
        "ring": MODES, "cloud": set(), "stacked": MODES, "photos": set(),
    }  # fmt: skip


def test_metrics_of_image_features_are_not_measured_on_points_even_if_named() -> None:
    for name, pictures in (("ring", False), ("cloud", False), ("stacked", True), ("photos", True)):
        assert ("fd-learned" in metrics(name)) == pictures
        assert ("fid" in metrics(name, profile="standard")) == pictures
        assert metrics(name, metrics="fid,diversity") == ({"fid", "diversity"} if pictures else {"diversity"})


def test_every_distance_of_an_extractor_needs_images_also_from_a_plugin() -> None:
    plugin = Plugin("acme", "entry-point", "acme", "acme", "1.0")
    loaded = LoadedPlugin(plugin, {"extractors": [genbench.ExtractorSpec(name="net", load=len)]})
    added = combine([*load_builtin_plugins(), loaded])
    assert added.metrics["fd-net"].spec.needs_pictures
    assert not added.metrics["fd-net"].spec.needs_modes


def test_reference_rows_use_the_same_metrics() -> None:
    (reference,) = make_plan(make_request({"models": "gan", "datasets": "ring"}, ()), catalogue(), "cpu").references
    assert set(reference.metrics) >= MODES
    assert not [name for name in reference.metrics if name.startswith("fd-")]
