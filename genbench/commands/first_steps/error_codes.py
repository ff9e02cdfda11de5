"""`genbench.explain`: what the code of an error means, its usual causes, and what helps."""

from __future__ import annotations

import functools
import re
import textwrap
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from typing import Any

from genbench.commands.printed import Printable
from genbench.errors import UsageError, near_miss

TABLE = "error_codes.toml"  # in the package genbench
_WIDTH = 80


@dataclass(frozen=True)
class ErrorCode:
    """A kind of error."""

    code: str
    name: str  # in words, such as 'unknown-name'
    subject: str
    title: str
    meaning: str
    causes: tuple[str, ...]
    remedies: tuple[str, ...]
    example: str  # a command
    page: str  # of the documentation, in docs/


@dataclass(frozen=True, repr=False)
class ErrorCodes(Printable):
    """What `genbench explain` prints: some kinds of errors in full, or the titles of all."""

    codes: tuple[ErrorCode, ...]
    listed: bool  # the titles of all

    def text(self) -> str:
        """Return the text, in lines of at most 80 characters."""
        return _listed(self.codes) if self.listed else "\n".join(map(_explained, self.codes))

    def as_data(self) -> list[dict[str, Any]]:
        """Return plain data."""
        return [asdict(code) for code in self.codes]


def explain(*codes: str) -> ErrorCodes:
    """Return what codes of errors mean, or a list of all codes, as `genbench explain`.

    Raises `UsageError` with the nearest code for an unknown one.

    Args:
        codes: such as ``GB101``, also in lower case or without ``GB``, or in words: ``unknown-name``.
    """
    known = error_codes()
    return ErrorCodes(tuple(_find(code, known) for code in codes) or known, listed=not codes)


@functools.cache
def error_codes() -> tuple[ErrorCode, ...]:
    """Return every code, in order."""
    table = tomllib.loads(resources.files("genbench").joinpath(TABLE).read_text(encoding="utf-8"))
    retired, subjects = table.pop("retired"), table.pop("subjects")
    if reused := table.keys() & {*retired}:
        raise ValueError(f"{min(reused)} is retired and must not be used again")
    return tuple(
        ErrorCode(code, subject=subjects[code[2]], **{name: _frozen(value) for name, value in fields.items()})
        for code, fields in sorted(table.items())
    )


def _frozen(value: str | list[str]) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _find(given: str, known: Sequence[ErrorCode]) -> ErrorCode:
    wanted = given.strip().lower()
    wanted = f"gb{wanted}" if re.fullmatch(r"\d{3}", wanted) else wanted
    for code in known:
        if wanted in (code.code.lower(), code.name):
            return code
    near = near_miss(wanted, [code.name for code in known])
    if wanted.startswith("gb"):  # of codes, the one with most characters in the same places
        nearest = max(known, key=lambda code: sum(map(str.__eq__, wanted, code.code.lower())))
        near = f" Did you mean '{nearest.code}'?"
    raise UsageError(f"Unknown code '{given}'.{near}", "All codes: genbench explain", code="GB101")


def _listed(codes: Sequence[ErrorCode]) -> str:
    lines: list[str] = []
    subject = ""
    for code in codes:
        if code.subject != subject:
            lines += [*([""] if lines else []), code.subject]
            subject = code.subject
        lines.append(f"  {code.code}  {code.title}")
    return "\n".join([*lines, "", "One of them in full: genbench explain GB101"]) + "\n"


def _explained(code: ErrorCode) -> str:
    parts = [f"{code.code}: {code.title}", "", *_wrapped(code.meaning), ""]
    for heading, points in (("Usual causes", code.causes), ("What helps", code.remedies)):
        parts += [heading, *(line for point in points for line in _wrapped(point, "  - ", "    ")), ""]
    return "\n".join([*parts, "For example", f"  {code.example}", "", f"Page: docs/{code.page}"]) + "\n"


def _wrapped(text: str, first: str = "", rest: str = "") -> list[str]:
    """Return the text in lines, none of which breaks a flag or a name."""
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
