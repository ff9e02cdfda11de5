"""`genbench plugin new`: a folder, the next commands, and names that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from plugin_packages import expose, temp_plugin

from genbench.cli.plugin import command
from genbench.errors import UsageError


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(command, ["new", *arguments], standalone_mode=False, catch_exceptions=False)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_folder_has_the_name_and_the_next_commands_are_told() -> None:
    said = invoke("my-variant").stdout
    assert Path("my-variant/src/my_variant/networks.py").is_file()
    commands = [line.strip() for line in said.splitlines() if line.startswith("    ")]
    assert commands == [
        "cd my-variant",
        'pip install -e ".[test]"',
        "pytest",
        "genbench run --models my-variant,gan --profile smoke",
    ]


def test_another_folder_is_quoted_where_a_shell_would_split_it() -> None:
    said = invoke("my-loss", "--kind", "loss", "--family", "variational", "--out", "my work/loss").stdout
    assert 'family="variational"' in Path("my work/loss/src/my_loss/__init__.py").read_text()
    assert "cd 'my work/loss'" in said
    assert "--models vae --losses my-loss" in said


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (["gan"], "registers the model 'gan' already"),
        (["hinge", "--kind", "loss"], "registers the loss 'hinge' already"),
        (["adversarial", "--kind", "family"], "already"),
        (["fd", "--kind", "metric"], "--metrics has a meaning for 'fd'"),
        (["numpy"], "A package 'numpy' is installed already"),
        (["my-data", "--kind", "dataset", "--family", "variational"], "--family says nothing of a dataset"),
        (["../up"], "is not a valid name"),
        (["class"], "stand in the way of Python's own"),
    ],
)
def test_what_would_not_work_is_refused_and_nothing_is_written(
    arguments: list[str], cause: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=cause):
        invoke(*arguments)
    assert not [*tmp_path.iterdir()]


def test_a_name_of_somebody_elses_installed_plugin_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = """
        import genbench

        @genbench.hookimpl
        def genbench_losses():
            yield genbench.LossSpec(name="taken", family="adversarial", create=len)
    """
    temp_plugin(tmp_path / "site", source, name="acme-losses", entry_points={"acme": "acme_losses"})
    expose(tmp_path / "site", monkeypatch)
    with pytest.raises(UsageError, match=r"acme-losses.* registers the loss 'taken' already"):
        invoke("taken", "--kind", "loss")
    with pytest.raises(UsageError, match=r"A plugin 'acme' \(acme-losses\) is installed already"):
        invoke("acme")
    assert "holds a plugin" in invoke("taken").stdout  # a model may have the name of a loss
