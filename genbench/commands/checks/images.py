"""`genbench.check_images`: a dataset or a folder of images, before training on it."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genbench.commands.arguments import OptionValues, PluginSource, plugin_paths, request_with_options
from genbench.commands.output_files import output_path, write_output
from genbench.commands.printed import Printable
from genbench.data.loading import load_data
from genbench.data.progress import Progress, ignore_progress
from genbench.datacheck.check import Measured, measure
from genbench.datacheck.contact_sheet import draw_sheet, sections
from genbench.datacheck.findings import Finding, findings, suspects
from genbench.datacheck.folder import scan_folder
from genbench.datacheck.format import as_data, as_text
from genbench.datacheck.scan import Scan
from genbench.datacheck.target import Target, find_target
from genbench.datacheck.tensors import scan_tensors
from genbench.errors import DataError, UsageError
from genbench.plugins.catalogue import discover
from genbench.plugins.worker_catalogue import load_catalogue
from genbench.report.table.layout import clean


@dataclass(frozen=True, repr=False)
class ImageCheck(Printable):
    """What was found in a dataset or a folder of images."""

    measured: Measured
    findings: tuple[Finding, ...]  # the most severe first
    sheet: Path | None = None  # the contact sheet that was drawn; None: none was asked for, or nothing is suspicious

    def passed(self, strict: bool = False) -> bool:
        """Return whether there are images; with `strict`, also whether there is no problem and no warning."""
        return bool(len(self.measured.scan)) and not (strict and suspects(self.findings))

    def text(self) -> str:
        """Return an overview, and the findings."""
        return as_text(self.measured, self.findings)

    def as_data(self) -> dict[str, Any]:
        """Return the report as plain data; docs/data.md documents every key."""
        return as_data(self.measured, self.findings)


def check_images(
    source: str | Path,
    *,
    set: OptionValues = (),
    plugins: PluginSource | Sequence[PluginSource] = (),
    sheet: str | Path | None = None,
    progress: Callable[[], AbstractContextManager[Progress]] = lambda: nullcontext(ignore_progress),
) -> ImageCheck:
    """Find unreadable, duplicate, leaked and unusual images, and unbalanced classes, as `genbench data check`.

    Raises `UsageError` for an unknown dataset or option, and `DataError` where there are no images.

    Args:
        source: a dataset, or the path of a folder.
        set: options of the dataset, as ``{"folder.size": 128}``.
        plugins: plugin files, or imported modules with a file of their own.
        sheet: also draw suspicious images to this .png, duplicates side by side.
        progress: returns a context manager that yields what is called with the images read, and those in total.
    """
    target = find_target(str(source), request_with_options({}, set).set, discover(plugin_paths(plugins)))
    sheet_path = None if sheet is None else _sheet_path(sheet, target)
    with progress() as show:
        scan = _scan(str(source), target, show)
    measured = measure(scan)
    drawn = None
    if sheet_path is not None and (chosen := sections(measured)):
        buffer = io.BytesIO()
        draw_sheet(scan, chosen).save(buffer, format="PNG")
        write_output(sheet_path, buffer.getvalue(), "--sheet")
        drawn = sheet_path
    return ImageCheck(measured, tuple(findings(measured)), drawn)


def _scan(source: str, target: Target, progress: Progress) -> Scan:
    if target.folder is not None:
        channels, size, _ = target.shape
        scan = scan_folder(target.folder, size, channels, progress)
        if not scan.names and not scan.unreadable and not (scan.files and scan.files.unsupported):
            raise DataError(
                f"There are no images in {scan.source}.", "Give a folder that contains image files.", code="GB304"
            )
        return scan
    plugin = target.plugin
    catalogue = load_catalogue([] if plugin.origin == "builtin" else [dataclasses.asdict(plugin)])
    data = load_data(target.choice, target.shape, catalogue)
    return scan_tensors(
        clean(source),
        (data.train_pixels.numpy(), None if data.train_labels is None else data.train_labels.numpy()),
        (data.test_pixels.numpy(), None if data.test_labels is None else data.test_labels.numpy()),
        class_names=[clean(name) for name in data.class_names],
        points=target.spec.points,
        notes=[clean(note) for note in data.notes],
        progress=progress,
    )


def _sheet_path(sheet: str | Path, target: Target) -> Path:
    path = output_path(sheet, "--sheet", ".png")
    if target.folder is not None and path.resolve().is_relative_to(target.folder.resolve()):
        raise UsageError(
            f"--sheet {sheet} lies in the folder to check.", "Choose a path outside the folder.", code="GB710"
        )
    return path
