"""With which extractors the distances of a dataset are measured where the user names none, and why."""

from __future__ import annotations

from collections.abc import Iterable

from genbench.api.images import Shape
from genbench.api.specs import DatasetSpec, ExtractorSpec
from genbench.results.schema import PlannedReference

INCEPTION, LEARNED, CLASSIFIER = "inception", "learned", "classifier"
_COLOURS = 3  # channels of the photographs that Inception was trained on


def default_extractors(
    extractors: Iterable[ExtractorSpec], dataset: DatasetSpec, shape: Shape, device: str, inception_at_hand: bool
) -> dict[str, str]:
    """Return the names of the extractors, each with the reason for which the data chose it; empty: it needs none.

    An extractor that was made for the dataset comes first. Otherwise it is Inception, if that costs little: for images
    in colour, on an accelerator, without a download. Otherwise features are learned from the dataset itself. Extractors
    that are a default without being made for certain datasets are used in addition.

    Args:
        extractors: all there are.
        dataset: what is measured.
        shape: of its images.
        device: type of the device that computes features.
        inception_at_hand: whether the Inception weights are on this machine.
    """
    if dataset.synthetic or dataset.points:
        return {}
    known = {spec.name: spec for spec in extractors}
    always = {name: "" for name, spec in known.items() if spec.default and not spec.made_for}
    made = {name: "" for name, spec in known.items() if spec.default and dataset.name in spec.made_for}
    if made:
        return {name: "" for name in known if name in always or name in made}
    name, reason = _choose(dataset.name, shape[0], device != "cpu", inception_at_hand)
    return {name: reason, **always} if name in known else always


def extractor_choices(reference: PlannedReference) -> list[str]:
    """Say which extractors the data of a dataset chose, and why."""
    chosen = reference.extractor_reasons or {}
    return [f"{reference.dataset.name} is measured with {name}: {reason}" for name, reason in chosen.items()]


def _choose(dataset: str, channels: int, accelerated: bool, inception_at_hand: bool) -> tuple[str, str]:
    """Return an extractor that suits a dataset for which none was made, and the reason."""
    if channels == _COLOURS and accelerated and inception_at_hand:
        return INCEPTION, f"no extractor was made for {dataset}, and Inception's weights are at hand"
    if channels != _COLOURS:
        why = "Inception was trained on photographs in colour"
    elif not inception_at_hand:
        why = "Inception's weights are not at hand"
    else:
        why = "Inception takes minutes per thousand images on a CPU"
    return LEARNED, f"no extractor was made for {dataset}, and {why}; --metrics fid measures the FID"
