"""`genbench figure`: files, flags and errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from figure_files import example_run

from genbench.cli import invoke
from genbench.errors import ExitCode

CERTIFICATE = Path(__file__).parents[2] / "results" / "reference" / "certificate-fashion-cnn.json"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(example_run(tmp_path_factory.mktemp("runs") / "run"))


def test_a_figure_and_its_facts_are_written(run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "f.svg"
    flags = ["--kind", "curves", "--y", "fd-cnn,generator", "--where", "seed=0", "--theme", "paper", "--log-y"]
    assert invoke(["figure", run, *flags, "--width", "one-column", "--height", "12", "--out", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}\n"
    assert {file.name for file in tmp_path.iterdir()} == {"f.svg", "f.txt"}
    assert "Training seeds: 0;" in path.with_suffix(".txt").read_text()


def test_a_ladder_is_drawn_from_a_certificate(tmp_path: Path) -> None:
    path = tmp_path / "ladder.pdf"
    assert invoke(["figure", str(CERTIFICATE), "--kind", "ladder", "--out", str(path)]) == 0
    assert "Verdict: monotone" in path.with_suffix(".txt").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "cause"),
    [
        (["--kind", "curve", "--out", "f.pdf"], ExitCode.USAGE, "Did you mean 'curves'"),
        (["--out", "f.jpg"], ExitCode.USAGE, "Use one of the suffixes .pdf, .svg, .png"),
        (["--out", "missing/f.pdf"], ExitCode.USAGE, "does not exist"),
        (["--out", "f.pdf", "--theme", "ligth"], ExitCode.USAGE, "Did you mean 'light'"),
        (["--out", "f.pdf", "--width", "wide"], ExitCode.USAGE, "or centimetres"),
        (["--out", "f.pdf", "--y", "fd-cn"], ExitCode.USAGE, "Did you mean 'fd-cnn'"),
        (["--out", "f.pdf", "--where", "model"], ExitCode.USAGE, "SETTING=VALUE"),
        (["--out", "f.pdf", "--kind", "samples", "--y", "reconstructions"], ExitCode.FAILED_CELLS, "No cell has"),
        (["--out", "f.pdf", "--kind", "ladder"], ExitCode.USAGE, "Cannot read"),
    ],
)
def test_errors_name_cause_and_remedy(
    run: str,
    arguments: list[str],
    code: ExitCode,
    cause: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert invoke(["figure", run, *arguments]) == code
    assert cause in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]


def test_a_file_that_is_not_a_certificate_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    impossible = json.loads(CERTIFICATE.read_text())
    impossible["ladders"][0]["rungs"][1]["standard_error"] = -1
    for number, content in enumerate(
        ("{", '{"extractor": 1}', json.dumps([1]), "[" * 5000, json.dumps(impossible), CERTIFICATE.read_text() * 2)
    ):
        path = tmp_path / f"{number}.json"
        path.write_text(content)
        out = str(tmp_path / "f.pdf")
        assert invoke(["figure", str(path), "--kind", "ladder", "--out", out]) == ExitCode.USAGE
        assert "is not a certificate" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_an_error(
    run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(path: Path, data: bytes) -> None:
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr("genbench.report.figures.figure.atomic_write", refuse)
    assert invoke(["figure", run, "--out", str(tmp_path / "f.png")]) == ExitCode.USAGE
    assert "Read-only file system" in capsys.readouterr().err
