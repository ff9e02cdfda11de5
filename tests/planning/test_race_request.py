"""What a race is planned with, and which plans it cannot race."""

from __future__ import annotations

import pytest

from genbench.errors import UsageError
from genbench.planning.planner import Plan, make_plan
from genbench.planning.race_request import RaceRequest, parse_race, with_seed
from genbench.planning.request import make_request
from genbench.plugins.catalogue import Catalogue, discover


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return discover([])


def plan(catalogue: Catalogue, **given: object) -> Plan:
    return make_plan(make_request({"models": "gan,vae", "seeds": "0,1,2,3", "race": "fd", **given}), catalogue, "cpu")


def test_a_race_names_its_metric_its_error_and_its_most_seeds() -> None:
    assert parse_race("fd") == RaceRequest("fd", 0.05, None)
    assert parse_race("psnr:error=1%:seeds=12") == RaceRequest("psnr", 0.01, 12)
    assert make_request({"race": "fd:error=0.1"}).race == RaceRequest("fd", 0.1, None)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("fd:eror=5%", "unknown option 'eror'. Did you mean 'error'?"),
        ("fd:error=30%", "an error of 30% is not possible"),
        ("fd:error=0", "an error of 0% is not possible"),
        ("fd:seeds=many", "seeds = 'many' is not a whole number"),
        ("fd:seeds=2.5", "is not a whole number"),
        (":error=5%", "is not valid"),
        ("fd:error", "is not valid"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_form(text: str, cause: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_race(text)
    assert cause in error.value.cause


def test_candidates_are_cells_apart_from_the_seed(catalogue: Catalogue) -> None:
    made = plan(catalogue, learning_rate="1e-3,1e-4")
    (race,) = made.races
    assert [candidate.name for candidate in race.candidates] == [
        f"{model} · learning_rate {rate}"
        for model in ("gan · non-saturating", "vae · elbo")
        for rate in ("0.001", "0.0001")
    ]
    assert (race.metric, race.direction, race.seeds, race.most_seeds) == ("fd-fashion-cnn", "lower", [0, 1, 2, 3], 8)
    ids = {cell.id: cell.identity for cell in made.cells}
    assert [[ids[id].seed for id in candidate.cells] for candidate in race.candidates] == [[0, 1, 2, 3]] * 4
    assert {candidate.images for candidate in race.candidates} == {60_000}


def test_each_dataset_has_a_race_of_its_own_and_impossible_cells_have_none(catalogue: Catalogue) -> None:
    races = plan(
        catalogue,
        models="gan,dcgan,vae",
        datasets="fashion-mnist-mini,shapes",
        losses="hinge,non-saturating",
    ).races
    assert [race.dataset for race in races] == ["fashion-mnist-mini", "shapes"]
    assert [race.metric for race in races] == ["fd-fashion-cnn", "fd-learned"]
    assert all(len(race.candidates) == 4 for race in races)  # no vae: these losses are not of its family


def test_a_cell_with_another_seed_has_the_id_that_a_plan_with_it_has(catalogue: Catalogue) -> None:
    made = plan(catalogue, seeds="0,1,2,77")
    assert with_seed(made.cells[0], 77) == made.cells[3]


@pytest.mark.parametrize(
    ("given", "cause", "cure"),
    [
        ({"models": "gan"}, "needs two candidates", "Name more models"),
        ({"seeds": "0,1"}, "after 3 seeds, and this plan has 2 seeds", "--seeds"),
        ({"race": "fd:seeds=3"}, "seeds=3 is less than the 4 seeds", "Write 4 or more"),
        ({"race": "diversty"}, "race 'diversty' is not a metric. Did you mean 'diversity'?", "diversity"),
        ({"race": "fid"}, "race 'fid' is not measured in this run", "--metrics"),
        ({"race": "psnr"}, "race 'psnr' cannot be measured for gan · non-saturating (family adversarial)", "diversity"),
        ({"variants": {"a": {"samples": 100}, "b": {"samples": 200}}}, "100, 200 samples", "same --samples"),
        ({"nnodes": 2}, "on several machines", "--nnodes 1"),
        ({"datasets": "synthetic"}, "race 'fd' is not measured in this run", "--metrics"),
    ],
)
def test_a_plan_that_cannot_be_raced_is_refused_with_a_remedy(
    catalogue: Catalogue, given: dict[str, object], cause: str, cure: str
) -> None:
    with pytest.raises(UsageError) as error:
        plan(catalogue, **given)
    assert cause in error.value.cause
    assert cure in error.value.cure


def test_without_race_there_is_none(catalogue: Catalogue) -> None:
    assert make_plan(make_request({"models": "gan,vae"}), catalogue, "cpu").races == []
