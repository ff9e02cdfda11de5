"""All built-in losses of any family: each states its formula and can be created from its defaults."""

from __future__ import annotations

import pytest

from genbench.api.specs import LossSpec, resolve
from genbench.builtin.losses import genbench_losses


@pytest.mark.parametrize("spec", list(genbench_losses()), ids=lambda spec: spec.name)
def test_every_loss_states_formula_and_source_and_can_be_created(spec: LossSpec) -> None:
    assert spec.formula
    assert spec.source
    defaults = {option.name: option.default for option in spec.option_schema}
    assert resolve(spec.create)(spec.make_options(defaults)) is not None
