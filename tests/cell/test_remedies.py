"""Results of remedies: best and last weights, early stopping, initial weights, reasons for a divergence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import warm
from command_line import TINY, WITH_FAULTS, Done, run, start, wait_until, wait_until_gone
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from genbench.runner.in_process import NOTE

SMALL = (*TINY, "--models", "vae", "--set", "vae.hidden=16")
WATCHED = ("--metrics", "reconstruction-mse", "--best-metric", "reconstruction-mse")


def weights(done: Done, ending: str = ".safetensors") -> dict[str, torch.Tensor]:
    (cell,) = done.run_cells
    return load_file(done.run / "checkpoints" / f"{cell.id}{ending}")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """A training with evaluations, whose learning rate is zero from half-way."""
    out = tmp_path_factory.mktemp("trained") / "run"
    schedule = ("--schedule", "step", "--schedule-every", "640", "--schedule-factor", "0")
    return warm.run(*SMALL, *WATCHED, *schedule, "--images", "1600", "--evaluate-every", "320", out=out)


def test_evaluations_happen_at_the_interval_and_at_the_end(trained: Done) -> None:
    (cell,) = trained.run_cells
    assert cell.status == "ok", cell.reason
    assert [point.images for point in cell.evaluations] == [320, 640, 960, 1280, 1600]
    assert [point.estimates[0].metric for point in cell.evaluations] == ["reconstruction-mse"] * 5
    assert cell.evaluations[-1].estimates == cell.estimates
    assert cell.durations.evaluate_between > 0


def test_the_best_evaluation_is_the_first_of_the_lowest_and_its_weights_are_kept(trained: Done) -> None:
    (cell,) = trained.run_cells
    values = [point.estimates[0].value for point in cell.evaluations]
    assert cell.best is not None
    # After 640 images nothing changes any more, so later evaluations are not better.
    assert values[0] > values[1] == values[2] == values[3] == values[4]
    assert (cell.best.images, cell.best.step) == (640, 20)
    assert cell.best.estimates[0].value == min(values)
    best, last = weights(trained, ".best.safetensors"), weights(trained)
    assert best.keys() == last.keys()
    with safe_open(trained.run / "checkpoints" / f"{cell.id}.best.safetensors", framework="pt") as file:
        assert file.metadata()["step"] == "20"


def test_the_table_and_show_report_best_and_last(trained: Done) -> None:
    table = (trained.run / "table.md").read_text()
    assert "best reconstruction-mse ↓" in table
    (cell,) = trained.run_cells
    shown = warm.command("show", str(trained.run), "--cell", cell.id)
    assert "after 640 images (step 20)" in shown.stdout
    assert "best weights" in shown.stdout


@pytest.mark.slow
def test_patience_ends_a_training_that_no_longer_improves(tmp_path: Path) -> None:
    # Without a learning rate nothing gets better: one evaluation, and two that are not better.
    stop = ("--learning-rate", "0", "--evaluate-every", "64", "--patience", "2", "--images", "6400")
    (cell,) = warm.run(*SMALL, *WATCHED, *stop, out=tmp_path / "run").run_cells
    assert cell.stopped_early
    assert cell.images == 192
    assert "stopped early, after 192 of 6,400 images: no better reconstruction-mse in 2 evaluations" in cell.notes
    assert [point.images for point in cell.evaluations] == [64, 128, 192]
    assert cell.best is not None
    assert cell.best.images == 64


@pytest.mark.slow
def test_a_killed_training_resumes_with_its_evaluations_and_its_patience(tmp_path: Path) -> None:
    recipe = (*WATCHED, "--evaluate-every", "640", "--images", str(32 * 200))
    slow = {"FAULTS_SLOW": "1", "GENBENCH_CHECKPOINT_SECONDS": "0.1"}
    going = start(*WITH_FAULTS, "--models", "slow", *recipe, out=tmp_path / "run", **slow)
    going.mark("training")
    wait_until(lambda: bool(list(going.run.glob("checkpoints/*.resume.safetensors"))), going.process)
    worker = int((going.marks / "steps").read_text().split()[0])
    going.process.kill()
    going.process.communicate()
    wait_until_gone([worker])
    (resumed,) = run(out=going.run, resume=True).run_cells
    (whole,) = run(*WITH_FAULTS, "--models", "slow", *recipe, out=tmp_path / "whole").run_cells
    assert resumed.provenance.resumed_at_step
    assert resumed.evaluations == whole.evaluations
    assert resumed.best == whole.best


@pytest.fixture(scope="module")
def transferred(trained: Done) -> Done:
    (cell,) = trained.run_cells
    source = f"{trained.run}:{cell.id[:8]}"
    frozen = ("--freeze", "encoder.*", "--set", "vae.latent_dim=20")
    return warm.run(*SMALL, "--init-from", source, *frozen, "--seeds", "7", out=trained.run.parent / "transferred")


def test_frozen_initial_weights_are_unchanged_at_the_end_and_the_others_changed(
    trained: Done, transferred: Done
) -> None:
    (cell,) = transferred.run_cells
    assert cell.status == "ok", cell.reason
    before, after = weights(trained), weights(transferred)
    for name in before:
        assert torch.equal(before[name], after[name]) == name.startswith("encoder."), name
    assert cell.frozen == [name for name in before if name.startswith("encoder.")] or set(cell.frozen) == {
        name for name in before if name.startswith("encoder.")
    }
    (source,) = trained.run_cells
    assert cell.total_parameters == source.total_parameters == source.parameters
    assert cell.parameters == {**source.parameters, "encoder": 0}


def test_a_transfer_reports_what_was_loaded(trained: Done, transferred: Done) -> None:
    (cell,) = transferred.run_cells
    assert cell.transfer is not None
    assert set(cell.transfer.taken) == set(weights(trained))
    assert (cell.transfer.missing, cell.transfer.unused, cell.transfer.mismatched) == ([], [], [])
    assert cell.notes == [NOTE]


@pytest.mark.slow
def test_a_transfer_into_another_shape_loads_what_fits(trained: Done, tmp_path: Path) -> None:
    (source,) = trained.run_cells
    wider = warm.run(
        *SMALL, "--init-from", f"{trained.run}:{source.id}", "--set", "vae.latent_dim=8", out=tmp_path / "run"
    )
    (cell,) = wider.run_cells
    assert cell.transfer is not None
    assert "encoder.body.1.weight" in cell.transfer.taken
    assert any("encoder.mean.weight" in text for text in cell.transfer.mismatched)
    left = len(cell.transfer.mismatched)
    assert any(note.endswith(f"the other {left} start from scratch") for note in cell.notes)


@pytest.mark.slow
def test_weights_that_have_changed_since_the_plan_are_rejected(trained: Done, tmp_path: Path) -> None:
    (source,) = trained.run_cells
    copy = tmp_path / "weights.safetensors"
    copy.write_bytes((trained.run / "checkpoints" / f"{source.id}.safetensors").read_bytes())
    done = warm.run(*SMALL, "--init-from", str(copy), out=tmp_path / "run")
    (cell,) = done.run_cells
    assert cell.status == "ok", cell.reason
    (done.run / "cells" / f"{cell.id}.json").unlink()
    save_file({name: tensor + 1 for name, tensor in load_file(copy).items()}, copy)
    (again,) = warm.run(out=done.run, resume=True).run_cells
    assert again.status == "failed"
    assert "has changed since this run was planned" in again.reason


@pytest.mark.slow
def test_a_divergence_names_the_first_bad_step_and_parameter(tmp_path: Path) -> None:
    recipe = ("--optimizer", "sgd", "--learning-rate", "1e9", "--images", "960")
    (cell,) = warm.run(*SMALL, *recipe, out=tmp_path / "run").run_cells
    assert cell.status == "diverged"
    found = re.search(r"not finite from step (\d+) on; first bad step (\d+): .*the gradient of (\S+) in", cell.reason)
    assert found, cell.reason
    assert int(found[2]) <= int(found[1]) <= 4
    assert found[3].startswith(("encoder.", "decoder."))


def test_curves_hold_terms_gradient_norms_and_diversity(trained: Done) -> None:
    (cell,) = trained.run_cells
    names = {name for point in cell.curves for name in point.terms}
    assert {"autoencoder.reconstruction", "autoencoder.kl", "gradient_norm.encoder", "gradient_norm.decoder"} <= names
    assert "diversity" in names
    assert cell.flops_per_image
    assert cell.energy is not None
    assert "energy_seconds = 0" in cell.energy.reason


@pytest.mark.slow
def test_sampled_weights_and_statistics_are_stated(tmp_path: Path) -> None:
    recipe = ("--models", "gan", "--set", "gan.width=8", "--ema-half-life", "100", "--seeds", "0")
    averaged = warm.run(*TINY, *recipe, out=tmp_path / "averaged")
    raw = warm.run(*TINY, *recipe, "--sample-weights", "raw", "--sample-statistics", "batch", out=tmp_path / "raw")
    (first,), (second,) = averaged.run_cells, raw.run_cells
    assert first.sampling == {"weights": "averaged", "batch_norm": "running statistics"}
    assert second.sampling == {"weights": "raw", "batch_norm": "batch statistics"}
    one, other = weights(averaged), weights(raw)
    # The same training: the discriminator, which is not averaged, is the same, the generator is not.
    assert all(torch.equal(one[n], other[n]) for n in one if n.startswith("discriminator."))
    assert any(not torch.equal(one[n], other[n]) for n in one if n.startswith("generator."))
