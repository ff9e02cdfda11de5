"""docs/tuning.md: its search space is the example, its result is that of the stored tuning, its files exist."""

from __future__ import annotations

import re
from pathlib import Path

import genbench
from genbench.planning.request import make_request, read_config
from genbench.planning.search_space import NOT_TUNED
from genbench.tuning.study import PRUNERS, SAMPLERS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tuning.md").read_text(encoding="utf-8")
STORED = ROOT / "results" / "reference" / "tuning"


def test_the_search_space_is_the_example() -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)
    assert block == (ROOT / "docs" / "examples" / "tuning" / "space.toml").read_text(encoding="utf-8")


def test_the_result_is_that_of_the_stored_tuning() -> None:
    tuning = genbench.load_tuning(STORED)
    assert tuning.record.finished and tuning.record.trials == 20
    printed = tuning._repr_markdown_()
    tables = re.findall(r"(?:^\|.*\n)+", printed, flags=re.MULTILINE)
    assert len(tables) == 2 and all(table in PAGE for table in tables)
    assert (STORED / "table.md").read_text(encoding="utf-8") == printed
    assert make_request(read_config(STORED / "best.toml")).seeds == tuple(tuning.record.final_seeds)


def test_every_sampler_pruner_and_refused_setting_is_named() -> None:
    assert all(f"--sampler {name}`" in PAGE for name in SAMPLERS)
    assert all(f"--pruner {name}`" in PAGE for name in PRUNERS if name != "none")
    shown = PAGE.split("What cannot be tuned")[1].split("## Trials")[0]
    assert set(re.findall(r"`(\w+)`", shown)) <= {*NOT_TUNED}
