"""`genbench plugin show`: declared facts, parameter counts and stored results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from example_runs import cell, identity, stored
from plugin_packages import expose, temp_plugin

from genbench.cli.plugin import command
from genbench.commands.plugins import description
from genbench.errors import UsageError
from genbench.report.plugin_details import text_of

pytestmark = pytest.mark.usefixtures("forked_children")

MODELS = """
    import os
    from dataclasses import dataclass
    import genbench
    from torch import nn

    @dataclass(frozen=True)
    class Options:
        width: int = genbench.option(4, "units", minimum=1)

    def build(image_shape, latent_dim, num_classes, options):
        channels, height, width = image_shape
        values = channels * height * width
        return {
            "generator": nn.Sequential(nn.Linear(latent_dim, options.width), nn.Linear(options.width, values)),
            "discriminator": nn.Sequential(nn.Flatten(), nn.Linear(values, 1)),
        }

    def crash(image_shape, latent_dim, num_classes, options):
        os._exit(7)

    def refuse(image_shape, latent_dim, num_classes, options):
        raise ValueError("not in the mood")

    @genbench.hookimpl
    def genbench_models():
        common = {"family": "adversarial", "default_loss": "hinge", "latent_dim": 10, "paper": "Acme 2025"}
        shapes = ((1, 8, 8), (3, 8, 8))
        yield genbench.ModelSpec(name="acme", build=build, image_shapes=shapes, options=Options, **common)
        yield genbench.ModelSpec(name="crasher", build=crash, image_shapes=((1, 8, 8),), **common)
        yield genbench.ModelSpec(name="refuser", build=refuse, image_shapes=((1, 8, 8),), **common)
"""


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(command, ["show", *arguments], standalone_mode=False, catch_exceptions=False)


@pytest.fixture(autouse=True)
def _no_stored_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(description, "REFERENCE", tmp_path / "nowhere")


@pytest.fixture
def _acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temp_plugin(tmp_path / "site", MODELS, name="acme-models", version="1.2")
    temp_plugin(tmp_path / "site", "raise RuntimeError('no licence')", name="acme-bad")
    expose(tmp_path / "site", monkeypatch)


@pytest.mark.slow
@pytest.mark.usefixtures("_acme")
def test_a_plugin_is_shown_with_everything_it_registers_and_why_a_model_cannot_be_built() -> None:
    models = {data["name"]: data for data in json.loads(invoke("acme-models", "--json").stdout)}
    assert [*models] == ["acme", "crasher", "refuser"]
    # 10·4 + 4 and 4·64 + 64; 64 + 1; three times the values in colour
    assert [count["networks"] for count in models["acme"]["parameters"]] == [
        {"generator": 364, "discriminator": 65},
        {"generator": 44 + 4 * 192 + 192, "discriminator": 193},
    ]
    assert "exited with status 7" in models["crasher"]["parameters"][0]["reason"]
    assert models["refuser"]["parameters"][0]["reason"] == "ValueError: not in the mood"
    text = "\n".join(text_of("models", data) for data in models.values())
    assert "width: int ≥ 1 (default 4): units" in text
    assert "1×8×8: generator 364  discriminator 65  total 429" in text
    assert "1×8×8: ValueError: not in the mood" in text
    for fact in ("acme-models (acme-models 1.2)", "Acme 2025", "hinge", "1×8×8, 3×8×8", "-1 to 1"):
        assert fact in text, fact


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("elbo", ["loss elbo", "formula", "arXiv:1312.6114", "beta: float"]),
        ("fashion-mnist-mini", ["dataset fashion-mnist-mini", "1×28×28", "licence"]),
        ("fid", ["metric fid", "lower"]),
        ("adversarial", ["family adversarial", "generator, discriminator"]),
        ("inception", ["extractor inception", "fid"]),
    ],
)
def test_every_kind_can_be_shown(name: str, facts: list[str]) -> None:
    text = invoke(name).stdout
    assert [fact for fact in facts if fact not in text] == []
    assert json.loads(invoke(name, "--json").stdout)[0]["name"] == name


def test_results_of_a_run_are_shown_with_their_errors_and_without_one_it_says_so(tmp_path: Path) -> None:
    assert "no stored results (--run RUN" in invoke("hinge").stdout
    stored(
        tmp_path / "mine",
        cell("gan-1", identity("gan", "hinge")),
        cell("gan-2", identity("gan", "hinge", seed=1)),
        cell("vae-1", identity("vae", "elbo")),
    )
    text = invoke("hinge", "--run", str(tmp_path / "mine")).stdout
    assert (
        "mine: gan · hinge · mini · seed 0, 60,000 images: fd-cnn 34.57 ± 0.65, 1,234 img/s on cpu (and 1 more)" in text
    )
    assert "vae" not in text
    (shown,) = json.loads(invoke("hinge", "--run", str(tmp_path / "mine"), "--json").stdout)
    assert [result["cell"] for result in shown["results"]] == ["gan-1", "gan-2"]


@pytest.mark.slow
@pytest.mark.usefixtures("_acme")
def test_an_unknown_or_quarantined_plugin_is_an_error_with_a_remedy() -> None:
    with pytest.raises(UsageError, match="Did you mean 'dcgan'"):
        invoke("dcgam")
    with pytest.raises(UsageError, match="quarantined: RuntimeError: no licence"):
        invoke("acme-bad")


def test_a_plugin_in_a_file_is_shown_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "import genbench\n@genbench.hookimpl\ndef genbench_losses():\n"
        "    yield genbench.LossSpec(name='mine', family='adversarial', create=len)\n"
    )
    assert "loss mine" in invoke(str(path)).stdout
