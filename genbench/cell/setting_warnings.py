"""What a reader should know beside a cell's numbers: settings that do nothing, and what goes together badly."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from genbench.api.options import options_without_effect
from genbench.api.training import AdversarialLoss
from genbench.plan.remedies import settings_without_effect
from genbench.plugins.catalogue import Catalogue
from genbench.plugins.loader import Kind
from genbench.results.schema import CellIdentity, Choice, Transfer
from genbench.train.builder import Built


def setting_warnings(built: Built, identity: CellIdentity, catalogue: Catalogue) -> list[str]:
    """Return notes on a cell that is ready to train."""
    chosen: list[tuple[Kind, Choice]] = [
        ("models", identity.model),
        ("losses", identity.loss),
        ("datasets", identity.dataset),
    ]
    notes = settings_without_effect(built.recipe, built.setup.networks)
    for kind, choice in chosen:
        spec = catalogue.require(kind, choice.name).spec
        notes += options_without_effect(spec.option_schema, choice.options, spec.name)
    notes += penalty_beside_batch_norm(built.setup.loss, built.setup.networks, identity.loss.name)
    return notes + left_from_scratch(built.transfer)


def penalty_beside_batch_norm(loss: object, networks: Mapping[str, nn.Module], name: str) -> list[str]:
    """Say where a penalty on the gradient of each image's own logit meets batch norm, which mixes the images.

    Gulrajani et al. 2017, section 4, say it of wgan-gp. It holds of every penalty that takes one norm per image, as all
    of `AdversarialLoss.penalty` do: the gradient of the sum of the logits is then no image's own.
    """
    if not isinstance(loss, AdversarialLoss) or loss.penalty is None or "discriminator" not in networks:
        return []
    if not any(isinstance(module, _BatchNorm) for module in networks["discriminator"].modules()):
        return []
    return [
        f"the penalty of {name} is meant for each image's own gradient, which batch norm in the discriminator mixes "
        "with the others of the batch (Gulrajani et al. 2017, section 4): use a discriminator without batch norm"
    ]


def left_from_scratch(transfer: Transfer | None) -> list[str]:
    """Say where initial weights fit a part of the networks only; `genbench show` names the tensors."""
    left = len(transfer.missing) + len(transfer.mismatched) if transfer else 0
    if transfer is None or not left:
        return []
    count = len(transfer.taken)
    return [f"{transfer.source} gave {count} of {count + left} tensors: {left} did not fit, and start from scratch"]
