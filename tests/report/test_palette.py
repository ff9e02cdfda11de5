"""Colours can be told apart: text and series from their ground, and series from each other by every reader."""

from __future__ import annotations

from itertools import combinations

import pytest

from genbench.report.palette import DARK, LIGHT, Palette

# Machado, Oliveira & Fernandes 2009, "A physiologically-based model for simulation of color vision deficiency", of
# severity 1, on linear RGB.
VISION = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900),
    ),
}  # fmt: skip
# sRGB to XYZ of D65, over the white point (IEC 61966-2-1)
XYZ = (
    (0.4124564 / 0.95047, 0.3575761 / 0.95047, 0.1804375 / 0.95047),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339 / 1.08883, 0.1191920 / 1.08883, 0.9503041 / 1.08883),
)


def linear(colour: str) -> list[float]:
    shares = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    return [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in shares]


def product(matrix: tuple[tuple[float, ...], ...], vector: list[float]) -> list[float]:
    return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of WCAG 2."""
    pale, dark = sorted((product(XYZ, linear(colour))[1] for colour in (one, other)), reverse=True)
    return (pale + 0.05) / (dark + 0.05)


def lab(colour: str, vision: str) -> tuple[float, float, float]:
    seen = [min(1.0, max(0.0, part)) for part in product(VISION[vision], linear(colour))]
    x, y, z = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in product(XYZ, seen))
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_text_and_series_stand_out_from_their_ground(palette: Palette) -> None:
    for ground in (palette.ground, palette.card):
        for text in (palette.ink, palette.pale, palette.link, palette.good, palette.bad):
            assert contrast(text, ground) >= 4.5
    assert min(contrast(colour, palette.ground) for colour in palette.series) >= 3
    assert contrast("#ffffff", "#000000") == pytest.approx(21, rel=1e-4)


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_series_differ_by_ten_units_of_cielab_for_every_reader(palette: Palette, vision: str) -> None:
    for one, other in combinations(palette.series, 2):
        distance = sum((a - b) ** 2 for a, b in zip(lab(one, vision), lab(other, vision), strict=True)) ** 0.5
        assert distance >= 10, (one, other)


def test_light_and_dark_have_as_many_series() -> None:
    assert len(LIGHT.series) == len(DARK.series)
