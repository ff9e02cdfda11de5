"""From the uint8 images of a set to what a network receives under a protocol, and to its features."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genbench.api.evaluation import Extractor
from genbench.builtin.extractors.inception import Inception
from genbench.builtin.extractors.inception_input import SIZE, prepared
from genbench.imagesets.explain.protocol import COLOURS, INCEPTION, Protocol, jpeg_quality


@dataclass(frozen=True)
class NetworkInput:
    """The choices that decide what a network receives: images have the same features wherever these agree."""

    extractor: str
    storage: str
    colour: str
    resize: str = ""  # empty, as all that follow: the extractor prepares its input itself
    rounding: str = ""
    scale: str = ""


def input_of(protocol: Protocol, reference: bool) -> NetworkInput:
    """Return the choices of a protocol for the reference or the second set."""
    storage = protocol.reference_storage if reference else protocol.storage
    found = NetworkInput(protocol.extractor, storage, protocol.colour)
    if protocol.extractor != INCEPTION:
        return found
    return replace(found, resize=protocol.resize, rounding=protocol.rounding, scale=protocol.scale)


def simplified(found: NetworkInput, shape: torch.Size) -> NetworkInput:
    """Return the same input without choices that change nothing in images of this shape, (C, H, W)."""
    if shape[0] == 1:
        found = replace(found, colour=COLOURS[0])
    if found.extractor == INCEPTION and shape[1:] == (SIZE, SIZE):
        found = replace(found, resize="bilinear", rounding="none")
    return found


def stored(pixels: Tensor, storage: str) -> Tensor:
    """Return uint8 images (N, 1 or 3, H, W) as they are after they were stored: ``png`` or ``jpeg-QUALITY``.

    JPEG as Pillow writes it: the colours of four pixels are stored as one (4:2:0) up to quality 100.
    """
    quality = jpeg_quality(storage)
    if quality is None:
        return pixels
    return torch.stack([_through_jpeg(image, quality) for image in pixels])


def coloured(pixels: Tensor, colour: str) -> Tensor:
    """Return uint8 images as they are, in grey (ITU-R 601, as Pillow rounds it), or with red and blue exchanged."""
    if pixels.shape[1] == 1 or colour == "rgb":
        return pixels
    if colour == "bgr":
        return pixels.flip(1)
    red, green, blue = pixels.int().unbind(1)
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).to(torch.uint8)[:, None]


class Prepared:
    """An extractor of some layers of Inception, with any preparation of the images; see `genbench.Extractor`."""

    whiten = False

    def __init__(self, network: Inception, wanted: NetworkInput, layers: tuple[int, ...]) -> None:
        """Take the loaded network; the features of the layers are beside one another."""
        self.name = network.name
        self.protocol: Mapping[str, str | int | float | bool] = network.protocol
        self._network, self._input, self._layers = network, wanted, layers

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return features (N, sum of layers) of uint8 images; raise ValueError without 1 or 3 channels."""
        if pixels.shape[1] not in (1, 3):
            raise ValueError(f"images have {pixels.shape[1]} channels; Inception takes 1 (grey) or 3 (RGB).")
        choice = self._input
        return torch.cat(
            [
                self._network.features_of_layers(
                    prepared(part, choice.resize, choice.rounding, choice.scale), self._layers
                )
                for part in self._network.parts(pixels)
            ]
        )


def extractor_for(loaded: Extractor, wanted: NetworkInput, layers: tuple[int, ...]) -> Extractor:
    """Return the extractor of the features of an input; other networks than Inception have one layer."""
    return Prepared(loaded, wanted, layers) if isinstance(loaded, Inception) else loaded


def _through_jpeg(image: Tensor, quality: int) -> Tensor:
    array = image.permute(1, 2, 0).contiguous().numpy()
    file = io.BytesIO()
    Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array).save(file, "JPEG", quality=quality)
    found = np.array(Image.open(file, formats=["JPEG"]))
    return torch.from_numpy(found.reshape(*found.shape[:2], -1)).permute(2, 0, 1)
