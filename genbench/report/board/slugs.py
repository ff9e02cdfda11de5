"""Names of pages and files: safe on every disk and in every link, whatever the name that they stand for."""

from __future__ import annotations

import hashlib
import re
import unicodedata

_DIGITS = 10


def slug(text: str, *more: str, longest: int = 40) -> str:
    """Return a name of lower-case letters, digits and hyphens that ends in a digest of the text.

    Names that differ in case only, or in characters that are left out, get different slugs. `more` is digested too.
    """
    plain = unicodedata.normalize("NFKD", text[:200]).encode("ascii", "ignore").decode().lower()
    readable = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:longest].strip("-")
    digest = hashlib.sha256("\0".join((text, *more)).encode(errors="replace")).hexdigest()[:_DIGITS]
    return f"{readable}-{digest}" if readable else digest
