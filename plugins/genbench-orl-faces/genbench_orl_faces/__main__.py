"""Write the 400 photographs as PNG files, one folder per person: ``python -m genbench_orl_faces OUT_DIR``."""

from __future__ import annotations

from pathlib import Path

import click

from genbench import DataError
from genbench_orl_faces.photographs import find_folder, list_photographs, read_photograph


@click.command()
@click.argument("out_dir", type=click.Path(file_okay=False, path_type=Path))
def main(out_dir: Path) -> None:
    """Write the 400 photographs, uncropped and unchanged, as OUT_DIR/s01/01.png to OUT_DIR/s40/10.png."""
    try:
        written = write_photographs(out_dir)
    except DataError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"{out_dir} cannot be written: {error.strerror or error}.") from error
    click.echo(f"{written} photographs in {out_dir}")


def write_photographs(out_dir: Path) -> int:
    """Write the photographs as PNG files under `out_dir`, overwriting existing ones, and return their number."""
    people = list_photographs(find_folder())
    for person, photographs in enumerate(people, start=1):
        folder = out_dir / f"s{person:02}"
        folder.mkdir(parents=True, exist_ok=True)
        for number, path in enumerate(photographs, start=1):
            read_photograph(path).save(folder / f"{number:02}.png")
    return sum(map(len, people))


if __name__ == "__main__":
    main(prog_name="python -m genbench_orl_faces")
