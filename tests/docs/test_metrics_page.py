"""docs/metrics.md, "Why does my FID differ?": its commands run as they stand, its tables are those of the code."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from pathlib import Path

import pytest
import torch
from page_steps import steps
from PIL import Image
from tiny_inception import use_tiny_inception

from genbench.cli import invoke
from genbench.imagesets.explain import explanation
from genbench.imagesets.explain.protocol import ALTERNATIVES, CHOICES, TOOLS

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
SECTION = "Why does my FID differ?"
TEXT = PAGE.partition(f"## {SECTION}\n")[2].partition("\n## ")[0]
COMMANDS = [step.command for step in steps(PAGE) if step.section == SECTION]


def test_the_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    use_tiny_inception(monkeypatch, tmp_path, published=True)
    monkeypatch.chdir(tmp_path)
    rng = torch.Generator().manual_seed(0)
    for name in ("photos", "generated"):
        Path(name).mkdir()
        for number in range(4):
            pixels = torch.randint(256, (16, 16, 3), generator=rng, dtype=torch.uint8)
            Image.fromarray(pixels.numpy()).save(Path(name) / f"{number}.png")
    toml = re.search(r"```toml\n# (paper\.toml)\n(.*?)```", TEXT, flags=re.DOTALL)
    assert toml is not None
    Path(toml[1]).write_text(toml[2], encoding="utf-8")
    printed = []
    for command, code in zip(COMMANDS, (0, 4, 0, 0), strict=True):
        program, *arguments = shlex.split(command)
        assert program == "genbench"
        capsys.readouterr()
        assert invoke(arguments) == code, command
        printed.append(capsys.readouterr().out)
    assert Path("waterfall.svg").read_bytes().startswith(b"<?xml")
    assert "resize bicubic-antialias" in Path("waterfall.txt").read_text(encoding="utf-8")
    assert "from here to clean-fid: " in printed[0]
    assert "not comparable: split, n could not be done as stated" in printed[1]
    steps_ = json.loads(printed[2])["waterfalls"][0]["steps"]
    assert [step["choice"] for step in steps_] == ["reference_storage", "resize", "scale"]


def test_every_choice_tool_and_key_is_documented() -> None:
    for choice in CHOICES:
        assert f"`{choice}`" in TEXT
    for choice in ("resize", "scale", "rounding", "colour", "split"):
        assert all(f"`{value}`" in TEXT for value in ALTERNATIVES[choice])
    rows = {tuple(cell.strip() for cell in line.split("|")[1:-1]) for line in TEXT.splitlines() if line.startswith("|")}
    for tool in TOOLS.values():
        (row,) = [row for row in rows if f"[{tool.name}]({tool.source})" in row[0]]
        assert row[1:] == (f"`{tool.choices['resize']}`", f"`{tool.choices['scale']}`", str(tool.choices["ddof"]))
    records = (
        explanation.Explanation, explanation.ProtocolDistance, explanation.Waterfall, explanation.Step,
        explanation.Alternative, explanation.StatementCheck, explanation.StatedChoice,
    )  # fmt: skip
    keys = {field.name for record in records for field in dataclasses.fields(record)}
    assert not [key for key in keys if f"`{key}`" not in TEXT]
