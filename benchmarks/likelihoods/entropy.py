"""Compares bits per dimension on `gaussian-levels` with the entropy of the data; exits with 1 if a model is below it.

    python benchmarks/likelihoods/entropy.py results/reference/likelihoods

A bound of a VAE contains its own likelihood: pixels given their latents are logistic here, and the data Gaussian, which
costs KL(N(0, s²) ‖ logistic) per pixel at the best scale.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import torch
from gaussian_levels import Options, bits_per_pixel, entropy, load

import genbench
from genbench.metrics.likelihood import IMAGES
from genbench.sampling.likelihood import choose_images

ERRORS = 4.0  # standard errors below the entropy that are chance


def logistic_cost() -> float:
    """Return the least KL(N(0, 1) ‖ logistic(0, scale)) in bits, over scales."""
    x = torch.linspace(-10, 10, 20_001, dtype=torch.float64)
    weight = torch.exp(-(x**2) / 2) / math.sqrt(2 * math.pi) * (x[1] - x[0])
    scales = torch.linspace(0.4, 0.8, 401, dtype=torch.float64)[:, None]
    log_q = -x / scales - scales.log() - 2 * torch.nn.functional.softplus(-x / scales)
    cross_entropy = -(weight * log_q).sum(1)
    return float(cross_entropy.min() - 0.5 * math.log(2 * math.pi * math.e)) / math.log(2)


def main(run: Path) -> int:
    below = False
    print(f"cost of a logistic likelihood: {logistic_cost():.4f} bits per pixel\n")
    cells = genbench.load(run).cells
    options = Options(**cells[0].identity.dataset.options)
    held_out = load(options, Path()).test.pixels
    measured = bits_per_pixel(torch.as_tensor(held_out)[choose_images(len(held_out), IMAGES)])
    print(f"the {IMAGES} measured images under the distribution of the data: {measured:.3f} bits per pixel\n")
    print("| model | bits per dimension | above the entropy | above the measured images | what it is |")
    print("|---|---|---|---|---|")
    for cell in cells:
        truth = entropy(math.prod(cell.identity.image_shape))
        for found in cell.estimates:
            if found.metric == "bits-per-dim" and found.standard_error is not None:
                difference, error = found.value - truth, found.standard_error
                below |= difference < -ERRORS * error
                value = f"{found.value:.3f} ± {error:.3f}"
                paired = f"{found.value - measured:+.3f}"
                print(f"| `{cell.identity.model.name}` | {value} | {difference:+.3f} | {paired} | {found.remark} |")
    return int(below)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
