"""What discriminators return, by kind (`ModelSpec.discriminator_output`), and what a loss is given of it.

For B images:

    logits           (B,), (B, 1, …) or maps (B, 1, h, w)
    class-logits     the pair (logits, class logits (B, classes))
    features         the pair (logits, features (B, …))
    reconstructions  images (B, channels, height, width), which the loss turns into the energy of each image
    coded-reconstructions  the pair (images as above, codes (B, …))
    scales           a sequence of logits, each of them as above
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import genbench

_PAIRED = {"class-logits": "class logits", "features": "features"}
_RECONSTRUCTIONS = ("reconstructions", "coded-reconstructions")
_SEQUENCE = (tuple, list)


class Judgement(NamedTuple):
    """What the loss is given of the discriminator's output for B images, in fp32."""

    scales: tuple[Tensor, ...]  # logits of each scale, flat; or the energies (B,) alone
    classes: Tensor | None = None  # class logits (B, classes)
    features: Tensor | None = None  # (B, …); codes of a discriminator that reconstructs

    @property
    def all(self) -> Tensor:
        """The logits of all scales, flat, or the energies."""
        return self.scales[0] if len(self.scales) == 1 else torch.cat(self.scales)

    def halves(self) -> tuple[Judgement, Judgement]:
        """Return the judgements of the first and the second half of the images; there are no classes or features."""
        real, fake = zip(*(scale.chunk(2) for scale in self.scales), strict=True)
        return Judgement(real), Judgement(fake)


class Discriminator:
    """A discriminator whose output is of the kind that its model declares; undeclared pairs have class logits."""

    def __init__(self, setup: genbench.Setup) -> None:
        self.network: nn.Module = setup.networks["discriminator"]
        self.loss: genbench.AdversarialLoss = setup.loss
        self.model, self.num_classes = setup.model, setup.num_classes
        self.declared = setup.model.discriminator_output
        _require_fit(setup.model, setup.loss)

    @property
    def gives_energies(self) -> bool:
        """Whether the loss is a function of energies, which are low for real images."""
        return self.declared in _RECONSTRUCTIONS

    def __call__(self, images: Tensor, labels: Tensor | None) -> Judgement:
        """Judge images (B, channels, height, width) as the discriminator sees them."""
        return self._judge(images, self._output(images, labels))

    def check(self, images: Tensor, labels: Tensor | None) -> None:
        """Raise `genbench.SpecError` if the output for these images is not what the model declares."""
        output: Any = self._output(images, labels)
        count = len(images)
        match self._kind(output):
            case "logits":
                self._require(_are_logits(output, count), output, _logits_text(count))
            case "reconstructions":
                shape = tuple(images.shape)
                self._require(_shape(output) == shape, output, f"reconstructions {shape}")
                self._check_energies(self._energies(images, output), count)
            case "coded-reconstructions":
                shape = tuple(images.shape)
                pair = isinstance(output, _SEQUENCE) and len(output) == 2
                expected = f"a pair: reconstructions {shape}; and codes ({count}, …)"
                self._require(pair and _shape(output[0]) == shape, output, expected)
                self._require(_are_paired("features", output[1], count, self.num_classes), output, expected)
                self._check_energies(self._energies(images, output[0]), count)
            case "scales":
                several = isinstance(output, _SEQUENCE) and len(output) > 0
                expected = f"a sequence with the logits of each scale, each {_logits_text(count)}"
                self._require(several and all(_are_logits(scale, count) for scale in output), output, expected)
            case kind:
                if kind == "class-logits" and labels is None:
                    raise no_labels(self.model)
                pair = isinstance(output, _SEQUENCE) and len(output) == 2
                second = f"({count}, {self.num_classes})" if kind == "class-logits" else f"({count}, …)"
                expected = f"a pair: {_logits_text(count)}; and {_PAIRED[kind]} {second}"
                self._require(pair and _are_logits(output[0], count), output, expected)
                self._require(_are_paired(kind, output[1], count, self.num_classes), output, expected)

    def _output(self, images: Tensor, labels: Tensor | None) -> Any:
        return self.network(images, labels) if self.model.conditional else self.network(images)

    def _kind(self, output: object) -> str:
        return self.declared or ("class-logits" if isinstance(output, _SEQUENCE) else "logits")

    def _judge(self, images: Tensor, output: Any) -> Judgement:
        match self._kind(output):
            case "logits":
                return Judgement((_flat(output),))
            case "reconstructions":
                return Judgement((self._energies(images, output).float(),))
            case "coded-reconstructions":
                return Judgement((self._energies(images, output[0]).float(),), features=output[1].float())
            case "scales":
                return Judgement(tuple(map(_flat, output)))
            case "features":
                return Judgement((_flat(output[0]),), features=output[1].float())
            case _:
                return Judgement((_flat(output[0]),), classes=output[1].float())

    def _energies(self, images: Tensor, reconstructions: Tensor) -> Tensor:
        assert self.loss.energy is not None
        return self.loss.energy(images.float(), reconstructions.float())

    def _check_energies(self, energies: object, count: int) -> None:
        if _shape(energies) != (count,):
            raise genbench.SpecError(
                f"`energy` of the loss returned {_describe(energies)} for {count} images instead of ({count},).",
                "Return the energy of each image: take the mean over dim=(1, 2, 3) only.",
            )

    def _require(self, condition: bool, output: object, expected: str) -> None:
        if condition:
            return
        declared = f"discriminator_output = '{self.declared}'" if self.declared else "no kind of discriminator_output"
        raise genbench.NetworkError(
            "discriminator",
            f"returned {_describe(output)} instead of {expected}; the model declares {declared}",
            "Return that, or declare what it returns as discriminator_output in the ModelSpec.",
        )


