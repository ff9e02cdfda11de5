"""Requests: flags and TOML files have the same settings under the same names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from genbench.api.recipe import resolve_recipe
from genbench.cli.run import command
from genbench.errors import UsageError
from genbench.planning.request import Request, make_request, parse_setting, parse_value, read_config

PLAN = """
models = ["dcgan", "vae"]
datasets = "fashion-mnist"
seeds = [0, 1]
batch-size = 16
learning_rate = 1
precision = "bf16"
timeout = 60.5
threads = 2

[set.dcgan]
width = 32
latent-dim = 64
[set.elbo]
beta = 4
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "plan.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_and_flags_make_the_same_request(tmp_path: Path) -> None:
    from_file = make_request(read_config(write(tmp_path, PLAN)))
    flags = {"models": "dcgan, vae", "datasets": "fashion-mnist", "seeds": "0,1", "batch_size": 16}
    flags |= {"learning_rate": 1.0, "precision": "bf16", "timeout": 60.5, "threads": 2}
    assert make_request(flags, ["dcgan.width=32", "dcgan.latent-dim=64", "elbo.beta=4"]) == from_file
    assert from_file.recipe == {"batch_size": 16, "learning_rate": 1.0}
    assert from_file.precision == ("bf16",)
    assert from_file.set == {"dcgan": {"width": 32, "latent_dim": 64}, "elbo": {"beta": 4}}


def test_every_key_of_a_file_has_a_flag_of_the_same_name() -> None:
    flags = {option for parameter in command.params for option in parameter.opts}
    keys = [*Request.__dataclass_fields__, "batch_size", "precision"]
    missing = {f"--{key.replace('_', '-')}" for key in keys if key not in ("recipe", "sweep")} - flags
    assert missing == {"--plugins", "--variants"}  # --plugin takes one file at a time; tables cannot be flags


def test_what_is_not_given_keeps_its_default() -> None:
    assert make_request({"models": None, "batch_size": None}) == Request()


def test_settings_of_the_command_line_override_the_file(tmp_path: Path) -> None:
    request = make_request(read_config(write(tmp_path, PLAN)), ["dcgan.width=16", "vae.hidden=8"])
    assert request.set["dcgan"] == {"width": 16, "latent_dim": 64}
    assert request.set["vae"] == {"hidden": 8}


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("modles = ['gan']", "unknown key 'modles'. Did you mean 'models'?"),
        ("batchsize = 3", "unknown key 'batchsize'. Did you mean 'batch_size'?"),
        ("models = ['gan'\nseeds = 3", "is not valid TOML: .*line 2"),
        ("models = []", "models is empty"),
        ("models = ' , '", "models is empty"),
        ("datasets = ''", "datasets is empty"),
        ("models = 3", "models must be a list of names, not 3"),
        ("models = [1]", "models must be a list of names"),
        ("device = 0", "device must be text, not 0"),
        ("batch_size = '8'", "recipe.batch_size = '8' is not of type int"),
        ("batch_size = 0", "recipe.batch_size = 0 is out of range"),
        ("precision = 'fp16'", "not one of fp32, tf32, bf16"),
        ("set = 3", "'set' must contain one table per name"),
        ("[set]\nwidth = 3", "'set' must contain one table per name"),
        ("seeds = [0, -1]", "seeds = .* is not valid"),
        ("seeds = []", "seeds = .* is not valid"),
        ("seeds = [0.5]", "seeds = .* is not valid"),
        ("seeds = [true]", "seeds = .* is not valid"),
        ("seeds = 2147483648", "seeds = .* is not valid"),
        ("seeds = 'zero'", "seeds = .* is not valid"),
        ("timeout = -1", "timeout = -1 is not a non-negative number"),
        ("timeout = nan", "timeout = nan is not a non-negative number"),
        ("memory_limit = true", "memory_limit = True is not a non-negative number"),
        ("threads = 0", "threads = 0 is not a positive integer"),
        ("threads = 1.5", "threads = 1.5 is not a positive integer"),
    ],
)
def test_an_invalid_file_is_rejected_with_the_cause(tmp_path: Path, text: str, cause: str) -> None:
    with pytest.raises(UsageError, match=cause):
        make_request(read_config(write(tmp_path, text)))


def test_a_file_that_is_missing_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Cannot read .*No such file"):
        read_config(tmp_path / "nothing.toml")
    (tmp_path / "image.toml").write_bytes(b"\x89PNG\xff")
    with pytest.raises(UsageError, match="not valid TOML"):
        read_config(tmp_path / "image.toml")


def test_an_unknown_field_from_a_notebook_gets_a_suggestion() -> None:
    with pytest.raises(UsageError, match=r"Unknown key 'seed'\. Did you mean 'seeds'"):
        make_request({"seed": 1})


@pytest.mark.parametrize(
    ("seeds", "read"), [(3, (3,)), ("3", (3,)), ("2,0,2", (2, 0)), ([1, 1], (1,)), ("0, 1", (0, 1))]
)
def test_seeds_keep_their_order_and_never_repeat(seeds: Any, read: tuple[int, ...]) -> None:
    assert make_request({"seeds": seeds}).seeds == read


def test_metrics_none_is_not_the_default() -> None:
    assert make_request({}).metrics is None
    assert make_request({"metrics": "none"}).metrics == make_request({"metrics": ""}).metrics == ()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("64", 64), ("1e-4", 1e-4), ("-0.5", -0.5), ("true", True), ("[1, 2]", [1, 2]), ('"64"', "64"),
        ("hinge", "hinge"), ("True", "True"), ("a b", "a b"), (" 3 ", 3), ("", ""), ("a=b", "a=b"),
        ("{a = 1}", "{a = 1}"), ("2024-01-01", "2024-01-01"), ("1\nx = 2", "1\nx = 2"),
    ],
)  # fmt: skip
def test_values_are_parsed_as_toml_or_else_as_text(text: str, value: object) -> None:
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


@pytest.mark.parametrize(
    "text", ["[" * 50_000, "[" * 50_000 + "]" * 50_000, "9" * 5000, "0001-13-45", "1e", "{a=" * 3000]
)
def test_a_value_that_toml_cannot_hold_is_text(text: str) -> None:
    assert parse_value(text) == text


def test_a_name_may_hold_dots_and_a_value_equals_signs() -> None:
    assert parse_setting("vae-1.5.hidden=8") == ("vae-1.5", "hidden", 8)
    assert parse_setting("folder.path=a=b.c") == ("folder", "path", "a=b.c")


@pytest.mark.parametrize("setting", ["", "width=3", "dcgan.width", "dcgan=3", ".width=3", "dcgan.=3", "=3"])
def test_a_malformed_setting_shows_how_to_write_it(setting: str) -> None:
    with pytest.raises(UsageError, match="is not valid") as error:
        make_request({}, [setting])
    assert "dcgan.width=32" in error.value.cure


def test_a_renamed_value_is_rejected_in_requests_and_accepted_in_old_runs() -> None:
    for given in ({"input": "stream"}, {"variants": {"far": {"input": "stream"}}}):
        with pytest.raises(UsageError, match="Write loader"):
            make_request(given)
    assert resolve_recipe({"input": "stream"}).input == "loader"
