"""The Inception extractor against pytorch-fid itself, under weights that the test makes; and its ways to be missing."""

from __future__ import annotations

import hashlib
import socket
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_fid import inception as peer

from genbench import ExtractorUnavailable
from genbench.builtin.extractors import genbench_extractors, inception

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint in the published format with random weights that keep activations at the size of one."""
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng():
        torch.manual_seed(0)
        patch.setattr(peer, "load_state_dict_from_url", lambda *_args, **_kwargs: {})
        patch.setattr(peer.torchvision.models.Inception3, "load_state_dict", lambda *_args: None)
        network = peer.fid_inception_v3()
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture(autouse=True)
def _no_weights_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(inception.VARIABLE, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(inception, "URL", "http://127.0.0.1:1/weights.pth")  # nobody listens there


def images(channels: int) -> torch.Tensor:
    return torch.randint(256, (2, channels, 40, 40), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_features_are_those_of_pytorch_fid(weights: Path, channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(inception.VARIABLE, str(weights))
    state = torch.load(weights, weights_only=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(peer, "load_state_dict_from_url", lambda *_args, **_kwargs: state)
        network = peer.InceptionV3([peer.InceptionV3.BLOCK_INDEX_BY_DIM[2048]]).eval()
    pixels = images(channels)
    with torch.inference_mode():
        rgb = pixels.repeat(1, 3 // channels, 1, 1).float() / 255
        expected = network(rgb)[0].flatten(1)
        found = inception.load(CPU)(pixels)
    assert found.shape == (2, 2048)
    assert expected.abs().mean() > 1e-3  # features that vanish would agree with anything
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


def test_other_weights_do_not_earn_the_name_fid(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(inception.VARIABLE, str(weights))
    loaded = inception.load(CPU)
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert loaded.name == f"fd-inception-{sha256[:8]}"
    assert loaded.protocol["weights_sha256"] == sha256[:16]
    assert loaded.whiten is False


def test_published_weights_earn_it() -> None:
    assert inception.Inception(torch.nn.Identity(), CPU, "6726825d" + "0" * 56).name == "fid"


@pytest.mark.inception
def test_published_weights_load_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCH_HOME")
    path = Path(torch.hub.get_dir()) / "checkpoints" / inception.FILE_NAME
    if not path.is_file():
        pytest.skip("the published weights are not on this machine")
    assert inception.load(CPU).name == "fid"


def test_weights_are_found_where_torch_hub_keeps_them(tmp_path: Path) -> None:
    path = tmp_path / "hub" / "checkpoints" / "pt_inception-2015-12-05-6726825d.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    assert inception.find_weights() == path


def test_missing_weights_without_a_network_say_in_one_line_what_to_put_where(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(ExtractorUnavailable) as raised:
        inception.load(CPU)
    assert time.monotonic() - started < 5
    line = str(raised.value)
    assert "\n" not in line
    assert inception.URL in line
    assert str(tmp_path / "hub" / "checkpoints" / inception.FILE_NAME) in line
    assert inception.VARIABLE in line
    assert list(tmp_path.rglob("*.part*")) == []


def test_a_server_that_never_answers_does_not_hold_the_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(inception, "URL", f"http://127.0.0.1:{silent.getsockname()[1]}/weights.pth")
        monkeypatch.setattr(inception, "TIMEOUT", 0.2)
        before = socket.getdefaulttimeout()
        with pytest.raises(ExtractorUnavailable, match="timed out"):
            inception.load(CPU)
        assert socket.getdefaulttimeout() == before


def test_the_published_address_is_the_one_that_pytorch_fid_uses() -> None:
    assert inception.FILE_NAME in peer.FID_WEIGHTS_URL
    assert peer.FID_WEIGHTS_URL.startswith("https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/")


def test_a_variable_that_names_no_file_is_an_error_and_not_a_download(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(inception.VARIABLE, "nowhere.pth")
    with pytest.raises(ExtractorUnavailable, match=r"GENBENCH_INCEPTION_WEIGHTS names nowhere\.pth"):
        inception.load(CPU)


def _not_a_state(path: Path) -> None:
    torch.save([1, 2, 3], path)


def _wrong_network(path: Path) -> None:
    torch.save({"weight": torch.zeros(1)}, path)


@pytest.mark.parametrize(
    "write",
    [lambda path: path.write_bytes(b""), lambda path: path.write_bytes(b"junk" * 99), _not_a_state, _wrong_network],
)
def test_a_file_that_holds_something_else_says_so(write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.pth"
    write(path)
    monkeypatch.setenv(inception.VARIABLE, str(path))
    with pytest.raises(ExtractorUnavailable, match="does not hold the Inception weights") as raised:
        inception.load(CPU)
    assert "\n" not in str(raised.value)


def test_construction_leaves_pytorch_fid_as_it_was() -> None:
    before = peer.load_state_dict_from_url
    with pytest.raises(RuntimeError):
        inception.build_network({})
    assert peer.load_state_dict_from_url is before


def test_specs_name_their_metrics() -> None:
    specs = {spec.name: spec for spec in genbench_extractors()}
    assert {name: (spec.metric, spec.default) for name, spec in specs.items()} == {
        "fashion-cnn": ("fd-fashion-cnn", True),
        "inception": ("fid", False),
    }
