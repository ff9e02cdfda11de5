"""An extractor on a fast path: the same network at lower precision or compiled, as stated in its protocol.

`genbench.metrics.certification.acceptance` checks whether its features are accurate enough. `genbench run` measures in
fp32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor

from genbench.api.evaluation import Classifier, Extractor

Precision = Literal["fp32", "bf16"]


class FastExtractor:
    """An extractor under autocast, compiled, or both."""

    def __init__(self, exact: Extractor, device: torch.device, precision: Precision, compiled: bool) -> None:
        self.name = exact.name
        self.whiten = exact.whiten
        self.protocol: Mapping[str, str | int | float | bool] = {
            **exact.protocol,
            **({} if precision == "fp32" else {"precision": precision}),
            **({"compiled": True} if compiled else {}),
        }
        self._device = device
        self._lowers = precision == "bf16"
        call: Callable[[Tensor], Tensor] = exact.__call__
        self._call: Callable[[Tensor], Tensor] = torch.compile(call) if compiled else call

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return float32 features (N, d) for uint8 images (N, channels, height, width)."""
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._lowers):
            return self._call(pixels).float()


class FastClassifier(FastExtractor):
    """A classifier on a fast path. Its small head stays exact."""

    def __init__(self, exact: Classifier, device: torch.device, precision: Precision, compiled: bool) -> None:
        super().__init__(exact, device, precision, compiled)
        self._exact = exact

    def logits(self, features: Tensor) -> Tensor:
        """Return logits (N, classes) for features (N, d)."""
        return self._exact.logits(features)


def fast(
    exact: Extractor, device: torch.device, precision: Precision = "fp32", compiled: bool = False
) -> FastExtractor:
    """Return the extractor on a fast path; it is a `Classifier` if the exact one is."""
    made = FastClassifier if isinstance(exact, Classifier) else FastExtractor
    return made(exact, device, precision, compiled)  # type: ignore[arg-type]
