"""A cell's identity: everything that determines its numbers, and the id that is a hash of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

from genbench.plugins.catalogue import Catalogue
from genbench.plugins.chosen_metrics import origins
from genbench.plugins.loader import Plugin
from genbench.results.schema import CellIdentity, Choice, PluginOrigin

IDENTITY_VERSION = 2  # increase it if the same record would give other numbers


def origin(plugin: Plugin) -> PluginOrigin:
    """Return the part of a plugin that belongs to the identity of the things it registers."""
    return PluginOrigin(
        plugin="builtin" if plugin.origin == "builtin" else plugin.name,
        distribution=plugin.distribution,
        version=plugin.version,
    )


def metric_origins(names: Iterable[str], catalogue: Catalogue) -> dict[str, PluginOrigin]:
    """Return the origins of metrics from third-party plugins; the version of genbench covers built-in ones.

    If the extractor of such a metric comes from another plugin, that is named under ``<metric>:extractor``.
    """
    found = {key: plugin for name in names for key, plugin in origins(name, catalogue.metrics[name]).items()}
    return {key: origin(plugin) for key, plugin in found.items()}


# Recipe fields whose values change neither the work of a step nor whether a cell can be built.
_FREE_OF_COST = frozenset(
    {"images", "evaluate_every", "best_metric", "patience", "samples", "warmup_steps", "energy_seconds"}
    | {"learning_rate", "beta1", "beta2"}
)
# Here only the difference between zero and another value does.
_COST_IF_USED = frozenset(
    {"weight_decay", "clip_gradient", "dropout", "orthogonal", "ema_half_life"}
    | {"augment_flip", "augment_rotate", "augment_scale", "augment_crop"}
)


def step_key(identity: CellIdentity) -> bytes:
    """Return bytes that are equal for cells whose networks and steps cost the same: a dry run tries only one of them.

    Cells that differ only in the seed, in budgets, in what is measured, or in numbers of the optimiser have equal keys.
    """
    recipe = {
        name: bool(value) if name in _COST_IF_USED else value
        for name, value in identity.recipe.items()
        if name not in _FREE_OF_COST
    }
    alike = msgspec.structs.replace(identity, seed=0, recipe=recipe, metrics=(), metric_origins=msgspec.UNSET)
    return msgspec.json.encode(alike, order="deterministic")


def digest(record: CellIdentity | Choice) -> str:
    """Return ten hexadecimal digits that depend on every field of the record."""
    return hashlib.sha256(msgspec.json.encode(record, order="deterministic")).hexdigest()[:10]


def cell_id(identity: CellIdentity) -> str:
    """Return a readable id: model, loss, dataset and seed, then the digest of the whole identity.

    The digest covers the content of the initial weights, not where they are: equal weights give equal ids.
    """
    if identity.init_hash and "init_from" in identity.recipe:
        identity = msgspec.structs.replace(identity, recipe={**identity.recipe, "init_from": ""})
    names = (identity.model.name, identity.loss.name, identity.dataset.name, f"s{identity.seed}")
    return "-".join((*names, digest(identity)))


def reference_id(dataset: Choice, samples: int) -> str:
    """Return the id of a dataset's reference rows."""
    return f"{dataset.name}-{samples}-{digest(dataset)}"
