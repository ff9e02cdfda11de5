"""Regenerate what stands in documents between `<!-- made by: genbench table … -->` and `<!-- end -->`.

    python scripts/refresh_tables.py docs/remedies.md

The command, of genbench or of a script (`python benchmarks/…`), is run in the root of the repository, on the committed
reference results, and its output replaces everything between the two lines.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"(<!-- made by: (genbench table|python) ([^\n]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def refresh(text: str) -> str:
    """Return the document with every table regenerated; raise `CalledProcessError` if a command fails."""

    def table(match: re.Match[str]) -> str:
        program = [] if match[2] == "python" else ["-m", *match[2].split()]
        command = [sys.executable, *program, *shlex.split(match[3])]
        output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        return f"{match[1]}{output.rstrip()}\n{match[4]}"

    return BLOCK.sub(table, text)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = Path(name)
        path.write_text(refresh(path.read_text(encoding="utf-8")), encoding="utf-8")
