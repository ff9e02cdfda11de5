"""Hash tables find exactly the pairs that comparing all with all finds; near copies are found, look-alikes are not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from genbench.datacheck.duplicates import connected, equal_rows, near_pairs, similarity
from genbench.datacheck.fingerprint import fingerprint
from genbench.datacheck.hashing import (
    ALL_PAIRS_UP_TO,
    MOST_PAIRS,
    NEIGHBOURS,
    candidate_pairs,
    count_bits,
    pairs_within,
    perceptual_hashes,
)


def clouds(count: int, side: int = 64, seed: int = 0) -> list[Image.Image]:
    """Pictures with the spectrum of photographs, 1/f."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    amplitude = 1 / np.maximum(frequency, 1 / side)
    made = []
    for _ in range(count):
        field = np.fft.ifft2(amplitude * np.fft.fft2(rng.normal(size=(side, side)))).real
        made.append(Image.fromarray(np.clip(128 + 45 * field / field.std(), 0, 255).astype(np.uint8)))
    return made


def thumbnails(pictures: list[Image.Image]) -> np.ndarray:
    return np.stack([fingerprint(picture).thumbnail for picture in pictures])


def as_jpeg(picture: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


@given(st.lists(st.integers(0, 2**64 - 1), max_size=20))
def test_bits_are_counted_as_python_counts_them(values):
    assert count_bits(np.array(values, np.uint64)).tolist() == [value.bit_count() for value in values]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sets(st.integers(0, 63), max_size=4)), min_size=1, max_size=40),
    st.integers(0, 5),
)
def test_tables_find_the_pairs_that_comparing_all_with_all_finds(flips, distance):
    centres = [0, 2**64 - 1, 0x0123456789ABCDEF, 0xF0F0F0F0F0F0F0F0]
    hashes = [centres[centre] ^ sum(1 << bit for bit in bits) for centre, bits in flips]
    expected = [
        [i, j]
        for i in range(len(hashes))
        for j in range(i + 1, len(hashes))
        if (hashes[i] ^ hashes[j]).bit_count() <= distance
    ]
    assert pairs_within(np.array(hashes, np.uint64), distance).tolist() == expected


def test_images_that_are_all_alike_take_bounded_work_and_each_meets_another():
    pairs = pairs_within(np.zeros(2000, np.uint64))
    assert len(pairs) <= 2000 * (MOST_PAIRS + NEIGHBOURS)
    assert set(pairs.flatten().tolist()) == set(range(2000))


def test_a_distance_that_the_tables_do_not_cover_is_refused():
    with pytest.raises(ValueError, match="0 to 5"):
        pairs_within(np.zeros(2, np.uint64), 6)


def test_each_bit_of_a_hash_halves_the_set():
    hashes = perceptual_hashes(thumbnails(clouds(600)))
    shares = [float(((hashes >> np.uint64(bit)) & np.uint64(1)).mean()) for bit in range(64)]
    assert min(shares) == max(shares) == 0.5


@pytest.mark.parametrize("count", [40, ALL_PAIRS_UP_TO + 60], ids=["all-pairs", "tables"])
def test_near_copies_are_found_among_many_and_nothing_else(count):
    originals = clouds(count)
    copies = [
        as_jpeg(originals[0], 40),
        originals[1].resize((48, 48), Image.Resampling.BICUBIC),
        originals[2].resize((200, 200), Image.Resampling.BILINEAR),
        ImageEnhance.Brightness(originals[3]).enhance(1.1),
        ImageEnhance.Contrast(originals[4]).enhance(0.7),
        Image.merge("RGB", [originals[5]] * 3),
    ]
    pairs, values = near_pairs(thumbnails([*originals, *copies]), 0.98)
    assert pairs.tolist() == [[n, count + n] for n in range(len(copies))]
    assert values.min() >= 0.98


def test_smooth_pictures_of_one_kind_are_no_copies_although_their_grey_levels_agree():
    side = np.linspace(-1, 1, 64)
    disc = 128 * np.exp(-(side[:, None] ** 2 + side**2))  # the light that all share
    pictures = [
        Image.fromarray(np.clip(disc + np.asarray(cloud) * 0.1, 0, 255).astype(np.uint8)) for cloud in clouds(20)
    ]
    shown = thumbnails(pictures)
    flat = shown.reshape(20, -1).astype(float)
    assert np.median(np.corrcoef(flat)) > 0.98
    assert len(near_pairs(shown, 0.98)[0]) == 0


def test_similarity_is_one_for_a_changed_light_and_zero_for_no_structure():
    one = thumbnails(clouds(1))
    dimmer = (one // 2 + 40).astype(np.uint8)
    assert similarity(one, dimmer)[0] == pytest.approx(1, abs=2e-3)
    assert similarity(one, np.full_like(one, 7))[0] == 0


def test_small_sets_are_compared_all_with_all():
    assert len(candidate_pairs(np.zeros((5, 24, 24), np.uint8))) == 10
    assert len(candidate_pairs(np.zeros((1, 24, 24), np.uint8))) == 0
    assert len(candidate_pairs(np.zeros((0, 24, 24), np.uint8))) == 0


@given(st.lists(st.integers(0, 4), max_size=30))
def test_equal_rows_are_grouped_as_a_dictionary_groups_them(values):
    groups: dict[int, list[int]] = {}
    for index, value in enumerate(values):
        groups.setdefault(value, []).append(index)
    rows = np.array([[value, 7] for value in values], np.uint64).reshape(-1, 2)
    assert equal_rows(rows) == sorted(group for group in groups.values() if len(group) > 1)


def test_pairs_connect_through_others():
    assert connected(6, [(4, 2), (2, 5), (0, 1)]).tolist() == [0, 0, 2, 3, 2, 2]
