"""A figure as a Python object, and the files that it is saved as."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from genbench.errors import UsageError, near_miss
from genbench.report.figures.appearance import Appearance
from genbench.report.figures.caption import SIGNATURE, Caption
from genbench.report.figures.text import drawable
from genbench.results.files import atomic_write, read_regular_file

if TYPE_CHECKING:
    from genbench.report.figures.canvas import Canvas, FigureFormat, Rendered

_MOST_NAMED = 20
FORMATS: dict[str, FigureFormat] = {".pdf": "pdf", ".svg": "svg", ".png": "png"}


@dataclass(frozen=True, eq=False)
class Figure:
    """A figure that saves itself as pdf, svg or png, and shows itself in a notebook."""

    kind: str
    about: Caption
    draw: Callable[[Canvas], None]
    look: Appearance

    def __repr__(self) -> str:
        return f"<Figure {self.kind}: {drawable(self.about.title)}>"

    @property
    def caption(self) -> str:
        """The facts for a caption, one a line: what rows share, n, seeds, protocol, the meaning of error bars."""
        return self.about.text

    def to_bytes(self, format: str) -> bytes:
        """Return the content of a file in the format ``pdf``, ``svg`` or ``png``; the same figure gives the same bytes.

        Warns of characters that no installed font has. Raises `UsageError` for another format, or if matplotlib is not
        installed.
        """
        rendered = self._render(format)
        if rendered.undrawn:
            warnings.warn(_undrawn(rendered.undrawn), stacklevel=2)
        return rendered.content

    def _render(self, format: str) -> Rendered:
        if f".{format}" not in FORMATS:
            known = [suffix[1:] for suffix in FORMATS]
            raise UsageError(
                f"Unknown format '{format}'.{near_miss(format, known)}", f"Formats: {', '.join(known)}.", code="GB710"
            )
        require_matplotlib()
        from genbench.report.figures.canvas import render

        return render(self.draw, self.look, FORMATS[f".{format}"], drawable(self.about.title), self.caption)

    def save(self, path: str | Path) -> Path:
        """Write the figure, and the facts for its caption beside it with the suffix ``.txt``; return its path.

        An existing figure is replaced. A warning and the text file name characters that no installed font has. Raises
        `UsageError` for another suffix than ``.pdf``, ``.svg`` or ``.png``, if a file cannot be written, or if the text
        file exists and is not from genbench.
        """
        target = figure_path(path)
        beside = target.with_suffix(".txt")
        content, undrawn = self._render(target.suffix.lower()[1:])
        caption = self.caption
        if undrawn:
            warnings.warn(_undrawn(undrawn), stacklevel=2)
            caption += f"{_undrawn(undrawn)}\n"
        for file, data in ((beside, caption.encode("utf-8", "replace")), (target, content)):
            try:
                atomic_write(file, data)
            except OSError as error:
                raise UsageError(
                    f"Cannot write {file}: {error.strerror or error}.",
                    "Choose another path for the figure.",
                    code="GB702",
                ) from error
        return target

    def _repr_png_(self) -> bytes:
        return self.to_bytes("png")

    def _repr_svg_(self) -> str:
        return self.to_bytes("svg").decode()


def _undrawn(characters: str) -> str:
    shown = characters[:_MOST_NAMED] + (" …" if len(characters) > _MOST_NAMED else "")
    return f"No installed font draws {shown}: the figure has boxes instead. Install one, such as Noto Sans CJK."


def require_matplotlib() -> None:
    """Raise `UsageError` with the remedy if matplotlib is not installed."""
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError(
            "matplotlib, which draws figures, is not installed.",
            "Install it with `pip install 'genbench[figures]'` or `pip install matplotlib`.",
            code="GB403",
        )


def figure_path(path: str | Path) -> Path:
    """Return where a figure is written; raise `UsageError` if it cannot be, before anything is measured or drawn."""
    require_matplotlib()
    target = Path(path).expanduser()
    suffixes = ", ".join(FORMATS)
    if target.suffix.lower() not in FORMATS:
        raise UsageError(f"{path} is not the name of a figure.", f"Use one of the suffixes {suffixes}.", code="GB710")
    if not target.parent.is_dir():
        raise UsageError(
            f"The folder {target.parent} does not exist.", "Create it, or choose another path.", code="GB702"
        )
    beside = target.with_suffix(".txt")
    if beside.exists() or beside.is_symlink():
        try:
            own = read_regular_file(beside).startswith(SIGNATURE.encode())
        except OSError:
            own = False
        if not own:
            raise UsageError(
                f"{beside} exists and is not from genbench; the facts for the caption would replace it.",
                "Move it away, or choose another name for the figure.",
                code="GB706",
            )
    return target
