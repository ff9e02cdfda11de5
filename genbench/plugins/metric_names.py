"""The names of estimates: which metric may use which, so that no value appears in the column of another.

The names FID, KID and IS are reserved for the Inception weights of 2015; with other features the same measurements are
called fd, kd and class-score.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from genbench.api.evaluation import Direction
from genbench.api.specs import ExtractorSpec, MetricSpec, Spec

# Their names with the Inception weights of 2015, and with CLIP's ViT-L/14 at 336 pixels
_INCEPTION = {"fd": "fid", "fd-infinity": "fid-infinity", "kd": "kid", "class-score": "is"}
_CLIP = {"mmd": "cmmd"}
_CLIP_DISTANCE = "fd-clip-vit-l14-336"
_RESERVED = re.compile(r"(fid|kid|is)([^a-z].*)?")


@dataclass(frozen=True, kw_only=True)
class FeatureMetric(MetricSpec):
    """A metric with one extractor, made from a spec with `per_extractor`; `estimates` are named as in that spec."""

    base: str  # name of the spec
    extractor: str
    distance: str  # name of the extractor's Fréchet distance

    def suffixed(self, name: str, distance: str) -> str:
        """Return a name of the spec with the extractor, whose weights call the Fréchet distance `distance`."""
        return with_extractor(name, self.extractor, distance)


def with_extractor(name: str, extractor: str, distance: str) -> str:
    """Return the name of a measurement with an extractor, whose weights call the Fréchet distance `distance`."""
    if distance.startswith("fid") and name in _INCEPTION:
        return distance.replace("fid", _INCEPTION[name], 1)
    if distance == _CLIP_DISTANCE and name in _CLIP:
        return _CLIP[name]
    return f"{name}-{distance.removeprefix('fd-') if distance.startswith('fd-') else extractor}"


def names_its_extractor(spec: Spec) -> bool:
    """Whether the name of a spec ends with that of an extractor, unlike ``fid``."""
    return isinstance(spec, FeatureMetric) and spec.name.endswith(f"-{spec.extractor}")


def feature_metrics(specs: Iterable[MetricSpec], extractors: Sequence[ExtractorSpec]) -> list[FeatureMetric]:
    """Return each of these metrics that is measured per extractor, with each extractor that suits it."""
    return [
        _with(spec, extractor)
        for extractor in extractors
        for spec in specs
        if spec.per_extractor and (extractor.classifies or not spec.needs_classes)
    ]


def _with(spec: MetricSpec, extractor: ExtractorSpec) -> FeatureMetric:
    fields = {name: getattr(spec, name) for name in MetricSpec.__dataclass_fields__}
    fields |= {
        "name": with_extractor(spec.name, extractor.name, extractor.metric),
        "summary": f"{spec.summary}, in features of {extractor.name}" if spec.summary else "",
        "per_extractor": False,
        "needs_classes": False,
        "needs_pictures": True,
        "default": spec.default and extractor.default,
    }
    return FeatureMetric(base=spec.name, extractor=extractor.name, distance=extractor.metric, **fields)


def covers(spec: MetricSpec, name: str) -> bool:
    """Whether estimates of this name belong to this metric, as far as its spec says."""
    if name == spec.name:
        return True
    if not isinstance(spec, FeatureMetric):
        return _is_declared(spec.estimates, name) and not spec.per_extractor
    suffix = spec.suffixed("", spec.distance)
    return name.endswith(suffix) and _is_declared(spec.estimates, name.removesuffix(suffix))


def estimate_directions(spec: MetricSpec) -> dict[str, Direction]:
    """Return the declared estimates of a metric with several values, by the short names by which users name them."""
    if spec.direction != "each" or spec.per_extractor:
        return {}
    return {
        spec.suffixed(name, spec.distance) if isinstance(spec, FeatureMetric) else name: direction
        for name, direction in spec.estimates.items()
    }


def declared_estimate(spec: MetricSpec, name: str) -> str:
    """Return the short name, as of `estimate_directions`, of an estimate of this metric."""
    declared = [each for each in spec.estimates if name == each or name.startswith(f"{each}-")]
    if not declared:
        return name
    longest = max(declared, key=len)
    return spec.suffixed(longest, spec.distance) if isinstance(spec, FeatureMetric) else longest


def full_name(spec: MetricSpec, returned: str, distance: str, others: Iterable[MetricSpec]) -> str | None:
    """Return the full name under which an estimate is stored; None if this metric may not use the name.

    Args:
        spec: the metric.
        returned: the name that it gave to its estimate.
        distance: what the extractor's loaded weights call the Fréchet distance; unused without an extractor.
        others: the other metrics that are known here.
    """
    if isinstance(spec, FeatureMetric):
        return _with_loaded(spec, returned, distance)
    if returned == spec.name and not spec.estimates:
        return returned
    if spec.direction != "each":
        return None
    if spec.estimates:
        return returned if _is_declared(spec.estimates, returned) else None
    rivals = [other for other in others if other.name != spec.name]
    forms = (returned, _plain(returned))
    taken = any(is_reserved(name) or any(covers(other, name) for other in rivals) for name in forms)
    return None if taken else returned


def _with_loaded(spec: FeatureMetric, returned: str, distance: str) -> str | None:
    if spec.direction != "each":
        full = spec.suffixed(spec.base, distance)
        return full if returned in (spec.base, spec.name, full) else None
    suffix = spec.suffixed("", distance)
    name = returned.removesuffix(suffix)
    return name + suffix if _is_declared(spec.estimates, name) else None


def whole_names(spec: MetricSpec, distance: str) -> tuple[str, ...]:
    """Return the names of a metric itself, which may yield several estimates under other names."""
    return (spec.name, spec.suffixed(spec.base, distance)) if isinstance(spec, FeatureMetric) else (spec.name,)


def possible_names(spec: MetricSpec) -> str:
    """Return the names that the estimates of a metric may have, for a message."""
    if spec.estimates:
        return " or ".join(f"'{name}'" for name in spec.estimates)
    own = spec.base if isinstance(spec, FeatureMetric) else spec.name
    return f"'{own}'" if spec.direction != "each" else f"'{own}', '{own}-…', or declared in `estimates`"


def declared_direction(spec: MetricSpec, name: str) -> str:
    """Return the direction of the estimate of this full name, or 'each' if the spec leaves it open."""
    declared = [each for each in spec.estimates if name == each or name.startswith(f"{each}-")]
    return spec.estimates[max(declared, key=len)] if declared else spec.direction


def is_reserved(name: str) -> bool:
    """Whether a name is, or begins with, that of a score for which only the Inception weights of 2015 are used."""
    return bool(_RESERVED.fullmatch(name.casefold()))


def literal_names(spec: MetricSpec) -> list[str]:
    """Return the names by which other metrics are known not to use the names of this one."""
    if isinstance(spec, FeatureMetric):
        return [spec.name, *(spec.suffixed(name, spec.distance) for name in spec.estimates)]
    return [spec.name] if spec.per_extractor else [spec.name, *spec.estimates]


def _plain(name: str) -> str:
    """Return what a reader takes a name for: without case, spaces and characters that are not seen."""
    text = unicodedata.normalize("NFKC", name).casefold()
    return "".join(character for character in text if character.isalnum() or character in "-_.")


def _is_declared(estimates: Iterable[str], name: str) -> bool:
    return any(name == declared or name.startswith(f"{declared}-") for declared in estimates)
