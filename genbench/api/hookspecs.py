"""The hooks: what a plugin can add to genbench.

A plugin is a module that implements some of these hooks with `genbench.hookimpl`. It is found by the entry-point group
``genbench``, or given by ``--plugin FILE``. Each hook is called once, when plugins are loaded, and never inside a timed
window. `docs/hooks.md` has a working example of each.
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from genbench.api.specs import (
    DatasetSpec,
    ExecutorSpec,
    ExtractorSpec,
    FamilySpec,
    LossSpec,
    MetricSpec,
    ModelSpec,
    ReporterSpec,
)

PROJECT = "genbench"

# Version of the contract: hooks, specs and what they exchange. The first number rises when an existing plugin may stop
# working, the second when something is added. A plugin declares the version that it needs: requires_api = "1.0".
API_VERSION = "1.4"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def genbench_models() -> Iterable[ModelSpec]:
    """Yield models: named networks of one family."""
    raise NotImplementedError


@hookspec
def genbench_losses() -> Iterable[LossSpec]:
    """Yield losses: the objectives of a family."""
    raise NotImplementedError


@hookspec
def genbench_datasets() -> Iterable[DatasetSpec]:
    """Yield datasets: uint8 images, with or without labels, in two splits."""
    raise NotImplementedError


@hookspec
def genbench_families() -> Iterable[FamilySpec]:
    """Yield families: how a set of networks trains and generates samples."""
    raise NotImplementedError


@hookspec
def genbench_extractors() -> Iterable[ExtractorSpec]:
    """Yield extractors: frozen networks that map images to features; each provides a metric ``fd-<name>``."""
    raise NotImplementedError


@hookspec
def genbench_metrics() -> Iterable[MetricSpec]:
    """Yield metrics: measurements of a trained model."""
    raise NotImplementedError


@hookspec
def genbench_reporters() -> Iterable[ReporterSpec]:
    """Yield reporters: each forwards the events of a run to a tracker."""
    raise NotImplementedError


@hookspec
def genbench_executors() -> Iterable[ExecutorSpec]:
    """Yield executors: each runs the cells of a run on an engine, such as a cluster's scheduler."""
    raise NotImplementedError
