"""How generated values become bytes."""

from __future__ import annotations

import pytest
import torch

from genbench.execute.evaluating import _to_bytes
from genbench.execute.training import Diverged


def test_values_become_bytes_by_rounding_to_the_nearest_level_and_clamping() -> None:
    values = torch.tensor([-1.2, -1.0, 0.0, 1.0, 1.3])
    assert _to_bytes(values, -1.0, 1.0).tolist() == [0, 0, 128, 255, 255]
    assert _to_bytes(torch.tensor([0.4 / 255, 0.6 / 255]), 0.0, 1.0).tolist() == [0, 1]
    with pytest.raises(Diverged):
        _to_bytes(torch.tensor([float("nan")]), 0.0, 1.0)
