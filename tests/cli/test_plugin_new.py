"""`genbench plugin new`: the folder, the next commands, and invalid names."""

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


def test_the_folder_has_the_name_and_the_next_commands_are_printed() -> None:
    said = invoke("my-variant").stdout
    assert Path("my-variant/src/my_variant/networks.py").is_file()
    commands = [line.strip() for line in said.splitlines() if line.startswith("    ")]
    assert commands == [
        "cd my-variant",
        'pip install -e ".[test]"',
        "pytest",
        "genbench run --models my-variant,gan --profile smoke",
    ]


def test_a_folder_with_a_space_is_quoted() -> None:
    said = invoke("my-loss", "--kind", "loss", "--family", "variational", "--out", "my work/loss").stdout
    assert 'family="variational"' in Path("my work/loss/src/my_loss/__init__.py").read_text()
    assert "cd 'my work/loss'" in said
    assert "--models vae --losses my-loss" in said


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (["gan"], "already registers the model 'gan'"),
        (["hinge", "--kind", "loss"], "already registers the loss 'hinge'"),
        (["adversarial", "--kind", "family"], "already"),
        (["fd", "--kind", "metric"], "already registers the metric 'fd'"),
        (["likelihood", "--kind", "metric"], "'likelihood' is reserved"),
        (["fid-mine", "--kind", "metric"], "'fid-mine' is reserved"),
        (["numpy"], "A package 'numpy' is already installed"),
        (["my-data", "--kind", "dataset", "--family", "variational"], "--family does not apply to a dataset"),
        (["../up"], "is not a valid name for a plugin"),
        (["class"], "would conflict with an existing package or keyword"),
    ],
)
def test_an_invalid_name_is_refused_and_nothing_is_written(arguments: list[str], cause: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=cause):
        invoke(*arguments)
    assert not [*tmp_path.iterdir()]


def test_the_name_of_an_installed_plugin_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = """
        import genbench

        @genbench.hookimpl
        def genbench_losses():
            yield genbench.LossSpec(name="taken", family="adversarial", create=len)
    """
    temp_plugin(tmp_path / "site", source, name="acme-losses", entry_points={"acme": "acme_losses"})
    expose(tmp_path / "site", monkeypatch)
    with pytest.raises(UsageError, match=r"acme-losses.* already registers the loss 'taken'"):
        invoke("taken", "--kind", "loss")
    with pytest.raises(UsageError, match=r"A plugin 'acme' \(acme-losses\) is already installed"):
        invoke("acme")
    assert "contains a plugin" in invoke("taken").stdout  # a model may have the name of a loss
