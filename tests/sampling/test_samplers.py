"""One trained cell measured under several samplers: the same weights, values side by side, each with its protocol."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from command_line import TINY, Done
from warm import command, run

from genbench import Estimate
from genbench.report.table.comparison_table import make_table
from genbench.results.schema import CellResult
from genbench.results.store import RunDirectory

PLUGIN = """
from dataclasses import dataclass

import genbench
import torch
from torch import nn

requires_api = "1.1"


@dataclass(frozen=True)
class Options:
    level: float = genbench.option(0.5, "of every pixel")
    noisy: bool = genbench.option(True, "adds noise")


class Constant:
    def __init__(self, setup):
        self.setup, self.net = setup, setup.networks["net"]

    def phases(self):
        return [genbench.Phase("only", ("net",), self.objective)]

    def objective(self, batch):
        return genbench.Objective((self.net.level - batch.images.mean()).square(), {})

    def sample(self, count, rng, labels=None):
        shape = (count, *self.setup.image_shape)
        return (self.net.level + 0.2 * torch.rand(shape, generator=rng, device=rng.device)).clamp(0, 1)

    def sample_with(self, sampler, count, rng, labels=None):
        if sampler.name == "broken":
            raise RuntimeError("no step was left")
        shape = (count, *self.setup.image_shape)
        noise = torch.rand(shape, generator=rng, device=rng.device) if sampler.options.noisy else torch.zeros(shape)
        return sampler.options.level + 0.1 * noise


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.level = nn.Parameter(torch.tensor(0.3))


def measure(evaluation):
    value = float(torch.as_tensor(evaluation.samples.pixels).float().mean()) / 255
    return genbench.Estimate(metric="grey", value=value, standard_error=None, n=9, direction="lower")


@genbench.hookimpl
def genbench_families():
    yield genbench.FamilySpec(
        name="constant",
        create=Constant,
        networks=("net",),
        samplers=(
            genbench.SamplerSpec(name="flat", options=Options),
            genbench.SamplerSpec(name="broken"),
        ),
    )


@genbench.hookimpl
def genbench_models():
    yield genbench.ModelSpec(
        name="constant",
        family="constant",
        build=lambda **given: {"net": Net()},
        default_loss="constant",
        value_range=(0, 1),
    )


@genbench.hookimpl
def genbench_losses():
    yield genbench.LossSpec(name="constant", family="constant", create=lambda options: None)


@genbench.hookimpl
def genbench_metrics():
    yield genbench.MetricSpec(name="grey", measure=measure, direction="lower")
