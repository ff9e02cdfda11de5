"""Converting a decoder's output to images in the model's value range and to logits of means in [0, 1]."""

from __future__ import annotations

from torch import Tensor

import genbench

_EDGE = 1e-6  # images in [0, 1] are clamped this far from the ends before their logits are computed


class Decoded:
    """Converts between a model's value range, images in [0, 1], and logits."""

    def __init__(self, model: genbench.ModelSpec) -> None:
        self.low, self.high = model.value_range
        self.gives_logits = model.output == "logits"

    def images(self, decoded: Tensor) -> Tensor:
        """Return images in the model's value range."""
        return decoded.sigmoid() if self.gives_logits else decoded

    def logits(self, decoded: Tensor) -> Tensor:
        """Return logits whose sigmoid is the decoded mean in [0, 1]."""
        return decoded if self.gives_logits else self.unit(decoded).clamp(_EDGE, 1 - _EDGE).logit()

    def unit(self, images: Tensor) -> Tensor:
        """Map images from the model's value range to [0, 1]."""
        return images if (self.low, self.high) == (0.0, 1.0) else (images - self.low) / (self.high - self.low)
