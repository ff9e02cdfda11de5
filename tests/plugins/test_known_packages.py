"""Names of packages that are not installed are answered with the package; the table says what the packages bring."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from genbench.cli.list import command
from genbench.errors import GenbenchError, UsageError
from genbench.plugins import catalogue as catalogue_module
from genbench.plugins.catalogue import SINGULAR, Catalogue, combine
from genbench.plugins.known_packages import PACKAGES, KnownPackage, not_installed
from genbench.plugins.loader import Kind, builtin_plugins, load_plugin

FOLDER = Path(__file__).parents[2] / "plugins"
FOR_DEVELOPERS = {"genbench-null"}  # measures the cost of the harness


@pytest.fixture(scope="module")
def builtin() -> Catalogue:
    return combine([load_plugin(plugin) for plugin in builtin_plugins()])


def test_every_package_of_the_repository_is_known() -> None:
    folders = {path.parent.name for path in FOLDER.glob("*/pyproject.toml")}
    assert {package.distribution for package in PACKAGES} == folders - FOR_DEVELOPERS


@pytest.mark.parametrize("package", PACKAGES, ids=[package.distribution for package in PACKAGES])
def test_the_table_names_what_a_package_registers(package: KnownPackage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER / package.distribution))
    name = package.distribution.replace("-", "_")
    monkeypatch.delitem(sys.modules, name, raising=False)
    module = importlib.import_module(name)
    hooks = {kind: getattr(module, f"genbench_{kind}", None) for kind in SINGULAR}
    try:
        registered = {kind: tuple(spec.name for spec in hook()) for kind, hook in hooks.items() if hook is not None}
    except GenbenchError as error:  # `just test-plugins` installs what the packages wrap, and runs this test again
        if importlib.util.find_spec(package.distribution.removeprefix("genbench-")) is not None:
            raise
        pytest.skip(error.cause)
    assert {kind: sorted(names) for kind, names in registered.items()} == {
        kind: sorted(names) for kind, names in package.brings.items()
    }


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("metrics", "fdd", "'fdd', here called 'fd-dinov2-large', is in the package genbench-vision-features"),
        ("metrics", "FD-DINOv2", "here called 'fd-dinov2-large', is in the package genbench-vision-features"),
        ("metrics", "clip", "here called 'fd-clip-vit-l14', is in the package genbench-vision-features"),
        ("metrics", "kd-dinov2-base", "'kd-dinov2-base' is in the package genbench-vision-features"),
        ("extractors", "dinov2-small", "The extractor 'dinov2-small' is in the package genbench-vision-features"),
        ("models", "r3gan", "The model 'r3gan' is in the package genbench-r3gan, which is not installed"),
        ("datasets", "orl-faces", "The dataset 'orl-faces' is in the package genbench-orl-faces"),
        ("reporters", "wandb", "The reporter 'wandb' is in the package genbench-trackers"),
    ],
)
def test_a_name_of_a_package_that_is_missing_names_the_package(
    builtin: Catalogue, kind: Kind, name: str, expected: str
) -> None:
    with pytest.raises(UsageError) as raised:
        builtin.require(kind, name)
    assert expected in raised.value.cause
    assert "pip install genbench-" in raised.value.cure


def test_a_metric_of_an_installed_package_under_another_name_is_named(builtin: Catalogue) -> None:
    there = Catalogue(metrics={**builtin.metrics, "fd-dinov2-large": builtin.metrics["fid"]})
    with pytest.raises(UsageError, match="The metric 'fdd' is called 'fd-dinov2-large' here"):
        there.require("metrics", "fdd")


@pytest.mark.parametrize(
    ("kind", "name", "cause", "cure"),
    [
        ("models", "wgan-gp", "'wgan-gp' is a loss, not a model.", "--models gan --losses wgan-gp."),
        ("models", "hinge", "'hinge' is a loss, not a model.", "--models sn-dcgan --losses hinge."),  # its default
        ("models", "ebgan", "'ebgan' is a loss, not a model.", "--models began --losses ebgan."),  # it takes energies
        ("losses", "dcgan", "'dcgan' is a model, not a loss.", "Write --models dcgan."),
        ("models", "vector-quantised", "'vector-quantised' is a family, not a model.", "Its models: vq-vae."),
        ("losses", "variational", "'variational' is a family, not a loss.", "Its models: vae, "),
        ("models", "flow-matching", "The loss 'flow-matching' is in the package genbench-diffusion", "pip install"),
    ],
)
def test_a_name_of_another_kind_is_answered_with_its_use(
    builtin: Catalogue, kind: Kind, name: str, cause: str, cure: str
) -> None:
    with pytest.raises(UsageError) as raised:
        builtin.require(kind, name)
    assert cause in raised.value.cause
    assert cure in raised.value.cure


def test_a_name_that_nothing_brings_is_unknown(builtin: Catalogue) -> None:
    with pytest.raises(UsageError, match=r"Unknown metric 'fidd'\. Did you mean 'fid'"):
        builtin.require("metrics", "fidd")
    with pytest.raises(UsageError, match="Unknown model 'fdd'"):
        builtin.require("models", "fdd")


def test_the_lists_name_missing_packages_in_a_line_each(builtin: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue_module, "discover", lambda _files: builtin)
    shown = {
        kind: CliRunner().invoke(command, [kind], standalone_mode=False, catch_exceptions=False).stdout
        for kind in ("metrics", "extractors", "models", "families")
    }
    missing = {
        kind: text.partition("\nnot installed (pip install NAME):\n")[2].splitlines() for kind, text in shown.items()
    }
    assert len(missing["extractors"]) == 1
    assert missing["extractors"][0].startswith(
        "  genbench-vision-features (DINOv2, CLIP and every image network in timm): "
    )
    assert "fd-dinov2-large" in shown["metrics"]
    assert "genbench-trackers" not in shown["metrics"]
    bringing = [package for package in PACKAGES if package.offers("models")]
    assert len(missing["models"]) == len(bringing)
    assert all(len(line) < 200 for line in missing["models"])


def test_installed_packages_are_not_offered() -> None:
    everything = [package.distribution for package in PACKAGES]
    assert not_installed("extractors", everything) == []
