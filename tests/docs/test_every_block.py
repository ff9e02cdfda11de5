"""Every block of shell commands or Python in docs/ and README.md is run by a test, or its source says why not.

This file types the commands of most pages, with small budgets and on a processor; `ELSEWHERE` names the tests of the
others. A mark is a comment before the block: `<!-- not run: why -->`.
"""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
import warm
from command_line import TINY
from page_steps import Block, blocks
from PIL import Image

ROOT = Path(__file__).parents[2]
PAGES = {
    path.stem: path for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "docs").glob("adr/*.md")]
}
TYPED = (
    *("first-comparison", "commands", "board", "data", "hooks", "metrics"),
    *("porting", "report", "running", "sampling", "tuning"),
)
HERE = "tests/docs"
ELSEWHERE = {  # page -> what its blocks begin with, and the test that runs them
    "README": ((r"import genbench", f"{HERE}/test_python_page.py"),),
    "ci": ((r"", f"{HERE}/test_ci_page.py"),),
    "cluster": (
        (r".*--executor ray|genbench run --resume", "plugins/genbench-ray/tests/test_ray_ways.py"),
        (r".*--executor slurm", "plugins/genbench-slurm/tests/test_slurm_page.py"),
    ),
    "figures": ((r"genbench figure", f"{HERE}/test_figures_page.py"),),
    "hooks": ((r"import|from|\"\"\"|genbench plugin test", f"{HERE}/test_hooks_page.py"),),
    "metrics": ((r"genbench fid photos generated --(explain|protocol)", f"{HERE}/test_metrics_page.py"),),
    "plugins": ((r"", f"{HERE}/test_commands.py"),),
    "porting": ((r"(?!genbench)", f"{HERE}/test_porting.py"),),
    "python": ((r"", f"{HERE}/test_python_page.py"),),
    "results": ((r"", f"{HERE}/test_results_page.py"),),
    "statistics": ((r"genbench (compare|table|power)", f"{HERE}/test_statistics_page.py"),),
}
# Exit codes that say something about the numbers of these small runs: regressed, inconclusive, not comparable, no data.
VERDICTS = {"compare": (0, 1, 3, 4, 5), "check": (0, 1, 3, 4), "power": (0, 5)}
NEEDS_METRICS = ("--target", "--race", "--best-metric", "--metrics", "--resume", "--dry-run")


def commands_of(block: Block) -> list[str]:
    return [line.removeprefix("$ ") for line in block.lines if not line.startswith("#")]


def runs_elsewhere(page: str, first: str) -> str:
    """Return the test that runs a block or command which begins like this, or an empty string."""
    return next((test for pattern, test in ELSEWHERE.get(page, ()) if re.match(pattern, first)), "")


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_run_or_says_why_not(page: str) -> None:
    for block in blocks(PAGES[page].read_text(encoding="utf-8")):
        if block.not_run:
            continue
        for first in commands_of(block) if block.language == "shell" else block.lines[:1]:
            typed = page in TYPED and first.startswith("genbench ")
            assert typed or runs_elsewhere(page, first), f"{page}: run it in a test, or mark it as not run: {first}"


def test_the_tests_that_are_named_read_the_page() -> None:
    for page, tests in ELSEWHERE.items():
        for _, test in tests:
            assert f"{page}.md" in (ROOT / test).read_text(encoding="utf-8"), (page, test)


