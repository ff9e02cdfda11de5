"""Metrics of one plugin with extractors of another: where they come from, and what a changed version means."""

from __future__ import annotations

import genbench
from genbench.planning.identity import metric_origins
from genbench.planning.metric_selection import MetricSelection
from genbench.planning.planner import plugins_behind
from genbench.plugins.catalogue import Catalogue, combine
from genbench.plugins.chosen_metrics import changed_origins, chosen_metrics
from genbench.plugins.loader import LoadedPlugin, Plugin
from genbench.plugins.worker_catalogue import load_builtin_plugins


def catalogue(metrics: str = "1", extractors: str = "1", extractors_first: bool = False) -> Catalogue:
    """Return the built-in plugins, one with a metric `hill`, and one with an extractor `net`, of these versions."""
    hill = genbench.MetricSpec(name="hill", measure=len, direction="higher", per_extractor=True, default=False)
    net = genbench.ExtractorSpec(name="net", load=len)
    added = [
        LoadedPlugin(Plugin("hill", "entry-point", "hill", "hill", metrics), {"metrics": [hill]}),
        LoadedPlugin(Plugin("net", "entry-point", "net", "net", extractors), {"extractors": [net]}),
    ]
    return combine([*load_builtin_plugins(), *(reversed(added) if extractors_first else added)])


def test_a_metric_with_an_extractor_of_another_plugin_needs_both_in_any_order() -> None:
    for first in (False, True):
        found = catalogue(extractors_first=first)
        dataset = found.datasets["fashion-mnist-mini"].spec
        selection = MetricSelection(["hill", "fd"], found, "cpu")
        names = [spec.name for spec in selection.of_dataset(dataset, dataset.image_shape)]
        assert names == ["hill-fashion-cnn", "hill-net", "fd-fashion-cnn", "fd-net"]
        behind = {
            name: [plugin.name for plugin in plugins_behind(found, [("metrics", name)])] for name in (*names, "hill")
        }
        assert behind == {
            "hill-fashion-cnn": ["hill"],
            "hill-net": ["hill", "net"],
            "fd-fashion-cnn": [],
            "fd-net": ["net"],
            "hill": ["hill"],
        }
        assert list(metric_origins(names, found)) == ["hill-fashion-cnn", "hill-net", "hill-net:extractor", "fd-net"]


def test_values_depend_on_the_version_of_a_metric_and_on_that_of_an_extractor_once_it_has_changed() -> None:
    planned = catalogue()
    names = ["hill-fashion-cnn", "hill-net", "fd-net", "fd-fashion-cnn"]
    origins = metric_origins(names, planned)

    def plugins(found: Catalogue) -> list[str]:
        return [chosen.plugin for chosen in chosen_metrics(names, found, planned=origins)]

    assert plugins(planned) == ["hill 1", "hill 1", "", ""]
    assert plugins(catalogue(metrics="2")) == ["hill 2", "hill 2", "", ""]
    assert plugins(catalogue(extractors="2")) == ["hill 1", "hill 1, net 2", "net 2", ""]
    changed = [(name, before.version, now.version) for name, before, now in changed_origins(origins, catalogue("2"))]
    assert changed == [("hill-fashion-cnn", "1", "2"), ("hill-net", "1", "2")]
    assert list(changed_origins(origins, planned)) == []
