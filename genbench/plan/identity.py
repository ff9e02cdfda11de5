"""A cell's identity: a hash of what determines its numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

from genbench.plugins.loader import Plugin
from genbench.results.schema import CellIdentity, Choice, PluginOrigin

IDENTITY_VERSION = 2  # raise it when the same record would mean other numbers


def origin(plugin: Plugin) -> PluginOrigin:
    """Return the part of a plugin that belongs to the identity of what it registers."""
    return PluginOrigin(
        plugin="builtin" if plugin.origin == "builtin" else plugin.name,
        distribution=plugin.distribution,
        version=plugin.version,
    )


def origins_of_others(plugins: Mapping[str, Plugin]) -> dict[str, PluginOrigin]:
    """Return, by name, the origins of what third-party plugins bring; built-in things have the version of genbench."""
    return {name: origin(plugin) for name, plugin in plugins.items() if plugin.origin != "builtin"}


def digest(record: CellIdentity | Choice) -> str:
    """Return ten hexadecimal digits that change with any field of the record."""
    return hashlib.sha256(msgspec.json.encode(record, order="deterministic")).hexdigest()[:10]


def cell_id(identity: CellIdentity) -> str:
    """Return a readable id: model, loss, dataset and seed, then the digest of everything."""
    names = (identity.model.name, identity.loss.name, identity.dataset.name, f"s{identity.seed}")
    return "-".join((*names, digest(identity)))


def reference_id(dataset: Choice, samples: int) -> str:
    """Return the id of a dataset's reference rows."""
    return f"{dataset.name}-{samples}-{digest(dataset)}"
