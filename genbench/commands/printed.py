"""What a command prints, as an object: its text, and the JSON of `--json`."""

from __future__ import annotations

import html
from abc import ABC, abstractmethod
from typing import Any

from genbench.results.files import encode_json


class Printable(ABC):
    """Printed, it is the text of the command; a notebook shows the same."""

    _indent = 2  # of the JSON

    @abstractmethod
    def text(self) -> str:
        """Return what the command prints."""

    @abstractmethod
    def as_data(self) -> Any:
        """Return plain data and records, of which the JSON is made."""

    def to_json(self) -> str:
        """Return what the command prints with ``--json``."""
        return encode_json(self.as_data(), self._indent).decode()

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.text())}</pre>"
