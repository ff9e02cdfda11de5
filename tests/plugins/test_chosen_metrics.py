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
    """Return the built-in plugins, one with a metric `vendi`, and one with an extractor `net`, of these versions."""
    vendi = genbench.MetricSpec(name="vendi", measure=len, direction="higher", per_extractor=True, default=False)
    net = genbench.ExtractorSpec(name="net", load=len)
    added = [
        LoadedPlugin(Plugin("vendi", "entry-point", "vendi", "vendi", metrics), {"metrics": [vendi]}),
        LoadedPlugin(Plugin("net", "entry-point", "net", "net", extractors), {"extractors": [net]}),
    ]
    return combine([*load_builtin_plugins(), *(reversed(added) if extractors_first else added)])


def test_a_metric_with_an_extractor_of_another_plugin_needs_both_in_any_order() -> None:
    for first in (False, True):
        found = catalogue(extractors_first=first)
        dataset = found.datasets["fashion-mnist-mini"].spec
        selection = MetricSelection(["vendi", "fd"], found, "cpu")
        names = [spec.name for spec in selection.of_dataset(dataset, dataset.image_shape)]
        assert names == ["vendi-fashion-cnn", "vendi-net", "fd-fashion-cnn", "fd-net"]
        behind = {
            name: [plugin.name for plugin in plugins_behind(found, [("metrics", name)])] for name in (*names, "vendi")
        }
        assert behind == {
            "vendi-fashion-cnn": ["vendi"],
            "vendi-net": ["vendi", "net"],
            "fd-fashion-cnn": [],
            "fd-net": ["net"],
            "vendi": ["vendi"],
        }
        assert list(metric_origins(names, found)) == ["vendi-fashion-cnn", "vendi-net", "vendi-net:extractor", "fd-net"]


def test_values_depend_on_the_version_of_a_metric_and_on_that_of_an_extractor_once_it_has_changed() -> None:
    planned = catalogue()
    names = ["vendi-fashion-cnn", "vendi-net", "fd-net", "fd-fashion-cnn"]
    origins = metric_origins(names, planned)

    def plugins(found: Catalogue) -> list[str]:
        return [chosen.plugin for chosen in chosen_metrics(names, found, planned=origins)]

    assert plugins(planned) == ["vendi 1", "vendi 1", "", ""]
    assert plugins(catalogue(metrics="2")) == ["vendi 2", "vendi 2", "", ""]
    assert plugins(catalogue(extractors="2")) == ["vendi 1", "vendi 1, net 2", "net 2", ""]
    changed = [(name, before.version, now.version) for name, before, now in changed_origins(origins, catalogue("2"))]
    assert changed == [("vendi-fashion-cnn", "1", "2"), ("vendi-net", "1", "2")]
    assert list(changed_origins(origins, planned)) == []
