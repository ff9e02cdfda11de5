"""Resolving a name or path given by the user: a dataset with its options, or a folder of files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from genbench.api.images import Shape
from genbench.api.options import resolve_options
from genbench.api.specs import DatasetSpec
from genbench.builtin.datasets.folder import checked_root
from genbench.errors import UsageError
from genbench.planning.dataset_folders import require_folder, require_folders
from genbench.planning.identity import origin
from genbench.planning.settings import Settings, check_settings, own_settings
from genbench.plugins.catalogue import Catalogue
from genbench.plugins.loader import Plugin
from genbench.results.schema import Choice

FOLDER = "folder"  # the dataset whose files are checked one by one


@dataclass(frozen=True)
class Target:
    """The dataset or folder to check."""

    choice: Choice
    spec: DatasetSpec
    shape: Shape  # of the images in training
    plugin: Plugin  # that provides the dataset
    folder: Path | None  # of files; None: a dataset that is loaded


def find_target(text: str, tables: Settings, catalogue: Catalogue) -> Target:
    """Return what a text refers to: a dataset, ``NAME:ARGUMENT``, ``folder:PATH``, or the path of a folder.

    A dataset takes precedence over a folder with the same name; ``./NAME`` is the folder. Raises `UsageError` for an
    unknown name or option, and `DataError` for a folder that cannot be read.
    """
    name, colon, argument = text.partition(":")
    known = name in catalogue.datasets or bool(catalogue.quarantined_claims("datasets", name))
    if not known and (os.sep in text or text.startswith(("~", ".")) or Path(text).exists()):
        name, colon, argument = FOLDER, ":", text
    elif not known:
        _refuse(name, catalogue)
    entry = catalogue.require("datasets", name)
    spec: DatasetSpec = entry.spec
    check_settings(tables, [spec], catalogue)
    given = own_settings(tables, spec)
    if colon and spec.argument is None:
        raise UsageError(
            f"Dataset '{name}' does not accept a `:argument` suffix.", f"Write {name} instead of {text}.", code="GB305"
        )
    if colon and spec.argument and name != FOLDER:  # a folder's path may contain bytes that an option cannot
        given[spec.argument] = argument
    options = resolve_options(spec.option_schema, given, name)
    require_folders(spec.option_schema, options, name)
    folder = None
    path = argument or str(options["path"] or "") if name == FOLDER else ""
    if path:
        require_folder(path, f"{FOLDER}:PATH")
        folder = checked_root(path)
    elif spec.argument is not None and not options[spec.argument]:
        raise UsageError(
            f"Dataset '{name}' needs a {spec.argument}.", f"Write {name}:{spec.argument.upper()}.", code="GB305"
        )
    choice = Choice(name=name, options=options, origin=origin(entry.plugin))
    return Target(choice, spec, spec.shape(options), entry.plugin, folder)


def _refuse(name: str, catalogue: Catalogue) -> None:
    try:
        catalogue.require("datasets", name)
    except UsageError as error:
        raise UsageError(
            f"There is neither a dataset nor a folder '{name}'. {error.cause}",
            f"{error.cure}\nOr give the path of a folder of images.",
            code="GB305",
        ) from None
