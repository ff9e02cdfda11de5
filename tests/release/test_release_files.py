"""What a release consists of names the same version, dependencies and files as pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import genbench

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGES = sorted(path.parent for path in (ROOT / "plugins").glob("*/pyproject.toml"))
CONDA_NAMES = {"torch": "pytorch"}
LICENCE = (ROOT / "LICENSE").read_text()


def load(path: Path) -> Any:
    from ruamel.yaml import YAML  # comes with check-jsonschema

    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


def test_every_file_names_the_same_version() -> None:
    assert PROJECT["version"] == genbench.__version__
    assert str(load(ROOT / "CITATION.cff")["version"]) == genbench.__version__
    assert load(ROOT / "packaging" / "conda" / "recipe.yaml")["context"]["version"] == genbench.__version__
    assert re.search(rf"^## {re.escape(genbench.__version__)}\b", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


def test_the_conda_recipe_has_the_same_dependencies() -> None:
    recipe = load(ROOT / "packaging" / "conda" / "recipe.yaml")
    listed = {line.replace(" ", "") for line in recipe["requirements"]["run"]}
    expected = set()
    for requirement in PROJECT["dependencies"]:
        name, least = requirement.split(">=") if ">=" in requirement else (requirement, "")
        expected.add(f"{CONDA_NAMES.get(name, name)}>={least}" if least else name)
    assert listed - {"python>=${{python_min}}"} == expected
    assert recipe["context"]["python_min"] == PROJECT["requires-python"].removeprefix(">=")
    assert recipe["about"]["license_file"] == PROJECT["license-files"]


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda path: path.name)
def test_a_package_can_be_published(folder: Path) -> None:
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["name"] == folder.name
    assert project["license"] == "MIT"
    assert (folder / project["readme"]).is_file()
    assert (folder / "LICENSE").read_text() == LICENCE
    assert any(re.match(r"genbench\b(?!-)", requirement) for requirement in project["dependencies"])


def test_the_container_runs_without_root_and_copies_what_the_build_needs() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert [line for line in lines if line.startswith("USER")] == ["USER 1000"]
    copied = {
        name for line in lines if line.startswith("COPY ") and "--from" not in line for name in line.split()[1:-1]
    }
    assert {PROJECT["readme"], "LICENSE", "pyproject.toml", "genbench"} <= copied
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {f"!{name}" for name in copied} <= {*ignored}


def test_templates_ask_for_the_report_of_the_machine() -> None:
    for path in (ROOT / ".github").rglob("*.md"):
        if path.name not in ("feature_request.md",):
            assert "genbench doctor --json" in path.read_text(), path.name
