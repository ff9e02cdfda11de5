"""The layers of Inception come from either of two packages, with equal features; and what happens without them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torch
from pytorch_fid import inception as pytorch_fid
from random_inception import write_random_weights
from torch_fidelity import feature_extractor_inceptionv3 as torch_fidelity

from genbench import ExtractorUnavailable
from genbench.builtin.extractors import inception, inception_network, inception_weights

CPU = torch.device("cpu")
PACKAGES = ("pytorch-fid", "torch-fidelity")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_weights(tmp_path_factory.mktemp("weights") / "random.pth")


@pytest.fixture(autouse=True)
def _these_weights(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(inception_weights.VARIABLE, str(weights))


def without(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """Make importing these packages fail, as if they were not installed."""
    for package in packages:
        name = package.replace("-", "_")
        for module in [one for one in sys.modules if one == name or one.startswith(f"{name}.")]:
            monkeypatch.delitem(sys.modules, module)
        monkeypatch.setitem(sys.modules, name, None)


def test_both_packages_give_the_same_features_bit_by_bit(weights: Path) -> None:
    state = torch.load(weights, weights_only=True)
    images = torch.rand(2, 3, 299, 299, generator=torch.Generator().manual_seed(0)) * 2 - 1
    networks = [inception_network.InceptionNetwork(build(state)) for build in inception_network._PORTS.values()]
    assert [*inception_network._PORTS] == [*PACKAGES]
    found = []
    for network in networks:
        outputs, values = [], images
        with torch.inference_mode():
            for block in network.eval().blocks:
                values = block(values)
                outputs.append(values)
        found.append(outputs)
    for one, other in zip(*found, strict=True):
        assert one.abs().mean() > 1e-3
        assert torch.equal(one, other)
    assert [output.shape[1] for output in found[0]] == [*inception.LAYERS]


def test_the_extractor_works_without_either_package(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = torch.randint(256, (1, 3, 32, 32), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    found = []
    for missing in PACKAGES:
        with monkeypatch.context() as patch, torch.inference_mode():
            without(patch, missing)
            found.append(inception.load(CPU)(pixels))
    assert torch.equal(*found)  # with the batch norms folded too


def test_a_package_that_does_not_fit_the_installed_torchvision_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise AttributeError("module 'torchvision.models.inception' has no attribute 'InceptionA'")

    monkeypatch.setattr(pytorch_fid, "fid_inception_v3", broken)
    assert inception.load(CPU).protocol["layer"] == "final average pooling, 2048 features"


def test_without_both_packages_the_reason_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, *PACKAGES)
    with pytest.raises(ExtractorUnavailable, match="pip install pytorch-fid, or torch-fidelity"):
        inception.load(CPU)


def test_building_changes_neither_package() -> None:
    modules = pytorch_fid, torch_fidelity
    before = [module.load_state_dict_from_url for module in modules]
    with pytest.raises(RuntimeError):
        inception_network.build_network({})
    assert [module.load_state_dict_from_url for module in modules] == before


def test_no_other_module_imports_the_packages() -> None:
    root = Path(inception.__file__).parents[2]
    importing = re.compile(r"""(import |from |import_module\(["'])(pytorch_fid|torch_fidelity)""")
    found = [path.name for path in root.rglob("*.py") if importing.search(path.read_text())]
    assert found == ["inception_network.py"]
