"""A contact sheet shows every pixel of small grids, and says why a picture is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from genbench.report.html.contact_sheet import TILE, contact_sheet

GREY = (212, 212, 216)


def picture(path: Path, width: int, height: int, colour: int = 90) -> Path:
    Image.new("L", (width, height), colour).save(path)
    return path


def pixels(sheet: Image.Image, colour: tuple[int, int, int]) -> int:
    return sum(count for count, found in sheet.getcolors(maxcolors=1 << 24) or [] if found == colour)


def test_a_small_grid_is_enlarged_by_a_whole_factor(tmp_path: Path) -> None:
    checked = Image.new("L", (2, 2))
    checked.putpixel((0, 0), 90)
    checked.putpixel((1, 1), 90)
    checked.save(tmp_path / "a.png")
    sheet = contact_sheet([("a", tmp_path / "a.png")])
    assert pixels(sheet, (90, 90, 90)) == TILE * TILE // 2  # NEAREST: no colour between the two


def test_a_large_grid_is_made_to_fit(tmp_path: Path) -> None:
    sheet = contact_sheet([("a", picture(tmp_path / "a.png", 3000, 1500))])
    assert pixels(sheet, (90, 90, 90)) == TILE * TILE // 2


def test_every_entry_has_its_place(tmp_path: Path) -> None:
    shades = [10, 50, 90, 130, 170]
    entries = [(f"cell {n}", picture(tmp_path / f"{n}.png", 56, 56, shade)) for n, shade in enumerate(shades)]
    sheet = contact_sheet(entries)
    for shade in shades:
        assert pixels(sheet, (shade,) * 3) >= TILE * TILE
    assert sheet.width > 3 * TILE
    assert 2 * TILE < sheet.height < 3 * TILE


@pytest.mark.parametrize("content", [None, b"", b"\x89PNG\r\n\x1a\n broken", b"not a picture"])
def test_what_cannot_be_read_is_a_grey_tile(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "bad.png").write_bytes(content)
    good = picture(tmp_path / "good.png", 56, 56)
    sheet = contact_sheet([("bad", tmp_path / "bad.png"), ("good", good)])
    assert pixels(sheet, GREY) > TILE * TILE // 3
    assert pixels(sheet, (90, 90, 90)) >= TILE * TILE


def test_a_truncated_picture_is_a_grey_tile(tmp_path: Path) -> None:
    path = picture(tmp_path / "cut.png", 400, 400)
    path.write_bytes(path.read_bytes()[:80])
    assert pixels(contact_sheet([("cut", path)]), GREY) > TILE * TILE // 3


def test_no_cells_and_strange_titles_are_no_trouble(tmp_path: Path) -> None:
    assert contact_sheet([]).size > (0, 0)
    path = picture(tmp_path / "a.png", 56, 56)
    wide = contact_sheet([("x" * 5000, path), ("\u4e2d\u6587 🦊\n\x00", path)])
    assert wide.width < 3 * TILE


def test_many_cells_stay_small(tmp_path: Path) -> None:
    sheet = contact_sheet([(str(n), picture(tmp_path / "a.png", 60, 60)) for n in range(100)])
    assert sheet.width * sheet.height < 16_000_000


def test_a_postscript_file_named_png_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow decodes PostScript by starting Ghostscript."""
    started: list[object] = []
    monkeypatch.setattr("subprocess.Popen", lambda *given, **_: started.append(given))
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *given, **_: started.append(given))
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    (tmp_path / "bad.png").write_bytes(eps)
    Image.new("RGB", (9, 9), (1, 2, 3)).save(tmp_path / "other.png", "TIFF")
    sheet = contact_sheet([("bad", tmp_path / "bad.png"), ("other", tmp_path / "other.png")])
    assert pixels(sheet, GREY) > TILE * TILE // 3
    assert pixels(sheet, (1, 2, 3)) == 0  # a PNG only, whatever the name
    assert started == []
