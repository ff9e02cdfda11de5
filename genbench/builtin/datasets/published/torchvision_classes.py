"""torchvision's classes of published datasets, with addresses and checksums. torchvision need not be installed."""

from __future__ import annotations

import importlib
from typing import Any

from genbench import DataError


def torchvision_datasets() -> Any:
    """Return the module `torchvision.datasets`; raise `DataError` where it cannot be imported."""
    try:
        importlib.import_module("torchvision.datasets.utils")
        return importlib.import_module("torchvision.datasets")
    except (ImportError, RuntimeError) as error:  # RuntimeError: it does not belong to this torch
        raise DataError(
            f"This dataset is read by torchvision, which cannot be imported ({error}).",
            "Install the torchvision that belongs to your torch, from where that came: pip install torchvision",
            code="GB301",
        ) from error
