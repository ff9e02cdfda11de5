"""What a page of the documentation tells a reader to do: commands to type and edits to make."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Step:
    """A command, or an edit of a file."""

    section: str
    command: str = ""
    diff: str = ""


def steps(page: str) -> Iterator[Step]:
    """Yield the indented commands and the blocks marked `diff`, with the title of their section."""
    section = ""
    for block in re.split(r"(^```\w*\n.*?^```\n)", page, flags=re.MULTILINE | re.DOTALL):
        if block.startswith("```diff"):
            yield Step(section, diff=block.split("\n", 1)[1].rsplit("```", 1)[0])
        for line in [] if block.startswith("```") else block.splitlines():
            section = line.removeprefix("## ") if line.startswith("## ") else section
            if re.match(r"    \S", line):
                yield Step(section, command=line.strip())


def edited_path(diff: str) -> str:
    """Return the path that the first line of an edit names."""
    return diff.splitlines()[0].removeprefix("# ").strip()


def apply(diff: str, folder: Path) -> None:
    """Apply an edit: `-` and `+` mark lines to remove and to add; the others, which may end in `…`, say where."""
    path = folder / edited_path(diff)
    edit = [(line[:1] or " ", line[1:]) for line in diff.splitlines()[1:]]
    expected = [text for sign, text in edit if sign != "+"]
    lines = path.read_text(encoding="utf-8").splitlines()
    places = [
        start
        for start in range(len(lines) - len(expected) + 1)
        if all(_matches(text, line) for text, line in zip(expected, lines[start:], strict=False))
    ]
    assert len(places) == 1, f"{edited_path(diff)}: the edit fits at {len(places)} places, not one"
    kept = iter(lines[places[0] :])
    result = lines[: places[0]]
    for sign, text in edit:
        if sign == "+":
            result.append(text)
        else:
            line = next(kept)
            result += [line] if sign == " " else []
    path.write_text("".join(f"{line}\n" for line in [*result, *kept]), encoding="utf-8")


def _matches(text: str, line: str) -> bool:
    return line.startswith(text.removesuffix("…")) if text.endswith("…") else line == text
