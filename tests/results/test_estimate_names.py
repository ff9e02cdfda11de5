"""Names of estimates with and without the numbers that only measuring decides."""

from __future__ import annotations

import pytest

from genbench.results.estimate_names import is_named, short_name


@pytest.mark.parametrize(
    ("metric", "short"),
    [
        ("precision-k5-n2000-fashion-cnn", "precision-fashion-cnn"),
        ("rarity-k3-clip-vit-l14-336", "rarity-clip-vit-l14-336"),
        ("iwae-k64", "iwae"),
        ("vendi-q1-dinov2-large", "vendi-q1-dinov2-large"),
        ("fd-cnn-k-means", "fd-cnn-k-means"),
    ],
)
def test_numbers_of_neighbours_and_images_are_left_out(metric: str, short: str) -> None:
    assert short_name(metric) == short
    assert is_named(metric, metric)
    assert is_named(metric, short)


def test_another_number_or_another_estimate_is_not_meant() -> None:
    assert not is_named("precision-k5-n2000-fashion-cnn", "precision-k5-n200-fashion-cnn")
    assert not is_named("fld-gap-fashion-cnn", "fld-fashion-cnn")
    assert not is_named("precision-k5-n2000-clip-vit-l14", "precision-clip-vit-b16")
