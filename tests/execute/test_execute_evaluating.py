"""When a generator counts as collapsed, and how values become bytes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from genbench.exchange import Images
from genbench.execute.evaluating import JUDGED_FROM, Drawn, _to_bytes, has_collapsed
from genbench.execute.loading import LoadedData
from genbench.execute.training import Diverged


def noise(count: int) -> Tensor:
    return torch.randint(0, 256, (count, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


DATA = LoadedData(noise(50), None, noise(5), None, 0, "", ())
ALIKE = noise(1).repeat(40, 1, 1, 1)


def test_a_young_generator_has_collapsed_only_if_its_samples_are_the_same_to_the_last_bit() -> None:
    # the bytes agree, but before rounding the samples differed: an untrained network, not a collapsed one
    assert not has_collapsed(Drawn(Images(ALIKE), None, identical=False), DATA, images_seen=10)
    assert has_collapsed(Drawn(Images(ALIKE), None, identical=True), DATA, images_seen=10)


def test_a_trained_generator_is_judged_by_how_little_its_samples_differ() -> None:
    assert has_collapsed(Drawn(Images(ALIKE), None, identical=False), DATA, images_seen=JUDGED_FROM)
    assert not has_collapsed(Drawn(Images(noise(40)), None, identical=False), DATA, images_seen=JUDGED_FROM)


def test_values_become_bytes_by_rounding_to_the_nearest_level_and_clamping() -> None:
    values = torch.tensor([-1.2, -1.0, 0.0, 1.0, 1.3])
    assert _to_bytes(values, -1.0, 1.0).tolist() == [0, 0, 128, 255, 255]
    assert _to_bytes(torch.tensor([0.4 / 255, 0.6 / 255]), 0.0, 1.0).tolist() == [0, 1]
    with pytest.raises(Diverged):
        _to_bytes(torch.tensor([float("nan")]), 0.0, 1.0)
