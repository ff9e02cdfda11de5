"""Every way to prepare images for Inception, compared with the tool that does it, or with its formula."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_fid import inception as pytorch_fid
from torch import Tensor
from torch.nn import functional as F

from genbench.builtin.extractors.inception_input import RESIZES, SCALES, prepared, rounded

SIZES = [(20, 31), (299, 299), (299, 150), (640, 400)]


def images(height: int, width: int, channels: int = 3) -> Tensor:
    rng = torch.Generator().manual_seed(height)
    return torch.randint(256, (2, channels, height, width), generator=rng, dtype=torch.uint8)


def levels(pixels: Tensor, resize: str, rounding: str = "none") -> Tensor:
    """The prepared images as grey levels."""
    return prepared(pixels, resize, rounding, "(x-128)/128") * 128 + 128


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_pytorch_fids_own_preparation_bit_by_bit(height: int, width: int) -> None:
    pixels = images(height, width)
    network: Any = SimpleNamespace(
        resize_input=True, normalize_input=True, blocks=[torch.nn.Identity()], output_blocks=[0], last_needed_block=0
    )
    (expected,) = pytorch_fid.InceptionV3.forward(network, pixels.float() / 255)
    assert torch.equal(prepared(pixels, "bilinear", "none", "2x/255-1"), expected)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_clean_fids_resizers(height: int, width: int) -> None:
    peer = pytest.importorskip("cleanfid.resize")
    pixels = images(height, width)[:1]
    array = pixels[0].permute(1, 2, 0).numpy()
    size = (299, 299)

    def theirs(library: str, quantise: bool, filtering: str) -> Tensor:
        found = peer.make_resizer(library, quantise, filtering, size)(array)
        return torch.from_numpy(np.array(found, dtype=np.float32)).permute(2, 0, 1)[None]

    clean = (theirs("PIL", False, "bicubic") - 128) / 128
    torch.testing.assert_close(prepared(pixels, "bicubic-antialias", "none", "(x-128)/128"), clean, rtol=0, atol=2.5e-7)
    legacy = (theirs("PyTorch", False, "bilinear") - 128) / 128
    assert torch.equal(prepared(pixels, "bilinear", "none", "(x-128)/128"), legacy)
    for filtering in ("bilinear", "bicubic"):
        assert torch.equal(rounded(pixels, f"{filtering}-antialias").float(), theirs("PIL", True, filtering))


def test_tensorflow_1_by_hand() -> None:
    # Two pixels, 10 and 40: output i is read at 2i/299, between them until the second, then beyond the last one.
    pixels = torch.tensor([10, 40], dtype=torch.uint8).expand(1, 1, 2, 2)
    row = levels(pixels, "bilinear-corner")[0, 0, 0]
    by_hand = {0: 10.0, 1: 10 + 30 * 2 / 299, 100: 10 + 30 * 200 / 299, 149: 10 + 30 * 298 / 299, 150: 40.0, 298: 40.0}
    for place, expected in by_hand.items():
        assert float(row[place]) == pytest.approx(expected, abs=2e-5)
    # 598 pixels: every second one, without antialias
    wide = images(598, 598)
    assert torch.equal(levels(wide, "bilinear-corner"), wide[:, :, ::2, ::2].float())


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_torch_fidelitys_tensorflow_resizing(height: int, width: int) -> None:
    peer = pytest.importorskip("torch_fidelity.interpolate_compat_tensorflow")
    pixels = images(height, width)
    expected = peer.interpolate_bilinear_2d_like_tensorflow1x(pixels.float(), size=(299, 299), align_corners=False)
    torch.testing.assert_close(levels(pixels, "bilinear-corner"), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_torchmetrics_resizing(height: int, width: int) -> None:
    pixels = images(height, width)  # as its FeatureExtractorInceptionV3 does by default
    expected = F.interpolate(pixels.float(), size=(299, 299), mode="bilinear", align_corners=False, antialias=True)
    assert torch.equal(prepared(pixels, "bilinear-antialias", "none", "(x-128)/128"), (expected - 128) / 128)


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("scale", SCALES)
def test_all_combinations_keep_flat_images_flat(resize: str, scale: str) -> None:
    for rounding in ("none", "8-bit"):
        for level in (0, 77, 255):
            flat = prepared(torch.full((1, 1, 40, 30), level, dtype=torch.uint8), resize, rounding, scale)
            expected = 2 * level / 255 - 1 if scale == "2x/255-1" else (level - 128) / 128
            assert flat.dtype == torch.float32
            assert flat.shape == (1, 1, 299, 299)
            assert float((flat - expected).abs().max()) < 1e-6


def test_rounding_gives_whole_levels_under_either_scale() -> None:
    for resize in RESIZES:
        pixels = images(50, 60)
        levels_of_pytorch = (prepared(pixels, resize, "8-bit", "2x/255-1") + 1) * 255 / 2
        assert float((levels_of_pytorch - levels_of_pytorch.round()).abs().max()) < 1e-4
        assert torch.equal(levels(pixels, resize, "8-bit"), levels(pixels, resize, "8-bit").round())
