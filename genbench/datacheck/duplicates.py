"""Images that occur more than once in a set, exactly or nearly."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from genbench.datacheck.fingerprint import Bytes, Digests, Flags
from genbench.datacheck.hashing import Pairs, candidate_pairs
from genbench.datacheck.scan import Scan
from genbench.datacheck.thresholds import Thresholds

_CHUNK = 4096  # pairs whose gradients are in memory at a time


@dataclass(frozen=True)
class DuplicateGroup:
    """A group of images, each a duplicate of another one in the group."""

    images: tuple[int, ...]  # indices, in order
    across_splits: bool  # whether training images duplicate held-out ones
    labels_differ: bool
    similarity: float  # the lowest between two duplicates; 1: identical pixels


def exact_duplicates(scan: Scan) -> list[DuplicateGroup]:
    """Return the groups of images with identical pixels, in order of their first image."""
    groups = equal_rows(scan.fingerprints.digests)
    return [_duplicate_group(scan, group, [(group[0], other) for other in group[1:]], 1.0) for group in groups]


def near_duplicates(scan: Scan, thresholds: Thresholds) -> list[DuplicateGroup]:
    """Return the groups of nearly identical images, linked by pairs of sufficient `similarity`.

    Of exact duplicates only the first is compared; blank images are not compared.
    """
    fingerprints = scan.fingerprints
    compared = np.flatnonzero(first_of_equals(fingerprints.digests) & (fingerprints.contrast > thresholds.blank))
    pairs, similarities = near_pairs(fingerprints.thumbnails[compared], thresholds.similarity)
    pairs = compared[pairs] if len(pairs) else pairs
    groups: dict[int, tuple[list[tuple[int, int]], list[float]]] = {}
    roots = connected(len(scan), pairs)
    for (one, other), similarity in zip(pairs.tolist(), similarities.tolist(), strict=True):
        links, values = groups.setdefault(int(roots[one]), ([], []))
        links.append((one, other))
        values.append(similarity)
    return [
        _duplicate_group(scan, sorted({image for link in links for image in link}), links, min(values))
        for links, values in groups.values()
    ]


def near_pairs(thumbnails: Bytes, least: float) -> tuple[Pairs, Any]:
    """Return the pairs (P, 2) of thumbnails (N, side, side) with a `similarity` of at least `least`, and that (P,)."""
    pairs = candidate_pairs(thumbnails)
    kept, values = [np.empty((0, 2), np.int64)], [np.empty(0, np.float32)]
    for start in range(0, len(pairs), _CHUNK):
        chunk = pairs[start : start + _CHUNK]
        found = similarity(thumbnails[chunk[:, 0]], thumbnails[chunk[:, 1]])
        kept.append(chunk[found >= least])
        values.append(found[found >= least])
    return np.concatenate(kept), np.concatenate(values)


def similarity(ones: Bytes, others: Bytes) -> Any:
    """Return the correlation (N,), -1 to 1, of the gradients of thumbnails (N, side, side), pair by pair.

    Gradients are compared because similar smooth images share most grey levels but not edges. The correlation is
    invariant to brightness and contrast.
    """
    left, right = _gradients(ones), _gradients(others)
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return (left * right).sum(axis=1) / np.maximum(norms, 1e-6)


def equal_rows(digests: Digests) -> list[list[int]]:
    """Return the groups of two or more equal rows, as sorted indices."""
    if not len(digests):
        return []
    order = np.lexsort(digests.T)  # stable: equal rows keep their order
    ordered = digests[order]
    starts = np.flatnonzero(np.r_[True, (ordered[1:] != ordered[:-1]).any(axis=1)])
    return sorted(group.tolist() for group in np.split(order, starts[1:]) if len(group) > 1)


def first_of_equals(digests: Digests) -> Flags:
    """Return which rows have no equal row before them, bool (N,)."""
    first = np.ones(len(digests), np.bool_)
    for group in equal_rows(digests):
        first[group[1:]] = False
    return first


def connected(count: int, pairs: Iterable[Iterable[int]]) -> Any:
    """Return, for each of `count` items, the first item of its connected component."""
    root = list(range(count))

    def find(item: int) -> int:
        while root[item] != item:
            root[item] = root[root[item]]
            item = root[item]
        return item

    for one, other in pairs:
        first, second = sorted((find(int(one)), find(int(other))))
        root[second] = first
    return np.array([find(item) for item in range(count)], dtype=np.int64)


def _gradients(thumbnails: Bytes) -> Any:
    values = thumbnails.astype(np.float32)
    parts = [np.diff(values, axis=axis).reshape(len(values), -1) for axis in (1, 2)]
    gradients = np.concatenate(parts, axis=1)
    return gradients - gradients.mean(axis=1, keepdims=True)


def _duplicate_group(scan: Scan, images: list[int], links: list[tuple[int, int]], similarity: float) -> DuplicateGroup:
    ones, others = np.array(links).T
    labels = scan.labels
    return DuplicateGroup(
        images=tuple(images),
        across_splits=bool((scan.held_out[ones] != scan.held_out[others]).any()),
        labels_differ=labels is not None and bool((labels[ones] != labels[others]).any()),
        similarity=round(similarity, 4),
    )
