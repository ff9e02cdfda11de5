"""The page on porting a script: its excerpts are those of the files, the scripts run, and the plugins do the same."""

from __future__ import annotations

import re
import runpy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
import warm
from command_line import TINY

from genbench.plugins.catalogue import Catalogue
from genbench.plugins.loader import file_plugins
from genbench.plugins.worker_catalogue import load_catalogue
from genbench.testing.subject import Subject
from genbench.train.builder import Built

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "porting.md").read_text(encoding="utf-8")
FOLDER = ROOT / "docs" / "examples" / "porting"
FILES = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.py")}
PLUGINS = sorted(path for path in FOLDER.glob("*_plugin.py"))


def test_every_excerpt_is_in_a_file() -> None:
    found = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(found) > 8
    assert [block for block in found if not any(block in text for text in FILES.values())] == []


def test_every_section_and_rule_that_the_page_names_exists() -> None:
    from genbench.testing import CHECKS

    assert {*re.findall(r"the rule `([\w-]+)`", PAGE)} <= {check.name for check in CHECKS}
    assert {*re.findall(r"`(\w+_(?:script|plugin)\.py)`", PAGE)} <= FILES.keys()


@pytest.mark.parametrize("name", sorted(name for name in FILES if name.endswith("_script.py")))
def test_a_script_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(torch.randint(256, (64, 1, 28, 28), dtype=torch.uint8), tmp_path / "images.pt")
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(FOLDER / name))


def test_the_plugins_train_beside_built_in_models(tmp_path: Path) -> None:
    files = [part for path in PLUGINS for part in ("--plugin", str(path))]
    models = ("--models", "ported-dcgan,ported-vae,coupling-flow,gan,vae")
    done = warm.run(*TINY, *files, *models, "--set", "gan.width=8", out=tmp_path / "run")
    assert done.code == 0, done.err
    assert all(cell.proof is not None and cell.proof.trained for cell in done.run_cells)
    assert len(done.run_cells) == 5


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue([asdict(plugin) for plugin in file_plugins(PLUGINS)])


def built(catalogue: Catalogue, name: str) -> Built:
    return Subject("models", name, catalogue).cell((1, 28, 28))


def script(name: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> tuple[dict[str, Any], torch.Tensor]:
    """Run a script for no step; return its variables and four images of its data."""
    images = torch.randint(256, (4, 1, 28, 28), dtype=torch.uint8)
    torch.save(images, folder / "images.pt")
    monkeypatch.chdir(folder)
    text = re.sub(r"^(STEPS, BATCH.*) = 2, 32", r"\1 = 0, 4", FILES[name], flags=re.MULTILINE)
    variables: dict[str, Any] = {"__name__": name}
    exec(compile(text, name, "exec"), variables)
    return variables, images


def test_the_gan_computes_the_losses_of_the_script(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    variables, images = script("dcgan_script.py", monkeypatch, tmp_path)
    cell = built(catalogue, "ported-dcgan")
    for name in ("generator", "discriminator"):
        weights = dict(zip(cell.engine.networks[name].state_dict(), variables[name].state_dict().values(), strict=True))
        cell.engine.networks[name].load_state_dict(weights)
    latents = torch.randn(4, 100)
    real = images.float() / 127.5 - 1
    with torch.no_grad():
        fake = cell.engine.networks["generator"](latents)
        assert torch.allclose(fake, variables["generator"](latents[:, :, None, None]), atol=1e-5)
        logits = [variables["discriminator"](batch) for batch in (real, fake)]
        entropy = variables["binary_cross_entropy_with_logits"]
        expected = entropy(logits[0], torch.ones_like(logits[0])) + entropy(logits[1], torch.zeros_like(logits[1]))
        found = cell.setup.loss.discriminator(*(part.flatten() for part in logits))
        assert torch.allclose(found, expected)
        assert torch.allclose(
            cell.setup.loss.generator(logits[1].flatten(), None), entropy(logits[1], torch.ones_like(logits[1]))
        )


def test_the_flow_is_inverted_and_computes_the_bits_of_the_script(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    variables, _ = script("flow_script.py", monkeypatch, tmp_path)
    flow = built(catalogue, "coupling-flow").engine.networks["flow"]
    flow.layers.load_state_dict(variables["layers"].state_dict())  # type: ignore[union-attr,operator]
    images, noise = torch.randint(256, (4, 1, 28, 28)) / 255, torch.rand(4, 1, 28, 28)
    with torch.no_grad():
        values, log_density = flow(images, noise)
        unit = 0.05 + 0.9 * (images * 255 + noise).flatten(1) / 256
        expected, total = unit.logit(), (-unit.log() - (1 - unit).log()).sum(1)
        for layer in variables["layers"]:
            expected, log_determinant = layer(expected)
            total = total + log_determinant
        assert torch.allclose(values, expected)
        assert torch.allclose(log_density, total + 784 * torch.tensor(0.9 / 256).log(), rtol=1e-4)
        again = flow.inverse(values)  # type: ignore[operator]
    assert torch.allclose(again, (images * 255 + noise) / 256, atol=1e-3)
