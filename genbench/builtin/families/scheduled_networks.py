"""Networks that follow the progress of training."""

from __future__ import annotations

from collections.abc import Iterable

import genbench


def scheduled_networks(setup: genbench.Setup) -> list[genbench.ScheduledNetwork]:
    """Return the networks of a model, and of its loss, that have `set_progress`."""
    return [network for network in setup.networks.values() if isinstance(network, genbench.ScheduledNetwork)]


def follow_schedule(networks: Iterable[genbench.ScheduledNetwork], batch: genbench.Batch) -> None:
    """Tell these networks the progress of training."""
    for network in networks:
        assert batch.progress is not None
        network.set_progress(batch.progress)
