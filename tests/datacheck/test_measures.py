"""Closed forms: brightness, contrast, outliers, class balance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from genbench.datacheck.balance import entropy_of, explained
from genbench.datacheck.check import measure
from genbench.datacheck.contact_sheet import draw_sheet, sections
from genbench.datacheck.findings import findings, suspects
from genbench.datacheck.fingerprint import fingerprint_pixels
from genbench.datacheck.format import as_data, as_text
from genbench.datacheck.outliers import modified_z
from genbench.datacheck.scan import Scan
from genbench.datacheck.tensors import scan_tensors


def noise(count: int, shape: tuple[int, int, int] = (1, 16, 16), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def dataset(pixels: np.ndarray, labels: np.ndarray | None = None, names: tuple[str, ...] = ()) -> Scan:
    """The last fifth is held out."""
    cut = len(pixels) - max(1, len(pixels) // 5)
    halves = (None, None) if labels is None else (labels[:cut], labels[cut:])
    return scan_tensors("made", (pixels[:cut], halves[0]), (pixels[cut:], halves[1]), names)


def codes(scan: Scan) -> dict[str, tuple[str, ...]]:
    return {finding.code: finding.examples for finding in findings(measure(scan))}


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=3, max_dims=3, max_side=12).map(lambda s: (1, *s[1:]))))
def test_brightness_and_contrast_are_mean_and_standard_deviation(pixels):
    found = fingerprint_pixels(pixels)
    assert found.brightness == pytest.approx(pixels.mean())
    assert found.contrast == pytest.approx(pixels.std(), abs=1e-6)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_digest_distinguishes_images_by_any_channel_and_shape(channels):
    pixels = noise(1, (channels, 6, 4))[0]
    other = pixels.copy()
    other[-1, 0, 0] ^= 1
    reshaped = pixels.reshape(channels, 4, 6)
    digests = {fingerprint_pixels(one).digest for one in (pixels, pixels.copy(), other, reshaped)}
    assert len(digests) == 3


def test_the_modified_z_score_matches_the_textbook():
    values = np.array([2.1, 2.6, 2.4, 2.5, 2.3, 2.1, 2.3, 2.6, 8.2, 8.3])
    assert modified_z(values)[8] == pytest.approx(0.6745 * (8.2 - 2.45) / 0.15)


def test_one_odd_value_among_equal_ones_is_an_outlier_and_equal_ones_are_not():
    assert modified_z(np.full(9, 3.0)).tolist() == [0] * 9
    scores = modified_z(np.array([5.0] * 99 + [6.0]))
    assert scores[-1] == pytest.approx(1 / (1.2533 * 0.01))


def test_entropy_of_equal_classes_and_of_one():
    assert entropy_of(np.array([7, 7, 7, 7])) == pytest.approx(np.log(4))
    assert entropy_of(np.array([9, 0])) == 0
    assert entropy_of(np.array([0, 0])) == 0


def test_explained_variance_matches_the_analysis_of_variance():
    labels = np.array([0, 0, 1, 1, 3, 3])
    assert explained(np.array([1, 1, 5, 5, 9, 9.0]), labels) == pytest.approx(1)
    assert explained(np.array([1, 3, 1, 3, 1, 3.0]), labels) == pytest.approx(0)
    assert explained(np.array([0, 2, 2, 4, 4, 6.0]), labels) == pytest.approx(16 / 22)
    assert explained(np.full(6, 2.0), labels) == 0


def test_balance_counts_classes_by_split_and_states_ratio_and_evenness():
    labels = np.array([0] * 60 + [1] * 20 + [0, 1] * 10)
    facts = measure(dataset(noise(100), labels, ("a", "b", "c"))).balance
    assert facts is not None
    assert [(one.name, one.train, one.test) for one in facts.classes] == [("a", 60, 10), ("b", 20, 10), ("c", 0, 0)]
    assert facts.ratio is None
    assert facts.evenness == pytest.approx((0.75 * np.log(4 / 3) + 0.25 * np.log(4)) / np.log(3), abs=1e-4)
    found = codes(dataset(noise(100), labels, ("a", "b", "c")))
    assert found["empty-classes"] == ("c",)
    assert "class-imbalance" not in found


def test_imbalance_and_small_classes_are_found():
    labels = np.array([0] * 155 + [1] * 5 + [0] * 40)
    found = codes(dataset(noise(200), labels))
    assert found["few-in-class"] == ("1 (5)",)
    assert "class-imbalance" in found
    assert found["class-not-held-out"] == ("1",)


def test_a_balanced_set_of_different_images_has_no_suspects():
    scan = dataset(noise(200), np.arange(200) % 2)
    assert suspects(findings(measure(scan))) == []
    assert "Nothing suspicious." in as_text(measure(scan), findings(measure(scan)))


def test_leaks_blank_and_outlying_images_are_found_by_name():
    pixels = noise(150, (3, 16, 16)) // 2 + 64
    pixels[140] = pixels[3]  # held out
    pixels[10] = 80
    pixels[20] = pixels[20] // 8
    found = codes(dataset(pixels))
    assert found["duplicates-across-splits"] == ("train[3] = test[20]",)
    assert found["blank"] == ("train[10]",)
    assert found["brightness-outliers"][0].startswith("train[20] (")


def test_classes_that_differ_in_brightness_are_noted():
    labels = np.arange(100) % 2
    pixels = noise(100) // 4 + (labels * 60).astype(np.uint8)[:, None, None, None]
    assert "brightness-by-class" in codes(dataset(pixels, labels))


def test_points_are_only_counted():
    pixels = np.repeat(noise(50, (1, 1, 2)), 4, axis=0)
    labels = np.arange(200) % 4
    scan = scan_tensors("ring", (pixels[:160], labels[:160]), (pixels[160:], labels[160:]), points=True)
    measured = measure(scan)
    assert (measured.exact, measured.near, measured.brightness) == (None, None, None)
    assert [one.train for one in measured.balance.classes] == [40] * 4
    assert [f.code for f in findings(measured)] == ["small-dataset"]
    assert "\nbrightness" not in as_text(measured, [])


def test_the_data_name_the_images_and_can_be_encoded_as_json():
    import msgspec

    pixels = noise(30)
    pixels[29] = pixels[0]
    measured = measure(dataset(pixels, np.arange(30) % 3))
    data = msgspec.json.decode(msgspec.json.encode(as_data(measured, findings(measured))))
    assert data["exact_duplicates"] == [
        {"images": ["train[0]", "test[5]"], "across_splits": True, "labels_differ": True, "similarity": 1.0}
    ]
    assert (data["images"], data["train"], data["test"]) == (30, 24, 6)
    assert data["suspects"] == len([f for f in data["findings"] if f["severity"] != "note"])


def test_a_sheet_shows_duplicates_side_by_side():
    pixels = noise(20)
    pixels[19] = pixels[2]
    measured = measure(dataset(pixels))
    chosen = sections(measured)
    assert [section.title for section in chosen] == ["Exact duplicates"]
    assert chosen[0].entries == (((2, "train[2]"), (19, "test[3]")),)
    drawn = np.asarray(draw_sheet(measured.scan, chosen))
    big = np.asarray(measured.scan.read_image(2).convert("RGB").resize((128, 128), 0))
    places = [
        (top, left)
        for top in range(drawn.shape[0] - 127)
        for left in range(drawn.shape[1] - 127)
        if (drawn[top, left : left + 128] == big[0]).all() and (drawn[top : top + 128, left : left + 128] == big).all()
    ]
    assert len(places) == 2
    assert places[0][0] == places[1][0]
