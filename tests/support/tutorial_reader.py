"""Somebody who has the documentation and what an index of packages offers, and follows the tutorials at a terminal.

The commands are read from the pages, and typed one after the other in an empty folder. What the index offers are the
wheels that are given. `benchmarks/newcomer.py` times this, and `tests/release/test_tutorials.py` checks it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from page_steps import Step, follow

ROOT = Path(__file__).parents[2]
ADDRESS = "https://example.org/genbench"  # of a repository, in links of the wheels' descriptions
INSTALLED = ("genbench", "genbench-orl-faces")  # what the tutorials install
PAGES = ("first-comparison", "faces", "plugins", "ci", "report")  # in the order of the documentation
_SECTIONS = {"plugins": "A plugin in ten minutes"}  # of the pages that are more than a tutorial
_LIVE = ("genbench ab ", "genbench calibrate ")  # they time the versions of a repository, for minutes

# Flags that make the trainings of a page short; the pages name them, too.
SHORT = {
    ("first-comparison", "genbench run "): "--profile smoke --images 64",
    ("faces", "genbench run --config faces-64.toml "): "--images 64 --set dcgan-vae.images=64",
    ("faces", "genbench run --config faces-128.toml "): "--images 64",
}


@dataclass(frozen=True)
class Typed:
    """A command that was typed, and what came of it."""

    page: str
    command: str
    exit_code: int
    output: str
    seconds: float
    processor_seconds: float  # of the command and of all processes that it waited for
    expected: tuple[int, ...] = (0,)

    @property
    def as_expected(self) -> bool:
        """Whether the command ended as its page says."""
        return self.exit_code in self.expected


@dataclass
class Newcomer:
    """Somebody at a terminal."""

    home: Path
    variables: Mapping[str, str]
    short: bool = True  # whether to train for seconds only
    tell: Callable[[Typed], object] = lambda typed: None
    before_installing: str = ""  # a command, for what is to be there before genbench
    typed: list[Typed] = field(default_factory=list)

    def follow(self, page: str) -> list[Typed]:
        """Save the files of a page, and type its commands, in the folder in which its tutorial starts."""
        text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
        where = self.home if page in ("first-comparison", "report") else self.home / page
        where.mkdir(exist_ok=True)
        if page == "ci":  # it speaks of a repository
            subprocess.run(["git", "init", "-q", where], check=True)
        if page not in _SECTIONS:
            for name, block in re.findall(r"(?ms)^```(?:toml|python)\n# (\S+\.\w+)\n(.*?)^```", text):
                (where / name).write_text(block, encoding="utf-8")
        done = []
        for folder, step in follow(text, where, _SECTIONS.get(page)):
            if step.command.startswith(_LIVE):
                continue
            if self.before_installing and step.command == "pip install genbench":
                done.append(self.type(page, self.before_installing, folder))
            # `compare` of one process on each side says that this does not tell a speed.
            expected = (0, 3) if step.command.startswith("genbench compare ") else (0,)
            done.append(self.type(page, self._shortened(page, step), folder, expected))
        return done

    def type(self, page: str, command: str, where: Path | None = None, expected: tuple[int, ...] = (0,)) -> Typed:
        """Type a command, in the environment of the first tutorial once there is one."""
        activate = self.home / "env" / "bin" / "activate"
        line = f'. "{activate}" && {{ {command}\n}}' if activate.exists() else command
        begin = time.perf_counter()
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as printed:
            process = subprocess.Popen(
                ["bash", "-c", line], cwd=where or self.home, env=dict(self.variables),
                stdin=subprocess.DEVNULL, stdout=printed, stderr=subprocess.STDOUT,
            )  # fmt: skip
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            seconds = time.perf_counter() - begin
            printed.seek(0)
            output = printed.read()
        processor_seconds = usage.ru_utime + usage.ru_stime
        spent = round(seconds, 2), round(processor_seconds, 2)
        done = Typed(page, command, process.returncode, output, *spent, expected)
        self.typed.append(done)
        self.tell(done)
        return done

    def guard_a_plugin(self) -> list[Typed]:
        """Guard the plugin of the tutorial by counters, then make its step slower; return what was typed."""
        folder = self.home / "plugins" / "my-gan"
        plan = re.sub(
            r"models = .*", 'models = ["my-gan"]', (self.home / "ci" / "gate.toml").read_text(encoding="utf-8")
        )
        (folder / "gate.toml").write_text(plan.partition("[gate.cells")[0], encoding="utf-8")
        done = [
            self.type("planted", command, folder)
            for command in (
                "genbench run --config gate.toml --out results/before",
                "genbench baseline update results/before --baseline baseline.json --counters-only",
                "genbench run --config gate.toml --out results/unchanged",
                "genbench check results/unchanged --baseline baseline.json",
            )
        ]
        networks = folder / "src" / "my_gan" / "networks.py"
        text = networks.read_text(encoding="utf-8")
        networks.write_text(
            text.replace("nn.Tanh()", "nn.Linear(values, values),\n        nn.Tanh()"), encoding="utf-8"
        )
        done.append(self.type("planted", "genbench run --config gate.toml --out results/after", folder))
        done.append(self.type("planted", "genbench check results/after --baseline baseline.json", folder, (1,)))
        return done

    def _shortened(self, page: str, step: Step) -> str:
        command, hash_sign, said = step.command.partition("  #")
        for (of_page, start), flags in SHORT.items() if self.short else ():
            if page == of_page and command.startswith(start):
                command = f"{command} {flags}"
        return command + hash_sign + said


def build_wheels(folder: Path, names: Iterable[str] = INSTALLED) -> None:
    """Build the wheels of genbench and of packages in plugins/ as a release does."""
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / "sources"
        copied = [sys.executable, ROOT / "scripts" / "copy_published_sources.py", copy, "--address", ADDRESS]
        subprocess.run(copied, check=True)
        for name in names:
            source = copy if name == "genbench" else copy / "plugins" / name
            build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
            subprocess.run([*build, "-w", folder, source], check=True, env={**os.environ, "PIP_NO_INDEX": "1"})


def variables(wheels: Path, folder: Path, *, offline: bool = True) -> dict[str, str]:
    """Return the environment of a shell for which an index offers these wheels.

    Offline, no other packages are installed: those of this environment are there already, but for genbench and its
    plugins. `folder` is a new one, for what this needs.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GENBENCH", "PYTEST", "COV_"))}
    for name in ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME"):
        kept.pop(name, None)
    cache, home = folder / "cache", folder / "home"
    home.mkdir(parents=True)
    found = {
        **kept,
        "HOME": str(home),
        "GENBENCH_CACHE": str(cache),
        "GENBENCH": "genbench",
        "PIP_FIND_LINKS": " ".join(filter(None, [str(wheels), os.environ.get("PIP_FIND_LINKS")])),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    if not offline:
        return found
    tools = folder / "tools"
    tools.mkdir()
    for name in ("mypy", "pytest"):
        (tools / name).write_text(f'#!/bin/sh\nexec python -m {name} "$@"\n', encoding="utf-8")
        (tools / name).chmod(0o755)
    (tools / "ruff").symlink_to(Path(sys.executable).parent / "ruff")
    return {
        **found,
        "PATH": f"{tools}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(everything_but_genbench(folder / "needed")),
        "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads it as the value of --build-isolation
    }


def everything_but_genbench(folder: Path) -> Path:
    """Make what is installed here visible to another environment, without genbench and plugins of it."""
    folder.mkdir(exist_ok=True)
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if "genbench" not in path.name and path.suffix != ".pth":
            (folder / path.name).symlink_to(path)
    return folder
