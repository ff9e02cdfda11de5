"""What papers state, read from text, TOML and mappings; and what is wrong in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from genbench.errors import UsageError
from genbench.imagesets.explain.protocol import CHOICES, TOOLS
from genbench.imagesets.explain.statement import parse_statement

EXTRACTORS = ["inception", "inception-clean", "fashion-cnn"]


def choices(stated: Any) -> dict[str, Any]:
    return dict(parse_statement(stated, EXTRACTORS).choices)


def test_the_number_the_split_and_a_tool() -> None:
    found = parse_statement("50k, train, pytorch-fid", EXTRACTORS)
    assert (found.title, found.tool) == ("50k, train, pytorch-fid", "pytorch-fid")
    assert dict(found.choices) == {**TOOLS["pytorch-fid"].choices, "n": 50_000, "split": "train"}


@pytest.mark.parametrize("text", ["50k", "50K", "50000", "50,000", "50k images", "n=50,000", " 50000 samples ,"])
def test_numbers_of_images(text: str) -> None:
    assert choices(text) == {"n": 50_000}


def test_choices_by_name_or_by_value() -> None:
    assert choices("jpeg-75, bicubic, grey, 8-bit") == {
        "storage": "jpeg-75", "resize": "bicubic", "colour": "grey", "rounding": "8-bit",
    }  # fmt: skip
    assert choices("ddof=0, layer=64, reference-storage=JPEG-90, n_reference=10k, rounding=none") == {
        "ddof": 0, "layer": 64, "reference_storage": "jpeg-90", "n_reference": 10_000, "rounding": "none",
    }  # fmt: skip
    assert choices("fashion-cnn") == {"extractor": "fashion-cnn"}


def test_what_is_stated_takes_precedence_over_what_the_tool_implies() -> None:
    assert choices("ddof=0, clean-fid") == {**TOOLS["clean-fid"].choices, "ddof": 0}
    assert choices("extractor=inception-clean") == {
        "extractor": "inception", "resize": "bicubic-antialias", "scale": "(x-128)/128",
    }  # fmt: skip


def test_toml_and_mappings_have_the_same_names(tmp_path: Path) -> None:
    (tmp_path / "paper.toml").write_text('tool = "clean-fid"\nn = 50000\nsplit = "both"\nstorage = "jpeg-75"\n')
    expected = {**TOOLS["clean-fid"].choices, "n": 50_000, "split": "both", "storage": "jpeg-75"}
    assert choices(str(tmp_path / "paper.toml")) == choices(tmp_path / "paper.toml") == expected
    assert choices({"tool": "clean-fid", "n": "50k", "split": "both", "storage": "jpeg-75"}) == expected


@pytest.mark.parametrize(
    ("stated", "cause"),
    [
        ("", "states nothing"),
        ("pytorch-fit", "Did you mean 'pytorch-fid'?"),
        ("resise=bicubic", "Did you mean 'resize'?"),
        ("resize=bicubc", "Did you mean 'bicubic'?"),
        ("50k, 10k", "two values of n: 50000 and 10000"),
        ("train, test", "two values of split"),
        ("pytorch-fid, clean-fid", "two values of tool"),
        ("jpeg-0", "'jpeg-0', which is unknown"),
        ("storage=jpeg-101", "not valid"),
        ("1", "n = '1', which is not valid"),
        ("2.5", "not valid"),
        ("ddof=2", "not valid"),
        ("layer=100", "not valid"),
        ({"n": True}, "not valid"),
        ({"n": [1]}, "not valid"),
        ({"split": "\x1b[31m"}, "not valid"),
        ("missing.toml", "Cannot read missing.toml"),
    ],
)
def test_errors_name_the_cause_and_the_valid_values(
    stated: Any, cause: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        choices(stated)
    assert cause in caught.value.cause
    assert caught.value.cure


@pytest.mark.parametrize("content", [b"n = ", b"\xff\xfe", b"[" * 5000, b"#" * 70_000])
def test_files_that_are_not_toml(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_bytes(content)
    with pytest.raises(UsageError):
        choices(tmp_path / "bad.toml")


def test_tools_state_choices_that_exist_and_their_source() -> None:
    for tool in TOOLS.values():
        assert tool.source.startswith("https://")
        assert set(tool.choices) <= set(CHOICES)
        assert parse_statement(tool.name, EXTRACTORS).choices == tool.choices
