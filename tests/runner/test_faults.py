"""A fault in a plugin affects its own cell only, which gets a clear status and reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from command_line import FAULTS as FAULTS_FILE
from command_line import WITH_FAULTS, Done, run, wait_until_gone

# model -> status, and a pattern for the reason
FAULTS: dict[str, tuple[str, str]] = {
    "raises-in-build": ("failed", r"ValueError: build is broken \(faults\.py, line \d+\)"),
    "raises-in-forward": ("failed", r"RuntimeError: forward is broken \(faults\.py, line \d+\)"),
    "sys-exit": ("failed", r"SystemExit"),
    "os-exit-0": ("failed", r"exited with status 0; see .*\.log"),
    "os-exit-3": ("failed", r"exited with status 3; see .*\.log"),
    "segfault": ("failed", r"SIGSEGV; see .*\.log"),
    "closes-descriptors": ("failed", r"exited with status 1; see .*\.log"),
    "greedy": ("oom", r"--batch-size.*--memory-limit"),
    "greedy-python": ("oom", r"--batch-size.*--memory-limit"),
    "hungry": ("oom", r"--batch-size.*--memory-limit: batch_size 32 does not fit; 8 does"),
    "loses-the-gpu": ("failed", r"the GPU failed or was lost \(CUDA error: unspecified launch failure\)"),
    "asserts-on-the-gpu": ("failed", r"index is out of range; use --device cpu"),
    "not-a-number": ("diverged", r"not finite from step 2 on.*--learning-rate"),
    "wrong-shape": ("failed", r"generates images of shape \(2, 1, 5, 5\) instead of \(2, 1, 28, 28\)"),
    "wrong-networks": ("failed", r"returned the networks encoder, generator.*needs encoder, decoder"),
    "wrong-range": ("failed", r"declares value_range \(5, 6\) but generates values from"),
    "changes-the-process": ("failed", r"dtype"),
    "always-the-same": ("collapsed", r"all generated images are identical"),
}
HARMLESS = (
    *("sound", "garbage", "floods", "daemon", "leaves-a-child", "two-minds"),
    *("looks-for-changes", "unused-parameter", "reads"),
)


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """One run of all faulty models, followed by the harmless ones."""
    out = tmp_path_factory.mktemp("faults") / "run"
    models = ",".join([*FAULTS, *HARMLESS])
    return run(*WITH_FAULTS, "--models", models, "--memory-limit", "6", out=out)


@pytest.mark.slow
@pytest.mark.parametrize("model", FAULTS)
def test_a_fault_has_its_status_and_a_reason(faults: Done, model: str) -> None:
    status, reason = FAULTS[model]
    cell = faults.cells[model]
    assert cell.status == status, cell.reason
    assert re.search(reason, cell.reason, re.DOTALL), cell.reason


@pytest.mark.slow
@pytest.mark.parametrize("model", HARMLESS)
def test_other_cells_are_not_affected(faults: Done, model: str) -> None:
    cell = faults.cells[model]
    assert (cell.status, cell.reason, cell.steps) == ("ok", "", 2)


@pytest.mark.slow
def test_the_exit_code_and_the_table_show_failed_cells(faults: Done) -> None:
    assert faults.code == 5
    assert len(faults.cells) == len(FAULTS) + len(HARMLESS) == len(faults.record.cells)
    for model, (status, _) in FAULTS.items():
        assert re.search(rf"^{model} .* {status} \[\d+\]", faults.out, re.MULTILINE), model
    assert "Traceback" not in faults.err


def test_output_of_a_plugin_goes_to_its_log_only(faults: Done) -> None:
    log = faults.run / "logs" / f"{faults.cells['garbage'].id}.log"
    assert log.read_bytes().count(b"not json") == 2000
    assert "garbage garbage" not in faults.out + faults.err


def test_the_log_shows_where_a_crash_happened(faults: Done) -> None:
    log = faults.run / "logs" / f"{faults.cells['segfault'].id}.log"
    assert re.search(r"Segmentation fault.*faults\.py", log.read_text(), re.DOTALL)


@pytest.mark.parametrize("name", ["daemon", "grandchild"])
def test_nothing_that_a_plugin_started_outlives_its_cell(faults: Done, name: str) -> None:
    wait_until_gone([int((faults.run.parent / "marks" / name).read_text())])


def test_a_parameter_that_never_changes_is_named_and_no_speed_is_shown(faults: Done) -> None:
    proof = faults.cells["unused-parameter"].proof
    assert proof is not None
    assert not proof.trained
    assert proof.unmoved == proof.without_gradient == ["encoder.forgotten"]
    row = next(line for line in faults.out.splitlines() if line.startswith("unused-parameter"))
    assert "n/a" in row, row
    sound = faults.cells["sound"].proof
    assert sound is not None
    assert sound.trained
    assert sound.phase_updates == {"autoencoder": 2}


def test_device_synchronisations_are_reported_with_their_line(faults: Done) -> None:
    line = next(n for n, text in enumerate(FAULTS_FILE.read_text().splitlines(), 1) if ".item()" in text)
    (note,) = [note for note in faults.cells["reads"].notes if note.startswith("synchronises with the device")]
    assert f"once per step: `.item()` at faults.py:{line}" in note
    assert not [note for note in faults.cells["sound"].notes if "waits" in note]


def test_counters_are_the_same_in_every_process(faults: Done) -> None:
    alike = [faults.cells[model].counters for model in ("sound", "garbage", "daemon", "looks-for-changes")]
    assert alike[0] is not None
    assert alike[0].operations > 0
    assert alike.count(alike[0]) == len(alike)


def test_training_is_compared_with_a_matrix_product_on_the_same_threads(faults: Done) -> None:
    cell = faults.cells["sound"]
    assert cell.roofline is not None
    assert cell.throughput is not None
    assert cell.flops_per_image is not None
    assert cell.roofline.product.endswith("float32, 1 thread")
    reached = cell.flops_per_image * cell.throughput.images_per_second
    assert cell.roofline.mfu == pytest.approx(reached / cell.roofline.peak)


def test_warm_up_is_recorded_and_not_counted(faults: Done) -> None:
    cell = faults.cells["sound"]
    assert [(w.step, w.steps, w.images, w.warmup) for w in cell.windows] == [(1, 1, 32, True), (2, 1, 32, False)]
    assert cell.throughput is not None
    assert cell.throughput.windows == 1
    assert cell.throughput.images_per_second == pytest.approx(32 / cell.windows[1].seconds)


@pytest.mark.slow
def test_faults_of_losses_datasets_and_metrics(tmp_path: Path) -> None:
    metrics = ("--metrics", "broken-metric,diversity")
    loss = run(*WITH_FAULTS, *metrics, "--models", "sound", "--losses", "elbo,raises-in-loss", out=tmp_path / "loss")
    by_loss = {c.identity.loss.name: c for c in loss.run_cells}
    assert loss.code == 5
    assert by_loss["raises-in-loss"].status == "failed"
    assert "loss is broken (faults.py" in by_loss["raises-in-loss"].reason
    sound = by_loss["elbo"]
    assert sound.status == "ok"
    assert [e.metric for e in sound.estimates] == ["diversity"]
    (broken,) = sound.unavailable
    assert (broken.metric, broken.failed) == ("broken-metric", True)
    assert "measure of 'broken-metric' raised RuntimeError: metric is broken (faults.py, line " in broken.reason

    data = run(
        *WITH_FAULTS, "--models", "sound", "--datasets", "broken-data,misshapen-data,slow-data", out=tmp_path / "data"
    )
    by_data = {c.identity.dataset.name: c for c in data.run_cells}
    assert data.code == 5
    assert by_data["slow-data"].status == "ok"
    assert "dataset is broken" in by_data["broken-data"].reason
    assert "(64, 1, 8, 8), but the spec declares (N, 1, 28, 28)" in by_data["misshapen-data"].reason


@pytest.mark.slow
def test_a_hanging_plugin_is_killed_with_everything_that_it_started(tmp_path: Path) -> None:
    done = run(*WITH_FAULTS, "--models", "hangs,swallows-sigterm,sound", "--timeout", "6", out=tmp_path / "run")
    assert done.code == 5
    for model in ("hangs", "swallows-sigterm"):
        assert done.cells[model].status == "timeout"
        assert "not done within 6 s" in done.cells[model].reason
        assert "--timeout" in done.cells[model].reason
    assert done.cells["sound"].status == "ok"
    marks = tmp_path / "marks"
    wait_until_gone(int((marks / name).read_text()) for name in ("hanging", "swallowing", "grandchild"))


@pytest.mark.slow
def test_a_memory_limit_too_small_for_any_cell_is_reported(tmp_path: Path) -> None:
    done = run(*WITH_FAULTS, "--models", "sound", "--memory-limit", "0.001", out=tmp_path / "run")
    assert done.code == 5
    assert done.cells["sound"].status == "oom", done.cells["sound"].reason
    assert "--memory-limit" in done.cells["sound"].reason
