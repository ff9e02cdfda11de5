"""What a plugin returns against the contract is an error that names its function, what came, and the author's line."""

from __future__ import annotations

import inspect
from dataclasses import asdict
from pathlib import Path

import contract_violations
import pytest
import warm
from command_line import TINY
from contract_violations import DATASETS, VIOLATIONS

from genbench.plugins.catalogue import Catalogue
from genbench.plugins.loader import Kind, file_plugins
from genbench.plugins.worker_catalogue import load_catalogue
from genbench.results.schema import CellResult
from genbench.testing import CHECKS
from genbench.testing.run_checks import Examination, explain
from genbench.testing.subject import Subject

FILE = inspect.getfile(contract_violations)
PLUGIN = ("--plugin", FILE)
RULES = ("builds", "image-shapes", "value-range", "finite-steps", "reconstructions", "dataset-contract")
TRAINS_FIRST = ("r-shape", "r-none")  # found when the trained model is evaluated


def results(out: Path, *arguments: str) -> list[CellResult]:
    done = warm.run(*TINY, *PLUGIN, *arguments, "--quiet", out=out)
    assert done.code == 5, done.err
    return done.run_cells


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, CellResult]:
    cells = results(tmp_path_factory.mktemp("models") / "run", "--models", ",".join(VIOLATIONS))
    return {cell.identity.model.name: cell for cell in cells}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, CellResult]:
    cells = results(tmp_path_factory.mktemp("data") / "run", "--models", "gan", "--datasets", ",".join(DATASETS))
    return {cell.identity.dataset.name: cell for cell in cells}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_run_says_which_function_returned_what_and_where(name: str, trained: dict[str, CellResult]) -> None:
    cell = trained[name]
    assert cell.status == "failed"
    assert [words for words in VIOLATIONS[name] if words.replace("{}", name) not in cell.reason] == [], cell.reason
    assert bool(cell.windows) == (name in TRAINS_FIRST), "it is found before a window is timed"


@pytest.mark.parametrize("name", DATASETS)
def test_a_run_says_what_is_wrong_with_a_dataset(name: str, loaded: dict[str, CellResult]) -> None:
    cell = loaded[name]
    assert cell.status == "failed"
    assert [words for words in DATASETS[name] if words.replace("{}", name) not in cell.reason] == [], cell.reason


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue([asdict(plugin) for plugin in file_plugins([FILE])])


@pytest.mark.parametrize("name", [*VIOLATIONS, *DATASETS])
def test_the_kit_says_the_same_and_advises_on_this_violation(name: str, catalogue: Catalogue) -> None:
    kinds: tuple[Kind, ...] = ("families", "losses", "models", "datasets")
    kind = next(kind for kind in kinds if name in catalogue.entries(kind))
    examination = Examination(Subject(kind, name, catalogue))
    checks = [check for check in CHECKS if check.name in RULES and kind in check.kinds]
    failed = [o for o in map(examination.outcome, checks) if o.verdict == "failed"]
    assert len(failed) == 1, failed
    (outcome,) = failed
    words = {**VIOLATIONS, **DATASETS}[name]
    said = explain(outcome)
    assert [word for word in words if word.replace("{}", name) not in said] == [], said
    assert "logarithms" not in said
