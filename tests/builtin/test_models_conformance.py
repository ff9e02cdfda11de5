"""What every built-in model keeps: shapes, ranges, gradients, seeds, precision, layout, labels, options."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from built_models import CLASSES, FAMILIES, SPECS, build, family, images, labels, rng, shapes, tiny
from torch import Tensor, nn
from torch.nn.utils import parametrize

import genbench
from genbench.errors import UsageError
from genbench.options import Option, resolve_options
from genbench.specs import Shape

BATCH = 6
NAMES = list(SPECS)
CASES = [
    pytest.param(name, shape, id=f"{name}-{'x'.join(map(str, shape))}") for name in NAMES for shape in shapes(name)
]
ADVERSARIAL = [name for name in NAMES if SPECS[name].family == "adversarial"]
CONDITIONAL = [name for name in NAMES if SPECS[name].conditional]
OPTIONS = [
    pytest.param(name, option, id=f"{name}.{option.name}") for name in NAMES for option in SPECS[name].option_schema
]
NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)


def built(name: str, shape: Shape | None = None, seed: int = 0, **options: Any) -> dict[str, nn.Module]:
    torch.manual_seed(seed)
    return build(name, shape or shapes(name)[0], **(tiny(name) | options))


def judge(discriminator: nn.Module, name: str, pixels: Tensor, chosen: Tensor | None) -> Tensor:
    judged = discriminator(pixels) if chosen is None else discriminator(pixels, chosen)
    logits: Tensor = judged[0] if isinstance(judged, tuple) else judged
    return logits.flatten()


def unsettle(networks: dict[str, nn.Module]) -> None:
    """Take the logits away from 0: as long as all lie within the margin of hinge, its two halves cancel in the bias."""
    if "discriminator" in networks:
        with torch.no_grad():
            for parameter in networks["discriminator"].parameters():
                if parameter.numel() == 1:
                    parameter.add_(2.0)


def train_once(name: str, networks: dict[str, nn.Module], shape: Shape, **settings: Any) -> dict[str, float]:
    """Run every phase's objective and its backward pass, as a step does; return the totals."""
    unsettle(networks)
    shared: dict[str, Any] = {}
    totals = {}
    for phase in family(name, networks, **settings).phases():
        frozen = [p for other in phase.frozen for p in networks[other].parameters() if p.requires_grad]
        for parameter in frozen:
            parameter.requires_grad_(False)
        batch = genbench.Batch(
            images(name, BATCH, shape), labels(name, BATCH), rng(), True, shared, progress=torch.tensor(0.5)
        )
        objective = phase.objective(batch)
        objective.total.backward()
        totals[phase.name] = float(objective.total.detach())
        for parameter in frozen:
            parameter.requires_grad_(True)
        for network in phase.networks:
            for parameter_name, parameter in networks[network].named_parameters():
                assert parameter.grad is not None, f"{phase.name}: {network}.{parameter_name} has no gradient"
                assert bool(parameter.grad.isfinite().all()), f"{phase.name}: {network}.{parameter_name} is not finite"
                assert bool(parameter.grad.any()), f"{phase.name}: the gradient of {network}.{parameter_name} is zero"
                parameter.grad = None
    return totals


def test_every_model_names_its_paper_and_has_the_networks_of_its_family() -> None:
    for name, spec in SPECS.items():
        assert "arXiv" in spec.paper
        assert set(FAMILIES[spec.family].networks) <= set(built(name))


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_samples_have_the_declared_shape_and_lie_in_the_declared_range(name: str, shape: Shape) -> None:
    networks = built(name, shape)
    with torch.no_grad():
        samples = family(name, networks).sample(BATCH, rng(), labels(name, BATCH))
    low, high = SPECS[name].value_range
    assert samples.shape == (BATCH, *shape)
    assert low <= float(samples.min()) < float(samples.max()) <= high


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_every_parameter_of_every_shape_has_a_gradient_under_the_default_loss(name: str, shape: Shape) -> None:
    train_once(name, built(name, shape), shape)


@pytest.mark.parametrize("name", NAMES)
def test_a_step_under_bf16_autocast_is_finite_and_close_to_the_fp32_one(name: str) -> None:
    shape = shapes(name)[-1] if SPECS[name].image_shapes is None else shapes(name)[1]
    networks = built(name, shape)
    exact = train_once(name, copy.deepcopy(networks), shape)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = train_once(name, networks, shape, precision="bf16")
    for phase, total in exact.items():
        assert rounded[phase] == pytest.approx(total, rel=0.1, abs=0.1)


