"""Copy what genbench and the packages in plugins/ are built from, with README files that work on a package index.

    python scripts/copy_published_sources.py build/sources

Relative links would lead nowhere there, so each becomes the address of that file in the repository, at this version.
In a workflow of GitHub the address is known (GITHUB_REPOSITORY); elsewhere name it with `--address`. Without one, links
become their text, and pictures are left out.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[1]
_IMAGE = re.compile(r"!\[([^\]]*)\]\((?!https?:)([^)\s]+)\)")
_LINK = re.compile(r"(?<!!)\[((?:!\[[^\]]*\]\([^)]*\)|[^\[\]])*)\]\((?!https?:|#|mailto:)([^)\s]+)\)")
_MADE = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")


def main() -> None:
    """Copy the sources to the folder that the command line names."""
    server, repository = os.environ.get("GITHUB_SERVER_URL", "https://github.com"), os.environ.get("GITHUB_REPOSITORY")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--address", default=f"{server}/{repository}" if repository else "", help="of the repository")
    parser.add_argument("--ref", default=os.environ.get("GITHUB_REF_NAME", "main"), help="tag or branch [main]")
    arguments = parser.parse_args()
    copy_sources(arguments.folder, arguments.address, arguments.ref)


def copy_sources(folder: Path, address: str = "", ref: str = "main") -> None:
    """Copy the sources of all packages: genbench's to `folder`, the others' to folders in ``plugins`` below it."""
    folder.mkdir(parents=True)
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, folder)
    shutil.copytree(ROOT / "genbench", folder / "genbench", ignore=_MADE)
    shutil.copytree(ROOT / "plugins", folder / "plugins", ignore=_MADE)
    for readme in (folder / "README.md", *folder.glob("plugins/*/README.md")):
        place = PurePosixPath(readme.parent.relative_to(folder).as_posix())
        readme.write_text(published(readme.read_text(encoding="utf-8"), place, address, ref), encoding="utf-8")


def published(text: str, place: PurePosixPath, address: str, ref: str) -> str:
    """Return a README whose relative links are addresses in a repository.

    Args:
        text: Markdown.
        place: folder of the README in the repository.
        address: of the repository on a server that has GitHub's addresses; empty: links become their text.
        ref: tag or branch.
    """

    def absolute(target: str, kind: str) -> str:
        path, mark, anchor = target.partition("#")
        inside = PurePosixPath(os.path.normpath(place / path)).as_posix()
        kind = "tree" if kind == "blob" and (ROOT / inside).is_dir() else kind
        return f"{address}/{kind}/{ref}/{inside}{mark}{anchor}"

    def image(found: re.Match[str]) -> str:
        return f"![{found[1]}]({absolute(found[2], 'raw')})" if address else ""

    def link(found: re.Match[str]) -> str:
        return f"[{found[1]}]({absolute(found[2], 'blob')})" if address else found[1]

    return _LINK.sub(link, _IMAGE.sub(image, text))


if __name__ == "__main__":
    main()