"""


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plugin") / "constant.py"
    path.write_text(PLUGIN, encoding="utf-8")
    return path


ASKED = "flat:level=0.7,flat:level=5,broken,truncated"


@pytest.fixture(scope="module")
def done(plugin: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    chosen = ("--models", "constant", "--metrics", "grey", "--samplers", ASKED)
    return run(*TINY, "--plugin", str(plugin), *chosen, out=tmp_path_factory.mktemp("samplers") / "run")


def test_each_sampler_has_its_own_value_and_protocol(done: Done) -> None:
    (cell,) = done.run_cells
    assert cell.status == "ok", cell.reason
    values = {estimate.metric: estimate for estimate in cell.estimates}
    assert list(values) == ["grey", "grey by flat:level=0.7"]
    assert values["grey by flat:level=0.7"].value == pytest.approx(0.75, abs=0.01)
    own = values["grey"].protocol
    assert own.keys() == {"plugin"}
    assert values["grey by flat:level=0.7"].protocol == {**own, "sampler": "flat", "level": 0.7, "noisy": True}
    assert cell.sampler_speeds["flat:level=0.7"] > 0


def test_a_sampler_that_fails_costs_only_its_own_values(done: Done) -> None:
    (cell,) = done.run_cells
    assert done.code == 5
    assert "Failed: the metric 'grey by broken' failed for constant" in done.err
    reasons = {missing.metric: missing.reason for missing in cell.unavailable}
    assert [missing.metric for missing in cell.unavailable if not missing.failed] == ["grey by truncated"]
    assert "generates values from 5 to 5" in reasons["grey by flat:level=5.0"]
    assert "the sampler 'broken' of the family 'constant' failed: RuntimeError: no step" in reasons["grey by broken"]
    assert "(constant.py, line 33)" in reasons["grey by broken"]
    assert "continuous latents, so none can be truncated" in reasons["grey by truncated"]


def test_the_table_has_a_column_for_each(done: Done) -> None:
    table = make_table(RunDirectory.open(str(done.run)).read())
    shown = [column.key for column in table.columns if column.shown]
    assert shown[shown.index("grey") :][:4] == [
        "grey", "grey by flat:level=0.7", "grey by flat:level=5.0", "grey by broken"
    ]  # fmt: skip
    assert "samples/s by flat:level=0.7" in shown


def test_a_finished_cell_can_be_sampled_with_any_of_them(done: Done, plugin: Path, tmp_path: Path) -> None:
    def sample(*arguments: str) -> tuple[int, str]:
        out = str(tmp_path / "images.npz")
        ended = command(
            "sample", str(done.run), "--cell", "constant", "-n", "3", "--out", out, "--plugin", str(plugin), *arguments
        )
        return ended.returncode, ended.stderr

    assert sample("--sampler", "flat:level=0.2:noisy=false")[0] == 0
    assert "generates values from 3 to 3" in sample("--sampler", "flat:level=3:noisy=false")[1]
    assert "Did you mean 'flat'?" in sample("--sampler", "flatt")[1]
    assert "--sampler and --truncate cannot be combined" in sample("--sampler", "flat", "--truncate", "0.5")[1]


def test_a_family_that_declares_them_and_cannot_draw_fails_before_it_trains(plugin: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.py"
    other.write_text(plugin.read_text().replace("def sample_with", "def sample_by"), encoding="utf-8")
    ended = run(*TINY, "--plugin", str(other), "--models", "constant", "--metrics", "none", out=tmp_path / "run")
    (cell,) = ended.run_cells
    assert "returned an object of the class Constant without a method sample_with" in cell.reason


@pytest.mark.parametrize(
    "arguments", [("list", "families", "--verbose"), ("plugin", "show", "constant"), ("list", "families", "--json")]
)
def test_samplers_and_their_options_are_listed(plugin: Path, arguments: tuple[str, ...]) -> None:
    said = command(*arguments, "--plugin", str(plugin)).stdout
    assert "flat" in said
    assert "of every pixel" in said


def test_a_truncated_prior_gives_the_images_of_truncate(tmp_path: Path) -> None:
    chosen = ("--models", "gan", "--metrics", "diversity", "--set", "gan.width=8", "--samplers", "truncated:psi=0.1")
    ended = run(*TINY, *chosen, out=tmp_path / "run")
    (cell,) = ended.run_cells
    values = {estimate.metric: estimate.value for estimate in cell.estimates}
    assert 0 < values["diversity by truncated:psi=0.1"] < 0.5 * values["diversity"]

    def images(*arguments: str) -> bytes:
        out = tmp_path / "images.png"
        command("sample", str(ended.run), "--cell", "gan", "-n", "4", "--out", str(out), *arguments)
        return out.read_bytes()

    assert images("--sampler", "truncated:psi=0.1") == images("--truncate", "0.1") != images()


@pytest.fixture(scope="module")
def trained(plugin: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    chosen = ("--models", "constant,gan", "--set", "gan.width=8", "--metrics", "grey")
    return run(*TINY, "--plugin", str(plugin), *chosen, out=tmp_path_factory.mktemp("finished") / "run")


@pytest.fixture
def finished(trained: Done, tmp_path: Path) -> Done:
    """A run of the model 'constant' and a GAN without further samplers."""
    return dataclasses.replace(trained, run=Path(shutil.copytree(trained.run, tmp_path / "run")))


def measure(ended: Done, *arguments: str) -> CompletedProcess[str]:
    return command("measure", str(ended.run), "--in-process", *arguments)


def values(cell: CellResult) -> dict[str, Estimate]:
    return {estimate.metric: estimate for estimate in cell.estimates}


def test_a_finished_cell_gets_the_values_of_a_run_with_these_samplers(done: Done, finished: Done) -> None:
    before, references = finished.cells, finished.references
    measured = measure(finished, "--samplers", ASKED)
    assert measured.returncode == 5
    assert "grey by broken: the sampler 'broken' of the family 'constant' failed: RuntimeError" in measured.stderr
    assert "fashion-mnist-mini · seed 0: its family 'adversarial' has no sampler 'flat' or 'broken'" in measured.stderr
    (expected,) = done.run_cells
    found = finished.cells["constant"]
    assert found.estimates == expected.estimates
    assert found.unavailable == expected.unavailable
    assert found.sampler_speeds.keys() == expected.sampler_speeds.keys()
    assert (found.id, found.identity, found.provenance) == (
        expected.id,
        expected.identity,
        before["constant"].provenance,
    )
    assert values(finished.cells["gan"]).keys() == {"grey", "grey by truncated"}
    assert finished.references == references
    later = found.measured_later
    assert [(one.metrics, one.sampler and one.sampler.label) for one in later] == [
        (["grey"], label) for label in ("flat:level=0.7", "flat:level=5.0", "broken", "truncated")
    ]
    assert later[0].metric_origins["grey"].distribution == "constant.py"
    assert later[0].sampler
    assert later[0].sampler.options == {"level": 0.7, "noisy": True}
    assert ": grey by flat:level=0.7\n" in command("show", str(finished.run), "--cell", "constant").stdout
    assert "grey by flat:level=0.7" in (finished.run / "report.html").read_text()


def test_a_built_in_model_gets_the_same_values_later(tmp_path: Path) -> None:
    chosen = ("--models", "cvae", "--metrics", "fd,reconstruction-mse,elbo", "--set", "cvae.hidden=16")
    sampled = ("--samplers", "truncated:psi=0.3,truncated")
    at_once = run(*TINY, *chosen, *sampled, out=tmp_path / "one")
    later = run(*TINY, *chosen, out=tmp_path / "two")
    assert measure(later, *sampled, "--quiet").returncode == 0
    (expected,), (found,) = at_once.run_cells, later.run_cells
    assert found.estimates == expected.estimates
    assert found.unavailable == expected.unavailable
    assert {"fd-fashion-cnn by truncated:psi=0.3", "fd-fashion-cnn by truncated"} <= values(found).keys()
    tables = [make_table(RunDirectory.open(str(ended.run)).read()) for ended in (at_once, later)]
    shown, shown_later = [[column.key for column in table.columns if column.shown] for table in tables]
    assert shown == shown_later


def test_values_of_samplers_stay_unless_they_are_to_be_replaced(finished: Done) -> None:
    def sampled(*arguments: str) -> str:
        return measure(finished, "--samplers", "flat:noisy=false", "--cell", "constant", *arguments).stderr

    assert "[1/1] constant" in sampled()
    first = finished.cells["constant"]
    assert values(first)["grey by flat:noisy=False"].value == pytest.approx(0.5, abs=0.01)
    assert "nothing to measure; --again replaces" in sampled()
    assert finished.cells["constant"] == first
    assert "measuring grey by flat:noisy=False" in sampled("--again")
    again = finished.cells["constant"]
    assert again.estimates == first.estimates
    assert len(again.measured_later) == 2
    assert measure(finished, "--metrics", "grey").stderr.count("nothing to measure") == 2
    assert finished.cells["gan"].measured_later == []


def test_new_metrics_are_measured_with_the_familys_own_sampler_too(finished: Done) -> None:
    asked = ("--metrics", "ms-ssim,diversity", "--samplers", "flat", "--cell", "constant")
    assert measure(finished, "--metrics", "diversity", "--cell", "constant").returncode == 0
    done = measure(finished, *asked)
    assert "measuring ms-ssim; ms-ssim, diversity by flat" in done.stderr
    assert "grey by flat" not in values(finished.cells["constant"])


def test_a_metric_whose_plugin_is_not_there_is_named_and_the_others_are_measured(finished: Done) -> None:
    other = Path(__file__).parents[1] / "support" / "metric_plugin.py"
    only = ("--cell", "constant")
    options = ("--metrics", "scatter", "--set", "scatter.order=2", "--plugin", str(other))
    assert measure(finished, *options, *only).returncode == 0
    done = measure(finished, "--samplers", "flat", *only)
    assert done.returncode == 5
    assert "scatter-fashion-cnn is not installed; name its file with --plugin" in done.stderr
    assert measure(finished, "--samplers", "flat", "--plugin", str(other), *only).returncode == 0
    found = values(finished.cells["constant"])
    assert found["scatter-fashion-cnn by flat"].protocol["order"] == found["scatter-fashion-cnn"].protocol["order"] == 2
    assert "grey by flat" in found


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Name metrics with --metrics, or samplers with --samplers"),
        (("--samplers", "flatt"), "Did you mean 'flat'?"),
        (("--samplers", "flat:levl=1"), "Did you mean 'level'?"),
        (("--samplers", "flat", "--cell", "gan"), "No family of these models has a sampler 'flat'"),
        (("--samplers", "flat", "--set", "grey.order=1"), "--set needs --metrics"),
    ],
)
def test_a_request_that_cannot_be_meant_measures_nothing(finished: Done, arguments: tuple[str, ...], said: str) -> None:
    before = finished.cells
    done = measure(finished, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert finished.cells == before
