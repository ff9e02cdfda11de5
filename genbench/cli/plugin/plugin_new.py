"""`genbench plugin new`: create an installable package with a working example."""

from __future__ import annotations

import shlex
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import TYPE_CHECKING

import click

from genbench.cli.output import echo
from genbench.errors import UsageError
from genbench.plugins.catalogue import LIKELIHOOD, discover
from genbench.plugins.loader import Kind
from genbench.plugins.metric_names import is_reserved
from genbench.scaffold.project import FAMILIES, FAMILY_KINDS, KINDS

if TYPE_CHECKING:
    from genbench.scaffold.project import Project

REGISTERS: dict[str, tuple[Kind, ...]] = {
    "model": ("models",),
    "loss": ("losses",),
    "dataset": ("datasets",),
    "metric": ("metrics",),
    "family": ("families", "models", "losses"),
    "executor": ("executors",),
}


@click.command("new")
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), default="model", show_default=True, help="What the plugin provides.")
@click.option("--family", type=click.Choice(FAMILIES), help="Family of a model or loss. [default: adversarial]")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="The new folder. [default: NAME]")
def new_plugin(name: str, kind: str, family: str | None, out: Path | None) -> None:
    """Create an installable package with a working example NAME.

    \b
    genbench plugin new my-variant
    genbench plugin new my-loss --kind loss --family variational
    """
    from genbench.scaffold.project import Project

    if family and kind not in FAMILY_KINDS:
        raise UsageError(f"--family does not apply to a {kind}.", "Remove it.")
    project = Project(name, kind, family or "adversarial")  # type: ignore[arg-type]
    _require_free(project)
    folder = out or Path(name)
    project.write(folder)
    echo(f"{folder} contains a plugin with the {kind} '{name}'. Edit src/{project.module}/{project.work}, then run:\n")
    where = shlex.quote(str(folder))
    for step in (
        f"cd {where}",
        'pip install -e ".[test]"',
        "pytest",
        f"genbench run {project.arguments} --profile smoke",
    ):
        echo(f"    {step}")


def _require_free(project: Project) -> None:
    """Raise `UsageError` for a name that would quarantine the plugin or shadow an installed package."""
    catalogue = discover()
    for kind in REGISTERS[project.kind]:
        taken = catalogue.entries(kind).get(project.name)
        if taken is not None:
            raise UsageError(
                f"{taken.plugin.title} already registers the {project.kind} '{project.name}'.", "Choose another name."
            )
    named = next((plugin for plugin in catalogue.plugins if plugin.name == project.name), None)
    if named is not None:
        raise UsageError(
            f"A plugin '{named.name}' ({named.distribution}) is already installed.", "Choose another name."
        )
    if project.kind == "metric" and project.name in (LIKELIHOOD, "none"):
        raise UsageError(f"'{project.name}' is reserved: it has a meaning in --metrics.", "Choose another name.")
    if project.kind == "metric" and is_reserved(project.name):
        raise UsageError(
            f"'{project.name}' is reserved: fid, kid and is need the Inception weights of 2015.", "Choose another name."
        )
    if project.module in packages_distributions():
        raise UsageError(f"A package '{project.module}' is already installed.", "Choose another name.")
