"""The names of estimates without the numbers that only measuring decides: which of several values is meant."""

from __future__ import annotations

import re

_NUMBERS = re.compile(r"-[kn]\d+(?=-|$)")  # neighbours and images


def short_name(metric: str) -> str:
    """Return the name of an estimate without its numbers of neighbours and images.

    That of ``precision-k5-n2000-fashion-cnn`` is ``precision-fashion-cnn``.
    """
    return _NUMBERS.sub("", metric)


def is_named(metric: str, wanted: str) -> bool:
    """Whether a name, in full or short, is that of this estimate."""
    return wanted in (metric, short_name(metric))
