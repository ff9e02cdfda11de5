"""Options: what is declared is accepted, and everything else is rejected by name."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import genbench
from genbench.api.options import (
    Option,
    describe_options,
    options_without_effect,
    resolve_options,
)
from genbench.errors import SpecError, UsageError
from genbench.plugins.spec_transfer import spec_from_data, spec_to_data


@dataclass(frozen=True)
class Everything:
    width: int = genbench.option(64, "channels", minimum=4, maximum=512)
    rate: float = genbench.option(0.5, "dropout", minimum=0, maximum=1)
    deep: bool = genbench.option(False)
    label: str = genbench.option("a")
    kind: Literal["relu", "gelu"] = genbench.option("relu")
    layers: list[int] = genbench.option([1, 2], minimum=1)  # noqa: RUF009
    depths: list[float] = genbench.option([0.5])  # noqa: RUF009
    tags: list[str] = genbench.option([])  # noqa: RUF009
    limit: int | None = genbench.option(None, minimum=0)


SCHEMA = describe_options(Everything)
BY_NAME = {option.name: option for option in SCHEMA}


def check(name: str, value: object) -> object:
    return BY_NAME[name].check(value, "m")


def test_fields_become_plain_records() -> None:
    assert BY_NAME["width"] == Option("width", "int", 64, "channels", minimum=4, maximum=512)
    assert [option.type for option in SCHEMA] == [
        "int", "float", "bool", "str", "str", "list[int]", "list[float]", "list[str]", "int",
    ]  # fmt: skip
    assert BY_NAME["kind"].choices == ("relu", "gelu")
    assert [option.name for option in SCHEMA if option.optional] == ["limit"]
    assert describe_options(None) == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("width", 4), ("width", 512), ("rate", 0.0), ("rate", 1.0), ("deep", True), ("label", ""), ("kind", "gelu"),
        ("layers", [3]), ("layers", []), ("depths", [1.5]), ("tags", ["x"]), ("limit", None), ("limit", 0),
    ],
)  # fmt: skip
def test_values_of_the_declared_type_pass_unchanged(name: str, value: object) -> None:
    assert check(name, value) == value
    assert type(check(name, value)) is type(value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("width", True), ("width", 8.0), ("width", "8"), ("width", None), ("width", [8]), ("width", {}),
        ("rate", True), ("rate", "0.5"), ("rate", 10**400), ("deep", 1), ("deep", "true"), ("label", 1),
        ("layers", 3), ("layers", [1.5]), ("layers", [True]), ("layers", "12"), ("tags", [1]), ("kind", 3),
    ],
)  # fmt: skip
def test_another_type_is_rejected(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"m\\.{name} = .* is not of type"):
        check(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("width", 3), ("width", 513), ("rate", -0.1), ("rate", 1.1), ("rate", math.nan), ("layers", [1, 0]),
        ("limit", -1), ("depths", [math.inf]), ("depths", [math.nan]), ("limit", 2**63),
    ],
)  # fmt: skip
def test_values_out_of_range_and_numbers_that_json_cannot_hold_are_rejected(name: str, value: object) -> None:
    with pytest.raises(UsageError, match="out of range") as caught:
        check(name, value)
    assert BY_NAME[name].describe() in caught.value.cure


def test_an_integer_is_accepted_as_a_float() -> None:
    assert type(check("rate", 1)) is float
    assert [type(depth) for depth in check("depths", [1, 2])] == [float, float]  # type: ignore[attr-defined]


def test_a_choice_has_a_near_miss() -> None:
    with pytest.raises(UsageError, match=r"not one of relu, gelu\. Did you mean 'gelu'"):
        check("kind", "gel")


def test_text_that_is_not_unicode_is_rejected_before_it_is_stored() -> None:
    with pytest.raises(UsageError, match="not valid Unicode"):
        check("label", b"caf\xe9".decode(errors="surrogateescape"))


def test_unknown_names_get_the_near_miss_and_the_list() -> None:
    with pytest.raises(UsageError, match=r"Unknown option dcgan\.widht\. Did you mean 'width'\?") as caught:
        resolve_options(SCHEMA, {"widht": 3}, "dcgan")
    assert "dcgan has: deep, depths" in caught.value.cure
    with pytest.raises(UsageError) as caught:
        resolve_options((), {"width": 3}, "gan")
    assert caught.value.cure == "gan has no options."


def test_a_default_list_is_never_shared() -> None:
    first = resolve_options(SCHEMA, {}, "m")
    first["layers"].append(99)  # type: ignore[union-attr]
    assert resolve_options(SCHEMA, {}, "m")["layers"] == [1, 2]
    assert Everything().layers is not Everything().layers


valid = st.fixed_dictionaries(
    {},
    optional={
        "width": st.integers(4, 512),
        "rate": st.floats(0, 1) | st.integers(0, 1),
        "deep": st.booleans(),
        "label": st.text(st.characters(codec="utf-8")),
        "kind": st.sampled_from(["relu", "gelu"]),
        "layers": st.lists(st.integers(1, 10)),
        "limit": st.none() | st.integers(0, 2**63 - 1),
    },
)


@given(valid)
def test_resolving_is_total_and_idempotent(values: dict[str, Any]) -> None:
    resolved = resolve_options(SCHEMA, values, "m")
    assert list(resolved) == [option.name for option in SCHEMA]
    assert resolve_options(SCHEMA, resolved, "m") == resolved
    assert {name: resolved[name] for name in values} == values
    assert Everything(**resolved) == Everything(**values)  # type: ignore[arg-type]


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)
)


@given(st.sampled_from(SCHEMA), junk)
def test_any_value_is_either_accepted_unchanged_or_a_usage_error(option: Option, value: object) -> None:
    try:
        accepted = option.check(value, "m")
    except UsageError:
        return
    assert option.check(accepted, "m") == accepted


def declare(default: Any, annotation: Any, **bounds: Any) -> type:
    namespace = {"__annotations__": {"x": annotation}, "x": genbench.option(default, **bounds)}
    return dataclass(frozen=True)(type("Options", (), namespace))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (declare("wide", int), "'x' breaks its own type or range"),
        (declare(True, int), "'x' breaks its own type or range"),
        (declare(0, int, minimum=1), "'x' breaks its own type or range"),
        (declare("tanh", Literal["relu"]), "'x' breaks its own type or range"),
        (declare(1, Literal[1, 2]), "Use one of .* or a Literal of strings"),
        (declare((), tuple), "'x' has type"),
        (declare(1, int | str), "'x' has type"),
        (int, "must be a dataclass"),
        (Everything(), "must be a dataclass"),
        ("width", "must be a dataclass"),
    ],
)
def test_a_declaration_that_breaks_the_contract(options: Any, why: str) -> None:
    with pytest.raises(SpecError, match=why):
        describe_options(options)


def test_an_option_needs_a_default_and_must_be_settable() -> None:
    @dataclass
    class Bare:
        x: int

    @dataclass
    class Fixed:
        x: int = dataclass_field(default=1, init=False)

    with pytest.raises(SpecError, match="'x' has no default"):
        describe_options(Bare)
    with pytest.raises(SpecError, match="'x' cannot be set"):
        describe_options(Fixed)


def test_the_description_says_type_range_default_and_help() -> None:
    assert BY_NAME["width"].describe() == "int ≥ 4 ≤ 512 (default 64): channels"
    assert BY_NAME["kind"].describe() == "one of relu, gelu (default 'relu')"


@dataclass(frozen=True)
class Dependent:
    place: str = genbench.option("", folder=True)
    kind: Literal["fixed", "learned"] = genbench.option("fixed")
    weight: float = genbench.option(0.0)
    speed: int = genbench.option(3, unused_with={"kind": ["fixed"], "weight": [0]})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, []),
        ({"speed": 3}, []),
        ({"speed": 4, "kind": "learned", "weight": 0.5}, []),
        ({"speed": 4, "weight": 0.5}, ["m.speed = 4 does nothing: m.kind is fixed"]),
        ({"speed": 4, "kind": "learned"}, ["m.speed = 4 does nothing: m.weight is 0.0"]),
    ],
)
def test_an_option_without_effect_is_named(given: dict[str, Any], said: list[str]) -> None:
    schema = describe_options(Dependent)
    assert options_without_effect(schema, resolve_options(schema, given, "m"), "m") == said
    assert options_without_effect(schema, given, "m") == said  # as in an older plan, which lacks newer options


def test_an_option_cannot_depend_on_an_unknown_one_and_only_text_names_a_folder() -> None:
    @dataclass(frozen=True)
    class Alone:
        speed: int = genbench.option(3, unused_with={"knid": ["fixed"]})

    @dataclass(frozen=True)
    class Numbered:
        place: int = genbench.option(3, folder=True)

    with pytest.raises(SpecError, match="'knid', which is not another option"):
        describe_options(Alone)
    with pytest.raises(SpecError, match="cannot name a folder"):
        describe_options(Numbered)


def test_an_option_is_the_same_after_transfer_from_another_process() -> None:
    spec = genbench.LossSpec(name="x", family="f", create=len, options=Dependent)
    sent = json.loads(json.dumps(spec_to_data(spec)))
    assert spec_from_data("losses", sent).option_schema == describe_options(Dependent)  # type: ignore[attr-defined]
