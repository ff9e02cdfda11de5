"""Calling a plugin's function: what does not fit is located in the author's code; what it raises passes unchanged."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from genbench.errors import SpecError
from genbench.plugins.calls import PluginFunction, defined_at, describe, origin_of


class Author:
    def __init__(self) -> None:
        self.calls = 0

    def method(self, one: int) -> int:
        return one

    def __call__(self, one: int) -> int:
        return one


class Network(nn.Module):
    def forward(self, one: int) -> int:
        return one


def line(function: Callable[..., Any]) -> str:
    return f" (test_calls.py, line {function.__code__.co_firstlineno})"


def test_a_function_is_located_where_its_author_wrote_it() -> None:
    here = line(test_a_function_is_located_where_its_author_wrote_it)
    assert defined_at(test_a_function_is_located_where_its_author_wrote_it) == here
    assert defined_at(functools.partial(functools.partial(Author().method, 1))) == line(Author.method)
    assert defined_at(Author()) == line(Author.__call__)
    assert defined_at(Author) == line(Author.__call__)
    assert defined_at(Network()) == line(Network.forward)
    assert [defined_at(nothing) for nothing in (None, len, 3, nn.ReLU(), torch.mean, [])] == [""] * 6


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "None"),
        (0.5, "a float, 0.5"),
        ("x" * 100, "a str, 'xxx"),
        (torch.zeros(2, 3), "a tensor of shape (2, 3), float32"),
        (np.zeros(2, np.uint8), "a ndarray of shape (2,), uint8"),
        ((1, nn.ReLU()), "a tuple of int, ReLU"),
        ([], "a list of nothing"),
        ({"generator": 1}, "a dict with 'generator'"),
        (Author(), "an object of the class Author"),
        (Author, "the class Author, not an instance of it"),
        ((n for n in ()), "a generator"),
    ],
)
def test_a_value_is_described(value: object, said: str) -> None:
    assert describe(value).startswith(said)


@pytest.mark.parametrize("function", [lambda: None, Author().method, Network(), functools.partial(Author(), 1, 2)])
def test_a_call_with_other_arguments_says_how_it_is_called(function: Callable[..., Any]) -> None:
    with pytest.raises(
        SpecError, match=r"^Loss 'mine': twice\(a, b\) cannot be called: .* \(test_calls\.py, line \d+\)"
    ):
        PluginFunction("loss 'mine'", "twice(a, b)", function)(1, 2)


def test_an_error_inside_is_the_authors_even_if_it_is_about_arguments() -> None:
    def author() -> None:
        Author().method()  # type: ignore[call-arg]

    with pytest.raises(TypeError, match="missing 1 required") as info:
        PluginFunction("loss 'mine'", "once()", PluginFunction("model 'inner'", "build()", author))()
    assert origin_of(info.value) == ", raised by build() of model 'inner'"
    assert origin_of(ValueError()) == ""


def test_what_is_no_function_is_said() -> None:
    with pytest.raises(SpecError, match=r"^Family 'mine': phases\(\) is a list of nothing, not a function"):
        PluginFunction("family 'mine'", "phases()", [], Author())()
