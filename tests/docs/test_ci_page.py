"""docs/ci.md: its files are those of the repository, its numbers are those of the code.

Its commands are typed in tests/release/test_tutorials.py.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from genbench.ab.calibration import DECISIONS
from genbench.ab.session import Protocol
from genbench.cli import ab, calibrate
from genbench.gate.judge import ERROR
from genbench.gate.limits import COUNTERS
from genbench.gate.sequential import CONTROL_TOLERANCE, LookSchedule
from genbench.gate.verdict import Verdict

ROOT = Path(__file__).parents[2]

PAGE = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
OUTSIDE = re.sub(r"^```.*?^```\n", "", PAGE, flags=re.MULTILINE | re.DOTALL)
COMMANDS = [line.strip() for line in OUTSIDE.splitlines() if re.match(r"    \S", line)]
LIVE = [command for command in COMMANDS if command.split()[1] in ("ab", "calibrate")]
TYPED = [command for command in COMMANDS if command not in LIVE and not command.startswith("git ")]


def test_the_commands_of_the_page_are_found() -> None:
    assert len(LIVE) == 5
    assert {command.split()[1] for command in TYPED if command.startswith("genbench")} == {
        *("run", "baseline", "check", "compare", "history")
    }


@pytest.mark.parametrize("line", LIVE)
def test_commands_that_take_minutes_are_understood(line: str) -> None:
    _, verb, *arguments = shlex.split(line)
    command = {"ab": ab.command, "calibrate": calibrate.command}[verb]
    assert "my-gan" in command.make_context(verb, arguments).params["models"] or verb == "calibrate"


def test_the_ten_lines_are_the_example_that_is_linted() -> None:
    example = (ROOT / "docs" / "examples" / "github-gate.yml").read_text(encoding="utf-8")
    assert re.findall(r"^```yaml\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)[0] == example
    assert len(example.splitlines()) == 10


def test_every_verdict_has_its_exit_code_in_the_table() -> None:
    for verdict in Verdict:
        assert f"| `{verdict}` | {int(verdict.exit_code)} |" in PAGE


def test_every_input_of_the_action_is_documented_and_no_other() -> None:
    action = (ROOT / "action.yml").read_text(encoding="utf-8")
    inputs = set(re.findall(r"^  ([a-z-]+):$", action.split("\noutputs:")[0].split("\ninputs:")[1], re.MULTILINE))
    table = PAGE.split("Inputs of the action", 1)[1].split("Outputs:")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`([^`]+)`", row)} == inputs


def test_numbers_are_those_of_the_code() -> None:
    looks, protocol = LookSchedule(), Protocol()
    assert "after {}, {} and {} blocks".format(*looks.blocks) in PAGE
    assert "{:g} %, {:g} % and {:g} %".format(*(100 * error for error in looks.errors)) in PAGE
    assert f"share {100 * looks.error:.0f} %" in PAGE
    assert f"about {protocol.window_seconds} seconds" in PAGE
    assert f"off the clock for up to {protocol.warmup_steps} steps" in PAGE.replace("\n  ", " ")
    assert f"by more than {100 * (2.718281828**CONTROL_TOLERANCE - 1):.0f} %" in PAGE.replace("\n  ", " ")
    assert f"kept to {100 * ERROR:.0f} %" in PAGE
    assert f"{DECISIONS:,} decisions" in PAGE
    assert all(f"`{counter}`" in PAGE for counter in COUNTERS)
