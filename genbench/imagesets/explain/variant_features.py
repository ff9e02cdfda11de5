"""The features of a set of images under several protocols at once: each image is read once, and passes the network once
for each distinct input. Features go to temporary files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from genbench.api.evaluation import Extractor, Rows
from genbench.data.progress import Progress
from genbench.errors import DataError
from genbench.features.extract import features_of
from genbench.features.feature_file import FeatureRows
from genbench.imagesets.explain.network_input import (
    NetworkInput,
    coloured,
    extractor_for,
    simplified,
    stored,
)
from genbench.imagesets.source import ImageSource, ReadReport

Wanted = Mapping[NetworkInput, tuple[int, ...]]  # inputs, and the layers (numbers of features) that are needed of each


class VariantFeatures:
    """Features by input and layer; the images of further sources are appended. Close it to delete the files."""

    def __init__(self, wanted: Wanted, loaded: Mapping[str, Extractor], device: torch.device, batch_size: int) -> None:
        """Take the extractors that the inputs name, on the device."""
        self.rows = {(one, layer): FeatureRows() for one, layers in wanted.items() for layer in layers}
        self._wanted, self._loaded, self._device, self._batch_size = wanted, loaded, device, batch_size

    def read(self, source: ImageSource, report: ReadReport, progress: Progress) -> int:
        """Append the features of all images of a source; return how many there are.

        Raises `DataError` where an extractor cannot process them, and where a feature is not finite.
        """
        count = 0
        for batch in source.batches(self._batch_size, report, progress):
            found: dict[tuple[NetworkInput, tuple[int, ...]], Tensor] = {}
            by_storage: dict[str, Tensor] = {}
            for one, layers in self._wanted.items():
                key = simplified(one, batch.shape[1:]), layers
                if one.storage not in by_storage:
                    by_storage[one.storage] = stored(batch, one.storage)
                if key not in found:
                    found[key] = self._features(by_storage[one.storage], *key, source.title)
                self._append(one, layers, found[key])
            count += len(batch)
        return count

    def close(self) -> None:
        """Delete the temporary files."""
        for rows in self.rows.values():
            rows.close()

    def _features(self, pixels: Tensor, one: NetworkInput, layers: tuple[int, ...], title: str) -> Tensor:
        extractor = extractor_for(self._loaded[one.extractor], one, layers)
        images = coloured(pixels, one.colour)
        size = min(self._batch_size, 1 << (len(images) - 1).bit_length())  # an incomplete batch is padded to this
        try:
            features = torch.cat([*features_of(extractor, [images], self._device, size)])
        except ValueError as error:
            raise DataError(
                f"'{one.extractor}' cannot process these images: {error}", "Choose another --extractor.", code="GB603"
            ) from error
        bad = int((~features.isfinite().all(1)).sum())
        if bad:
            raise DataError(
                f"{extractor.name}: features of {bad} images of {title} are not finite.",
                "Check the weights and the pixels.",
                code="GB604",
            )
        return features

    def _append(self, one: NetworkInput, layers: tuple[int, ...], features: Tensor) -> None:
        if len(layers) == 1:
            self.rows[one, layers[0]].append(features)
            return
        for layer, part in zip(layers, torch.split(features, list(layers), 1), strict=True):
            self.rows[one, layer].append(part)


@dataclass(frozen=True)
class RowSelection:
    """Some rows of features, in the order of `index`; see `genbench.Rows`."""

    rows: Rows
    index: Tensor  # row numbers

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""
        return len(self.index), *self.rows.shape[1:]

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, rows: Tensor | slice) -> Tensor:
        return self.rows[self.index[rows]]
