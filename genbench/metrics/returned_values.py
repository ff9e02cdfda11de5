"""What a metric returned, as plain data that can be stored: anything else costs this metric and nothing more.

Metrics of plugins are foreign code. Their estimates become part of a cell's result, so a text that is not Unicode, a
number that JSON cannot hold or a field of another type would otherwise cost the trained cell.
"""

from __future__ import annotations

from genbench.api.evaluation import Estimate, Unavailable
from genbench.api.specs import MetricSpec
from genbench.results.consistency import is_storable

_LONGEST_TEXT = 2000  # characters of a reason or of a value in a protocol
_LONGEST_NAME = 200  # characters of the name of a metric


def checked(spec: MetricSpec, found: object) -> Estimate | Unavailable:
    """Return the result of a metric as plain data, or why it is not an estimate."""
    try:
        return _checked(spec, found)
    except Exception as error:  # such as that of a property in a subclass of `Estimate`
        return Unavailable(spec.name, f"{_at_fault(spec)}: its result raised {failure(error)}")


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


def _at_fault(spec: MetricSpec) -> str:
    return f"the plugin of metric '{spec.name}' is at fault"


def _checked(spec: MetricSpec, found: object) -> Estimate | Unavailable:
    plugin = _at_fault(spec)
    if isinstance(found, Unavailable):
        return Unavailable(plain_text(found.metric, _LONGEST_NAME), plain_text(found.reason))
    if not isinstance(found, Estimate):
        return Unavailable(spec.name, f"{plugin}: measure returned {type(found).__name__}, not an Estimate.")
    if not isinstance(found.metric, str) or not 0 < len(found.metric) <= _LONGEST_NAME:
        return Unavailable(spec.name, f"{plugin}: its name is not a text of 1 to {_LONGEST_NAME} characters.")
    metric = plain_text(found.metric)
    name = metric if spec.direction == "each" else spec.name
    if not isinstance(found.value, int | float):
        return Unavailable(name, f"{plugin}: its value is a {type(found.value).__name__}, not a float.")
    if found.direction not in ("lower", "higher") or spec.direction not in (found.direction, "each"):
        return Unavailable(
            name, f"{plugin}: the estimate says that '{found.direction}' is better, the spec '{spec.direction}'."
        )
    value = _as_float(found.value)
    if value is None:
        return Unavailable(name, f"the value {_shown(found.value)} is not finite, or too large to be compared")
    if type(found.n) is not int or found.n < 0 or not is_storable(found.n):
        return Unavailable(name, f"{plugin}: its number of images is {_shown(found.n)}, not a count.")
    protocol = _plain_protocol(found.protocol)
    if isinstance(protocol, str):
        return Unavailable(name, f"{plugin}: {protocol}.")
    optional = (found.standard_error, found.debiased, found.null)
    for number in optional:
        if number is not None and not isinstance(number, int | float):
            return Unavailable(name, f"{plugin}: an error, bias or null is a {type(number).__name__}, not a float.")
    error, debiased, null = (None if number is None else _as_float(number) for number in optional)
    if not isinstance(found.remark, str):
        return Unavailable(name, f"{plugin}: its remark is a {type(found.remark).__name__}, not a text.")
    remark = plain_text(found.remark)
    return Estimate(metric, value, error, found.n, found.direction, protocol, debiased, null, remark)


def _as_float(number: float) -> float | None:
    """Return the number, or None if it cannot be stored."""
    return float(number) if is_storable(number) else None


def _plain_protocol(protocol: object) -> dict[str, str | int | float | bool] | str:
    """Return the protocol as plain data, or what is wrong with it."""
    if not isinstance(protocol, dict):
        return f"its protocol is a {type(protocol).__name__}, not a dict"
    plain: dict[str, str | int | float | bool] = {}
    for key, value in protocol.items():
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
