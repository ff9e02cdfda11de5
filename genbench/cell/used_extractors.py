"""The extractors that the data of a run chose or trained, each trained and certified once, before the cells use it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch

from genbench import __version__
from genbench.api.evaluation import Extractor, ExtractorUnavailable
from genbench.api.images import Images
from genbench.api.specs import ExtractorSpec
from genbench.cell.evaluation_data import evaluation_of
from genbench.data.loading import LoadedData
from genbench.errors import DataError
from genbench.gate.extractor_certificate import Monotonicity
from genbench.metrics.certification.certificate import FEWEST, certify
from genbench.metrics.evaluation import CellEvaluation
from genbench.planning.default_extractors import LEARNED
from genbench.plugins.catalogue import Catalogue
from genbench.plugins.metric_names import FeatureMetric
from genbench.process.worker_channel import ShowCount
from genbench.results.cache import cache_directory
from genbench.results.files import atomic_write
from genbench.results.schema import PlannedReference, UsedExtractor

CERTIFIED_IMAGES = 1000  # held-out images, at most: a few seconds on one CPU core


class _Certificate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The verdict, empty if there is none, and what it is based on or why there is none."""

    verdict: str
    remark: str


@dataclass(frozen=True)
class UsedExtractors:
    """Prepares the extractors of a dataset that its planned metrics use."""

    planned: PlannedReference
    catalogue: Catalogue
    data: LoadedData
    device: torch.device
    show: ShowCount  # learns how far the training has come

    def prepare(self) -> list[UsedExtractor]:
        """Train and certify those that are trained on the data; describe these, and those that the data chose.

        One that is unavailable is left out: its metrics say why.
        """
        metrics = [self.catalogue.metrics[name].spec for name in self.planned.metrics]
        names = dict.fromkeys(spec.extractor for spec in metrics if isinstance(spec, FeatureMetric))
        specs: list[ExtractorSpec] = [self.catalogue.require("extractors", name).spec for name in names]
        chosen = self.planned.extractor_reasons or {}
        found = [self._prepare(spec) for spec in specs if spec.needs_data or spec.name in chosen]
        return [one for one in found if one is not None]

    def _prepare(self, spec: ExtractorSpec) -> UsedExtractor | None:
        begin, reason = time.perf_counter(), (self.planned.extractor_reasons or {}).get(spec.name, "")
        evaluation = self._held_out()
        try:
            loaded = evaluation.extractor(spec.name)
        except ExtractorUnavailable:
            return None
        if not spec.needs_data:
            return UsedExtractor(extractor=spec.name, distance=loaded.name, reason=reason)
        certificate = self._certificate(evaluation, spec.name, loaded)
        return UsedExtractor(
            extractor=spec.name,
            distance=loaded.name,
            reason=reason,
            training=self._training(spec, loaded),
            certificate=certificate.verdict,
            remark=certificate.remark,
            seconds=time.perf_counter() - begin,
        )

    def _held_out(self) -> CellEvaluation:
        """Return an evaluation whose samples are held-out images."""
        labels = None if self.data.test_labels is None else self.data.test_labels[:CERTIFIED_IMAGES]
        images = Images(self.data.test_pixels[:CERTIFIED_IMAGES], labels)
        name = self.planned.dataset.name
        return evaluation_of(images, self.data, name, self.catalogue, self.device, show=self.show)

    def _training(self, spec: ExtractorSpec, loaded: Extractor) -> str:
        """Say in a few words what a loaded extractor was trained to do."""
        accuracy, method = loaded.protocol.get("test_accuracy"), loaded.protocol.get("method")
        if isinstance(accuracy, float):
            return f"to classify its labels ({accuracy:.0%} of the held-out images are right)"
        if method is None or spec.name != LEARNED:
            return str(method or "")
        why = "it has no labels" if self.data.train_labels is None else "its labels cannot be learned from the images"
        return f"{method}, because {why}"

    def _certificate(self, evaluation: CellEvaluation, name: str, loaded: Extractor) -> _Certificate:
        """Return the certificate of these weights, from the cache if it is there."""
        count = len(evaluation.samples.pixels)
        if count < FEWEST:
            return _Certificate("", f"{count} held-out images are too few; {FEWEST} would do")
        inputs = [loaded.name, dict(loaded.protocol), self.data.hash, count, __version__, str(torch.__version__)]
        key = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:32]
        path = cache_directory() / "extractors" / f"{key}.certificate.json"
        cached = _read(path)
        if cached is not None:
            return cached
        self.show(f"certifying {loaded.name}", count, count)
        try:
            measured = certify(evaluation, name, self.planned.dataset.name, self.data.hash, lambda what: None)
        except (DataError, ValueError) as error:
            return _Certificate("", str(error))
        worst = [ladder.name for ladder in measured.ladders if ladder.verdict == measured.verdict]
        remark = f"{count:,} held-out images"
        if measured.verdict is not Monotonicity.MONOTONE:
            remark = f"{', '.join(worst)}; {remark}"
        found = _Certificate(measured.verdict, remark)
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(path, msgspec.json.encode(found))
        return found


def _read(path: Path) -> _Certificate | None:
    """Return a certificate; None if there is no whole one."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Certificate)
    except (OSError, msgspec.DecodeError):
        return None
