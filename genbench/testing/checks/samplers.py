"""The rule of samplers: each draws images as the family's own `sample` does."""

from __future__ import annotations

import torch
from torch import Tensor

from genbench.api.training import Sampler
from genbench.errors import SpecError
from genbench.sampling.sampler import sample_by
from genbench.testing.check import check
from genbench.testing.findings import NotApplicable, RuleViolation
from genbench.testing.subject import BATCH, Subject, rng
from genbench.train.network_checks import require_range


@check(
    "samplers",
    *("models", "families"),
    what="Each declared sampler draws images of the right shape and range, the same from the same seed.",
    why="`--samplers` measures a trained model with each of them, under the same conditions as with `sample`.",
    fix="Return what `sample` returns, and draw noise from the generator that `sample_with` receives.",
    after=("finite-steps",),
)
def samplers(subject: Subject) -> None:
    """Draw with each sampler's default options, twice from one seed."""
    if not subject.family.samplers:
        raise NotApplicable(f"the family '{subject.family.name}' declares no samplers")
    networks, shape = subject.networks(), subject.shapes[0]
    for network in networks.values():
        network.eval()
    family = subject.create_family(networks)
    for spec in subject.family.samplers:
        sampler = Sampler(spec.name, spec.make_options({option.name: option.default for option in spec.option_schema}))
        found: list[Tensor] = []
        for _ in range(2):
            with torch.inference_mode():
                images: object = sample_by(family, sampler, BATCH, rng(), subject.labels(BATCH))
            if not isinstance(images, Tensor) or images.shape != (BATCH, *shape) or not images.is_floating_point():
                what = f"{images.dtype} {tuple(images.shape)}" if isinstance(images, Tensor) else type(images).__name__
                raise RuleViolation(f"'{spec.name}' draws {what} where floats {(BATCH, *shape)} were expected")
            found.append(images)
        if not bool(found[0].isfinite().all()):
            raise RuleViolation(f"'{spec.name}' draws values that are not finite")
        try:
            least, greatest = (float(end) for end in found[0].aminmax())
            require_range(subject.model, least, greatest, f"by '{spec.name}' generates")
        except SpecError as error:
            raise RuleViolation(error.cause) from None
        if not torch.equal(*found):
            raise RuleViolation(f"'{spec.name}' draws different images from the same seed")
