"""The pictures of a cell, for the report and the board: what they are called, and their content as it was stored."""

from __future__ import annotations

from pathlib import Path

from genbench.report.table.outcome import CellOutcome
from genbench.report.training_samples import StoredSheet, read_training_samples
from genbench.results.files import read_regular_file
from genbench.results.store import RunDirectory

CAPTIONS = {  # of each kind, in the order of a page
    "samples": "samples",
    "reconstructions": "held-out images, each row above its reconstructions",
    "closest": "the samples closest to training images, above those images",
    "interpolation": "images interpolated between pairs of latents, one pair in each row",
    "training": "samples from the same latents during training, the latest at the bottom",
}
_LARGEST = 20 * 2**20  # bytes
_SIGNATURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"RIFF": "image/webp"}


def read_pictures(run: RunDirectory, cell: CellOutcome) -> dict[str, bytes | str]:
    """Return the existing pictures of a cell by kind: the content of the file, or why it cannot be shown."""
    paths = picture_paths(run, cell)
    found = {kind: content for kind, path in paths.items() if (content := _read(path)) is not None}
    if cell.result is not None and cell.result.training_samples is not None:
        sheet = read_training_samples(run, cell.result)
        found["training"] = sheet.content if isinstance(sheet, StoredSheet) else f"Not shown: {sheet.reason}."
    return found


def picture_paths(run: RunDirectory, cell: CellOutcome) -> dict[str, Path]:
    """Return the places of the pictures of a cell by kind, without the samples during training."""
    id = cell.planned.id
    return {
        "samples": run.sample_path(id),
        "reconstructions": run.reconstruction_path(id),
        "closest": run.closest_path(id),
        "interpolation": run.interpolation_path(id),
    }


def media_type(content: bytes) -> str:
    """Return the type of a PNG or WebP file from its first bytes; empty for anything else."""
    return next((kind for start, kind in _SIGNATURES.items() if content.startswith(start)), "")


def _read(path: Path) -> bytes | str | None:
    try:
        if path.stat().st_size > _LARGEST:
            return "This picture is too large."
        content = read_regular_file(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"This picture cannot be read: {error.strerror}."
    return content if media_type(content) else "This picture is damaged: it is not a PNG or WebP file."
