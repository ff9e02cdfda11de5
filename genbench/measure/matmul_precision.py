"""Whether a GPU may round the factors of fp32 matrix products and convolutions to TF32.

TF32 has a mantissa of 10 bits instead of 23. torch has older switches (`allow_tf32`) and, since 2.9, newer ones
(`fp32_precision`). It refuses to read the older ones if only the newer were set, and torch.compile up to 2.10 reads the
older. The functions here set both.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Allow or forbid TF32 in this context; the previous settings are restored."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch 2.9 warns that the older switches are deprecated
        products, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    _set("high" if allowed else "highest", allowed)
    try:
        yield
    finally:
        _set(products, convolutions)


def _set(products: str, convolutions: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        torch.set_float32_matmul_precision(products)
        torch.backends.cudnn.allow_tf32 = convolutions
