"""The program of docs/results.md reads results with nothing but the standard library."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")


def test_the_program_prints_every_cell_of_the_stored_run(tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n# read_results\.py\n(.*?)```", PAGE, flags=re.DOTALL)
    path = tmp_path / "read_results.py"
    path.write_text(program, encoding="utf-8")
    (run,) = re.findall(r"^    python read_results\.py (\S+)$", PAGE, flags=re.MULTILINE)
    command = [sys.executable, "-I", "-S", str(path), str(ROOT / run)]  # no installed package
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    cells = list((ROOT / run / "cells").glob("*.json"))
    assert len(cells) > 1
    assert len(re.findall(r"^\w.*, seed \d+: \w", done.stdout, flags=re.MULTILINE)) == len(cells)
    assert "images/s" in done.stdout
    assert "fd-fashion-cnn" in done.stdout
