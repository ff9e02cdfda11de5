"""Resolving the name of a dataset, such as ``folder:photos``, to its spec, options and image shape."""

from __future__ import annotations

from dataclasses import dataclass

from genbench.api.images import Shape
from genbench.api.options import resolve_options
from genbench.api.specs import DatasetSpec
from genbench.errors import UsageError
from genbench.planning.dataset_folders import require_folders
from genbench.planning.identity import origin
from genbench.planning.settings import Settings, own_settings
from genbench.plugins.catalogue import Catalogue
from genbench.results.schema import Choice


@dataclass(frozen=True)
class ChosenDataset:
    """A dataset with its options and image shape."""

    spec: DatasetSpec
    choice: Choice
    image_shape: Shape


def choose_dataset(text: str, settings: Settings, catalogue: Catalogue) -> ChosenDataset:
    """Return the dataset named by ``name`` or ``name:argument``; raise `UsageError` if it cannot be used."""
    name, colon, argument = text.partition(":")
    entry = catalogue.require("datasets", name)
    spec: DatasetSpec = entry.spec
    given = own_settings(settings, spec)
    if colon and spec.argument is None:
        raise UsageError(
            f"Dataset '{name}' does not accept a `:argument` suffix.", f"Write {name} instead of {text}.", code="GB305"
        )
    if spec.argument is not None and colon:
        given[spec.argument] = argument
    options = resolve_options(spec.option_schema, given, spec.name)
    if spec.argument is not None and not options[spec.argument]:
        raise UsageError(
            f"Dataset '{name}' needs its {spec.argument}.", f"Write {name}:{spec.argument.upper()}.", code="GB305"
        )
    require_folders(spec.option_schema, options, name)
    choice = Choice(name=spec.name, options=options, origin=origin(entry.plugin))
    return ChosenDataset(spec, choice, spec.shape(options))
