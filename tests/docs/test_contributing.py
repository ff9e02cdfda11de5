"""The first change of CONTRIBUTING.md, made in a copy of the repository."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from page_steps import apply, edited_path, steps

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
RECIPES = (ROOT / "justfile").read_text(encoding="utf-8")
CHANGE = [step for step in steps(PAGE) if step.section == "A first change: a built-in loss"]
EDITED = {edited_path(step.diff) for step in CHANGE if step.diff}


def copy_repository(folder: Path) -> Path:
    """Copy the files that git knows, or would know after `git add`, except stored results."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", ".", ":!results/reference"]
    files = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in filter(None, files):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    for cache in (Path("3.11"), Path("benchmarks")):  # what mypy knows about torch holds for the copy too
        if (ROOT / ".mypy_cache" / cache).is_dir():
            shutil.copytree(ROOT / ".mypy_cache" / cache, folder / ".mypy_cache" / cache)
    return folder


def type_command(command: str, repository: Path, scripts: Path) -> str:
    """Run a command as a contributor would, with the genbench of this copy; return what it printed."""
    variables = {
        **os.environ,
        "PATH": os.pathsep.join([str(scripts), str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": str(repository),
        "OMP_NUM_THREADS": "1",
        "PYTEST_ADDOPTS": "-n 0",  # these tests already run in one of two processes
    }
    done = subprocess.run(
        ["bash", "-c", command], cwd=repository, env=variables, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of the repository with the change."""
    copy = copy_repository(tmp_path / "genbench")
    for step in CHANGE:
        if step.diff:
            apply(step.diff, copy)
    return copy


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """A folder with the `genbench` and `pytest` of this environment, which find the copy first."""
    folder = tmp_path / "scripts"
    folder.mkdir()
    for name in ("genbench", "pytest"):
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m {name} "$@"\n', encoding="utf-8")
        script.chmod(0o755)
    return folder


def test_the_first_change_touches_code_test_documentation_and_changelog(repository: Path, scripts: Path) -> None:
    assert {path.partition("/")[0] for path in EDITED} == {"genbench", "tests", "docs", "CHANGELOG.md"}
    assert all((repository / path).read_text() != (ROOT / path).read_text() for path in EDITED)
    sources = shlex.join(sorted(path for path in EDITED if path.endswith(".py")))
    type_command(f"ruff check {sources} && ruff format --check {sources}", repository, scripts)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_the_commands_of_the_first_change(repository: Path, scripts: Path) -> None:
    if shutil.which("just", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])) is None:
        pytest.fail('just is missing: pip install -c constraints.txt -e ".[dev]"', pytrace=False)
    printed = {step.command: type_command(step.command, repository, scripts) for step in CHANGE if step.command}
    assert [command.split()[0] for command in printed] == ["genbench", "genbench", "just", "just"]
    assert "total-variation" in printed["genbench list losses"]
    (table,) = (text for command, text in printed.items() if command.startswith("genbench run"))
    row = next(line for line in table.splitlines() if "total-variation" in line)
    assert re.search(r"\bok\b", row)
    (tested,) = (text for command, text in printed.items() if command.startswith("just test"))
    assert re.search(r"\b\d{2,} passed\b", tested)


def test_the_page_lists_the_recipes_of_the_justfile() -> None:
    defined = re.findall(r"^([a-z][\w-]*)(?: \*\w+| \w+=\"\d+\")?:(?!=)", RECIPES, flags=re.MULTILINE)
    assert re.findall(r"^\| `just ([\w-]+)` \|", PAGE, flags=re.MULTILINE) == [n for n in defined if n != "default"]


def test_the_setup_is_that_of_the_justfile() -> None:
    (install,) = (step.command for step in steps(PAGE) if step.command.startswith("pip install"))
    arguments = install.removeprefix("pip install ")
    assert f"\nsetup:\n    {{{{installer}}}} {arguments}\n" in RECIPES


def test_the_hooks_run_the_tools_of_the_justfile() -> None:
    hooks = re.findall(
        r"^ +entry: ([\w ]+?)(?: --force-exclude)?$", (ROOT / ".pre-commit-config.yaml").read_text(), re.M
    )
    assert hooks == ["ruff check", "ruff format", "codespell", "mypy"]
    assert all(re.search(rf"^    {hook}\b", RECIPES, flags=re.MULTILINE) for hook in hooks)
