"""docs/hooks.md is up to date, and each of its examples works and follows the rules."""

from __future__ import annotations

import re
import runpy
from dataclasses import asdict
from pathlib import Path

import pytest
import warm
from command_line import TINY

from genbench.plugins.loader import HOOKS, SPEC_TYPES, Kind, file_plugins, load_plugin
from genbench.plugins.worker_catalogue import load_catalogue
from genbench.testing.run_checks import Examination, checks_for
from genbench.testing.subject import Subject

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "hooks.md").read_text(encoding="utf-8")
EXAMPLES = {kind: ROOT / "docs" / "examples" / "hooks" / f"{kind}.py" for kind in SPEC_TYPES}


def test_the_page_is_what_the_script_writes() -> None:
    written = runpy.run_path(str(ROOT / "scripts" / "write_hooks.py"))["page"]()
    assert written == PAGE, "run: python scripts/write_hooks.py"


def test_every_hook_has_a_section_and_every_package_is_listed() -> None:
    assert [*re.findall(r"^## `(\w+)`$", PAGE, flags=re.MULTILINE)] == [*HOOKS]
    assert {path.parent.name for path in (ROOT / "plugins").glob("*/pyproject.toml")} == {
        *re.findall(r"\[`(genbench-[\w-]+)`\]", PAGE)
    }


def test_every_link_leads_to_a_section() -> None:
    for file, anchor in re.findall(r"\((\w+\.md)#([\w-]+)\)", PAGE):
        titles = re.findall(r"^#+ (.*)$", (ROOT / "docs" / file).read_text(encoding="utf-8"), flags=re.MULTILINE)
        anchors = {title.lower().replace("`", "").replace(" ", "-") for title in titles}
        assert anchor in anchors, f"{file}#{anchor}"


def test_the_examples_work_together(tmp_path: Path) -> None:
    files = [part for path in EXAMPLES.values() for part in ("--plugin", str(path))]
    what = ("--models", "my-gan,my-matcher", "--losses", "my-hinge,my-distance", "--datasets", "my-squares")
    measured = ("--metrics", "fd-my-thumbnails,my-brightness", "--reporters", "status-file")
    tiny = [argument for argument in TINY if argument not in ("--metrics", "")]
    done = warm.run(*tiny, *files, *what, *measured, out=tmp_path / "run")
    assert done.code == 0, done.err
    cells = {cell.identity.model.name: cell for cell in done.run_cells if cell.status == "ok"}
    assert cells.keys() == {"my-gan", "my-matcher"}
    for cell in cells.values():
        assert {estimate.metric for estimate in cell.estimates} == {"fd-my-thumbnails", "my-brightness"}
    assert (tmp_path / "run" / "statuses.txt").read_text().count(" ok\n") == 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", SPEC_TYPES)
def test_an_example_follows_the_rules(kind: Kind) -> None:
    (plugin,) = file_plugins([EXAMPLES[kind]])
    catalogue = load_catalogue([asdict(plugin)])
    for registered, names in load_plugin(plugin).plugin.registers.items():
        for name in names:
            examination = Examination(Subject(registered, name, catalogue))  # type: ignore[arg-type]
            outcomes = map(examination.outcome, checks_for(examination.subject))
            assert [(o.check, o.reason) for o in outcomes if o.verdict == "failed"] == []
