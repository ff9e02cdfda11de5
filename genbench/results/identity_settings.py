"""The settings of a cell by name, from its identity. Neither the seed nor the versions of the code are among them."""

from __future__ import annotations

from genbench.api.options import OptionValue
from genbench.results.schema import CellIdentity


def settings_by_kind(identity: CellIdentity) -> dict[str, OptionValue]:
    """Return image shape, `latent_dim`, options and recipe; options are named after their kind: ``model.width``."""
    found: dict[str, OptionValue] = {"image_shape": list(identity.image_shape), "latent_dim": identity.latent_dim}
    for kind, choice in (("model", identity.model), ("loss", identity.loss), ("dataset", identity.dataset)):
        found |= {f"{kind}.{name}": value for name, value in choice.options.items()}
    return found | identity.recipe


def options_by_choice(identity: CellIdentity) -> dict[str, OptionValue]:
    """Return the options of model, loss and dataset, named after what was chosen: ``dcgan.width``."""
    return {
        f"{choice.name}.{name}": value
        for choice in (identity.model, identity.loss, identity.dataset)
        for name, value in choice.options.items()
    }
