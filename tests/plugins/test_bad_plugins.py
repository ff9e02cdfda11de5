"""Plugins that misbehave without failing: detected, corrected and reported, while the commands stay usable."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import warm
from plugin_packages import environment, temp_plugin

LOSS = """
    @genbench.hookimpl
    def genbench_losses():
        yield genbench.LossSpec(name="{name}", family="adversarial", create=len)
"""
AT_IMPORT = {  # name -> (what it does on import, what is reported); the first to import torch is acme-double
    "acme-seeds": ("import random; random.seed(1)", "Python's global random numbers"),
    "acme-double": ("import torch; torch.set_default_dtype(torch.float64)", "torch's default dtype"),
    "acme-torch-seed": ("import torch; torch.manual_seed(1)", "torch's global random numbers"),
    "acme-threads": ("import torch; torch.set_num_threads(7)", "torch's number of threads"),
    "acme-moves": ("import os; os.chdir('/')", "the working directory"),
    "acme-talks": (
        "import os, sys; print('noise ' * 1000, flush=True); os.write(1, b'{]'); print('x', file=sys.stderr)",
        "",
    ),
    "acme-forks": ("import os; os.fork()", ""),
    "acme-quiet": ("", ""),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = tmp_path_factory.mktemp("site")
    for name, (action, _) in AT_IMPORT.items():
        temp_plugin(site, f"    import genbench\n    {action}\n{LOSS.format(name=name)}", name=name)
    return site


def genbench(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "genbench", *arguments]
    return subprocess.run(command, env=environment(site), capture_output=True, text=True, timeout=300)


def in_fork(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command that does not depend on which plugin imports torch first."""
    return warm.command(*arguments, PYTHONPATH=environment(site)["PYTHONPATH"])


