"""Perceptual hashes of thumbnails, and the pairs of images with similar hashes, without comparing all pairs.

The hash has one bit for each of 64 low frequencies of the discrete cosine transform: whether it is above its median
over all images, so that every bit halves the set, whatever the images have in common. Two hashes that differ in at most
5 bits agree in at least 3 of 8 bytes, so such a pair shares a key in one of the 56 tables, one for each choice of 3
bytes (Manku, Jain & Das Sarma 2007, "Detecting Near-Duplicates for Web Crawling", section 3).
"""

from __future__ import annotations

import itertools
from typing import Any, TypeAlias

import numpy as np

from genbench.datacheck.fingerprint import THUMBNAIL, Bytes

Hashes: TypeAlias = np.ndarray[Any, np.dtype[np.uint64]]
Pairs: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]

BITS = 64
DISTANCE = 5  # bits in which the hashes of a pair may differ
ALL_PAIRS_UP_TO = 512  # images: smaller sets are compared exhaustively, as a median of few means little
NEIGHBOURS = 64  # compared with each image in each table: bounds the work where all images are alike
MOST_PAIRS = 50  # per image: no further table is searched beyond this, for the same reason
_CHUNK = 8192  # images whose transforms are in memory at a time


def candidate_pairs(thumbnails: Bytes) -> Pairs:
    """Return pairs (P, 2), the lower index first, in order, of thumbnails (N, side, side) that may be near duplicates.

    All pairs of a small set; in a larger one, those with hashes at most `DISTANCE` bits apart. Where images are so
    similar that `NEIGHBOURS` or `MOST_PAIRS` ends the search early, each is still paired with some similar ones.
    """
    count = len(thumbnails)
    if count <= ALL_PAIRS_UP_TO:
        return np.stack(np.triu_indices(count, 1), axis=1).astype(np.int64)
    return pairs_within(perceptual_hashes(thumbnails))


def perceptual_hashes(thumbnails: Bytes) -> Hashes:
    """Return a 64-bit hash (N,) of each thumbnail; invariant to brightness and contrast."""
    rows, columns = _low_frequencies()
    basis = _cosines(max(rows.max(), columns.max()) + 1)
    chunks = []
    for start in range(0, len(thumbnails), _CHUNK):
        values = thumbnails[start : start + _CHUNK].astype(np.float32)
        values -= values.mean(axis=(1, 2), keepdims=True)
        values /= np.maximum(values.std(axis=(1, 2), keepdims=True), 1e-6)
        chunks.append((basis @ values @ basis.T)[:, rows, columns])
    coefficients = np.concatenate(chunks)
    bits = coefficients > np.median(coefficients, axis=0)
    hashes: Hashes = np.ascontiguousarray(np.packbits(bits, axis=1)).view(np.uint64)[:, 0]
    return hashes


def pairs_within(hashes: Hashes, distance: int = DISTANCE) -> Pairs:
    """Return the pairs (P, 2) of hashes (N,) that differ in at most `distance` bits, 0 to 5, in order, each once."""
    if not 0 <= distance <= DISTANCE:
        raise ValueError(f"distance is 0 to {DISTANCE} bits, not {distance}")
    count = len(hashes)
    pairs = np.empty(0, np.int64)  # one * count + other
    for table in itertools.combinations(range(8), 3):
        mask = np.uint64(sum(0xFF << (8 * byte) for byte in table))
        keys, found = hashes & mask, [pairs]
        order = np.lexsort((hashes, keys))
        keys, ordered = keys[order], hashes[order]
        starts = np.arange(count)  # positions in the order that still have a neighbour with the same key ahead
        for ahead in range(1, min(NEIGHBOURS, count - 1) + 1):
            starts = starts[starts < count - ahead]
            starts = starts[keys[starts] == keys[starts + ahead]]
            if not len(starts):
                break
            near = starts[count_bits(ordered[starts] ^ ordered[starts + ahead]) <= distance]
            one, other = order[near], order[near + ahead]
            found.append(np.minimum(one, other) * count + np.maximum(one, other))
        pairs = np.unique(np.concatenate(found))
        if len(pairs) > MOST_PAIRS * count:
            break
    return np.stack(np.divmod(pairs, max(count, 1)), axis=1)


def count_bits(values: Hashes) -> Hashes:
    """Return the number of bits set in each value, by adding adjacent groups of 1, 2, 4, then all bytes."""
    pairs = values - ((values >> np.uint64(1)) & np.uint64(0x5555555555555555))
    fours = (pairs & np.uint64(0x3333333333333333)) + ((pairs >> np.uint64(2)) & np.uint64(0x3333333333333333))
    eights = (fours + (fours >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    totals: Hashes = (eights * np.uint64(0x0101010101010101)) >> np.uint64(56)
    return totals


def _low_frequencies() -> tuple[Any, Any]:
    """Return the row and column frequencies of the 64 lowest in diagonal order, without the mean."""
    grid = sorted(((row, column) for row in range(12) for column in range(12)), key=lambda f: (sum(f), f))
    rows, columns = zip(*grid[1 : BITS + 1], strict=True)
    return np.array(rows), np.array(columns)


def _cosines(frequencies: int) -> Any:
    """Return the first rows (frequencies, THUMBNAIL) of the DCT-II, without its scale factors."""
    places = (np.arange(THUMBNAIL) + 0.5) * np.pi / THUMBNAIL
    return np.cos(np.arange(frequencies)[:, None] * places).astype(np.float32)
