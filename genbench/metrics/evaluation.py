"""The data that metrics receive when a cell is evaluated."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from genbench.api.evaluation import (
    Classifier,
    Extractor,
    ExtractorData,
    ExtractorUnavailable,
    Rows,
    SetName,
    Statistics,
    show_nothing,
)
from genbench.api.images import Images
from genbench.api.specs import ExtractorSpec, resolve
from genbench.api.training import Likelihood, LikelihoodBound, LogLikelihood
from genbench.errors import UsageError, near_miss
from genbench.features.extract import extract, load_extractor, reproducible
from genbench.features.feature_cache import FeatureStore
from genbench.measure.capabilities import float64_device
from genbench.metrics.frechet import statistics
from genbench.plugins.calls import defined_at
from genbench.plugins.metric_names import is_reserved
from genbench.process.worker_channel import ShowCount
from genbench.seeds import seeded_generator

T = TypeVar("T")
_CHUNK = 4096  # feature vectors passed to a classifier's head at a time
Bounds = Callable[[int, int | None], LikelihoodBound]  # (draws, count) -> bounds on `count` held-out images, or on all
Likelihoods = Callable[[int, int | None], LogLikelihood]  # the same for a model that computes its likelihood


class BrokenExtractor(ExtractorUnavailable):
    """A loaded extractor breaks the contract."""


class CellEvaluation:
    """`genbench.Evaluation` from sets of images in memory.

    Extractors are loaded when a metric first asks for them. Features are computed once per extractor and set, modes
    once per set.
    """

    def __init__(
        self,
        *,
        samples: Images,
        train: Images,
        test: Images,
        reconstructions: tuple[Tensor, Tensor] | None = None,
        device: torch.device,
        batch_size: int = 256,
        seed: int = 0,
        extractors: Mapping[str, ExtractorSpec],
        mode_of: Callable[[Tensor], Tensor] | str | None = None,
        factors: Mapping[str, Tensor] | None = None,
        data: ExtractorData | None = None,
        bounds: tuple[Likelihood, Bounds] | None = None,
        likelihoods: Likelihoods | None = None,
        show: ShowCount = show_nothing,
    ) -> None:
        """Take uint8 sets of images, and pairs (held-out image, reconstruction) as floats in [0, 1].

        `mode_of` is the dataset's; it receives a whole set at once, on the device. `data` is for extractors that are
        trained on it, and says where their features of it are cached. `bounds` bounds the likelihood of held-out images
        under the model that drew the samples, `likelihoods` computes it. `show` learns how many features are computed.
        Where the device has no double precision, all of this is computed on the CPU.
        """
        self.samples = samples
        self.train = train
        self.test = test
        self.reconstructions = reconstructions
        self.device = float64_device(device)
        self.batch_size = batch_size
        self.seed = seed
        self._specs = extractors
        self._loaded: dict[str, Extractor | ExtractorUnavailable] = {}
        self._features: dict[tuple[str, SetName], Tensor] = {}
        self._network_outputs: dict[tuple[str, SetName], Tensor] = {}
        self._statistics: dict[tuple[str, SetName], Statistics] = {}
        self._mode_of = mode_of
        self._modes: dict[SetName, Tensor] = {}
        self._logits: dict[tuple[str, SetName], Tensor] = {}
        self.factors: Mapping[str, Tensor] = factors or {}
        self._data = data
        self._bounds = bounds
        self._bound: dict[tuple[int, int | None], LikelihoodBound] = {}
        self._of_data: dict[str, Any] = {}  # shared by all evaluations that `with_samples` returns
        self._likelihoods = likelihoods
        self._show = show
        self._log_likelihood: dict[tuple[int, int | None], LogLikelihood] = {}

    def with_samples(
        self,
        samples: Images,
        reconstructions: tuple[Tensor, Tensor] | None = None,
        bounds: tuple[Likelihood, Bounds] | None = None,
        likelihoods: Likelihoods | None = None,
    ) -> CellEvaluation:
        """Return the evaluation with other samples, and reconstructions and likelihoods of the model that drew them.

        The extractors and everything computed from the data stay loaded.
        """
        other = copy.copy(self)
        other.samples, other.reconstructions, other._bounds = samples, reconstructions, bounds
        other._features = {key: found for key, found in self._features.items() if key[1] != "samples"}
        other._network_outputs = {key: found for key, found in self._network_outputs.items() if key[1] != "samples"}
        other._statistics = {key: found for key, found in self._statistics.items() if key[1] != "samples"}
        other._logits = {key: found for key, found in self._logits.items() if key[1] != "samples"}
        other._modes = {images: found for images, found in self._modes.items() if images != "samples"}
        other._likelihoods = likelihoods
        other._bound, other._log_likelihood = {}, {}  # those of the previous weights
        return other

    def extractor(self, name: str) -> Extractor:
        """Return the loaded extractor; raise `ExtractorUnavailable`, or `UsageError` for an unknown name."""
        if name not in self._specs:
            known = ", ".join(sorted(self._specs)) or "none"
            raise UsageError(
                f"Unknown extractor '{name}'.{near_miss(name, self._specs)}", f"Known: {known}.", code="GB101"
            )
        if name not in self._loaded:
            try:
                self._loaded[name] = self._with_own_name(self._specs[name], self._load(self._specs[name]))
            except ExtractorUnavailable as error:
                self._loaded[name] = error  # the next metric does not retry a failed download
        loaded = self._loaded[name]
        if isinstance(loaded, ExtractorUnavailable):
            raise loaded
        return loaded

    def _load(self, spec: ExtractorSpec) -> Extractor:
        if spec.needs_data and self._data is None:
            raise ExtractorUnavailable(f"'{spec.name}' is trained on a dataset, but none is given here.")
        data = None if self._data is None else dataclasses.replace(self._data, show=self._show)
        return load_extractor(spec, self.device, data)

    def _with_own_name(self, spec: ExtractorSpec, loaded: Extractor) -> Extractor:
        """Return the loaded extractor; raise `BrokenExtractor` where its distance is named like that of another."""
        others = [other.metric for other in self._specs.values() if other.name != spec.name]
        name: object = loaded.name
        own = isinstance(name, str) and (name == spec.metric or not (name in others or is_reserved(name)))
        if not own:
            raise BrokenExtractor(
                f"the extractor '{spec.name}' that its plugin loads is named {name!r}: expected '{spec.metric}', or "
                "'fd-…' that is not the distance of another extractor; correct its `name`"
            )
        return loaded

    def features(self, name: str, images: SetName) -> Tensor:
        """Return float64 features (N, d) on the CPU; computed once; those of the data once for all cells."""
        key = name, images
        if key not in self._features:
            self._features[key] = self._network_features(name, images).double()
        return self._features[key]

    def rows(self, name: str, images: SetName) -> Rows:
        """Return the same features in the network's own precision."""
        return self._network_features(name, images)

    def statistics(self, name: str, images: SetName) -> Statistics:
        """Return the Gaussian fitted to these features; computed once; that of the data once for all cells."""
        key, store = (name, images), self._store(images)

        def fit() -> Statistics:
            return statistics(self._network_features(name, images))

        if key not in self._statistics:
            self._statistics[key] = store.statistics(self.extractor(name), images, fit) if store else fit()
        return self._statistics[key]

    def _network_features(self, name: str, images: SetName) -> Tensor:
        """Return the network's output, float32 (N, d); for the data, from the store if it is there."""
        extractor, store, pixels, key = self.extractor(name), self._store(images), self._pixels(images), (name, images)

        def compute() -> Tensor:
            return extract(extractor, pixels, self.device, self.batch_size, self._show)

        if key not in self._network_outputs:
            self._network_outputs[key] = store.features(extractor, images, len(pixels), compute) if store else compute()
        return self._network_outputs[key]

    def _store(self, images: SetName) -> FeatureStore | None:
        if self._data is None or images == "samples":
            return None
        return FeatureStore(self._data.cache, self._data.hash, self.device.type, self.batch_size)

    def logits(self, name: str, images: SetName) -> Tensor | None:
        """Return float64 class logits (N, classes) on the CPU, computed once; None without a classifier."""
        extractor, key = self.extractor(name), (name, images)
        if not isinstance(extractor, Classifier):
            return None
        if key not in self._logits:
            features = self.features(name, images).float()
            with torch.inference_mode():
                parts = [
                    extractor.logits(part.to(self.device)).double().cpu() for part in torch.split(features, _CHUNK)
                ]
            self._logits[key] = torch.cat(parts).clone()
        return self._logits[key]

    @property
    def likelihood(self) -> Likelihood | None:
        """The likelihood that the model that drew the samples bounds, or None if it bounds none."""
        return None if self._bounds is None else self._bounds[0]

    def bound(self, draws: int, count: int | None = None) -> LikelihoodBound | None:
        """Return the bound on `count` held-out images, or on all, from `draws` latents each; computed once."""
        if self._bounds is None:
            return None
        key = draws, count
        if key not in self._bound:
            self._bound[key] = self._bounds[1](draws, count)
        return self._bound[key]

    def log_likelihood(self, draws: int, count: int | None = None) -> LogLikelihood | None:
        """Return the log-likelihood of the same images, or the bound on it; computed once."""
        bound, key = self.bound(draws, count), (draws, count)
        if bound is not None and self.likelihood is not None:
            return LogLikelihood(bound.log_weights, self.likelihood, exact=False, importance=bound.importance)
        if self._likelihoods is not None and key not in self._log_likelihood:
            self._log_likelihood[key] = self._likelihoods(draws, count)
        return self._log_likelihood.get(key)

    def modes(self, images: SetName) -> Tensor | None:
        """Return each image's mode, int64 (N,) on the CPU (-1 for none), or None if the dataset has no modes.

        Raises ValueError if the dataset's `mode_of` returns something else.
        """
        if self._mode_of is None:
            return None
        if images not in self._modes:
            pixels = self._pixels(images)
            with torch.inference_mode(), reproducible():
                found: object = resolve(self._mode_of)(pixels.to(self.device))
            if not isinstance(found, Tensor) or found.dtype != torch.int64 or found.shape != (len(pixels),):
                what = f"{found.dtype} {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
                raise ValueError(
                    f"the dataset's mode_of returned {what} for {len(pixels)} images, not one int64 per image"
                    f"{defined_at(resolve(self._mode_of))}."
                )
            self._modes[images] = found.cpu().clone()
        return self._modes[images]

    def of_data(self, key: str, compute: Callable[[], T]) -> T:
        """Return what `compute` returns from the data alone; it is called once for all evaluations that share them."""
        if key not in self._of_data:
            self._of_data[key] = compute()
        found: T = self._of_data[key]
        return found

    def generator(self, purpose: str) -> torch.Generator:
        """Return a CPU generator whose stream depends on the seed and on `purpose` only."""
        return seeded_generator(self.seed, purpose, torch.device("cpu"))

    def _pixels(self, images: SetName) -> Tensor:
        split: Images = {"samples": self.samples, "train": self.train, "test": self.test}[images]
        return torch.as_tensor(split.pixels)
