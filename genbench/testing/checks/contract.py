"""Rules of the contract: the networks behave as the spec declares."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from genbench.api.specs import ConfigurableSpec, LossSpec, resolve
from genbench.api.training import Family
from genbench.plugins.calls import defined_at, describe
from genbench.testing.check import Check, check
from genbench.testing.findings import NotApplicable, RuleViolation
from genbench.testing.layers import find_last_layer, saturated_output
from genbench.testing.subject import BATCH, Subject, rng
from genbench.train.exchanges import family_phases, require_reconstructions
from genbench.train.network_checks import RANGE_SLACK, sample_function

MARGIN = 0.1  # share of the range that may be missing at either end


loads = Check(
    "loads",
    (),  # applies to a whole plugin, before anything else can be checked
    what="The plugin can be imported, its hooks and specs follow the contract, and its names are not taken.",
    why="A plugin that fails to load is quarantined as a whole: nothing that it registers can be used.",
    fix="Read the reason and the traceback; `genbench plugin list` shows them too.",
    examine=lambda subject: None,
)


@check(
    "documented",
    *("models", "losses", "datasets", "metrics", "families", "extractors", "reporters", "executors"),
    what="The spec has a summary, every option has a help text, and a loss has a formula.",
    why="Users look up the meaning of a name with `genbench list`.",
    fix="Fill in `summary`, the second argument of `genbench.option`, and `formula`.",
)
def documented(subject: Subject) -> None:
    """Look for missing texts."""
    spec = subject.spec
    missing = [] if spec.summary.strip() else ["summary"]
    if isinstance(spec, ConfigurableSpec):
        missing += [f"help of the option {option.name}" for option in spec.option_schema if not option.help.strip()]
    if isinstance(spec, LossSpec) and not spec.formula.strip():
        missing.append("formula")
    if missing:
        raise RuleViolation(f"missing: {', '.join(missing)}")


@check(
    "builds",
    *("models", "losses", "families"),
    what="`build` returns the networks that the family requires, and `create` an object that it can use.",
    why="Models and losses by different authors work together only if both follow the contract.",
    fix="Compare names and types with the table of hooks in docs/plugins.md.",
)
def builds(subject: Subject) -> None:
    """Build the networks, and create the family for them."""
    family_phases(subject.create_family(subject.networks()), subject.family)


@check(
    "image-shapes",
    "models",
    what="Samples have the requested image shape: each declared shape, or any shape if none is declared.",
    why="Metrics compare samples with images of the dataset, by pixels or by features.",
    fix="Size the layers by the `image_shape` argument of `build`, or declare the shapes that work.",
    after=("builds",),
)
def image_shapes(subject: Subject) -> None:
    """Sample at each shape."""
    for shape in subject.shapes:
        networks = subject.networks(shape)
        for network in networks.values():
            network.eval()
        samples = _sample(subject, subject.create_family(networks, shape=shape), networks)
        place = defined_at(resolve(subject.model.build))
        if not isinstance(samples, Tensor) or not samples.is_floating_point():
            came = describe(samples)
            raise RuleViolation(f"for images {shape} the samples are {came}, not floating-point images{place}")
        if samples.shape != (BATCH, *shape):
            raise RuleViolation(f"for {BATCH} images {shape} the shape of the samples is {tuple(samples.shape)}{place}")


@check(
    "value-range",
    "models",
    what="For every declared image shape, samples vary and stay in the value range, however long the model trains.",
    why="Values outside are clipped, so metrics would see images that differ from the output of the networks.",
    fix="End the network with an activation of that range (tanh, sigmoid), or declare the actual range.",
    after=("builds", "image-shapes"),
)
def value_range(subject: Subject) -> None:
    """Sample at each shape."""
    low, high = subject.model.value_range
    slack = RANGE_SLACK["fp32"] * (high - low)
    for shape in subject.shapes:
        networks = subject.networks(shape)
        for network in networks.values():
            network.eval()
        samples = _sample(subject, subject.create_family(networks, shape=shape), networks)
        least, greatest = float(samples.min()), float(samples.max())
        if least < low - slack or greatest > high + slack:
            raise RuleViolation(
                f"for images {shape}, declared ({low:g}, {high:g}), found {least:.3g} to {greatest:.3g}"
            )
        if least == greatest:
            raise RuleViolation(f"for images {shape} all values of {BATCH} samples are {least:.3g}")
    least, greatest = _extremes(subject)
    if least < low - slack or greatest > high + slack:
        raise RuleViolation(
            f"declared ({low:g}, {high:g}); training can drive values to {least:.3g} and {greatest:.3g}"
        )


@check(
    "full-range",
    "models",
    what="If its last layer is saturated, a model reaches both ends of the declared value range.",
    why="Training images span the declared range; a model that cannot reach its ends never produces black or white.",
    fix="Declare value_range=(0, 1) if the network ends with a sigmoid, (-1, 1) if it ends with tanh.",
    after=("builds", "image-shapes", "value-range"),
)
def full_range(subject: Subject) -> None:
    """Saturate the last layer."""
    low, high = subject.model.value_range
    margin = MARGIN * (high - low)
    least, greatest = _extremes(subject)
    if math.isnan(least):
        raise NotApplicable("no dense or convolutional layer produces the images")
    if least > low + margin or greatest < high - margin:
        raise RuleViolation(f"declared ({low:g}, {high:g}), but values only range from {least:.3g} to {greatest:.3g}")


@check(
    "finite-steps",
    *("models", "losses", "families"),
    what="Training steps run, and every loss term is a finite scalar.",
    why="A loss that is not finite ends a cell as `diverged`.",
    fix="Look for logarithms and square roots of zero, divisions by zero, and variances of a single value.",
    after=("builds", "image-shapes", "value-range"),
)
def finite_steps(subject: Subject) -> None:
    """Train for three steps."""
    engine = subject.cell().engine
    for _ in range(3):
        engine.step()
    for name, series in engine.read_terms().items():
        if series.ndim != 1:
            raise RuleViolation(f"the term '{name}' is not a scalar: its shape is {tuple(series.shape[1:])}")
        if not bool(series.isfinite().all()):
            raise RuleViolation(f"the term '{name}' is {_first_bad(series.tolist())}")


@check(
    "reconstructions",
    *("models", "families"),
    what="A model of a family that reconstructs returns one image of the same shape for each image it is given.",
    why="The metrics of reconstructions compare each held-out image with its own.",
    fix="Return a tensor of the shape of `images`, in the model's value range.",
    after=("builds", "finite-steps"),
)
def reconstructions(subject: Subject) -> None:
    """Reconstruct a few images."""
    if not subject.family.reconstructs:
        raise NotApplicable(f"the family '{subject.family.name}' does not reconstruct")
    networks = {name: network.eval() for name, network in subject.networks().items()}
    family = subject.create_family(networks)
    images = subject.images(BATCH, subject.shapes[0])
    with torch.inference_mode():
        require_reconstructions(subject.family, family, images, subject.labels(BATCH))


@check(
    "process-untouched",
    *("models", "losses", "families"),
    what="Building and training do not change the process: default dtype, threads, global seed, working directory.",
    why="Otherwise other models are measured under different conditions, and the seed no longer fixes the weights.",
    fix="Pass dtype and device to the calls that need them, and draw from the generator that you receive.",
    after=("builds", "image-shapes", "value-range", "finite-steps"),
)
def process_untouched(subject: Subject) -> None:
    """Look at the changes recorded so far: the process is monitored, and restored, during every check."""
    engine = subject.cell().engine
    seed = torch.initial_seed()
    engine.step()
    if torch.initial_seed() != seed:
        subject.note("a step changed the seed of torch's global random numbers")
    notes = [*subject.entry.plugin.notes, *subject.notes]
    if notes:
        raise RuleViolation("; ".join(notes))


def _sample(subject: Subject, family: Family, networks: Mapping[str, nn.Module]) -> Tensor:
    sample = sample_function(family, subject.model, networks)
    with torch.inference_mode():
        images: Tensor = sample(BATCH, rng(), subject.labels(BATCH))
    return images


def _extremes(subject: Subject) -> tuple[float, float]:
    """Return the minimum and maximum of samples with a saturated last layer; NaN if there is no such layer."""
    networks = subject.networks()
    for network in networks.values():
        network.eval()
    family = subject.create_family(networks)
    layer = find_last_layer(networks.values(), lambda: _sample(subject, family, networks))
    if layer is None:
        return math.nan, math.nan
    with saturated_output(layer):
        samples = _sample(subject, family, networks)
    return float(samples.min()), float(samples.max())


def _first_bad(values: list[float]) -> str:
    step, value = next((step, value) for step, value in enumerate(values, 1) if not math.isfinite(value))
    return f"{value} in update {step}"
