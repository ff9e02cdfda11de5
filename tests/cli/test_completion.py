"""Completion: what a shell is told for a command line, and how it is installed."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from genbench.cli import cli, completion
from genbench.results.cache import cache_directory

ROOT = Path(__file__).parents[2]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """Return what bash is told for a line that ends where the cursor is."""

    def answer(line: str, words: int | None = None) -> list[str]:
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - 1 if words is None else words))
        assert completion.complete(cli, "bash_complete") == 0
        lines = capsys.readouterr().out.splitlines()
        return [line.partition(",")[2] for line in lines if line]

    monkeypatch.chdir(ROOT)
    return answer


def test_commands_flags_and_names_are_completed(ask) -> None:  # type: ignore[no-untyped-def]
    assert {"run", "report"} <= {*ask("genbench r")}
    assert ask("genbench run --mod") == ["--models"]
    assert {"gan,dcgan", "gan,dcgan-vae"} <= {*ask("genbench run --models gan,dc")}
    assert "gan,gan" not in ask("genbench run --models gan,g")
    assert ask("genbench run --precision b") == ["bf16"]
    assert ask("genbench run --profile sm") == ["smoke"]
    assert ask("genbench list mod") == ["models"]


def test_settings_are_completed_from_owner_to_value(ask) -> None:  # type: ignore[no-untyped-def]
    assert "beta-vae." in ask("genbench run --set beta")
    assert "dcgan.width=" in ask("genbench run --set dcgan.w")
    assert "dcgan.optimizer=adam" in ask("genbench run --set dcgan.optimizer=a")
    assert "adam" in ask("genbench run --set dcgan.optimizer = a")  # as bash divides it
    assert "sgd" in ask("genbench run --set dcgan.optimizer =")


def test_a_list_with_commas_is_one_word_in_fish(monkeypatch: pytest.MonkeyPatch, capsys) -> None:  # type: ignore[no-untyped-def]
    for line, expected in (("gan,dcgan-v", "gan,dcgan-vae"), ("--models=gan,dcgan-v", "--models=gan,dcgan-vae")):
        words = line if "=" in line else f"--models {line}"
        monkeypatch.setenv("COMP_WORDS", f"genbench run {words}")
        monkeypatch.setenv("COMP_CWORD", line)
        assert completion.complete(cli, "fish_complete") == 0
        assert capsys.readouterr().out.split() == [f"plain,{expected}"]


def test_runs_and_cells_are_completed(ask) -> None:  # type: ignore[no-untyped-def]
    assert "results/reference/quick" in ask("genbench table results/reference/q")
    (gan,) = (path.stem for path in (ROOT / "results/reference/quick/cells").glob("gan-*.json"))
    assert ask("genbench show results/reference/quick --cell gan-") == [gan]
    assert ask("genbench show results/reference/quick --cell ", words=4)[:1] != [""]


def test_names_are_kept_and_renewed_by_another_process(ask, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    ask("genbench run --models g")
    file = cache_directory() / "completion.json"
    kept = json.loads(file.read_bytes())
    kept["kinds"]["models"] = {"gone": {}}
    file.write_text(json.dumps(kept))
    started: list[list[str]] = []
    monkeypatch.setattr(subprocess, "Popen", lambda command, **_: started.append(command))
    assert ask("genbench run --models g") == ["gone"]
    os.utime(file, (0, 0))
    assert ask("genbench run --models g") == ["gone"]
    assert ask("genbench run --models g") == ["gone"]
    (command,) = started
    monkeypatch.undo()
    subprocess.run(command, env=os.environ | {"GENBENCH_CACHE": str(file.parent)}, check=True)
    monkeypatch.chdir(ROOT)
    kept = file.read_bytes()
    assert "gan" in ask("genbench run --models g")
    assert file.read_bytes() == kept  # it was made for this process
    file.write_text("{")
    assert "gan" in ask("genbench run --models g")


def test_completing_imports_neither_plugins_nor_what_a_command_needs_to_run() -> None:
    lines = ["run --models g", "run --set dcgan.w", "tune --losses h", "fid --extractor f",
             "table results/reference/q", "show results/reference/quick --cell gan-"]  # fmt: skip
    program = f"""
import json, os, sys
from genbench.cli import cli, completion
for line in {lines!r}:
    os.environ |= {{"COMP_WORDS": "genbench " + line, "COMP_CWORD": str(len(line.split()))}}
    assert completion.complete(cli, "bash_complete") == 0
print(json.dumps([*sys.modules]), file=sys.stderr)
"""
    for _ in range(2):  # the first keeps the names
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) > len(lines)
    imported = {*json.loads(done.stderr.splitlines()[-1])}
    slow = {"genbench.plugins.catalogue", "genbench.planning.request", "genbench.results.schema", "subprocess", "torch"}
    assert not imported & slow  # the first three take as long as everything else together


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_installing_twice_changes_nothing_more(shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    runner, found = CliRunner(), []
    for _ in range(2):
        assert runner.invoke(cli, ["--install-completion", shell]).exit_code == 0
        found.append({path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()})
    assert found[0] == found[1]
    assert any("_GENBENCH_COMPLETE" in text for text in found[0].values())


def test_another_shell_is_an_error() -> None:
    result = CliRunner().invoke(cli, ["--install-completion", "tcsh"])
    assert "bash, zsh and fish" in str(result.exception)


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_a_line(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    program = tmp_path / "bin" / "genbench"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m genbench "$@"\n')
    program.chmod(0o755)
    variables = {
        **os.environ,
        "HOME": str(tmp_path),
        "GENBENCH_CACHE": str(tmp_path),
        "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "TERM": "xterm",
    }
    variables.pop("XDG_DATA_HOME", None)
    subprocess.run([program, "--install-completion", shell], env=variables, check=True, capture_output=True)
    for typed, expected in (
        ("genbench run --models gan,dcgan-v\t", "run --models gan,dcgan-vae"),
        ("genbench run --set dcgan.wi\t8", "run --set dcgan.width=8"),
        ("genbench show results/reference/qui\t --cell vae-\t", "show results/reference/quick --cell vae-elbo-"),
    ):
        # Then the line is made an argument of `echo`.
        assert f"DONE genbench {expected}" in interact([shell, "-i"], f'{typed}\x01echo DON"E" \r', variables)


def interact(command: list[str], typed: str, variables: dict[str, str]) -> str:
    """Type at a program that has a terminal, and return what it showed until a line began with DONE."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.execvpe(command[0], command, variables)
    shown = b""
    try:
        while not re.search(rb"DONE .*\n", shown):
            ready = select.select([terminal], [], [], 0.5 if typed else 60)[0]
            if ready:
                shown += os.read(terminal, 1 << 16)
            elif typed:  # the shell waits for input
                os.write(terminal, typed.encode())
                typed = ""
            else:
                break
    except OSError:
        pass  # the shell has exited
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)
    return shown.decode(errors="replace")


def test_kept_names_load_no_plugin(ask, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    ask("genbench run --models g")
    monkeypatch.setattr(completion, "renew", lambda: pytest.fail("loaded plugins"))
    begin = time.process_time()
    assert "gan" in ask("genbench run --models g")
    assert time.process_time() - begin < 1
