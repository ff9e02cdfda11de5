"""The layout of genbench/: small folders with one subject each, and file names that say what a file holds."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

from genbench.cli import COMMANDS

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "genbench"
FILES = sorted(PACKAGE.rglob("*.py"))
FOLDERS = sorted({path.parent for path in FILES} - {PACKAGE})
MODULES_IN_A_FOLDER = 25
ONLY_IN_TESTS = {
    "campaign",
    "action",
    "architecture",
    "benchmarks",
    "docs",
    "release",
    "support",
}  # their subject is not in genbench/

# In these folders a file is named after something outside them, so its name may occur there once more.
NAMED_AFTER_OTHERS = {
    "cli": "one file per command, with its name",
    "commands": "what the command of that name does, and the objects that it returns",
    "report": "presents what the module of that name computes",
    "testing/checks": "the rules for what the file is named after",
}
SAME_NAME = {
    "calibration.py": "ab measures it, results stores it",
    "check.py": "of a dataset in datacheck, of a plugin in testing",
    "comparison.py": "ab: of two versions of the code; imagesets: of two image sets; results: the stored record of ab",
    "distributed.py": "cell: what the processes of a cell have in common; train/engines: the engine that they use",
    "evaluation.py": "api: the contract; metrics: of a cell's samples; imagesets: of two image sets",
    "files.py": "builtin/datasets/published: of a published dataset; results: of a run directory",
    "findings.py": "of a dataset in datacheck, of a plugin in testing",
    "folder.py": "the dataset `folder` in builtin/datasets, its inspection in datacheck",
    "format.py": "the text that the command behind datacheck or imagesets prints",
    "image_folder.py": "builtin/datasets/published: a dataset; imagesets: a stream of images",
    "likelihood.py": "metrics: the metrics; sampling: the bounds that they need",
    "loader.py": "of images in data, of plugins in plugins",
    "messages.py": "process: to and from workers; trackers: to and from tracker processes",
    "source.py": "of training images in data, of an image set in imagesets",
    "targets.py": "plan: the values of --target; testing: what `genbench plugin test` examines",
}


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("folder", [PACKAGE, *FOLDERS], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_folder_states_its_subject_and_is_small(folder: Path) -> None:
    statement = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
    assert statement
    commands = COMMANDS if folder == PACKAGE / "cli" else ()  # one file for each, however many there are
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__", *commands}
    assert len(modules) <= MODULES_IN_A_FOLDER


def test_a_file_name_occurs_twice_only_where_the_folder_makes_the_difference_obvious() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path in FILES:
        place = next((folder for folder in NAMED_AFTER_OTHERS if relative(path).startswith(f"{folder}/")), "")
        places[path.name].append(place)
    del places["__init__.py"]
    twice = {name for name, found in places.items() if any(found.count(place) > 1 for place in found)}
    assert twice == set(SAME_NAME)


def test_every_folder_of_tests_mirrors_one_of_genbench() -> None:
    tested = {path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")}
    assert not [
        folder.as_posix()
        for folder in tested
        if not {*folder.parts} & ONLY_IN_TESTS and not (PACKAGE / folder / "__init__.py").is_file()
    ]


def test_the_architecture_page_lists_every_folder_and_no_other() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = page.split("\n## Folders\n", maxsplit=1)[1].split("\n## ")[0]
    listed = re.findall(r"^\| `([\w/]+)/` \|", section, flags=re.MULTILINE)
    assert sorted(listed) == sorted(relative(folder) for folder in FOLDERS if folder.parent == PACKAGE)


def test_every_path_that_the_architecture_page_and_contributing_name_exists() -> None:
    for page in (ROOT / "docs" / "architecture.md", ROOT / "CONTRIBUTING.md"):
        for name in re.findall(r"`([\w./-]+/[\w.-]*)`", page.read_text(encoding="utf-8")):
            assert (PACKAGE / name).exists() or (ROOT / name).exists(), f"{page.name}: {name}"
