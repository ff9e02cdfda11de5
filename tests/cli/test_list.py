"""`genbench list`: everything that a plan can name, as text and as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from plugin_packages import environment, expose, temp_plugin

from genbench.cli.list import command
from genbench.commands.plugins.installed import KINDS
from genbench.errors import UsageError

LOSS = """
    import genbench
    print("garbage that a plugin prints", "{" * 100)

    @genbench.hookimpl
    def genbench_losses():
        yield genbench.LossSpec(name="acme-hinge", family="adversarial", create=len, summary="margins")
"""


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments, standalone_mode=False, catch_exceptions=False)


def test_json_of_everything_contains_every_kind() -> None:
    data = json.loads(invoke("--json").stdout)
    assert list(data) == list(KINDS)
    assert {"gan", "dcgan", "vae", "conv-vae"} <= {model["name"] for model in data["models"]}


@pytest.mark.parametrize("kind", KINDS)
def test_json_of_one_kind_is_a_list_of_plain_records(kind: str) -> None:
    entries = json.loads(invoke(kind, "--json").stdout)
    assert entries or kind == "reporters"  # none is built in
    for entry in entries:
        assert {"name", "summary", "plugin"} <= set(entry)
        assert {"build", "create", "load", "measure"}.isdisjoint(entry)


def test_json_lists_the_options_that_a_plan_can_set() -> None:
    (dcgan,) = [entry for entry in json.loads(invoke("models", "--json").stdout) if entry["name"] == "dcgan"]
    assert [1, 28, 28] in dcgan["image_shapes"]
    assert [(option["name"], option["type"], option["default"]) for option in dcgan["options"]] == [
        ("width", "int", 64)
    ]
    assert dcgan["plugin"]["distribution"] == "genbench"


def test_text_names_every_entry_and_its_summary() -> None:
    text = invoke("losses").stdout
    assert [line.split()[0] for line in text.splitlines()][1:4] == ["non-saturating", "minimax", "lsgan"]
    assert "E softplus" not in text
    verbose = invoke("losses", "--verbose").stdout
    assert "L_D = E softplus(-D(x))" in verbose
    assert "beta: float ≥ 0 (default 1.0)" in verbose


def test_models_and_losses_are_listed_under_their_families() -> None:
    for kind in ("models", "losses"):
        lines = invoke(kind).stdout.splitlines()
        families = [line.partition(":")[0] for line in lines if not line.startswith(" ")]
        assert families[:3] == ["adversarial", "variational", "vector-quantised"]
        assert len(families) == len(set(families))
        (of_vae,) = (number for number, line in enumerate(lines) if line.split()[0] in ("vae", "elbo"))
        heads = [line for line in lines[:of_vae] if not line.startswith(" ")]
        assert heads[-1].startswith("variational: ")


def test_a_metric_of_every_extractor_is_one_line() -> None:
    lines = invoke("metrics").stdout.splitlines()
    names = [line.split()[0] for line in lines if line.startswith("  ")]
    assert {"fd", "kd", "prdc", "psnr", "elbo"} <= {*names}
    assert len(names) == len({*names}) < 60
    assert not any(name.endswith("-fashion-cnn") for name in names)
    (distance,) = (line for line in lines if line.split()[0] == "fd")
    assert "(fid, fid-clean, fid-legacy-tensorflow)" in distance
    assert "lower is better; measured once for each extractor" in invoke("metrics", "--verbose").stdout


def test_verbose_text_of_everything_shows_shapes_and_directions() -> None:
    text = invoke("--verbose").stdout
    for part in ("models", "1×28×28", "lower is better", "latent_dim: int (default 20)", "measured only when named"):
        assert part in text


@pytest.mark.parametrize(("typo", "meant"), [("modles", "models"), ("model", "models"), ("dataset", "datasets")])
def test_a_misspelt_kind_gets_a_suggestion(typo: str, meant: str) -> None:
    with pytest.raises(UsageError, match=f"Did you mean '{meant}'"):
        invoke(typo)


def test_a_third_party_entry_shows_distribution_and_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temp_plugin(tmp_path, LOSS, name="acme-losses", version="3.1")
    temp_plugin(tmp_path, "import nothing_of_that_name", name="acme-broken")
    expose(tmp_path, monkeypatch)
    result = invoke("losses")
    assert "margins  [acme-losses 3.1]" in result.stdout
    assert "acme-broken" in result.stderr
    assert "genbench plugin list" in result.stderr


def test_what_a_plugin_prints_does_not_reach_the_json(tmp_path: Path) -> None:
    temp_plugin(tmp_path, LOSS, name="acme-losses")
    line = [sys.executable, "-m", "genbench", "list", "losses", "--json"]
    done = subprocess.run(line, capture_output=True, text=True, env=environment(tmp_path), check=True)
    assert "acme-hinge" in [entry["name"] for entry in json.loads(done.stdout)]
    assert "garbage" not in done.stdout + done.stderr


def test_a_plugin_in_a_file_is_listed_without_being_installed(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "import genbench\n@genbench.hookimpl\ndef genbench_losses():\n"
        "    return [genbench.LossSpec(name='mine', family='adversarial', create=len)]\n"
    )
    assert "[mine.py " in invoke("losses", "--plugin", str(path)).stdout
    with pytest.raises(UsageError, match="cannot be read"):
        invoke("--plugin", str(tmp_path / "nothing.py"))
