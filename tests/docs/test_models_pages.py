"""The pages of models: one for each family, every model by name, and the tables and plans of the stored zoo."""

from __future__ import annotations

import re
import shlex
import statistics
from pathlib import Path

import ancestors
import pytest
from click.testing import CliRunner

import genbench
from genbench.cli.table import command as table
from genbench.planning.planner import make_plan
from genbench.planning.request import make_request, read_config
from genbench.plugins.catalogue import combine, discover
from genbench.plugins.known_packages import PACKAGES
from genbench.plugins.loader import builtin_plugins, load_plugin
from genbench.results.identity_settings import settings_by_name
from genbench.results.schema import CellIdentity

ROOT = Path(__file__).parents[2]
ZOO = ROOT / "results" / "reference" / "zoo"
OVERVIEW = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs" / "models").glob("*.md"))}
WRAPPERS = {"genbench-pythae", "genbench-torchgan"}  # of libraries; their READMEs list the models
BLOCK = re.compile(r"<!-- made by: genbench (table [^\n]+) -->\n(.*?)<!-- end -->", re.DOTALL)
PLANS = {"known": "zoo-known", "others": "zoo-others", "flops": "zoo-flops"}
EQUAL_FLOPS = 4e10


def documented() -> list[tuple[str, str]]:
    """Return (kind, name) of every family and model that genbench or a package of this repository brings."""
    builtin = combine([load_plugin(plugin) for plugin in builtin_plugins()])
    found = [("families", name) for name in builtin.families] + [("models", name) for name in builtin.models]
    for package in PACKAGES:
        if package.distribution not in WRAPPERS:
            found += [(kind, name) for kind in ("families", "models") for name in package.brings.get(kind, ())]
    return found


def test_every_family_has_a_page_and_stands_in_the_overview() -> None:
    families = [name for kind, name in documented() if kind == "families"]
    assert sorted(PAGES) == sorted(families)
    assert [name for name in families if f"[`{name}`](models/{name}.md)" not in OVERVIEW] == []
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert [name for name in families if f"\nmodels/{name}\n" not in index] == []


def test_every_model_has_a_row_on_a_page() -> None:
    rows = [line for page in PAGES.values() for line in page.splitlines() if line.startswith("| `")]
    cells = " ".join(row.split(" | ")[0] for row in rows)
    assert [name for kind, name in documented() if kind == "models" and f"`{name}`" not in cells] == []


@pytest.mark.parametrize("name", list(PAGES))
def test_a_page_has_a_formula_a_picture_a_table_and_the_papers(name: str) -> None:
    page = PAGES[name]
    assert re.search(r"^> .+", page, flags=re.MULTILINE)
    for picture in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page):
        assert (ROOT / "docs" / "models" / picture).is_file()
    assert f"--where family={name} " in page
    assert "\n## What the papers report\n" in page


