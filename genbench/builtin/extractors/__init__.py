"""The built-in extractors, registered through the public hook. Importing this does not import torch."""

from __future__ import annotations

from collections.abc import Iterable

from genbench import ExtractorSpec, hookimpl


@hookimpl
def genbench_extractors() -> Iterable[ExtractorSpec]:
    """Yield the built-in extractors."""
    yield ExtractorSpec(
        name="fashion-cnn",
        summary="64 features of a small classifier of Fashion-MNIST that ships with genbench",
        load="genbench.builtin.extractors.fashion_cnn:load",
        made_for=("fashion-mnist-mini", "fashion-mnist"),
        classifies=True,
    )
    yield ExtractorSpec(
        name="classifier",
        summary="64 features of a small classifier, trained once on the dataset of the cell, which must have labels",
        load="genbench.builtin.extractors.classifier:load",
        default=False,
        classifies=True,
        needs_data=True,
    )
    yield ExtractorSpec(
        name="self-supervised",
        summary="64 features of a small network, trained once on the images of the dataset of the cell, without labels",
        load="genbench.builtin.extractors.self_supervised:load",
        default=False,
        needs_data=True,
    )
    yield ExtractorSpec(
        name="learned",
        summary="those of classifier, or of self-supervised where there are no labels that can be learned",
        load="genbench.builtin.extractors.learned:load",
        default=False,
        needs_data=True,
    )
    for name, load, resizing in (
        ("inception", "load", "as in pytorch-fid"),
        ("inception-clean", "load_clean", "images resized as in clean-fid"),
        ("inception-legacy-tensorflow", "load_legacy_tensorflow", "images resized as in TensorFlow 1"),
    ):
        yield ExtractorSpec(
            name=name,
            summary=f"2048 features of the 2015-12-05 Inception network, {resizing} (weights: 91 MB)",
            load=f"genbench.builtin.extractors.inception:{load}",
            metric=name.replace("inception", "fid", 1),
            default=False,
            classifies=True,
        )
