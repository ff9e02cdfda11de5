"""Draws docs/pictures/models/FAMILY.png, the samples of the models of each family in the zoo, and the frontier of all.

    python scripts/write_model_pictures.py

Needs the pictures of the runs in results/reference/zoo, and matplotlib.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

import genbench

ROOT = Path(__file__).parents[1]
ZOO = ROOT / "results" / "reference" / "zoo"
PICTURES = ROOT / "docs" / "pictures"
WIDEST = 1_000  # pixels
GREYS = 16  # of a picture of grey images, so that the repository stays small


def main() -> None:
    """Draw all pictures."""
    zoo = genbench.load(ZOO / "known", ZOO / "others")
    (PICTURES / "models").mkdir(exist_ok=True)
    for page in sorted((ROOT / "docs" / "models").glob("*.md")):
        path = PICTURES / "models" / f"{page.stem}.png"
        zoo.where(family=page.stem).figure("samples", theme="paper").save(path)
        path.with_suffix(".txt").unlink(missing_ok=True)  # its facts are those of the table on the page
        make_small(path)
    zoo.figure("frontier", x="FLOP/image", y="fd-fashion-cnn").save(PICTURES / "zoo-frontier.png")


def make_small(path: Path) -> None:
    """Replace a picture of grey images by one of few shades, and of at most `WIDEST` pixels in width."""
    with Image.open(path) as opened:
        picture = Image.new("RGBA", opened.size, "white")
        picture.alpha_composite(opened.convert("RGBA"))
    width = min(WIDEST, picture.width)
    size = width, round(picture.height * width / picture.width)
    picture.convert("L").resize(size, Image.Resampling.LANCZOS).quantize(GREYS).save(path, optimize=True)


if __name__ == "__main__":
    main()
