"""Only a cell whose memorisation is measured has an image of the closest pairs."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import TINY
from PIL import Image
from warm import run

from genbench.cli import invoke
from genbench.results.store import RunDirectory
from genbench.runner.in_process import NOTE


@pytest.mark.parametrize("metrics", ["memorisation", "diversity"])
def test_the_closest_pairs_are_drawn_shown_and_named(
    tmp_path: Path, metrics: str, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(*TINY, "--models", "vae", "--set", "vae.hidden=16", "--metrics", metrics, out=tmp_path / "run")
    (cell,) = done.run_cells
    assert (cell.status, cell.notes) == ("ok", [NOTE])
    path, asked = RunDirectory(done.run).closest_path(cell.id), metrics == "memorisation"
    assert path.is_file() == asked
    assert ("the samples closest to training images" in (done.run / "report.html").read_text()) == asked
    assert invoke(["show", str(done.run)]) == 0
    assert (f"closest pairs: {path}" in capsys.readouterr().out) == asked
    if asked:
        assert {e.metric.rpartition("-fashion-cnn")[0] for e in cell.estimates} == {
            "authenticity",
            "copying-ct",
            "nearest-ratio",
        }
        with Image.open(path) as picture:
            assert picture.size == (8 * (28 + 2) + 2, 2 * (28 + 2) + 2)
