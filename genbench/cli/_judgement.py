"""What `genbench check` and `genbench compare` print and write about a verdict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from genbench.cli.output import echo, print_result

if TYPE_CHECKING:
    from genbench.commands.comparisons.judgement import Judgement


def report_judgement(found: Judgement, as_json: bool, everything: bool, summary: str | None, junit: str | None) -> int:
    """Print and write the findings, and return the exit code."""
    from genbench.results.files import atomic_write

    code = found.verdict.exit_code
    print_result(found, as_json, code, None if as_json else found.text(everything))
    try:
        if summary:
            with Path(summary).open("a", encoding="utf-8", errors="replace") as file:
                file.write(found.summary())
        if junit:
            atomic_write(Path(junit), found.junit().encode())
    except (OSError, ValueError) as error:  # a ValueError: NUL in a path
        place, reason = (error.filename, error.strerror) if isinstance(error, OSError) else (None, error)
        echo(f"Warning: cannot write {place or 'a file'}: {reason}", err=True)
    return code
