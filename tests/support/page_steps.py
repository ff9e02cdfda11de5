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


def follow(page: str, folder: Path, section: str | None = None) -> Iterator[tuple[Path, Step]]:
    """Yield the commands of a page, or of one section, each with the folder to type it in; edits are applied."""
    for step in steps(page):
        if section not in (None, step.section):
            continue
        if step.diff:
            apply(step.diff, folder)
        elif step.command.startswith("cd "):
            folder = folder / step.command.removeprefix("cd ")
        else:
            yield folder, step


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


@dataclass(frozen=True)
class Block:
    """A block of commands or of Python on a page."""

    language: str  # 'shell' or 'python'
    lines: tuple[str, ...]
    not_run: str  # why nothing runs it, as the source says; empty: something must


_PROGRAMS = r"(?:[A-Z_a-z]+=\S+ )*(?:genbench|pip|python|pytest|git|just|ray|sbatch|cd|docker|uv) "
_SHELL = ("bash", "sh", "shell", "console")


def blocks(page: str) -> Iterator[Block]:
    """Yield the blocks of shell commands and of Python, fenced or indented.

    `<!-- not run: why -->` before a block says that no test runs it, `<!-- not run on this page: why -->` that of all.
    """
    everywhere = re.search(r"^<!-- not run on this page: (.+) -->$", page, flags=re.MULTILINE)
    whole = everywhere[1] if everywhere else ""
    mark, language, found = "", "", list[str]()

    def ended() -> Iterator[Block]:
        if found and language in ("shell", "python"):
            yield Block(language, tuple(found), whole or mark)
        found.clear()

    fenced = False
    for line in [*page.splitlines(), "end"]:
        if match := re.match(r"\s*```(\w*)", line):
            yield from ended()
            mark = "" if fenced else mark
            fenced, named = not fenced, match[1]
            language = "shell" if named in _SHELL else named
        elif fenced:
            found.append(line)
        elif re.match(r"    \S", line):
            if not found:
                language = "shell" if re.match(_PROGRAMS, line.strip()) else "other"
            found.append(line.strip())
        elif line.strip() or found:
            had_block = bool(found)
            yield from ended()
            stated = re.fullmatch(r"<!-- not run: (.+) -->", line)
            mark = stated[1] if stated else "" if had_block or line.strip() else mark
