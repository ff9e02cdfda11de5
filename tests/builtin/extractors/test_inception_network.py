"""The Inception network computes what its two well-known ports compute, and needs neither of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pytorch_fid import inception as pytorch_fid
from random_inception import write_random_weights
from torch_fidelity import feature_extractor_inceptionv3 as torch_fidelity

from genbench.builtin.extractors import inception
from genbench.builtin.extractors.inception_network import InceptionNetwork

BLOCKS = (
    ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3"),
    ("Conv2d_3b_1x1", "Conv2d_4a_3x3"),
    ("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
    ("Mixed_7a", "Mixed_7b", "Mixed_7c"),
)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    path = write_random_weights(tmp_path_factory.mktemp("weights") / "random.pth")
    loaded: dict[str, torch.Tensor] = torch.load(path, weights_only=True)
    return loaded


def test_the_features_are_those_of_both_ports_bit_by_bit(
    state: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (pytorch_fid, torch_fidelity):
        monkeypatch.setattr(module, "load_state_dict_from_url", lambda *_args, **_kwargs: state)
    ports: list[Any] = [
        pytorch_fid.fid_inception_v3().eval(),
        torch_fidelity.FeatureExtractorInceptionV3("inception-v3", ["2048"]).eval(),
    ]
    images = torch.rand(2, 3, 299, 299, generator=torch.Generator().manual_seed(0)) * 2 - 1
    channels = []
    with torch.inference_mode():
        for names, block in zip(BLOCKS, InceptionNetwork(state).eval().blocks, strict=True):
            found = block(images)
            for port in ports:
                expected = images
                for name in names:
                    expected = getattr(port, name)(expected)
                if names is BLOCKS[-1]:
                    expected = F.adaptive_avg_pool2d(expected, 1)
                elif names is not BLOCKS[-2]:
                    expected = F.max_pool2d(expected, 3, stride=2)
                assert torch.equal(found, expected)
            assert found.abs().mean() > 1e-3
            channels.append(found.shape[1])
            images = found
    assert channels == [*inception.LAYERS]


@pytest.mark.parametrize("change", ["missing", "shape", "further"])
def test_weights_that_do_not_fit_are_refused(state: dict[str, torch.Tensor], change: str) -> None:
    name, changed = "Mixed_7c.branch3x3dbl_3b.conv.weight", dict(state)
    if change == "missing":
        del changed[name]
    elif change == "shape":
        changed[name] = changed[name].transpose(2, 3)
    else:
        changed["AuxLogits.fc.weight"] = torch.zeros(1)
    with pytest.raises(RuntimeError, match="AuxLogits" if change == "further" else "branch3x3dbl_3b"):
        InceptionNetwork(changed)


def test_no_module_imports_the_ports() -> None:
    root = Path(inception.__file__).parents[2]
    importing = re.compile(r"""(import |from |import_module\(["'])(pytorch_fid|torch_fidelity)""")
    assert [path.name for path in root.rglob("*.py") if importing.search(path.read_text())] == []
