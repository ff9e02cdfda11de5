"""What CI systems read: the action, the workflows and the examples follow published schemas, and run what exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from genbench.cli import cli

ROOT = Path(__file__).parents[1]
FILES = [
    ("vendor.github-actions", ROOT / "action.yml"),
    *(("vendor.github-workflows", path) for path in sorted((ROOT / ".github" / "workflows").glob("*.yml"))),
    ("vendor.gitlab-ci", ROOT / "docs" / "examples" / "gitlab-ci.yml"),
]


@pytest.mark.parametrize(("schema", "path"), FILES, ids=lambda value: getattr(value, "name", value))
def test_the_file_follows_the_published_schema(schema: str, path: Path) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def scripts(path: Path) -> list[str]:
    found = []

    def walk(node: object) -> None:
        if isinstance(node, dict):
            found.extend(value for key, value in node.items() if key == "run" and isinstance(value, str))
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(YAML(typ="safe").load(path.read_text()))
    return found


@pytest.mark.parametrize("path", [path for _, path in FILES[:-1]], ids=lambda path: path.name)
def test_nothing_of_a_pull_request_is_written_into_a_shell(path: Path) -> None:
    assert scripts(path)
    for script in scripts(path):
        assert "${{" not in script, script  # only through the environment


def test_the_actions_shell_is_well_formed() -> None:
    for script in scripts(ROOT / "action.yml"):
        done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def commands(text: str) -> list[list[str]]:
    joined = text.replace("\\\n", " ")
    lines = re.findall(r"^\s*(?:- run: |- |)(genbench (?!run: )[a-z].*)$", joined, re.MULTILINE)
    return [re.sub(r'"[^"]*"', "X", line.split(" || ")[0]).split()[1:] for line in lines]


@pytest.mark.parametrize(
    "path",
    [ROOT / "docs" / "ci.md", ROOT / ".github" / "workflows" / "ci.yml", ROOT / "docs" / "examples" / "gitlab-ci.yml"],
    ids=lambda path: path.name,
)
def test_every_command_is_one_that_genbench_takes(path: Path) -> None:
    found = commands(path.read_text())
    assert found
    for words in found:
        context = cli.make_context("genbench", list(words))
        name, command, rest = cli.resolve_command(context, list(words))
        while hasattr(command, "resolve_command"):
            name, command, rest = command.resolve_command(context, list(rest))
        assert command is not None
        command.make_context(name, list(rest))  # raises for an unknown flag
