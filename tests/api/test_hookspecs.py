"""The contract: every hook has an example that loads when installed, is called by the loader, and has a user."""

from __future__ import annotations

from pathlib import Path

import pytest
from plugin_packages import expose, temp_plugin

import genbench
from genbench.api import hookspecs
from genbench.plugins.catalogue import combine, discover
from genbench.plugins.loader import (
    HOOKS,
    SPEC_TYPES,
    Kind,
    builtin_plugins,
    file_plugins,
    load_plugin,
)

DECLARED = [name for name in vars(hookspecs) if name.startswith("genbench_")]
ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "plugins.md"
EXAMPLES = ROOT / "docs" / "examples" / "hooks"
TRACKERS = ROOT / "plugins" / "genbench-trackers" / "genbench_trackers" / "__init__.py"


@pytest.mark.parametrize("kind", SPEC_TYPES)
def test_the_example_of_a_hook_loads(kind: Kind) -> None:
    (plugin,) = file_plugins([EXAMPLES / f"{kind}.py"])
    loaded = load_plugin(plugin).plugin
    assert not loaded.quarantined, loaded.reason
    assert len(loaded.registers[kind]) == 1


def test_the_example_of_every_hook_is_found_when_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in SPEC_TYPES:
        source = (EXAMPLES / f"{kind}.py").read_text(encoding="utf-8")
        temp_plugin(tmp_path, source, name=f"example-{kind}", entry_points={f"example-{kind}": f"example_{kind}"})
    expose(tmp_path, monkeypatch)
    catalogue = discover()
    for kind, hook in zip(SPEC_TYPES, HOOKS, strict=True):
        (plugin,) = (plugin for plugin in catalogue.plugins if plugin.name == f"example-{kind}")
        assert not plugin.quarantined, plugin.reason
        assert kind in plugin.registers, hook
        assert all(catalogue.entries(kind)[name].plugin == plugin for name in plugin.registers[kind])


def test_every_hook_is_called_by_the_loader_and_described_in_the_guide() -> None:
    assert sorted(HOOKS) == sorted(DECLARED)
    guide = GUIDE.read_text(encoding="utf-8")
    assert [hook for hook in DECLARED if f"`{hook}`" not in guide] == []


def test_built_in_plugins_are_loaded_like_others_and_use_every_hook_but_that_of_reporters() -> None:
    loaded = [load_plugin(plugin) for plugin in builtin_plugins()]
    assert [plugin.plugin.reason for plugin in loaded] == [""] * len(loaded)
    used = {kind for plugin in loaded for kind, specs in plugin.specs.items() if specs}
    assert used == set(SPEC_TYPES) - {"reporters"}
    assert not any(plugin.quarantined for plugin in combine(loaded).plugins)


def test_the_hook_of_reporters_is_used_by_a_package_of_this_repository() -> None:
    (plugin,) = file_plugins([TRACKERS])
    loaded = load_plugin(plugin)
    assert loaded.plugin.registers == {"reporters": ["tensorboard", "mlflow", "wandb"]}


def test_the_built_in_names_that_the_guides_mention() -> None:
    catalogue = combine(load_plugin(plugin) for plugin in builtin_plugins())
    assert {"gan", "dcgan", "vae", "conv-vae"} <= set(catalogue.models)
    assert {"non-saturating", "minimax", "elbo"} <= set(catalogue.losses)
    assert {"fashion-mnist-mini", "fashion-mnist", "folder", "synthetic"} <= set(catalogue.datasets)
    assert {"adversarial", "variational"} <= set(catalogue.families)
    assert {"fid", "fd-fashion-cnn", "reconstruction-mse", "psnr"} <= set(catalogue.metrics)


def test_what_is_public_is_importable_and_documented() -> None:
    for name in genbench.__all__:
        assert getattr(genbench, name).__doc__ or name == "__version__"
