"""The networks of VQ-VAE-2 with two levels (Razavi et al. 2019, section 3.1 and appendix A), for small images.

Width w = 64 (the paper: 128), residual width r = 32 (64), D = latent_dim = 64, K = 512; the bottom grid has sides
s = size / 4, the top grid sides t = s / 2, rounded up; residual is x + Conv k1 (ReLU (Conv k3 to r (ReLU x))):

    bottom_encoder         Conv k4 s2 w/2, ReLU, Conv k4 s2 w, ReLU, Conv k3 w, 2 × residual, ReLU      w × s × s
    top_encoder            Conv s2 w/2, ReLU, Conv k3 w, 2 × residual, ReLU, Conv k1                    D × t × t
    conditional_encoder    of top vectors: Conv k3 w, 2 × residual, ReLU, ConvT s2 D                    D × s × s
                           joined with the features of the bottom encoder: Conv k1                     D × s × s
    decoder                of top vectors: ConvT s2 D; joined with bottom vectors                      2D × s × s
                           Conv k3 w, 2 × residual, ReLU, ConvT k4 s2 w/2, ReLU, ConvT k4 s2 c     logits
    top_codebook, bottom_codebook    K × D each
    top_prior              gated PixelCNN over t × t
    bottom_prior           top codes: embedding p, ConvT s2 p, ReLU, Conv k3 p, ReLU; given these, PixelCNN over s × s

Strided layers between the grids are k4, or k3 where s is odd. A conditional model adds an embedding of the label to the
condition of both priors. The paper's priors are PixelSNAIL, with attention; here they are the gated PixelCNN of
`vq-vae`. For 28×28×1 at the paper's widths: bottom_encoder 444,096, top_encoder 320,128, conditional_encoder 324,224
and decoder 480,897 parameters.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

import genbench
from genbench_autoencoders.perceptron import require_classes
from genbench_autoencoders.vq_vae_2 import VQVAE2Options


class Residual(nn.Module):
    """x + Conv k1 (ReLU (Conv k3 (ReLU x))), (B, width, h, w)."""

    def __init__(self, width: int, residual_width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(width, residual_width, 3, 1, 1),
            nn.ReLU(),
            nn.Conv2d(residual_width, width, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape."""
        return features + self.body(features)  # type: ignore[no-any-return]


def residuals(width: int, residual_width: int) -> tuple[nn.Module, ...]:
    """Return two residual blocks and ReLU."""
    return Residual(width, residual_width), Residual(width, residual_width), nn.ReLU()


class ConditionalEncoder(nn.Module):
    """From top vectors (B, D, t, t) and features of the image (B, w, s, s) to encodings of the bottom (B, D, s, s)."""

    def __init__(self, dim: int, options: VQVAE2Options, kernel: int) -> None:
        super().__init__()
        width = options.width
        self.of_top = nn.Sequential(
            nn.Conv2d(dim, width, 3, 1, 1),
            *residuals(width, options.residual_width),
            nn.ConvTranspose2d(width, dim, kernel, 2, 1),
        )
        self.join = nn.Conv2d(dim + width, dim, 1)

    def forward(self, top: Tensor, features: Tensor) -> Tensor:
        """Return the encodings."""
        return self.join(torch.cat([self.of_top(top), features], 1))  # type: ignore[no-any-return]


