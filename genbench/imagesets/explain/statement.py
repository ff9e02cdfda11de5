"""What a paper states about its protocol: from a text such as ``50k, train, pytorch-fid``, from TOML or a mapping."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genbench.builtin.extractors.inception import LAYERS
from genbench.builtin.extractors.inception_input import RESIZES, ROUNDINGS, SCALES
from genbench.errors import UsageError, near_miss
from genbench.imagesets.explain.protocol import CHOICES, COLOURS, EXTRACTORS, INCEPTION, SPLITS, TOOLS, Value

_TOOL = "tool"
_COUNT = re.compile(r"(\d+(?:\.\d+)?)(k?)(?: +(?:images|samples))?", re.IGNORECASE)
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_JPEG = re.compile(r"jpeg-([1-9]\d?|100)")
_ADVICE = (
    "State, separated by commas: the number of images (50k), the split (train, test, both), a tool "
    f"({', '.join(TOOLS)}), or CHOICE=VALUE; the choices are {', '.join(CHOICES)}."
)
_MAX_BYTES = 1 << 16  # of a TOML file
_COUNTS = ("n", "n_reference")
_NAMED: Mapping[str, tuple[str, ...]] = {  # choices whose values have names
    "split": SPLITS,
    "colour": COLOURS,
    "resize": RESIZES,
    "rounding": ROUNDINGS,
    "scale": SCALES,
}


@dataclass(frozen=True)
class Statement:
    """What is stated: by name of a choice, and the tool that implies some of these."""

    title: str
    choices: Mapping[str, Value]
    tool: str = ""


def parse_statement(stated: str | Path | Mapping[str, Any], extractors: Collection[str]) -> Statement:
    """Return what is stated; a text that ends in ``.toml`` is a file.

    `extractors` are the names that may be stated. What is stated beside a tool takes precedence over what the tool
    implies. Raises `UsageError` for an unknown name or value, two values of one choice, and a file that is not TOML.
    """
    if isinstance(stated, Mapping):
        return _statement("the protocol", _of_mapping(stated, extractors))
    text = str(stated)
    if text.lower().endswith(".toml"):
        return _statement(text, _of_mapping(_read(Path(text).expanduser()), extractors))
    return _statement(text, _of_text(text, extractors))


def _statement(title: str, found: list[tuple[str, Value]]) -> Statement:
    if not found:
        raise UsageError("The protocol states nothing.", _ADVICE, code="GB607")
    own: dict[str, Value] = {}
    for choice, value in found:
        if own.setdefault(choice, value) != value:
            raise UsageError(
                f"The protocol states two values of {choice}: {own[choice]} and {value}.", _ADVICE, code="GB607"
            )
    tool = str(own.pop(_TOOL, ""))
    implied = TOOLS[tool].choices if tool else {}
    extractor = own.get("extractor")
    if isinstance(extractor, str) and extractor in EXTRACTORS:
        own = {**EXTRACTORS[extractor], **own, "extractor": INCEPTION}
    return Statement(title, {**implied, **own}, tool)


def _of_text(text: str, extractors: Collection[str]) -> list[tuple[str, Value]]:
    parts = [part.strip() for part in _THOUSANDS.sub("", text).split(",")]
    return [_part(part, extractors) for part in parts if part]


def _part(part: str, extractors: Collection[str]) -> tuple[str, Value]:
    choice, equals, value = (piece.strip() for piece in part.partition("="))
    if equals:
        return _checked(choice, value, extractors)
    if part.lower() in TOOLS:
        return _TOOL, part.lower()
    if _COUNT.fullmatch(part):
        return _checked("n", part, extractors)
    if _JPEG.fullmatch(part.lower()) or part.lower() == "png":
        return _checked("storage", part, extractors)
    if part in extractors:
        return _checked("extractor", part, extractors)
    for choice, values in _NAMED.items():
        if part.lower() in values and part.lower() != "none":
            return choice, part.lower()
    known = [*TOOLS, *extractors, *(value for values in _NAMED.values() for value in values)]
    raise UsageError(f"The protocol states '{part}', which is unknown.{near_miss(part, known)}", _ADVICE, code="GB607")


def _of_mapping(stated: Mapping[str, Any], extractors: Collection[str]) -> list[tuple[str, Value]]:
    return [_checked(str(choice), value, extractors) for choice, value in stated.items()]


def _checked(choice: str, value: Any, extractors: Collection[str]) -> tuple[str, Value]:
    """Return a choice with its valid value; raise `UsageError`."""
    choice = choice.replace("-", "_")
    if choice not in (*CHOICES, _TOOL):
        raise UsageError(
            f"The protocol states '{choice}', which is not a choice.{near_miss(choice, CHOICES)}", _ADVICE, code="GB607"
        )
    known: Collection[str] = _NAMED.get(choice, {_TOOL: [*TOOLS], "extractor": extractors}.get(choice, ()))
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _invalid(choice, value, known)
    text = str(value).strip()
    if known:
        text = text if choice == "extractor" else text.lower()
        if text not in known:
            raise _invalid(choice, text, known)
        return choice, text
    valid = _VALID[choice](text)
    if valid is None:
        raise _invalid(choice, text, _EXPECTED[choice])
    return choice, valid


def _count(text: str) -> int | None:
    found = _COUNT.fullmatch(_THOUSANDS.sub("", text))
    number = float(found[1]) * (1000 if found[2] else 1) if found else 0
    return int(number) if 2 <= number < 1 << 53 and number == int(number) else None


def _number_of(*allowed: int) -> Callable[[str], int | None]:
    return lambda text: int(text) if text in map(str, allowed) else None


def _storage(text: str) -> str | None:
    return text.lower() if text.lower() == "png" or _JPEG.fullmatch(text.lower()) else None


_VALID: Mapping[str, Callable[[str], Value]] = {
    **dict.fromkeys(_COUNTS, _count),
    "layer": _number_of(*LAYERS),
    "ddof": _number_of(0, 1),
    "storage": _storage,
    "reference_storage": _storage,
    "weights": lambda text: text or None,
}
_EXPECTED: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(_COUNTS, ("a whole number of images, at least 2, such as 50k",)),
    "layer": tuple(map(str, LAYERS)),
    "ddof": ("0", "1"),
    **dict.fromkeys(("storage", "reference_storage"), ("png", "jpeg-1 to jpeg-100")),
    "weights": ("2015-12-05, or the first digits of a SHA-256",),
}


def _invalid(choice: str, value: object, known: Collection[str]) -> UsageError:
    shown = str(value)[:80]
    return UsageError(
        f"The protocol states {choice} = '{shown}', which is not valid.{near_miss(shown, known)}",
        f"Valid: {', '.join(known)}.",
        code="GB607",
    )


def _read(path: Path) -> Mapping[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"Cannot read {path}: {error.strerror or error}.", "Give a TOML file, or a text.", code="GB701"
        ) from error
    if len(content) > _MAX_BYTES:
        raise UsageError(f"{path} is too large for a protocol.", _ADVICE, code="GB105")
    try:
        return tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{path} is not TOML: {error}.", 'Write one choice per line, such as tool = "clean-fid".', code="GB105"
        ) from error
