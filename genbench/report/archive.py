"""Packing a run for readers: results, pictures, tables, a model card and, if wanted, weights, in one archive."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from genbench import __version__
from genbench.errors import UsageError
from genbench.report.model_card import model_card
from genbench.report.table.comparison_table import make_table
from genbench.report.table.render import READABLE_ROWS, render
from genbench.results.archive import SUFFIX, Manifest, problem_of_member, write_archive
from genbench.results.store import RunContents, RunDirectory

_PICTURES = (".png", ".webp")


class Packed(NamedTuple):
    """An archive that was written."""

    path: Path
    manifest: Manifest
    warnings: list[str]


def pack(run: RunDirectory, out: Path | None = None, weights: bool = False, pictures: bool = True) -> Packed:
    """Write a run to an archive; what cannot be read or does not belong to a run is left out with a warning.

    The state of interrupted trainings, logs, and the plugin files that the run names are never part of it. Raises
    `UsageError` if the file cannot be written or exists.

    Args:
        run: what to pack.
        out: the file; by default, beside the run with the suffix ``.zip``.
        weights: whether to pack the networks of every cell.
        pictures: whether to pack samples and other pictures.
    """
    target = out or run.path.resolve().with_name(f"{run.name}{SUFFIX}")
    if target.exists():
        raise UsageError(f"{target} exists already.", "Choose another --out, or remove it.", code="GB706")
    contents = run.read()
    files: dict[str, bytes | Path] = {"run.json": run.record_path}
    if run.race_path.is_file():
        files["race.json"] = run.race_path
    warnings: list[str] = []
    for folder, suffixes in _folders(weights, pictures).items():
        files |= _files(run.path / folder, suffixes, warnings)
    files |= _tables(contents)
    files["README.md"] = model_card(contents, files.keys()).encode(errors="replace")
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        try:
            with temporary.open("xb") as stream:
                manifest = write_archive(stream, run.name, __version__, files)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        problem = f"{error.filename or target}: {error.strerror or error}"
        raise UsageError(f"Cannot write {target}: {problem}.", "Choose another --out.", code="GB702") from error
    return Packed(target, manifest, warnings)


def _folders(weights: bool, pictures: bool) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {"cells": (".json",), "references": (".json",)}
    if pictures:
        found["samples"] = _PICTURES
    if weights:
        found["checkpoints"] = (".safetensors",)
    return found


def _files(folder: Path, suffixes: tuple[str, ...], warnings: list[str]) -> dict[str, bytes | Path]:
    """Return the regular files of a folder with these suffixes; results that cannot be read are named in a warning."""
    found: dict[str, bytes | Path] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        name = f"{folder.name}/{path.name}"
        if path.name.startswith(".") or not path.name.endswith(suffixes) or path.name.endswith(".resume.safetensors"):
            continue
        problem = problem_of_member(name)
        if not problem and (path.is_symlink() or not path.is_file()):
            problem = f"{name} is not a regular file"
        if not problem and not os.access(path, os.R_OK):
            problem = f"{name} cannot be read"
        if problem:
            warnings.append(f"left out: {problem}")
        else:
            found[name] = path
    return found


def _tables(contents: RunContents) -> dict[str, bytes | Path]:
    shown = render(make_table(contents, over_seeds=None), "github", most_rows=READABLE_ROWS)
    return {"table.md": shown.encode(), "table.csv": render(make_table(contents), "csv").encode()}