@pytest.mark.slow
@pytest.mark.parametrize("name", ["", *PAGES])
def test_tables_are_those_of_the_stored_zoo(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    blocks = BLOCK.findall(PAGES[name] if name else OVERVIEW)
    assert blocks
    for written, text in blocks:
        done = CliRunner().invoke(table, shlex.split(written)[1:])
        assert done.exit_code == 0, done.output
        assert text.strip() == done.output.strip(), f"run: python scripts/refresh_tables.py {name}"


def test_every_model_is_compared_with_its_simple_ancestor() -> None:
    """The table is that of the stored results, and a reason is given for every model that is better in no metric."""
    rows = ancestors.comparisons([ZOO / "known", ZOO / "others"])
    stored = {cell.identity.model.name for cell in genbench.load(ZOO / "known", ZOO / "others").cells}
    assert {row.model for row in rows} == stored
    assert {row.model for row in rows if not row.beats} == set(ancestors.REASONS)
    (written,) = re.findall(
        r"<!-- made by: python benchmarks/zoo/ancestors.py [^\n]+ -->\n(.*?)<!-- end -->", OVERVIEW, re.DOTALL
    )
    assert written.strip() == ancestors.table(rows), "run: python scripts/refresh_tables.py docs/models.md"


def test_better_means_more_than_twice_the_error_of_the_difference() -> None:
    """Two seeds that spread by s each: the error of the difference of two means is √(s²/2 + s²/2) = s."""
    least = dict.fromkeys(ancestors.METRICS.values(), 1.0)

    def model(distance: float, parameters: float) -> ancestors.Measured:
        return ancestors.Measured({"distance": distance, "parameters": parameters}, {"distance": 0.5}, 2)

    found = {"new": model(7.9, 80), "old": model(10.0, 100), "near": model(8.1, 95)}
    compared = ancestors.compared("new", "old", {**found}, least)
    assert (compared.better, compared.worse) == (("distance", "parameters"), ())
    assert compared.beats
    near = ancestors.compared("near", "old", {**found}, least)
    assert (near.better, near.worse, near.beats) == ((), (), False)
    assert ancestors.compared("old", "new", {**found}, least).worse == ("distance", "parameters")


def test_the_zoo_compares_forty_models_of_seven_families_under_one_protocol() -> None:
    cells = genbench.load(ZOO / "known", ZOO / "others").cells
    assert {cell.status for cell in cells} <= {"ok", "collapsed", "diverged"}
    assert len({cell.identity.model.name for cell in cells}) >= 40
    assert len({cell.identity.family.name for cell in cells}) >= 7
    known = {name: {c.seed for c in cells if c.identity.model.name == name} for name in known_models()}
    assert len(known) >= 10
    assert {frozenset(seeds) for seeds in known.values()} == {frozenset({0, 1, 2})}
    for setting in ("images", "batch_size", "samples"):
        assert len({cell.recipe[setting] for cell in cells}) == 1, setting
    assert len({str(cell.identity.dataset) for cell in cells}) == 1


def known_models() -> list[str]:
    return list(make_request(read_config(ROOT / "benchmarks" / "plans" / "zoo-known.toml")).models)


def test_trainings_of_the_group_of_equal_operations_are_equal_within_five_percent() -> None:
    cells = [cell.result for cell in genbench.load(ZOO / "flops").cells]
    assert len(cells) >= 6
    for cell in cells:
        assert cell is not None
        assert cell.flops_per_image is not None
        assert cell.flops_per_image * cell.images == pytest.approx(EQUAL_FLOPS, rel=0.05), cell.identity.model.name


def test_models_of_the_group_of_equal_parameters_are_equal_within_a_quarter() -> None:
    (named,) = re.findall(r"--where model=(\S+)", OVERVIEW.split("### Equal parameters")[1].split("\n### ")[0])
    found = genbench.load(ZOO / "known", ZOO / "others").where(model=named.split(","))
    sizes = [sum(cell.result.total_parameters.values()) for cell in found.cells if cell.result is not None]
    assert len({cell.identity.model.name for cell in found.cells}) >= 6
    assert len({cell.identity.family.name for cell in found.cells}) >= 4
    assert max(sizes) <= 1.25 * statistics.median(sizes)
    assert min(sizes) >= statistics.median(sizes) / 1.25


@pytest.mark.slow
@pytest.mark.parametrize("name", list(PLANS))
def test_the_stored_cells_are_those_of_the_plans(name: str) -> None:
    catalogue = discover()
    plan = ROOT / "benchmarks" / "plans" / f"{PLANS[name]}.toml"
    request = make_request(read_config(plan))
    missing = [model for model in request.models if model not in catalogue.models]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    planned = {key(cell.identity): cell.identity for cell in make_plan(request, catalogue, "cpu").cells}
    stored = {key(cell.identity): cell.identity for cell in genbench.load(ZOO / name).cells}
    assert planned.keys() == stored.keys()
    for of_cell, identity in stored.items():  # settings of later versions may come in addition
        assert settings_by_name(identity).items() <= settings_by_name(planned[of_cell]).items(), of_cell


def key(identity: CellIdentity) -> tuple[str, str, str, int]:
    return identity.model.name, identity.loss.name, identity.dataset.name, identity.seed
