"""docs/errors.md is up to date; its links lead somewhere and its commands are understood."""

from __future__ import annotations

import runpy
import shlex
from pathlib import Path

import click
import pytest

from genbench.cli import cli
from genbench.commands.first_steps.error_codes import ErrorCode, error_codes

ROOT = Path(__file__).parents[2]
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "write_errors.py"))
PAGE = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")


def test_the_page_is_what_the_script_writes() -> None:
    assert SCRIPT["page"]() == PAGE, "run: python scripts/write_errors.py"


def test_every_code_has_an_anchor() -> None:
    assert [code.code for code in error_codes() if f"\n### {code.code}\n" not in PAGE] == []


@pytest.mark.parametrize("code", error_codes(), ids=lambda code: code.code)
def test_the_page_that_says_more_has_this_section(code: ErrorCode) -> None:
    name, _, anchor = code.page.partition("#")
    lines = (ROOT / "docs" / name).read_text(encoding="utf-8").splitlines()
    anchors = {SCRIPT["anchor_of"](line.lstrip("#").strip()) for line in lines if line.startswith("#")}
    assert not anchor or anchor in anchors


@pytest.mark.parametrize("code", error_codes(), ids=lambda code: code.code)
def test_the_flags_of_the_example_exist(code: ErrorCode) -> None:
    program, *arguments = shlex.split(code.example)
    if program != "genbench":
        assert program == "pip"
        return
    command: click.Command = cli
    context = click.Context(cli, info_name="genbench")
    while isinstance(command, click.Group):
        _, found, arguments = command.resolve_command(context, arguments)
        assert found is not None
        command = found
    if "--help" not in arguments:
        command.make_context("example", arguments)
