"""`genbench plugin list`: installed plugins, and why one is quarantined."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from plugin_packages import expose, temp_plugin

from genbench.cli.plugin import command

HEALTHY = """
    import genbench
    import random

    random.seed(1)

    @genbench.hookimpl
    def genbench_losses():
        yield genbench.LossSpec(name="acme-hinge", family="adversarial", create=len)
"""


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments, standalone_mode=False, catch_exceptions=False)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    temp_plugin(tmp_path, HEALTHY, name="acme-good", version="1.4")
    temp_plugin(tmp_path, "import genbench\nraise RuntimeError('no licence')", name="acme-bad", version="0.2")
    temp_plugin(tmp_path, "import os\nprint('last words', flush=True)\nos._exit(9)", name="acme-gone", version="0.9")
    expose(tmp_path, monkeypatch)
    return tmp_path


@pytest.mark.usefixtures("site")
def test_text_shows_distribution_version_status_reason_and_traceback() -> None:
    text = invoke("list").stdout
    lines = {line.split()[0]: line.split() for line in text.splitlines() if "|" not in line}
    assert lines["acme-good"][1:] == ["ok", "acme-good", "1.4", "(acme_good)"]
    assert lines["acme-bad"][1:] == ["quarantined", "acme-bad", "0.2", "(acme_bad)"]
    assert lines["models"][1:3] == ["ok", "genbench"]
    assert "reason: RuntimeError: no licence" in text
    assert "|     raise RuntimeError('no licence')" in text
    assert "reason: the process exited with status 9 while loading" in text
    assert "| last words" in text
    assert "note: importing it changed Python's global random numbers: restored" in text
    assert "losses: acme-hinge" not in text
    verbose = invoke("list", "--verbose").stdout
    assert "losses: acme-hinge" in verbose
    assert verbose.count("origin: entry-point") >= 3 and "origin: builtin" in verbose


@pytest.mark.usefixtures("site")
def test_json_contains_the_same() -> None:
    plugins = {plugin["name"]: plugin for plugin in json.loads(invoke("list", "--json").stdout)}
    assert plugins["acme-good"]["status"] == "ok"
    assert plugins["acme-good"]["registers"] == {"losses": ["acme-hinge"]}
    bad = plugins["acme-bad"]
    assert (bad["status"], bad["distribution"], bad["version"]) == ("quarantined", "acme-bad", "0.2")
    assert bad["reason"] == "RuntimeError: no licence"
    assert "raise RuntimeError" in bad["traceback"]
    assert plugins["models"]["origin"] == "builtin"


def test_a_quarantined_file_is_listed_too(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("def genbench_models():\n    return []\n")
    text = invoke("list", "--plugin", str(path)).stdout
    assert "Decorate it with @genbench.hookimpl" in text
