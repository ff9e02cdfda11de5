"""Whether a GPU may round the factors of fp32 matrix products and convolutions to TF32: 10 bits of mantissa for 23.

torch has older switches (`allow_tf32`) and, since 2.9, newer ones (`fp32_precision`), and refuses to read the older
where the newer alone were set; torch.compile up to 2.10 reads the older. What is set here is set in both.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Allow TF32 inside, or forbid it; what was set before is put back."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch 2.9 warns that the older switches will go
        products, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    _set("high" if allowed else "highest", allowed)
    try:
        yield
    finally:
        _set(products, convolutions)


def has_tf32(device: torch.device) -> bool:
    """Say whether a device has TF32: NVIDIA GPUs from compute capability 8.0 on (Ampere)."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


def _set(products: str, convolutions: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        torch.set_float32_matmul_precision(products)
        torch.backends.cudnn.allow_tf32 = convolutions
