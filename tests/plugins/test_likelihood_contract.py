"""A likelihood that breaks the contract ends a cell before it trains; the reason names plugin, line and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import TINY
from warm import run

LOSS = """
import genbench

def create(options):
    return genbench.VariationalLoss(
        lambda posterior: None,
        nll=lambda images, logits: None,
        likelihood=genbench.Likelihood("mine", "{kind}"),
    )

@genbench.hookimpl
def genbench_losses():
    yield genbench.LossSpec(name="mine", family="variational", create=create, formula="-")
"""

FAMILY = """
import genbench
from torch import nn

class Counting:
    def __init__(self, setup):
        self.setup = setup

    {likelihood}

    def phases(self):
        return []

    def sample(self, count, rng, labels=None):
        return self.setup.networks["net"].weight.new_zeros(count, *self.setup.image_shape)

@genbench.hookimpl
def genbench_families():
    yield genbench.FamilySpec(name="counting", create=Counting, networks=("net",), exact=True)

@genbench.hookimpl
def genbench_models():
    yield genbench.ModelSpec(
        name="counter", family="counting", build=lambda **given: {{"net": nn.Linear(1, 1)}}, default_loss="none"
    )

@genbench.hookimpl
def genbench_losses():
    yield genbench.LossSpec(name="none", family="counting", create=lambda options: None, formula="-")
"""
METHODS = "log_likelihood = lambda self, images, rng, labels=None: None\n    likelihood = "


def reason(tmp_path: Path, text: str, *arguments: str) -> str:
    plugin = tmp_path / "mine.py"
    plugin.write_text(text, encoding="utf-8")
    done = run(*TINY, "--plugin", str(plugin), *arguments, out=tmp_path / "run")
    (cell,) = done.run_cells
    assert cell.status == "failed"
    assert cell.steps == 0
    return cell.reason


def test_an_unknown_kind_in_a_loss(tmp_path: Path) -> None:
    said = reason(tmp_path, LOSS.format(kind="dequantized"), "--models", "vae", "--losses", "mine")
    assert "Loss 'mine': create(options) (mine.py, line 8): " in said
    assert "unknown kind 'dequantized'. Did you mean 'dequantised'?" in said


def test_noise_where_a_loss_has_none(tmp_path: Path) -> None:
    said = reason(tmp_path, LOSS.format(kind="dequantised"), "--models", "vae", "--losses", "mine")
    assert "'mine' is of dequantised images, and `nll` receives no noise" in said


@pytest.mark.parametrize(
    ("likelihood", "expected"),
    [
        ("", "The spec of the family 'counting' says exact=True, but Counting has no `likelihood`"),
        (METHODS + "'discrete'", "`likelihood` of the family 'counting' is 'discrete', not a genbench.Likelihood"),
        (METHODS + "genbench.Likelihood('a', 'cross-entropy')", "is a cross-entropy, which is not a likelihood"),
        (
            METHODS + "property(lambda self: genbench.Likelihood('a', 'bits'))",
            "`likelihood` of the family 'counting' (mine.py, line 10): Likelihood 'a' has the unknown kind 'bits'",
        ),
    ],
)
def test_a_family_that_is_not_what_its_spec_says(tmp_path: Path, likelihood: str, expected: str) -> None:
    assert expected in reason(tmp_path, FAMILY.format(likelihood=likelihood), "--models", "counter")
