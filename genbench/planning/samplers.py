"""Samplers by which a cell is measured in addition to its family's own way of drawing images: NAME:OPTION=VALUE:…"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from genbench.api.options import OptionValue, option, resolve_options
from genbench.api.specs import FamilySpec, MetricSpec, SamplerSpec
from genbench.errors import UsageError, near_miss
from genbench.planning.values import parse_value
from genbench.results.schema import ChosenSampler


@dataclass(frozen=True)
class Truncation:
    """Options of the sampler `truncated`, which genbench provides for every family with continuous latents."""

    psi: float = option(
        0.7, "where a normal prior is truncated, or the scale of a uniform one", minimum=0.01, maximum=10
    )


TRUNCATED = SamplerSpec(name="truncated", summary="latents of the truncated prior", options=Truncation)
_EXAMPLE = "Write NAME or NAME:OPTION=VALUE, with further options after further colons, such as heun:steps=9:rho=5."


def parse_sampler(text: str) -> tuple[str, dict[str, OptionValue]]:
    """Split ``NAME:option=value:option=value``; raise `UsageError` for anything else."""
    name, *settings = (part.strip() for part in text.split(":"))
    options: dict[str, OptionValue] = {}
    for setting in settings:
        option, equals, value = setting.partition("=")
        if not (equals and option.strip() and value.strip()):
            raise UsageError(f"The sampler '{text}' is not valid.", _EXAMPLE)
        options[option.strip().replace("-", "_")] = parse_value(value)
    if not name:
        raise UsageError(f"The sampler '{text}' has no name.", _EXAMPLE)
    return name, options


def named_by_sampler(metric: str, label: str) -> str:
    """Return the name of a metric of samples that a further sampler drew; `label` is empty for the family's own way."""
    return f"{metric} by {label}" if label else metric


def metric_and_sampler(name: str) -> tuple[str, str]:
    """Split what `named_by_sampler` returned."""
    metric, _, label = name.partition(" by ")
    return metric, label


def samplers_of(family: FamilySpec) -> dict[str, SamplerSpec]:
    """Return the samplers of a family by name: `truncated`, unless it declares one of this name, and its own."""
    return {TRUNCATED.name: TRUNCATED} | {sampler.name: sampler for sampler in family.samplers}


def measures_samples(metric: MetricSpec) -> bool:
    """Whether the values of a metric depend on the sampler."""
    return not metric.needs_bound and not metric.needs_reconstruction


def choose_sampler(text: str, family: FamilySpec) -> ChosenSampler | None:
    """Return the sampler with the value of every option, or None if the family has none of this name.

    Raises `UsageError` for an unknown option or a value that it does not take.
    """
    name, given = parse_sampler(text)
    spec = samplers_of(family).get(name)
    if spec is None:
        return None
    options = resolve_options(spec.option_schema, given, name)
    return ChosenSampler(label=_label(spec, options), name=name, options=options)


def choose_samplers(texts: Sequence[str], family: FamilySpec) -> list[ChosenSampler]:
    """Return those that the family has, each once."""
    found = [sampler for text in texts if (sampler := choose_sampler(text, family)) is not None]
    return list({sampler.label: sampler for sampler in found}.values())


def check_samplers(texts: Sequence[str], families: Iterable[FamilySpec]) -> None:
    """Raise `UsageError` for a sampler that no family in the plan has."""
    families = list(families)
    known = {name: family.name for family in families for name in samplers_of(family)}
    known |= {TRUNCATED.name: "models with latents"}
    for text in texts:
        name, _ = parse_sampler(text)
        if name not in known:
            listed = ", ".join(f"{sampler} ({family})" for sampler, family in known.items())
            raise UsageError(
                f"No family of these models has a sampler '{name}'.{near_miss(name, known)}",
                f"Samplers: {listed}.",
                code="GB101",
            )


def _label(spec: SamplerSpec, options: dict[str, OptionValue]) -> str:
    """Return the name and the options that differ from their defaults, in the order in which they are declared."""
    changed = [f"{o.name}={options[o.name]}" for o in spec.option_schema if options[o.name] != o.default]
    return ":".join([spec.name, *changed])