def test_lists_are_complete_and_report_what_was_restored(site: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        listed = pool.submit(genbench, site, "plugin", "list", "--json")
        done = genbench(site, "list", "losses", "--json")
    assert done.returncode == 0, done.stderr
    assert {*AT_IMPORT} <= {
        loss["name"] for loss in json.loads(done.stdout)
    }  # the output of plugins does not interfere
    plugins = {plugin["name"]: plugin for plugin in json.loads(listed.result().stdout)}
    for name, (_, reported) in AT_IMPORT.items():
        assert plugins[name]["status"] == "ok", plugins[name]["reason"]
        assert plugins[name]["registers"] == {
            "losses": [name]
        }  # a forked copy of the process did not answer for another plugin
        assert [reported in note for note in plugins[name]["notes"]] == [True] * bool(reported), name
    (note,) = plugins["acme-double"]["notes"]
    assert note == "importing it changed torch's default dtype (from torch.float32 to torch.float64): restored"


MODELS = """
    import math, os, time
    import genbench
    import torch
    from torch import nn

    torch.set_default_dtype(torch.float64)  # restored before anything is built

    class Encoder(nn.Module):
        kept = []

        def __init__(self, values, latent_dim, what):
            super().__init__()
            self.body, self.what = nn.Linear(values, 2 * latent_dim), what

        def forward(self, images):
            if self.what == "reads" and self.training:
                images = images * (images.mean().item() > -99)
            if self.what == "nan" and self.training:
                images = images * float("nan")
            if self.what == "keeps" and self.training:
                Encoder.kept.append(images.detach() + 1)
            return self.body(images.flatten(1)).chunk(2, 1)

    def make_build(what):
        def build(image_shape, latent_dim, num_classes, options):
            if what == "sets":
                torch.set_num_threads(3)
                torch.use_deterministic_algorithms(True)
                torch.manual_seed(1)
            if what == "hangs":
                time.sleep(1000)
            if what == "exits":
                os._exit(7)
            if what == "forks":
                os.fork()
            if what == "talks":
                print("noise", flush=True)
                os.write(1, b"{]")
            values = math.prod(image_shape)
            decoder = nn.Sequential(nn.Linear(latent_dim, values), nn.Unflatten(1, image_shape))
            if what == "wrong-shape":
                decoder = nn.Sequential(nn.Linear(latent_dim, 26 * 28), nn.Unflatten(1, (1, 26, 28)))
            if what == "lies":
                return {"generator": decoder, "discriminator": nn.Linear(2, 1)}
            return {"encoder": Encoder(values, latent_dim, what), "decoder": decoder}
        return build

    @genbench.hookimpl
    def genbench_models():
        for what in ("good", "reads", "nan", "keeps", "sets", "hangs", "exits", "forks", "talks", "lies",
                     "wrong-shape", "wrong-range"):
            yield genbench.ModelSpec(
                name=f"bad-{what}", summary="a test", family="variational", build=make_build(what), default_loss="elbo",
                latent_dim=2, value_range=(0, 1), output="images" if what == "wrong-range" else "logits",
                image_shapes=((1, 28, 28),),
            )
"""
RULES = (
    "builds",
    "image-shapes",
    "value-range",
    "finite-steps",
    "process-untouched",
    "no-host-reads",
    "bounded-memory",
)
VIOLATIONS = {  # model -> (the rule that it violates, what is found)
    "bad-reads": ("no-host-reads", "item (__init__.py, line 18)"),
    "bad-nan": ("finite-steps", "is nan in update 1"),
    "bad-keeps": ("bounded-memory", "more bytes"),
    "bad-sets": ("process-untouched", "building 'bad-sets' changed torch's number of threads (from "),
    "bad-forks": ("process-untouched", "its code forks the process"),
    "bad-hangs": ("builds", "it did not finish checking within 6 s"),
    "bad-exits": ("builds", "the process exited with status 7 while checking"),
    "bad-wrong-shape": ("image-shapes", "for 4 images (1, 28, 28) the shape of the samples is (4, 1, 26, 28)"),
    "bad-wrong-range": ("value-range", "for images (1, 28, 28), declared (0, 1), found -"),
    "bad-lies": ("builds", "returned the networks generator, discriminator; the family 'variational' needs encoder"),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = tmp_path_factory.mktemp("models")
    temp_plugin(site, MODELS, name="acme-models")
    return site


@pytest.mark.slow
def test_plugin_test_names_the_violated_rule_of_each_model_and_survives_them_all(models: Path) -> None:
    only = [part for rule in ("documented", *RULES) for part in ("--only", rule)]
    done = in_fork(models, "plugin", "test", "acme-models", "--timeout", "6", "--json", *only)
    assert done.returncode == 5, done.stderr
    outcomes = json.loads(done.stdout)
    assert len(outcomes) == 12 * 8
    failed: dict[str, dict[str, str]] = {}
    for outcome in outcomes:
        if outcome["verdict"] in ("failed", "undecided"):
            assert (outcome["verdict"] == "undecided") == ("did not finish" in outcome["reason"])
            failed.setdefault(outcome["subject"], {})[outcome["check"]] = outcome["reason"]
            assert outcome["why"] and outcome["fix"]
    at_import = {
        name: found.pop("process-untouched", "")
        for name, found in failed.items()
        if name not in ("bad-sets", "bad-forks")
    }
    assert "importing it changed torch's default dtype" in at_import["bad-good"]
    assert {name: [*found] for name, found in failed.items() if found} == {
        n: [rule] for n, (rule, _) in VIOLATIONS.items()
    }
    for name, (rule, words) in VIOLATIONS.items():
        assert words in failed[name][rule], failed[name][rule]


@pytest.mark.slow
def test_a_run_restores_what_it_can_and_reports_it(models: Path, tmp_path: Path) -> None:
    done = in_fork(
        models,
        *("run", "--profile", "smoke", "--images", "320", "--metrics", "none", "--threads", "1"),
        *("--models", "bad-sets,bad-nan,bad-reads,bad-wrong-shape,bad-wrong-range,bad-good"),
        *("--out", str(tmp_path / "run")),
    )
    assert done.returncode == 5, done.stderr
    cells = {c["identity"]["model"]["name"]: c for c in map(_read, (tmp_path / "run" / "cells").glob("*.json"))}
    assert {name: cell["status"] for name, cell in cells.items()} == {
        "bad-sets": "ok",
        "bad-nan": "diverged",
        "bad-reads": "ok",
        "bad-wrong-shape": "failed",
        "bad-wrong-range": "failed",
        "bad-good": "ok",
    }
    assert "26" in cells["bad-wrong-shape"]["reason"]
    assert "(0, 1)" in cells["bad-wrong-range"]["reason"]
    (importing,) = cells["bad-good"]["notes"]
    assert importing == (
        "acme-models (acme-models 1.0): importing it changed torch's default dtype (from torch.float32 to "
        "torch.float64): restored"
    )
    assert cells["bad-sets"]["comparability"]["threads"] == 1
    assert cells["bad-sets"]["notes"][1:] == [
        f"building 'bad-sets' changed {what}: restored"
        for what in (
            "torch's number of threads (from 1 to 3)",
            "torch's deterministic algorithms (from False to True)",
            "the seed of torch's global random numbers",
        )
    ]


def _read(path: Path) -> dict:  # type: ignore[type-arg]
    return json.loads(path.read_text())  # type: ignore[no-any-return]
