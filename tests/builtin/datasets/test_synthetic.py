"""The synthetic dataset: uniform noise of the stated shape, always the same."""

from pathlib import Path

import pytest
import torch

from genbench.builtin.datasets import SyntheticOptions
from genbench.builtin.datasets.synthetic import load


@pytest.mark.parametrize(("count", "train", "test"), [(2, 1, 1), (4, 3, 1), (10, 8, 2), (4096, 3277, 819)])
def test_a_fifth_and_at_least_one_is_held_out(count, train, test):
    data = load(SyntheticOptions(size=4, channels=1, count=count), Path("unused"))
    assert data.train.pixels.shape == (train, 1, 4, 4)
    assert data.test.pixels.shape == (test, 1, 4, 4)
    assert len(data.train.labels) == train
    assert len(data.test.labels) == test


def test_the_noise_is_the_same_every_time_whatever_the_global_seed():
    torch.manual_seed(1)
    one = load(SyntheticOptions(size=8, count=10), Path("unused"))
    torch.manual_seed(2)
    two = load(SyntheticOptions(size=8, count=10), Path("unused"))
    assert torch.equal(one.train.pixels, two.train.pixels)
    assert torch.equal(one.test.labels, two.test.labels)


def test_all_levels_and_all_ten_labels_are_equally_likely():
    data = load(SyntheticOptions(size=16, channels=3, count=2000), Path("unused"))
    assert data.train.pixels.dtype == torch.uint8
    counts = torch.bincount(data.train.pixels.flatten(), minlength=256).double()
    expected = counts.sum() / 256
    chi_squared = ((counts - expected) ** 2 / expected).sum().item()
    assert chi_squared < 255 + 5 * (2 * 255) ** 0.5  # five deviations of chi-squared with 255 degrees of freedom
    assert torch.bincount(data.train.labels).tolist() == pytest.approx([160] * 10, abs=60)
