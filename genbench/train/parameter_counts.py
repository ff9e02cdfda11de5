"""Parameter counts of a model's networks, in a child process, because building them runs the plugin's code."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence

import msgspec

from genbench.api.images import Shape
from genbench.api.options import resolve_options
from genbench.api.shape_rule import example_shapes
from genbench.api.specs import ModelSpec, resolve
from genbench.plugins.catalogue import Catalogue
from genbench.process.child import answering, ask_child

CLASSES = 10  # for conditional models
SECONDS = 60.0  # limit for importing the plugins and building one model


class Count(msgspec.Struct, frozen=True):
    """The parameters of one model at its default options, for images of one shape."""

    model: str
    image_shape: Shape
    networks: dict[str, int] = {}  # network -> number of all parameters, trainable or not
    reason: str = ""  # why they could not be counted


class _Question(msgspec.Struct, frozen=True):
    plugins: list[dict[str, object]]
    pairs: list[tuple[str, Shape]]


def count_in_child(models: Sequence[str], catalogue: Catalogue, seconds: float = SECONDS) -> list[Count]:
    """Return the counts for each shape of these models; for a model that cannot be built, the reason."""
    pairs = [
        (name, shape)
        for name in models
        for shape in example_shapes(catalogue.require("models", name).spec.image_shapes)
    ]
    plugins = {entry.plugin.target: entry.plugin for entry in map(catalogue.models.__getitem__, models)}
    others = [dataclasses.asdict(plugin) for plugin in plugins.values() if plugin.origin != "builtin"]
    counts: list[Count] = []
    while len(counts) < len(pairs):
        left = pairs[len(counts) :]
        question = msgspec.json.encode(_Question(others, left))
        ending = ask_child(
            "genbench.train.parameter_counts",
            question,
            len(left),
            seconds,
            lambda line: counts.append(msgspec.json.decode(line, type=Count)),
            "building the networks",
        )
        if ending.reason and len(counts) < len(pairs):
            name, shape = pairs[len(counts)]
            counts.append(Count(name, shape, reason=ending.reason))
    return counts


def serve(descriptor: int) -> None:
    """Run as the child: read the models from standard input and write one count per line to the descriptor."""
    from genbench.plugins.worker_catalogue import load_catalogue

    question = msgspec.json.decode(sys.stdin.buffer.read(), type=_Question)
    catalogue = load_catalogue(question.plugins)
    with answering(descriptor) as answer:
        for name, shape in question.pairs:
            answer(msgspec.json.encode(_count(catalogue.require("models", name).spec, shape)))


def _count(model: ModelSpec, shape: Shape) -> Count:
    from genbench.train.network_checks import count_parameters

    try:
        networks = resolve(model.build)(
            image_shape=tuple(shape),
            latent_dim=model.default_latent_dim(shape),
            num_classes=CLASSES if model.conditional else 0,
            options=model.make_options(resolve_options(model.option_schema, {}, model.name)),
        )
        return Count(model.name, shape, count_parameters(networks, frozen=True))
    except Exception as error:
        return Count(model.name, shape, reason=f"{type(error).__name__}: {error}")
