"""A new package passes linting, type checking and its own tests before its author has changed a line."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import forks
import pytest
from plugin_packages import environment

from genbench.api.hookspecs import API_VERSION
from genbench.errors import UsageError
from genbench.plugins.loader import Kind
from genbench.scaffold.project import FAMILIES, FAMILY_KINDS, KINDS, Project

ROOT = Path(__file__).parents[2]
PROJECTS = [
    Project(f"new-{kind}-{family}" if kind in FAMILY_KINDS else f"new-{kind}", kind, family)  # type: ignore[arg-type]
    for kind in KINDS
    for family in FAMILIES
    if kind in FAMILY_KINDS or family == FAMILIES[0]
]
REGISTERS: dict[str, list[Kind]] = {
    "model": ["models"],
    "loss": ["losses"],
    "dataset": ["datasets"],
    "metric": ["metrics"],
    "family": ["families", "models", "losses"],
    "executor": ["executors"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("projects")
    for project in PROJECTS:
        project.write(folder / project.name)
    return folder


@pytest.fixture(scope="module")
def site(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install all packages with pip, as wheels."""
    site = tmp_path_factory.mktemp("site")
    quiet = ["--quiet", "--disable-pip-version-check", "--no-index", "--no-deps", "--no-build-isolation"]
    command = [sys.executable, "-m", "pip", "install", *quiet, "--target", str(site)]
    done = subprocess.run([*command, *(str(folder / p.name) for p in PROJECTS)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return site


def run_tests(where: Path, *arguments: str, site: Path) -> str:
    command = ("-q", "-p", "no:cacheprovider", *arguments)
    process = forks.start(command, environment(site), where, program="pytest")
    out, err = process.communicate(timeout=1200)
    assert process.returncode == 0, out + err
    return out


def run(*command: str, cwd: Path, env: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: project.name)
def test_a_package_has_metadata_a_module_tests_a_readme_and_a_workflow(project: Project) -> None:
    files = project.files()
    assert {"README.md", ".gitignore", ".github/workflows/test.yml", f"tests/test_{project.module}.py"} <= files.keys()
    metadata = tomllib.loads(files["pyproject.toml"])
    assert metadata["project"]["name"] == project.name
    assert metadata["project"]["entry-points"]["genbench"] == {project.name: project.module}
    assert "genbench" in metadata["project"]["dependencies"]
    assert f'requires_api = "{API_VERSION}"' in files[f"src/{project.module}/__init__.py"]
    assert "LICENSE" in files["README.md"] and not any(
        "LICENSE" in path for path in files
    )  # the author chooses the licence
    for path, text in files.items():
        assert not re.search(r"@[A-Z]+@", text), path
        assert len(text.splitlines()) < 85, path
        if path.endswith(".py"):
            ast.parse(text)


@pytest.mark.parametrize("name", ["v", "my-variant", "my_variant", "x2-3d", "a" * 40])
def test_names_that_are_valid_for_distributions_and_modules(name: str) -> None:
    assert Project(name).module.isidentifier()


INVALID = ["", "My-Variant", "2d-gan", "-x", "x-", "x_", "a b", "a.b", "../x", "a/b", "é", "a" * 41, "x\n"]
INVALID += ["x;rm", "$(x)", "x'", 'x"', "json", "class", "torch", "genbench"]


@pytest.mark.parametrize("name", INVALID)
def test_invalid_names_are_rejected(name: str) -> None:
    with pytest.raises(UsageError):
        Project(name)


def test_the_suggested_name_is_valid() -> None:
    with pytest.raises(UsageError, match="Did you mean 'my-variant'"):
        Project("My Variant!")


def test_an_existing_path_is_not_changed(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "file").write_text("mine")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("there", "file", "dangling"):
        with pytest.raises(UsageError, match="exists"):
            Project("my-variant").write(tmp_path / name)
    assert not [*(tmp_path / "there").iterdir()] and (tmp_path / "file").read_text() == "mine"
    with pytest.raises(UsageError, match="cannot be written"):
        Project("my-variant").write(tmp_path / "file" / "below")


def test_new_packages_pass_ruff_for_names_of_any_length(folder: Path, tmp_path: Path) -> None:
    for length in (1, 40):
        for project in PROJECTS:
            longer = Project("q" * length, project.kind, project.family)
            longer.write(tmp_path / str(length) / project.name)
    for where in (folder, tmp_path):
        run(sys.executable, "-m", "ruff", "check", "--no-cache", ".", cwd=where, env={**os.environ})
        run(sys.executable, "-m", "ruff", "format", "--no-cache", "--check", ".", cwd=where, env={**os.environ})


@pytest.mark.slow
def test_installed_packages_are_listed_without_importing_torch(site: Path, tmp_path: Path) -> None:
    env = environment(site)
    listed = json.loads(run(sys.executable, "-m", "genbench", "list", "--json", cwd=tmp_path, env=env))
    for project in PROJECTS:
        for kind in REGISTERS[project.kind]:
            (found,) = (spec for spec in listed[kind] if spec["name"] == project.name)
            assert found["plugin"] == {"name": project.name, "distribution": project.name, "version": "0.1.0"}
    imports = "; ".join(f"import {project.module}" for project in PROJECTS)
    run(sys.executable, "-c", f"{imports}; import sys; assert 'torch' not in sys.modules", cwd=tmp_path, env=env)


@pytest.mark.slow
def test_the_tests_of_a_new_model_pass(folder: Path, site: Path) -> None:
    project = PROJECTS[0]
    assert re.search(r"\d\d passed", run_tests(folder / project.name, ".", site=site))


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_tests_of_the_other_packages_pass(folder: Path, site: Path) -> None:
    others = [project.name for project in PROJECTS[1:]]
    assert re.search(r"\d\d passed", run_tests(folder, "--import-mode=importlib", *others, site=site))


@pytest.mark.slow
def test_new_packages_pass_the_strictest_mypy(folder: Path) -> None:
    env = {**os.environ, "MYPYPATH": str(ROOT)}
    sources = [
        str(path) for project in PROJECTS for path in (folder / project.name / "src", folder / project.name / "tests")
    ]
    cache = ["--cache-dir", str(ROOT / ".mypy_cache" / "plugins")]
    assert "no issues" in run(sys.executable, "-m", "mypy", "--strict", *cache, *sources, cwd=folder, env=env)
