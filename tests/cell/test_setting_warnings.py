"""Notes on a cell: penalties with batch norm, settings without effect."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import TINY
from torch import nn
from warm import run

from genbench.api.specs import LossSpec, resolve
from genbench.api.training import AdversarialLoss
from genbench.builtin.losses.adversarial import GradientPenaltyOptions, R1Options, create
from genbench.cell.setting_warnings import penalty_with_batch_norm
from genbench.plugins.catalogue import Catalogue, discover
from genbench.runner.in_process import NOTE

NORMED = {"generator": nn.BatchNorm2d(3), "discriminator": nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))}
PLAIN = {"generator": nn.BatchNorm2d(3), "discriminator": nn.Sequential(nn.Conv2d(1, 2, 3), nn.GroupNorm(1, 2))}


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return discover()


@pytest.mark.parametrize("name", ["wgan-gp", "dragan", "r1", "rpgan-r1-r2"])
def test_every_penalty_of_single_images_is_noted_with_batch_norm(catalogue: Catalogue, name: str) -> None:
    spec: LossSpec = catalogue.require("losses", name).spec
    loss = resolve(spec.create)(spec.make_options({}))
    (note,) = penalty_with_batch_norm(loss, NORMED, name)
    assert note.startswith(f"the penalty of {name} ")
    assert "Gulrajani" in note
    assert penalty_with_batch_norm(loss, PLAIN, name) == []


def without_penalty() -> list[AdversarialLoss]:
    return [
        create.hinge(),
        create.wgan_gp(GradientPenaltyOptions(penalty_weight=0)),
        create.r1(R1Options(gamma=0)),
    ]


@pytest.mark.parametrize("loss", [*without_penalty(), "no adversarial loss"])
def test_without_a_penalty_there_is_nothing_to_note(loss: object) -> None:
    assert penalty_with_batch_norm(loss, NORMED, "x") == []


@pytest.mark.slow
def test_the_notes_are_stored_with_the_cell(tmp_path: Path) -> None:
    settings = ("--set", "gan.width=8", "--set", "dcgan.width=4", "--set", "r1.gamma=0", "--set", "r1.penalty_every=3")
    done = run(*TINY, "--models", "gan,dcgan", "--losses", "r1,dragan", *settings, out=tmp_path / "run")
    notes = {(c.identity.model.name, c.identity.loss.name): [*c.notes] for c in done.run_cells}
    assert all(found.pop() == NOTE for found in notes.values())
    idle = "r1.penalty_every = 3 does nothing: r1.gamma is 0.0"
    assert notes["gan", "r1"] == notes["dcgan", "r1"] == [idle]
    assert notes["gan", "dragan"] == []
    (note,) = notes["dcgan", "dragan"]
    assert note.startswith("the penalty of dragan")


@pytest.mark.slow
def test_a_batch_of_one_image_fails_with_the_layer_and_a_remedy(tmp_path: Path) -> None:
    (cell,) = run(*TINY, "--models", "gan", "--batch-size", "1", out=tmp_path / "run").run_cells
    assert cell.status == "failed"
    assert "batch norm generator." in cell.reason
    assert "Use --batch-size 2" in cell.reason
