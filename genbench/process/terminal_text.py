"""Text from files and plugins that cannot act on the terminal or CI system that shows it."""

from __future__ import annotations

import re

# What a terminal or a CI system would act on: control characters except tab and newline, invisible characters that
# reorder text, lone surrogates, and a line that begins as a workflow command of GitHub or Azure.
_ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_WORKFLOW_COMMAND = re.compile(r"^(\s*)(:|#)(?=:|#\[)", re.MULTILINE)


def harmless(text: str) -> str:
    """Return text without what a terminal or a CI system would act on."""
    return _WORKFLOW_COMMAND.sub(r"\1\2 ", _ACTING.sub("?", text.replace("\r\n", "\n")))


def harmless_json(text: str) -> str:
    """Return the same JSON without what a terminal would act on."""
    return _ACTING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