def test_marks_are_found() -> None:
    page = (
        "# T\n\n<!-- not run: slow -->\n\n    genbench run\n\nText\n\n    genbench list\n\n"
        "```python\nx\n```\n\n    key = 1\n"
    )
    assert [(block.language, block.lines, block.not_run) for block in blocks(page)] == [
        ("shell", ("genbench run",), "slow"),
        ("shell", ("genbench list",), ""),
        ("python", ("x",), ""),
    ]
    assert {block.not_run for block in blocks("<!-- not run on this page: a reason -->\n" + page)} == {"a reason"}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the pages name: runs, photographs, a plan, a plugin, a search space."""
    folder = tmp_path_factory.mktemp("library")
    first = ("--models", "gan,dcgan,vae,cdcgan", "--set", "dcgan.width=8", "--set", "cdcgan.width=8")
    for name, arguments in {"first": first, "seeds": ("--models", "gan,vae", "--seeds", "0,1")}.items():
        metrics = ("--metrics", "fd,diversity,psnr")
        done = warm.command("run", *TINY, *metrics, *arguments, "--out", f"results/{name}", cwd=folder)
        assert (folder / "results" / name / "report.html").exists(), done.stderr
    for name in ("before", "after", "20260101-120000-gan-vae"):
        shutil.copytree(folder / "results" / "seeds", folder / "results" / name)
    shutil.copytree(folder / "results" / "seeds", folder / "submitted" / "run")
    for name in ("photos", "generated"):
        (folder / name).mkdir()
        for number in range(48):
            pixels = [(37 * number + 11 * place) % 256 for place in range(32 * 32 * 3)]
            Image.frombytes("RGB", (32, 32), bytes(pixels)).save(folder / name / f"{number}.png")
    (folder / "plan.toml").write_text(
        'models = ["gan", "vae"]\nseeds = [0, 1, 2, 3]\nmetrics = ["fd"]\n', encoding="utf-8"
    )
    shutil.copy(ROOT / "docs" / "examples" / "tuning" / "space.toml", folder)
    for path in [*(ROOT / "docs" / "examples" / "porting").glob("*_plugin.py")]:
        shutil.copy(path, folder)
    plugin = (ROOT / "docs" / "examples" / "hooks" / "models.py").read_text(encoding="utf-8")
    (folder / "my_gan.py").write_text(plugin, encoding="utf-8")
    baseline = warm.command("baseline", "update", "results/first", "--baseline", "baseline.json", cwd=folder)
    assert baseline.returncode == 0, baseline.stderr
    return folder


def small(command: str) -> list[str]:
    """Return the arguments of a command with a small budget, on a processor, with the names that exist here."""
    _, *words = shlex.split(command, comments=True)
    verb = words[0]
    several = "results/seeds" if verb in ("compare", "power") else "results/first"
    words = [{"RUN": several, "RUN…": several}.get(word, word) for word in words]
    if verb == "run" and "--resume" not in words:
        words += [*TINY[: TINY.index("--metrics")], "--device", "cpu", "--threads", "1"]
        metrics = ["--metrics", "fd" if "--out" in words else ""]  # further commands name what stands there
        words += [] if any(flag in words for flag in NEEDS_METRICS) else metrics
    if verb == "tune":
        words += ["--profile", "smoke", "--images", "64", "--samples", "16", "--device", "cpu", "--trials", "2"]
        words += ["--final-seeds", "2"]
    if verb == "init":
        words += ["plan-of-mine.toml"]
    return words


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("page", TYPED)
def test_the_commands_of_a_page(page: str, library: Path, tmp_path: Path) -> None:
    here = tmp_path / "here"
    shutil.copytree(library, here)
    (here / "docs").symlink_to(ROOT / "docs")
    text, typed = PAGES[page].read_text(encoding="utf-8"), 0
    for name in ("quick", "plugins") if f"    genbench {page} results/reference/" in text else ():
        (here / "results" / "reference").mkdir(exist_ok=True)
        (here / "results" / "reference" / name).symlink_to(ROOT / "results" / "reference" / name)
    for block in blocks(text):
        for command in commands_of(block) if block.language == "shell" and not block.not_run else []:
            if runs_elsewhere(page, command):
                continue
            words = small(command)
            runs = sorted(file.parent for file in here.glob("results/*/run.json"))
            words = [str(found) for word in words for found in (runs if word == "results/*" else [word])]
            if "--out" in words and words[0] == "run":
                shutil.rmtree(here / words[words.index("--out") + 1], ignore_errors=True)
            done = warm.command(*words, cwd=here)
            assert done.returncode in VERDICTS.get(words[0], (0,)), f"{command}\n{done.stdout}\n{done.stderr}"
            typed += 1
    assert typed
