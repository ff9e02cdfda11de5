"""What a metric returned, as plain data that can be stored under a name of its own.

Metrics of plugins are foreign code. Their estimates become part of a cell's result, so a text that is not Unicode, a
number that JSON cannot hold or a field of another type would otherwise cost the trained cell; and a value under the
name of another metric would replace it. Such a result costs this metric and nothing more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from genbench.api.evaluation import Estimate, Unavailable
from genbench.api.options import OptionValue
from genbench.api.specs import MetricSpec, resolve
from genbench.measure.user_frame import definition
from genbench.plugins.chosen_metrics import ChosenMetric
from genbench.plugins.metric_names import declared_direction, full_name, possible_names, whole_names
from genbench.results.consistency import is_storable

_LONGEST_TEXT = 2000  # characters of a reason or of a value in a protocol
_LONGEST_NAME = 200  # characters of the name of a metric


@dataclass(frozen=True)
class Contract:
    """What the results of a metric are held to."""

    chosen: ChosenMetric
    distance: str = ""  # what the loaded weights call the extractor's Fréchet distance
    others: Iterable[MetricSpec] = ()  # whose names it may not use
    conditions: Mapping[str, object] = field(default_factory=dict)  # what else belongs to the protocol of its values

    def checked(self, found: object) -> Estimate | Unavailable:
        """Return a result of the metric as plain data, or why it is not an estimate of this metric."""
        try:
            return self._checked(found)
        except Exception as error:  # such as that of a property in a subclass of `Estimate`
            return self._broken(f"its result raised {failure(error)}")

    def _checked(self, found: object) -> Estimate | Unavailable:
        spec = self.chosen.spec
        if not isinstance(found, Estimate | Unavailable):
            return self._broken(f"measure returned {type(found).__name__}, not an Estimate")
        if not isinstance(found.metric, str) or not 0 < len(found.metric) <= _LONGEST_NAME:
            return self._broken(f"the name of its result is not a text of 1 to {_LONGEST_NAME} characters")
        returned = plain_text(found.metric)
        name = full_name(spec, returned, self.distance, self.others)
        if name is None and isinstance(found, Unavailable) and returned in whole_names(spec, self.distance):
            name = returned  # nothing of what it yields is available
        if name is None:
            what = "an Estimate" if isinstance(found, Estimate) else "an Unavailable"
            return self._broken(
                f"measure returned {what} named '{returned}'; expected {possible_names(spec)}: give it the name of the "
                "spec, or declare its name in `estimates`"
            )
        if isinstance(found, Unavailable):
            return Unavailable(name, plain_text(found.reason))
        return self._checked_estimate(found, name)

    def _checked_estimate(self, found: Estimate, name: str) -> Estimate | Unavailable:
        declared = declared_direction(self.chosen.spec, name)
        if not isinstance(found.value, int | float):
            return self._broken(f"its value is a {type(found.value).__name__}, not a float", name)
        if found.direction not in ("lower", "higher") or declared not in (found.direction, "each"):
            return self._broken(f"the estimate says that '{found.direction}' is better, the spec '{declared}'", name)
        value = _as_float(found.value)
        if value is None:
            return Unavailable(name, f"the value {_shown(found.value)} is not finite, or too large to be compared")
        if type(found.n) is not int or found.n < 0 or not is_storable(found.n):
            return self._broken(f"its number of images is {_shown(found.n)}, not a count", name)
        protocol = _plain_protocol(found.protocol, self.conditions)
        if isinstance(protocol, str):
            return self._broken(protocol, name)
        optional = (found.standard_error, found.debiased, found.null)
        for number in optional:
            if number is not None and not isinstance(number, int | float):
                return self._broken(f"an error, bias or null is a {type(number).__name__}, not a float", name)
        error, debiased, null = (None if number is None else _as_float(number) for number in optional)
        if not isinstance(found.remark, str):
            return self._broken(f"its remark is a {type(found.remark).__name__}, not a text", name)
        remark = plain_text(found.remark)
        protocol |= self._conditions()
        return Estimate(name, value, error, found.n, found.direction, protocol, debiased, null, remark)

    def _conditions(self) -> dict[str, str | int | float | bool]:
        """Return the part of the protocol that the metric cannot omit: its options, and the version of its plugin."""
        options = {name: _as_protocol(value) for name, value in self.chosen.options.items()}
        return {**options, **({"plugin": self.chosen.plugin} if self.chosen.plugin else {})}

    def _broken(self, what: str, name: str = "") -> Unavailable:
        """Return that the plugin breaks the contract, and where its code is."""
        spec, plugin = self.chosen.spec, self.chosen.plugin
        at_fault = f"the plugin of metric '{spec.name}'{f', {plugin},' if plugin else ''} is at fault"
        return Unavailable(name or spec.name, f"{at_fault}: {what}{definition(resolve(spec.measure))}", failed=True)


def failure(error: BaseException) -> str:
    """Return type and text of an exception, valid Unicode; the text itself may raise, as it is foreign code too."""
    try:
        text = str(error)
    except Exception:
        text = "the exception has no text"
    return f"{type(error).__name__}: {plain_text(text)}"


def plain_text(text: object, longest: int = _LONGEST_TEXT) -> str:
    """Return a text in valid Unicode and not too long; what cannot be encoded is escaped, as in ``\\udcff``."""
    said = str(text)
    said = said if len(said) <= longest else f"{said[:longest]}…"
    return said.encode(errors="backslashreplace").decode()


def _as_protocol(value: OptionValue) -> str | int | float | bool:
    return value if isinstance(value, bool | int | float | str) else "none" if value is None else str(value)


def _as_float(number: float) -> float | None:
    """Return the number, or None if it cannot be stored."""
    return float(number) if is_storable(number) else None


def _plain_protocol(protocol: object, conditions: Mapping[str, object]) -> dict[str, str | int | float | bool] | str:
    """Return the protocol, and the conditions that it leaves out, as plain data; or what is wrong with it."""
    if not isinstance(protocol, dict):
        return f"its protocol is a {type(protocol).__name__}, not a dict"
    plain: dict[str, str | int | float | bool] = {}
    for key, value in {**conditions, **protocol}.items():
        name = plain_text(key, 100)
        if isinstance(value, str):
            plain[name] = plain_text(value)
        elif isinstance(value, bool):
            plain[name] = value
        elif not isinstance(value, int | float):
            return f"its protocol has a {type(value).__name__} for {name!r}, not a text or number"
        elif not is_storable(value):
            return f"its protocol has {_shown(value)} for {name!r}, which cannot be stored"
        else:
            plain[name] = int(value) if isinstance(value, int) else float(value)
    return plain


def _shown(value: object) -> str:
    if isinstance(value, int) and value.bit_length() > 64:
        return f"an integer of {value.bit_length()} bits"  # Python refuses to write very long ones
    return plain_text(value, 60)
