"""Every command of docs/plugins.md, typed as it stands there; those of the tutorial are in tests/release.

`genbench` and `pytest` run in forks of a process that has imported torch. The commands of a section are typed in order,
in the folder in which the page's files lie; two sections are tried at a time, and a command that stands in two of them
is typed once.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import forks
import pytest
from page_steps import follow, steps

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
WALK = "A plugin in ten minutes"


@dataclass(frozen=True)
class Reader:
    """Somebody at a terminal."""

    home: Path
    variables: dict[str, str]
    typed: dict[tuple[Path, str], Future[str]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def follow(self, section: str) -> dict[str, str]:
        """Do what a section says; return what each command printed."""
        return {step.command: self.type_once(where, step.command) for where, step in follow(PAGE, self.home, section)}

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
            started = forks.start(arguments, self.variables, where, program=program)
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
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return Reader(home, environment)


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
@pytest.mark.parametrize("section", [name for name in dict.fromkeys(s.section for s in steps(PAGE)) if name != WALK])
def test_the_commands_of_the_other_sections(followed: dict[str, Future[dict[str, str]]], section: str) -> None:
    assert followed[section].result()
