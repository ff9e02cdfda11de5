"""Third-party packages, each with one kind of spec, work with the built-in plugins and with each other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import warm
from plugin_packages import environment, pip_install_plugin, temp_plugin

MODEL = """
    import math
    import genbench
    from torch import nn  # at the top, as in most plugins

    def build(image_shape, latent_dim, num_classes, options):
        values = math.prod(image_shape)
        return {
            "generator": nn.Sequential(nn.Linear(latent_dim, values), nn.Sigmoid(), nn.Unflatten(1, image_shape)),
            "discriminator": nn.Sequential(nn.Flatten(), nn.Linear(values, 1)),
        }

    @genbench.hookimpl
    def genbench_models():
        yield genbench.ModelSpec(
            name="acme-gan", family="adversarial", build=build, default_loss="minimax", value_range=(0, 1), latent_dim=7
        )
"""

LOSS = """
    from dataclasses import dataclass
    import genbench

    @dataclass(frozen=True)
    class Options:
        margin: float = genbench.option(1.0, "where the hinge bends", minimum=0)

    def create(options):
        return genbench.AdversarialLoss(
            discriminator=lambda real, fake: (
                (options.margin - real).relu().mean() + (options.margin + fake).relu().mean()
            ),
            generator=lambda fake, real: -fake.mean(),
        )

    @genbench.hookimpl
    def genbench_losses():
        yield genbench.LossSpec(name="acme-hinge", family="adversarial", create=create, options=Options)
"""

DATASET = """
    import numpy as np
    import genbench

    def load(options, cache):
        pixels = np.random.default_rng(0).integers(0, 256, (96, 1, 12, 12), dtype=np.uint8)  # numpy arrays are accepted
        labels = np.arange(96) % 4
        return genbench.ImageData(
            train=genbench.Images(pixels[:80], labels[:80]), test=genbench.Images(pixels[80:], labels[80:])
        )

    @genbench.hookimpl
    def genbench_datasets():
        yield genbench.DatasetSpec(name="acme-data", image_shape=(1, 12, 12), classes=4, load=load)
"""

METRIC = """
    import genbench

    def measure(evaluation):
        pixels = evaluation.samples.pixels
        return genbench.Estimate(
            metric="acme-brightness", value=float(pixels.float().mean()), standard_error=None, n=len(pixels),
            direction="higher",
        )

    @genbench.hookimpl
    def genbench_metrics():
        yield genbench.MetricSpec(name="acme-brightness", measure=measure, direction="higher")
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = tmp_path_factory.mktemp("site")
    pip_install_plugin(site, MODEL, tmp_path_factory.mktemp("project"), name="acme-models", version="1.2")
    temp_plugin(site, LOSS, name="acme-losses", version="0.3")
    temp_plugin(site, DATASET, name="acme-data")
    temp_plugin(site, METRIC, name="acme-metrics")
    return site


def run(site: Path, out: Path, *arguments: str) -> list[dict]:  # type: ignore[type-arg]
    command = ("run", "--profile", "smoke", "--images", "320", *arguments, "--out", str(out))
    done = warm.command(*command, PYTHONPATH=environment(site)["PYTHONPATH"])
    assert done.returncode == 0, done.stderr
    return [json.loads(path.read_text()) for path in sorted((out / "cells").glob("*.json"))]


@pytest.mark.slow
def test_third_party_model_loss_dataset_and_metric_work_with_built_ins_and_each_other(
    site: Path, tmp_path: Path
) -> None:
    cells = run(
        site,
        tmp_path / "run",
        *("--models", "acme-gan,gan,vae", "--losses", "acme-hinge,minimax,elbo"),
        *("--datasets", "acme-data", "--metrics", "acme-brightness,fd"),
        *("--set", "acme-hinge.margin=0.5", "--set", "gan.width=8", "--set", "vae.hidden=16"),
    )
    found = {(c["identity"]["model"]["name"], c["identity"]["loss"]["name"]): c for c in cells}
    statuses = {names: cell["status"] for names, cell in found.items()}
    together = [
        ("acme-gan", "acme-hinge"),
        ("acme-gan", "minimax"),
        ("gan", "acme-hinge"),
        ("gan", "minimax"),
        ("vae", "elbo"),
    ]
    assert [statuses[names] for names in together] == ["ok"] * 5
    apart = {names: cell["reason"] for names, cell in found.items() if cell["status"] == "skipped"}
    assert {*apart} == {("acme-gan", "elbo"), ("gan", "elbo"), ("vae", "acme-hinge"), ("vae", "minimax")}
    assert "loss 'acme-hinge' is adversarial, model 'vae' is variational" in apart["vae", "acme-hinge"]
    identity = found["acme-gan", "acme-hinge"]["identity"]
    assert identity["model"]["origin"] == {"plugin": "acme-models", "distribution": "acme-models", "version": "1.2"}
    assert identity["loss"]["options"] == {"margin": 0.5}
    metrics = [estimate["metric"] for estimate in found["vae", "elbo"]["estimates"]]
    assert metrics == ["acme-brightness", "fd-ssl-acme-data"]


@pytest.mark.slow
def test_each_works_with_the_built_in_plugins_on_real_data(site: Path, tmp_path: Path) -> None:
    cells = run(site, tmp_path / "run", "--models", "acme-gan,gan", "--set", "gan.width=8", "--metrics", "diversity")
    assert {cell["identity"]["model"]["name"]: cell["status"] for cell in cells} == {"acme-gan": "ok", "gan": "ok"}
    assert all(cell["proof"]["trained"] for cell in cells)