def no_labels(model: genbench.ModelSpec) -> genbench.SpecError:
    """Return the error of a model whose discriminator predicts classes that are not known."""
    return genbench.SpecError(
        f"The discriminator of '{model.name}' returns class logits, but there are no labels.",
        "Declare the model with conditional=True, or return the logits alone.",
    )


def _require_fit(model: genbench.ModelSpec, loss: genbench.AdversarialLoss) -> None:
    """Raise `genbench.SpecError` if the loss cannot be computed from what the model's discriminator returns."""
    returned = model.discriminator_output or "logits"
    featured = "coded-reconstructions" if loss.energy is not None else "features"
    needed: dict[str, tuple[Callable[..., Any] | None, tuple[str, ...]]] = {
        "energy": (loss.energy, _RECONSTRUCTIONS),
        "features": (loss.features, (featured,)),
    }
    for name, (function, kinds) in needed.items():
        if function is not None and returned not in kinds:
            raise genbench.SpecError(
                f"The loss has `{name}`, which takes {kinds[0]}; the discriminator of '{model.name}' returns "
                f"{returned}.",
                f"Declare discriminator_outputs=('{kinds[0]}',) in the LossSpec: this combination is then skipped.",
            )
    if returned in _RECONSTRUCTIONS and loss.energy is None:
        raise genbench.SpecError(
            f"The discriminator of '{model.name}' returns {returned}, but the loss has no `energy`.",
            "Give the AdversarialLoss energy=(images, reconstructions) -> energy of each image.",
        )


def _flat(logits: Tensor) -> Tensor:
    return logits.float().flatten()


def _are_logits(output: object, count: int) -> bool:
    """Return whether this is one logit for each image, or one map of logits."""
    shape = _shape(output)
    return len(shape) > 0 and shape[0] == count and (len(shape) == 1 or shape[1] == 1)


def _are_paired(kind: str, second: object, count: int, classes: int) -> bool:
    shape = _shape(second)
    if kind == "features":
        return len(shape) > 1 and shape[0] == count
    return len(shape) == 2 and shape[0] == count and shape[1] >= classes


def _logits_text(count: int) -> str:
    return f"one logit for each image, ({count},) or ({count}, 1), or a map of logits, ({count}, 1, height, width)"


def _shape(output: object) -> tuple[int, ...]:
    return tuple(output.shape) if isinstance(output, Tensor) else ()


def _describe(output: object) -> str:
    if isinstance(output, Tensor):
        return f"a tensor of shape {tuple(output.shape)}"
    if isinstance(output, Sequence) and not isinstance(output, str):
        return f"{type(output).__name__} of {', '.join(map(_describe, output)) or 'nothing'}"
    return type(output).__name__
