"""The protocol of a Fréchet distance as a record of choices, the values of each, and the protocols of known tools.

Sources: the code of each tool, at the address given. Tools that are not listed can be stated choice by choice.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

from genbench.builtin.extractors.inception import LAYERS
from genbench.builtin.extractors.inception_input import RESIZES, ROUNDINGS, SCALES

Value = str | int | None
INCEPTION = "inception"
PUBLISHED = "2015-12-05"
LOSSLESS = "png"
COLOURS = ("rgb", "grey", "bgr")  # as in the file; converted to grey; red and blue exchanged
SPLITS = ("train", "test", "both")


@dataclass(frozen=True)
class Protocol:
    """All choices that a Fréchet distance depends on, in the order in which a waterfall changes them."""

    extractor: str = INCEPTION  # the network
    weights: str = PUBLISHED  # date of the published ones, or the beginning of their SHA-256
    layer: int = LAYERS[-1]  # number of features; 0: the extractor has one layer
    split: str = ""  # of the dataset that is the reference; empty: it is no dataset
    n_reference: int | None = None  # reference images; None: all
    n: int | None = None  # images of the second set; None: all
    reference_storage: str = LOSSLESS  # how the reference is stored before it is measured: png, jpeg-QUALITY
    storage: str = LOSSLESS  # how the second set is
    colour: str = COLOURS[0]
    resize: str = RESIZES[0]
    rounding: str = ROUNDINGS[0]  # of the resized image
    scale: str = SCALES[0]  # of the network's input
    ddof: int = 1  # the covariance is divided by N - ddof


CHOICES = tuple(one.name for one in dataclasses.fields(Protocol))
OF_INCEPTION = ("weights", "layer", "resize", "rounding", "scale")  # other extractors prepare their input themselves

# The values of a choice that are in use, tried one at a time. Halving the images shows how N matters.
ALTERNATIVES: Mapping[str, tuple[Value, ...]] = {
    "layer": LAYERS[::-1],
    "split": SPLITS,
    "reference_storage": (LOSSLESS, "jpeg-95", "jpeg-75"),
    "storage": (LOSSLESS, "jpeg-95", "jpeg-75"),
    "colour": COLOURS[:2],
    "resize": RESIZES,
    "rounding": ROUNDINGS,
    "scale": SCALES,
    "ddof": (1, 0),
}


@dataclass(frozen=True)
class Tool:
    """What a tool fixes of the protocol."""

    name: str
    source: str
    choices: Mapping[str, Value] = field(default_factory=dict)


def _inception(resize: str, scale: str, ddof: int = 1) -> dict[str, Value]:
    return {
        "extractor": INCEPTION, "weights": PUBLISHED, "layer": LAYERS[-1], "resize": resize, "rounding": "none",
        "scale": scale, "ddof": ddof,
    }  # fmt: skip


_TENSORFLOW = _inception("bilinear-corner", "(x-128)/128")

TOOLS = {
    tool.name: tool
    for tool in (
        Tool("pytorch-fid", "https://github.com/mseitzer/pytorch-fid", _inception("bilinear", "2x/255-1")),
        Tool("clean-fid", "https://github.com/GaParmar/clean-fid", _inception("bicubic-antialias", "(x-128)/128")),
        Tool("ttur", "https://github.com/bioinf-jku/TTUR", _TENSORFLOW),
        Tool("torch-fidelity", "https://github.com/toshas/torch-fidelity", _TENSORFLOW),
        Tool("edm", "https://github.com/NVlabs/edm", _TENSORFLOW),
        Tool("stylegan3", "https://github.com/NVlabs/stylegan3", _inception("bilinear-corner", "(x-128)/128", ddof=0)),
        Tool(
            "torchmetrics",  # as of 1.9; with antialias=False, that of torch-fidelity
            "https://github.com/Lightning-AI/torchmetrics",
            _inception("bilinear-antialias", "(x-128)/128"),
        ),
    )
}

# The Inception extractors that genbench has by name, and what their names say
EXTRACTORS: Mapping[str, Mapping[str, Value]] = {
    "inception": {"resize": "bilinear", "scale": "2x/255-1"},
    "inception-clean": {"resize": "bicubic-antialias", "scale": "(x-128)/128"},
    "inception-legacy-tensorflow": {"resize": "bilinear-corner", "scale": "(x-128)/128"},
}


def shown(protocol: Protocol) -> Protocol:
    """Return the protocol without the choices that its extractor does not have."""
    if protocol.extractor == INCEPTION:
        return protocol
    return dataclasses.replace(protocol, layer=0, resize="", rounding="", scale="")


def describe(value: Value) -> str:
    """Return the value of a choice as it is shown."""
    return "all" if value is None else f"{value:,}" if isinstance(value, int) else value or "–"


def jpeg_quality(storage: str) -> int | None:
    """Return the quality that ``jpeg-QUALITY`` states; None for lossless storage."""
    return int(storage.removeprefix("jpeg-")) if storage.startswith("jpeg-") else None


def differing(one: Protocol, other: Protocol) -> list[str]:
    """Return the choices in which two protocols differ, in the order of a waterfall; weights go with the extractor."""
    return [choice for choice in CHOICES if choice != "weights" and getattr(one, choice) != getattr(other, choice)]


def with_choices(protocol: Protocol, choices: Mapping[str, Value]) -> Protocol:
    """Return the protocol with other values of some choices."""
    return dataclasses.replace(protocol, **choices)  # type: ignore[arg-type]
