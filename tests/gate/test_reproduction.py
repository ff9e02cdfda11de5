"""The verdict on a stored training: bit for bit where rounding agrees, within its measured effect elsewhere."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from example_runs import cell, changed, comparability

from genbench.gate.reproduction import Repetition, bits_agree, compare
from genbench.results.schema import CellResult, CurvePoint

TERMS = {"discriminator": 1.25, "generator": 0.5, "gradient_norm.generator": 3.0}


def curves(*windows: dict[str, float | None]) -> list[CurvePoint]:
    return [CurvePoint(step=10 * n, images=320 * n, terms=terms) for n, terms in enumerate(windows, start=1)]


def stored(*windows: dict[str, float | None], **conditions: Any) -> CellResult:
    points = curves(*(windows or (TERMS, TERMS)))
    return changed(cell("gan-1"), curves=points, comparability=comparability(**conditions))


def repeated(result: CellResult, *windows: dict[str, float | None], **conditions: Any) -> Repetition:
    points = curves(*(windows or (TERMS, TERMS)))
    return Repetition(comparability(**conditions), result.parameters, points)


def test_equal_losses_are_reproduced_bit_for_bit() -> None:
    found = compare(stored(), repeated(stored()), [])
    assert found.verdict == "reproduced"
    assert found.reason == "3 losses over the first 640 images agree bit for bit"


def test_the_last_bit_counts_where_rounding_agrees() -> None:
    other = {**TERMS, "generator": math.nextafter(0.5, 1)}
    found = compare(stored(), repeated(stored(), TERMS, other), [])
    assert found.verdict == "differs"
    assert "'generator' is 0.5 at step 20" in found.reason


@pytest.mark.parametrize(
    "conditions", [{"machine": "Xeon"}, {"torch": "2.9"}, {"threads": 1}, {"accelerator": "H200"}, {"engine": "graph"}]
)
def test_elsewhere_the_effect_of_rounding_is_allowed(conditions: dict[str, Any]) -> None:
    result = stored()
    near = repeated(result, TERMS, {**TERMS, "generator": 0.502}, **conditions)
    assert compare(result, near, []).verdict == "reproduced"
    far = repeated(result, TERMS, {**TERMS, "generator": 0.51}, **conditions)
    assert compare(result, far, []).verdict == "differs"
    control = replace(far, curves=curves(TERMS, {**TERMS, "generator": 0.514}))  # rounding alone moves it by 0.004
    assert compare(result, far, [control]).verdict == "reproduced"


def test_the_first_window_has_the_smaller_tolerance() -> None:
    result = stored()
    other = repeated(result, {**TERMS, "generator": 0.502}, TERMS, machine="Xeon")
    assert compare(result, other, []).verdict == "differs"


def test_gradient_norms_of_one_step_count_only_bit_for_bit() -> None:
    result, other = stored(), {**TERMS, "gradient_norm.generator": 9.0}
    assert compare(result, repeated(result, TERMS, other, machine="Xeon"), []).verdict == "reproduced"
    assert compare(result, repeated(result, TERMS, other), []).verdict == "differs"


def test_other_images_networks_and_windows_differ() -> None:
    result = stored()
    assert "images" in compare(result, repeated(result, data_hash="e" * 64), []).reason
    assert "parameters" in compare(result, replace(repeated(result), parameters={"generator": 1}), []).reason
    short = replace(repeated(result), curves=[CurvePoint(step=9, images=288, terms={**TERMS})])
    assert "windows" in compare(result, short, []).reason


def test_losses_that_are_not_finite_agree_only_with_their_like() -> None:
    result = stored(TERMS, {**TERMS, "generator": None})
    assert compare(result, repeated(result, TERMS, {**TERMS, "generator": None}), []).verdict == "reproduced"
    assert compare(result, repeated(result), []).verdict == "differs"


def test_without_losses_nothing_is_checked() -> None:
    assert compare(changed(stored(), curves=[]), repeated(stored()), []).verdict == "not checked"
    assert compare(changed(stored(), comparability=None), repeated(stored()), []).verdict == "not checked"
    assert compare(stored({"other": 1.0}), repeated(stored()), []).verdict == "not checked"


def test_when_bits_agree() -> None:
    assert bits_agree(comparability(), comparability())
    assert not bits_agree(comparability(accelerator="H200"), comparability(accelerator="H200"))
    assert not bits_agree(comparability(), comparability(denormals="flushed"))
