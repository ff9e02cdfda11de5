"""Notes on a cell's settings: those that have no effect, and combinations that work badly."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from genbench.api.options import options_without_effect
from genbench.api.training import AdversarialLoss
from genbench.planning.remedies import settings_without_effect
from genbench.plugins.catalogue import Catalogue
from genbench.plugins.loader import Kind
from genbench.results.schema import CellIdentity, Choice, Transfer
from genbench.train.builder import Built
from genbench.train.phase_recipe import phase_notes


def setting_warnings(built: Built, identity: CellIdentity, catalogue: Catalogue) -> list[str]:
    """Return notes on a cell that is ready to train."""
    chosen: list[tuple[Kind, Choice]] = [
        ("models", identity.model),
        ("losses", identity.loss),
        ("datasets", identity.dataset),
    ]
    notes = settings_without_effect(built.recipe, built.unused_settings)
    for kind, choice in chosen:
        spec = catalogue.require(kind, choice.name).spec
        notes += options_without_effect(spec.option_schema, choice.options, spec.name)
    notes += penalty_with_batch_norm(built.setup.loss, built.setup.networks, identity.loss.name)
    notes += phase_notes([player.phase for player in built.engine.players], built.recipe, built.changed)
    return notes + partial_transfer(built.transfer)


def penalty_with_batch_norm(loss: object, networks: Mapping[str, nn.Module], name: str) -> list[str]:
    """Return a note if a per-image gradient penalty is used with batch norm, which mixes the images of a batch.

    Gulrajani et al. 2017, section 4, state this for wgan-gp. It applies to every penalty with one norm per image, such
    as all in `AdversarialLoss.penalty`: with batch norm, the gradient of the sum of the logits mixes the images.
    """
    if not isinstance(loss, AdversarialLoss) or loss.penalty is None or "discriminator" not in networks:
        return []
    if not any(isinstance(module, _BatchNorm) for module in networks["discriminator"].modules()):
        return []
    return [
        f"the penalty of {name} assumes a separate gradient for each image, but batch norm in the discriminator mixes "
        "the images of a batch (Gulrajani et al. 2017, section 4): use a discriminator without batch norm"
    ]


def partial_transfer(transfer: Transfer | None) -> list[str]:
    """Return a note if initial weights fit only part of the networks; `genbench show` lists the tensors."""
    rest = len(transfer.missing) + len(transfer.mismatched) if transfer else 0
    if transfer is None or not rest:
        return []
    count = len(transfer.taken)
    return [
        f"{count} of {count + rest} tensors were loaded from {transfer.source}; the other {rest} start from scratch"
    ]
