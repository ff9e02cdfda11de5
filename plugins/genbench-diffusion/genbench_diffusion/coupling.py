"""The pairs of images and noise of a batch whose total squared distance is least."""

from __future__ import annotations

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor


@torch.no_grad()
def least_distance(images: Tensor, noise: Tensor) -> Tensor:
    """Return, for each image, the index of its noise, int64 (B,): the permutation with the least Σ |image - noise|².

    Tong et al. 2024 (arXiv:2302.00482), section 3.2.3. It is found on the host, which waits for the device.
    """
    # |y - ε|² = |y|² + |ε|² - 2 y·ε, of which only the last depends on the pairs
    gain = images.flatten(1).float() @ noise.flatten(1).float().T
    _, chosen = linear_sum_assignment(gain.cpu().numpy(), maximize=True)
    return torch.from_numpy(chosen).to(images.device)
