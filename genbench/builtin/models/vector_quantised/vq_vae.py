"""VQ-VAE (van den Oord et al. 2017, section 4.1) with the widely used sizes for small images.

Width w = 128, residual width r = 32, D = latent_dim = 64 values per code vector, K = 512 code vectors, s = size / 4:

    encoder   Conv k4 s2     w/2 × 2s × 2s   ReLU
              Conv k4 s2       w × s × s     ReLU
              Conv k3          w × s × s
              2 × residual     w × s × s     x + Conv k1 (ReLU (Conv k3 to r (ReLU x))); then ReLU
              Conv k1          D × s × s
    codebook  K × D
    decoder   Conv k3          w × s × s
              2 × residual     w × s × s
              ConvT k4 s2    w/2 × 2s × 2s   ReLU
              ConvT k4 s2      c × 4s × 4s   logits
    prior     gated PixelCNN over s × s codes, see `pixelcnn`

For 28×28×1: encoder 370,048, codebook 32,768 (buffers, unless it is trained by gradient), decoder 287,937 and prior
588,224 parameters.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

import genbench
from genbench.builtin.models.vector_quantised import VQVAEOptions
from genbench.builtin.models.vector_quantised.pixelcnn import PixelCNN

_IDLE = 0.1  # a code vector with less than this fraction of an equal share of the encodings is reset


class Residual(nn.Module):
    """x + Conv k1 (ReLU (Conv k3 (ReLU x))), (B, width, h, w)."""

    def __init__(self, width: int, residual_width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(width, residual_width, 3, 1, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(residual_width, width, 1, bias=False),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape."""
        return features + self.body(features)  # type: ignore[no-any-return]


class Codebook(nn.Module):
    """K vectors of D values; each encoding is replaced by the one nearest to it.

    With `decay` the vectors are buffers without gradients: in training, each follows a moving average of the encodings
    assigned to it (van den Oord et al. 2017, appendix A.1). One that is hardly ever used is reset to an encoding of the
    batch (Dhariwal et al. 2020, arXiv:2005.00341, section 3.1), as all are in the first step; otherwise a few vectors
    would be assigned all encodings. With `decay` 0 the vectors are parameters, trained by the loss's codebook term.
    """

    def __init__(self, size: int, dim: int, decay: float) -> None:
        super().__init__()
        self.size = size
        self.decay = decay
        vectors = torch.empty(size, dim).uniform_(-1 / size, 1 / size)
        self.vectors: Tensor
        self.counts: Tensor
        self.sums: Tensor
        if decay:
            self.register_buffer("vectors", vectors)
            self.register_buffer("counts", torch.zeros(size))  # moving average of the number of encodings per vector
            self.register_buffer("sums", torch.zeros(size, dim))  # moving average of the sum of those encodings
        else:
            self.vectors = nn.Parameter(vectors)

    def forward(self, encoded: Tensor) -> tuple[Tensor, Tensor]:
        """Return the nearest vectors (B, D, h, w) and their indices, int64 (B, h, w), for encodings (B, D, h, w)."""
        flat = encoded.detach().movedim(1, -1).flatten(0, -2)  # (B·h·w, D)
        vectors = self.vectors.detach()
        # |z - e|² = |z|² - 2ze + |e|², where |z|² is the same for every e.
        distances = torch.addmm(vectors.square().sum(1), flat, vectors.T, alpha=-2)
        chosen = distances.argmin(1)
        codes = chosen.view(encoded.shape[0], *encoded.shape[2:])
        found = self.look_up(codes)
        if self.decay and self.training:
            self._follow(flat, chosen)
        return found, codes

    def look_up(self, codes: Tensor) -> Tensor:
        """Return the vectors (B, D, h, w) of codes (B, h, w)."""
        return embedding(codes, self.vectors).movedim(-1, 1)

    @torch.no_grad()
    def _follow(self, flat: Tensor, chosen: Tensor) -> None:
        # A product with the one-hot codes: a scatter-add has no fixed order of summation on some devices.
        one_hot = torch.zeros(len(flat), self.size, device=flat.device).scatter_(1, chosen[:, None], 1.0)
        self.counts.lerp_(one_hot.sum(0), 1 - self.decay)
        self.sums.lerp_(one_hot.T @ flat, 1 - self.decay)
        least = _IDLE * len(flat) / self.size
        idle = self.counts < least
        spread = flat[torch.arange(self.size, device=flat.device) * len(flat) // self.size]
        self.counts.clamp_(min=least)
        self.sums.copy_(torch.where(idle[:, None], least * spread, self.sums))
        self.vectors.copy_(self.sums / self.counts[:, None])


class Encoder(nn.Sequential):
    """From images (B, c, size, size) to encodings (B, D, size / 4, size / 4)."""

    def __init__(self, channels: int, dim: int, width: int, residual_width: int) -> None:
        super().__init__(
            nn.Conv2d(channels, width // 2, 4, 2, 1),
            nn.ReLU(),
            nn.Conv2d(width // 2, width, 4, 2, 1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1),
            Residual(width, residual_width),
            Residual(width, residual_width),
            nn.ReLU(),
            nn.Conv2d(width, dim, 1),
        )


class Decoder(nn.Sequential):
    """From code vectors (B, D, size / 4, size / 4) to logits (B, c, size, size)."""

    def __init__(self, channels: int, dim: int, width: int, residual_width: int) -> None:
        super().__init__(
            nn.Conv2d(dim, width, 3, 1, 1),
            Residual(width, residual_width),
            Residual(width, residual_width),
            nn.ReLU(),
            nn.ConvTranspose2d(width, width // 2, 4, 2, 1),
            nn.ReLU(),
            nn.ConvTranspose2d(width // 2, channels, 4, 2, 1),
        )


def build(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: VQVAEOptions
) -> dict[str, nn.Module]:
    """Return the encoder, the codebook, the decoder and the prior."""
    channels, height, breadth = image_shape
    widths = (options.width, options.residual_width)
    return {
        "encoder": Encoder(channels, latent_dim, *widths),
        "codebook": Codebook(options.codes, latent_dim, options.codebook_decay),
        "decoder": Decoder(channels, latent_dim, *widths),
        "prior": PixelCNN(options.codes, (height // 4, breadth // 4), options.prior_width, options.prior_layers),
    }
