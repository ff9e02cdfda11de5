"""The input of feature metrics when two image sets are compared; the protocol is that of a cell's samples.

The first image set takes the role of the training images, the second that of the samples. Features are extracted once,
into a temporary file, and are all in memory only where a metric needs that.
"""

from __future__ import annotations

import contextlib
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
from genbench.data.progress import Progress, ignore_progress
from genbench.errors import DataError, UsageError
from genbench.features.extract import features_of
from genbench.features.feature_cache import FeatureStore
from genbench.features.feature_file import FeatureRows
from genbench.features.statistics_file import Spec, StoredStatistics, read_statistics
from genbench.imagesets.resolve import ImageSet
from genbench.imagesets.source import ImageSource, ReadReport, as_json, from_json
from genbench.metrics.evaluation import CellEvaluation
from genbench.metrics.frechet import statistics
from genbench.results.cache import cache_directory

REAL: SetName = "train"
FAKE: SetName = "samples"
_REPORT = "read_report"  # the entry of a cached file's spec that holds what was read
_NEEDS_HELD_OUT = "it needs held-out images in addition to the two image sets."
ProgressDisplay = Callable[[str], AbstractContextManager[Progress]]  # title -> callback that shows the progress


class ImagesUnavailable(ExtractorUnavailable):
    """A metric needs the images of a set that consists of statistics only, or is missing."""


