"""Every command has public, documented Python functions, and each of its flags is an argument of one of them."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import pytest

import genbench
from genbench.api.recipe import RECIPE_SCHEMA
from genbench.cli import COMMANDS
from genbench.commands.checks.images import ImageCheck
from genbench.commands.comparisons.history import History
from genbench.commands.comparisons.judgement import Judgement
from genbench.commands.plugins.installed import Catalogue, InstalledPlugins

PAGE = (Path(__file__).parents[2] / "docs" / "python.md").read_text(encoding="utf-8")
RETURNED = {kind.__name__: kind for kind in (Catalogue, History, ImageCheck, InstalledPlugins, Judgement)}
RECIPE = {option.name for option in RECIPE_SCHEMA}
ALWAYS = {"json": "to_json() of what is returned", "quiet": "progress=False"}


@dataclass(frozen=True)
class Counterpart:
    """What does in Python what a command does; `otherwise` says how a flag that is no argument is given."""

    functions: tuple[str, ...]  # of the module genbench, and methods of what these return
    otherwise: dict[str, str] = field(default_factory=dict)


def same(*functions: str, **otherwise: str) -> Counterpart:
    return Counterpart(functions, otherwise)


COUNTERPARTS = {
    "run": same("run", "resume", "plan", resume="a function of its own", dry_run="the function plan"),
    "init": same("new_plan"),
    "tune": same("tune", "plan_tuning", dry_run="the function plan_tuning"),
    "list": same("catalogue", "Catalogue.text"),
    "show": same("load", "Results.details"),
    "sample": same("sample"),
    "measure": same("measure_run"),
    "fid": same(
        "distance", "explain_distance", "save_image_statistics",
        explain="a function of its own", save_stats="a function of its own", figure="Explanation.figure().save(FILE)",
    ),
    "table": same(
        "load", "Results.table", "Results.where", "ComparisonTable.text",
        where="a method of its own", target="targets=", no_references="references=False", wide="width=None",
    ),
    "figure": same(
        "load", "Results.figure", "Results.where", "certificate_figure", where="a method of its own",
        out="Figure.save(FILE)",
    ),
    "report": same("load", "Results.rewrite_report", "Results.report", out="Results.report(FILE)"),
    "archive": same("archive", no_pictures="pictures=False"),
    "board": same("board", "check_runs", check="a function of its own"),
    "ab": same("compare_versions"),
    "compare": same(
        "compare", "load", "Results.compare", "Results.compare_over_datasets", "Judgement.text",
        over_datasets="a method of its own", summary="Judgement.summary()", junit="Judgement.junit()",
    ),
    "power": same("load", "Results.power"),
    "check": same(
        "load", "Results.check", "Judgement.text", summary="Judgement.summary()", junit="Judgement.junit()"
    ),
    "baseline update": same("load", "Results.update_baseline"),
    "calibrate": same("calibrate"),
    "history": same("load", "Results.history", "History.text", "History.figure", out="History.figure().save(FILE)"),
    "data check": same("check_images", "ImageCheck.passed"),
    "metrics certify": same("certify_extractor", out="ExtractorCertificate.figure().save(FILE)"),
    "metrics accept": same("accept_extractor"),
    "plugin new": same("new_plugin"),
    "plugin test": same("check_plugin"),
    "plugin show": same("describe_plugin"),
    "plugin list": same("installed_plugins", "InstalledPlugins.text"),
    "doctor": same("check_machine"),
    "explain": same("explain"),
    "env": same("describe_machine"),
    "schema": same("json_schema"),
}  # fmt: skip


def commands() -> Iterator[tuple[str, click.Command]]:
    for name in COMMANDS:
        command = importlib.import_module(f"genbench.cli.{name}").command
        if isinstance(command, click.Group):
            yield from ((f"{name} {part}", one) for part, one in command.commands.items())
        else:
            yield name, command


def function_of(name: str) -> Callable[..., Any]:
    owner, dot, method = name.partition(".")
    kind = RETURNED.get(owner) or getattr(genbench, owner)
    found: Callable[..., Any] = getattr(kind, method) if dot else kind
    return found


def test_every_command_has_a_counterpart() -> None:
    assert [name for name, _ in commands()] == [*COUNTERPARTS] or {name for name, _ in commands()} == {*COUNTERPARTS}


@pytest.mark.parametrize("name", COUNTERPARTS)
def test_the_functions_are_public_and_documented(name: str) -> None:
    for text in COUNTERPARTS[name].functions:
        owner, dot, method = text.partition(".")
        assert owner in genbench.__all__ or owner in RETURNED
        found = function_of(text)
        assert inspect.getdoc(found)
        assert "return" in inspect.get_annotations(found), f"{text} has no types"
        assert (f".{method}(" if dot else f"`genbench.{text}(") in PAGE, f"docs/python.md does not name {text}"


@pytest.mark.parametrize(("name", "command"), [*commands()], ids=[name for name, _ in commands()])
def test_every_flag_is_an_argument(name: str, command: click.Command) -> None:
    counterpart = COUNTERPARTS[name]
    parameters = [inspect.signature(function_of(text)).parameters for text in counterpart.functions]
    arguments = {argument for each in parameters for argument in each}
    if any(one.kind is inspect.Parameter.VAR_KEYWORD for each in parameters for one in each.values()):
        arguments |= RECIPE
    flags = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    excused = {**ALWAYS, **counterpart.otherwise}
    for flag in flags:
        names = {option.lstrip("-").replace("-", "_") for option in flag.opts} | {str(flag.name)}
        if not names & arguments:
            assert names & excused.keys(), f"{flag.opts[-1]} of `genbench {name}` is no argument"
    given = {option.lstrip("-").replace("-", "_") for flag in flags for option in flag.opts}
    assert counterpart.otherwise.keys() <= given, "an exception for a flag that does not exist"