class Decoder(nn.Module):
    """From top (B, D, t, t) and bottom vectors (B, D, s, s) to logits of images (B, c, 4s, 4s)."""

    def __init__(self, channels: int, dim: int, options: VQVAE2Options, kernel: int) -> None:
        super().__init__()
        width = options.width
        self.of_top = nn.ConvTranspose2d(dim, dim, kernel, 2, 1)
        self.body = nn.Sequential(
            nn.Conv2d(2 * dim, width, 3, 1, 1),
            *residuals(width, options.residual_width),
            nn.ConvTranspose2d(width, width // 2, 4, 2, 1),
            nn.ReLU(),
            nn.ConvTranspose2d(width // 2, channels, 4, 2, 1),
        )

    def forward(self, top: Tensor, bottom: Tensor) -> Tensor:
        """Return the logits."""
        return self.body(torch.cat([self.of_top(top), bottom], 1))  # type: ignore[no-any-return]


class TopPrior(nn.Module):
    """The distribution of top codes (B, t, t), given labels (B,) if there are classes."""

    def __init__(self, grid: tuple[int, int], options: VQVAE2Options, classes: int) -> None:
        super().__init__()
        width = options.prior_width
        self.label = nn.Embedding(classes, width) if classes else None
        self.grid = genbench.PixelCNN(
            options.codes, grid, width, options.prior_layers, condition_channels=width if classes else 0
        )

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return logits (B, K, t, t) of each code given the ones before it."""
        return self.grid(codes, self._condition(labels))  # type: ignore[no-any-return]

    def draw(self, count: int, rng: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """Return codes (count, t, t), drawn one by one."""
        return self.grid.draw(count, rng, self._condition(labels))

    def _condition(self, labels: Tensor | None) -> Tensor | None:
        if self.label is None or labels is None:
            return None
        return self.label(labels)[:, :, None, None].expand(-1, -1, *self.grid.grid)  # type: ignore[no-any-return]


class BottomPrior(nn.Module):
    """The distribution of bottom codes (B, s, s) given top codes (B, t, t), and labels (B,) if there are classes."""

    def __init__(self, grid: tuple[int, int], options: VQVAE2Options, kernel: int, classes: int) -> None:
        super().__init__()
        width = options.prior_width
        self.label = nn.Embedding(classes, width) if classes else None
        self.top = nn.Embedding(options.codes, width)
        self.of_top = nn.Sequential(
            nn.ConvTranspose2d(width, width, kernel, 2, 1), nn.ReLU(), nn.Conv2d(width, width, 3, 1, 1), nn.ReLU()
        )
        self.grid = genbench.PixelCNN(options.codes, grid, width, options.prior_layers, condition_channels=width)

    def forward(self, codes: Tensor, top: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return logits (B, K, s, s) of each code given the ones before it."""
        return self.grid(codes, self._condition(top, labels))  # type: ignore[no-any-return]

    def draw(self, top: Tensor, rng: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """Return codes (B, s, s), drawn one by one."""
        return self.grid.draw(len(top), rng, self._condition(top, labels))

    def _condition(self, top: Tensor, labels: Tensor | None) -> Tensor:
        features: Tensor = self.of_top(self.top(top).movedim(-1, 1))
        if self.label is not None and labels is not None:
            features = features + self.label(labels)[:, :, None, None]
        return features


def build(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: VQVAE2Options, classes: int = 0
) -> dict[str, nn.Module]:
    """Return the encoders, codebooks, decoder and priors."""
    channels, size, _ = image_shape
    width, side = options.width, size // 4
    kernel = 3 if side % 2 else 4
    top_side = -(-side // 2)
    return {
        "bottom_encoder": nn.Sequential(
            nn.Conv2d(channels, width // 2, 4, 2, 1),
            nn.ReLU(),
            nn.Conv2d(width // 2, width, 4, 2, 1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1),
            *residuals(width, options.residual_width),
        ),
        "top_encoder": nn.Sequential(
            nn.Conv2d(width, width // 2, kernel, 2, 1),
            nn.ReLU(),
            nn.Conv2d(width // 2, width, 3, 1, 1),
            *residuals(width, options.residual_width),
            nn.Conv2d(width, latent_dim, 1),
        ),
        "top_codebook": genbench.Codebook(options.codes, latent_dim, options.codebook_decay),
        "conditional_encoder": ConditionalEncoder(latent_dim, options, kernel),
        "bottom_codebook": genbench.Codebook(options.codes, latent_dim, options.codebook_decay),
        "decoder": Decoder(channels, latent_dim, options, kernel),
        "top_prior": TopPrior((top_side, top_side), options, classes),
        "bottom_prior": BottomPrior((side, side), options, kernel, classes),
    }


def build_conditional(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: VQVAE2Options
) -> dict[str, nn.Module]:
    """Return the same networks with priors that receive labels."""
    require_classes("conditional-vq-vae-2", num_classes)
    return build(image_shape, latent_dim, num_classes, options, classes=num_classes)
