"""Every command of docs/plugins.md, typed as it stands there, in an environment such as a reader has.

That environment is a virtual one with genbench and all that it needs; pip finds no index and installs no dependencies
in it. Its `genbench` and `pytest` run in forks of a process that has imported torch. The commands of a section are
typed in order, in the folder in which the page's files lie; two sections are tried at a time, and a command that stands
in two of them is typed once.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import forks
import pytest
from page_steps import apply, steps

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
WALK = "A plugin in ten minutes"


@dataclass(frozen=True)
class Reader:
    """Somebody at a terminal."""

    home: Path
    environment: Path
    variables: dict[str, str]
    typed: dict[tuple[Path, str], Future[str]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def follow(self, section: str) -> dict[str, str]:
        """Do what a section says; return what each command printed."""
        where, said = self.home, {}
        for step in steps(PAGE):
            if step.section != section:
                continue
            if step.diff:
                apply(step.diff, where)
            elif step.command.startswith("cd "):
                where = where / step.command.removeprefix("cd ")
            else:
                said[step.command] = self.type_once(where, step.command)
        return said

    def type_once(self, where: Path, command: str) -> str:
        """Return what the command prints, typing it unless it has been."""
        with self.lock:
            mine = (where, command) not in self.typed
            printed = self.typed.setdefault((where, command), Future())
        if mine:
            try:
                printed.set_result(self.type(where, command))
            except BaseException as error:
                printed.set_exception(error)
        return printed.result()

    def type(self, where: Path, command: str) -> str:
        program, *arguments = shlex.split(command)
        if program in ("genbench", "pytest"):
            started = forks.start(arguments, self.variables, where, program=program, prefix=self.environment)
            out, err = started.communicate(timeout=900)
            assert started.returncode == 0, f"{command}\n{out}\n{err}"
            return out
        bash = ["bash", "-c", command]
        done = subprocess.run(bash, cwd=where, env=self.variables, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    home = tmp_path_factory.mktemp("home")
    for block in re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL):
        named = re.match(r"# ((?:my|test_my)_\w+\.py)\n", block)
        if named:
            (home / named[1]).write_text(block, encoding="utf-8")
    (home / "docs").symlink_to(ROOT / "docs")  # some commands name files of a clone
    needed = _everything_but_genbench(tmp_path_factory.mktemp("needed"))
    environment = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    (installed,) = environment.glob("lib/python*/site-packages")
    (installed / "genbench.pth").write_text(f"{ROOT}\n", encoding="utf-8")
    for name in ("pip", "mypy"):
        script = environment / "bin" / name
        script.write_text(f'#!/bin/sh\nexec "{environment}/bin/python" -m {name} "$@"\n', encoding="utf-8")
        script.chmod(0o755)
    (environment / "bin" / "ruff").symlink_to(Path(sys.executable).parent / "ruff")
    variables = {
        **os.environ,
        "PATH": f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(needed),
        "MYPYPATH": str(ROOT),
        "MYPY_CACHE_DIR": str(ROOT / ".mypy_cache" / "plugins"),
        "OMP_NUM_THREADS": "1",
        "GENBENCH": str(_copy_of_checkout(tmp_path_factory.mktemp("checkout"))),
        "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads it as the value of --build-isolation
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    return Reader(home, environment, variables)


def _everything_but_genbench(folder: Path) -> Path:
    """Make what is installed here visible to another environment, without genbench and plugins of it."""
    found = importlib.util.find_spec("torch")
    assert found is not None and found.origin is not None
    for path in Path(found.origin).parents[1].iterdir():
        if "genbench" not in path.name and path.suffix != ".pth":
            (folder / path.name).symlink_to(path)
    return folder


def _copy_of_checkout(folder: Path) -> Path:
    """Copy what pip builds genbench from, so that nothing is built in the checkout."""
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "genbench", folder / "genbench", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def test_the_commands_of_the_page_are_found() -> None:
    found = list(steps(PAGE))
    commands = [step.command for step in found if step.section == WALK and step.command]
    assert commands[0] == "genbench plugin new my-gan"
    assert [command.split()[0] for command in commands].count("pip") == 2
    assert sum(bool(step.diff) for step in found) == 1
    assert set(re.findall(r"^    (?:genbench|pip|pytest|python|ruff|clean).*$", PAGE, re.MULTILINE)) <= {
        f"    {step.command}" for step in found
    }


@pytest.fixture(scope="module")
def followed(reader: Reader, request: pytest.FixtureRequest) -> Iterator[dict[str, Future[dict[str, str]]]]:
    """What the sections say that are asked for, two being followed at a time, the longest first."""
    asked = [item.callspec.params["section"] for item in request.session.items if _is_of_a_section(item)]
    with ThreadPoolExecutor(2) as pool:
        yield {section: pool.submit(reader.follow, section) for section in asked}


def _is_of_a_section(item: pytest.Item) -> bool:
    return item.path == Path(__file__) and "section" in getattr(getattr(item, "callspec", None), "params", {})


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("section", [WALK])
def test_the_walk_from_a_new_package_to_a_wheel_in_a_clean_environment(
    followed: dict[str, Future[dict[str, str]]], section: str
) -> None:
    said = followed[section].result()
    assert "[my-gan 0.1.0]" in said["clean/bin/genbench list models"]
    # 100·128 + 128, 128·256 + 256 and 256·784 + 784: the generator with the layer that was put in.
    assert "generator 247,440" in said["clean/bin/genbench plugin show my-gan"]
    (table,) = (text for command, text in said.items() if command.startswith("genbench run"))
    assert {"my-gan", "gan"} <= set(table.split())


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("section", [name for name in dict.fromkeys(s.section for s in steps(PAGE)) if name != WALK])
def test_the_commands_of_the_other_sections(followed: dict[str, Future[dict[str, str]]], section: str) -> None:
    assert followed[section].result()
