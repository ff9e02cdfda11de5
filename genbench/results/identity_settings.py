"""The settings of a cell by name, from its identity. Neither the seed nor the versions of the code are among them."""

from __future__ import annotations

import msgspec

from genbench.api.options import OptionValue, named_options
from genbench.results.schema import CellIdentity, Choice


def key_without_seed(identity: CellIdentity) -> bytes:
    """Return bytes that are equal for cells that differ only in the seed."""
    return msgspec.json.encode(msgspec.structs.replace(identity, seed=0), order="deterministic")


def settings_by_kind(identity: CellIdentity) -> dict[str, OptionValue]:
    """Return image shape, `latent_dim`, options and recipe; options are named after their kind: ``model.width``."""
    found: dict[str, OptionValue] = {"image_shape": list(identity.image_shape), "latent_dim": identity.latent_dim}
    for kind, choice in chosen(identity):
        found |= {f"{kind}.{name}": value for name, value in choice.options.items()}
    return found | identity.recipe


def settings_by_name(identity: CellIdentity) -> dict[str, OptionValue]:
    """Return `latent_dim`, options and recipe, under their names in tables."""
    return {"latent_dim": identity.latent_dim, **options_by_choice(identity), **identity.recipe}


def options_by_choice(identity: CellIdentity) -> dict[str, OptionValue]:
    """Return the options of model, loss and dataset, named as `--set` names them: ``dcgan.width``."""
    return named_options((kind, choice.name, choice.options) for kind, choice in chosen(identity))


def chosen(identity: CellIdentity) -> tuple[tuple[str, Choice], ...]:
    """Return model, loss and dataset, each with its kind."""
    return ("model", identity.model), ("loss", identity.loss), ("dataset", identity.dataset)
