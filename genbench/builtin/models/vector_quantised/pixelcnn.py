"""Gated PixelCNN over a grid of codes: the probability of each code given the preceding ones in row order.

van den Oord et al. 2016, "Conditional Image Generation with PixelCNN Decoders", arXiv:1606.05328, section 2. Two stacks
avoid a blind spot: the vertical one sees the rows above, the horizontal one the codes to the left in the same row and
the features of the vertical one. There are no masks: the input of each stack is shifted by one row or one column, and
convolutions are padded only on the side of the past, so that no weight can reach a code that is not drawn yet.

Width w, K codes, L layers; each layer extends the receptive field by one row and one column:

    vertical    embedding w, shifted down     L × [Conv 2×3 to 2w, gate]
    horizontal  embedding w, shifted right    L × [Conv 1×2 to 2w + Conv k1 of the vertical 2w, gate, Conv k1, + input]
    output      ReLU, Conv k1 to w, ReLU, Conv k1 to K

With a condition of C channels over the same grid (equation 4), its Conv k1 from C to 2w is added in each layer to
what the horizontal stack receives from the vertical one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad


class GatedLayer(nn.Module):
    """One layer of both stacks."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.vertical = nn.Conv2d(width, 2 * width, (2, 3))
        self.link = nn.Conv2d(2 * width, 2 * width, 1, bias=False)
        self.horizontal = nn.Conv2d(width, 2 * width, (1, 2))
        self.merge = nn.Conv2d(width, width, 1)

    def step_vertical(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the vertical features of the next layer, (B, width, h, w), and the input for the horizontal stack."""
        found = self.vertical(pad(features, (1, 1, 1, 0)))
        return _gate(found), self.link(found)

    def step_horizontal(self, features: Tensor, from_above: Tensor) -> Tensor:
        """Return the horizontal features of the next layer, (B, width, h, w)."""
        found = self.horizontal(pad(features, (1, 0))) + from_above
        return features + self.merge(_gate(found))  # type: ignore[no-any-return]


class PixelCNN(nn.Module):
    """The distribution of a grid (h, w) of codes; with `condition_channels`, given features (B, C, h, w)."""

    def __init__(self, codes: int, grid: tuple[int, int], width: int, layers: int, condition_channels: int = 0) -> None:
        super().__init__()
        self.grid = grid
        self.embedding = nn.Embedding(codes, width)
        self.layers = nn.ModuleList(GatedLayer(width) for _ in range(layers))
        self.output = nn.Sequential(nn.ReLU(), nn.Conv2d(width, width, 1), nn.ReLU(), nn.Conv2d(width, codes, 1))
        conditioned = layers if condition_channels else 0
        self.conditions = nn.ModuleList(nn.Conv2d(condition_channels, 2 * width, 1) for _ in range(conditioned))

    def forward(self, codes: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return logits (B, K, h, w) of codes (B, h, w), each given those above it and to its left."""
        from_above = self._from_above(codes, condition)
        return self.output(self._horizontal_features(codes, from_above))  # type: ignore[no-any-return]

    @torch.no_grad()
    def draw(self, count: int, rng: torch.Generator, condition: Tensor | None = None) -> Tensor:
        """Return codes (count, h, w), each drawn given those before it.

        The vertical stack runs once per row, the horizontal one only on the current row.
        """
        height, width = self.grid
        codes = torch.zeros(count, height, width, dtype=torch.int64, device=rng.device)
        for row in range(height):
            above = condition if condition is None else condition[:, :, : row + 1]
            from_above = [found[:, :, row:] for found in self._from_above(codes[:, : row + 1], above)]
            for column in range(width):
                seen = slice(0, column + 1)
                features = self._horizontal_features(
                    codes[:, row : row + 1, seen], [found[..., seen] for found in from_above]
                )
                logits: Tensor = self.output(features[..., -1:])
                codes[:, row, column] = _draw_code(logits.flatten(1), rng)
        return codes

    def _from_above(self, codes: Tensor, condition: Tensor | None) -> list[Tensor]:
        """Return what each layer's horizontal stack receives, (B, 2·width, h, w): of rows above and the condition."""
        features = pad(self._embed(codes), (0, 0, 1, -1))
        found = []
        for layer in self._gated():
            features, link = layer.step_vertical(features)
            found.append(link)
        if condition is None:
            return found
        return [link + project(condition) for link, project in zip(found, self.conditions, strict=True)]

    def _horizontal_features(self, codes: Tensor, from_above: list[Tensor]) -> Tensor:
        """Return the last horizontal features, (B, width, h, w), from the codes to the left and those above."""
        features = pad(self._embed(codes), (1, -1))
        for layer, link in zip(self._gated(), from_above, strict=True):
            features = layer.step_horizontal(features, link)
        return features

    def _embed(self, codes: Tensor) -> Tensor:
        return self.embedding(codes).movedim(-1, 1)  # type: ignore[no-any-return]

    def _gated(self) -> list[GatedLayer]:
        return [layer for layer in self.layers if isinstance(layer, GatedLayer)]


def _gate(features: Tensor) -> Tensor:
    """tanh(a)·sigmoid(b) of two halves of the channels (equation 2)."""
    first, second = features.chunk(2, 1)
    return first.tanh() * second.sigmoid()


def _draw_code(logits: Tensor, rng: torch.Generator) -> Tensor:
    """Draw from softmax(logits), (B, K) -> (B,): the first of exponential clocks whose rates are the probabilities.

    Unlike `torch.multinomial`, it returns some code, and no device error, where logits are not finite.
    """
    clocks = torch.empty_like(logits, dtype=torch.float32).exponential_(generator=rng)
    return (logits.float().softmax(1) / clocks).argmax(1)
