"""`genbench plugin test`: accepted names, output and exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from genbench.cli.plugin import command
from genbench.errors import ExitCode, UsageError

CONFORMING = Path(__file__).parents[1] / "support" / "conforming_plugin.py"
WITH_BATCH_NORM = ("tiny", "labelled", "mapped", "dueller", "joint-dueller")  # models of it
QUICK = ("--only", "documented", "--only", "dataset-contract", "--only", "norm-epsilon")


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(command, ["test", *arguments], standalone_mode=False, catch_exceptions=False)


@pytest.mark.slow
def test_a_file_is_tested_whole_with_a_line_for_each_rule_and_an_explanation_of_each_failure(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(CONFORMING.read_text().replace("nn.BatchNorm1d(width)", "nn.BatchNorm1d(width, 0.8)"))
    done = invoke(str(path), *QUICK)
    assert done.return_value == ExitCode.FAILED_CELLS
    lines = done.stdout.splitlines()
    headings = [line for line in lines if line and not line.startswith(" ")]
    *subjects, summary = headings
    assert {"family duel", "model tiny", "loss laplace", "dataset dots", "extractor rows", "metric brightness"} < {
        *subjects
    }
    violations = lines.count("  failed   norm-epsilon: generator.norm has eps = 0.8")
    assert violations == sum(CONFORMING.read_text().count(f'name="{name}"') for name in WITH_BATCH_NORM)
    assert summary.endswith(f" {violations} failed, 0 skipped")
    assert "           fix:  Write momentum=0.8" in done.stdout
    assert lines.count("  ok       documented") == len(subjects)


@pytest.mark.slow
def test_json_contains_the_rule_and_options_can_be_set() -> None:
    done = invoke("tiny", "--plugin", str(CONFORMING), "--set", "tiny.width=4", "--json", "--only", "norm-epsilon")
    assert done.return_value == ExitCode.OK
    (outcome,) = json.loads(done.stdout)
    assert (outcome["kind"], outcome["check"], outcome["verdict"]) == ("models", "norm-epsilon", "ok")
    assert {*outcome} == {"kind", "subject", "check", "verdict", "reason", "rule", "why", "fix", "mend"}
    with pytest.raises(UsageError, match=r"tiny\.wdith.*Did you mean 'width'"):
        invoke("tiny", "--plugin", str(CONFORMING), "--set", "tiny.wdith=4")


def test_a_quarantined_plugin_fails_the_first_rule_with_its_traceback(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("import genbench\nraise RuntimeError('no licence')\n")
    done = invoke(str(path))
    assert done.return_value == ExitCode.FAILED_CELLS
    assert "failed   loads: RuntimeError: no licence" in done.stdout
    assert "raise RuntimeError('no licence')" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["dcgna"], r"nothing is named 'dcgna'\. Did you mean 'dcgan'"),
        (["dcgan", "--kind", "loss"], "no loss is named 'dcgan'"),
        (["dcgan", "--only", "resmue"], "Unknown rule 'resmue'. Did you mean 'resume'"),
        (["dcgan", "--timeout", "0"], "is not positive"),
        (["nowhere.py"], "nowhere.py cannot be read"),
        ([str(CONFORMING), "--kind", "reporter"], r"conforming_plugin\.py \w+\) registers no reporter"),
    ],
)
def test_invalid_arguments_are_usage_errors(arguments: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        invoke(*arguments)


def test_a_file_that_failed_to_load_is_suggested_as_the_source_of_an_unknown_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("raise RuntimeError('no licence')\n")
    with pytest.raises(UsageError) as error:
        invoke("my-variant", "--plugin", str(path))
    assert "It may be in the plugin mine" in error.value.cure
    assert "RuntimeError: no licence" in error.value.cure


@pytest.mark.slow
def test_a_model_of_a_misspelt_family_gets_a_suggestion(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(CONFORMING.read_text().replace('family="adversarial", build', 'family="adversarail", build'))
    done = invoke("tiny", "--plugin", str(path), "--only", "builds")
    assert "failed   builds: Unknown family 'adversarail'. Did you mean 'adversarial'?" in done.stdout
