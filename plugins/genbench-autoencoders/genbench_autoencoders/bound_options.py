"""Options of losses that are bounds with a learned prior."""

from __future__ import annotations

from dataclasses import dataclass

import genbench


@dataclass(frozen=True)
class BoundOptions(genbench.LikelihoodOptions):
    """The likelihood, and how the weight of the KL term rises."""

    beta: float = genbench.option(1.0, "weight of the KL term; 1: the loss is a bound", minimum=0)
    warm_up: float = genbench.option(
        0.0, "fraction of the budget over which the weight rises linearly from 0 to beta", minimum=0, maximum=1
    )
