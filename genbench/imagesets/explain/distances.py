"""The distance of two sets of images under any protocol whose features have been computed, with paired errors."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from genbench.api.evaluation import Extractor, Rows, Statistics
from genbench.imagesets.explain.attribution import Measured
from genbench.imagesets.explain.network_input import input_of
from genbench.imagesets.explain.protocol import INCEPTION, Protocol
from genbench.imagesets.explain.variant_features import RowSelection, VariantFeatures
from genbench.metrics.frechet import changes_without, frechet_distance, statistics, whiten
from genbench.metrics.standard_errors import BLOCKS, SMALLEST


class ProtocolDistances:
    """Distances by protocol, each computed once.

    A smaller number of images is a random part of all, the same one in every protocol, and so are the blocks that the
    jackknife deletes: differences between protocols have an error of their own.
    """

    def __init__(
        self,
        real: VariantFeatures,
        fake: VariantFeatures,
        extractors: Mapping[str, Extractor],
        splits: Mapping[str, int],
        n: int,
        rng: torch.Generator,
    ) -> None:
        """Take features, how many images each split of the reference has, in the order of the rows, and `fake`."""
        self._real, self._fake, self._extractors = real, fake, extractors
        self._splits = splits
        self._order = torch.randperm(n, generator=rng)
        self._reference_order = torch.randperm(sum(splits.values()), generator=rng)
        self._blocks = min(BLOCKS, n) if n >= SMALLEST else 0
        self._found: dict[tuple[object, ...], Measured] = {}

    def reference_count(self, split: str) -> int:
        """Return how many reference images a split has."""
        return sum(count for name, count in self._splits.items() if split in (name, "both"))

    def width(self, protocol: Protocol) -> int:
        """Return the number of features."""
        return self._fake.rows[input_of(protocol, reference=False), layer_of(protocol)].shape[1]

    def measured(self, protocol: Protocol) -> Measured:
        """Return the distance; raise ValueError where whitening finds no spread in the reference."""
        layer = layer_of(protocol)
        inputs = input_of(protocol, reference=True), input_of(protocol, reference=False)
        key = *inputs, layer, protocol.split, protocol.n_reference, protocol.n, protocol.ddof
        if key not in self._found:
            reference = self._reference(self._real.rows[inputs[0], layer], protocol)
            features = self._fake.rows[inputs[1], layer]
            whitens = self._extractors[protocol.extractor].whiten
            self._found[key] = self._measure(features, reference, protocol, whitens)
        return self._found[key]

    def _measure(self, features: Rows, reference: Statistics, protocol: Protocol, whitens: bool) -> Measured:
        count = len(features) if protocol.n is None else protocol.n
        if count < len(features):
            features, blocks = RowSelection(features, self._order[:count]), self._blocks_of(torch.arange(count))
        else:
            blocks = self._blocks_of(self._order)
        if whitens:
            features = whiten(reference)(features[:])
            width = features.shape[1]
            zero, one = torch.zeros(width, dtype=torch.float64), torch.eye(width, dtype=torch.float64)
            reference = Statistics(zero, one, reference.n)
        value = frechet_distance(statistics(features, protocol.ddof), reference)
        return Measured(
            value, tuple(changes_without(features, reference, blocks, protocol.ddof).tolist()) if blocks else ()
        )

    def _blocks_of(self, order: Tensor) -> list[Tensor]:
        """Return blocks of row numbers: the same images in every protocol, as far as they take part."""
        if not self._blocks or len(order) < max(SMALLEST, self._blocks):
            return []
        return [order[place :: self._blocks] for place in range(self._blocks)]

    def _reference(self, rows: Rows, protocol: Protocol) -> Statistics:
        begin, chosen = 0, torch.zeros(len(rows), dtype=torch.bool)
        for name, count in self._splits.items():
            chosen[begin : begin + count] = protocol.split in (name, "both")
            begin += count
        index = self._reference_order[chosen[self._reference_order]]
        if protocol.n_reference is not None:
            index = index[: protocol.n_reference]
        index = index.sort().values
        return statistics(rows if len(index) == len(rows) else RowSelection(rows, index), protocol.ddof)


def layer_of(protocol: Protocol) -> int:
    """Return the layer as features are stored by it; extractors other than Inception have one."""
    return protocol.layer if protocol.extractor == INCEPTION else 0
