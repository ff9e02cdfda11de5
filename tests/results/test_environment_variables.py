"""Durations in environment variables: a value that is not valid is an error before anything is run."""

from __future__ import annotations

import pytest

from genbench.cli import invoke
from genbench.errors import ExitCode, UsageError
from genbench.results.environment_variables import (
    CHECKPOINT_SECONDS,
    PLUGIN_TIMEOUT,
    REPORTER_TIMEOUT,
    require_valid,
    seconds_from,
)

ILL_FORMED = ("soon", "nan", "inf", "-1", "1e300", "3 s", "1,5")


@pytest.mark.parametrize("text", [*ILL_FORMED, "0"])
@pytest.mark.parametrize("name", [CHECKPOINT_SECONDS, PLUGIN_TIMEOUT, REPORTER_TIMEOUT])
def test_what_is_no_duration_is_refused(name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, text)
    with pytest.raises(UsageError, match=rf"{name} = '.*' is not valid\.\n.*number of seconds"):
        seconds_from(name, 30.0)
    if text != "0":
        with pytest.raises(UsageError):
            require_valid()


@pytest.mark.parametrize(("text", "seconds"), [("", 30.0), (" ", 30.0), ("0.5", 0.5), (" 7 ", 7.0), ("1e3", 1000.0)])
def test_a_duration_replaces_the_default(text: str, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CHECKPOINT_SECONDS, text)
    assert seconds_from(CHECKPOINT_SECONDS, 30.0) == seconds


def test_zero_is_a_duration_where_it_has_a_meaning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CHECKPOINT_SECONDS, "0")
    assert seconds_from(CHECKPOINT_SECONDS, 30.0, zero=True) == 0.0


@pytest.mark.parametrize("arguments", [("run", "--models", "vae"), ("run", "--resume", "nothing")])
def test_a_run_does_not_start(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(CHECKPOINT_SECONDS, "soon")
    assert invoke([*arguments]) == ExitCode.USAGE
    assert "GENBENCH_CHECKPOINT_SECONDS = 'soon' is not valid" in capsys.readouterr().err
