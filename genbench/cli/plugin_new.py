"""`genbench plugin new`: an installable package with a working example."""

from __future__ import annotations

import shlex
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import TYPE_CHECKING

import click

from genbench.errors import UsageError
from genbench.plugins.catalogue import LIKELIHOOD, discover
from genbench.plugins.feature_metrics import PREFIXES
from genbench.plugins.loader import Kind
from genbench.scaffold.project import FAMILIES, KINDS

if TYPE_CHECKING:
    from genbench.scaffold.project import Project

REGISTERS: dict[str, tuple[Kind, ...]] = {
    "model": ("models",),
    "loss": ("losses",),
    "dataset": ("datasets",),
    "metric": ("metrics",),
    "family": ("families", "models", "losses"),
}


@click.command("new")
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), default="model", show_default=True, help="What it brings.")
@click.option("--family", type=click.Choice(FAMILIES), help="Of a model or a loss.  [adversarial]")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="The new folder.  [NAME]")
def new_plugin(name: str, kind: str, family: str | None, out: Path | None) -> None:
    """Write a package that registers a working NAME, for you to change.

    \b
    genbench plugin new my-variant
    genbench plugin new my-loss --kind loss --family variational
    """
    from genbench.scaffold.project import FAMILY_KINDS, Project

    if family and kind not in FAMILY_KINDS:
        raise UsageError(f"--family says nothing of a {kind}.", "Leave it out.")
    project = Project(name, kind, family or "adversarial")  # type: ignore[arg-type]
    _require_free(project)
    folder = out or Path(name)
    project.write(folder)
    click.echo(f"{folder} holds a plugin with the {kind} '{name}': change src/{project.module}/{project.work}.\n")
    where = shlex.quote(str(folder))
    for step in (
        f"cd {where}",
        'pip install -e ".[test]"',
        "pytest",
        f"genbench run {project.arguments} --profile smoke",
    ):
        click.echo(f"    {step}")


def _require_free(project: Project) -> None:
    """Refuse a name that would quarantine the plugin, and a package that would hide an installed one."""
    catalogue = discover()
    for kind in REGISTERS[project.kind]:
        taken = catalogue.entries(kind).get(project.name)
        if taken is not None:
            raise UsageError(
                f"{taken.plugin.title} registers the {project.kind} '{project.name}' already.", "Choose another name."
            )
    named = next((plugin for plugin in catalogue.plugins if plugin.name == project.name), None)
    if named is not None:
        raise UsageError(
            f"A plugin '{named.name}' ({named.distribution}) is installed already.", "Choose another name."
        )
    if project.kind == "metric" and project.name in (*PREFIXES, LIKELIHOOD, "none"):
        raise UsageError(f"--metrics has a meaning for '{project.name}' already.", "Choose another name.")
    if project.module in packages_distributions():
        raise UsageError(f"A package '{project.module}' is installed already.", "Choose another name.")
