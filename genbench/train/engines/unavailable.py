"""Why an engine cannot be used here."""

from __future__ import annotations


class EngineUnavailable(Exception):
    """An engine could not be prepared; the text is the reason, a phrase without a full stop."""
