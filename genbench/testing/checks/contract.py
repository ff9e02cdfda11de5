"""Rules of the contract itself: what a spec says is what its networks do."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from genbench.api.specs import ConfigurableSpec, LossSpec
from genbench.api.training import Family
from genbench.testing.check import Check, check
from genbench.testing.findings import NotApplicable, RuleViolation
from genbench.testing.layers import driven, responding_layer
from genbench.testing.subject import BATCH, Subject, rng

SLACK = 1e-3  # share of the range by which images may lie outside, as in a run
REACHED = 0.1  # share of the range that may be missing at either end


loads = Check(
    "loads",
    (),  # asked of a plugin, before there is anything else to ask
    what="The plugin is imported, its hooks and specs keep the contract, and its names are its own.",
    why="A plugin that does not load is quarantined whole: nothing of it can be used.",
    mend="Read the reason and the traceback; `genbench plugin list` shows them too.",
    examine=lambda subject: None,
)


@check(
    "documented",
    *("models", "losses", "datasets", "metrics", "families", "extractors", "reporters"),
    what="The spec has a summary, every option a line of help, and a loss its formula.",
    why="`genbench list` is where users find out what a name means.",
    mend="Fill `summary`, the second argument of `genbench.option`, and `formula`.",
)
def documented(subject: Subject) -> None:
    """Look for texts that are missing."""
    spec = subject.spec
    missing = [] if spec.summary.strip() else ["summary"]
    if isinstance(spec, ConfigurableSpec):
        missing += [f"help of the option {option.name}" for option in spec.option_schema if not option.help.strip()]
    if isinstance(spec, LossSpec) and not spec.formula.strip():
        missing.append("formula")
    if missing:
        raise RuleViolation(f"nothing is said here: {', '.join(missing)}")


@check(
    "builds",
    *("models", "losses", "families"),
    what="`build` returns the networks that the family names, and `create` what the family works with.",
    why="Models and losses of different authors only work together where each keeps its side of the contract.",
    mend="Compare the names and types with the table of hooks in docs/plugins.md.",
)
def builds(subject: Subject) -> None:
    """Build the networks, and the family on them."""
    _family(subject, subject.networks()).phases()


@check(
    "image-shapes",
    "models",
    what="For every declared image shape, samples have that shape; without a declaration, for any.",
    why="Metrics compare samples with images of the dataset, pixel by pixel or by features.",
    mend="Build the last layers from the `image_shape` that `build` is given, or declare the shapes that work.",
    after=("builds",),
)
def image_shapes(subject: Subject) -> None:
    """Sample at each shape."""
    for shape in subject.shapes:
        networks = subject.networks(shape)
        for network in networks.values():
            network.eval()
        samples = _sample(subject, subject.family_on(networks, shape=shape))
        if not isinstance(samples, Tensor):
            raise RuleViolation(f"for images {shape} a sample is {type(samples).__name__}, not a tensor")
        if samples.shape != (BATCH, *shape):
            raise RuleViolation(f"for {BATCH} images {shape} samples are {tuple(samples.shape)}")
        if not samples.is_floating_point():
            raise RuleViolation(f"for images {shape} samples are {samples.dtype}, not floating-point")


@check(
    "value-range",
    "models",
    what="For every declared image shape, samples are inside the value range, however far training goes, and differ.",
    why="Values outside are cut off when samples become pictures, and metrics see other images than the networks made.",
    mend="End the network in an activation of that range (tanh, sigmoid), or declare the range that it has.",
    after=("builds", "image-shapes"),
)
def value_range(subject: Subject) -> None:
    """Sample at each shape."""
    low, high = subject.model.value_range
    slack = SLACK * (high - low)
    for shape in subject.shapes:
        networks = subject.networks(shape)
        for network in networks.values():
            network.eval()
        samples = _sample(subject, subject.family_on(networks, shape=shape))
        least, greatest = float(samples.min()), float(samples.max())
        if least < low - slack or greatest > high + slack:
            raise RuleViolation(
                f"for images {shape}, declared ({low:g}, {high:g}), found {least:.3g} to {greatest:.3g}"
            )
        if least == greatest:
            raise RuleViolation(f"for images {shape} every value of {BATCH} samples is {least:.3g}")
    least, greatest = _extremes(subject)
    if least < low - slack or greatest > high + slack:
        raise RuleViolation(
            f"declared ({low:g}, {high:g}); training can drive values to {least:.3g} and {greatest:.3g}"
        )


@check(
    "full-range",
    "models",
    what="With its last layer driven to the extremes, a model reaches both ends of the declared value range.",
    why="Training images fill the declared range; a model that cannot reach its ends never makes black or white.",
    mend="Declare value_range=(0, 1) for networks that end in a sigmoid, (-1, 1) for tanh.",
    after=("builds", "image-shapes", "value-range"),
)
def full_range(subject: Subject) -> None:
    """Drive the last layer."""
    low, high = subject.model.value_range
    margin = REACHED * (high - low)
    least, greatest = _extremes(subject)
    if math.isnan(least):
        raise NotApplicable("no dense or convolutional layer makes the images")
    if least > low + margin or greatest < high - margin:
        raise RuleViolation(f"declared ({low:g}, {high:g}), but values only go from {least:.3g} to {greatest:.3g}")


@check(
    "finite-steps",
    *("models", "losses", "families"),
    what="Training steps work, and what they minimise is a finite number.",
    why="A loss that is not finite ends a run as `diverged`.",
    mend="Look for logarithms and roots of zero, divisions by a count, and variances of a single value.",
    after=("builds", "image-shapes", "value-range"),
)
def finite_steps(subject: Subject) -> None:
    """Train a little."""
    engine = subject.cell().engine
    for _ in range(3):
        engine.step()
    for name, series in engine.read_terms().items():
        if series.ndim != 1:
            raise RuleViolation(f"the term '{name}' is no scalar: it has shape {tuple(series.shape[1:])}")
        if not bool(series.isfinite().all()):
            raise RuleViolation(f"the term '{name}' is {_first_bad(series.tolist())}")


@check(
    "process-untouched",
    *("models", "losses", "families"),
    what="Building and training leave alone what belongs to the process: default dtype, threads, seeds, directory.",
    why="Other models of the same run would be measured under other conditions, and no seed would fix the weights.",
    mend="Pass dtype and device to the calls that need them, and draw from the generator that you are given.",
    after=("builds", "image-shapes", "value-range", "finite-steps"),
)
def process_untouched(subject: Subject) -> None:
    """Look at what was put back so far: every rule is asked with the process watched."""
    engine = subject.cell().engine
    seed = torch.initial_seed()
    engine.step()
    if torch.initial_seed() != seed:
        subject.note("a step changed the seed of torch's global random numbers")
    notes = [*subject.entry.plugin.notes, *subject.notes]
    if notes:
        raise RuleViolation("; ".join(notes))


def _family(subject: Subject, networks: object) -> Family:
    try:
        return subject.family_on(networks)  # type: ignore[arg-type]
    except TypeError as error:
        raise RuleViolation(str(error)) from error


def _sample(subject: Subject, family: Family) -> Tensor:
    with torch.inference_mode():
        return family.sample(BATCH, rng(), subject.labels(BATCH))


def _extremes(subject: Subject) -> tuple[float, float]:
    """Return the least and greatest value of samples whose last layer is driven; NaN where there is no such layer."""
    networks = subject.networks()
    for network in networks.values():
        network.eval()
    family = subject.family_on(networks)
    layer = responding_layer(networks.values(), lambda: _sample(subject, family))
    if layer is None:
        return math.nan, math.nan
    with driven(layer):
        samples = _sample(subject, family)
    return float(samples.min()), float(samples.max())


def _first_bad(values: list[float]) -> str:
    step, value = next((step, value) for step, value in enumerate(values, 1) if not math.isfinite(value))
    return f"{value} in update {step}"
