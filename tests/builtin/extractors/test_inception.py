"""The Inception extractors compared with pytorch-fid, with generated weights; and errors for missing weights."""

from __future__ import annotations

import hashlib
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_fid import inception as peer
from random_inception import pytorch_fids_own, write_random_weights

from genbench import Classifier, ExtractorUnavailable
from genbench.builtin.extractors import genbench_extractors, inception, inception_input, inception_weights

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_weights(tmp_path_factory.mktemp("weights") / "random.pth")


@pytest.fixture(autouse=True)
def _no_weights_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(inception_weights.VARIABLE, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(inception_weights, "URL", "http://127.0.0.1:1/weights.pth")  # nobody listens there


def images(channels: int, size: int = 40) -> torch.Tensor:
    rng = torch.Generator().manual_seed(1)
    return torch.randint(256, (2, channels, size, size), generator=rng, dtype=torch.uint8)


# ----------------------------------------------------------------------------------------------------------------------
# What it computes


@pytest.mark.parametrize("channels", [1, 3])
def test_features_are_those_of_pytorch_fid(weights: Path, channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(inception_weights.VARIABLE, str(weights))
    pixels = images(channels)
    with torch.inference_mode():
        expected = pytorch_fids_own(weights)(pixels.repeat(1, 3 // channels, 1, 1).float() / 255)[0].flatten(1)
        found = inception.load(CPU)(pixels)
    assert found.shape == (2, 2048)
    assert expected.abs().mean() > 1e-3  # features that vanish would agree with anything
    assert (found - expected).norm() < 1e-5 * expected.norm()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


def test_features_do_not_depend_on_the_number_of_images_per_pass(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(inception_weights.VARIABLE, str(weights))
    monkeypatch.setattr(inception, "_CPU_IMAGES", 2)
    extractor = inception.load(CPU)
    three = torch.cat([images(3), images(3)[:1].flip(-1)])
    with torch.inference_mode():
        together, alone = extractor(three), torch.cat([extractor(one[None]) for one in three])
    assert (together - alone).norm() < 1e-5 * alone.norm()


def test_two_channels_are_refused_by_inception() -> None:
    extractor = inception.Inception(torch.nn.Identity(), torch.zeros(1008, 2048), CPU, "0" * 64)
    with pytest.raises(ValueError, match="2 channels"):
        extractor(torch.zeros(1, 2, 8, 8, dtype=torch.uint8))


def test_folding_needs_a_network_in_evaluation_mode() -> None:
    class Block(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.bn = torch.nn.Conv2d(1, 1, 1, bias=False), torch.nn.BatchNorm2d(1)

    with pytest.raises(ValueError, match="in training"):
        inception.fold_normalisation(torch.nn.Sequential(Block()))


def test_logits_are_the_last_layer_without_its_bias(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(inception_weights.VARIABLE, str(weights))
    extractor = inception.load(CPU)
    assert isinstance(extractor, Classifier)
    features = torch.randn(3, 2048, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    weight = torch.load(weights, weights_only=True)["fc.weight"].double()
    expected = torch.stack([(weight * row).sum(1) for row in features])
    torch.testing.assert_close(extractor.logits(features).double(), expected, rtol=1e-4, atol=1e-4)
    assert extractor.logits(torch.zeros(1, 2048)).abs().max() == 0


# ----------------------------------------------------------------------------------------------------------------------
# How images are resized


@pytest.mark.parametrize("size", [32, 299, 400, 1000])
def test_clean_resizing_is_pillows_bicubic_on_floating_point_pixels(size: int) -> None:
    pixels = images(3, size)[:1]
    channels = [
        np.asarray(Image.fromarray(channel.astype(np.float32)).resize((299, 299), Image.Resampling.BICUBIC))
        for channel in pixels[0].numpy()
    ]
    expected = (np.stack(channels).clip(0, 255) - 128) / 128
    found = inception_input.as_clean_fid(pixels)[0].numpy()
    assert abs(found - expected).max() < 1e-6  # of a range of 2


def test_tensorflows_resizing_reads_a_ramp_from_its_corner() -> None:
    ramp = torch.arange(100, dtype=torch.uint8).repeat(3, 100, 1)[None]
    found = inception_input.as_tensorflow(ramp)[0, 0, 0] * 128 + 128
    torch.testing.assert_close(found, (torch.arange(299) * (100 / 299)).clamp(max=99), rtol=0, atol=1e-4)
    turned = inception_input.as_tensorflow(ramp.transpose(-1, -2))
    torch.testing.assert_close(turned, inception_input.as_tensorflow(ramp).transpose(-1, -2), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "prepare", [inception_input.as_pytorch_fid, inception_input.as_clean_fid, inception_input.as_tensorflow]
)
def test_every_protocol_maps_black_and_white_to_the_ends_of_the_range(prepare: inception_input.Preparation) -> None:
    for level, end in ((0, -1.0), (255, 1.0)):
        flat = prepare(torch.full((1, 1, 7, 9), level, dtype=torch.uint8))
        assert flat.shape == (1, 1, 299, 299)
        assert (flat - end).abs().max() <= 1 / 128 + 1e-6


def test_protocols_of_the_variants_are_not_comparable() -> None:
    variants = (inception.STANDARD, inception.CLEAN, inception.TENSORFLOW)
    loaded = [inception.Inception(torch.nn.Identity(), torch.zeros(1, 1), CPU, "6726825d", one) for one in variants]
    assert [one.name for one in loaded] == ["fid", "fid-clean", "fid-legacy-tensorflow"]
    assert len({str(one.protocol) for one in loaded}) == 3


# ----------------------------------------------------------------------------------------------------------------------
# Which weights earn which name


def test_other_weights_are_not_called_fid(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(inception_weights.VARIABLE, str(weights))
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    loaded = inception.load(CPU)
    assert loaded.name == f"fd-inception-{sha256[:8]}"
    assert loaded.protocol["weights_sha256"] == sha256[:16]
    assert loaded.whiten is False
    assert inception.load_clean(CPU).name == f"fd-inception-clean-{sha256[:8]}"
    assert inception.load_legacy_tensorflow(CPU).name == f"fd-inception-legacy-tensorflow-{sha256[:8]}"


def test_published_weights_are_called_fid() -> None:
    head = torch.zeros(1008, 2048)
    assert inception.Inception(torch.nn.Identity(), head, CPU, "6726825d" + "0" * 56).name == "fid"


@pytest.mark.parametrize("name", [inception_weights.FILE_NAME, "weights-inception-2015-12-05-6726825d.pth"])
def test_a_file_named_after_the_published_hash_must_have_it(
    name: str, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    path.write_bytes(weights.read_bytes())
    monkeypatch.setenv(inception_weights.VARIABLE, str(path))
    with pytest.raises(ExtractorUnavailable, match=r"instead of the 6726825d… of its name.*delete it"):
        inception.load(CPU)


@pytest.mark.inception
def test_published_weights_load_where_available(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCH_HOME")
    if not inception_weights.cached_path().is_file():
        pytest.skip("the published weights are not on this machine")
    assert inception.load(CPU).name == "fid"


# ----------------------------------------------------------------------------------------------------------------------
# Where they are looked for


@pytest.mark.parametrize("home", [{"TORCH_HOME": "t"}, {"XDG_CACHE_HOME": "x"}, {"HOME": "h"}])
def test_weights_are_found_in_the_cache_of_torch_hub(
    home: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, folder in home.items():
        monkeypatch.setenv(name, str(tmp_path / folder))
    path = Path(torch.hub.get_dir()) / "checkpoints" / "pt_inception-2015-12-05-6726825d.pth"
    assert path.is_relative_to(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    assert inception_weights.find_weights() == path


def test_the_error_for_missing_weights_without_a_network_names_file_and_path_in_one_line(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(ExtractorUnavailable) as raised:
        inception.load(CPU)
    assert time.monotonic() - started < 5
    line = str(raised.value)
    assert "\n" not in line
    assert inception_weights.URL in line
    assert str(tmp_path / "hub" / "checkpoints" / inception_weights.FILE_NAME) in line
    assert inception_weights.VARIABLE in line
    assert list(tmp_path.rglob("*.part*")) == []


def test_a_server_that_never_answers_does_not_block_the_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(inception_weights, "URL", f"http://127.0.0.1:{silent.getsockname()[1]}/weights.pth")
        monkeypatch.setattr(inception_weights, "TIMEOUT", 0.2)
        before = socket.getdefaulttimeout()
        with pytest.raises(ExtractorUnavailable, match="timed out"):
            inception.load(CPU)
        assert socket.getdefaulttimeout() == before


def test_a_download_with_another_hash_is_refused_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.pth"
    other.write_bytes(b"something else")
    monkeypatch.setattr(inception_weights, "URL", other.as_uri())
    with pytest.raises(ExtractorUnavailable, match="invalid hash value"):
        inception.load(CPU)
    assert [path.name for path in (tmp_path / "hub" / "checkpoints").iterdir()] == []


def test_the_published_address_is_the_one_that_pytorch_fid_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert inception_weights.URL == peer.FID_WEIGHTS_URL


def test_a_variable_that_is_not_a_file_is_an_error_and_starts_no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(inception_weights.VARIABLE, "nowhere.pth")
    with pytest.raises(ExtractorUnavailable, match=r"GENBENCH_INCEPTION_WEIGHTS is nowhere\.pth, which is not a file"):
        inception.load(CPU)


def _not_a_state(path: Path) -> None:
    torch.save([1, 2, 3], path)


def _wrong_network(path: Path) -> None:
    torch.save({"weight": torch.zeros(1)}, path)


@pytest.mark.parametrize(
    "write",
    [lambda path: path.write_bytes(b""), lambda path: path.write_bytes(b"junk" * 99), _not_a_state, _wrong_network],
)
def test_a_file_with_other_content_is_refused(write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.pth"
    write(path)
    monkeypatch.setenv(inception_weights.VARIABLE, str(path))
    with pytest.raises(ExtractorUnavailable, match="does not contain the Inception weights") as raised:
        inception.load(CPU)
    assert "\n" not in str(raised.value)


def test_specs_name_their_metrics() -> None:
    specs = {spec.name: spec for spec in genbench_extractors()}
    assert {name: (spec.metric, spec.default) for name, spec in specs.items() if "inception" in name} == {
        "inception": ("fid", False),
        "inception-clean": ("fid-clean", False),
        "inception-legacy-tensorflow": ("fid-legacy-tensorflow", False),
    }
    assert specs["fashion-cnn"].metric == "fd-fashion-cnn"
