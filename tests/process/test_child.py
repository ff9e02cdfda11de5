"""Asking a child process: nothing that its code has started outlives it, and it cannot start genbench."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from command_line import alive, wait_until_gone

from genbench.plugins.catalogue import discover

START = """
import subprocess, sys
from pathlib import Path

code = "import time; time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
Path(__file__).with_name("started").write_text(str(child.pid))
"""
CALL = """
import subprocess, sys
from pathlib import Path

command = [sys.executable, "-m", "genbench", "list", "--plugin", __file__]
done = subprocess.run(command, capture_output=True, text=True)
Path(__file__).with_name("said").write_text(done.stderr)
done.check_returncode()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("end", ["", "while True: pass\n", "import os; os._exit(3)\n"])
def test_what_a_plugin_starts_while_it_is_imported_ends_with_the_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setenv("GENBENCH_PLUGIN_TIMEOUT", "2")
    (tmp_path / "starts.py").write_text(START + end)
    discover([tmp_path / "starts.py"])
    wait_until_gone([int((tmp_path / "started").read_text())], seconds=2)


def test_other_processes_of_the_user_go_on(tmp_path: Path) -> None:
    import subprocess

    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    (tmp_path / "empty.py").write_text("")
    discover([tmp_path / "empty.py"])
    assert alive(other.pid)
    other.kill()
    other.wait()


def test_a_plugin_that_starts_genbench_is_quarantined_at_once(tmp_path: Path) -> None:
    (tmp_path / "calls.py").write_text(CALL)
    begin = time.monotonic()
    (plugin,) = (p for p in discover([tmp_path / "calls.py"]).plugins if p.name == "calls")
    assert plugin.quarantined
    assert time.monotonic() - begin < 10
    assert "A plugin started genbench while it was being loaded" in (tmp_path / "said").read_text()
