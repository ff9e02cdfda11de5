"""Built-in models, losses and families follow the rules of the conformance kit, and a few more."""

from __future__ import annotations

import pytest
import torch
from built_models import ANY_SHAPE, FAMILIES, LOSSES, SPECS, build, family, labels, rng, shapes, tiny

import genbench
from genbench.api.images import Shape
from genbench.api.options import Option, resolve_options
from genbench.errors import UsageError
from genbench.testing import conformance

NAMES = list(SPECS)
ANY = [pytest.param(name, shape) for name in NAMES if SPECS[name].image_shapes is None for shape in ANY_SHAPE]
CONDITIONAL = [name for name in NAMES if SPECS[name].conditional]
OPTIONS = [
    pytest.param(name, option, id=f"{name}.{option.name}") for name in NAMES for option in SPECS[name].option_schema
]
SLOW = ("compiles", "bounded-memory")  # asked of one model of each family

QUICK = ("gan", "vae")  # the others, whose networks are larger, follow the same rules in the slow tests

test_quick_models = conformance(*QUICK, skip=SLOW)
test_models = pytest.mark.slow(conformance(*[name for name in NAMES if name not in QUICK], skip=SLOW))
test_one_model_of_each_family = pytest.mark.slow(conformance("dcgan", "vae", "vq-vae", only=SLOW))
test_losses = pytest.mark.slow(conformance(*LOSSES, skip=SLOW))
test_families = pytest.mark.slow(conformance(*FAMILIES, skip=SLOW))


@pytest.mark.parametrize("name", NAMES)
def test_every_model_names_its_paper(name: str) -> None:
    assert "arXiv" in SPECS[name].paper


@pytest.mark.parametrize(("name", "shape"), ANY)
def test_models_for_any_shape_accept_unusual_ones(name: str, shape: Shape) -> None:
    with torch.no_grad():
        networks = build(name, shape, **tiny(name))
        assert family(name, networks).sample(4, rng(), labels(name, 4)).shape == (4, *shape)


@pytest.mark.parametrize("name", CONDITIONAL)
def test_without_classes_the_error_names_the_model_and_the_remedy(name: str) -> None:
    with pytest.raises(genbench.GenbenchError, match=f"'{name}' is conditional.*\n.*labels"):
        build(name, shapes(name)[0], classes=0)


@pytest.mark.parametrize("name", CONDITIONAL)
def test_a_single_class_is_a_valid_condition(name: str) -> None:
    shape = shapes(name)[0]
    networks = build(name, shape, classes=1, **tiny(name))
    none = torch.zeros(2, dtype=torch.int64)
    assert family(name, networks).sample(2, rng(), none).shape == (2, *shape)


@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_the_error_for_an_invalid_option_names_it_and_its_range(name: str, option: Option) -> None:
    schema = SPECS[name].option_schema
    bad: list[object] = [object()]
    if option.choices:
        bad += ["", option.choices[0] + "x"]
    elif option.type in ("int", "float"):
        assert option.minimum is not None, f"{name}.{option.name} has no lower bound"
        bad += [option.minimum - 1, "wide", float("nan"), True]
        bad += [] if option.maximum is None else [option.maximum + 1]
    for value in bad:
        with pytest.raises(UsageError) as error:
            resolve_options(schema, {option.name: value}, name)
        said = str(error.value)
        assert f"{name}.{option.name}" in said
        range_named = option.choices[0] if option.choices else f"{option.minimum:g}"
        assert range_named in said
