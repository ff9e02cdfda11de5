"""Writing TOML: the few forms that plans and settings need."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml_text(text: str) -> str:
    """Return text in quotation marks."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def toml_document(data: Mapping[str, Any]) -> str:
    """Return a document; values are numbers, texts, booleans, None (as 'none'), lists, and mappings of these."""
    return "\n".join(_lines(data, ())) + "\n"


def _lines(data: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    plain = {name: value for name, value in data.items() if not isinstance(value, Mapping)}
    lines = [f"{_key(name)} = {_value(value)}" for name, value in plain.items()]
    for name, table in data.items():
        if isinstance(table, Mapping):
            below = (*path, name)
            inner = _lines(table, below)
            holds_values = any(not isinstance(value, Mapping) for value in table.values())
            lines += ["", f"[{'.'.join(map(_key, below))}]", *inner] if holds_values else inner
    return lines


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else toml_text(name)


def _value(value: Any) -> str:
    if value is None:
        return toml_text("none")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return toml_text(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return repr(value)
