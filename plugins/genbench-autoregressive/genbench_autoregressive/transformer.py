"""A transformer over the values of an image in raster order, channels innermost, each one of 256 levels.

The likelihood is that of the "categorical" Image Transformer (Parmar et al. 2018, arXiv:1802.05751, section 3), the
layers are those of iGPT (Chen et al. 2020, "Generative pretraining from pixels", section 2.3), width F:

    token t   embedding of the level of token t - 1 (a learned start for the first), plus learned embeddings of the
              row, column and channel of token t, plus that of the label in conditional models
    layer     x + attention(norm x), then x + Linear 4F → F of GELU of Linear F → 4F of norm x
    last      norm, Linear F → 256

Attention is local, in one dimension (Parmar et al. 2018, section 3.3): tokens are divided into blocks, and each attends
to those before it in its own block and to all of the block before. Its cost grows linearly with the number of tokens.
While an image is drawn, the keys and values of earlier tokens are kept.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, pad, scaled_dot_product_attention, softmax

import genbench
from genbench_autoregressive import TransformerOptions
from genbench_autoregressive.family import HIGHEST, require_classes

_DEVIATION = 0.02  # of initial embeddings and weights, as in GPT-2


class Cache:
    """The keys and values of tokens that have been drawn, for one layer."""

    def __init__(self) -> None:
        self.keys: Tensor | None = None
        self.values: Tensor | None = None

    def append(self, key: Tensor, value: Tensor, start: int, length: int) -> tuple[Tensor, Tensor]:
        """Store those of the current token (B, H, 1, d), and return those from `start` to it."""
        if self.keys is None or self.values is None:
            shape = (*key.shape[:2], length, key.shape[3])
            self.keys, self.values, self.count = key.new_zeros(shape), value.new_zeros(shape), 0
        self.keys[:, :, self.count] = key[:, :, 0]
        self.values[:, :, self.count] = value[:, :, 0]
        self.count += 1
        return self.keys[:, :, start : self.count], self.values[:, :, start : self.count]


class Attention(nn.Module):
    """Each token attends to itself, to those before it in its block, and to the block before."""

    def __init__(self, width: int, heads: int, block: int) -> None:
        super().__init__()
        self.heads, self.block = heads, block
        self.project = nn.Linear(width, 3 * width)
        self.join = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return (B, T, width)."""
        query, key, value = self._heads(tokens)
        count = tokens.shape[1]
        if count <= self.block:
            attended = scaled_dot_product_attention(query, key, value, is_causal=True)
        else:
            attended = self._local(query, key, value)[:, :, :count]
        return self._joined(attended)

    def step(self, token: Tensor, number: int, cache: Cache, length: int) -> Tensor:
        """Return (B, 1, width) for the token of this number out of `length`."""
        query, key, value = self._heads(token)
        start = max(0, (number // self.block - 1) * self.block)
        return self._joined(scaled_dot_product_attention(query, *cache.append(key, value, start, length)))

    def _heads(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return query, key and value, each (B, H, T, width / H)."""
        projected = self.project(tokens).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = projected.unbind(0)
        return query, key, value

    def _joined(self, attended: Tensor) -> Tensor:
        joined: Tensor = self.join(attended.transpose(1, 2).flatten(2))
        return joined

    def _local(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Return the attended values of blocks, (B, H, T', d), T' the next multiple of the block."""
        batch, _, count, _ = query.shape
        blocks, block = -(-count // self.block), self.block
        filled = pad(torch.stack([query, key, value]), (0, 0, 0, blocks * block - count))
        own = filled.unflatten(3, (blocks, block)).transpose(2, 3).flatten(1, 2)  # 3, B · blocks, H, block, d
        before = pad(own.unflatten(1, (batch, blocks)), (0, 0, 0, 0, 0, 0, 1, 0))[:, :, :-1].flatten(1, 2)
        key, value = torch.cat([before[1:], own[1:]], 3).unbind(0)
        attended = scaled_dot_product_attention(own[0], key, value, attn_mask=self._mask(batch, blocks, query.device))
        return attended.unflatten(0, (batch, blocks)).transpose(1, 2).flatten(2, 3)

    def _mask(self, batch: int, blocks: int, device: torch.device) -> Tensor:
        """Return which of the tokens of two blocks those of the second attend to, (B · blocks, 1, block, 2 block)."""
        places = torch.arange(self.block, device=device)
        own = places <= places[:, None]
        before = (torch.arange(blocks, device=device) > 0)[:, None, None].expand(-1, self.block, self.block)
        both = torch.cat([before, own.expand(blocks, -1, -1)], 2)
        return both.repeat(batch, 1, 1)[:, None]


class Layer(nn.Module):
    """Attention and two dense layers, each after a normalisation and added to its input."""

    def __init__(self, width: int, heads: int, block: int) -> None:
        super().__init__()
        self.norm_attention, self.norm_dense = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, block)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return (B, T, width)."""
        return self._dense(tokens + self.attention(self.norm_attention(tokens)))

    def step(self, token: Tensor, number: int, cache: Cache, length: int) -> Tensor:
        """Return (B, 1, width) for the token of this number."""
        return self._dense(token + self.attention.step(self.norm_attention(token), number, cache, length))

    def _dense(self, tokens: Tensor) -> Tensor:
        changed: Tensor = tokens + self.narrow(gelu(self.widen(self.norm_dense(tokens))))
        return changed


class ImageTransformer(nn.Module):
    """The network: log P of images, and samples."""

    def __init__(self, image_shape: genbench.Shape, num_classes: int, options: TransformerOptions) -> None:
        super().__init__()
        channels, height, width = self.image_shape = image_shape
        self.start = nn.Parameter(torch.zeros(options.width))
        self.levels = nn.Embedding(HIGHEST + 1, options.width)
        self.rows, self.columns = nn.Embedding(height, options.width), nn.Embedding(width, options.width)
        self.channels = nn.Embedding(channels, options.width)
        self.of_labels = nn.Embedding(num_classes, options.width) if num_classes else None
        self.layers = nn.ModuleList(Layer(options.width, options.heads, options.block) for _ in range(options.layers))
        self.norm = nn.LayerNorm(options.width)
        self.apply(_initialise)
        self.last = nn.Linear(
            options.width, HIGHEST + 1
        )  # larger weights than the others, so that labels matter at once
        nn.init.zeros_(self.last.bias)

    def forward(self, levels: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return log P of levels (B, c, h, w) in nats, (B,)."""
        chosen = levels.long().permute(0, 2, 3, 1).flatten(1)[..., None]
        return self.logits(levels, labels).float().log_softmax(2).gather(2, chosen).sum((1, 2))

    def logits(self, levels: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the logits of all levels for each value, (B, h·w·c, 256)."""
        tokens = levels.long().permute(0, 2, 3, 1).flatten(1)
        start = self.start.expand(len(tokens), 1, -1)
        inputs = torch.cat([start, self.levels(tokens[:, :-1])], 1) + self._places(labels)
        for layer in self.layers:
            inputs = layer(inputs)
        found: Tensor = self.last(self.norm(inputs))
        return found

    def sample(self, count: int, rng: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """Return levels (count, c, h, w), drawn value by value; nothing is computed twice."""
        channels, height, width = self.image_shape
        places, caches = self._places(labels), [Cache() for _ in self.layers]
        drawn = list[Tensor]()
        for number in range(channels * height * width):
            token = self.levels(drawn[-1]) if drawn else self.start.expand(count, 1, -1)
            token = token + places[:, number : number + 1]
            for layer, cache in zip(self.layers, caches, strict=True):
                token = layer.step(token, number, cache, channels * height * width)  # type: ignore[operator]
            weights = softmax(self.last(self.norm(token))[:, 0].float(), 1)
            drawn.append(torch.multinomial(weights, 1, generator=rng))
        levels = torch.cat(drawn, 1).view(count, height, width, channels)
        return levels.permute(0, 3, 1, 2).float()

    def _places(self, labels: Tensor | None) -> Tensor:
        """Return the embeddings of row, column, channel and label, (1 or B, h·w·c, F)."""
        places = self.rows.weight[:, None, None] + self.columns.weight[:, None] + self.channels.weight
        places = places.flatten(0, 2)[None]
        return places if self.of_labels is None else places + self.of_labels(labels)[:, None]


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=_DEVIATION)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)


def build(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: TransformerOptions
) -> Mapping[str, nn.Module]:
    """Return the network; `latent_dim` has no effect."""
    return {"predictor": _network(image_shape, 0, options)}


def build_conditional(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: TransformerOptions
) -> Mapping[str, nn.Module]:
    """Return the network of the conditional model; raise `GenbenchError` without classes."""
    require_classes("cimage-transformer", num_classes)
    return {"predictor": _network(image_shape, num_classes, options)}


def _network(image_shape: genbench.Shape, num_classes: int, options: TransformerOptions) -> ImageTransformer:
    if options.width % options.heads:
        raise genbench.GenbenchError(
            f"The width {options.width} of a transformer is no multiple of its {options.heads} heads.",
            "Change its option `width` or `heads`.",
        )
    return ImageTransformer(image_shape, num_classes, options)
