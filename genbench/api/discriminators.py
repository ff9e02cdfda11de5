"""What a discriminator returns: the kinds that a model declares and a loss takes."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

DiscriminatorOutput: TypeAlias = Literal[
    "logits", "class-logits", "features", "reconstructions", "coded-reconstructions", "scales"
]

OUTPUT_KINDS: tuple[str, ...] = get_args(DiscriminatorOutput)
UNDECLARED_OUTPUTS: tuple[str, ...] = ("logits", "class-logits")  # of a model that declares nothing: one of these
DEFAULT_INPUTS: tuple[str, ...] = ("logits", "class-logits", "features", "scales")  # of a loss that declares nothing


# A loss that takes the second kind also takes the first, and ignores what that adds.
_INCLUDES: dict[str, tuple[str, ...]] = {"coded-reconstructions": ("coded-reconstructions", "reconstructions")}


def unfit_output(returned: str, taken: tuple[str, ...]) -> bool:
    """Return whether a loss that takes these kinds cannot work with a discriminator of this kind.

    Args:
        returned: `ModelSpec.discriminator_output`; empty: undeclared.
        taken: `LossSpec.discriminator_outputs`; empty: undeclared.
    """
    possible = _INCLUDES.get(returned, (returned,)) if returned else UNDECLARED_OUTPUTS
    return not set(possible) & set(taken or DEFAULT_INPUTS)
