"""`genbench run` as a command: its output, its usage errors and its files."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import warm
from command_line import FAULTS, GENBENCH, TINY, WITH_FAULTS, run, start
from PIL import Image

from genbench.commands import plan as dry_run
from genbench.planning.planner import make_plan
from genbench.planning.request import make_request
from genbench.plugins.catalogue import discover
from genbench.runner.jobs import cost_trials

SMALL_VAE = ("--models", "vae", "--set", "vae.hidden=16")


@pytest.mark.parametrize(
    ("arguments", "cause", "remedy"),
    [
        (("--models", "vea"), "Unknown model 'vea'. Did you mean 'vae'?", "Models: "),
        (("--models", "vae", "--losses", "elbow"), "Unknown loss 'elbow'. Did you mean 'elbo'?", "Losses: "),
        (("--datasets", "sinthetic"), "Unknown dataset 'sinthetic'. Did you mean 'synthetic'?", "Datasets: "),
        (("--metrics", "pnsr"), "Unknown metric 'pnsr'. Did you mean 'psnr'?", "Metrics: "),
        (("--device", "cudo"), "Unknown device 'cudo'. Did you mean 'cuda'?", "Devices: "),
        (("--profile", "smok"), "Unknown profile 'smok'. Did you mean 'smoke'?", "Profiles: "),
        ((*SMALL_VAE, "--set", "vae.hiden=3"), "vae.hiden. Did you mean 'hidden'?", "vae has: "),
        ((*SMALL_VAE, "--batch-size", "9000"), "larger than the 8000 training images", "--batch-size 8000 or less"),
        (("--models", "gan", "--losses", "elbo"), "The requested cell is not possible", "loss 'elbo' is variational"),
        (("--models", "dcgan", "--datasets", "synthetic", "--set", "synthetic.size=30"), "not possible", "28, 32, 64"),
        (("--plugin", "nowhere.py"), "nowhere.py", "--plugin"),
        (("--timeout", "nan"), "timeout = nan", "number"),
        (("--resume", "nowhere"), "nowhere does not exist", "genbench run"),
        (("--resume", "nowhere", "--seeds", "3"), "--seeds cannot change it", "new run"),
        (("--resume", "nowhere", "--dry-run"), "--dry-run", "genbench show nowhere"),
    ],
)
def test_an_impossible_request_is_refused_with_cause_and_remedy(
    tmp_path: Path, arguments: tuple[str, ...], cause: str, remedy: str
) -> None:
    done = warm.command("run", *arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert cause in done.stderr
    assert remedy in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_missing_cuda_device_is_a_usage_error(tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = warm.run("--profile", "smoke", *SMALL_VAE, "--device", "cuda", out=out, CUDA_VISIBLE_DEVICES="")
    assert done.code == 2
    assert "No device 'cuda': " in done.err
    assert "Use --device cpu." in done.err
    assert not out.exists()


@pytest.mark.slow
def test_out_must_be_a_new_directory(tmp_path: Path) -> None:
    file, full = tmp_path / "file", tmp_path / "full"
    file.write_text("mine")
    full.mkdir()
    (full / "mine").write_text("mine")
    for out, cause in ((file, "Cannot write"), (file / "below", "Cannot write"), (full, "is not empty")):
        arguments = ("--profile", "smoke", "--device", "cpu", *SMALL_VAE, "--out", str(out))
        done = warm.command("run", "--in-process", *arguments)
        assert done.returncode == 2, done.stderr
        assert cause in done.stderr
        assert "--out" in done.stderr
    assert file.read_text() == "mine"
    assert [path.name for path in full.iterdir()] == ["mine"]


@pytest.mark.slow
def test_a_dry_run_plans_estimates_and_writes_nothing(tmp_path: Path) -> None:
    arguments = (
        "--dry-run",
        "--models",
        "sound,raises-in-build,os-exit-3",
        "--losses",
        "elbo,minimax",
        "--images",
        "320",
    )
    environment = {**os.environ, "FAULTS_MARKS": str(tmp_path)}
    found = {}
    for style in ("--json", "--quiet"):
        done = subprocess.run(
            [*GENBENCH, "run", *WITH_FAULTS, *arguments, style],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
            check=False,
        )
        assert done.returncode == 5, done.stderr  # two of the models would fail
        found[style] = done.stdout
    assert list(tmp_path.iterdir()) == []

    cells = {
        row["cell"].split(" · ")[0] + "/" + row["cell"].split(" · ")[1]: row
        for row in json.loads(found["--json"])["cells"]
    }
    assert len(cells) == 6
    sound = cells["sound/elbo"]
    assert sound["steps"] == 10
    # encoder 784·4 + 4, decoder 2·784 + 784
    assert sound["parameters"] == 784 * 4 + 4 + 2 * 784 + 784
    assert sound["seconds"] > 0
    assert cells["sound/minimax"]["possible"] is False
    assert "loss 'minimax' is adversarial, model 'sound' is variational" in cells["sound/minimax"]["reason"]
    assert "build is broken" in cells["raises-in-build/elbo"]["note"]
    assert "exited with status 3" in cells["os-exit-3/elbo"]["note"]
    assert "1 of 6 cells would run" in found["--quiet"]
    assert "impossible: loss 'minimax' is adversarial" in found["--quiet"]


@pytest.mark.slow
def test_a_run_writes_its_files_and_the_parent_process_stays_small(tmp_path: Path) -> None:
    """One whole run, observed from outside: the parent never loads torch, although a plugin does."""
    plugin = tmp_path / "loads_torch.py"
    plugin.write_text("import torch\n" + FAULTS.read_text().replace("from __future__ import annotations\n", ""))
    models = ("--plugin", str(plugin), "--models", "vae,sound,slow", "--losses", "elbo")
    going = start(
        *TINY, *SMALL_VAE, *models, "--images", "3200", "--json", out=tmp_path / "run", fresh=True, FAULTS_SLOW="1"
    )
    going.mark("training")
    proc = Path(f"/proc/{going.process.pid}")
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", (proc / "status").read_text())[1])  # type: ignore[index]
    maps = (proc / "maps").read_text()
    ticks = sum(map(int, (proc / "stat").read_text().rpartition(")")[2].split()[11:13]))
    busy_before = ticks / os.sysconf("SC_CLK_TCK")
    done = going.end()
    assert done.code == 0, done.err
    assert peak < 150 * 1024
    assert "libtorch" not in maps
    assert "numpy" not in maps
    assert busy_before < 60

    rows = json.loads(done.out)
    assert len(rows["rows"] if isinstance(rows, dict) else rows) >= 3
    ids = {cell.id for cell in done.run_cells}
    for name in ("run.json", "table.md", "table.csv", "report.html", "samples/contact-sheet.png"):
        assert (done.run / name).stat().st_size > 0
    for id in ids:
        assert (done.run / "samples" / f"{id}.png").exists()
        assert (done.run / "samples" / f"{id}-reconstructions.png").exists()
        assert (done.run / "checkpoints" / f"{id}.safetensors").exists()
    lines = done.err.splitlines()
    assert lines[0] == f"3 cells -> {done.run}"
    assert sum(bool(re.match(r"\[\d/3\] .* ok in ", line)) for line in lines) == 3
    # A cell after the first starts in well under a second; this machine may be busy, so the bound is loose.
    assert done.cells["sound"].durations.total < 20
    assert "\x1b" not in done.err


@pytest.mark.slow
def test_quiet_prints_only_failures_and_the_table(tmp_path: Path) -> None:
    losses = ("--losses", "elbo,minimax")
    done = run(*WITH_FAULTS, "--models", "sound,raises-in-build", *losses, "--quiet", out=tmp_path / "run")
    assert done.code == 5
    lines = sorted(done.err.splitlines())
    expected = (
        r"More: genbench explain GB501$",
        r"raises-in-build-elbo-\S+: failed: ValueError: build is broken.*\(GB501\)$",
        r"raises-in-build-minimax-\S+: skipped: loss 'minimax' is adversarial",
        r"sound-minimax-\S+: skipped: loss 'minimax' is adversarial, model 'sound' is variational.*\(GB506\)$",
    )
    assert len(lines) == len(expected)
    assert all(map(re.match, expected, lines)), lines
    assert re.search(r"^sound +elbo +ok", done.out, re.MULTILINE)


@pytest.mark.slow
def test_a_terminal_shows_progress_and_gets_its_cursor_back(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*GENBENCH, "run", *WITH_FAULTS, "--models", "slow", "--images", "3200", "--out", str(tmp_path / "run")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env={**os.environ, "FAULTS_MARKS": str(tmp_path), "FAULTS_SLOW": "1", "TERM": "xterm", "COLUMNS": "160"},
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not chunk:
            break
        shown += chunk
    os.close(ours)
    assert process.wait(60) == 0
    text = shown.decode()
    assert re.search(r"step \d+ of 100 · .*images/s.*left", text)
    assert "ok in" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


@pytest.mark.slow
def test_files_in_the_working_directory_do_not_shadow_modules(tmp_path: Path) -> None:
    """The console script does not import from the working directory; nor do the processes that it starts."""
    (tmp_path / "random.py").write_text("raise RuntimeError('a file of the user was imported')")
    code = "import sys; sys.path = [p for p in sys.path if p]; from genbench.cli import main; main()"
    done = subprocess.run(
        [
            GENBENCH[0],
            "-P",
            "-c",
            code,
            "run",
            "--profile",
            "smoke",
            "--images",
            "64",
            "--samples",
            "16",
            "--metrics",
            "",
            "--device",
            "cpu",
            *SMALL_VAE,
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_folder_of_mixed_images(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    for label in ("a", "b"):
        (folder / label).mkdir(parents=True)
    for index in range(24):
        Image.new("RGB", (40, 32), (index * 10, 200 - index * 5, 90)).save(folder / "a" / f"rgb{index}.png")
    Image.new("L", (30, 30), 77).save(folder / "b" / "grey.png")
    Image.new("RGBA", (30, 30), (1, 200, 3, 128)).save(folder / "b" / "alpha.png")
    Image.new("P", (30, 30), 5).save(folder / "b" / "palette.gif")
    Image.new("I;16", (30, 30), 40_000).save(folder / "b" / "deep.png")
    Image.new("RGB", (30, 30), (9, 9, 200)).save(folder / "b" / "photo.jpg")
    (folder / "b" / "zero.png").write_bytes(b"")
    (folder / "b" / "corrupt.png").write_bytes((folder / "b" / "grey.png").read_bytes()[:40])
    (folder / "notes.txt").write_text("no image")

    common = ("--datasets", f"folder:{folder}", "--set", "folder.size=28", *SMALL_VAE, *TINY)
    done = warm.run(*common, "--batch-size", "8", out=tmp_path / "run")
    assert done.code == 0, done.err
    (cell,) = done.run_cells
    assert (cell.status, cell.identity.image_shape[1:]) == ("ok", (28, 28))
    notes = "\n".join(cell.notes)
    assert "zero.png" in notes
    assert "corrupt.png" in notes
    assert "deep.png" not in notes

    # How many images there are is known only after loading, so it is the cell that fails, with the number to use.
    large = warm.run(*common, "--batch-size", "512", out=tmp_path / "large")
    assert large.code == 5
    (cell,) = large.run_cells
    assert cell.status == "failed"
    number = re.search(
        r"batch_size 512 is larger than the (\d+) training images.*Use --batch-size \1", cell.reason, re.S
    )
    assert number, cell.reason
    assert int(number[1]) <= 29

    empty = tmp_path / "empty"
    empty.mkdir()
    none = warm.run(*TINY, *SMALL_VAE, "--datasets", f"folder:{empty}", out=tmp_path / "none")
    assert none.code == 5
    assert "no" in none.run_cells[0].reason
    assert str(empty) in none.run_cells[0].reason


@pytest.mark.slow
def test_a_dry_run_reports_which_cells_would_fail(tmp_path: Path) -> None:
    wrong = ("--models", "gan,vae", "--set", 'gan.freeze=["generator.0.wieght"]', "--dry-run")
    done = warm.run(*TINY, *wrong, out=tmp_path / "run")
    assert done.code == 5
    assert "would fail: freeze: no parameter matches 'generator.0.wieght'. Did you mean" in done.out
    assert "1 of 2 cells would run" in done.out
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_dry_run_reports_settings_without_effect(tmp_path: Path) -> None:
    done = warm.run(
        *TINY, *SMALL_VAE, "--set", "elbo.sigma=0.1", "--momentum", "0.5", "--dry-run", out=tmp_path / "run"
    )
    assert done.code == 0
    assert "momentum = 0.5 does nothing: adam has none; elbo.sigma = 0.1 does nothing: elbo.likelihood is" in done.out


def test_a_missing_folder_ends_a_dry_run_with_the_usage_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = warm.run(*TINY, *SMALL_VAE, "--datasets", "folder:photos", "--dry-run", out=tmp_path / "run")
    assert done.code == 2
    assert "The folder photos does not exist" in done.err
    assert f"the path is relative to {tmp_path}" in done.err


@pytest.mark.slow
def test_relative_paths_of_a_plan_resolve_from_another_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    for name in ("photos", "runs"):
        (project / name).mkdir(parents=True)
    for index in range(10):
        Image.new("L", (30, 30), 20 * index).save(project / "photos" / f"{index}.png")
    monkeypatch.chdir(project)
    common = ("--set", "folder.size=28", "--set", "folder.channels=1", "--batch-size", "8", *SMALL_VAE, *TINY)
    done = warm.run(*common, "--datasets", "folder:photos", out=project / "runs" / "first")
    (cell,) = done.run_cells
    assert cell.status == "ok", cell.reason
    assert done.record.directory == os.path.join("..", "..")  # noqa: PTH118 - text, not a path
    assert cell.identity.dataset.options["path"] == "photos"  # the same cell, wherever the project is

    moved, elsewhere = tmp_path / "moved", tmp_path / "elsewhere"
    project.rename(moved)
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    (moved / "runs" / "first" / "cells" / f"{cell.id}.json").unlink()
    again = warm.run(out=Path("..") / "moved" / "runs" / "first", resume=True)
    assert again.code == 0, again.err
    (resumed,) = again.run_cells
    assert (resumed.id, resumed.status) == (cell.id, "ok")


@pytest.mark.slow
def test_a_run_whose_plugin_changed_is_not_resumed(tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(FAULTS.read_text())
    arguments = [part if part != str(FAULTS) else str(plugin) for part in WITH_FAULTS]
    done = warm.run(*arguments, "--models", "raises-in-build", out=tmp_path / "run")
    assert done.code == 5
    plugin.write_text(FAULTS.read_text() + "\n# another version\n")
    resumed = warm.run(out=tmp_path / "run", resume=True)
    assert resumed.code == 2
    assert f"The plugin file {plugin} has changed since the run was planned" in resumed.err
    resumed = warm.run("--plugin", str(plugin), out=tmp_path / "run", resume=True)
    assert resumed.code == 2
    assert "The model 'raises-in-build' was planned with" in resumed.err
    assert "results of both would not be comparable" in resumed.err


@pytest.mark.slow
def test_the_version_of_a_metrics_plugin_belongs_to_the_cell(tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(FAULTS.read_text())
    common = ("--profile", "smoke", "--images", "64", "--samples", "16", "--plugin", str(plugin), *SMALL_VAE)
    done = warm.run(*common, "--metrics", "broken-metric", out=tmp_path / "run")
    (cell,) = done.run_cells
    assert cell.identity.metric_origins
    assert {name: origin.plugin for name, origin in cell.identity.metric_origins.items()} == {"broken-metric": "mine"}
    built_in = warm.run(*common, "--metrics", "diversity", out=tmp_path / "built-in")
    assert not built_in.run_cells[0].identity.metric_origins
    plugin.write_text(FAULTS.read_text() + "\n# another version\n")
    (other,) = warm.run(*common, "--metrics", "broken-metric", out=tmp_path / "other").run_cells
    assert other.id != cell.id


@pytest.mark.slow
def test_failed_cells_set_the_exit_code_even_if_nobody_reads_the_table(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [*GENBENCH, "run", *WITH_FAULTS, "--models", "raises-in-build", "--quiet", "--out", str(tmp_path / "run")]
    with os.fdopen(write, "wb") as closed:
        done = subprocess.run(command, stdout=closed, stderr=subprocess.DEVNULL, check=False, timeout=120)
    assert done.returncode == 5


def test_a_dry_run_says_how_many_cells_it_had_no_time_to_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost_trials, "TRIAL_SECONDS", 0.0)
    request = make_request({"models": "vae", "losses": "elbo,iwae", "profile": "smoke"})
    plan = make_plan(request, discover(), "cpu")
    no_pool: Any = None  # nothing is executed
    made = dry_run.with_costs(no_pool, plan, "cpu", 1)
    text = made.text()
    assert not made.failing
    assert text.count("not estimated") == 2
    assert text.endswith("2 cells were neither tried nor estimated: a dry run tries cells for 120 s.\n")


def test_a_dry_run_tries_cells_whose_steps_cost_the_same_once(monkeypatch: pytest.MonkeyPatch) -> None:
    variants = {
        "base": {},
        **{f"rate-{n}": {"learning_rate": 1e-4 * n, "images": 1000 * n} for n in range(1, 100)},
        **{f"dropout-{n}": {"dropout": 0.01 * n} for n in range(1, 50)},
        "wide": {"set": {"vae": {"hidden": 32}}},
        "bf16": {"precision": "bf16"},
    }
    request = make_request({"models": "vae", "profile": "smoke", "seeds": [0, 1], "variants": variants})
    tried: list[str] = []

    def estimate(pool: object, cell: Any, *arguments: object) -> dict[str, Any]:
        tried.append(cell.variant)
        return {"images_per_step": 32, "seconds_per_step": 0.01, "parameters": 1, "peak_rss": 1, "notes": []}

    monkeypatch.setattr(cost_trials, "estimate", estimate)
    no_pool: Any = None
    text = dry_run.with_costs(no_pool, make_plan(request, discover(), "cpu"), "cpu", 1).text()
    assert tried == ["base", "dropout-1", "wide", "bf16"]
    assert "302 of 302 cells would run" in text
