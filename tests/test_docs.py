"""The documentation says what the code does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from genbench.errors import ExitCode
from genbench.plan.catalogue import discover
from genbench.plan.profiles import PROFILES
from genbench.plan.request import make_request, read_config
from genbench.plugins import SPEC_TYPES
from genbench.results.schema import STATUSES

ROOT = Path(__file__).parents[1]
DOCS = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")}
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


@pytest.mark.parametrize("kind", list(SPEC_TYPES))
def test_every_hook_and_its_spec_are_documented(kind: str) -> None:
    assert f"`genbench_{kind}`" in DOCS["plugins"]
    assert f"`{SPEC_TYPES[kind].__name__}`" in DOCS["plugins"]  # type: ignore[index]


def test_every_status_and_exit_code_is_documented() -> None:
    assert all(f"| `{status}` |" in DOCS["running"] for status in STATUSES)
    assert all(f"| {int(code)} |" in DOCS["running"] for code in ExitCode)


def test_every_metric_is_documented_with_its_direction() -> None:
    catalogue = discover()
    for name, entry in catalogue.metrics.items():
        if entry.plugin.origin == "builtin":
            assert f"| `{name}` | {entry.spec.direction} |" in DOCS["metrics"]


def test_the_table_of_profiles_is_that_of_the_code() -> None:
    for name, profile in PROFILES.items():
        (row,) = (line for line in DOCS["running"].splitlines() if line.startswith(f"| `{name}` |"))
        assert f"{profile.recipe['images']:,} images" in row
        assert f"{profile.recipe['samples']:,}" in row
        assert str(profile.recipe.get("batch_size", "the model's")) in row


def test_the_example_plan_can_be_planned_from(tmp_path: Path) -> None:
    (example,) = blocks(DOCS["running"], "toml")
    plan = tmp_path / "plan.toml"
    plan.write_text(example, encoding="utf-8")
    request = make_request(read_config(plan))
    assert request.models == ("dcgan", "vae")
    assert request.set["dcgan"] == {"width": 32}


def test_the_example_plugin_runs_beside_a_built_in_model(tmp_path: Path) -> None:
    plugin = tmp_path / "my_variant.py"
    plugin.write_text(blocks(DOCS["plugins"], "python")[0], encoding="utf-8")
    assert f"genbench run --plugin {plugin.name} --models my-variant,gan --profile smoke" in DOCS["plugins"]
    command = ["run", "--plugin", str(plugin), "--models", "my-variant,gan", "--profile", "smoke", "--json", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-m", "genbench", *command, "--set", "gan.width=8", "--out", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    cells = [json.loads(path.read_text()) for path in (tmp_path / "run" / "cells").glob("*.json")]
    assert sorted((cell["identity"]["model"]["name"], cell["status"]) for cell in cells) == [
        ("gan", "ok"),
        ("my-variant", "ok"),
    ]


def test_the_readme_gives_the_two_commands_and_ci_runs_the_second() -> None:
    test_command = 'pip install -c constraints.txt -e ".[test]" && pytest'
    assert "pip install -c constraints.txt -e . && genbench run\n" in README
    assert test_command in README
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    install, run = test_command.split(" && ")
    assert install.removeprefix("pip install ") in script
    assert re.search(rf"^{run}\b", script, flags=re.MULTILINE)


def test_links_between_documents_lead_somewhere() -> None:
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_every_dependency_is_pinned_in_the_constraints() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    names = {re.split(r"[<>=\[]", requirement)[0].lower() for requirement in wanted}
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").lower().splitlines()
    pinned = {line.split("==")[0] for line in lines if "==" in line}
    assert names <= pinned
    assert not [line for line in lines if "://" in line or "@" in line]  # names and versions only
