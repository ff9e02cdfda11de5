"""Studies in the journal: nothing is lost or counted twice, and the same is suggested again."""

from __future__ import annotations

from pathlib import Path

import pytest

from genbench.errors import UsageError
from genbench.planning.search_space import Choices, Dimension, Range, Space
from genbench.tuning.study import Journal, ModelStudy, Rung, rungs

SPACE: Space = (
    Dimension("learning_rate", "model:gan", "learning_rate", Range(1e-5, 1e-1, log=True)),
    Dimension("gan.width", "model:gan", "width", Range(16, 64, step=16, integer=True)),
    Dimension("policy", "model:gan", "policy", Choices((["color"], ["color", "cutout"], None))),
)


def study(path: Path, sampler: str = "random", kept: tuple[int, ...] = (20,), model: str = "gan") -> ModelStudy:
    return ModelStudy(Journal(path), model, SPACE, "lower", sampler, 0, kept)


def points(found: ModelStudy) -> list[dict[str, object]]:
    return [dict(trial.point) for trial in found.trials()]


def search(found: ModelStudy, trials: int) -> None:
    for _ in range(trials):
        number = found.suggest()
        value = abs(float(str(found.trials()[number].point["learning_rate"])) - 0.01)
        found.complete(number, None if number == 3 else value)


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_search_that_is_killed_at_any_line_ends_as_one_that_is_not(sampler: str, tmp_path: Path) -> None:
    whole = study(tmp_path / "whole", sampler)
    search(whole, 14)
    lines = (tmp_path / "whole").read_bytes().splitlines(keepends=True)
    for cut in (1, 2, 3, 8, 20, len(lines) - 1):
        path = tmp_path / f"cut-{cut}"
        path.write_bytes(b"".join(lines[:cut]) + lines[cut][: len(lines[cut]) // 2])  # the last line is torn
        again = study(path, sampler)
        for trial in again.trials():
            if not trial.finished:
                value = abs(float(str(trial.point["learning_rate"])) - 0.01)
                again.complete(trial.number, None if trial.number == 3 else value)
        search(again, 14 - len(again.trials()))
        assert again.trials() == whole.trials()
    assert not list(tmp_path.glob("*.lock"))


def test_models_and_seeds_get_other_points_and_types_are_those_of_the_options(tmp_path: Path) -> None:
    gan, vae = study(tmp_path / "j"), study(tmp_path / "j", model="vae")
    for _ in range(20):
        gan.suggest()
        vae.suggest()
    assert len(gan.trials()) == len(vae.trials()) == 20
    assert points(gan) != points(vae)
    assert all(isinstance(point["gan.width"], int) for point in points(gan))
    assert {repr(point["policy"]) for point in points(gan)} == {"['color']", "['color', 'cutout']", "None"}
    other = ModelStudy(Journal(tmp_path / "other"), "gan", SPACE, "lower", "random", 1, [20])
    other.suggest()
    assert points(other)[0] != points(gan)[0]


def test_halving_keeps_the_best_of_each_rung_and_its_budget_depends_on_no_value(tmp_path: Path) -> None:
    plan = rungs(900, 9, "halving")
    assert plan == [Rung(100, 9), Rung(300, 3), Rung(900, 1)]
    found = study(tmp_path / "j", kept=tuple(rung.trials for rung in plan))
    for number in range(9):
        found.report(found.suggest(), 0, float(-number))
    assert [number for number in range(9) if not found.prune(number)] == [6, 7, 8]
    for number, value in {6: 1.0, 7: 3.0, 8: 2.0}.items():
        found.report(number, 1, value)
    assert [number for number in (6, 7, 8) if not found.prune(number)] == [6]
    assert [trial.pruned for trial in found.trials()] == [True] * 6 + [False, True, True]
    assert rungs(900, 9, "none") == [Rung(900, 9)]
    assert rungs(900, 2, "halving") == [Rung(900, 2)]


@pytest.mark.parametrize(
    "line", [b"not json\n", b"{}\n", b"[]\n", b'{"op_code": 0}\n', b'{"op_code": 99, "worker_id": "x"}\n']
)
def test_a_damaged_journal_is_an_error_that_names_it(line: bytes, tmp_path: Path) -> None:
    found = study(tmp_path / "j")
    found.suggest()
    whole = (tmp_path / "j").read_bytes()
    (tmp_path / "j").write_bytes(line + whole)
    with pytest.raises(UsageError, match=r"j is damaged"):
        study(tmp_path / "j").trials()


def test_nothing_of_a_journal_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search(study(tmp_path / "j", "tpe"), 12)
    import pickle

    def refuse(*_: object, **__: object) -> object:
        raise AssertionError("unpickled")

    monkeypatch.setattr(pickle, "loads", refuse)
    monkeypatch.setattr(pickle, "load", refuse)
    search(study(tmp_path / "j", "tpe"), 2)
