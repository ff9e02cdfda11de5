"""What a metric of features is given when two sides are compared: the same protocol as for a cell's samples.

The first side stands for the training images, the second for the samples. Features of a side are taken once, go to a
temporary file, and are in memory as a whole only where a metric asks for all of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from genbench.api.evaluation import (
    ExtractorData,
    ExtractorUnavailable,
    SetName,
    Statistics,
)
from genbench.api.images import Images
from genbench.api.specs import ExtractorSpec
from genbench.errors import DataError
from genbench.features.extract import features_of
from genbench.features.feature_cache import FeatureStore
from genbench.features.feature_file import FeatureRows
from genbench.features.statistics_file import StoredStatistics, read_statistics
from genbench.imagesets.resolve import Side
from genbench.imagesets.source import (
    Account,
    ImageSource,
    Progress,
    unwatched,
)
from genbench.metrics.evaluation import CellEvaluation
from genbench.metrics.frechet import statistics
from genbench.results.cache import cache_directory

REAL: SetName = "train"
FAKE: SetName = "samples"
Watching = Callable[[str], AbstractContextManager[Progress]]  # title -> who is told how far the reading is


class NotGiven(ExtractorUnavailable):
    """A metric asks for images, and a side has none: its statistics only, or it is missing."""


class SidesEvaluation(CellEvaluation):
    """`genbench.Evaluation` of two sides; `take` comes before any metric is asked."""

    def __init__(
        self,
        *,
        real: Side,
        fake: Side | None = None,
        device: torch.device,
        batch_size: int,
        seed: int,
        extractors: Mapping[str, ExtractorSpec],
        data: ExtractorData | None = None,
        watching: Watching = lambda _title: nullcontext(unwatched),
    ) -> None:
        """Take two sides, or one whose statistics are wanted, and the dataset that an extractor may be trained on."""
        nothing = Images(torch.empty(0, 0, 1, 1, dtype=torch.uint8))
        super().__init__(
            samples=nothing,
            train=nothing,
            test=nothing,
            device=device,
            batch_size=batch_size,
            seed=seed,
            extractors=extractors,
            data=data,
        )
        self.sides: dict[SetName, Side] = {REAL: real} if fake is None else {FAKE: fake, REAL: real}
        self.accounts: dict[SetName, Account] = {}
        self.counts: dict[SetName, int | None] = {}  # images on each side; None: a file of statistics does not say
        self.from_cache: set[SetName] = set()  # sides whose images were not read: their statistics were known
        self._watching = watching
        self._rows: dict[tuple[str, SetName], FeatureRows] = {}

    def take(self, name: str, statistics_suffice: bool) -> None:
        """Read the sides and take their features by one extractor.

        With `statistics_suffice` the first side is not read where its statistics are in the cache. Raises `DataError`
        where a side has fewer than two images that can be read, or statistics of another number of features.
        """
        self.extractor(name)
        for images, side in self.sides.items():
            if side.statistics is not None:
                self._take_statistics(name, images, side)
                continue
            assert side.images is not None
            if images == REAL and statistics_suffice and side.images.identity:
                self._statistics[name, images] = self._known_statistics(name, side.images)
            else:
                self._read(name, images, side.images)
            self._count(images, self._statistics[name, images].n)

    def features(self, name: str, images: SetName) -> Tensor:
        """Return float64 features (N, d) on the CPU, all of them in memory."""
        key = name, images
        if key not in self._features:
            self._features[key] = self.rows(name, images)[:].double()
        return self._features[key]

    def rows(self, name: str, images: SetName) -> FeatureRows:
        """Return the features as rows on disk; raise `NotGiven` where a side has no images."""
        if (name, images) not in self._rows:
            side = self.sides.get(images)
            raise NotGiven(
                "it needs held-out images besides the two sides."
                if side is None
                else f"it needs images, and of the {'first' if images == REAL else 'second'} side there are statistics."
            )
        return self._rows[name, images]

    def statistics(self, name: str, images: SetName) -> Statistics:
        """Return the Gaussian of a side's features."""
        if (name, images) not in self._statistics:
            raise NotGiven("it needs held-out images besides the two sides.")
        return self._statistics[name, images]

    def close(self) -> None:
        """Give the temporary files back."""
        for rows in self._rows.values():
            rows.close()

    def _take_statistics(self, name: str, images: SetName, side: Side) -> None:
        assert side.statistics is not None
        stored: StoredStatistics = read_statistics(side.statistics)
        known = next((found for (one, _), found in self._statistics.items() if one == name), None)
        d = len(stored.statistics.mean)
        if known is not None and d != len(known.mean):
            raise DataError(
                f"{side.statistics} is of {d} features, and the other side has {len(known.mean)}.",
                "Both sides must come from the same layer of the same network.",
            )
        own, weights = stored.spec.get("weights_sha256"), self.extractor(name).protocol.get("weights_sha256")
        if own is not None and own != weights:
            raise DataError(
                f"{side.statistics} was made with other weights ({own}) than '{name}' has here ({weights}).",
                "Make it again with --save-stats, or name its extractor.",
            )
        for part in ("resize", "layer"):
            here = self.extractor(name).protocol.get(part)
            if part in stored.spec and stored.spec[part] != here:
                raise DataError(
                    f"{side.statistics} has the {part} '{stored.spec[part]}', and '{name}' '{here}'.",
                    "Make it again with --save-stats, or name its extractor.",
                )
        self._statistics[name, images] = stored.statistics
        self._count(images, stored.statistics.n)
        self.accounts.setdefault(images, Account())

    def _known_statistics(self, name: str, source: ImageSource) -> Statistics:
        """Return the first side's statistics: from the cache, or from its images, and then into the cache."""
        digest = hashlib.sha256(source.identity.encode(errors="surrogateescape")).hexdigest()
        content = source.identity if source.split else digest  # a dataset is known by its content already
        store = FeatureStore(cache_directory(), content, self.device.type, self.batch_size)
        read = False

        def fit() -> Statistics:
            nonlocal read
            read = True
            found = self._read(name, REAL, source)
            if not self.accounts[REAL].flawless:
                raise _Flawed
            return found

        try:
            found = store.statistics(self.extractor(name), source.split or "all", fit)
        except _Flawed:  # not everything was read: nothing is kept
            return self._statistics[name, REAL]
        if not read:
            self.from_cache.add(REAL)
            self.accounts[REAL] = _account_of_first(source)
        return found

    def _read(self, name: str, images: SetName, source: ImageSource) -> Statistics:
        account, rows = Account(), FeatureRows()
        self._rows[name, images] = rows
        extractor = self.extractor(name)
        with self._watching(source.title) as progress:
            for features in self._features_of(name, source.batches(self.batch_size, account, progress), account):
                bad = int((~features.isfinite().all(1)).sum())
                if bad:
                    raise DataError(
                        f"{extractor.name}: features of {bad} images of {source.title} are not finite.",
                        "The weights, or the pixels, are at fault.",
                    )
                rows.append(features)
        self.accounts[images] = account
        if len(rows) < 2:
            found = "no image" if not len(rows) else "one image"
            skipped = "; ".join(account.warnings())
            raise DataError(
                f"{source.title} has {found} that can be read; two are needed at least."
                f"{f' It {skipped}.' if skipped else ''}",
                "Name more images.",
            )
        self._statistics[name, images] = statistics(rows)
        return self._statistics[name, images]

    def _features_of(self, name: str, batches: Iterator[Tensor], account: Account) -> Iterator[Tensor]:
        """Yield features of batches; one that is not full is padded only to the next power of two."""
        extractor = self.extractor(name)
        for batch in batches:
            size = min(self.batch_size, 1 << (len(batch) - 1).bit_length())
            try:
                yield from features_of(extractor, [batch], self.device, size)
            except ValueError as error:
                raise DataError(f"'{name}' cannot take these images: {error}", "Choose another --extractor.") from error

    def _count(self, images: SetName, n: int | None) -> None:
        self.counts[images] = n
        empty = Images(torch.empty(n or 2, 0, 1, 1, dtype=torch.uint8))  # so many, and no pixel of them
        if images == REAL:
            self.train = empty
        else:
            self.samples = empty


class _Flawed(Exception):
    """Not all images could be read."""


def _account_of_first(source: ImageSource) -> Account:
    """Return what the first batch shows, for the shape; the images were read when their statistics were made."""
    account = Account()
    batches = source.batches(1, account, unwatched)
    next(batches, None)
    close = getattr(batches, "close", None)
    if close is not None:
        close()
    return account
