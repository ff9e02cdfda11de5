"""Names shown for cells hold what tells them apart; the keys of baselines stay as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from example_runs import cell, changed, choice, identity, plan, stored
from hypothesis import given
from hypothesis import strategies as st

from genbench.gate.from_run import measurements_of_run
from genbench.planning.identity import cell_id
from genbench.planning.planner import make_plan
from genbench.planning.request import make_request
from genbench.plugins.catalogue import discover
from genbench.report.run_details import describe_run
from genbench.results.cell_names import cell_name, shown_names
from genbench.results.schema import CellIdentity, PlannedCell
from genbench.results.store import RunDirectory
from genbench.trackers.process import run_facts

FOUR = {
    "models": "gan", "datasets": "synthetic", "profile": "smoke", "metrics": "none",
    "precision": "fp32,bf16", "nproc": "1,2",
}  # fmt: skip


def planned(asked: CellIdentity, variant: str = "") -> PlannedCell:
    return PlannedCell(id=cell_id(asked), identity=asked, variant=variant)


def names(*cells: PlannedCell) -> list[str]:
    return list(shown_names(cells).values())


def test_cells_that_differ_in_precision_and_processes_are_told_apart() -> None:
    cells = make_plan(make_request(FOUR), discover(), "cpu").cells
    usual = "gan · non-saturating · synthetic · seed 0"
    assert sorted(names(*cells)) == [
        f"{usual} · bf16 · nproc 1",
        f"{usual} · bf16 · nproc 2",
        f"{usual} · fp32 · nproc 1",
        f"{usual} · fp32 · nproc 2",
    ]
    assert {cell_name(cell) for cell in cells} == {
        "gan · non-saturating · synthetic",
        "gan · non-saturating · synthetic · bf16",
        "gan · non-saturating · synthetic · nproc 2",
        "gan · non-saturating · synthetic · bf16 · nproc 2",
    }


def test_settings_that_follow_from_model_variant_or_seed_are_not_repeated() -> None:
    usual, fast = identity("gan"), identity("gan", recipe={"learning_rate": 1e-3})
    other = identity("dcgan", recipe={"batch_size": 64}, seed=1)
    assert names(planned(usual), planned(fast, "fast"), planned(other)) == [
        "gan · non-saturating · mini · seed 0",
        "gan · non-saturating · fast · mini · seed 0",
        "dcgan · non-saturating · mini · seed 1",
    ]


def test_options_shapes_devices_and_settings_without_a_value_are_told_apart() -> None:
    changes: list[dict[str, Any]] = [
        {"model": choice("gan", width=64)},
        {"model": choice("gan", width=128)},
        {"image_shape": (3, 32, 32)},
        {"device": "cuda"},
        {"latent_dim": 2},
        {"recipe": identity(recipe={"momentum": None}).recipe},
    ]
    found = names(*(planned(changed(identity(), **change)) for change in changes))
    assert found[1] == "gan · non-saturating · mini · seed 0 · cpu · 1×28×28 · latent_dim 100 · gan.width 128"
    assert "3×32×32" in found[2]
    assert "cuda" in found[3]
    assert "latent_dim 2" in found[4]
    assert found[5].endswith("momentum none")
    assert len({*found}) == 6


def test_cells_whose_settings_agree_are_told_apart_by_their_ids() -> None:
    old, new = planned(identity()), planned(identity(genbench="0.2.0"))
    assert names(old, new) == [f"gan · non-saturating · mini · seed 0 · {one.id[-10:]}" for one in (old, new)]


values = st.one_of(st.none(), st.booleans(), st.integers(0, 2), st.sampled_from(["", "a", "1"]), st.floats(0, 1))
identities = st.builds(
    lambda model, loss, width, **rest: changed(identity(model, loss, **rest), model=choice(model, width=width)),
    st.sampled_from(["gan", "vae"]),
    st.sampled_from(["a", "b · c", "b"]),
    values,
    recipe=st.dictionaries(st.sampled_from(["precision", "engine", "nproc", "c"]), values),
    seed=st.integers(0, 1),
    device=st.sampled_from(["cpu", "cuda"]),
    genbench=st.sampled_from(["1", "2"]),
)


@given(st.lists(st.builds(planned, identities, st.sampled_from(["", "a", "mini", "seed 0"])), max_size=8))
def test_different_ids_have_different_names(cells: list[PlannedCell]) -> None:
    found = shown_names(cells)
    assert found.keys() == {one.id for one in cells}
    assert len({*found.values()}) == len(found)


def test_trackers_and_show_use_these_names_made_from_all_cells_of_the_run(tmp_path: Path) -> None:
    first, second = (cell(f"gan-{n}", identity(recipe={"nproc": n})) for n in (1, 2))
    impossible = PlannedCell(id="gan-3", identity=identity(recipe={"nproc": 3, "engine": "graph"}), reason="no GPU")
    usual = "gan · non-saturating · mini · seed 0"
    facts = run_facts(tmp_path, plan(first, second, impossible))
    assert [one.label for one in facts.cells] == [f"{usual} · eager · nproc 1", f"{usual} · eager · nproc 2"]
    run = stored(tmp_path / "run", first, second, impossible)
    titles = [one["title"] for one in describe_run(run, run.read())["cells"]]
    assert titles == [f"{usual} · eager · nproc 1", f"{usual} · eager · nproc 2", f"{usual} · graph · nproc 3"]


def test_the_cells_of_a_sweep_have_keys_of_their_own(tmp_path: Path) -> None:
    made = make_plan(
        make_request({"models": "gan", "batch_size": [16, 32], "seeds": "0,1"}, ["gan.width=8,16"]), discover(), "cpu"
    )
    record = plan(*made.cells, swept=made.swept)
    contents = RunDirectory.create(tmp_path / "run", record).read()
    measured = measurements_of_run(contents)
    usual = "gan · non-saturating · fashion-mnist-mini"
    assert list(measured.entries) == [
        f"{usual} · batch_size {batch} · gan.width {width}" for batch in (16, 32) for width in (8, 16)
    ]
    assert [one.seeds for one in measured.entries.values()] == [[0, 1]] * 4