class ImageSetEvaluation(CellEvaluation):
    """`genbench.Evaluation` of two image sets; call `extract` or `read_pixels` before any metric.

    The pixels are read, and kept in memory, when a metric asks for them while `gives_pixels` is set. Otherwise the sets
    of images have the right number of images without pixels, which is enough for genbench's metrics of features.
    """

    def __init__(
        self,
        *,
        real: ImageSet,
        fake: ImageSet | None = None,
        device: torch.device,
        batch_size: int,
        seed: int,
        extractors: Mapping[str, ExtractorSpec],
        data: ExtractorData | None = None,
        n_real: int | None = None,
        show_progress: ProgressDisplay = lambda _title: nullcontext(ignore_progress),
    ) -> None:
        """Use two image sets, or one for its statistics alone.

        `data` is for an extractor that is trained on it; `n_real` is how many images the statistics `real` were made
        from, where the file does not say so.
        """
        nothing = Images(torch.empty(0, 0, 1, 1, dtype=torch.uint8))
        self.gives_pixels = False
        self._counted: dict[SetName, Images] = {}  # sets without pixels
        self._in_memory: dict[SetName, Images] = {}
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
        self.image_sets: dict[SetName, ImageSet] = {REAL: real} if fake is None else {FAKE: fake, REAL: real}
        self.reports: dict[SetName, ReadReport] = {}
        self.counts: dict[SetName, int | None] = {}  # images per set; None: unknown for a file of statistics
        self.from_cache: set[SetName] = set()  # sets whose statistics were cached, so that their images were not read
        self._n_real = n_real
        self.show = show_progress
        self._rows: dict[tuple[str, SetName], FeatureRows] = {}

    def extract(self, name: str, statistics_suffice: bool) -> None:
        """Read the image sets and extract their features with one extractor.

        With `statistics_suffice` the first set is not read where its statistics are in the cache. Raises `DataError`
        where a set has fewer than two readable images, or statistics that do not fit the extractor or the other set.
        """
        self.extractor(name)
        for images, image_set in self.image_sets.items():
            if image_set.statistics is not None:
                self._read_statistics(name, images, image_set)
                continue
            assert image_set.images is not None
            if images == REAL and statistics_suffice and image_set.images.identify is not None:
                self._statistics[name, images] = self._known_statistics(name, image_set.images)
            else:
                self._read(name, images, image_set.images)
            self._count(images, self._statistics[name, images].n)

    def features(self, name: str, images: SetName) -> Tensor:
        """Return float64 features (N, d) on the CPU, all of them in memory."""
        key = name, images
        if key not in self._features:
            self._features[key] = self.rows(name, images)[:].double()
        return self._features[key]

    def rows(self, name: str, images: SetName) -> FeatureRows:
        """Return the features as rows on disk; raise `ImagesUnavailable` where a set has no images."""
        if (name, images) not in self._rows:
            self._read(name, images, self._source(images))
        return self._rows[name, images]

    def statistics(self, name: str, images: SetName) -> Statistics:
        """Return the Gaussian of the features of a set."""
        if (name, images) not in self._statistics:
            self._read(name, images, self._source(images))
        return self._statistics[name, images]

    @property
    def samples(self) -> Images:
        """The second image set."""
        return self._images(FAKE)

    @samples.setter
    def samples(self, images: Images) -> None:
        self._counted[FAKE] = images

    @property
    def train(self) -> Images:
        """The first image set."""
        return self._images(REAL)

    @train.setter
    def train(self, images: Images) -> None:
        self._counted[REAL] = images

    @property
    def test(self) -> Images:
        """Raise `ImagesUnavailable` for a metric that reads held-out images: there are none."""
        return self._images("test")

    @test.setter
    def test(self, images: Images) -> None:
        self._counted["test"] = images

    def read_pixels(self) -> None:
        """Read the image sets without an extractor; for statistics, only the number of images is known."""
        for images, image_set in self.image_sets.items():
            if image_set.statistics is not None:
                self.reports.setdefault(images, ReadReport())
                self._count(images, read_statistics(image_set.statistics).statistics.n)
                continue
            assert image_set.images is not None
            with contextlib.suppress(ImagesUnavailable):  # a metric that needs them reports it
                self._count(images, len(self._pixels_of(images).pixels))
            self.counts.setdefault(images, sum(self.reports[images].shapes.values()))

    def _images(self, images: SetName) -> Images:
        return self._pixels_of(images) if self.gives_pixels else self._counted[images]

    def _pixels_of(self, images: SetName) -> Images:
        """Return all images of a set, read once; raise `ImagesUnavailable` where they are not of one shape."""
        if images not in self._in_memory:
            source, report = self._source(images), ReadReport(left_out=self._source(images).left_out)
            with self.show(source.title) as progress:
                batches = list(source.batches(self.batch_size, report, progress))
            self.reports.setdefault(images, report)
            if len(report.shapes) > 1:
                raise ImagesUnavailable(
                    f"it needs images of one size, but {source.title} has {len(report.shapes)} sizes; resize them."
                )
            if sum(map(len, batches)) < 2:
                raise DataError(
                    f"{source.title} has fewer than two readable images.", "Provide more images.", code="GB304"
                )
            self._in_memory[images] = Images(torch.cat(batches))
        return self._in_memory[images]

    def _source(self, images: SetName) -> ImageSource:
        """Return the images of a set; raise `ImagesUnavailable` where it has none."""
        image_set = self.image_sets.get(images)
        if image_set is None:
            raise ImagesUnavailable(_NEEDS_HELD_OUT)
        if image_set.images is None:
            which = "first" if images == REAL else "second"
            raise ImagesUnavailable(f"it needs images, but the {which} image set consists of statistics.")
        return image_set.images

    def close(self) -> None:
        """Delete the temporary files."""
        for rows in self._rows.values():
            rows.close()

    def _read_statistics(self, name: str, images: SetName, image_set: ImageSet) -> None:
        assert image_set.statistics is not None
        stored: StoredStatistics = read_statistics(image_set.statistics)
        known = next((found for (one, _), found in self._statistics.items() if one == name), None)
        d = len(stored.statistics.mean)
        if known is not None and d != len(known.mean):
            raise DataError(
                f"{image_set.statistics} has {d} features, and the other image set has {len(known.mean)}.",
                "Both must come from the same layer of the same network.",
                code="GB308",
            )
        own, weights = stored.spec.get("weights_sha256"), self.extractor(name).protocol.get("weights_sha256")
        if own is not None and own != weights:
            raise DataError(
                f"{image_set.statistics} was computed with other weights ({own}) than those of '{name}' ({weights}).",
                "Create it again with --save-stats, or choose its extractor.",
                code="GB308",
            )
        for part in ("resize", "layer"):
            here = self.extractor(name).protocol.get(part)
            if part in stored.spec and stored.spec[part] != here:
                raise DataError(
                    f"{image_set.statistics} has the {part} '{stored.spec[part]}', but '{name}' has '{here}'.",
                    "Create it again with --save-stats, or choose its extractor.",
                    code="GB308",
                )
        found = stored.statistics
        if images == REAL and self._n_real is not None:
            if found.n not in (None, self._n_real):
                raise UsageError(
                    f"{image_set.statistics} states that it was made from {found.n} images, and --n-real is "
                    f"{self._n_real}.",
                    "Drop --n-real.",
                    code="GB308",
                )
            found = Statistics(found.mean, found.factor, self._n_real)
        self._statistics[name, images] = found
        self._count(images, found.n)
        self.reports.setdefault(images, ReadReport())

    def _known_statistics(self, name: str, source: ImageSource) -> Statistics:
        """Return the statistics of the first set, from the cache or from its images; then they are cached."""
        assert source.identify is not None
        identity = source.identify()
        digest = hashlib.sha256(identity.encode(errors="surrogateescape")).hexdigest()
        content = identity if source.split else digest  # the identity of a dataset is its content hash already
        store = FeatureStore(cache_directory(), content, self.device.type, self.batch_size)
        read = False

        def fit() -> StoredStatistics:
            nonlocal read
            read = True
            found = self._read(name, REAL, source)
            if not self.reports[REAL].repeatable:
                raise _Incomplete
            return StoredStatistics(found, {_REPORT: as_json(self.reports[REAL])})

        def suffices(spec: Spec) -> bool:
            return from_json(spec.get(_REPORT), source.left_out) is not None

        try:
            found = store.described_statistics(self.extractor(name), source.split or "all", fit, suffices)
        except _Incomplete:  # not all images were read: do not cache
            return self._statistics[name, REAL]
        report = from_json(found.spec.get(_REPORT), source.left_out)
        if not read and report is not None:
            self.from_cache.add(REAL)
            self.reports[REAL] = report
        return found.statistics

    def _read(self, name: str, images: SetName, source: ImageSource) -> Statistics:
        report, rows = ReadReport(left_out=source.left_out), FeatureRows()
        self._rows[name, images] = rows
        extractor = self.extractor(name)
        with self.show(source.title) as progress:
            for features in self._features_of(name, source.batches(self.batch_size, report, progress), report):
                bad = int((~features.isfinite().all(1)).sum())
                if bad:
                    raise DataError(
                        f"{extractor.name}: features of {bad} images of {source.title} are not finite.",
                        "Check the weights and the pixels.",
                        code="GB604",
                    )
                rows.append(features)
        self.reports[images] = report
        require_two_images(source, report, len(rows))
        self._statistics[name, images] = statistics(rows)
        return self._statistics[name, images]

    def _features_of(self, name: str, batches: Iterator[Tensor], report: ReadReport) -> Iterator[Tensor]:
        """Yield the features of batches; an incomplete batch is padded only to the next power of two."""
        extractor = self.extractor(name)
        for batch in batches:
            size = min(self.batch_size, 1 << (len(batch) - 1).bit_length())
            try:
                yield from features_of(extractor, [batch], self.device, size)
            except ValueError as error:
                raise DataError(
                    f"'{name}' cannot process these images: {error}", "Choose another --extractor.", code="GB603"
                ) from error

    def record(self, images: SetName, report: ReadReport, n: int) -> None:
        """Record that a set was read, of which there are n images."""
        self.reports[images] = report
        self._count(images, n)

    def _count(self, images: SetName, n: int | None) -> None:
        self.counts[images] = n
        empty = Images(torch.empty(n or 2, 0, 1, 1, dtype=torch.uint8))  # the right number of images, without pixels
        if images == REAL:
            self.train = empty
        else:
            self.samples = empty


def require_two_images(source: ImageSource, report: ReadReport, count: int) -> None:
    """Raise `DataError` where fewer than two images were read."""
    if count < 2:
        found = "no readable image" if not count else "one readable image"
        skipped = "; ".join(report.warnings())
        raise DataError(
            f"{source.title} has {found}; at least two are needed.{f' It {skipped}.' if skipped else ''}",
            "Provide more images.",
            code="GB304",
        )


class _Incomplete(Exception):
    """Not all images could be read."""
