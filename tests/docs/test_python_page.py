"""docs/python.md and docs/results.ipynb: their code runs as it stands there."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import types
from pathlib import Path
from typing import Any

import pytest

import genbench

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"(?:<!-- needs: (\w+) -->\n)?^```python\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)


def execute(code: str, names: dict[str, Any]) -> Any:
    """Execute code as a notebook does; return the value of its last line, if that is an expression."""
    tree = ast.parse(code)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if isinstance(last, ast.Expr) else None


@pytest.mark.slow
@pytest.mark.usefixtures("forked_children")
def test_the_code_of_the_page_runs_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for needed, code in BLOCK.findall(PAGE):
        if not needed or importlib.util.find_spec(needed):
            execute(code, names)
    assert [cell.status for cell in names["results"]] == ["ok"] * 4


def test_the_notebook_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    notebook = json.loads((ROOT / "docs" / "results.ipynb").read_text(encoding="utf-8"))
    names: dict[str, Any] = {}
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    shown = [execute("".join(cell["source"]), names) for cell in cells]
    assert "<table>" in shown[0]._repr_html_()
    assert shown[2] == ("dcgan", pytest.approx(25.18, abs=0.01))
    assert shown[3] == ([3], [3])
    assert shown[5].exists()
    assert shown[6].estimate("fd-fashion-cnn").value > 100
    assert not any(cell["outputs"] for cell in cells)


def test_the_lines_of_the_readme_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "results").symlink_to(ROOT / "results")
    monkeypatch.chdir(tmp_path)
    ((_, code),) = BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    names: dict[str, Any] = {}
    execute(code, names)
    assert len(names["results"]) == 3
    assert (tmp_path / "frontier.pdf").read_bytes().startswith(b"%PDF")


def test_the_page_names_every_function() -> None:
    public = {name for name in genbench.__all__ if isinstance(getattr(genbench, name), types.FunctionType)}
    of_plugins = {"option", "execute_job", "feature_maps", "make_likelihood", "show_loading"}
    assert all(f"`genbench.{name}(" in PAGE for name in public - of_plugins)
