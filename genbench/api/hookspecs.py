"""The contract between genbench and its plugins.

A plugin is a module that implements some of these hooks with `genbench.hookimpl`. It is found through the entry-point
group ``genbench``, or named by ``--plugin FILE``. Each hook is called once, when plugins are loaded, and returns an
iterable of specs (usually it is a generator function). No hook is called inside a timed window.
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from genbench.api.specs import (
    DatasetSpec,
    ExtractorSpec,
    FamilySpec,
    LossSpec,
    MetricSpec,
    ModelSpec,
    ReporterSpec,
)

PROJECT = "genbench"

# Version of this contract: hooks, specs and what they exchange. The first number rises when a plugin that worked may
# work no more, the second when something is added. A plugin states the one it needs: requires_api = "1.0".
API_VERSION = "1.1"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def genbench_families() -> Iterable[FamilySpec]:
    """Yield the families that this plugin adds: ways for networks to learn and to be used.

    >>> import genbench
    >>> @genbench.hookimpl
    ... def genbench_families():
    ...     yield genbench.FamilySpec(name="my-family", create="my_package.family:create", networks=("network",))
    >>> [spec.name for spec in genbench_families()]
    ['my-family']
    """
    raise NotImplementedError


@hookspec
def genbench_models() -> Iterable[ModelSpec]:
    """Yield models: named networks of one family.

    >>> import genbench
    >>> @genbench.hookimpl
    ... def genbench_models():
    ...     yield genbench.ModelSpec(
    ...         name="my-gan", family="adversarial", build="my_package.networks:build", default_loss="non-saturating"
    ...     )
    >>> [spec.name for spec in genbench_models()]
    ['my-gan']
    """
    raise NotImplementedError


@hookspec
def genbench_losses() -> Iterable[LossSpec]:
    """Yield losses: the objectives of a family.

    >>> import genbench
    >>> def create(options):
    ...     return genbench.AdversarialLoss(
    ...         discriminator=lambda real, fake: (1 - real).relu().mean() + (1 + fake).relu().mean(),
    ...         generator=lambda fake, real: -fake.mean(),
    ...     )
    >>> @genbench.hookimpl
    ... def genbench_losses():
    ...     yield genbench.LossSpec(name="my-hinge", family="adversarial", create=create)
    >>> [spec.name for spec in genbench_losses()]
    ['my-hinge']
    """
    raise NotImplementedError


@hookspec
def genbench_datasets() -> Iterable[DatasetSpec]:
    """Yield datasets: uint8 images with labels, in two splits.

    >>> import genbench
    >>> @genbench.hookimpl
    ... def genbench_datasets():
    ...     yield genbench.DatasetSpec(name="my-data", image_shape=(1, 28, 28), load="my_package.data:load")
    >>> [spec.name for spec in genbench_datasets()]
    ['my-data']
    """
    raise NotImplementedError


@hookspec
def genbench_extractors() -> Iterable[ExtractorSpec]:
    """Yield extractors: frozen networks that turn images into features; each gives a metric ``fd-<name>``.

    >>> import genbench
    >>> @genbench.hookimpl
    ... def genbench_extractors():
    ...     yield genbench.ExtractorSpec(name="my-features", load="my_package.features:load")
    >>> [spec.name for spec in genbench_extractors()]
    ['my-features']
    """
    raise NotImplementedError


@hookspec
def genbench_metrics() -> Iterable[MetricSpec]:
    """Yield metrics: each measures one number of a trained model.

    >>> import genbench
    >>> def measure(evaluation):
    ...     pixels = evaluation.samples.pixels
    ...     value = float(pixels.float().mean() / 255)
    ...     return genbench.Estimate(
    ...         metric="brightness", value=value, standard_error=None, n=len(pixels), direction="higher"
    ...     )
    >>> @genbench.hookimpl
    ... def genbench_metrics():
    ...     yield genbench.MetricSpec(name="brightness", measure=measure, direction="higher")
    >>> [spec.name for spec in genbench_metrics()]
    ['brightness']
    """
    raise NotImplementedError


@hookspec
def genbench_reporters() -> Iterable[ReporterSpec]:
    """Yield reporters: each tells some tracker what happens in a run.

    >>> import genbench
    >>> class Printer:
    ...     def cell_finished(self, event):
    ...         print(event.cell.label, event.status)
    >>> @genbench.hookimpl
    ... def genbench_reporters():
    ...     yield genbench.ReporterSpec(name="printer", create=lambda run, options: Printer())
    >>> [spec.name for spec in genbench_reporters()]
    ['printer']
    """
    raise NotImplementedError