@pytest.mark.parametrize("name", NAMES)
def test_the_memory_layout_changes_nothing(name: str) -> None:
    shape = shapes(name)[0]
    networks = {key: network.eval() for key, network in built(name, shape).items()}
    with torch.no_grad():
        expected = family(name, networks).sample(2, rng(), labels(name, 2))
        for network in networks.values():
            network.to(memory_format=torch.channels_last)
        found = family(name, networks).sample(2, rng(), labels(name, 2))
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_the_memory_layout_of_images_changes_no_logit(name: str) -> None:
    shape = shapes(name)[-1]
    discriminator = built(name, shape)["discriminator"].eval()
    pixels, chosen = images(name, 4, shape), labels(name, 4)
    expected = judge(discriminator, name, pixels, chosen)
    discriminator.to(memory_format=torch.channels_last)
    found = judge(discriminator, name, pixels.to(memory_format=torch.channels_last), chosen)
    assert torch.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_determines_the_weights_and_another_gives_others(name: str) -> None:
    first, again, other = (
        {f"{key}.{k}": v for key, net in built(name, seed=seed).items() for k, v in net.state_dict().items()}
        for seed in (5, 5, 6)
    )
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("name", NAMES)
def test_the_state_of_the_networks_is_all_that_a_sample_depends_on(name: str) -> None:
    trained, fresh = built(name, seed=1), built(name, seed=2)
    train_once(name, trained, shapes(name)[0])  # moves the buffers
    for key, network in fresh.items():
        network.load_state_dict(trained[key].state_dict())
    for networks in (trained, fresh):
        for network in networks.values():
            network.eval()
    with torch.no_grad():
        expected, found = (family(name, n).sample(3, rng(), labels(name, 3)) for n in (trained, fresh))
        assert torch.equal(found, expected)
        if name in ADVERSARIAL:
            expected, found = (judge(n["discriminator"], name, found, labels(name, 3)) for n in (trained, fresh))
            assert torch.equal(found, expected)


@pytest.mark.parametrize("name", NAMES)
def test_no_norm_has_an_epsilon_that_was_meant_as_a_momentum(name: str) -> None:
    modules = [module for network in built(name).values() for module in network.modules()]
    assert all(module.eps <= 1e-2 for module in modules if isinstance(module, NORMS))


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_logits_take_both_signs_and_grow_with_the_last_layer(name: str) -> None:
    """A discriminator that ends in an activation fails one or the other: its logit is no linear function."""
    shape = shapes(name)[0]
    drawn = [
        judge(built(name, seed=seed)["discriminator"], name, images(name, 16, shape, seed), labels(name, 16))
        for seed in range(8)
    ]
    logits = torch.cat(drawn).detach()
    assert bool((logits > 0).any())
    assert bool((logits < 0).any())

    discriminator = built(name)["discriminator"].eval()
    pixels, chosen = images(name, 4, shape), labels(name, 4)
    before = judge(discriminator, name, pixels, chosen)
    last = [m for m in discriminator.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.Embedding)]
    ends = last[-2:] if isinstance(last[-1], nn.Embedding) else last[-1:]  # the projection is an end too
    with torch.no_grad():
        for layer in ends:
            if parametrize.is_parametrized(layer, "weight"):
                parametrize.remove_parametrizations(layer, "weight")
            layer.weight.mul_(-3)
            if getattr(layer, "bias", None) is not None:
                layer.bias.mul_(-3)
    assert torch.allclose(judge(discriminator, name, pixels, chosen), -3 * before, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", CONDITIONAL)
def test_conditional_networks_look_at_the_labels(name: str) -> None:
    shape = shapes(name)[0]
    networks = {key: network.eval() for key, network in built(name, shape).items()}
    one, other = torch.zeros(4, dtype=torch.int64), torch.ones(4, dtype=torch.int64)
    pixels = images(name, 4, shape)
    with torch.no_grad():
        made = [family(name, networks).sample(4, rng(), chosen) for chosen in (one, other)]
        assert not torch.allclose(made[0], made[1], atol=1e-6)
        if name == "acgan":  # says the class, and is not told it
            _, classes = networks["discriminator"](pixels, one)
            assert classes.shape == (4, CLASSES)
            return
        reader = networks["encoder" if "encoder" in networks else "discriminator"]
        read = [reader(pixels, chosen) for chosen in (one, other)]
    for a, b in zip(*((r if isinstance(r, tuple) else (r,)) for r in read), strict=True):
        assert bool((a != b).any(dim=-1 if a.ndim > 1 else 0).all())


@pytest.mark.parametrize("name", CONDITIONAL)
def test_without_classes_the_error_names_the_model_and_the_cure(name: str) -> None:
    with pytest.raises(genbench.GenbenchError, match=f"'{name}' is conditional.*\n.*labels"):
        build(name, shapes(name)[0], classes=0)


@pytest.mark.parametrize("name", CONDITIONAL)
def test_a_single_class_is_a_condition_too(name: str) -> None:
    shape = shapes(name)[0]
    networks = build(name, shape, classes=1, **tiny(name))
    none = torch.zeros(2, dtype=torch.int64)
    assert family(name, networks).sample(2, rng(), none).shape == (2, *shape)


@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_a_bad_value_of_an_option_gets_an_error_that_names_option_and_range(name: str, option: Option) -> None:
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
