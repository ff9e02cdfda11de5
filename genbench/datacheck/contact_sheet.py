"""A contact sheet of suspicious images with their names: duplicates side by side, blank images, outliers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from genbench.datacheck.check import Measured
from genbench.datacheck.duplicates import DuplicateGroup
from genbench.datacheck.scan import Scan

_TILE = 128  # pixels of an image's longer side
_GAP, _CAPTION, _TITLE = 12, 16, 34
_ACROSS = 8  # images in a row
_MOST = 24  # entries per section
_BACKGROUND, _INK, _FAINT, _FRAME = (255, 255, 255), (24, 24, 27), (113, 113, 122), (228, 228, 231)


@dataclass(frozen=True)
class Section:
    """One kind of suspicious images; an entry is one image, or two to compare, with a caption below each."""

    title: str
    entries: tuple[tuple[tuple[int, str], ...], ...]


def sections(measured: Measured) -> list[Section]:
    """Return the sections that have entries: duplicates first, and those across splits before others."""
    scan, files = measured.scan, measured.scan.files
    found = [
        Section("Exact duplicates", _pairs(scan, measured.exact or ())),
        Section("Near duplicates", _pairs(scan, sorted(measured.near or (), key=lambda group: -group.similarity))),
        Section("Blank", _singles(scan, measured.blank)),
    ]
    for name in ("brightness", "contrast"):
        chosen = [outlier for outlier in measured.outliers if outlier.measure == name]
        entries = tuple(((o.image, f"{scan.names[o.image]}  {o.value:.0f}"),) for o in chosen)
        found.append(Section(f"Outliers in {name}", entries))
    if files is not None and len(scan):
        shorter = np.minimum(scan.widths, scan.heights)
        order = np.argsort(shorter, kind="stable")
        small = [int(image) for image in order if shorter[image] < files.size]
        # 'x': the font has no multiplication sign.
        entries = tuple(
            ((image, f"{scan.names[image]}  {scan.widths[image]}x{scan.heights[image]}"),) for image in small
        )
        found.append(Section("Smaller than the images in training", entries))
    return [section for section in found if section.entries]


def draw_sheet(scan: Scan, chosen: Sequence[Section]) -> Image.Image:
    """Return one RGB image of the sections; only the images shown are read again."""
    font, large = ImageFont.load_default(11), ImageFont.load_default(18)
    cell = _TILE + _GAP
    placed: list[tuple[int, int, int, str]] = []  # left, top, image, caption
    titles: list[tuple[int, str]] = []
    frames: list[tuple[int, int, int]] = []  # left, top, number of images
    top = _GAP
    for section in chosen:
        shown = section.entries[:_MOST]
        more = len(section.entries) - len(shown)
        titles.append((top, section.title + (f" (the first {len(shown)} of {len(section.entries):,})" if more else "")))
        top += _TITLE
        column = 0
        for entry in shown:
            if column + len(entry) > _ACROSS:
                top, column = top + cell + _CAPTION, 0
            frames.append((_GAP + column * cell, top, len(entry)))
            for image, caption in entry:
                placed.append((_GAP + column * cell, top, image, caption))
                column += 1
        top += cell + _CAPTION + _GAP
    used = max((left for left, *_ in placed), default=_GAP) + cell
    sheet = Image.new("RGB", (max(used, 4 * cell), top), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for place, title in titles:
        draw.text((_GAP, place), title, fill=_INK, font=large)
    for left, place, number in frames:
        box = (left - 3, place - 3, left + number * cell - _GAP + 2, place + _TILE + _CAPTION + 2)
        draw.rectangle(box, fill=_FRAME if number > 1 else None)
    for left, place, image, caption in placed:
        tile = _tile(scan, image)
        sheet.paste(tile, (left + (_TILE - tile.width) // 2, place + (_TILE - tile.height) // 2))
        draw.text((left, place + _TILE + 1), _fit(caption, font), fill=_FAINT, font=font)
    return sheet


def _pairs(scan: Scan, groups: Sequence[DuplicateGroup]) -> tuple[tuple[tuple[int, str], ...], ...]:
    """Return two images of each group; one of each split where the group crosses the splits."""
    entries = []
    for group in sorted(groups, key=lambda group: not group.across_splits):
        one = group.images[0]
        differing = [image for image in group.images if scan.held_out[image] != scan.held_out[one]]
        pair = (one, differing[0] if differing else group.images[1])
        entries.append(tuple((image, _where(scan, image)) for image in pair))
    return tuple(entries)


def _singles(scan: Scan, images: Sequence[int]) -> tuple[tuple[tuple[int, str], ...], ...]:
    return tuple(((image, scan.names[image]),) for image in images)


def _where(scan: Scan, image: int) -> str:
    return scan.names[image] + (" (held out)" if scan.held_out[image] and scan.kind == "folder" else "")


def _tile(scan: Scan, image: int) -> Image.Image:
    try:
        source = scan.read_image(image).convert("RGB")
    except OSError:  # removed or changed since the scan
        return Image.new("RGB", (_TILE, _TILE), _FAINT)
    scale = _TILE / max(source.size)
    size = (max(1, round(source.width * scale)), max(1, round(source.height * scale)))
    return source.resize(size, Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.LANCZOS)


def _fit(caption: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> str:
    """Shorten a caption from the left: file names differ at their ends."""
    line = caption[-200:]
    kept = line
    while line and font.getlength(kept) > _TILE:
        line = line[1:]
        kept = "…" + line
    return kept
