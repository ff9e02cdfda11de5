"""A network with the layers of Inception, but hardly any arithmetic, loaded by the real code."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from genbench.builtin.extractors import inception, inception_weights


class TinyInception(nn.Module):
    """Four blocks of 64, 192, 768 and 2048 channels, the last one averaged over its positions."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.blocks = nn.ModuleList(
                [
                    nn.Sequential(nn.Conv2d(3, 64, 5, stride=29), nn.ReLU()),
                    nn.Sequential(nn.Conv2d(64, 192, 1), nn.ReLU()),
                    nn.Sequential(nn.AvgPool2d(3), nn.Conv2d(192, 768, 1), nn.ReLU()),
                    nn.Sequential(nn.Conv2d(768, 2048, 1), nn.AdaptiveAvgPool2d(1)),
                ]
            )

    def forward(self, images: Tensor) -> Tensor:
        """Return the last features."""
        for block in self.blocks:
            images = block(images)
        return images


def use_tiny_inception(monkeypatch: pytest.MonkeyPatch, folder: Path, published: bool = False) -> None:
    """Let `inception` load this network; `published`: as if its weights were those of 2015-12-05."""
    path = folder / "tiny.pth"
    torch.save({"fc.weight": torch.zeros(1008, 2048)}, path)
    monkeypatch.setenv(inception_weights.VARIABLE, str(path))
    monkeypatch.setattr(inception, "InceptionNetwork", lambda _state: TinyInception())
    if published:
        monkeypatch.setattr(inception, "published", lambda _sha256: True)
