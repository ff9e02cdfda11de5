"""Values as people write them, in flags and settings."""

from __future__ import annotations

import tomllib

from genbench.api.options import OptionValue


def parse_value(text: str) -> OptionValue:
    """Parse a value as TOML; return the text itself if that fails."""
    try:
        read = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):  # also numbers and dates that Python refuses, and lists in lists in lists
        return text.strip()
    value: OptionValue = read["value"]
    return value if len(read) == 1 and isinstance(value, bool | int | float | str | list) else text.strip()
