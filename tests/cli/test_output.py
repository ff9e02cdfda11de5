"""What commands print cannot act on a terminal or a CI system, whatever names and messages hold."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from example_runs import cell, changed, stored
from hypothesis import given
from hypothesis import strategies as st

from genbench.cli import invoke
from genbench.process.terminal_text import harmless, harmless_json

ROOT = Path(__file__).parents[2]
ACTING = "\x00\x07\x08\x0b\x1b[2J\x7f\x9b31m\r\u202e\u2066\u2028\ud800"
HOSTILE = f"evil{ACTING}\n::error::owned\n##[error]owned\n  ::set-output name=a::b\n=cmd()"
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
WORKFLOW = re.compile(r"^\s*(::|##\[)", re.MULTILINE)


def require_harmless(text: str) -> None:
    assert not CONTROL.search(text)
    assert not WORKFLOW.search(text)


@given(st.text(st.sampled_from(f"a{ACTING}:# [\t\n")))
def test_nothing_acts(text: str) -> None:
    require_harmless(harmless(text))
    assert harmless(harmless(text)) == harmless(text)


@given(st.text().filter(lambda text: not CONTROL.search(text) and not WORKFLOW.search(text)))
def test_ordinary_text_is_unchanged(text: str) -> None:
    if not set("\u061c\u200e\u200f") & set(text):
        assert harmless(text) == text


@given(st.text(st.characters()))
def test_json_has_the_same_content(text: str) -> None:
    encoded = json.dumps([text], ensure_ascii=False)
    assert json.loads(harmless_json(encoded)) == [text]
    assert not CONTROL.search(harmless_json(encoded))


COMMANDS = ["show RUN", "show RUN --json", "table RUN", "table RUN --format json", "table RUN --format github"]
COMMANDS += ["table RUN --format csv", "table RUN --format latex", "history RUN", "history RUN --json"]
COMMANDS += [
    "compare RUN",
    "compare RUN --json",
    "power RUN --detect 5%",
    "compare RUN RUN",
    "compare RUN RUN --json",
    "check RUN --baseline FILE",
    "baseline update RUN --baseline FILE",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_print_what_a_run_directory_holds_without_effect(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = cell("gan-1", reason=HOSTILE, notes=[HOSTILE])
    record = stored(tmp_path / "run", changed(result, identity=changed_names(result.identity)))
    code = invoke(
        [word.replace("RUN", str(record.path)).replace("FILE", str(tmp_path / "b.json")) for word in command.split()]
    )
    shown = capsys.readouterr()
    assert code != 70, shown.err
    for text in shown:
        require_harmless(text)


def changed_names(identity):  # type: ignore[no-untyped-def]
    import msgspec

    names = {
        kind: msgspec.structs.replace(getattr(identity, kind), name=HOSTILE) for kind in ("model", "loss", "dataset")
    }
    return msgspec.structs.replace(identity, **names)


def test_every_command_prints_through_one_function() -> None:
    for path in (ROOT / "genbench" / "cli").rglob("*.py"):
        if path.name != "output.py":
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"click\.s?echo|\bprint\(|stdout\.write|stderr\.write", text), path
