"""What a dataset's `load` returned, checked against its declaration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from genbench.api.images import ImageData, Images, Shape
from genbench.api.specs import DatasetSpec
from genbench.errors import DataError
from genbench.plugins.calls import describe

MOST_CLASSES = 100_000  # of a dataset that does not declare their number: a conditional model allocates each of them


def check_data(data: ImageData, spec: DatasetSpec, shape: Shape) -> ImageData:
    """Return the same data as tensors, labels int64; raise `DataError` where they do not match the spec."""
    train, test = (_check(images, split, shape, spec) for split, images in (("train", data.train), ("test", data.test)))
    _check_class_names(data.class_names, spec)
    return replace(data, train=train, test=test, factors=_check_factors(data.factors, spec, len(test.pixels)))


def _check_factors(factors: Mapping[str, Any], spec: DatasetSpec, images: int) -> dict[str, Tensor]:
    """Return the factors of variation as tensors in the declared order; or raise `DataError`."""
    where = f"Dataset '{spec.name}'"
    if {*factors} != {*spec.factors}:
        found_names, declared = (", ".join(names) or "none" for names in (factors, spec.factors))
        raise DataError(
            f"{where}: the loader returned the factors {found_names}, but the spec declares {declared}.",
            "List in `factors` of the spec exactly what the loader puts into ImageData.factors.",
            code="GB303",
        )
    found = {name: torch.as_tensor(factors[name]) for name in spec.factors}
    for name, values in found.items():
        if values.shape != (images,) or values.is_complex() or not bool(values.isfinite().all()):
            raise DataError(
                f"{where}: factor '{name}' is {values.dtype} {tuple(values.shape)}, not one finite number for each of "
                f"the {images} held-out images.",
                code="GB303",
            )
    return found


def _check(images: Images, split: str, shape: Shape, spec: DatasetSpec) -> Images:
    where = f"Dataset '{spec.name}', split '{split}'"
    if not isinstance(images, tuple) or not 1 <= len(images) <= 2:
        raise DataError(
            f"{where}: it is {describe(images)}, not a genbench.Images.",
            "Write genbench.Images(pixels, labels).",
            code="GB303",
        )
    pixels = _as_tensor(images[0], f"{where}: pixels are", "uint8 pixels")
    if pixels.dtype != torch.uint8:
        raise DataError(
            f"{where}: pixels are {_dtype(pixels)}, not uint8.",
            "Scale them to 0…255, round and convert them.",
            code="GB303",
        )
    if pixels.ndim != 4 or tuple(pixels.shape[1:]) != tuple(shape):
        raise DataError(
            f"{where}: pixels are {tuple(pixels.shape)}, but the spec declares (N, {', '.join(map(str, shape))}).",
            "Fix image_shape in the spec, or the loader.",
            code="GB303",
        )
    if len(pixels) == 0:
        raise DataError(f"{where}: there are no images.", code="GB304")
    if len(images) < 2 or images[1] is None:
        return Images(pixels, None)
    return Images(pixels, _check_labels(images[1], len(pixels), where, spec))


def _check_labels(given: object, count: int, where: str, spec: DatasetSpec) -> Tensor:
    """Return the labels as int64; raise `DataError` unless they are one of the declared classes for each image."""
    labels = _as_tensor(given, f"{where}: labels are", "integers")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise DataError(
            f"{where}: labels are {_dtype(labels)}, not integers.", "Number the classes from 0.", code="GB303"
        )
    if labels.ndim != 1:
        raise DataError(
            f"{where}: labels have the shape {tuple(labels.shape)}, not (N,).",
            "Give the number of each image's class.",
            code="GB303",
        )
    if len(labels) != count:
        raise DataError(
            f"{where}: there are {len(labels)} labels for {count} images.", "Give each image one label.", code="GB303"
        )
    lowest, highest, most = int(labels.min()), int(labels.max()), spec.classes or MOST_CLASSES
    if lowest < 0 or highest >= most:
        declared = f"the spec declares {most} classes" if spec.classes else f"at most {most:,} classes are possible"
        raise DataError(
            f"{where}: the label {lowest if lowest < 0 else highest} was found, but {declared}, whose labels are 0 to "
            f"{most - 1}.",
            "Fix classes in the spec, or number the labels from 0 in the loader.",
            code="GB303",
        )
    return labels.to(torch.int64)


def _check_class_names(names: object, spec: DatasetSpec) -> None:
    if isinstance(names, str) or not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise DataError(f"Dataset '{spec.name}': class_names is {describe(names)}, not a tuple of texts.", code="GB303")
    if names and spec.classes and len(names) != spec.classes:
        raise DataError(
            f"Dataset '{spec.name}': there are {len(names)} class_names, but the spec declares {spec.classes} classes.",
            "Name each class once, in the order of the labels.",
            code="GB303",
        )


def _as_tensor(given: object, what: str, expected: str) -> Tensor:
    try:
        return torch.as_tensor(given)
    except (TypeError, ValueError, RuntimeError):
        raise DataError(f"{what} {describe(given)}, not {expected}.", code="GB303") from None


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
